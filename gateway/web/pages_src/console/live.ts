/** A WebSocket that comes back by itself. */

import { NoSession, socketUrl } from "./api";

/** A second, then longer, at most a quarter of a minute: many consoles must not storm a gateway that restarts. */
const WAITS_S = [0.5, 1, 2, 4, 8, 15];

/** The close code of a session that is over. */
const LOGGED_OUT = 4401;

export type LinkState = "connecting" | "live" | "waiting" | "closed";

export interface LiveHandlers {
  message(data: unknown): void;
  /** `waitS`: until the next try, when waiting. */
  state(state: LinkState, waitS: number): void;
  noSession(): void;
  /**
   * Ask the gateway what can be asked without the socket. A refused upgrade looks like any other failure to a page:
   * only a plain request tells that the session is over (it throws `NoSession`), or that the call is.
   */
  probe(): Promise<unknown>;
}

export class LiveFeed {
  private readonly url: string;
  private readonly handlers: LiveHandlers;
  private socket: WebSocket | null = null;
  private tries = 0;
  private timer = 0;
  private closed = false;

  constructor(path: string, handlers: LiveHandlers) {
    this.url = socketUrl(path);
    this.handlers = handlers;
    this.open();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.close();
    this.handlers.state("closed", 0);
  }

  private open(): void {
    this.handlers.state("connecting", 0);
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => this.handlers.state("live", 0);
    socket.onmessage = (message) => {
      this.tries = 0; // not at the opening: a gateway that accepts and then closes must not be hammered
      if (!this.closed && typeof message.data === "string") this.handlers.message(JSON.parse(message.data));
    };
    socket.onclose = (event) => {
      if (this.closed) return;
      if (event.code === LOGGED_OUT) this.leave();
      else void this.retry();
    };
  }

  private async retry(): Promise<void> {
    const waitS = (WAITS_S[Math.min(this.tries, WAITS_S.length - 1)] ?? 15) * (0.8 + 0.4 * Math.random());
    this.tries += 1;
    this.handlers.state("waiting", waitS);
    try {
      await this.handlers.probe();
    } catch (error) {
      if (error instanceof NoSession && !this.closed) this.leave();
    }
    if (!this.closed) this.timer = window.setTimeout(() => this.open(), waitS * 1000);
  }

  private leave(): void {
    this.close();
    this.handlers.noSession();
  }
}
