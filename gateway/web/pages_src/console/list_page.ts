/** All calls: the live ones as they go, the past ones page by page. */

import { fill, h, setText } from "../shared/dom";
import type { CallEvent, CallSummary } from "../shared/events";
import { mos, plural, quantile, span } from "../shared/format";
import { NoSession, Refused, calls as fetchCalls } from "./api";
import { CallTable, LIVE_COLUMNS, PAST_COLUMNS } from "./call_table";
import { LiveFeed } from "./live";
import { notice } from "./notices";
import type { Page, Shell } from "./shell";

const PAGE = 50;

type Tab = "live" | "past";

export class ListPage implements Page {
  readonly element: HTMLElement;
  readonly title = "Calls";
  private readonly shell: Shell;
  private readonly feed: LiveFeed;
  private readonly tables: Record<Tab, CallTable>;
  private readonly tabs: Record<Tab, HTMLButtonElement>;
  private readonly panels: Record<Tab, HTMLElement>;
  private readonly notes: Record<Tab, HTMLElement>;
  private readonly filter: HTMLInputElement;
  private readonly numbers = h("dl", { class: "call-numbers list-numbers" });
  private readonly older: HTMLButtonElement;
  private readonly ticker: number;
  private live: CallSummary[] = [];
  private liveAtMs = 0;
  private liveKnown = false;
  private pastKnown = false;
  private past = new Map<string, CallSummary>();
  /** Where the next page of past calls begins. */
  private oldestUnixS: number | null = null;

  constructor(shell: Shell, tab: Tab) {
    this.shell = shell;
    const open = (call: string) => shell.go(`/console/calls/${encodeURIComponent(call)}`);
    this.tables = {
      live: new CallTable("Live calls", LIVE_COLUMNS, "age", true, open),
      past: new CallTable("Past calls", PAST_COLUMNS, "started", true, open),
    };
    this.tabs = { live: this.makeTab("live", "Live"), past: this.makeTab("past", "Past") };
    this.notes = { live: h("p", { class: "empty" }, "Waiting for the gateway…"), past: h("p", { class: "empty" }, "Loading…") };
    this.older = h("button", { type: "button", class: "button", hidden: true, onclick: () => void this.loadPast(this.oldestUnixS) }, "Load older calls");
    this.panels = { live: this.makePanel("live"), past: this.makePanel("past", this.older) };
    this.filter = h("input", {
      type: "search",
      class: "filter",
      placeholder: "Filter: number, door, agent, worker…",
      "aria-label": "Filter the calls",
      oninput: () => this.draw(),
    });
    this.element = h(
      "main",
      { class: "list-page", id: "main", tabindex: -1 },
      h("div", { class: "list-head" }, h("h1", {}, "Calls"), this.numbers),
      h(
        "section",
        { class: "panel" },
        h("div", { class: "list-tools" }, h("div", { class: "tabs", role: "tablist", "aria-label": "Calls" }, this.tabs.live, this.tabs.past), this.filter),
        this.panels.live,
        this.panels.past,
      ),
    );
    this.feed = new LiveFeed("/console/api/live", {
      message: (data) => this.receive(data as CallEvent),
      state: (state, waitS) => shell.showLink(state, waitS),
      noSession: () => shell.noSession(),
      probe: () => fetchCalls(1),
    });
    this.ticker = window.setInterval(() => this.draw(), 1000);
    this.choose(tab);
  }

  close(): void {
    this.feed.close();
    clearInterval(this.ticker);
  }

  private receive(event: CallEvent): void {
    if (event.event !== "calls") return; // after "dropped" the next list is whole again
    this.live = event.calls.filter((call) => call.state !== "ended");
    this.liveAtMs = performance.now();
    this.liveKnown = true;
    this.draw();
  }

  private choose(tab: Tab): void {
    for (const name of ["live", "past"] as const) {
      this.tabs[name].setAttribute("aria-selected", String(name === tab));
      this.tabs[name].tabIndex = name === tab ? 0 : -1;
      this.panels[name].hidden = name !== tab;
    }
    history.replaceState(null, "", tab === "live" ? "/console" : "/console/past");
    if (tab === "past") void this.loadPast(null);
    this.draw();
  }

