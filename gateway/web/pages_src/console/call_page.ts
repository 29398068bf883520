/** One call, live or stored: the same page, fed by the same events. */

import { fill, h, oncePerFrame, setText } from "../shared/dom";
import type { CallEvent, CallSummary } from "../shared/events";
import { NONE, doorName, duration, mos, mosGrade, plain, span } from "../shared/format";
import { Story } from "../shared/story";
import { Actions } from "./actions";
import { NoSession, Refused, type StoredCall, call as fetchCall } from "./api";
import { Facts } from "./facts";
import { LiveFeed } from "./live";
import { notice } from "./notices";
import { Player } from "./player";
import { QualityPanel } from "./quality";
import type { Page, Shell } from "./shell";
import { Timeline } from "./timeline";
import { Transcript } from "./transcript";
import { Waterfall } from "./waterfall";

/** The record is written a moment after the call has ended. */
const RECORD_AFTER_MS = 2_000;

export class CallPage implements Page {
  readonly element: HTMLElement;
  readonly title: string;
  private readonly id: string;
  private readonly shell: Shell;
  private readonly story = new Story();
  private readonly head = h("div", { class: "call-head" });
  private readonly timeline: Timeline;
  private readonly transcript: Transcript;
  private readonly waterfall: Waterfall;
  private readonly quality: QualityPanel;
  private readonly facts: Facts;
  private readonly actions: Actions;
  private readonly content: HTMLElement;
  private readonly drawPanels: () => void;
  private feed: LiveFeed | null = null;
  private player: Player | null = null;
  private headParts: { state: HTMLElement; age: HTMLElement; numbers: HTMLElement } | null = null;
  private drawnVersion = -1;
  private ticker = 0;
  private closed = false;
  /** Our clock when the call began, by the newest summary; the live edge runs on it. */
  private beganMs = 0;

  constructor(shell: Shell, id: string) {
    this.shell = shell;
    this.id = id;
    this.title = `Call ${id}`;
    this.timeline = new Timeline(this.story);
    const seek = (atS: number): void => {
      this.timeline.axis.seek(atS);
      this.timeline.element.scrollIntoView({ block: "nearest" });
    };
    this.transcript = new Transcript(this.story, seek);
    this.waterfall = new Waterfall(this.story, seek);
    this.quality = new QualityPanel(this.story);
    this.facts = new Facts(this.story);
    this.actions = new Actions(id, this.story, () => shell.noSession());
    this.drawPanels = oncePerFrame(() => this.draw());
    this.timeline.axis.onChange(() => this.transcript.mark(this.timeline.axis.cursorS));
    this.content = h("div", { class: "call-content" }, h("p", { class: "empty" }, "Loading the call…"));
    this.element = h("main", { class: "call-page", id: "main", tabindex: -1 }, this.content);
    void this.load();
  }

  close(): void {
    this.closed = true;
    this.feed?.close();
    this.player?.stop();
    this.actions.stop();
    cancelAnimationFrame(this.ticker);
  }

  private async load(): Promise<void> {
    const stored = await this.fetch();
    if (!stored) return;
    fill(
      this.content,
      this.head,
      this.timeline.element,
      h(
        "div",
        { class: "call-columns" },
        h("div", { class: "column" }, this.transcript.element, this.quality.element),
        h("div", { class: "column" }, this.waterfall.element, this.facts.element),
      ),
    );
    this.take(stored);
    if (!this.story.ended) this.watch();
    this.tick();
  }

  /** The call as the gateway has it; null when it cannot be had, which has been said then, or when the page is gone. */
  private async fetch(): Promise<StoredCall | null> {
    try {
      const stored = await fetchCall(this.id);
      return this.closed ? null : stored;
    } catch (error) {
      if (this.closed) return null;
      if (error instanceof NoSession) this.shell.noSession();
      else if (!(error instanceof Refused)) throw error;
      else if (!this.story.summary) fill(this.content, h("p", { class: "empty", role: "alert" }, error.message));
      else if (error.status === 404) this.lose();
      return null;
    }
  }

  /** Fetch what the feed did not bring: the record of a call that is over, events that were dropped. */
  private async refetch(): Promise<void> {
    const stored = await this.fetch();
    if (stored) this.take(stored);
  }

  private take(stored: StoredCall): void {
    this.story.detail = stored.detail ?? this.story.detail;
    for (const event of stored.events) this.story.apply(event);
    this.story.apply({ event: "call", call: stored.call });
    this.setClock(stored.call);
    if (this.story.ended) this.ended();
    this.drawPanels();
  }

