/**
 * What is known of one call, put together from its events.
 *
 * Every event has a key of its own (a chunk's index, a turn, a moment), so that events may come twice: the live
 * feed tells the whole call again when it reconnects, and a watcher that was too slow fetches what it missed.
 */

import type { CallEvent, CallSummary, DecisionEvent, OverlapEvent, QualityEvent, ReplyEvent, TurnEnd, TurnEvent, WordsEvent } from "./events";
import { Levels } from "./levels";

export interface Turn {
  turn: number;
  openS: number | null;
  audibleS: number | null;
  endS: number | null;
  end: TurnEnd | null;
  generatedS: number;
  sentS: number;
  heardS: number;
  onsetS: number | null;
  /** Of a barge-in: when the agent's voice was lowered, before it was stopped. */
  duckS: number | null;
  /** From the caller's onset to the agent's silence. */
  stopS: number | null;
}

/** Something that happened at a moment and has no length. */
export interface Moment {
  atS: number;
  kind: "key" | "muted" | "unmuted" | "translation" | "sound";
  text: string;
}

export type CellKind = "listen" | "speak" | "ducked" | "late" | "lost";

/** One chunk on the strip. */
export interface Cell {
  index: number;
  startS: number;
  endS: number;
  kind: CellKind;
  decision: DecisionEvent | null;
}

const DEFAULT_CHUNK_S = 0.4;

export class Story {
  summary: CallSummary | null = null;
  detail: Record<string, unknown> | null = null;
  readonly caller = new Levels();
  readonly agent = new Levels();
  readonly decisions = new Map<number, DecisionEvent>();
  readonly missing = new Map<number, number>();
  readonly turns = new Map<number, Turn>();
  /** By when the agent's voice was lowered. */
  readonly overlaps = new Map<number, OverlapEvent>();
  readonly replies = new Map<number, ReplyEvent>();
  readonly qualities = new Map<number, QualityEvent>();
  readonly agentWords = new Map<number, WordsEvent>();
  readonly callerWords = new Map<number, WordsEvent>();
  readonly moments = new Map<string, Moment>();
  /** What the caller is saying right now, as far as it is understood. */
  callerInterim: WordsEvent | null = null;
  late = 0;
  /** Grows with everything that the transcript, the replies or the facts show (not with levels and decisions). */
  version = 0;
  private lastS = 0;
  private firstIndex = Number.POSITIVE_INFINITY;
  private lastIndex = -1;

  /** Where the call's known time ends. */
  get endS(): number {
    return Math.max(this.lastS, this.caller.endS, this.agent.endS, this.summary?.duration_s ?? 0);
  }

  get ended(): boolean {
    return this.summary?.state === "ended";
  }

  /** Take one event in; those that this page does not know are left out. */
  apply(event: CallEvent): void {
    switch (event.event) {
      case "call":
        this.summary = event.call;
        break;
      case "decision":
        this.applyDecision(event);
        return;
      case "missing":
        if (!this.decisions.has(event.index)) this.missing.set(event.index, event.at_s);
        this.reach(event.at_s);
        return;
      case "levels":
        (event.voice === "caller" ? this.caller : this.agent).put(event.start_s, event.step_s, event.levels);
        return;
      case "words":
        this.applyWords(event);
        break;
      case "turn":
        this.applyTurn(event);
        break;
      case "overlap":
        this.applyOverlap(event);
        break;
      case "reply":
        this.replies.set(event.turn, event);
        break;
      case "quality":
        this.qualities.set(event.at_s, event);
        break;
      case "translation":
        this.note({ atS: event.at_s, kind: "translation", text: `In ${event.language}: ${event.text}` });
        break;
      case "sound":
        this.note({ atS: event.at_s, kind: "sound", text: `Heard: ${event.name}` });
        break;
      case "muted":
        this.note({ atS: event.at_s, kind: event.muted ? "muted" : "unmuted", text: event.muted ? "Agent muted" : "Agent unmuted" });
        if (this.summary) this.summary = { ...this.summary, muted: event.muted };
        break;
      case "key":
        this.note({ atS: event.at_s, kind: "key", text: `Key ${event.digit}` });
        break;
      case "ended":
        if (this.summary) this.summary = { ...this.summary, state: "ended", outcome: event.outcome, duration_s: event.at_s };
        this.reach(event.at_s);
        break;
      default:
        return;
    }
    this.version += 1;
  }

  /** How long a chunk is, from the times at which chunks were complete. */
  get chunkS(): number {
    const first = this.decisions.get(this.firstIndex);
    const last = this.decisions.get(this.lastIndex);
    if (!first || !last || last.index - first.index < 2) return DEFAULT_CHUNK_S;
    const slope = (completeS(last) - completeS(first)) / (last.index - first.index);
    return slope > 0.02 && slope < 5 ? slope : DEFAULT_CHUNK_S;
  }

