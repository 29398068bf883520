/** A table of calls that can be sorted by every column, filtered, and walked by keyboard. Rows keep their place in the page while they change. */

import { append, h, setText, spoken } from "../shared/dom";
import type { CallSummary } from "../shared/events";
import { NONE, capital, day, doorName, duration, isToday, mos, mosGrade, plain, span, timeOfDay } from "../shared/format";

interface Column {
  key: string;
  name: string;
  kind?: "number";
  /** Hidden first where the screen is narrow: 1 goes before 2. */
  rank?: 1 | 2;
  /** What to sort by; null goes last. */
  of(call: CallSummary): string | number | null;
  show(call: CallSummary, cell: HTMLElement): void;
}

const text = (key: "door" | "caller" | "agent" | "engine" | "worker", name: string, rank?: 1 | 2): Column => ({
  key,
  name,
  ...(rank ? { rank } : {}),
  of: (call) => call[key],
  show: (call, cell) => setText(cell, call[key] || NONE),
});

const STATE: Column = {
  key: "state",
  name: "State",
  of: (call) => stateOf(call),
  show: (call, cell) => {
    const label = stateOf(call);
    if (cell.dataset["shown"] === label) return;
    cell.dataset["shown"] = label;
    cell.replaceChildren(h("span", { class: `state state-${label}` }, label));
  },
};
const DOOR: Column = {
  key: "door",
  name: "Door",
  of: (call) => `${call.door} ${call.direction}`,
  show: (call, cell) => {
    if (cell.dataset["shown"] === call.door + call.direction) return;
    cell.dataset["shown"] = call.door + call.direction;
    cell.replaceChildren();
    const arrow = call.direction === "inbound" ? "↙" : "↗";
    append(cell, [h("span", { class: "arrow", "aria-hidden": "true", title: call.direction }, arrow), doorName(call.door), spoken(`, ${call.direction}`)]);
  },
};
const MOS: Column = {
  key: "mos",
  name: "MOS",
  kind: "number",
  of: (call) => call.mos,
  show: (call, cell) => {
    const label = mos(call.mos);
    if (cell.dataset["shown"] === label) return;
    cell.dataset["shown"] = label;
    cell.replaceChildren();
    if (call.mos !== null) append(cell, [h("span", { class: `grade grade-${mosGrade(call.mos)}` }, mosGrade(call.mos)), " "]);
    append(cell, [label]);
  },
};
const LATENCY: Column = {
  key: "p95",
  name: "p95 latency",
  kind: "number",
  of: (call) => call.p95_first_audio_s,
  show: (call, cell) => setText(cell, span(call.p95_first_audio_s)),
};
const BARGE_INS: Column = {
  key: "interruptions",
  name: "Barge-ins",
  kind: "number",
  rank: 2,
  of: (call) => call.interruptions,
  show: (call, cell) => setText(cell, String(call.interruptions)),
};
const AGE: Column = {
  key: "age",
  name: "Age",
  kind: "number",
  of: (call) => call.age_s,
  show: (call, cell) => setText(cell, duration(call.age_s)),
};
const STARTED: Column = {
  key: "started",
  name: "Started",
  of: (call) => call.started_unix_s,
  show: (call, cell) => setText(cell, (isToday(call.started_unix_s) ? "" : `${day(call.started_unix_s)}, `) + timeOfDay(call.started_unix_s)),
};
const DURATION: Column = {
  key: "duration",
  name: "Duration",
  kind: "number",
  of: (call) => call.duration_s,
  show: (call, cell) => setText(cell, call.duration_s === null ? NONE : duration(call.duration_s)),
};
const OUTCOME: Column = {
  key: "outcome",
  name: "Outcome",
  rank: 2,
  of: (call) => call.outcome,
  show: (call, cell) => setText(cell, call.outcome ? capital(plain(call.outcome)) : NONE),
};

const CALLER = text("caller", "From");
const AGENT = text("agent", "Agent", 2);
const ENGINE = text("engine", "Engine", 1);
const WORKER = text("worker", "Worker", 1);
export const LIVE_COLUMNS: Column[] = [STATE, CALLER, DOOR, AGENT, ENGINE, WORKER, AGE, MOS, LATENCY, BARGE_INS];
export const PAST_COLUMNS: Column[] = [STARTED, CALLER, DOOR, AGENT, ENGINE, OUTCOME, DURATION, MOS, LATENCY, BARGE_INS];

