import assert from "node:assert/strict";
import test from "node:test";
import { fragmentOf } from "../talk/fragment";

const OFFER = [
  "v=0",
  "a=group:BUNDLE 0 1",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111 0",
  "a=ice-ufrag:abcd",
  "a=ice-pwd:0123456789012345678901",
  "a=mid:0",
  "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
  "a=ice-ufrag:abcd",
  "a=mid:1",
].join("\r\n");

test("a fragment names the ICE session and the first media section", () => {
  const fragment = fragmentOf(OFFER, ["candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host"], false);
  assert.equal(
    fragment,
    "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=mid:0\r\n" +
      "a=candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host\r\n",
  );
});

test("the end of candidates is said once there are no more", () => {
  assert.ok(fragmentOf(OFFER, [], true).endsWith("a=mid:0\r\na=end-of-candidates\r\n"));
});
