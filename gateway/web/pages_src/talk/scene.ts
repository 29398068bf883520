/** Both voices and the decisions of the last seconds, on one timeline that moves with the call. */

import { Axis } from "../shared/axis";
import { fill, h, setText } from "../shared/dom";
import { span } from "../shared/format";
import { type Sign, legend } from "../shared/legend";
import type { Cell, Story } from "../shared/story";
import { Strip, cellFacts } from "../shared/strip";
import { begin, colours, onThemeChange } from "../shared/surface";
import { drawBargeIn, drawCursor, drawGrid, drawOverlaps, drawVoice, laneName, onsetOf, scaleOf } from "../shared/waveform";

const SPAN_S = 12;
const MARKS_PX = 26;
const TICKS_PX = 22;
const SIGNS: Sign[] = ["overlap", "barge-in", "listen", "speak", "ducked", "late", "lost"];

export class Scene {
  readonly element: HTMLElement;
  private readonly axis = new Axis();
  private readonly strip: Strip;
  private readonly plot: HTMLCanvasElement;
  private readonly tip = h("div", { class: "tip", hidden: true });
  private readonly reply = h("span", { class: "reply" });
  private readonly story: Story;
  /** The cell that the tip is about. */
  private shown: Cell | null = null;

  constructor(story: Story) {
    this.story = story;
    this.axis.spanS = SPAN_S;
    this.axis.follow(true);
    this.plot = h("canvas", { class: "plot", role: "img", "aria-label": "Both voices of the last seconds: yours above, the agent's below." });
    this.strip = new Strip(story, this.axis, (cell) => this.pointAt(cell));
    this.element = h(
      "section",
      { class: "panel scene", "aria-label": "The call as it happens" },
      h("div", { class: "lanes" }, this.plot, this.strip.canvas, this.tip),
      h("div", { class: "scene-foot" }, legend(SIGNS), this.reply),
    );
    this.strip.canvas.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse") return;
      const cell = this.story.cellAt(scaleOf(this.axis, this.strip.canvas.clientWidth).atS(event.offsetX));
      this.showTip(cell);
    });
    this.strip.canvas.addEventListener("pointerleave", () => this.showTip(null));
    const redraw = (): void => this.draw();
    onThemeChange(redraw);
    new ResizeObserver(redraw).observe(this.plot);
  }

  /** Draw the call as it is at `atS`. */
  moveTo(atS: number): void {
    this.axis.extend(atS);
    this.draw();
  }

  /** From the end of the caller's words to the agent's first sound. */
  showReply(totalS: number): void {
    setText(this.reply, `Last answer after ${span(totalS)}`);
  }

  private draw(): void {
    this.drawVoices();
    this.strip.draw();
    this.placeTip();
  }

  private drawVoices(): void {
    const frame = begin(this.plot);
    if (!frame) return;
    const { paint, width, height } = frame;
    const palette = colours();
    const scale = scaleOf(this.axis, width);
    const [top, bottom] = [MARKS_PX, height - TICKS_PX];
    const middle = Math.round((top + bottom) / 2);
    paint.font = `11px ${palette.font}`;
    drawGrid(frame, scale, this.axis, top, bottom);
    paint.textBaseline = "middle";
    const beside = scale.left > 0; // on a phone the names stand in the corners, the ticks give way
    if (!beside) paint.clearRect(0, bottom, 62, TICKS_PX);
    paint.fillStyle = palette.caller;
    laneName(paint, "You", beside ? (top + middle) / 2 : MARKS_PX / 2);
    paint.fillStyle = palette.agent;
    laneName(paint, "Agent", beside ? (middle + bottom) / 2 : height - TICKS_PX / 2);
    paint.save();
    paint.beginPath();
    paint.rect(scale.left, 0, scale.width, height);
    paint.clip();
    drawOverlaps(frame, scale, this.story, this.axis, top, bottom);
    drawVoice(paint, scale, this.axis, this.story.caller, palette.caller, middle, -(middle - top - 3));
    drawVoice(paint, scale, this.axis, this.story.agent, palette.agent, middle, bottom - middle - 3);
    paint.fillStyle = palette.line;
    paint.fillRect(scale.left, middle - 0.5, scale.width, 1);
    let takenPx = scale.left + (beside ? 0 : 40);
    this.story.bargeIns().forEach((turn, place, turns) => {
      const next = turns[place + 1];
      const untilPx = next && scale.x(onsetOf(next)) - 8;
      takenPx = drawBargeIn(frame, scale, this.axis, turn, top, bottom, takenPx, untilPx);
    });
    drawCursor(frame, scale, this.axis, top, bottom);
    paint.restore();
  }

  /** The keyboard stands on a cell, or has left the strip. */
  private pointAt(cell: Cell | null): void {
    if (!cell) this.axis.follow(true);
    this.showTip(cell);
  }

  private showTip(cell: Cell | null): void {
    this.shown = cell;
    this.tip.hidden = !cell;
    if (!cell) return;
    fill(this.tip, cellFacts(cell));
    this.placeTip();
  }

  /** The tip stays with its cell, which moves with the call. */
  private placeTip(): void {
    if (!this.shown) return;
    const width = this.plot.clientWidth;
    const x = scaleOf(this.axis, width).x((this.shown.startS + this.shown.endS) / 2);
    const left = Math.max(4, Math.min(x - this.tip.offsetWidth / 2, width - this.tip.offsetWidth - 4));
    this.tip.style.left = `${left}px`;
    this.tip.style.bottom = `${this.strip.canvas.offsetHeight + 8}px`;
  }
}