  private watch(): void {
    this.feed = new LiveFeed(`/console/api/live?call=${encodeURIComponent(this.id)}`, {
      message: (data) => this.receive(data as CallEvent),
      state: (state, waitS) => this.shell.showLink(state, waitS),
      noSession: () => this.shell.noSession(),
      probe: () => this.refetch(),
    });
  }

  /** The gateway has lost the call, as after a restart: what we know stays, and nothing more will come. */
  private lose(): void {
    if (!this.feed) return;
    this.feed.close();
    this.feed = null;
    notice("The gateway no longer knows this call.", "problem");
    if (this.story.summary) this.story.apply({ event: "ended", call: this.id, at_s: this.story.endS, outcome: "lost from sight" });
    this.drawPanels();
  }

  private receive(event: CallEvent): void {
    if (event.event === "dropped") {
      notice(`This page was too slow and missed ${event.count} events; fetching them.`);
      void this.refetch();
      return;
    }
    this.story.apply(event);
    if (event.event === "call") this.setClock(event.call);
    if (this.story.ended) this.ended();
    this.drawPanels();
  }

  private ended(): void {
    if (!this.feed) return;
    this.feed.close();
    this.feed = null;
    notice(`The call has ended: ${plain(this.story.summary?.outcome ?? "no reason told")}.`);
    setTimeout(() => void this.refetch(), RECORD_AFTER_MS);
  }

  private setClock(call: CallSummary): void {
    this.beganMs = performance.now() - call.age_s * 1000;
  }

  /** Where the call stands: by the clock while it lives, so that the view glides, else by what is known. */
  private edgeS(): number {
    if (this.story.ended || !this.story.summary) return this.story.endS;
    return Math.max(this.story.endS, (performance.now() - this.beganMs) / 1000);
  }

  private tick(): void {
    const { axis, element } = this.timeline;
    let shownS = -1;
    const step = (): void => {
      if (this.closed) return;
      const edgeS = this.edgeS();
      // Drawn again only when the picture would differ by half a pixel.
      if (Math.abs(edgeS - shownS) * element.clientWidth > axis.spanS * 0.5 || shownS < 0) {
        shownS = edgeS;
        this.timeline.update(edgeS);
        this.drawHead(edgeS);
      }
      this.ticker = requestAnimationFrame(step);
    };
    step();
  }

  private draw(): void {
    if (this.closed) return;
    this.timeline.update(this.edgeS());
    this.drawHead(this.edgeS());
    this.facts.draw();
    if (this.story.version !== this.drawnVersion) {
      this.drawnVersion = this.story.version;
      this.transcript.draw();
      this.waterfall.draw();
      this.quality.draw();
      this.actions.draw();
      this.drawPlayer();
    }
  }

  private drawPlayer(): void {
    const call = this.story.summary;
    if (this.player || !call?.recorded || !this.story.ended) return;
    this.player = new Player(this.id, this.timeline.axis, (text) => notice(text, "problem"));
    this.actions.element.prepend(this.player.element);
  }

  private drawHead(edgeS: number): void {
    const call = this.story.summary;
    if (!call) return;
    if (!this.headParts) {
      this.headParts = { state: h("span"), age: h("span", { class: "call-age" }), numbers: h("dl", { class: "call-numbers" }) };
      fill(
        this.head,
        h(
          "div",
          { class: "call-title" },
          h("h1", {}, call.caller || "Unknown caller"),
          this.headParts.state,
          this.headParts.age,
          h("span", { class: "call-route" }, `${doorName(call.door)} · ${call.direction} · ${call.agent} · ${call.engine}`),
        ),
        this.headParts.numbers,
        this.actions.element,
      );
    }
    const { state, age, numbers } = this.headParts;
    const label = call.state === "live" ? (call.muted ? "muted" : call.turn_state) : call.state;
    state.className = `state state-${label}`;
    setText(state, label);
    setText(age, duration(call.state === "ended" ? (call.duration_s ?? edgeS) : edgeS));
    const grade = call.mos === null ? "" : ` ${mosGrade(call.mos)}`;
    const shown: [string, string][] = [
      ["MOS", `${mos(call.mos)}${grade}`],
      ["p95 first audio", span(call.p95_first_audio_s)],
      ["Barge-ins", String(call.interruptions)],
      ["Late / lost", `${this.story.late} / ${this.story.missing.size}`],
      ["Worker", call.worker || NONE],
    ];
    const wanted = shown.flat().join("|");
    if (numbers.dataset["shown"] === wanted) return;
    numbers.dataset["shown"] = wanted;
    fill(numbers, ...shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }
}
