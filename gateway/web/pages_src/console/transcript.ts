/** What both said, in the order in which it was spoken; what the caller did not hear is struck through. */

import { type Child, fill, h, isAtEnd, spoken } from "../shared/dom";
import type { WordsEvent } from "../shared/events";
import { moment, span } from "../shared/format";
import type { Moment, Story, Turn } from "../shared/story";

export class Transcript {
  readonly element: HTMLElement;
  private readonly list = h("ol", { class: "words", tabindex: 0, "aria-label": "Transcript" });
  private readonly story: Story;
  private readonly seek: (atS: number) => void;
  private starts: { atS: number; item: HTMLElement }[] = [];

  constructor(story: Story, seek: (atS: number) => void) {
    this.story = story;
    this.seek = seek;
    this.element = h(
      "section",
      { class: "panel transcript", "aria-labelledby": "transcript-title" },
      h("header", { class: "panel-head" }, h("h2", { id: "transcript-title" }, "Transcript")),
      this.list,
    );
  }

  draw(): void {
    const stays = isAtEnd(this.list) && !this.story.ended;
    const entries: { atS: number; item: HTMLElement }[] = [
      ...this.story.wordsInOrder().map((words) => ({ atS: this.story.spokenAtS(words), item: this.entry(words) })),
      ...[...this.story.moments.values()].map((moment) => ({ atS: moment.atS, item: this.momentEntry(moment) })),
    ].sort((a, b) => a.atS - b.atS);
    this.starts = entries;
    if (entries.length === 0) fill(this.list, h("li", { class: "empty" }, "Nothing has been said yet."));
    else fill(this.list, ...entries.map((entry) => entry.item));
    if (stays) this.list.scrollTop = this.list.scrollHeight;
  }

  /** Mark the entry that was being spoken at the timeline's cursor, and bring it into sight. */
  mark(atS: number | null): void {
    let current: HTMLElement | null = null;
    for (const { atS: startS, item } of this.starts) {
      if (atS !== null && startS <= atS + 0.05) current = item;
      item.classList.remove("current");
    }
    if (!current) return;
    current.classList.add("current");
    const top = current.offsetTop - this.list.offsetTop;
    const { scrollTop, clientHeight } = this.list;
    if (top < scrollTop || top + current.offsetHeight > scrollTop + clientHeight) this.list.scrollTop = top - clientHeight / 3;
  }

  private entry(words: WordsEvent): HTMLElement {
    const atS = this.story.spokenAtS(words);
    const turn = words.voice === "agent" ? this.story.turns.get(words.turn) : undefined;
    return h(
      "li",
      { class: `said said-${words.voice}${words.final ? "" : " said-open"}` },
      this.timeButton(atS),
      h("span", { class: "voice" }, words.voice === "caller" ? "Caller" : "Agent"),
      h("div", { class: "text" }, h("p", {}, ...spokenWords(words)), turn && outcome(turn, words, this.story)),
    );
  }

  private momentEntry(moment: Moment): HTMLElement {
    return h("li", { class: "said said-moment" }, this.timeButton(moment.atS), h("span", { class: "voice" }), h("div", { class: "text" }, moment.text));
  }

  private timeButton(atS: number): HTMLElement {
    return h("button", { type: "button", class: "time", onclick: () => this.seek(atS), "aria-label": `Show ${moment(atS)} on the timeline` }, moment(atS));
  }
}

/** Heard words, then unheard ones struck through and said to be so. */
function spokenWords(words: WordsEvent): Child[] {
  if (words.voice === "caller" || words.heard === null || !words.final) return [words.text];
  if (!words.cut) return [words.heard || words.text];
  return [words.heard, words.heard && " ", spoken("(not heard: "), h("s", { class: "unheard" }, words.cut), spoken(")")];
}

function outcome(turn: Turn, words: WordsEvent, story: Story): HTMLElement | null {
  const about = words.estimated && words.cut ? ", the cut about there" : "";
  const shares = `heard ${span(turn.heardS)} of ${span(turn.generatedS)}${about}`;
  switch (turn.end) {
    case "barged_in":
      return h(
        "p",
        { class: "fate fate-barge" },
        h("span", { class: "badge badge-barge" }, "Barge-in"),
        turn.stopS === null ? "" : `stopped in ${span(turn.stopS)} · `,
        shares,
      );
    case "superseded":
      return h("p", { class: "fate" }, h("span", { class: "badge" }, "Replaced"), shares);
    case "muted":
      return h("p", { class: "fate" }, h("span", { class: "badge" }, "Muted"), shares);
    case "runaway":
      return h("p", { class: "fate" }, h("span", { class: "badge" }, "Had no end"), shares);
    case "leg_lost":
      return h("p", { class: "fate" }, h("span", { class: "badge" }, "Connection lost"), shares);
    case "call_ended":
      return h("p", { class: "fate" }, h("span", { class: "badge" }, "Call ended"), shares);
    case "played":
      return story.resumed(turn.turn) ? h("p", { class: "fate" }, h("span", { class: "badge" }, "Resumed"), "stopped, and went on") : null;
    default:
      return null;
  }
}
