"""RTP media, pure: packets, the jitter buffer, concealment, DTMF, RTCP, SRTP."""
