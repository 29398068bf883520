/** The console's HTTP interface. Everything but `login` needs the session cookie. */

import type { CallSummary, CallEvent } from "../shared/events";

/** The gateway no longer knows our session: the page asks for the token again. */
export class NoSession extends Error {}

/** The gateway refused; `message` is fit to be shown. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export type Action =
  | { action: "say"; text: string }
  | { action: "mute"; on: boolean }
  | { action: "transfer"; to: string }
  | { action: "hangup" };

export interface StoredCall {
  call: CallSummary;
  detail: Record<string, unknown> | null;
  events: CallEvent[];
}

export async function login(token: string): Promise<void> {
  const reply = await send("/console/login", post({ token }));
  if (reply.status === 401) throw new Refused(401, "This token is not the gateway's.");
  if (reply.status === 429) throw new Refused(429, "Too many wrong tokens. Wait a minute, then try again.");
  if (!reply.ok) throw new Refused(reply.status, `The gateway answered ${reply.status}.`);
}

export async function logout(): Promise<void> {
  await send("/console/logout", post({}));
}

/** Live and stored calls, newest first, that began before `beforeUnixS`. */
export async function calls(limit: number, beforeUnixS?: number): Promise<CallSummary[]> {
  const before = beforeUnixS === undefined ? "" : `&before=${beforeUnixS}`;
  const reply = await checked(await send(`/console/api/calls?limit=${limit}${before}`));
  return ((await reply.json()) as { calls: CallSummary[] }).calls;
}

export async function call(id: string): Promise<StoredCall> {
  const reply = await checked(await send(callPath(id)));
  return (await reply.json()) as StoredCall;
}

export async function act(id: string, action: Action): Promise<void> {
  await checked(await send(`${callPath(id)}/actions`, post(action)));
}

export function testCasePath(id: string): string {
  return `${callPath(id)}/test-case`;
}

export function recordingPath(id: string): string {
  return `${callPath(id)}/recording.wav`;
}

export function socketUrl(path: string): string {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

function callPath(id: string): string {
  return `/console/api/calls/${encodeURIComponent(id)}`;
}

function post(body: unknown): RequestInit {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

async function send(path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(path, { credentials: "same-origin", ...init });
  } catch {
    throw new Refused(0, "The gateway does not answer.");
  }
}

async function checked(reply: Response): Promise<Response> {
  if (reply.ok) return reply;
  if (reply.status === 401) throw new NoSession();
  if (reply.status === 404) throw new Refused(404, "The gateway does not know this call, or it is over.");
  throw new Refused(reply.status, await refusal(reply));
}

/** The gateway's own words, when it gave some. */
async function refusal(reply: Response): Promise<string> {
  const body = (await reply.json().catch(() => null)) as { error?: string } | null;
  return body?.error ? `The gateway refused: ${body.error}.` : `The gateway answered ${reply.status}.`;
}
