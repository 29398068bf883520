"""Offers as browsers write them: microphone and a data channel; the addresses are for documentation (RFC 5737)."""

FINGERPRINT = ":".join(f"{octet:02X}" for octet in range(7, 7 + 32))


def wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


CHROMIUM = f"""v=0
o=- 5228595038118931041 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS 7c1d5cd0-6b40-4bd3-bb53-7a1b9e7d33d1
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:3041733424 1 udp 2122260223 a3f1c1de-5b6e-4a17-9a4d-0d0f7a1c2b3e.local 54400 typ host generation 0
a=candidate:842163049 1 udp 1686052607 203.0.113.77 54400 typ srflx raddr 0.0.0.0 rport 0 generation 0 network-id 1
a=candidate:1876313031 1 tcp 1518280447 a3f1c1de-5b6e-4a17-9a4d-0d0f7a1c2b3e.local 9 typ host tcptype active
a=ice-ufrag:Yx3+
a=ice-pwd:zVqHJv1oG1zqWz/8bQ0QfWzC
a=ice-options:trickle
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=msid:7c1d5cd0-6b40-4bd3-bb53-7a1b9e7d33d1 9d3c1b67-0c52-4c6c-93f1-65cdb2b2f4c6
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:1831097322 cname:Zl0dV0fTn2gXJcY4
a=ssrc:1831097322 msid:7c1d5cd0-6b40-4bd3-bb53-7a1b9e7d33d1 9d3c1b67-0c52-4c6c-93f1-65cdb2b2f4c6
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:Yx3+
a=ice-pwd:zVqHJv1oG1zqWz/8bQ0QfWzC
a=ice-options:trickle
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=mid:1
a=sctp-port:5000
a=max-message-size:262144
"""

FIREFOX = f"""v=0
o=mozilla...THIS_IS_SDPARTA-99.0 3873014471250829482 0 IN IP4 0.0.0.0
s=-
t=0 0
a=sendrecv
a=fingerprint:sha-256 {FINGERPRINT}
a=group:BUNDLE 0 1
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 50123 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 203.0.113.77
a=candidate:0 1 UDP 2122252543 5f2ab1f1-c6b5-4a37-8d11-9d8de64a1c09.local 50123 typ host
a=candidate:2 1 TCP 2105524479 5f2ab1f1-c6b5-4a37-8d11-9d8de64a1c09.local 9 typ host tcptype active
a=candidate:1 1 UDP 1686052863 203.0.113.77 50123 typ srflx raddr 0.0.0.0 rport 0
a=candidate:0 2 UDP 2122252542 5f2ab1f1-c6b5-4a37-8d11-9d8de64a1c09.local 50124 typ host
a=sendrecv
a=end-of-candidates
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
a=ice-pwd:6d0dbd65c2b5a2f4b8b5f6a2d9a9f1e3
a=ice-ufrag:2f6a1d9c
a=mid:0
a=msid:{{b2e2a0b4-1d6f-4c9f-8a39-3c2b3e2b8f11}} {{c7c8bb11-9d0c-4d6c-8f12-8c2f3b7f2a55}}
a=rtcp:50124 IN IP4 203.0.113.77
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=setup:actpass
a=ssrc:2655508255 cname:{{735484ea-4f6c-f74a-bd66-7425f8476c2e}}
m=application 50123 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 203.0.113.77
a=sendrecv
a=ice-pwd:6d0dbd65c2b5a2f4b8b5f6a2d9a9f1e3
a=ice-ufrag:2f6a1d9c
a=mid:1
a=setup:actpass
a=sctp-port:5000
a=max-message-size:1073741823
"""

VIDEO = """m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
a=mid:2
a=sendrecv
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
"""

AUDIO_ONLY = f"""v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=ice-ufrag:Yx3+
a=ice-pwd:zVqHJv1oG1zqWz/8bQ0QfWzC
a=fingerprint:sha-256 {FINGERPRINT}
m=audio 9 UDP/TLS/RTP/SAVPF 0
a=setup:active
a=rtcp-mux
"""
"""As little as will do: credentials and fingerprint of the session, no bundle, no rtpmap."""
