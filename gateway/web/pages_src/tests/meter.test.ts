import assert from "node:assert/strict";
import test from "node:test";
import { levelOf } from "../talk/meter";

test("full scale is 100, 60 dB below is 0, and nothing is outside", () => {
  assert.equal(levelOf(1), 100);
  assert.equal(levelOf(0.001), 0);
  assert.equal(levelOf(0), 0);
  assert.equal(levelOf(1.5), 100);
  assert.equal(levelOf(0.0001), 0);
});

test("6 dB are a tenth of the scale", () => {
  assert.equal(levelOf(0.5), 90);
  assert.equal(levelOf(0.25), 80);
});
