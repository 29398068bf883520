/** The whole call in one line, with a window over what the timeline shows. Drag it, or click beside it. */

import type { Axis } from "../shared/axis";
import { h } from "../shared/dom";
import type { Story } from "../shared/story";
import { begin, colours } from "../shared/surface";
import { gutterPx, onsetOf } from "../shared/waveform";

export class Overview {
  readonly canvas: HTMLCanvasElement;
  private readonly story: Story;
  private readonly axis: Axis;

  constructor(story: Story, axis: Axis) {
    this.story = story;
    this.axis = axis;
    // The timeline itself is reachable by keyboard and does the same; this is for the mouse.
    this.canvas = h("canvas", { class: "overview", "aria-hidden": "true" });
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      const atS = this.atS(event);
      const inside = atS >= axis.startS && atS <= axis.viewEndS;
      const grabS = inside ? atS - axis.startS : axis.spanS / 2;
      const move = (moved: PointerEvent): void => axis.pan(this.atS(moved) - grabS - axis.startS);
      move(event);
      this.canvas.addEventListener("pointermove", move);
      const release = (): void => this.canvas.removeEventListener("pointermove", move);
      this.canvas.addEventListener("pointerup", release, { once: true });
      this.canvas.addEventListener("pointercancel", release, { once: true });
    });
  }

  draw(): void {
    const frame = begin(this.canvas);
    if (!frame) return;
    const { paint, width, height } = frame;
    const palette = colours();
    const left = gutterPx(width);
    const across = width - left;
    const wholeS = this.wholeS();
    const middle = height / 2;
    if (left > 0) {
      paint.font = `11px ${palette.font}`;
      paint.textBaseline = "middle";
      paint.fillStyle = palette.dim;
      paint.fillText("Whole call", 12, middle);
    }
    for (let x = 0; x < across; x += 2) {
      const fromS = (x / across) * wholeS;
      const toS = ((x + 2) / across) * wholeS;
      const up = (this.story.caller.peak(fromS, toS) / 100) ** 1.35 * (middle - 3);
      const down = (this.story.agent.peak(fromS, toS) / 100) ** 1.35 * (middle - 3);
      paint.globalAlpha = 0.75;
      paint.fillStyle = palette.caller;
      paint.fillRect(left + x, middle - up, 1.5, up);
      paint.fillStyle = palette.agent;
      paint.fillRect(left + x, middle, 1.5, down);
    }
    paint.globalAlpha = 1;
    paint.fillStyle = palette.barge;
    for (const turn of this.story.bargeIns()) {
      paint.fillRect(left + (onsetOf(turn) / wholeS) * across, 0, 1.5, 7);
    }
    paint.fillStyle = palette.lost;
    for (const atS of this.story.missing.values()) paint.fillRect(left + (atS / wholeS) * across, height - 5, 2, 5);
    const x = left + (this.axis.startS / wholeS) * across;
    const wide = Math.max(6, Math.min(1, this.axis.spanS / wholeS) * across);
    paint.fillStyle = palette.back;
    paint.globalAlpha = 0.62;
    paint.fillRect(left, 0, x - left, height);
    paint.fillRect(x + wide, 0, width - x - wide, height);
    paint.globalAlpha = 1;
    paint.strokeStyle = palette.dim;
    paint.lineWidth = 1;
    paint.strokeRect(Math.round(x) + 0.5, 0.5, Math.min(wide, width - x - 1), height - 1);
    if (this.axis.cursorS !== null) {
      paint.fillStyle = palette.cursor;
      paint.fillRect(left + (this.axis.cursorS / wholeS) * across, 0, 1.5, height);
    }
  }

  private wholeS(): number {
    return Math.max(this.axis.endS * 1.03, this.axis.viewEndS);
  }

  private atS(event: PointerEvent): number {
    const left = gutterPx(this.canvas.clientWidth);
    return ((event.offsetX - left) / (this.canvas.clientWidth - left)) * this.wholeS();
  }
}
