/** The timeline of one call: plot, decision strip and overview on one axis, with their tools and tooltips. */

import { Axis } from "../shared/axis";
import { type Child, fill, h, oncePerFrame, setText, spoken } from "../shared/dom";
import { duration, moment, span } from "../shared/format";
import { type Sign, legend } from "../shared/legend";
import type { Cell, Story, Turn } from "../shared/story";
import { Strip, cellFacts } from "../shared/strip";
import { onThemeChange } from "../shared/surface";
import { gutterPx, onsetOf, scaleOf } from "../shared/waveform";
import { listenForGestures, moveByKey } from "./gestures";
import { Overview } from "./overview";
import { drawPlot } from "./plot";

/** A stored call opens with at most this much in view: a cell of 0.4 s is then wide enough for its shape to be seen. */
const OPENING_S = 60;
const LIVE_SPAN_S = 30;

const SIGNS: Sign[] = ["caller", "agent", "overlap", "barge-in", "listen", "speak", "ducked", "late", "lost"];

export class Timeline {
  readonly element: HTMLElement;
  readonly axis = new Axis();
  readonly redraw: () => void;
  private readonly story: Story;
  private readonly plot: HTMLCanvasElement;
  private readonly strip: Strip;
  private readonly overview: Overview;
  private readonly tip = h("div", { class: "tip", hidden: true });
  private readonly area: HTMLElement;
  private readonly range = h("span", { class: "range" });
  private readonly followButton: HTMLButtonElement;
  private opened = false;
  private shownEndS = 0;

  constructor(story: Story) {
    this.story = story;
    this.redraw = oncePerFrame(() => this.draw());
    this.plot = h("canvas", {
      class: "plot",
      tabindex: 0,
      role: "img",
      "aria-label":
        "Both voices on one time axis: caller above, agent below. Arrow keys move the view, plus and minus zoom, 0 shows the whole call, F follows the live edge, B goes to the next barge-in.",
    });
    this.strip = new Strip(story, this.axis, (cell) => this.tipAtCell(cell));
    this.overview = new Overview(story, this.axis);
    this.followButton = tool(["Follow", spoken(" the live edge")], "Follow the live edge (F)", () => this.axis.follow(!this.axis.following));
    this.area = h("div", { class: "lanes" }, this.plot, this.strip.canvas);
    this.element = h(
      "section",
      { class: "panel timeline", "aria-label": "Timeline" },
      h("div", { class: "timeline-tools" }, legend(SIGNS), this.range, this.tools()),
      h("div", { class: "timeline-body" }, this.area, this.overview.canvas, this.tip),
    );
    this.listen();
    onThemeChange(this.redraw);
    new ResizeObserver(this.redraw).observe(this.element);
    this.axis.onChange(this.redraw);
  }

  /** The call as known now; `edgeS` is where a live call stands by the clock. */
  update(edgeS: number): void {
    const live = !this.story.ended;
    this.followButton.hidden = !live;
    this.axis.extend(edgeS);
    if (!this.opened && edgeS > 0) {
      this.opened = true;
      if (live) {
        this.axis.spanS = LIVE_SPAN_S;
        this.axis.follow(true);
      } else this.axis.show(0, Math.min(edgeS * 1.03, OPENING_S));
    }
    if (!live && this.axis.following) this.axis.follow(false);
    this.shownEndS = edgeS;
    this.redraw();
  }

  /** Go to the next barge-in after the cursor, or round to the first. */
  nextBargeIn(direction: 1 | -1): void {
    const onsets = this.story.bargeIns().map((turn) => onsetOf(turn));
    if (direction < 0) onsets.reverse();
    const fromS = this.axis.cursorS ?? (direction > 0 ? -1 : Number.POSITIVE_INFINITY);
    const next = onsets.find((onsetS) => (direction > 0 ? onsetS > fromS + 0.01 : onsetS < fromS - 0.01)) ?? onsets[0];
    if (next !== undefined) this.axis.seek(next);
  }

  private draw(): void {
    if (!this.element.isConnected) return;
    drawPlot(this.plot, this.story, this.axis);
    this.strip.draw();
    this.overview.draw();
    this.followButton.setAttribute("aria-pressed", String(this.axis.following));
    const view = `${duration(this.axis.startS)} – ${duration(Math.min(this.axis.viewEndS, this.axis.endS))} of ${duration(this.shownEndS)}`;
    setText(this.range, this.axis.cursorS === null ? view : `${moment(this.axis.cursorS)} · ${view}`);
  }

