/** Where the time of each reply went: one stacked bar per reply, from the caller's last word to our first sample at his ear. */

import { fill, h, isAtEnd, spoken } from "../shared/dom";
import type { ReplyEvent } from "../shared/events";
import { moment, ms, percent, quantile, span } from "../shared/format";
import type { Story } from "../shared/story";

interface Part {
  code: string;
  name: string;
}

const PARTS: Record<string, Part> = {
  jitter_buffer: { code: "JB", name: "Jitter buffer" },
  endpoint: { code: "EP", name: "Endpoint" },
  bus_up: { code: "BU", name: "Bus up" },
  queue: { code: "QU", name: "Queue" },
  compute: { code: "CO", name: "Compute" },
  bus_down: { code: "BD", name: "Bus down" },
  voice: { code: "VO", name: "Voice" },
  playout: { code: "PL", name: "Playout" },
  leg: { code: "LG", name: "Leg" },
};
const NAMES = Object.keys(PARTS);

/** Parts that add up to less or more than this share of the whole leave something unexplained. */
const RESIDUAL_BOUND = 0.05;

export class Waterfall {
  readonly element: HTMLElement;
  private readonly summary = h("p", { class: "panel-note" });
  private readonly body = h("div", { class: "replies", tabindex: 0, role: "region", "aria-label": "Latency of each reply" });
  private readonly key = h("ul", { class: "parts", "aria-label": "Parts of a reply, with their median" });
  private readonly tableButton: HTMLButtonElement;
  private readonly story: Story;
  private readonly seek: (atS: number) => void;
  private asTable = false;

  constructor(story: Story, seek: (atS: number) => void) {
    this.story = story;
    this.seek = seek;
    this.tableButton = h(
      "button",
      {
        type: "button",
        class: "tool",
        "aria-pressed": "false",
        onclick: () => {
          this.asTable = !this.asTable;
          this.tableButton.setAttribute("aria-pressed", String(this.asTable));
          this.draw();
        },
      },
      "Table",
    );
    this.element = h(
      "section",
      { class: "panel", "aria-labelledby": "latency-title" },
      h("header", { class: "panel-head" }, h("h2", { id: "latency-title" }, "Reply latency"), this.summary, this.tableButton),
      this.key,
      this.body,
    );
  }

  draw(): void {
    const replies = [...this.story.replies.values()].sort((a, b) => a.at_s - b.at_s);
    const stays = isAtEnd(this.body) && !this.story.ended;
    this.tableButton.hidden = replies.length === 0;
    this.key.hidden = replies.length === 0 || this.asTable;
    if (replies.length === 0) {
      fill(this.body, h("p", { class: "empty" }, "No reply yet. Each reply of the agent shows here where its time went."));
      return;
    }
    const totals = replies.map((reply) => reply.total_s);
    const median = span(quantile(totals, 0.5));
    this.summary.textContent = `${replies.length} replies · p50 ${median} · p95 ${span(quantile(totals, 0.95))}`;
    fill(this.key, ...NAMES.map((name) => keyItem(name, replies)));
    if (this.asTable) fill(this.body, table(replies));
    else fill(this.body, this.bars(replies, Math.max(...totals)));
    if (stays) this.body.scrollTop = this.body.scrollHeight;
  }

  private bars(replies: ReplyEvent[], longestS: number): HTMLElement {
    const narrow = this.body.clientWidth < 480;
    const stepS = [0.1, 0.2, 0.5, 1, 2, 5, 10].find((step) => longestS / step <= (narrow ? 3 : 6)) ?? 30;
    const wholeS = Math.max(stepS, Math.ceil(longestS / stepS) * stepS);
    const ticks = h("div", { class: "ticks", "aria-hidden": "true" });
    for (let tick = 0; tick * stepS <= wholeS + 1e-6; tick += 1) {
      const mark = h("span", {}, tick === 0 ? "0" : span(tick * stepS));
      mark.style.left = `${((tick * stepS) / wholeS) * 100}%`;
      ticks.appendChild(mark);
    }
    return h(
      "div",
      { class: "bars" },
      h("div", { class: "bar-row bar-axis" }, h("span"), ticks, h("span", { class: "right" }, "total"), h("span", { class: "right" }, "residual")),
      ...replies.map((reply) => this.row(reply, wholeS, narrow ? 0.12 : 0.055)),
    );
  }

