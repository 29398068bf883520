/**
 * One call from this page: begun, kept alive over broken networks and reloads, hung up.
 *
 * The call lives in the gateway and is reached by its session; a `Path` is only how the page is connected at present.
 * When a path breaks, another is offered to the same session, for as long as the gateway waits.
 */

import type { CallEvent } from "../shared/events";
import { Path } from "./path";
import { Problem } from "./problems";
import { Pulse } from "./pulse";
import { CallOver, type Answered, type Session, deleteSession, fetchConfig, patchCandidates, postOffer, postReattach } from "./signalling";

export type CallState = "idle" | "asking" | "connecting" | "listening" | "speaking" | "reconnecting" | "ended" | "failed";

/** How long a first connection may take: a TURN server over TCP, on a slow line. */
const CONNECT_S = 12;
/** WebRTC says `disconnected` at every hiccup, and most heal within a second. */
const HICCUP_S = 1;
/** The gateway waits 15 s for a page that is away. */
const REATTACH_S = 15;
/** A path that another network blocks for three seconds still comes up. */
const REATTACH_TRY_S = 6;
const WAITS_S = [0.25, 0.5, 1, 2, 2];

export interface CallHandlers {
  state(state: CallState): void;
  event(event: CallEvent): void;
  heard(voice: MediaStream): void;
  /** The call has a session: whoever keeps it can come back. */
  session(session: Session): void;
}

export class Call {
  state: CallState = "connecting";
  session: Session | null = null;
  path: Path | null = null;
  /** Why the call failed. */
  problem: Problem | null = null;
  private microphone: MediaStream;
  private readonly handlers: CallHandlers;
  private iceServers: RTCIceServer[] = [];
  private agentAudible = false;
  private hiccup: ReturnType<typeof setTimeout> | undefined;
  private pulse: Pulse | null = null;
  private reattaching = false;

  constructor(microphone: MediaStream, handlers: CallHandlers) {
    this.microphone = microphone;
    this.handlers = handlers;
  }

  /** Nothing more will happen. */
  get over(): boolean {
    return this.state === "ended" || this.state === "failed";
  }

  /** A new call. Ends in a state, never raises. */
  async begin(): Promise<void> {
    this.enter("connecting");
    try {
      const config = await fetchConfig();
      if (this.over) return;
      this.iceServers = config.ice_servers;
      const path = this.newPath();
      const answer = await postOffer(config, await path.offer());
      if (this.over) {
        void deleteSession(answer.session); // hung up meanwhile
        return;
      }
      await this.take(path, answer);
      if (!(await path.connects(CONNECT_S)) && !this.over) throw new Problem("no_path");
      if (this.over) return;
      this.converse();
      this.settled(path);
    } catch (error) {
      this.fail(error instanceof Problem ? error : new Problem("refused", String(error)));
    }
  }

  /** The call of a page that was loaded anew, whose agent spoke or not. Ends in a state, never raises. */
  async resume(session: Session, agentAudible: boolean): Promise<void> {
    this.session = session;
    this.agentAudible = agentAudible;
    await this.reattach();
  }

  /** Another microphone in the place of one that was unplugged. */
  async replaceMicrophone(microphone: MediaStream): Promise<void> {
    this.microphone = microphone;
    await this.path?.sender.replaceTrack(microphone.getAudioTracks()[0] ?? null);
  }

  hangUp(): void {
    if (this.over) return;
    if (this.session) void deleteSession(this.session);
    this.enter("ended");
  }

  /** Press a key; false when the connection carries none. */
  press(digit: string): boolean {
    const dtmf = this.path?.sender.dtmf;
    if (!dtmf?.canInsertDTMF) return false;
    dtmf.insertDTMF(dtmf.toneBuffer + digit, 120, 60);
    return true;
  }

  /** The network came back: try at once. */
  retryNow(): void {
    if (this.path && !this.path.connected && this.session && !this.over) void this.reattach();
  }

