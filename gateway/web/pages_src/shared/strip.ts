/**
 * The decision strip: one cell per chunk, on the timeline's own axis.
 *
 * Each kind has a shape besides its colour: listen is low, speak is full, ducked is hatched, late wears a notch,
 * lost is an empty box crossed out. To a keyboard it is a slider over the chunks that says each cell in words.
 */

import type { Axis } from "./axis";
import { h } from "./dom";
import { moment, ms, percent, span } from "./format";
import { drawCursor, scaleOf } from "./waveform";
import type { Cell, CellKind, Story } from "./story";
import { type Frame, begin, colours, hatch } from "./surface";

/** What is drawn where several chunks share a pixel: the one an operator must not miss. */
const RANK: Record<CellKind, number> = { listen: 0, speak: 1, ducked: 2, late: 3, lost: 4 };

export class Strip {
  readonly canvas: HTMLCanvasElement;
  /** The chunk under the keyboard or the mouse. */
  selected: number | null = null;
  private story: Story;
  private axis: Axis;

  /** `selected` is called when the keyboard moves over the cells. */
  constructor(story: Story, axis: Axis, selected: (cell: Cell | null) => void) {
    this.story = story;
    this.axis = axis;
    this.canvas = h("canvas", {
      class: "strip",
      tabindex: 0,
      role: "slider",
      "aria-label": "Decisions, one per chunk",
      "aria-valuemin": 0,
      "aria-valuemax": 0,
      "aria-valuenow": 0,
    });
    this.canvas.addEventListener("keydown", (event) => {
      const cell = this.step(event.key);
      if (!cell) return;
      event.preventDefault();
      this.axis.seek((cell.startS + cell.endS) / 2);
      this.select(cell);
      selected(cell);
    });
    this.canvas.addEventListener("focus", () => {
      const cell = this.current();
      this.select(cell);
      selected(cell);
    });
    this.canvas.addEventListener("blur", () => {
      this.select(null);
      selected(null);
    });
  }

  draw(): void {
    const frame = begin(this.canvas);
    if (!frame) return;
    const { paint, width, height } = frame;
    const palette = colours();
    const scale = scaleOf(this.axis, width);
    paint.font = `11px ${palette.font}`;
    if (scale.left > 0) {
      paint.fillStyle = palette.dim;
      paint.textBaseline = "middle";
      paint.fillText("Decisions", 12, height / 2);
    }
    paint.save();
    paint.beginPath();
    paint.rect(scale.left, 0, scale.width, height);
    paint.clip();
    let heldX = -1;
    let heldRank = -1;
    let outlineX: number | null = null;
    for (const cell of this.story.cells(this.axis.startS, this.axis.viewEndS)) {
      const x = scale.x(cell.startS);
      const across = (cell.endS - cell.startS) * scale.pxPerS;
      if (across < 2) {
        const column = Math.floor(x / 2) * 2;
        if (column === heldX && RANK[cell.kind] <= heldRank) continue;
        if (column === heldX) paint.clearRect(column, 0, 2, height);
        heldX = column;
        heldRank = RANK[cell.kind];
        drawCell(frame, cell, column, 2);
      } else drawCell(frame, cell, x, across);
      if (cell.index === this.selected) outlineX = x;
    }
    if (outlineX !== null) {
      paint.strokeStyle = palette.cursor;
      paint.lineWidth = 1.5;
      paint.strokeRect(outlineX - 0.5, 1, Math.max(4, this.story.chunkS * scale.pxPerS), height - 2);
    }
    drawCursor(frame, scale, this.axis, 0, height);
    paint.restore();
  }

  /** Mark a cell and say it. */
  select(cell: Cell | null): void {
    this.selected = cell?.index ?? null;
    if (cell) {
      this.canvas.setAttribute("aria-valuemax", String(Math.max(cell.index, this.story.decisions.size)));
      this.canvas.setAttribute("aria-valuenow", String(cell.index));
      this.canvas.setAttribute("aria-valuetext", inWords(cell));
    }
    this.draw();
  }

  private current(): Cell | null {
    const atS = this.axis.cursorS ?? Math.min(this.axis.viewEndS, this.story.endS) - 1e-3;
    return (
      this.story.cellAt(atS) ?? this.story.cells(this.axis.startS, this.axis.viewEndS).pop() ?? this.story.cells(0, this.axis.endS).pop() ?? null
    );
  }

