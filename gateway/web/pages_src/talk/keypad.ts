/** A telephone's keys, for menus and numbers. */

import { h, setText } from "../shared/dom";

const KEYS: [string, string][] = [
  ["1", ""],
  ["2", "ABC"],
  ["3", "DEF"],
  ["4", "GHI"],
  ["5", "JKL"],
  ["6", "MNO"],
  ["7", "PQRS"],
  ["8", "TUV"],
  ["9", "WXYZ"],
  ["*", ""],
  ["0", "+"],
  ["#", ""],
];
const NAMES: Record<string, string> = { "*": "star", "#": "hash" };
const MAX_SHOWN = 16;

export class Keypad {
  readonly button: HTMLButtonElement;
  readonly element: HTMLElement;
  private readonly pressed = h("output", { class: "pressed", "aria-live": "polite", "aria-label": "Keys pressed" });
  private readonly press: (digit: string) => boolean;
  private open = false;

  /** `press` sends a key and tells whether it could. */
  constructor(press: (digit: string) => boolean) {
    this.press = press;
    this.button = h(
      "button",
      { type: "button", class: "round", "aria-expanded": "false", "aria-controls": "keypad", "aria-label": "Keypad", title: "Keypad", onclick: () => this.show(!this.open) },
      dots(),
    );
    this.element = h(
      "section",
      { class: "keypad", id: "keypad", "aria-label": "Keypad", hidden: true },
      this.pressed,
      h(
        "div",
        { class: "keys" },
        ...KEYS.map(([digit, letters]) =>
          h(
            "button",
            { type: "button", class: "key", "aria-label": NAMES[digit] ?? digit, onclick: () => this.send(digit) },
            h("span", { class: "digit" }, digit),
            h("span", { class: "letters", "aria-hidden": "true" }, letters),
          ),
        ),
      ),
    );
    document.addEventListener("keydown", (event) => this.typed(event));
  }

  show(on: boolean): void {
    this.open = on;
    this.element.hidden = !on;
    this.button.setAttribute("aria-expanded", String(on));
    if (!on) setText(this.pressed, "");
  }

  /** Usable in a call only. */
  enable(on: boolean): void {
    this.button.hidden = !on;
    if (!on) this.show(false);
  }

  private typed(event: KeyboardEvent): void {
    if (!this.open || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === "Escape") {
      this.show(false);
      this.button.focus();
    } else if (KEYS.some(([digit]) => digit === event.key)) {
      event.preventDefault();
      this.send(event.key);
    }
  }

  private send(digit: string): void {
    if (!this.press(digit)) setText(this.pressed, "no keys on this connection");
    else setText(this.pressed, (`${/^[\d*#]*$/.test(this.pressed.textContent ?? "") ? this.pressed.textContent : ""}${digit}`).slice(-MAX_SHOWN));
  }
}

function dots(): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  for (const y of [5, 12, 19]) {
    for (const x of [5, 12, 19]) {
      const dot = document.createElementNS(space, "circle");
      dot.setAttribute("cx", String(x));
      dot.setAttribute("cy", String(y));
      dot.setAttribute("r", "1.9");
      svg.append(dot);
    }
  }
  return svg;
}
