/** Short results of what was done, shown in a corner and read out by screen readers. */

import { h } from "../shared/dom";

const SHOWN_MS = 6_000;

const area = h("div", { class: "notices", role: "status", "aria-live": "polite" });

export function noticeArea(): HTMLElement {
  return area;
}

export function notice(text: string, kind: "done" | "problem" = "done"): void {
  const note = h("p", { class: `notice notice-${kind}` }, kind === "problem" ? "Problem: " : "", text);
  area.appendChild(note);
  setTimeout(() => note.remove(), SHOWN_MS);
}
