/** What an operator can do with a call. The buttons that need a live call are there only while it lives. */

import { h, setText } from "../shared/dom";
import type { Story } from "../shared/story";
import { NoSession, Refused, act, testCasePath, type Action } from "./api";
import { askedText, confirmed } from "./dialogs";
import { Listener } from "./listen";
import { notice } from "./notices";

export class Actions {
  readonly element: HTMLElement;
  private readonly call: string;
  private readonly story: Story;
  private readonly noSession: () => void;
  private readonly live: HTMLElement;
  private readonly listenButton: HTMLButtonElement;
  private readonly muteButton: HTMLButtonElement;
  private readonly sayForm: HTMLFormElement;
  private listener: Listener | null = null;

  constructor(call: string, story: Story, noSession: () => void) {
    this.call = call;
    this.story = story;
    this.noSession = noSession;
    this.listenButton = button("Listen in", () => this.toggleListening());
    this.listenButton.setAttribute("aria-pressed", "false");
    this.muteButton = button("Mute agent", () => void this.toggleMute());
    this.sayForm = this.makeSayForm();
    this.live = h(
      "div",
      { class: "live-actions" },
      this.listenButton,
      this.muteButton,
      button("Transfer…", () => void this.transfer()),
      button("Hang up…", () => void this.hangUp(), "button button-danger"),
      this.sayForm,
    );
    this.element = h(
      "div",
      { class: "actions", role: "group", "aria-label": "Actions on this call" },
      this.live,
      h("a", { class: "button", href: testCasePath(call), download: `${call}.zip` }, "Save as test case"),
    );
  }

  draw(): void {
    const live = this.story.summary?.state === "live";
    this.live.hidden = !live;
    if (!live) this.stop();
    setText(this.muteButton, this.story.summary?.muted ? "Unmute agent" : "Mute agent");
  }

  stop(): void {
    this.listener?.close();
  }

  private makeSayForm(): HTMLFormElement {
    const input = h("input", { type: "text", name: "text", maxlength: 500, placeholder: "Say through the agent…", "aria-label": "What the agent shall say", autocomplete: "off" });
    const say = async (event: Event): Promise<void> => {
      event.preventDefault();
      const text = input.value.trim();
      if (text && (await this.send({ action: "say", text }, "Said through the agent."))) input.value = "";
    };
    return h("form", { class: "say", onsubmit: (event: Event) => void say(event) }, input, h("button", { type: "submit", class: "button" }, "Say"));
  }

  private toggleListening(): void {
    if (this.listener) {
      this.listener.close();
      return;
    }
    this.listener = new Listener(this.call, (problem) => {
      this.listener = null;
      this.listenButton.setAttribute("aria-pressed", "false");
      setText(this.listenButton, "Listen in");
      if (problem) notice(problem, "problem");
    });
    this.listenButton.setAttribute("aria-pressed", "true");
    setText(this.listenButton, "Stop listening");
    notice("You are listening in. Neither side can hear you.");
  }

  private async toggleMute(): Promise<void> {
    const on = !this.story.summary?.muted;
    await this.send({ action: "mute", on }, on ? "Agent muted." : "Agent unmuted.");
  }

  private async transfer(): Promise<void> {
    const to = await askedText("Transfer this call", "To", "A number, or a SIP address such as sip:desk@example.org. The agent leaves the call.", "Transfer");
    if (to) await this.send({ action: "transfer", to }, `Transferring to ${to}.`);
  }

  private async hangUp(): Promise<void> {
    if (await confirmed("Hang up?", "The call ends at once for the caller.", "Hang up")) await this.send({ action: "hangup" }, "Hanging up.");
  }

  private async send(action: Action, done: string): Promise<boolean> {
    try {
      await act(this.call, action);
      notice(done);
      return true;
    } catch (error) {
      if (error instanceof NoSession) this.noSession();
      else if (error instanceof Refused) notice(error.message, "problem");
      else throw error;
      return false;
    }
  }
}

function button(text: string, press: () => void, kind = "button"): HTMLButtonElement {
  return h("button", { type: "button", class: kind, onclick: press }, text);
}