  private step(key: string): Cell | null {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[key];
    const cells = this.story.cells(0, this.axis.endS + 1);
    if (key === "Home") return cells[0] ?? null;
    if (key === "End") return cells[cells.length - 1] ?? null;
    if (by === undefined) return null;
    const place = cells.findIndex((cell) => cell.index === (this.selected ?? this.current()?.index));
    return cells[Math.max(0, Math.min(cells.length - 1, place + by))] ?? null;
  }
}

function drawCell({ paint, height }: Frame, cell: Cell, x: number, across: number): void {
  const palette = colours();
  const gap = across >= 4 ? 1 : 0;
  const wide = across - gap;
  const top = 3;
  const full = height - 6;
  switch (cell.kind) {
    case "listen":
      paint.fillStyle = palette.listen;
      paint.fillRect(x, top + full * 0.72, wide, full * 0.28);
      break;
    case "speak":
      paint.fillStyle = palette.agent;
      paint.fillRect(x, top, wide, full);
      break;
    case "ducked":
      paint.globalAlpha = 0.3;
      paint.fillStyle = palette.agent;
      paint.fillRect(x, top, wide, full);
      paint.globalAlpha = 1;
      paint.strokeStyle = palette.agent;
      paint.lineWidth = 1.5;
      hatch(paint, x, top, wide, full, 4);
      break;
    case "late":
      paint.fillStyle = palette.late;
      paint.beginPath();
      paint.moveTo(x, top);
      paint.lineTo(x + wide / 2, top + Math.min(full * 0.4, wide * 0.7));
      paint.lineTo(x + wide, top);
      paint.lineTo(x + wide, top + full);
      paint.lineTo(x, top + full);
      paint.fill();
      break;
    case "lost":
      paint.strokeStyle = palette.lost;
      paint.lineWidth = 1.5;
      paint.strokeRect(x + 0.75, top + 0.75, Math.max(0.5, wide - 1.5), full - 1.5);
      paint.beginPath();
      paint.moveTo(x + 0.75, top + 0.75);
      paint.lineTo(x + wide - 0.75, top + full - 0.75);
      paint.moveTo(x + wide - 0.75, top + 0.75);
      paint.lineTo(x + 0.75, top + full - 0.75);
      paint.stroke();
      break;
  }
  const p = cell.decision?.p_speak;
  if (p !== null && p !== undefined && across >= 6) {
    paint.fillStyle = palette.text;
    paint.fillRect(x, top + (1 - p) * (full - 1.5), wide, 1.5);
  }
}

/** The tooltip of a cell. */
export function cellFacts(cell: Cell): HTMLElement {
  const decision = cell.decision;
  const rows: [string, string][] = [["Covers", `${moment(cell.startS)} – ${moment(cell.endS)}`]];
  if (decision) {
    rows.push(
      ["p(speak)", decision.p_speak === null ? "not told" : decision.p_speak.toFixed(2)],
      ["Age", span(decision.age_s)],
      ["Queue", span(decision.queue_s)],
      ["Step", span(decision.step_s)],
      ["Worker", decision.worker],
    );
  }
  return h(
    "div",
    {},
    h("p", { class: `tip-title kind-${cell.kind}` }, `Chunk ${cell.index} · ${title(cell)}`),
    h("dl", { class: "facts-small" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
  );
}

function title(cell: Cell): string {
  if (cell.kind === "lost") return "lost: no decision came";
  if (cell.kind === "late") return `${cell.decision?.kind ?? "decision"}, late`;
  return cell.kind;
}

function inWords(cell: Cell): string {
  const decision = cell.decision;
  const head = `chunk ${cell.index}, at ${moment(cell.startS)}, ${title(cell)}`;
  if (!decision) return head;
  const p = decision.p_speak === null ? "" : `, p of speak ${percent(decision.p_speak, 0)}`;
  return `${head}${p}, age ${ms(decision.age_s)} milliseconds, queue ${ms(decision.queue_s)}, step ${ms(decision.step_s)}, worker ${decision.worker}`;
}
