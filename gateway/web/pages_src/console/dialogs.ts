/** Questions before something that cannot be taken back. */

import { h } from "../shared/dom";

/** Ask yes or no; Escape is no. */
export function confirmed(title: string, text: string, yes: string): Promise<boolean> {
  return ask(title, [h("p", {}, text)], yes, () => true).then((answer) => answer ?? false);
}

/** Ask for a line of text and confirm it; null when given up. */
export function askedText(title: string, label: string, hint: string, yes: string): Promise<string | null> {
  const input = h("input", { id: "asked", type: "text", required: true, autocomplete: "off", spellcheck: "false", "aria-describedby": "asked-hint" });
  const field = [h("label", { for: "asked" }, label), input, h("p", { class: "hint", id: "asked-hint" }, hint)];
  return ask(title, field, yes, () => input.value.trim() || null);
}

function ask<T>(title: string, content: HTMLElement[], yes: string, answer: () => T): Promise<T | null> {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "dialog-title" },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id: "dialog-title" }, title),
        ...content,
        h(
          "div",
          { class: "dialog-buttons" },
          h("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Cancel"),
          h("button", { type: "submit", class: "button button-danger", value: "yes" }, yes),
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? answer() : null);
      dialog.remove();
    });
    document.body.appendChild(dialog);
    dialog.showModal();
  });
}
