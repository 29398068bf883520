import assert from "node:assert/strict";
import test from "node:test";
import { microphoneProblem } from "../talk/microphone";
import { Problem, type ProblemKind, adviceOf } from "../talk/problems";

const KINDS: ProblemKind[] = [
  "insecure",
  "unsupported",
  "microphone_refused",
  "microphone_missing",
  "microphone_in_use",
  "microphone_failed",
  "unreachable",
  "not_offered",
  "not_open",
  "expired",
  "refused",
  "full",
  "no_path",
  "lost",
];

test("every problem has a title of its own and something to do about it", () => {
  const titles = KINDS.map((kind) => {
    const advice = adviceOf(new Problem(kind), "http://gateway.example");
    assert.ok(advice.steps.length > 0, kind);
    return advice.title;
  });
  assert.equal(new Set(titles).size, KINDS.length);
});

test("an insecure page names the address to use", () => {
  const advice = adviceOf(new Problem("insecure"), "http://gateway.example:8080");
  assert.ok(advice.steps.some((step) => step.includes("https://gateway.example:8080")));
});

test("a full gateway says how long to wait when it knows", () => {
  assert.match(adviceOf(new Problem("full", "", 10), "").steps.join(), /about 10 seconds/);
  assert.match(adviceOf(new Problem("full"), "").steps.join(), /in a moment/);
});

test("the browser's reason for no microphone is understood", () => {
  const kindOf = (name: string): ProblemKind => microphoneProblem(new DOMException("", name)).kind;
  assert.equal(kindOf("NotAllowedError"), "microphone_refused");
  assert.equal(kindOf("NotFoundError"), "microphone_missing");
  assert.equal(kindOf("NotReadableError"), "microphone_in_use");
  assert.equal(kindOf("SomethingNewError"), "microphone_failed");
});
