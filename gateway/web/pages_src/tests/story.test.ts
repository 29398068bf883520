import assert from "node:assert/strict";
import test from "node:test";
import type { DecisionEvent, WordsEvent } from "../shared/events";
import { Story } from "../shared/story";

function decision(index: number, kind: "listen" | "speak", late = false): DecisionEvent {
  const complete = (index + 1) * 0.4;
  const costs = { age_s: 0.01, queue_s: 0.001, step_s: 0.004 };
  return { event: "decision", call: "c", index, at_s: complete + 0.01, kind, turn: 0, epoch: 0, p_speak: null, worker: "w1", late, ...costs };
}

function words(voice: "caller" | "agent", turn: number, text: string, final: boolean, cut: string | null = null): WordsEvent {
  return { event: "words", call: "c", voice, at_s: turn, turn, text, heard: final && voice === "agent" ? text : null, cut, final };
}

test("a chunk's cell covers its time, and says what was decided", () => {
  const story = new Story();
  for (let index = 0; index < 5; index += 1) story.apply(decision(index, index < 3 ? "listen" : "speak", index === 2));
  const cells = story.cells(0, 2);
  assert.deepEqual(
    cells.map((cell) => cell.kind),
    ["listen", "listen", "late", "speak", "speak"],
  );
  assert.ok(Math.abs((cells[3]?.startS ?? 0) - 1.2) < 1e-6);
});

test("a chunk without a decision is lost, until one comes after all", () => {
  const story = new Story();
  for (const index of [0, 1, 3]) story.apply(decision(index, "listen"));
  story.apply({ event: "missing", call: "c", index: 2, at_s: 1.6 });
  assert.equal(story.cellAt(1.0)?.kind, "lost");
  story.apply(decision(2, "speak"));
  assert.equal(story.cellAt(1.0)?.kind, "speak");
});

test("the chunks in which the agent's voice was lowered are ducked, whatever became of it", () => {
  const story = new Story();
  for (let index = 0; index < 6; index += 1) story.apply(decision(index, "speak"));
  const times = { onset_at_s: 0.8, ducked_at_s: 0.85, stopped_at_s: null };
  story.apply({ event: "overlap", call: "c", turn: 1, end: "kept", ...times, at_s: 1.3 });
  story.apply({ event: "overlap", call: "c", turn: 1, end: "yielded", ...times, ducked_at_s: 2.1, at_s: 2.3 });
  assert.deepEqual(
    story.cells(0, 2.4).map((cell) => cell.kind),
    ["speak", "speak", "ducked", "ducked", "speak", "ducked"],
  );
  assert.equal(story.turns.get(1)?.duckS, 2.1);
  assert.equal(story.resumed(1), 0);
});

test("what was heard of a turn takes the place of what it was to say, and not the other way round", () => {
  const story = new Story();
  story.apply(words("agent", 1, "We open at nine and close at five", false));
  story.apply(words("agent", 1, "We open at nine", true, "and close at five"));
  story.apply(words("agent", 1, "We open at nine and close at five", false));
  assert.deepEqual(
    story.wordsInOrder().map((entry) => [entry.text, entry.cut]),
    [["We open at nine", "and close at five"]],
  );
});

test("an event of a kind that nobody knows is passed over", () => {
  const story = new Story();
  story.apply({ event: "weather", call: "c", at_s: 1 } as never);
  assert.equal(story.endS, 0);
});
