/** What the marks on the timeline mean, for those who see them. */

import { h } from "./dom";

export type Sign = "caller" | "agent" | "overlap" | "barge-in" | "listen" | "speak" | "ducked" | "late" | "lost";

export function legend(signs: readonly Sign[], names: Partial<Record<Sign, string>> = {}): HTMLElement {
  return h(
    "ul",
    { class: "legend", "aria-label": "Legend" },
    ...signs.map((sign) => h("li", {}, h("span", { class: `swatch swatch-${sign}`, "aria-hidden": "true" }), names[sign] ?? sign)),
  );
}
