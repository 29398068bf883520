/** Which span of the call the timeline shows, and where its cursor stands. Pure numbers; it tells its listeners of changes. */

const MIN_SPAN_S = 2;

export class Axis {
  startS = 0;
  spanS = 30;
  /** How long the call is, as far as known. */
  endS = 0;
  /** The view keeps to the live edge. */
  following = false;
  cursorS: number | null = null;
  private readonly listeners: (() => void)[] = [];

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  get viewEndS(): number {
    return this.startS + this.spanS;
  }

  /** Move the call's end; the view comes along when it follows. */
  extend(endS: number): void {
    if (endS === this.endS) return;
    this.endS = endS;
    if (this.following) this.startS = this.followStartS();
    this.tell();
  }

  follow(on: boolean): void {
    this.following = on;
    if (on) {
      this.cursorS = null;
      this.startS = this.followStartS();
    }
    this.tell();
  }

  pan(bySeconds: number): void {
    this.following = false;
    this.place(this.startS + bySeconds);
  }

  /** Zoom by a factor (< 1 shows less time) so that `aroundS` stays where it is; the live edge stays too when following. */
  zoom(factor: number, aroundS: number): void {
    const spanS = this.clampSpan(this.spanS * factor);
    const share = (aroundS - this.startS) / this.spanS;
    this.spanS = spanS;
    if (this.following) this.startS = this.followStartS();
    else this.startS = this.clampStart(aroundS - share * spanS);
    this.tell();
  }

  show(startS: number, endS: number): void {
    this.following = false;
    this.spanS = this.clampSpan(endS - startS);
    this.place(startS);
  }

  showAll(): void {
    this.show(0, Math.max(this.endS, MIN_SPAN_S));
  }

  /** Put the cursor somewhere; when that is out of sight, bring it to a third of the view. */
  seek(atS: number): void {
    this.cursorS = Math.max(0, Math.min(atS, this.endS));
    if (this.cursorS < this.startS || this.cursorS > this.viewEndS) {
      this.following = false;
      this.startS = this.clampStart(this.cursorS - this.spanS / 3);
    }
    this.tell();
  }

  /** Let the view turn its page when the cursor runs out of it, as while a recording plays. */
  run(atS: number): void {
    this.cursorS = atS;
    if (atS > this.viewEndS || atS < this.startS) this.startS = this.clampStart(atS - this.spanS * 0.05);
    this.tell();
  }

  clearCursor(): void {
    this.cursorS = null;
    this.tell();
  }

  private place(startS: number): void {
    this.startS = this.clampStart(startS);
    this.tell();
  }

  /** A little room right of the live edge, so that the newest chunk is not glued to the frame. */
  private followStartS(): number {
    return Math.max(0, this.endS - this.spanS * 0.97);
  }

  private clampSpan(spanS: number): number {
    return Math.max(MIN_SPAN_S, Math.min(spanS, Math.max(this.endS * 1.03, 30)));
  }

  private clampStart(startS: number): number {
    return Math.max(0, Math.min(startS, Math.max(0, this.endS * 1.03 - this.spanS)));
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

/** A step between ticks that reads well and lets `count` or fewer ticks fit into `spanS`. */
export function tickStepS(spanS: number, count: number): number {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
  return steps.find((step) => spanS / step <= count) ?? 7200;
}