  private tools(): HTMLElement {
    const middleS = () => this.axis.cursorS ?? this.axis.startS + this.axis.spanS / 2;
    return h(
      "div",
      { class: "tools", role: "group", "aria-label": "Timeline view" },
      tool([sign("‹ "), spoken("Previous "), "Barge-in"], "Previous barge-in (Shift+B)", () => this.nextBargeIn(-1)),
      tool([spoken("Next "), "Barge-in", sign(" ›")], "Next barge-in (B)", () => this.nextBargeIn(1)),
      tool([sign("−"), spoken("Zoom out")], "Zoom out (−)", () => this.axis.zoom(1.6, middleS())),
      tool([sign("+"), spoken("Zoom in")], "Zoom in (+)", () => this.axis.zoom(1 / 1.6, middleS())),
      tool(["All", spoken(" of the call")], "Show the whole call (0)", () => this.axis.showAll()),
      this.followButton,
    );
  }

  private listen(): void {
    listenForGestures(this.area, this.axis, (atS) => this.axis.seek(atS));
    this.plot.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const key = event.key.toLowerCase();
      if (key === "f" && !this.story.ended) this.axis.follow(!this.axis.following);
      else if (key === "b") this.nextBargeIn(event.shiftKey ? -1 : 1);
      else if (!moveByKey(this.axis, event.key)) return;
      event.preventDefault();
    });
    this.area.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse" || event.buttons > 0) return;
      const atS = scaleOf(this.axis, this.area.clientWidth).atS(event.offsetX);
      if (event.offsetX < gutterPx(this.area.clientWidth)) this.hideTip();
      else if (event.target === this.strip.canvas) this.tipAtCell(this.story.cellAt(atS));
      else this.tipAtBargeIn(atS);
    });
    this.area.addEventListener("pointerleave", () => this.hideTip());
  }

  private tipAtCell(cell: Cell | null): void {
    if (cell) this.showTip((cell.startS + cell.endS) / 2, cellFacts(cell));
    else this.hideTip();
  }

  private tipAtBargeIn(atS: number): void {
    const slackS = 6 / scaleOf(this.axis, this.area.clientWidth).pxPerS;
    const near = this.story.bargeIns().find((turn) => {
      const onsetS = onsetOf(turn);
      return atS >= onsetS - slackS && atS <= onsetS + (turn.stopS ?? 0) + slackS;
    });
    if (near) this.showTip(onsetOf(near) + (near.stopS ?? 0), bargeInFacts(near, this.story), "beside");
    else this.hideTip();
  }

  /** `beside`: so that what is told of stays in sight. */
  private showTip(atS: number, content: HTMLElement, where: "over" | "beside" = "over"): void {
    fill(this.tip, content);
    this.tip.hidden = false;
    const width = this.area.clientWidth;
    const x = scaleOf(this.axis, width).x(atS);
    const wide = this.tip.offsetWidth;
    const beside = x + 14 + wide < width ? x + 14 : x - wide - 28;
    const left = where === "beside" ? beside : x - wide / 2;
    this.tip.style.left = `${Math.max(4, Math.min(left, width - wide - 4))}px`;
    this.tip.style.bottom = `${this.overview.canvas.offsetHeight + this.strip.canvas.offsetHeight + 10}px`;
  }

  private hideTip(): void {
    this.tip.hidden = true;
  }
}

function bargeInFacts(turn: Turn, story: Story): HTMLElement {
  const words = story.agentWords.get(turn.turn);
  const onsetS = onsetOf(turn);
  const rows: [string, string][] = [["Onset", moment(onsetS)]];
  if (turn.duckS !== null) rows.push(["Ducked after", span(turn.duckS - onsetS)]);
  rows.push(["Stopped after", span(turn.stopS)], ["Heard", `${span(turn.heardS)} of ${span(turn.generatedS)}`]);
  return h(
    "div",
    {},
    h("p", { class: "tip-title kind-barge" }, `Barge-in · turn ${turn.turn}`),
    h("dl", { class: "facts-small" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    words && h("p", { class: "tip-words" }, words.heard ?? words.text, " ", words.cut && h("s", {}, words.cut)),
  );
}

function tool(content: Child[], hint: string, act: () => void): HTMLButtonElement {
  return h("button", { type: "button", class: "tool", title: hint, onclick: act }, ...content);
}

/** A sign that a screen reader leaves out; words say the same beside it. */
function sign(text: string): HTMLElement {
  return h("span", { "aria-hidden": "true" }, text);
}
