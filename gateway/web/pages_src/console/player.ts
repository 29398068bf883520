/** Plays a call's recording along the timeline: the cursor runs with it, and seeking moves both. */

import type { Axis } from "../shared/axis";
import { h, setText } from "../shared/dom";
import { duration } from "../shared/format";
import { recordingPath } from "./api";

export class Player {
  readonly element: HTMLElement;
  private readonly audio: HTMLAudioElement;
  private readonly axis: Axis;
  private readonly button: HTMLButtonElement;
  private readonly clock = h("span", { class: "player-clock" });
  private running = false;

  constructor(call: string, axis: Axis, problem: (text: string) => void) {
    this.axis = axis;
    this.audio = h("audio", { preload: "none", src: recordingPath(call) });
    this.button = h("button", { type: "button", class: "button", onclick: () => this.toggle() }, "▶ Play recording");
    this.element = h("div", { class: "player" }, this.button, this.clock, this.audio);
    this.audio.addEventListener("play", () => this.started());
    this.audio.addEventListener("pause", () => this.stopped());
    this.audio.addEventListener("error", () => problem("The recording cannot be played."));
    axis.onChange(() => this.seek());
  }

  stop(): void {
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
  }

  toggle(): void {
    if (!this.audio.paused) this.audio.pause();
    else {
      const fromS = this.axis.cursorS;
      if (fromS !== null) this.audio.currentTime = fromS < this.axis.endS - 0.5 ? fromS : 0;
      this.audio.play().catch(() => undefined); // the error event tells why
    }
  }

  private started(): void {
    setText(this.button, "❚❚ Pause recording");
    this.axis.following = false;
    const run = (): void => {
      if (this.audio.paused) return;
      this.running = true;
      this.axis.run(this.audio.currentTime);
      this.running = false;
      setText(this.clock, `${duration(this.audio.currentTime)} / ${duration(this.audio.duration || this.axis.endS)}`);
      requestAnimationFrame(run);
    };
    run();
  }

  private stopped(): void {
    setText(this.button, "▶ Play recording");
  }

  /** Follow a cursor that someone else moved. */
  private seek(): void {
    const cursorS = this.axis.cursorS;
    if (this.running || this.audio.paused || cursorS === null) return;
    if (Math.abs(cursorS - this.audio.currentTime) > 0.3) this.audio.currentTime = cursorS;
  }
}
