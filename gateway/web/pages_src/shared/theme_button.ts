/** Dark, light, or as the system has it: kept for the next visit. */

import { fill, h } from "./dom";

const CHOICES = ["system", "dark", "light"] as const;
type Choice = (typeof CHOICES)[number];
const SIGNS: Record<Choice, string> = { system: "◐", dark: "●", light: "○" };
const KEY = "twowire.theme";

export function themeButton(): HTMLButtonElement {
  let choice = CHOICES.find((name) => name === localStorage.getItem(KEY)) ?? "system";
  const button = h("button", {
    type: "button",
    class: "tool",
    onclick: () => set(CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length] ?? "system"),
  });
  const set = (wanted: Choice): void => {
    choice = wanted;
    localStorage.setItem(KEY, wanted);
    if (wanted === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = wanted;
    fill(button, h("span", { "aria-hidden": "true" }, SIGNS[wanted]), h("span", { class: "tool-words" }, ` Theme: ${wanted}`));
  };
  set(choice);
  return button;
}
