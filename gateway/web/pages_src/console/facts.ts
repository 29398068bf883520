/** What else is known of a call: the summary's fields, and of a call that is over its record. */

import { fill, h } from "../shared/dom";
import type { CallSummary } from "../shared/events";
import { NONE, capital, day, doorName, duration, percent, plain, span, timeOfDay } from "../shared/format";
import type { Story } from "../shared/story";

/** Shown above, by name; of the record only the rest is listed. */
const KNOWN = new Set([
  "call", "door", "direction", "caller", "agent", "engine", "outcome", "started_unix_s", "answered_unix_s", "ended_unix_s", "duration_s",
  "decisions", "missing", "late", "interruptions", "mos", "loss", "jitter_s", "round_trip_s", "first_audio_p95_s", "recorded",
]);

/** Fields of the record whose own name does not say enough beside the others. */
const NAMES: Record<string, string> = {
  engine_s: "Engine time",
  talk_s: "Agent spoke",
  listen_s: "Caller spoke",
  overlap_s: "Both spoke",
  underrun_s: "Silence by underruns",
  callee: "Called",
  barge_in_stops_s: "Barge-in stops",
};

export class Facts {
  readonly element: HTMLElement;
  private readonly list = h("dl", { class: "facts" });
  private readonly story: Story;

  constructor(story: Story) {
    this.story = story;
    this.element = h(
      "section",
      { class: "panel", "aria-labelledby": "facts-title" },
      h("header", { class: "panel-head" }, h("h2", { id: "facts-title" }, "Call")),
      this.list,
    );
  }

  draw(): void {
    const call = this.story.summary;
    if (!call) return;
    const rows = [...summaryRows(call, this.story), ...recordRows(this.story.detail)];
    fill(this.list, ...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }
}

function summaryRows(call: CallSummary, story: Story): [string, string][] {
  const rows: [string, string][] = [
    ["Call", call.call],
    ["Caller", call.caller || NONE],
    ["Door", `${doorName(call.door)}, ${call.direction}`],
    ["Agent", call.agent],
    ["Engine", call.engine],
    ["Worker", story.detail ? NONE : call.worker || NONE],
    ["Started", `${day(call.started_unix_s)}, ${timeOfDay(call.started_unix_s)}`],
    ["Duration", call.duration_s === null ? NONE : duration(call.duration_s)],
    ["Outcome", call.outcome ? plain(call.outcome) : NONE],
    ["Decisions", `${story.decisions.size}, ${story.late} late, ${story.missing.size} lost`],
    ["Recorded", call.recorded ? "yes" : "no"],
  ];
  return rows.filter(([, value]) => value !== NONE);
}

function recordRows(detail: Record<string, unknown> | null): [string, string][] {
  const rows: [string, string][] = [];
  for (const [key, value] of Object.entries(detail ?? {})) {
    const shown = KNOWN.has(key) ? null : asText(key, value);
    if (shown !== null) rows.push([nameOf(key), shown]);
  }
  return rows;
}

function nameOf(key: string): string {
  return NAMES[key] ?? capital(plain(key.replace(/_s$/, "")));
}

/** A field of the record by its unit; null for what has no short form. */
function asText(key: string, value: unknown): string | null {
  if (typeof value === "number") {
    if (key.endsWith("_s")) return span(value);
    if (key.endsWith("_share") || key === "loss") return percent(value);
    return Number.isInteger(value) ? String(value) : value.toFixed(2);
  }
  if (typeof value === "string" && value !== "") return plain(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (!Array.isArray(value) || value.length === 0 || value.some((item) => typeof item === "object")) return null;
  return value.map((item) => asText(key, item) ?? "").join(", ");
}
