/** Draws both voices on one time axis: caller above, agent below, overlaps shaded, barge-ins marked. */

import type { Axis } from "../shared/axis";
import type { Story, Turn } from "../shared/story";
import { type Frame, begin, colours, hatch } from "../shared/surface";
import { type Scale, drawBargeIn, drawCursor, drawGrid, drawOverlaps, drawVoice, laneName, onsetOf, scaleOf } from "../shared/waveform";

const MARKS_PX = 24;
const TURNS_PX = 20;
const TICKS_PX = 20;

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
  drawBargeIns(frame, scale, story, axis, top, bottom);
  drawKeys(frame, scale, story);
  drawCursor(frame, scale, axis, 0, height - TICKS_PX);
  paint.restore();
}

/** Each label keeps clear of the label before it and of the mark after it. */
function drawBargeIns(frame: Frame, scale: Scale, story: Story, axis: Axis, top: number, bottom: number): void {
  const marks = story.bargeIns();
  let takenPx = scale.left;
  marks.forEach((turn, place) => {
    const next = marks[place + 1];
    const untilPx = next ? scale.x(onsetOf(next)) - 8 : Number.POSITIVE_INFINITY;
    takenPx = drawBargeIn(frame, scale, axis, turn, top, bottom, takenPx, untilPx);
  });
}

function drawMutes({ paint }: Frame, scale: Scale, story: Story, axis: Axis, middle: number, bottom: number): void {
  const palette = colours();
  const changes = [...story.moments.values()].filter((moment) => moment.kind === "muted" || moment.kind === "unmuted").sort((a, b) => a.atS - b.atS);
  changes.forEach((change, place) => {
    if (change.kind !== "muted") return;
    const untilS = changes[place + 1]?.atS ?? axis.endS;
    const x = scale.x(change.atS);
    const across = (untilS - change.atS) * scale.pxPerS;
    paint.globalAlpha = 0.35;
    paint.strokeStyle = palette.dim;
    hatch(paint, x, middle + 1, across, bottom - middle - 1, 6);
    paint.globalAlpha = 1;
    if (across < 44) return;
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
  const labelX = Math.max(x, scale.left) + 6;
  const room = x + across - labelX;
  const label = room > 58 ? `turn ${turn.turn}` : String(turn.turn);
  if (room > paint.measureText(label).width + 2) {
    paint.fillStyle = palette.text;
    paint.textAlign = "left";
    paint.textBaseline = "middle";
    paint.fillText(label, labelX, y + high / 2 + 0.5);
  }
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

