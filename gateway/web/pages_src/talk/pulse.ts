/**
 * Notices that nothing comes from the gateway any more.
 *
 * The gateway sends fifty packets a second, silence too, and gives a path up after four seconds without any. Browsers
 * say `disconnected` much later: Chromium did not within seven seconds of silence (measured with 156).
 */

const EVERY_S = 0.5;
const DEAD_S = 4;

export class Pulse {
  private readonly timer: ReturnType<typeof setInterval>;

  /** `received` counts the packets so far; `dead` is told once. */
  constructor(received: () => Promise<number>, dead: () => void) {
    let known = -1;
    let knownAtS = performance.now() / 1000;
    this.timer = setInterval(async () => {
      const count = await received().catch(() => known);
      const nowS = performance.now() / 1000;
      if (count !== known) {
        known = count;
        knownAtS = nowS;
      } else if (nowS - knownAtS > DEAD_S) {
        this.stop();
        dead();
      }
    }, EVERY_S * 1000);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}