export class CallTable {
  readonly element: HTMLElement;
  private readonly columns: Column[];
  private readonly body = h("tbody");
  private readonly heads = new Map<string, HTMLElement>();
  private readonly rows = new Map<string, HTMLTableRowElement>();
  private readonly open: (call: string) => void;
  private calls: CallSummary[] = [];
  private sortedBy: Column;
  private descending: boolean;
  private wanted = "";

  constructor(caption: string, columns: Column[], sortedBy: string, descending: boolean, open: (call: string) => void) {
    this.columns = columns;
    this.open = open;
    this.descending = descending;
    this.sortedBy = columns.find((column) => column.key === sortedBy) ?? STATE;
    const heads = columns.map((column) => {
      const press = () => this.sort(column);
      const head = h("th", { scope: "col", class: classOf(column) }, h("button", { type: "button", class: "sort", onclick: press }, column.name));
      this.heads.set(column.key, head);
      return head;
    });
    this.element = h("table", { class: "calls" }, h("caption", { class: "sr" }, caption), h("thead", {}, h("tr", {}, ...heads)), this.body);
    this.body.addEventListener("keydown", (event) => this.walk(event));
    this.markSorting();
  }

  /** How many calls pass the filter. */
  show(calls: CallSummary[], filter: string): number {
    this.calls = calls;
    this.wanted = filter.trim().toLowerCase();
    return this.draw();
  }

  private draw(): number {
    const passing = this.calls.filter((call) => this.passes(call)).sort((a, b) => this.order(a, b));
    const known = new Set(passing.map((call) => call.call));
    for (const [call, row] of this.rows) {
      if (known.has(call)) continue;
      row.remove();
      this.rows.delete(call);
    }
    passing.forEach((call, place) => {
      const row = this.rowOf(call);
      this.columns.forEach((column, index) => {
        const cell = row.cells[index];
        if (cell) column.show(call, column === CALLER ? (cell.firstElementChild as HTMLElement) : cell);
      });
      // Moved only when it must: moving a row takes the focus from it.
      if (this.body.children[place] !== row) this.body.insertBefore(row, this.body.children[place] ?? null);
    });
    return passing.length;
  }

  private rowOf(call: CallSummary): HTMLTableRowElement {
    const known = this.rows.get(call.call);
    if (known) return known;
    const path = `/console/calls/${encodeURIComponent(call.call)}`;
    const cells = this.columns.map((column) => h("td", { class: classOf(column) }, column === CALLER && h("a", { href: path, class: "caller-link" })));
    const row = h(
      "tr",
      {
        onclick: (event: MouseEvent) => {
          if (event.metaKey || event.ctrlKey || event.button !== 0) return; // the link itself opens a new tab
          event.preventDefault();
          this.open(call.call);
        },
      },
      ...cells,
    );
    this.rows.set(call.call, row);
    return row;
  }

  private sort(column: Column): void {
    this.descending = column === this.sortedBy ? !this.descending : column.kind === "number";
    this.sortedBy = column;
    this.markSorting();
    this.draw();
  }

  private markSorting(): void {
    for (const [key, head] of this.heads) {
      if (key !== this.sortedBy.key) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
    }
  }

  private passes(call: CallSummary): boolean {
    if (!this.wanted) return true;
    const fields = [call.call, call.door, call.direction, call.caller, call.agent, call.engine, call.worker, stateOf(call), plain(call.outcome ?? "")];
    const haystack = fields.join(" ").toLowerCase();
    return this.wanted.split(/\s+/).every((word) => haystack.includes(word));
  }

  private order(a: CallSummary, b: CallSummary): number {
    const left = this.sortedBy.of(a);
    const right = this.sortedBy.of(b);
    if (left === null || right === null) return left === right ? compare(a.call, b.call) : left === null ? 1 : -1;
    return (this.descending ? compare(right, left) : compare(left, right)) || compare(a.call, b.call);
  }

  /** Arrow keys go from row to row; Enter opens, as the link does by itself. */
  private walk(event: KeyboardEvent): void {
    const row = (event.target as HTMLElement).closest("tr");
    const next = event.key === "ArrowDown" ? row?.nextElementSibling : event.key === "ArrowUp" ? row?.previousElementSibling : null;
    if (!next) return;
    event.preventDefault();
    next.querySelector("a")?.focus();
  }
}

export function stateOf(call: CallSummary): string {
  if (call.state !== "live") return call.state;
  return call.muted ? "muted" : call.turn_state;
}

function classOf(column: Column): string {
  return [column.kind === "number" ? "right" : "", column.rank ? `rank-${column.rank}` : "", `col-${column.key}`].join(" ").trim();
}

function compare(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
