/** Draws both voices on one time axis: caller above, agent below, overlaps shaded, barge-ins marked. */

import { type Axis, tickStepS } from "./axis";
import { duration, moment, span } from "./format";
import { type Levels, overlaps } from "./levels";
import type { Story, Turn } from "./story";
import { type Frame, begin, colours, hatch } from "./surface";

const MARKS_PX = 24;
const TURNS_PX = 20;
const TICKS_PX = 20;
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

export function drawPlot(canvas: HTMLCanvasElement, story: Story, axis: Axis): void {
  const frame = begin(canvas);
  if (!frame) return;
  const { paint, width, height } = frame;
  const palette = colours();
  const scale = scaleOf(axis, width);
  const top = MARKS_PX;
  const bottom = height - TURNS_PX - TICKS_PX;
  const middle = Math.round((top + bottom) / 2);
  paint.font = `11px ${palette.font}`;
  drawGrid(frame, scale, axis, top, bottom + TURNS_PX);
  if (scale.left > 0) {
    paint.fillStyle = palette.dim;
    paint.textBaseline = "middle";
    laneName(paint, "Marks", MARKS_PX / 2);
    laneName(paint, "Turns", bottom + TURNS_PX / 2);
    paint.fillStyle = palette.caller;
    laneName(paint, "Caller", (top + middle) / 2);
    paint.fillStyle = palette.agent;
    laneName(paint, "Agent", (middle + bottom) / 2);
  }
  paint.save();
  paint.beginPath();
  paint.rect(scale.left, 0, scale.width, height);
  paint.clip();
  drawOverlaps(frame, scale, story, axis, top, bottom);
  drawMutes(frame, scale, story, axis, middle, bottom);
  drawVoice(paint, scale, axis, story.caller, palette.caller, middle, -(middle - top - 3));
  drawVoice(paint, scale, axis, story.agent, palette.agent, middle, bottom - middle - 3);
  paint.fillStyle = palette.line;
  paint.fillRect(scale.left, middle - 0.5, scale.width, 1);
  for (const turn of story.turns.values()) drawTurn(frame, scale, axis, turn, bottom);
  for (const turn of story.bargeIns()) drawBargeIn(frame, scale, axis, turn, top, bottom);
  drawKeys(frame, scale, story);
  drawCursor(frame, scale, axis, 0, height - TICKS_PX);
  paint.restore();
}

function laneName(paint: CanvasRenderingContext2D, name: string, y: number): void {
  paint.textAlign = "left";
  paint.fillText(name, 12, y);
}

function drawGrid({ paint, height }: Frame, scale: Scale, axis: Axis, top: number, bottom: number): void {
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
function drawVoice(
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

function drawOverlaps({ paint }: Frame, scale: Scale, story: Story, axis: Axis, top: number, bottom: number): void {
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

function drawMutes({ paint }: Frame, scale: Scale, story: Story, axis: Axis, middle: number, bottom: number): void {
  const palette = colours();
  const changes = [...story.moments.values()].filter((moment) => moment.kind !== "key").sort((a, b) => a.atS - b.atS);
  changes.forEach((change, place) => {
    if (change.kind !== "muted") return;
    const untilS = changes[place + 1]?.atS ?? axis.endS;
    const x = scale.x(change.atS);
    paint.globalAlpha = 0.35;
    paint.strokeStyle = palette.dim;
    hatch(paint, x, middle + 1, (untilS - change.atS) * scale.pxPerS, bottom - middle - 1, 6);
    paint.globalAlpha = 1;
    paint.fillStyle = palette.dim;
    paint.textAlign = "left";
    paint.textBaseline = "alphabetic";
    paint.fillText("muted", x + 5, bottom - 5);
  });
}

/** A turn of the agent: a bar over what was heard, a dashed frame over what the caller was spared. */
function drawTurn({ paint }: Frame, scale: Scale, axis: Axis, turn: Turn, top: number): void {
  if (turn.audibleS === null || turn.audibleS > axis.viewEndS) return;
  const palette = colours();
  const heardUntilS = turn.endS ?? axis.endS;
  const unheardS = turn.endS === null ? 0 : Math.max(0, turn.generatedS - turn.heardS);
  if (heardUntilS + unheardS < axis.startS) return;
  const x = scale.x(turn.audibleS);
  const across = Math.max(2, scale.x(heardUntilS) - x);
  const y = top + 4;
  const high = TURNS_PX - 8;
  paint.globalAlpha = 0.22;
  paint.fillStyle = palette.agent;
  paint.fillRect(x, y, across, high);
  paint.globalAlpha = 1;
  paint.fillRect(x, y, 2, high);
  if (unheardS > 0.05) {
    paint.strokeStyle = palette.barge;
    paint.lineWidth = 1;
    paint.setLineDash([3, 2]);
    paint.strokeRect(x + across + 0.5, y + 0.5, unheardS * scale.pxPerS, high - 1);
    paint.setLineDash([]);
  }
  const label = across > 64 ? `turn ${turn.turn}` : String(turn.turn);
  if (across > 16) {
    paint.fillStyle = palette.text;
    paint.textAlign = "left";
    paint.textBaseline = "middle";
    paint.fillText(label, Math.max(x, scale.left) + 6, y + high / 2 + 0.5);
  }
}

/** From the caller's onset (a triangle) over the duck, where there is one, to the agent's silence (a square). */
function drawBargeIn({ paint }: Frame, scale: Scale, axis: Axis, turn: Turn, top: number, bottom: number): void {
  const onsetS = turn.onsetS ?? turn.endS;
  if (onsetS === null || onsetS > axis.viewEndS || onsetS < axis.startS - 20) return;
  const palette = colours();
  const stopS = onsetS + (turn.stopS ?? 0);
  const onset = Math.round(scale.x(onsetS));
  const stop = Math.round(scale.x(stopS));
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
  const label = scale.pxPerS > 12 ? `barge-in · stop ${span(turn.stopS)}` : scale.pxPerS > 4 ? span(turn.stopS) : "";
  paint.textAlign = "left";
  paint.textBaseline = "middle";
  paint.fillText(label, Math.max(stop, onset) + 9, top - 11);
}

function drawKeys({ paint }: Frame, scale: Scale, story: Story): void {
  const palette = colours();
  paint.textAlign = "center";
  paint.textBaseline = "middle";
  for (const key of story.moments.values()) {
    if (key.kind !== "key") continue;
    const x = Math.round(scale.x(key.atS));
    paint.strokeStyle = palette.dim;
    paint.lineWidth = 1;
    paint.strokeRect(x - 7.5, 4.5, 15, 15);
    paint.fillStyle = palette.text;
    paint.fillText(key.text.slice(4), x, 12.5);
  }
}

export function drawCursor({ paint }: Frame, scale: Scale, axis: Axis, top: number, bottom: number): void {
  if (axis.cursorS === null) return;
  paint.fillStyle = colours().cursor;
  paint.fillRect(Math.round(scale.x(axis.cursorS)) - 0.5, top, 1.5, bottom - top);
}

function vertical(paint: CanvasRenderingContext2D, x: number, top: number, bottom: number): void {
  paint.beginPath();
  paint.moveTo(x, top);
  paint.lineTo(x, bottom);
  paint.stroke();
}
