/** The peak levels of one voice: a growing tape of octets, one per step. */

export class Levels {
  stepS = 0.05;
  private tape = new Uint8Array(2048);
  private length = 0;

  get endS(): number {
    return this.length * this.stepS;
  }

  /** Write a piece at its place; pieces may come twice, and in any order. */
  put(startS: number, stepS: number, levels: readonly number[]): void {
    if (this.length === 0) this.stepS = stepS;
    const first = Math.round(startS / this.stepS);
    if (first < 0 || first > 2_000_000) return; // more than a day: not a call
    const end = first + levels.length;
    if (end > this.tape.length) {
      const larger = new Uint8Array(Math.max(end, this.tape.length * 2));
      larger.set(this.tape);
      this.tape = larger;
    }
    this.tape.set(levels, first);
    this.length = Math.max(this.length, end);
  }

  at(step: number): number {
    return step < this.length ? (this.tape[step] ?? 0) : 0;
  }

  /** The highest level in `[startS, endS)`, which may be shorter than a step; 0 where nothing is known. */
  peak(startS: number, endS: number): number {
    const first = Math.max(0, Math.floor(startS / this.stepS));
    const last = Math.min(this.length, Math.max(first + 1, Math.ceil(endS / this.stepS)));
    let highest = 0;
    for (let step = first; step < last; step += 1) highest = Math.max(highest, this.tape[step] ?? 0);
    return highest;
  }
}

/** −36 dBFS: above the noise of a phone line, below quiet speech. */
const SPEECH_LEVEL = 40;
/** Speech has gaps between its syllables; an overlap goes on across one this long. */
const GAP_S = 0.2;

/** The spans in `[startS, endS)` in which both voices speak. */
export function overlaps(caller: Levels, agent: Levels, startS: number, endS: number): [number, number][] {
  const theirs = speech(agent, startS, endS);
  const spans: [number, number][] = [];
  let place = 0;
  for (const [fromS, toS] of speech(caller, startS, endS)) {
    while (place > 0 && (theirs[place - 1]?.[1] ?? 0) > fromS) place -= 1;
    for (; place < theirs.length; place += 1) {
      const other = theirs[place];
      if (!other || other[0] >= toS) break;
      if (other[1] > fromS) spans.push([Math.max(fromS, other[0]), Math.min(toS, other[1])]);
    }
  }
  return spans;
}

/** When one voice speaks, its gaps bridged. Looks a gap further than asked, so that a view's edge changes nothing. */
function speech(levels: Levels, startS: number, endS: number): [number, number][] {
  const stepS = levels.stepS;
  const spans: [number, number][] = [];
  const first = Math.max(0, Math.floor((startS - GAP_S) / stepS));
  const last = Math.ceil(Math.min(endS + GAP_S, levels.endS) / stepS);
  for (let step = first; step < last; step += 1) {
    if (levels.at(step) < SPEECH_LEVEL) continue;
    const current = spans[spans.length - 1];
    if (current && step * stepS - current[1] <= GAP_S + 1e-6) current[1] = (step + 1) * stepS;
    else spans.push([step * stepS, (step + 1) * stepS]);
  }
  return spans;
}