  /** Fetch the calls that began before, or the newest ones; a page may hold nothing but live calls. */
  private async loadPast(beforeUnixS: number | null): Promise<void> {
    this.older.disabled = true;
    try {
      let found = 0;
      let page: CallSummary[];
      let nextUnixS = beforeUnixS;
      do {
        page = await fetchCalls(PAGE, nextUnixS ?? undefined);
        for (const call of page) {
          nextUnixS = Math.min(nextUnixS ?? Number.POSITIVE_INFINITY, call.started_unix_s);
          if (call.state !== "ended") continue;
          this.past.set(call.call, call);
          found += 1;
        }
      } while (found === 0 && page.length === PAGE);
      if (beforeUnixS === this.oldestUnixS) {
        this.oldestUnixS = nextUnixS;
        this.older.hidden = page.length < PAGE;
      }
      this.pastKnown = true;
    } catch (error) {
      if (error instanceof NoSession) this.shell.noSession();
      else if (error instanceof Refused) notice(error.message, "problem");
      else throw error;
    } finally {
      this.older.disabled = false;
    }
    this.draw();
  }

  private draw(): void {
    const elapsedS = (performance.now() - this.liveAtMs) / 1000;
    const live = this.live.map((call) => ({ ...call, age_s: call.age_s + elapsedS }));
    const filter = this.filter.value;
    const shownLive = this.tables.live.show(live, filter);
    const shownPast = this.tables.past.show([...this.past.values()], filter);
    setText(this.tabs.live, this.liveKnown ? `Live ${live.length}` : "Live");
    this.note("live", shownLive, this.liveKnown ? (live.length ? "No live call matches the filter." : "No call at the moment.") : "Waiting for the gateway…");
    this.note("past", shownPast, this.pastKnown ? (this.past.size ? "No past call matches the filter." : "No past call is stored.") : "Loading…");
    if (this.liveKnown) this.drawNumbers();
  }

  private note(tab: Tab, shown: number, text: string): void {
    setText(this.notes[tab], text);
    this.notes[tab].hidden = shown > 0;
    this.tables[tab].element.hidden = shown === 0;
  }

  private drawNumbers(): void {
    const known = (values: (number | null)[]) => values.filter((value) => value !== null);
    const scores = known(this.live.map((call) => call.mos));
    const latencies = known(this.live.map((call) => call.p95_first_audio_s));
    const shown: [string, string][] = [
      ["Live", plural(this.live.length, "call")],
      ["Agent speaking", String(this.live.filter((call) => call.turn_state === "speaking").length)],
      ["Median p95", span(quantile(latencies, 0.5))],
      ["Slowest p95", span(quantile(latencies, 1))],
      ["Lowest MOS", mos(quantile(scores, 0))],
    ];
    const wanted = shown.flat().join("|");
    if (this.numbers.dataset["shown"] === wanted) return;
    this.numbers.dataset["shown"] = wanted;
    fill(this.numbers, ...shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  private makeTab(tab: Tab, name: string): HTMLButtonElement {
    const other: Tab = tab === "live" ? "past" : "live";
    const keys = (event: KeyboardEvent): void => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      this.choose(other);
      this.tabs[other].focus();
    };
    return h(
      "button",
      { type: "button", role: "tab", id: `tab-${tab}`, "aria-controls": `panel-${tab}`, class: "tab", onclick: () => this.choose(tab), onkeydown: keys },
      name,
    );
  }

  private makePanel(tab: Tab, below?: HTMLElement): HTMLElement {
    return h(
      "div",
      { role: "tabpanel", id: `panel-${tab}`, "aria-labelledby": `tab-${tab}`, class: "calls-panel" },
      this.tables[tab].element,
      this.notes[tab],
      below && h("div", { class: "older" }, below),
    );
  }
}
