/** Dark, light, or as the system has it: kept for the next visit. */

import { h, setText } from "./dom";

const CHOICES = ["system", "dark", "light"] as const;
type Choice = (typeof CHOICES)[number];
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
    setText(button, `Theme: ${wanted}`);
  };
  set(choice);
  return button;
}
