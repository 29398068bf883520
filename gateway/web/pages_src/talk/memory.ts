/** What a page keeps so that its call survives a reload. Of this tab only, and gone with it. */

import type { CallEvent } from "../shared/events";
import type { Session } from "./signalling";

const KEY = "twowire.call";

export interface Kept {
  session: Session;
  call: string;
  /** When the call began, on this machine's clock. */
  beganUnixS: number | null;
  /** The newest words and turns; decisions and levels of the past are not kept. */
  told: CallEvent[];
}

export function keep(kept: Kept): void {
  sessionStorage.setItem(KEY, JSON.stringify(kept));
}

export function kept(): Kept | null {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Kept | null;
    return found && typeof found.session?.url === "string" && Array.isArray(found.told) ? found : null;
  } catch {
    return null;
  }
}

export function forget(): void {
  sessionStorage.removeItem(KEY);
}