  private newPath(): Path {
    const path = new Path(this.microphone, this.iceServers, {
      heard: (voice) => {
        if (path === this.path) this.handlers.heard(voice);
      },
      message: (text) => this.told(text),
      changed: () => {
        if (path === this.path) this.watch(path);
      },
    });
    this.path?.close();
    this.path = path;
    return path;
  }

  private async take(path: Path, answer: Answered): Promise<void> {
    this.session = answer.session;
    this.handlers.session(answer.session);
    await path.accept(answer.sdp, (fragment) => void patchCandidates(answer.session, fragment));
  }

  /** There is a path, or was a moment ago: look after it from now on. */
  private settled(path: Path): void {
    this.pulse = new Pulse(
      () => path.received(),
      () => void this.reattach(),
    );
    this.watch(path);
  }

  /** Notice that a path broke: at once when it says so, after a moment when it may still heal. */
  private watch(path: Path): void {
    clearTimeout(this.hiccup);
    if (this.over || this.reattaching || this.state === "connecting") return;
    const state = path.pc.connectionState;
    // The gateway closes the channel when it ends the call; then re-attaching tells us so.
    if (state === "failed" || state === "closed" || path.events.readyState === "closed") void this.reattach();
    else if (state === "disconnected") this.hiccup = setTimeout(() => void this.reattach(), HICCUP_S * 1000);
  }

  private async reattach(): Promise<void> {
    if (this.reattaching || this.over) return;
    this.reattaching = true;
    this.pulse?.stop();
    this.enter("reconnecting");
    await this.reattachInTime();
    this.reattaching = false;
    if (this.path && !this.over) this.settled(this.path);
  }

  private async reattachInTime(): Promise<void> {
    const untilS = performance.now() / 1000 + REATTACH_S;
    let detail = "";
    for (let tries = 0; performance.now() / 1000 < untilS; tries += 1) {
      try {
        await this.reattachOnce();
        return;
      } catch (error) {
        if (this.over) return;
        if (error instanceof CallOver) {
          this.enter("ended");
          return;
        }
        detail = error instanceof Problem ? error.detail : String(error);
      }
      await pause(WAITS_S[Math.min(tries, WAITS_S.length - 1)] ?? 1);
      if (this.over) return;
    }
    this.fail(new Problem("lost", detail));
  }

  /** Raises CallOver, or a Problem that another try may overcome. */
  private async reattachOnce(): Promise<void> {
    const session = this.session;
    if (!session) throw new CallOver();
    // Credentials of TURN servers run out; those of before do when there are no others.
    this.iceServers = await fetchConfig().then((config) => config.ice_servers, () => this.iceServers);
    if (this.over) return;
    const path = this.newPath();
    const answer = await postReattach(session, await path.offer());
    if (this.over) return;
    await this.take(path, answer);
    const connected = await path.connects(REATTACH_TRY_S);
    if (this.over) return;
    if (!connected) throw new Problem("no_path");
    this.converse();
  }

  private converse(): void {
    const state = this.agentAudible ? "speaking" : "listening";
    if (state !== this.state) this.enter(state);
  }

  /** Events come one by one or several in a message; what is not understood is left out. */
  private told(text: string): void {
    let events: unknown;
    try {
      events = JSON.parse(text);
    } catch {
      return;
    }
    for (const event of Array.isArray(events) ? events : [events]) this.note(event as CallEvent);
  }

  private note(event: CallEvent): void {
    if (event.event === "turn") this.agentAudible = event.state === "audible";
    else if (event.event === "call") this.agentAudible = event.call.turn_state === "speaking";
    this.handlers.event(event);
    if (event.event === "ended") {
      if (!this.over) this.enter("ended");
    } else if (this.state === "listening" || this.state === "speaking") {
      this.converse();
    }
  }

  private fail(problem: Problem): void {
    if (this.over) return;
    this.problem = problem;
    if (this.session) void deleteSession(this.session);
    this.enter("failed");
  }

  private enter(state: CallState): void {
    this.state = state;
    if (this.over) {
      clearTimeout(this.hiccup);
      this.pulse?.stop();
      this.path?.close();
    }
    this.handlers.state(state);
  }
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
