/** How loud a voice is, in the steps and the scale of the gateway's own levels. */

export const STEP_S = 0.05;

/** −60 dBFS and below is 0, full scale is 100. */
export function levelOf(peak: number): number {
  if (peak <= 0) return 0;
  return Math.max(0, Math.min(100, Math.round(100 * (1 + (20 * Math.log10(peak)) / 60))));
}

export class Meter {
  private readonly analyser: AnalyserNode;
  private readonly samples: Float32Array<ArrayBuffer>;
  private source: MediaStreamAudioSourceNode | null = null;

  constructor(context: AudioContext) {
    this.analyser = context.createAnalyser();
    this.analyser.fftSize = 4096; // 85 ms at 48 kHz: the last step is always within
    this.samples = new Float32Array(Math.min(this.analyser.fftSize, Math.ceil(context.sampleRate * STEP_S)));
  }

  listenTo(voice: MediaStream): void {
    this.source?.disconnect();
    this.source = new MediaStreamAudioSourceNode(this.analyser.context as AudioContext, { mediaStream: voice });
    this.source.connect(this.analyser);
  }

  /** The peak of the last step. */
  level(): number {
    if (!this.source) return 0;
    this.analyser.getFloatTimeDomainData(this.samples);
    let peak = 0;
    for (const sample of this.samples) peak = Math.max(peak, Math.abs(sample));
    return levelOf(peak);
  }
}