  /** A part of at least `codeShare` of the axis has room for its code. */
  private row(reply: ReplyEvent, wholeS: number, codeShare: number): HTMLElement {
    const bar = h("span", { class: "bar", "aria-hidden": "true" });
    for (const [name, seconds] of reply.parts) {
      if (seconds <= 0) continue;
      const share = seconds / wholeS;
      const code = share > codeShare ? (PARTS[name]?.code ?? "") : "";
      const part = h("span", { class: `part part-${name}`, title: `${PARTS[name]?.name ?? name}: ${span(seconds)}` }, code);
      part.style.width = `${share * 100}%`;
      bar.appendChild(part);
    }
    const residual = residualOf(reply);
    const large = Math.abs(residual) > RESIDUAL_BOUND * reply.total_s;
    return h(
      "button",
      { type: "button", class: "bar-row", title: "Show it on the timeline", onclick: () => this.seek(reply.at_s) },
      h("span", { class: "bar-name" }, h("span", { class: "bar-turn" }, `turn ${reply.turn}`), spoken(" at "), moment(reply.at_s)),
      bar,
      h("span", { class: "right strong" }, spoken(`: ${inWords(reply)}; total `), span(reply.total_s)),
      h("span", { class: large ? "right residual-large" : "right quiet" }, spoken(", residual "), large ? "! " : "", `${ms(residual)} ms`),
    );
  }
}

function keyItem(name: string, replies: ReplyEvent[]): HTMLElement {
  const median = quantile(replies.map((reply) => partOf(reply, name)), 0.5) ?? 0;
  return h(
    "li",
    {},
    h("span", { class: `part-key part-${name}`, "aria-hidden": "true" }, PARTS[name]?.code ?? ""),
    h("span", {}, PARTS[name]?.name ?? name),
    h("span", { class: "quiet" }, span(median)),
  );
}

function table(replies: ReplyEvent[]): HTMLElement {
  const heads = ["Turn", "At", ...NAMES.map((name) => PARTS[name]?.name ?? name), "Total", "Residual"];
  return h(
    "table",
    { class: "grid" },
    h("caption", { class: "sr" }, "Latency of each reply in milliseconds"),
    h("thead", {}, h("tr", {}, ...heads.map((head, place) => h("th", { scope: "col", class: place < 2 ? null : "right" }, head)))),
    h(
      "tbody",
      {},
      ...replies.map((reply) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, reply.turn),
          h("td", {}, moment(reply.at_s)),
          ...NAMES.map((name) => h("td", { class: "right" }, ms(partOf(reply, name)))),
          h("td", { class: "right strong" }, ms(reply.total_s)),
          h("td", { class: "right" }, ms(residualOf(reply)), spoken(` (${percent(residualOf(reply) / reply.total_s)})`)),
        ),
      ),
    ),
  );
}

function partOf(reply: ReplyEvent, name: string): number {
  return reply.parts.find(([part]) => part === name)?.[1] ?? 0;
}

/** What the parts leave unexplained; less than a tenth of a millisecond is rounding. */
function residualOf(reply: ReplyEvent): number {
  const residualS = reply.total_s - reply.parts.reduce((sum, [, seconds]) => sum + seconds, 0);
  return Math.abs(residualS) < 0.0001 ? 0 : residualS;
}

function inWords(reply: ReplyEvent): string {
  return reply.parts
    .filter(([, seconds]) => seconds > 0)
    .map(([name, seconds]) => `${PARTS[name]?.name ?? name} ${ms(seconds)} ms`)
    .join(", ");
}
