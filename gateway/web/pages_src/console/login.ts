/** Asks for the console's token. */

import { h, setText } from "../shared/dom";
import { Refused, login } from "./api";
import type { Page } from "./shell";

export class LoginPage implements Page {
  readonly element: HTMLElement;
  readonly title = "Log in";

  constructor(entered: () => void) {
    const input = h("input", {
      id: "token",
      type: "password",
      name: "token",
      required: true,
      autocomplete: "current-password",
      spellcheck: "false",
      "aria-describedby": "token-hint login-problem",
    });
    const problem = h("p", { id: "login-problem", class: "problem", role: "alert" });
    const button = h("button", { type: "submit", class: "button button-main" }, "Open the console");
    const submit = async (event: Event): Promise<void> => {
      event.preventDefault();
      button.disabled = true;
      setText(problem, "");
      try {
        await login(input.value.trim());
        entered();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        setText(problem, error.message);
        input.select();
      } finally {
        button.disabled = false;
      }
    };
    this.element = h(
      "main",
      { class: "login", id: "main", tabindex: -1 },
      h(
        "form",
        { class: "login-card", onsubmit: (event: Event) => void submit(event) },
        h("h1", {}, "Operator console"),
        h("label", { for: "token" }, "Console token"),
        input,
        h("p", { id: "token-hint", class: "hint" }, "The gateway's configuration holds it; the demo prints it at its start."),
        problem,
        button,
      ),
    );
    queueMicrotask(() => input.focus());
  }

  close(): void {
    // Nothing runs behind this page.
  }
}
