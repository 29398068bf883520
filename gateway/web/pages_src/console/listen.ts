/** Hearing a live call: PCM from a WebSocket, played through a small buffer. */

import { socketUrl } from "./api";

/** Held before playing, so that the network's jitter is not heard; a chunk's audio may come in one piece. */
const BUFFER_S = 0.25;
/** With more than this waiting we are behind the call: skip, to be live again. */
const BEHIND_S = 1.5;

const VOICES = [
  { pan: -0.35 }, // the caller, a little to the left
  { pan: 0.35 },
];

export class Listener {
  private readonly socket: WebSocket;
  private readonly context = new AudioContext();
  private readonly outputs: AudioNode[];
  private readonly nextS = VOICES.map(() => 0);
  private readonly ended: (problem: string | null) => void;
  private rateHz = 8000;
  private over = false;

  /** `ended` is called once, with words when the gateway would not let us hear. */
  constructor(call: string, ended: (problem: string | null) => void) {
    this.ended = ended;
    this.outputs = VOICES.map(({ pan }) => {
      const panner = new StereoPannerNode(this.context, { pan });
      panner.connect(this.context.destination);
      return panner;
    });
    void this.context.resume();
    this.socket = new WebSocket(socketUrl(`/console/api/listen?call=${encodeURIComponent(call)}`));
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = (message) => {
      if (this.over) return;
      if (typeof message.data === "string") this.rateHz = (JSON.parse(message.data) as { rate_hz: number }).rate_hz;
      else this.play(message.data as ArrayBuffer);
    };
    let opened = false;
    this.socket.onopen = () => {
      opened = true;
    };
    this.socket.onclose = () => this.end(opened ? null : "The gateway did not let us listen in.");
  }

  close(): void {
    this.end(null); // silent at once: the socket's own farewell may take a while
    this.socket.close();
  }

  private end(problem: string | null): void {
    if (this.over) return;
    this.over = true;
    void this.context.close();
    this.ended(problem);
  }

  private play(frame: ArrayBuffer): void {
    const bytes = new DataView(frame);
    const voice = bytes.getUint8(0);
    const output = this.outputs[voice];
    const samples = Math.floor((frame.byteLength - 1) / 2);
    if (!output || samples === 0) return;
    const buffer = this.context.createBuffer(1, samples, this.rateHz);
    const channel = buffer.getChannelData(0);
    for (let sample = 0; sample < samples; sample += 1) channel[sample] = bytes.getInt16(1 + 2 * sample, true) / 32768;
    const nowS = this.context.currentTime;
    let startS = this.nextS[voice] ?? 0;
    if (startS < nowS) startS = nowS + BUFFER_S;
    if (startS > nowS + BEHIND_S) return;
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(output);
    source.start(startS);
    this.nextS[voice] = startS + buffer.duration;
  }
}
