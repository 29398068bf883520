// The events of a call, as the gateway's data channel, the console's socket and stored calls have them.
// Times are seconds since the call began unless their name says otherwise. Readers ignore what they do not know.

export interface CallSummary {
  call: string;
  door: string;
  direction: "inbound" | "outbound";
  state: "dialling" | "live" | "ended";
  caller: string;
  agent: string;
  engine: string;
  worker: string;
  started_unix_s: number;
  age_s: number;
  duration_s: number | null;
  outcome: string | null;
  turn_state: "listening" | "speaking";
  muted: boolean;
  mos: number | null;
  p95_first_audio_s: number | null;
  interruptions: number;
  recorded: boolean;
}

export type Voice = "caller" | "agent";

export interface CallsEvent {
  event: "calls";
  calls: CallSummary[];
}

export interface CallChanged {
  event: "call";
  call: CallSummary;
}

export interface DecisionEvent {
  event: "decision";
  call: string;
  index: number;
  at_s: number;
  kind: "listen" | "speak";
  turn: number;
  epoch: number;
  p_speak: number | null;
  age_s: number;
  queue_s: number;
  step_s: number;
  worker: string;
  late: boolean;
}

export interface MissingEvent {
  event: "missing";
  call: string;
  index: number;
  at_s: number;
}

export interface LevelsEvent {
  event: "levels";
  call: string;
  voice: Voice;
  start_s: number;
  step_s: number;
  levels: number[];
}

export interface WordsEvent {
  event: "words";
  call: string;
  voice: Voice;
  at_s: number;
  turn: number;
  text: string;
  heard: string | null;
  cut: string | null;
  /** The voice did not tell where its words are: the cut may be off by a word or two. */
  estimated?: boolean;
  final: boolean;
}

export type TurnEnd = "played" | "barged_in" | "superseded" | "muted" | "leg_lost" | "runaway" | "call_ended";

export interface TurnEvent {
  event: "turn";
  call: string;
  turn: number;
  state: "open" | "audible" | "ended";
  at_s: number;
  end: TurnEnd | null;
  generated_s: number;
  sent_s: number;
  heard_s: number;
  onset_at_s: number | null;
  stop_s: number | null;
}

/** The caller sounded over the agent, whose voice was lowered from `ducked_at_s` to `at_s`. */
export interface OverlapEvent {
  event: "overlap";
  call: string;
  turn: number;
  end: "kept" | "resumed" | "yielded" | "passed";
  onset_at_s: number;
  ducked_at_s: number;
  stopped_at_s: number | null;
  at_s: number;
}

export interface ReplyEvent {
  event: "reply";
  call: string;
  turn: number;
  at_s: number;
  total_s: number;
  parts: [string, number][];
}

export interface QualityEvent {
  event: "quality";
  call: string;
  at_s: number;
  mos: number | null;
  loss: number;
  jitter_s: number;
  round_trip_s: number | null;
}

export interface TranslationEvent {
  event: "translation";
  call: string;
  at_s: number;
  text: string;
  language: string;
}

/** Something other than speech that the model heard. */
export interface SoundEvent {
  event: "sound";
  call: string;
  at_s: number;
  name: string;
  probability: number | null;
}

export interface MutedEvent {
  event: "muted";
  call: string;
  muted: boolean;
  at_s: number;
}

export interface KeyEvent {
  event: "key";
  call: string;
  digit: string;
  at_s: number;
}

export interface EndedEvent {
  event: "ended";
  call: string;
  at_s: number;
  outcome: string;
}

export interface DroppedEvent {
  event: "dropped";
  count: number;
}

export type CallEvent =
  | CallsEvent
  | CallChanged
  | DecisionEvent
  | MissingEvent
  | LevelsEvent
  | WordsEvent
  | TurnEvent
  | OverlapEvent
  | ReplyEvent
  | QualityEvent
  | TranslationEvent
  | SoundEvent
  | MutedEvent
  | KeyEvent
  | EndedEvent
  | DroppedEvent;
