/** One connection with the gateway: the microphone up, the agent's voice down, the call's events beside them. */

import { fragmentOf } from "./fragment";

/** Candidates come within milliseconds; a TURN server that does not answer is not waited for. */
const GATHERING_S = 1;

export interface PathHandlers {
  /** The agent's voice. */
  heard(voice: MediaStream): void;
  /** A message of the event channel. */
  message(text: string): void;
  /** The connection changed, or its event channel closed. */
  changed(): void;
}

export class Path {
  readonly pc: RTCPeerConnection;
  readonly sender: RTCRtpSender;
  readonly events: RTCDataChannel;
  private readonly late: string[] = [];
  private gathered = false;
  private sendLate: ((fragment: string) => void) | null = null;

  constructor(microphone: MediaStream, iceServers: RTCIceServer[], handlers: PathHandlers) {
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.events = this.pc.createDataChannel("events", { ordered: true });
    const [track] = microphone.getAudioTracks();
    const transceiver = this.pc.addTransceiver(track ?? "audio", { direction: "sendrecv", streams: [microphone] });
    this.sender = transceiver.sender;
    preferOpus(transceiver);
    this.pc.addEventListener("track", (event) => handlers.heard(event.streams[0] ?? new MediaStream([event.track])));
    this.pc.addEventListener("connectionstatechange", () => handlers.changed());
    this.events.addEventListener("message", (event) => handlers.message(String(event.data)));
    this.events.addEventListener("close", () => handlers.changed());
  }

  /** Our side of the connection, with the candidates that were found soon. */
  async offer(): Promise<string> {
    const gathered = new Promise<void>((resolve) => {
      this.pc.addEventListener("icecandidate", (event) => {
        if (event.candidate) this.found(event.candidate.candidate);
        else {
          this.gathered = true;
          this.flush();
          resolve();
        }
      });
      setTimeout(resolve, GATHERING_S * 1000);
    });
    await this.pc.setLocalDescription();
    await gathered;
    this.late.length = 0; // the description has what was found so far
    return this.pc.localDescription?.sdp ?? "";
  }

  /** The gateway's side. `sendLate` brings it what is found from now on. */
  async accept(sdp: string, sendLate: (fragment: string) => void): Promise<void> {
    await this.pc.setRemoteDescription({ type: "answer", sdp });
    this.sendLate = sendLate;
    if (this.late.length > 0) this.flush();
  }

  get connected(): boolean {
    return this.pc.connectionState === "connected";
  }

  /** True when there is a connection within that time; false when there is none, or there never will be. */
  async connects(withinS: number): Promise<boolean> {
    return new Promise((resolve) => {
      const look = (): void => {
        const state = this.pc.connectionState;
        if (state !== "connected" && state !== "failed" && state !== "closed") return;
        done(state === "connected");
      };
      const timer = setTimeout(() => done(false), withinS * 1000);
      const done = (connected: boolean): void => {
        clearTimeout(timer);
        this.pc.removeEventListener("connectionstatechange", look);
        resolve(connected);
      };
      this.pc.addEventListener("connectionstatechange", look);
      look();
    });
  }

  /** Packets of the agent's voice so far. */
  async received(): Promise<number> {
    let packets = 0;
    for (const report of (await this.pc.getStats()).values()) {
      if (report.type === "inbound-rtp") packets += (report as RTCInboundRtpStreamStats).packetsReceived ?? 0;
    }
    return packets;
  }

  close(): void {
    this.sendLate = null;
    this.pc.close();
  }

  private found(candidate: string): void {
    if (candidate === "") return;
    this.late.push(candidate);
    if (this.sendLate) this.flush();
  }

  private flush(): void {
    if (!this.sendLate) return;
    const candidates = this.late.splice(0);
    this.sendLate(fragmentOf(this.pc.localDescription?.sdp ?? "", candidates, this.gathered));
  }
}

/** Opus first; what else the browser has stays on the list, telephone-event among it. */
function preferOpus(transceiver: RTCRtpTransceiver): void {
  const codecs = RTCRtpReceiver.getCapabilities("audio")?.codecs;
  if (!codecs || !("setCodecPreferences" in transceiver)) return;
  const isOpus = (codec: { mimeType: string }): boolean => codec.mimeType.toLowerCase() === "audio/opus";
  transceiver.setCodecPreferences([...codecs.filter(isOpus), ...codecs.filter((codec) => !isOpus(codec))]);
}