  /** The chunks that touch `[startS, endS)`, in order. A chunk of which nothing is known yet has no cell. */
  cells(startS: number, endS: number): Cell[] {
    const chunkS = this.chunkS;
    const first = this.decisions.get(this.firstIndex);
    const originS = first ? completeS(first) - (first.index + 1) * chunkS : 0;
    const from = Math.max(0, Math.floor((startS - originS) / chunkS));
    const until = Math.ceil((endS - originS) / chunkS);
    const overlaps = [...this.overlaps.values()];
    const found: Cell[] = [];
    for (let index = from; index < until; index += 1) {
      const decision = this.decisions.get(index) ?? null;
      if (!decision && !this.missing.has(index)) continue;
      const cellS = originS + index * chunkS;
      const cell = { index, startS: cellS, endS: cellS + chunkS, decision };
      found.push({ ...cell, kind: kindOf(decision, overlaps, cell.startS, cell.endS) });
    }
    return found;
  }

  cellAt(atS: number): Cell | null {
    return this.cells(atS, atS + 1e-3)[0] ?? null;
  }

  /** How often a turn was stopped and went on. */
  resumed(turn: number): number {
    return [...this.overlaps.values()].filter((overlap) => overlap.turn === turn && overlap.end === "resumed").length;
  }

  bargeIns(): Turn[] {
    return [...this.turns.values()].filter((turn) => turn.end === "barged_in").sort((a, b) => (a.endS ?? 0) - (b.endS ?? 0));
  }

  /** The transcript in the order in which it was spoken. */
  wordsInOrder(): WordsEvent[] {
    const all = [...this.callerWords.values(), ...this.agentWords.values()];
    if (this.callerInterim) all.push(this.callerInterim);
    return all.sort((a, b) => this.spokenAtS(a) - this.spokenAtS(b));
  }

  /** When an entry of the transcript began: an agent's turn when it became audible, not when it was written down. */
  spokenAtS(words: WordsEvent): number {
    if (words.voice === "caller") return words.at_s;
    const turn = this.turns.get(words.turn);
    return turn?.audibleS ?? turn?.openS ?? words.at_s;
  }

  private applyDecision(decision: DecisionEvent): void {
    if (!this.decisions.has(decision.index) && decision.late) this.late += 1;
    this.decisions.set(decision.index, decision);
    this.missing.delete(decision.index);
    this.firstIndex = Math.min(this.firstIndex, decision.index);
    this.lastIndex = Math.max(this.lastIndex, decision.index);
    this.reach(decision.at_s);
  }

  private applyWords(words: WordsEvent): void {
    if (words.voice === "agent") {
      const known = this.agentWords.get(words.turn);
      if (!known?.final || words.final) this.agentWords.set(words.turn, words);
    } else if (words.final) {
      this.callerWords.set(words.at_s, words);
      if (this.callerInterim && this.callerInterim.at_s <= words.at_s) this.callerInterim = null;
    } else if (![...this.callerWords.keys()].some((atS) => atS >= words.at_s)) {
      this.callerInterim = words;
    }
    this.reach(words.at_s);
  }

  private applyTurn(event: TurnEvent): void {
    const turn = this.turns.get(event.turn) ?? newTurn(event.turn);
    if (event.state === "open") turn.openS = event.at_s;
    else if (event.state === "audible") turn.audibleS = event.at_s;
    else {
      turn.endS = event.at_s;
      turn.end = event.end;
      turn.onsetS = event.onset_at_s;
      turn.stopS = event.stop_s;
    }
    turn.generatedS = Math.max(turn.generatedS, event.generated_s ?? 0);
    turn.sentS = Math.max(turn.sentS, event.sent_s ?? 0);
    turn.heardS = Math.max(turn.heardS, event.heard_s ?? 0);
    this.turns.set(event.turn, turn);
    this.reach(event.at_s);
  }

  private applyOverlap(event: OverlapEvent): void {
    this.overlaps.set(event.ducked_at_s, event);
    if (event.end === "yielded") {
      const turn = this.turns.get(event.turn) ?? newTurn(event.turn);
      turn.duckS = event.ducked_at_s;
      this.turns.set(event.turn, turn);
    }
    this.reach(event.at_s);
  }

  private note(moment: Moment): void {
    this.moments.set(`${moment.atS} ${moment.text}`, moment);
    this.reach(moment.atS);
  }

  private reach(atS: number): void {
    this.lastS = Math.max(this.lastS, atS);
  }
}

function completeS(decision: DecisionEvent): number {
  return decision.at_s - decision.age_s;
}

function newTurn(turn: number): Turn {
  const times = { openS: null, audibleS: null, endS: null, onsetS: null, duckS: null, stopS: null };
  return { turn, ...times, end: null, generatedS: 0, sentS: 0, heardS: 0 };
}

/** Lost and late say that something went wrong, so they go before what was decided. */
function kindOf(decision: DecisionEvent | null, overlaps: OverlapEvent[], startS: number, endS: number): CellKind {
  if (!decision) return "lost";
  if (decision.late) return "late";
  if (overlaps.some((overlap) => overlap.ducked_at_s < endS && overlap.at_s > startS)) return "ducked";
  return decision.kind;
}
