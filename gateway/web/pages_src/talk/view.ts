/** The talk page: what is on it, and how it looks in each state of a call. */

import { fill, h, setText } from "../shared/dom";
import { capital, duration, plain } from "../shared/format";
import { begin, colours, onThemeChange } from "../shared/surface";
import type { Story } from "../shared/story";
import { themeButton } from "../shared/theme_button";
import type { CallState } from "./call";
import { Captions } from "./captions";
import { Keypad } from "./keypad";
import { type Problem, adviceOf } from "./problems";
import { Scene } from "./scene";

interface Words {
  title: string;
  hint: string;
}

const WORDS: Record<CallState, Words> = {
  idle: { title: "", hint: "" },
  asking: { title: "Waiting for the microphone", hint: "Allow it when your browser asks." },
  connecting: { title: "Connecting", hint: "" },
  listening: { title: "Listening", hint: "Say something." },
  speaking: { title: "Speaking", hint: "Interrupt whenever you like." },
  reconnecting: { title: "Reconnecting", hint: "The call goes on as soon as there is a connection." },
  ended: { title: "Call ended", hint: "" },
  failed: { title: "No call", hint: "" },
};

const OUTCOMES: Record<string, string> = {
  caller_hung_up: "You hung up.",
  agent_hangup: "The agent ended the call.",
  agent_transfer: "The agent handed the call on.",
  operator_hangup: "The operator ended the call.",
  operator_transfer: "The operator handed the call on.",
  worker_lost: "The agent broke down.",
  fault: "The gateway broke down.",
  gateway_stopping: "The gateway is being restarted.",
};

export interface ViewHandlers {
  talk(): void;
  hangUp(): void;
  press(digit: string): boolean;
}

export class View {
  captions: Captions;
  scene: Scene;
  private readonly stageArea = h("div", { class: "stage" });
  private readonly root: HTMLElement;
  private readonly main: HTMLElement;
  private readonly title = h("h1", { class: "state", role: "status" });
  private readonly hint = h("p", { class: "hint" });
  private readonly clock = h("time", { class: "clock", "aria-label": "Length of the call" });
  private readonly notice = h("div", { class: "notice", role: "status" });
  private readonly problem = h("div", { class: "problem-area", role: "alert" });
  private readonly button: HTMLButtonElement;
  private readonly keypad: Keypad;
  private noticed: string | null = null;
  private state: CallState = "idle";
  /** There is nothing of a call to show. */
  private blank = true;

  constructor(root: HTMLElement, story: Story, handlers: ViewHandlers) {
    this.root = root;
    this.scene = new Scene(story);
    this.captions = new Captions(story);
    fill(this.stageArea, this.scene.element, this.captions.element);
    this.keypad = new Keypad((digit) => handlers.press(digit));
    this.button = h("button", { type: "button", class: "talk", onclick: () => (this.inCall ? handlers.hangUp() : handlers.talk()) });
    this.main = h(
      "main",
      { class: "main", id: "main" },
      h("section", { class: "hero" }, twoVoices(), h("h1", { class: "hero-title" }, "Talk to the agent"), h("p", { class: "hero-text" }, "It listens while it speaks. Interrupt it whenever you like.")),
      h("section", { class: "head" }, h("div", { class: "head-line" }, this.title, this.clock), this.hint),
      this.problem,
      this.notice,
      this.stageArea,
    );
    const foot = h(
      "footer",
      { class: "dock" },
      this.keypad.element,
      h("div", { class: "buttons" }, h("span", { class: "round-room", "aria-hidden": "true" }), this.button, h("span", { class: "round-room" }, this.keypad.button)),
      h("p", { class: "small" }, "The microphone is on during a call only."),
    );
    fill(
      root,
      h("header", { class: "top" }, h("span", { class: "brand" }, h("span", { class: "brand-mark", "aria-hidden": "true" }), "twowire"), themeButton()),
      this.main,
      foot,
    );
    this.show("idle");
  }

  get inCall(): boolean {
    return this.state !== "idle" && this.state !== "ended" && this.state !== "failed";
  }

