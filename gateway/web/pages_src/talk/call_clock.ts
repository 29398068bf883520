/** The call's time on this page's clock, learnt from its events. */

import type { CallEvent } from "../shared/events";

export class CallClock {
  /** When the call began, on the page's clock; null while nobody said. */
  beganS: number | null = null;

  /**
   * An event cannot come before it happens, and some come late (they travel in bundles, or waited while the page was
   * away): the earliest beginning that any of them allows is the one closest to the truth.
   */
  learn(event: CallEvent, nowS: number): void {
    if (event.event !== "decision" && event.event !== "turn") return;
    const beganS = nowS - event.at_s;
    if (this.beganS === null || beganS < this.beganS) this.beganS = beganS;
  }

  /** Seconds since the call began. */
  at(nowS: number): number | null {
    return this.beganS === null ? null : nowS - this.beganS;
  }
}
