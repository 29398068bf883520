/** The talk page: one button, and a call. */

import "../shared/theme.css";
import "./talk.css";
import type { CallEvent } from "../shared/events";
import { Story } from "../shared/story";
import { Call, type CallState } from "./call";
import { CallClock } from "./call_clock";
import { forget, keep, kept } from "./memory";
import { Meter, STEP_S } from "./meter";
import { obstacle, openMicrophone } from "./microphone";
import { Problem } from "./problems";
import { type Session, deleteSession } from "./signalling";
import { View } from "./view";

const GONE = "The microphone is gone: the agent cannot hear you.";
const KEPT_SILENT = "Your browser keeps the agent silent.";
const SILENT = "Nothing comes from your microphone. Is it muted?";
const MAX_EVENTS = 1000;
/** Enough for the captions of what was said lately. */
const MAX_TOLD = 80;
/** A microphone that gave nothing at all for this long is switched off somewhere. */
const SILENT_S = 8;
/** Where motion is unwelcome, the timeline moves in steps. */
const CALM_REDRAW_S = 1;

class Talk {
  readonly events: CallEvent[] = [];
  readonly view: View;
  call: Call | null = null;
  /** Before there is a call: idle, or asking for the microphone. */
  waiting: CallState = "idle";
  private readonly audio = document.createElement("audio");
  private readonly calm = matchMedia("(prefers-reduced-motion: reduce)");
  private story = new Story();
  private clock = new CallClock();
  private microphone: MediaStream | null = null;
  private context: AudioContext | null = null;
  private caller: Meter | null = null;
  private agent: Meter | null = null;
  private callId = "";
  private metering = 0;
  private meteredStep = -1;
  /** When the microphone was opened; null once it gave a sound. */
  private silentSinceS: number | null = null;
  /** The words and turns so far: what a page that is loaded anew shows of its call. */
  private told: CallEvent[] = [];
  private drawnS = 0;

