import assert from "node:assert/strict";
import test from "node:test";
import type { CallEvent, MissingEvent, TurnEvent } from "../shared/events";
import { CallClock } from "../talk/call_clock";

function turn(atS: number): TurnEvent {
  const none = { end: null, generated_s: 0, sent_s: 0, heard_s: 0, onset_at_s: null, stop_s: null };
  return { event: "turn", call: "c", turn: 1, state: "open", at_s: atS, ...none };
}

test("a clock without events does not know the time", () => {
  assert.equal(new CallClock().at(7), null);
});

test("the event that came soonest after it happened tells the time", () => {
  const clock = new CallClock();
  clock.learn(turn(1.0), 101.3); // 0.3 s on its way
  clock.learn(turn(2.0), 102.1); // 0.1 s
  clock.learn(turn(3.0), 103.2); // 0.2 s
  assert.ok(Math.abs((clock.at(104.1) ?? 0) - 4.0) < 1e-9);
});

test("events that waited while the page was away do not set the clock back", () => {
  const clock = new CallClock();
  clock.learn(turn(2.0), 102.1);
  clock.learn(turn(3.0), 112.0);
  assert.ok(Math.abs((clock.at(112.1) ?? 0) - 12.0) < 1e-9);
});

test("what tells of the past only is not believed", () => {
  const clock = new CallClock();
  const missing: MissingEvent = { event: "missing", call: "c", index: 3, at_s: 9 };
  clock.learn(missing as CallEvent, 5);
  assert.equal(clock.at(6), null);
});
