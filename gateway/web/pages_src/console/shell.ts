/** The frame around the console's pages: its header, the way from page to page, and the login when there is no session. */

import type { LinkState } from "./live";

export interface Page {
  readonly element: HTMLElement;
  readonly title: string;
  close(): void;
}

/** What a page may ask of the frame. */
export interface Shell {
  /** Go to a path of the console without loading it anew. */
  go(path: string): void;
  showLink(state: LinkState, waitS: number): void;
  /** The session is over: ask for the token, then come back to where we are. */
  noSession(): void;
}
