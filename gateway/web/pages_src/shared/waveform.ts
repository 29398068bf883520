/** What both pages draw of a call on one time axis: two mirrored voices, where they overlap, barge-ins, the ticks. */

import { type Axis, tickStepS } from "./axis";
import { duration, moment, span } from "./format";
import { type Levels, overlaps } from "./levels";
import type { Story, Turn } from "./story";
import { type Frame, colours, hatch } from "./surface";

/** Bars of two pixels with a gap of one: a waveform that stays calm while it moves. */
const BAR_PX = 3;

/** Room for the lanes' names; none on a phone. */
export function gutterPx(width: number): number {
  return width >= 640 ? 76 : 0;
}

/** From time to place and back, the same for every lane. */
export interface Scale {
  left: number;
  width: number;
  pxPerS: number;
  x(atS: number): number;
  atS(x: number): number;
}

export function scaleOf(axis: Axis, width: number): Scale {
  const left = gutterPx(width);
  const pxPerS = (width - left) / axis.spanS;
  return {
    left,
    width: width - left,
    pxPerS,
    x: (atS) => left + (atS - axis.startS) * pxPerS,
    atS: (x) => axis.startS + (x - left) / pxPerS,
  };
}

export function laneName(paint: CanvasRenderingContext2D, name: string, y: number): void {
  paint.textAlign = "left";
  paint.fillText(name, 12, y);
}

export function drawGrid({ paint, height }: Frame, scale: Scale, axis: Axis, top: number, bottom: number): void {
  const palette = colours();
  const stepS = tickStepS(axis.spanS, Math.max(3, scale.width / 90));
  paint.textAlign = "center";
  paint.textBaseline = "alphabetic";
  for (let tick = Math.ceil(axis.startS / stepS); tick * stepS <= axis.viewEndS; tick += 1) {
    const x = Math.round(scale.x(tick * stepS));
    paint.fillStyle = palette.faint;
    paint.fillRect(x, top, 1, bottom - top);
    paint.fillStyle = palette.dim;
    if (x > scale.left + 14 && x < scale.left + scale.width - 14) {
      paint.fillText(stepS < 1 ? moment(tick * stepS) : duration(tick * stepS), x, height - 6);
    }
  }
}

/** `reach` is how far a full-scale peak goes from the middle, upwards when negative. */
export function drawVoice(
  paint: CanvasRenderingContext2D,
  scale: Scale,
  axis: Axis,
  levels: Levels,
  colour: string,
  middle: number,
  reach: number,
): void {
  // Bars are tied to the call's time, not to the view: a moving view does not make them flicker.
  const barS = Math.max(BAR_PX / scale.pxPerS, levels.stepS);
  const barPx = barS * scale.pxPerS;
  paint.fillStyle = colour;
  const last = Math.min(axis.viewEndS, levels.endS);
  for (let bar = Math.floor(axis.startS / barS); bar * barS < last; bar += 1) {
    const size = Math.max(0, (levels.peak(bar * barS + 1e-6, (bar + 1) * barS - 1e-6) - 12) / 88) ** 1.35;
    const high = Math.max(0.5, size * Math.abs(reach));
    paint.fillRect(scale.x(bar * barS), reach < 0 ? middle - high : middle, Math.max(1, barPx - 1), high);
  }
}

export function drawOverlaps({ paint }: Frame, scale: Scale, story: Story, axis: Axis, top: number, bottom: number): void {
  const palette = colours();
  for (const [fromS, toS] of overlaps(story.caller, story.agent, axis.startS, axis.viewEndS)) {
    const x = scale.x(fromS);
    const across = Math.max(1, (toS - fromS) * scale.pxPerS);
    paint.globalAlpha = 0.16;
    paint.fillStyle = palette.overlap;
    paint.fillRect(x, top, across, bottom - top);
    paint.globalAlpha = 0.5;
    paint.strokeStyle = palette.overlap;
    paint.lineWidth = 1;
    hatch(paint, x, top, across, bottom - top, 7);
    paint.globalAlpha = 1;
  }
}

/** When the caller began to interrupt. */
export function onsetOf(turn: Turn): number {
  return turn.onsetS ?? turn.endS ?? 0;
}

/**
 * From the caller's onset (a triangle) over the duck, where there is one, to the agent's silence (a square).
 * Its label keeps right of `takenPx` and left of `untilPx`; returns how far the room is taken now.
 */
export function drawBargeIn(
  frame: Frame,
  scale: Scale,
  axis: Axis,
  turn: Turn,
  top: number,
  bottom: number,
  takenPx = scale.left,
  untilPx = Number.POSITIVE_INFINITY,
): number {
  if (onsetOf(turn) > axis.viewEndS || onsetOf(turn) < axis.startS - 20) return takenPx;
  const { paint } = frame;
  const palette = colours();
  const onset = Math.round(scale.x(onsetOf(turn)));
  const stop = Math.round(scale.x(onsetOf(turn) + (turn.stopS ?? 0)));
  paint.fillStyle = palette.barge;
  paint.globalAlpha = 0.18;
  paint.fillRect(onset, top, stop - onset, bottom - top);
  paint.globalAlpha = 1;
  paint.fillRect(stop, top - 6, 1.5, bottom - top + 6);
  paint.fillRect(stop - 2.5, top - 8, 6, 6);
  paint.strokeStyle = palette.barge;
  paint.lineWidth = 1;
  paint.setLineDash([3, 3]);
  vertical(paint, onset + 0.5, top - 4, bottom);
  if (turn.duckS !== null) vertical(paint, Math.round(scale.x(turn.duckS)) + 0.5, (top + bottom) / 2, bottom);
  paint.setLineDash([]);
  paint.beginPath();
  paint.moveTo(onset - 4, top - 9);
  paint.lineTo(onset + 5, top - 9);
  paint.lineTo(onset + 0.5, top - 2);
  paint.fill();
  return labelBargeIn(frame, scale, turn, top - 11, takenPx, Math.min(untilPx, scale.left + scale.width));
}

/** Right of the mark, left of it, shorter, or none: a label crosses no mark and no other label. */
function labelBargeIn({ paint }: Frame, scale: Scale, turn: Turn, y: number, takenPx: number, untilPx: number): number {
  const before = Math.round(scale.x(onsetOf(turn))) - 9;
  const after = Math.max(before, Math.round(scale.x(onsetOf(turn) + (turn.stopS ?? 0)))) + 9;
  if (after < scale.left || scale.pxPerS <= 4) return takenPx;
  paint.fillStyle = colours().barge;
  paint.textBaseline = "middle";
  for (const label of [`barge-in · stop ${span(turn.stopS)}`, span(turn.stopS)]) {
    const width = paint.measureText(label).width;
    if (after + width <= untilPx) {
      paint.textAlign = "left";
      paint.fillText(label, after, y);
      return after + width;
    }
    if (before - width >= takenPx + 8) {
      paint.textAlign = "right";
      paint.fillText(label, before, y);
      return after;
    }
  }
  return after;
}

export function drawCursor({ paint }: Frame, scale: Scale, axis: Axis, top: number, bottom: number): void {
  if (axis.cursorS === null) return;
  paint.fillStyle = colours().cursor;
  paint.fillRect(Math.round(scale.x(axis.cursorS)) - 0.5, top, 1.5, bottom - top);
}

export function vertical(paint: CanvasRenderingContext2D, x: number, top: number, bottom: number): void {
  paint.beginPath();
  paint.moveTo(x, top);
  paint.lineTo(x, bottom);
  paint.stroke();
}