  constructor(root: HTMLElement) {
    this.view = new View(root, this.story, {
      talk: () => void this.talk(),
      hangUp: () => this.hangUp(),
      press: (digit) => this.call?.press(digit) ?? false,
    });
    this.audio.autoplay = true;
    this.audio.setAttribute("playsinline", "");
    document.body.append(this.audio);
    window.addEventListener("online", () => this.call?.retryNow());
    // The gateway learns at once that this page is away; the call waits for it to come back.
    window.addEventListener("pagehide", () => this.call?.path?.close());
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) this.call?.retryNow();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.draw();
    });
  }

  get state(): CallState {
    return this.call?.state ?? this.waiting;
  }

  get id(): string {
    return this.callId;
  }

  /** Look for what is in the way before anyone presses the button; go on with a call that was going on. */
  async start(): Promise<void> {
    const remembered = kept();
    if (remembered) {
      this.callId = remembered.call;
      this.clock.beganS = remembered.beganUnixS === null ? null : remembered.beganUnixS - pageBeganUnixS();
      for (const event of remembered.told) this.take(event);
      await this.talk(remembered.session);
    } else this.view.showProblem(obstacle());
  }

  private async talk(session: Session | null = null): Promise<void> {
    if (this.waiting === "asking" || (this.call && !this.call.over)) return;
    this.call = null;
    if (!session) this.clear();
    this.view.showProblem(null);
    this.enter("asking");
    this.context ??= new AudioContext();
    let microphone: MediaStream;
    try {
      microphone = await openMicrophone();
    } catch (error) {
      this.letGo();
      this.failed(error instanceof Problem ? error : new Problem("microphone_failed"));
      return;
    }
    if (this.state !== "asking") {
      stop(microphone); // hung up while the browser asked
      return;
    }
    this.use(microphone);
    const call = new Call(microphone, {
      state: (state) => this.entered(call, state),
      event: (event) => this.note(event),
      heard: (voice) => this.hear(voice),
      session: () => this.remember(),
    });
    this.call = call;
    this.waiting = "idle";
    this.metering = setInterval(() => this.meter(), STEP_S * 1000);
    this.animate();
    if (session) await call.resume(session, this.agentAudible());
    else await call.begin();
  }

  private agentAudible(): boolean {
    return [...this.story.turns.values()].some((turn) => turn.audibleS !== null && turn.endS === null);
  }

  private hangUp(): void {
    if (this.call) {
      this.call.hangUp();
      this.view.showOutcome("caller_hung_up");
    } else {
      this.letGo();
      this.enter("idle");
    }
  }

  /** Hang up a call that this page was about to come back to. */
  private letGo(): void {
    const remembered = kept();
    if (remembered) void deleteSession(remembered.session);
    forget();
  }

  private enter(state: CallState): void {
    this.waiting = state;
    this.view.show(state);
  }

  private entered(call: Call, state: CallState): void {
    if (this.call !== null && call !== this.call) return;
    this.view.show(state);
    if (state === "listening" || state === "speaking") this.listenIn();
    if (!call.over) return;
    forget();
    this.release();
    this.view.dropNotice();
    const last = this.events[this.events.length - 1];
    if (last?.event === "ended") this.view.showOutcome(last.outcome);
    if (call.problem) this.failed(call.problem);
  }

  private failed(problem: Problem): void {
    this.waiting = "failed";
    this.view.show("failed");
    this.view.showProblem(problem);
  }

  private clear(): void {
    this.events.length = 0;
    this.callId = "";
    this.told = [];
    this.story = new Story();
    this.clock = new CallClock();
    this.meteredStep = -1;
    this.view.stage(this.story);
  }

  private use(microphone: MediaStream): void {
    this.microphone = microphone;
    this.silentSinceS = now();
    if (!this.context) return;
    void this.context.resume();
    this.caller ??= new Meter(this.context);
    this.caller.listenTo(microphone);
    const [track] = microphone.getAudioTracks();
    track?.addEventListener("ended", () => void this.microphoneLost());
  }

  /** Unplugged, or taken away: another one may take its place. */
  private async microphoneLost(): Promise<void> {
    const call = this.call;
    if (!call || call.over) return;
    try {
      const microphone = await openMicrophone();
      if (call.over) {
        stop(microphone);
        return;
      }
      this.use(microphone);
      await call.replaceMicrophone(microphone);
      this.view.dropNotice(GONE);
    } catch {
      this.view.showNotice(GONE, { label: "Try again", act: () => void this.microphoneLost() });
    }
  }

  private hear(voice: MediaStream): void {
    this.audio.srcObject = voice;
    if (this.context) {
      this.agent ??= new Meter(this.context);
      this.agent.listenTo(voice);
    }
    this.listenIn();
  }

  /** A page that was loaded anew may be kept from making a sound until it is touched. */
  private listenIn(): void {
    if (!this.audio.srcObject) return;
    void this.context?.resume();
    this.audio.play().then(
      () => undefined,
      (error: unknown) => {
        if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return;
        this.view.showNotice(KEPT_SILENT, {
          label: "Let it be heard",
          act: () => {
            this.view.dropNotice(KEPT_SILENT);
            this.listenIn();
          },
        });
      },
    );
  }

  private release(): void {
    clearInterval(this.metering);
    if (this.microphone) stop(this.microphone);
    this.microphone = null;
    this.audio.srcObject = null;
  }

  private note(event: CallEvent): void {
    this.events.push(event);
    if (this.events.length > MAX_EVENTS) this.events.shift();
    this.clock.learn(event, now());
    const call = "call" in event && typeof event.call === "string" ? event.call : event.event === "call" ? event.call.call : "";
    const news = call !== "" && call !== this.callId;
    if (news) this.callId = call;
    this.take(event);
    if (event.event === "reply") this.view.scene.showReply(event.total_s);
    if (news || event.event === "words" || event.event === "turn") this.remember();
  }

  private take(event: CallEvent): void {
    this.story.apply(event);
    if (event.event !== "words" && event.event !== "turn") return;
    this.told.push(event);
    if (this.told.length > MAX_TOLD) this.told.shift();
    this.view.captions.draw();
  }

  private remember(): void {
    const call = this.call;
    if (!call?.session || call.over) return;
    const beganUnixS = this.clock.beganS === null ? null : this.clock.beganS + pageBeganUnixS();
    keep({ session: call.session, call: this.callId, beganUnixS, told: this.told });
  }

  /** Note how loud both are, on the call's time; steps that a late timer left out are as loud as this one. */
  private meter(): void {
    const atS = this.clock.at(now());
    const [caller, agent] = [this.caller?.level() ?? 0, this.agent?.level() ?? 0];
    this.watchMicrophone(caller);
    if (atS === null) return;
    const step = Math.floor(atS / STEP_S);
    const steps = Math.min(step - this.meteredStep, 10);
    if (steps > 0) {
      const first = (step - steps + 1) * STEP_S;
      this.story.caller.put(first, STEP_S, Array<number>(steps).fill(caller));
      this.story.agent.put(first, STEP_S, Array<number>(steps).fill(agent));
    }
    this.meteredStep = step;
  }

  private watchMicrophone(level: number): void {
    if (this.silentSinceS === null) return;
    if (level > 0) {
      this.silentSinceS = null;
      this.view.dropNotice(SILENT);
    } else if (now() - this.silentSinceS > SILENT_S) this.view.showNotice(SILENT);
  }

  private animate(): void {
    if (!this.call || this.call.over) return;
    if (!this.calm.matches || now() - this.drawnS >= CALM_REDRAW_S) this.draw();
    requestAnimationFrame(() => this.animate());
  }

  private draw(): void {
    this.drawnS = now();
    const atS = this.call && !this.call.over ? this.clock.at(now()) : null;
    if (atS === null) return;
    this.view.scene.moveTo(atS);
    this.view.showClock(atS);
  }
}

/** The page's clock. */
function now(): number {
  return performance.now() / 1000;
}

function pageBeganUnixS(): number {
  return performance.timeOrigin / 1000;
}

function stop(microphone: MediaStream): void {
  for (const track of microphone.getTracks()) track.stop();
}

const root = document.getElementById("talk");
if (root) {
  const talk = new Talk(root);
  // For tests in a browser, and for whoever looks into a call from the developer tools.
  Object.defineProperty(window, "twowire", {
    value: {
      get state() {
        return talk.state;
      },
      get call() {
        return talk.id;
      },
      get session() {
        return talk.call?.session?.url ?? null;
      },
      get pc() {
        return talk.call?.path?.pc ?? null;
      },
      events: talk.events,
    },
  });
  void talk.start();
}
