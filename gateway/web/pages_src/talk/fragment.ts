/** Candidates found after the offer, as application/trickle-ice-sdpfrag (RFC 8840 §9). */

/** `sdp` is the offer they belong to: it names the ICE session and the first media section, whose transport all share. */
export function fragmentOf(sdp: string, candidates: readonly string[], end: boolean): string {
  const lines = [line(sdp, "a=ice-ufrag:"), line(sdp, "a=ice-pwd:"), line(sdp, "m="), line(sdp, "a=mid:")];
  lines.push(...candidates.map((candidate) => `a=${candidate}`));
  if (end) lines.push("a=end-of-candidates");
  return lines.filter((text) => text !== "").map((text) => `${text}\r\n`).join("");
}

function line(sdp: string, prefix: string): string {
  return sdp.split(/\r?\n/).find((text) => text.startsWith(prefix)) ?? "";
}
