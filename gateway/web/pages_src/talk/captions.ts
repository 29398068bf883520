/** What both say, as it is said. What the agent had no time to say is struck through. */

import type { WordsEvent } from "../shared/events";
import { type Child, fill, h, isAtEnd, spoken } from "../shared/dom";
import { span } from "../shared/format";
import type { Story, Turn } from "../shared/story";

export class Captions {
  readonly element: HTMLElement;
  private readonly list: HTMLElement;
  private readonly story: Story;
  /** The newest words stay in sight, unless the reader went back to older ones. */
  private stays = true;
  private readonly items = new Map<string, { item: HTMLElement; shown: string }>();

  constructor(story: Story) {
    this.story = story;
    // New captions are read out; a change of one that was read is not read again.
    this.list = h("ol", { class: "captions", role: "log", "aria-live": "polite", "aria-relevant": "additions", "aria-label": "Captions", tabindex: 0 });
    this.list.addEventListener("scroll", () => {
      this.stays = isAtEnd(this.list);
    });
    new ResizeObserver(() => this.settle()).observe(this.list);
    this.element = h("section", { class: "words", "aria-label": "What was said" }, this.list);
  }

  /** Show what changed; entries that did not are left alone. */
  draw(): void {
    const wanted = this.story.wordsInOrder().filter((words) => words.text.trim() !== "");
    const keys = new Set(wanted.map(keyOf));
    for (const [key, { item }] of this.items) {
      if (keys.has(key)) continue;
      item.remove();
      this.items.delete(key);
    }
    wanted.forEach((words, place) => {
      const known = this.entry(words);
      if (this.list.children[place] !== known) this.list.insertBefore(known, this.list.children[place] ?? null);
    });
    this.settle();
  }

  private settle(): void {
    if (this.stays) this.list.scrollTop = this.list.scrollHeight;
  }

  private entry(words: WordsEvent): HTMLElement {
    const key = keyOf(words);
    const turn = words.voice === "agent" ? this.story.turns.get(words.turn) : undefined;
    const shown = JSON.stringify([words.text, words.heard, words.cut, words.final, turn?.end, turn?.stopS]);
    const known = this.items.get(key);
    if (known?.shown === shown) return known.item;
    const item = known?.item ?? h("li", { class: `said said-${words.voice}` });
    item.classList.toggle("said-open", !words.final);
    fill(
      item,
      h("span", { class: "voice" }, words.voice === "caller" ? "You" : "Agent"),
      h("p", { class: "text" }, ...textOf(words)),
      turn && fateOf(turn, words),
    );
    this.items.set(key, { item, shown });
    return item;
  }
}

/** The agent's words of a turn replace each other; so do the caller's until they are final. */
function keyOf(words: WordsEvent): string {
  if (words.voice === "agent") return `agent ${words.turn}`;
  return words.final ? `caller ${words.at_s}` : "caller now";
}

function textOf(words: WordsEvent): Child[] {
  if (words.voice === "caller" || !words.final || words.heard === null) return [words.text];
  if (!words.cut) return [words.heard || words.text];
  return [words.heard, words.heard && " ", spoken("(not heard: "), h("s", { class: "unheard" }, words.cut), spoken(")")];
}

function fateOf(turn: Turn, words: WordsEvent): HTMLElement | null {
  if (turn.end === "barged_in") {
    const stopped = turn.stopS === null ? "" : `, the agent stopped in ${span(turn.stopS)}`;
    return h("p", { class: "fate" }, h("span", { class: "badge", "aria-hidden": "true" }), `You interrupted${stopped}`);
  }
  return turn.end === "muted" && words.cut ? h("p", { class: "fate" }, "The agent was muted") : null;
}
