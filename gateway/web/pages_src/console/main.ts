/** The operator console. */

import "../shared/theme.css";
import "./console.css";
import { fill, h } from "../shared/dom";
import { themeButton } from "../shared/theme_button";
import { NoSession, Refused, calls, logout } from "./api";
import { CallPage } from "./call_page";
import { ListPage } from "./list_page";
import type { LinkState } from "./live";
import { LoginPage } from "./login";
import { noticeArea } from "./notices";
import type { Page, Shell } from "./shell";

const LINK_WORDS: Record<LinkState, string> = { connecting: "Connecting", live: "Live", waiting: "Reconnecting", closed: "" };

class Console implements Shell {
  private readonly stage = h("div", { class: "stage" });
  private readonly link = h("span", { class: "link", role: "status" });
  private readonly trail = h("nav", { class: "trail", "aria-label": "Where you are" });
  private readonly leave: HTMLButtonElement;
  private page: Page | null = null;

  constructor(root: HTMLElement) {
    this.leave = h("button", { type: "button", class: "tool", hidden: true, onclick: () => void this.logout() }, "Log out");
    const head = h(
      "header",
      { class: "top" },
      h("a", { class: "skip", href: "#main" }, "Skip to the content"),
      h("a", { class: "brand", href: "/console" }, h("span", { class: "brand-mark", "aria-hidden": "true" }), "twowire"),
      this.trail,
      this.link,
      themeButton(),
      this.leave,
    );
    fill(root, head, this.stage, noticeArea());
    window.addEventListener("popstate", () => this.route());
    document.addEventListener("click", (event) => {
      const anchor = (event.target as Element).closest?.("a");
      if (!anchor || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || anchor.hasAttribute("download")) return;
      if (anchor.origin !== location.origin || !/^\/console(\/(past|calls\/[^/]+))?$/.test(anchor.pathname) || anchor.hash) return;
      event.preventDefault();
      this.go(anchor.pathname);
    });
  }

  async start(): Promise<void> {
    try {
      await calls(1);
      this.route();
    } catch (error) {
      if (error instanceof NoSession) this.noSession();
      else if (error instanceof Refused) this.route(); // the page's own feed says what is wrong, and tries again
      else throw error;
    }
  }

  go(path: string): void {
    history.pushState(null, "", path);
    this.route();
    window.scrollTo(0, 0);
    this.page?.element.focus({ preventScroll: true });
  }

  showLink(state: LinkState, waitS: number): void {
    this.link.className = `link link-${state}`;
    const words = state === "waiting" ? `${LINK_WORDS[state]} in ${Math.ceil(waitS)} s` : LINK_WORDS[state];
    if (this.link.textContent !== words) fill(this.link, words && h("span", { class: "tool-words" }, words));
  }

  noSession(): void {
    this.leave.hidden = true;
    this.show(new LoginPage(() => this.route()));
    fill(this.trail);
  }

  private route(): void {
    const call = /^\/console\/calls\/([^/]+)$/.exec(location.pathname)?.[1];
    this.leave.hidden = false;
    if (call !== undefined) {
      const id = decodeURIComponent(call);
      this.show(new CallPage(this, id));
      fill(this.trail, h("a", { href: "/console" }, "Calls"), h("span", { "aria-hidden": "true" }, "/"), h("span", { class: "crumb", "aria-current": "page" }, id));
    } else {
      this.show(new ListPage(this, location.pathname === "/console/past" ? "past" : "live"));
      fill(this.trail, h("span", { class: "crumb", "aria-current": "page" }, "Console"));
    }
  }

  private show(page: Page): void {
    this.page?.close();
    this.showLink("closed", 0);
    this.page = page;
    document.title = `${page.title} · twowire console`;
    fill(this.stage, page.element);
  }

  private async logout(): Promise<void> {
    await logout();
    this.noSession();
  }
}

const root = document.getElementById("console");
if (root) void new Console(root).start();
