import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";
import type { CallEvent } from "../shared/events";
import { Call, type CallState } from "../talk/call";

/** As much of a peer connection as a call uses; it connects as soon as it has an answer. */
class FakePeer extends EventTarget {
  static all: FakePeer[] = [];
  static connects = true;
  connectionState = "new";
  localDescription: { sdp: string } | null = null;
  readonly channel = Object.assign(new EventTarget(), { readyState: "open" });
  readonly sender = { dtmf: null };

  constructor() {
    super();
    FakePeer.all.push(this);
  }

  createDataChannel(): unknown {
    return this.channel;
  }

  addTransceiver(): unknown {
    return { sender: this.sender };
  }

  async setLocalDescription(): Promise<void> {
    this.localDescription = { sdp: `offer ${FakePeer.all.length}` };
    this.dispatchEvent(Object.assign(new Event("icecandidate"), { candidate: null }));
  }

  async setRemoteDescription(): Promise<void> {
    this.become(FakePeer.connects ? "connected" : "failed");
  }

  async getStats(): Promise<Map<string, unknown>> {
    return new Map();
  }

  become(state: string): void {
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }

  tell(events: unknown): void {
    this.channel.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(events) }));
  }

  close(): void {
    this.connectionState = "closed";
  }
}

type Answer = { status: number; headers?: Record<string, string>; body?: string };

const WHIP = "http://gateway.example/whip";
const SESSION = `${WHIP}/abc`;
let requests: string[] = [];
let answers: Record<string, Answer> = {};

beforeEach(() => {
  FakePeer.all = [];
  FakePeer.connects = true;
  requests = [];
  answers = {
    "GET /talk/config.json": { status: 200, body: JSON.stringify({ whip: "/whip", token: "t", ice_servers: [] }) },
    "POST /whip": { status: 201, headers: { Location: "/whip/abc", ETag: '"e"' }, body: "answer" },
    [`POST ${SESSION}`]: { status: 201, headers: { Location: "/whip/abc", ETag: '"f"' }, body: "answer" },
    [`DELETE ${SESSION}`]: { status: 200 },
  };
  Object.assign(globalThis, {
    location: { href: "http://gateway.example/" },
    RTCPeerConnection: FakePeer,
    RTCRtpReceiver: { getCapabilities: () => null },
    fetch: async (url: string, request: RequestInit = {}) => {
      const asked = `${request.method ?? "GET"} ${url}`;
      requests.push(asked);
      const answer = answers[asked] ?? { status: 500 };
      return new Response(answer.body ?? null, { status: answer.status, headers: answer.headers ?? {} });
    },
  });
});

interface Seen {
  call: Call;
  states: CallState[];
  events: CallEvent[];
}

function newCall(): Seen {
  const states: CallState[] = [];
  const events: CallEvent[] = [];
  const microphone = { getAudioTracks: () => [] } as unknown as MediaStream;
  const call = new Call(microphone, {
    state: (state) => states.push(state),
    event: (event) => events.push(event),
    heard: () => undefined,
    session: () => undefined,
  });
  return { call, states, events };
}

/** Until `done`, which takes a few turns of the event loop. */
async function until(done: () => boolean): Promise<void> {
  for (let turns = 0; turns < 1000 && !done(); turns += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(done(), "expected it to happen, it did not");
}

test("a call connects and listens", async () => {
  const { call, states } = newCall();
  await call.begin();
  assert.deepEqual(states, ["connecting", "listening"]);
  assert.equal(call.session?.url, SESSION);
  call.hangUp();
});

test("hanging up tells the gateway", async () => {
  const { call, states } = newCall();
  await call.begin();
  call.hangUp();
  assert.equal(states.at(-1), "ended");
  assert.equal(requests.at(-1), `DELETE ${SESSION}`);
});

test("a full gateway is a problem with a time to wait", async () => {
  answers["POST /whip"] = { status: 503, headers: { "Retry-After": "10" }, body: "{}" };
  const { call } = newCall();
  await call.begin();
  assert.equal(call.state, "failed");
  assert.equal(call.problem?.kind, "full");
  assert.equal(call.problem?.retryAfterS, 10);
});

test("a call without a path is given back to the gateway", async () => {
  FakePeer.connects = false;
  const { call } = newCall();
  await call.begin();
  assert.equal(call.problem?.kind, "no_path");
  assert.equal(requests.at(-1), `DELETE ${SESSION}`);
});

test("a broken path is replaced, and the same session goes on", async () => {
  const { call, states } = newCall();
  await call.begin();
  FakePeer.all[0]?.become("failed");
  await until(() => states.at(-1) === "listening" && states.includes("reconnecting"));
  assert.equal(FakePeer.all.length, 2);
  assert.equal(requests.filter((asked) => asked === "POST /whip").length, 1);
  assert.ok(requests.includes(`POST ${SESSION}`));
  call.hangUp();
});

test("a call that is over in the gateway is over here", async () => {
  const { call, states } = newCall();
  await call.begin();
  answers[`POST ${SESSION}`] = { status: 404 };
  FakePeer.all[0]?.become("failed");
  await until(() => states.at(-1) === "ended");
  assert.equal(call.problem, null);
});

test("a page that was loaded anew comes back to its call, to an agent that still speaks", async () => {
  const { call, states } = newCall();
  await call.resume({ url: SESSION, etag: "" }, true);
  assert.deepEqual(states, ["reconnecting", "speaking"]);
  assert.ok(!requests.includes("POST /whip"));
  call.hangUp();
});

test("events come one by one or several in a message, and nonsense is passed over", async () => {
  const { call, states, events } = newCall();
  await call.begin();
  const turn = { event: "turn", call: "c", turn: 1, at_s: 1, end: null, generated_s: 0, sent_s: 0, heard_s: 0, onset_at_s: null, stop_s: null };
  const [peer] = FakePeer.all;
  peer?.tell([{ ...turn, state: "open" }, { ...turn, state: "audible" }]);
  assert.equal(states.at(-1), "speaking");
  peer?.tell({ ...turn, state: "ended", end: "played" });
  assert.equal(states.at(-1), "listening");
  peer?.channel.dispatchEvent(Object.assign(new Event("message"), { data: "{" }));
  peer?.tell({ event: "ended", call: "c", at_s: 2, outcome: "agent_hangup" });
  assert.equal(states.at(-1), "ended");
  assert.equal(events.length, 4);
});
