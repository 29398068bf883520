/** What the page says to the gateway over HTTP: the shape of WHIP (RFC 9725), and re-attaching, which is ours. */

import { Problem } from "./problems";

export interface TalkConfig {
  whip: string;
  token: string;
  ice_servers: RTCIceServer[];
}

/** A session with the gateway. Its URL is what gives a page the call: it stays in this tab. */
export interface Session {
  url: string;
  /** Names the ICE session to PATCH requests (RFC 9725 §4.3.1). */
  etag: string;
}

export interface Answered {
  session: Session;
  sdp: string;
}

/** The gateway has no such call any more. */
export class CallOver extends Error {}

const TIMEOUT_S = 5;

/** Raises a Problem. */
export async function fetchConfig(): Promise<TalkConfig> {
  const response = await ask("/talk/config.json", {});
  if (response.status === 404) throw new Problem("not_offered");
  if (response.status === 403) throw new Problem("not_open", await reasonOf(response));
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as TalkConfig;
}

/** Begin a call. Raises a Problem. */
export async function postOffer(config: TalkConfig, sdp: string): Promise<Answered> {
  const response = await ask(config.whip, {
    method: "POST",
    headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${config.token}` },
    body: sdp,
  });
  if (response.status !== 201) throw await refusal(response);
  return answered(response, config.whip);
}

/** Come back to a running call. Raises CallOver or a Problem. */
export async function postReattach(session: Session, sdp: string): Promise<Answered> {
  const response = await ask(session.url, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: sdp });
  if (response.status === 404) throw new CallOver();
  if (response.status !== 201) throw await refusal(response);
  return answered(response, session.url);
}

/** Candidates that came late; without them a call may still have a path, so nobody is told when this fails. */
export async function patchCandidates(session: Session, fragment: string): Promise<void> {
  const headers: Record<string, string> = { "Content-Type": "application/trickle-ice-sdpfrag" };
  if (session.etag) headers["If-Match"] = session.etag;
  await ask(session.url, { method: "PATCH", headers, body: fragment }).catch(() => undefined);
}

/** Hang up. It outlives the page. */
export async function deleteSession(session: Session): Promise<void> {
  await ask(session.url, { method: "DELETE", keepalive: true }).catch(() => undefined);
}

async function ask(url: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(TIMEOUT_S * 1000), ...request });
  } catch (error) {
    throw new Problem("unreachable", error instanceof Error ? error.message : "");
  }
}

async function answered(response: Response, base: string): Promise<Answered> {
  const url = new URL(response.headers.get("Location") ?? base, new URL(base, location.href)).href;
  return { session: { url, etag: response.headers.get("ETag") ?? "" }, sdp: await response.text() };
}

async function refusal(response: Response): Promise<Problem> {
  const reason = await reasonOf(response);
  const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const retryAfterS = Number.isFinite(wait) && wait > 0 ? wait : null;
  if (response.status === 401) return new Problem("expired", reason);
  if (response.status === 503 || response.status === 429) return new Problem("full", reason, retryAfterS);
  if (response.status === 502 || response.status === 504) return new Problem("unreachable", reason);
  return new Problem("refused", `${response.status}: ${reason}`);
}

async function reasonOf(response: Response): Promise<string> {
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text) as { error?: string };
    return body.error ?? "";
  } catch {
    return text.slice(0, 200).trim();
  }
}