  show(state: CallState): void {
    this.state = state;
    const talking = state === "listening" || state === "speaking";
    if (talking) this.blank = false;
    this.root.className = `page page-${state}${this.blank ? " page-blank" : ""}`;
    // Who comes and goes in a conversation is heard; a screen reader need not talk over it.
    this.title.setAttribute("aria-live", talking ? "off" : "polite");
    setText(this.title, WORDS[state].title);
    setText(this.hint, WORDS[state].hint);
    const label = this.inCall ? "Hang up" : state === "idle" ? "Talk" : "Talk again";
    if (this.button.textContent !== label) fill(this.button, handset(this.inCall), h("span", {}, label));
    this.keypad.enable(talking);
    document.title = state === "idle" ? "Talk · twowire" : `${WORDS[state].title} · twowire`;
  }

  /** Show another call. */
  stage(story: Story): void {
    this.scene = new Scene(story);
    this.captions = new Captions(story);
    fill(this.stageArea, this.scene.element, this.captions.element);
    this.blank = true;
    this.showClock(null);
  }

  showOutcome(outcome: string): void {
    setText(this.hint, OUTCOMES[outcome] ?? `${capital(plain(outcome))}.`);
  }

  showClock(atS: number | null): void {
    setText(this.clock, atS === null ? "" : duration(Math.max(0, atS)));
  }

  showProblem(problem: Problem | null): void {
    if (!problem) {
      fill(this.problem);
      return;
    }
    const advice = adviceOf(problem, location.origin);
    fill(
      this.problem,
      h(
        "div",
        { class: "problem-card" },
        h("h2", {}, advice.title),
        h("ul", {}, ...advice.steps.map((step) => h("li", {}, step))),
        problem.detail && h("p", { class: "detail" }, problem.detail),
      ),
    );
  }

  /** Something short of a failure that the caller should know. */
  showNotice(text: string, action: { label: string; act: () => void } | null = null): void {
    if (this.noticed === text) return;
    this.noticed = text;
    fill(this.notice, h("p", { class: "notice-line" }, text, action && h("button", { type: "button", class: "button", onclick: action.act }, action.label)));
  }

  /** That is over; without a text, whatever it was. */
  dropNotice(text: string | null = this.noticed): void {
    if (text !== this.noticed) return;
    this.noticed = null;
    fill(this.notice);
  }
}

/** A picture of what is to come: two voices on one line. Not of this call, so nobody is told of it. */
function twoVoices(): HTMLCanvasElement {
  const canvas = h("canvas", { class: "two-voices", "aria-hidden": "true" });
  const draw = (): void => {
    const frame = begin(canvas);
    if (!frame) return;
    const { paint, width, height } = frame;
    const palette = colours();
    for (let bar = 0; bar * 5 < width; bar += 1) {
      const place = bar / (width / 5);
      // Syllables under two sentences; the second begins before the first has ended.
      const syllables = 0.45 + 0.55 * Math.abs(Math.sin(bar * 0.9) * Math.sin(bar * 0.37 + 1));
      const agent = Math.max(0, Math.sin(Math.PI * Math.min(1, place / 0.56))) ** 0.5 * syllables;
      const caller = Math.max(0, Math.sin(Math.PI * Math.max(0, (place - 0.48) / 0.52))) ** 0.5 * (1.4 - syllables);
      paint.fillStyle = palette.caller;
      paint.fillRect(bar * 5, height / 2 - 1 - caller * height * 0.4, 3, caller * height * 0.4);
      paint.fillStyle = palette.agent;
      paint.fillRect(bar * 5, height / 2 + 1, 3, agent * height * 0.4);
    }
    paint.fillStyle = palette.line;
    paint.fillRect(0, height / 2 - 0.5, width, 1);
  };
  onThemeChange(draw);
  new ResizeObserver(draw).observe(canvas);
  return canvas;
}

/** A handset: lifted to talk, laid down to hang up. */
function handset(down: boolean): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  if (down) svg.setAttribute("class", "down");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", "M7 3.5 9.6 8 7.9 10.1a12.5 12.5 0 0 0 6 6L16 14.4l4.5 2.6-.7 3.1c-.2.7-.8 1.2-1.5 1.1C10.300 20.700 3.300 13.700 2.800 5.700c0-.7.4-1.300 1.100-1.500z");
  svg.append(path);
  return svg;
}
