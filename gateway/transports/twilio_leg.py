"""The caller's side of a Twilio call: audio, marks and clear onto the media socket."""

import asyncio
from collections.abc import Mapping

from picows import WSCloseCode, WSMsgType, WSTransport

from gateway.seams import LegQuality, PlayoutProfile
from gateway.twilio.messages import StreamWriter

TWILIO_PLAYOUT = PlayoutProfile(
    lead_s=0.4,  # Twilio takes far more (minutes), but what it has not played must be taken back at a barge-in
    piece_s=0.2,  # ten packets in one message cost a tenth of ten messages; the leg never has less than 0.2 s
    marks=True,
)

CLOSE_GRACE_S = 5.0


class TwilioLeg:
    """Writes one stream. Once the socket is gone every method does nothing."""

    def __init__(self, socket: WSTransport, stream_sid: str) -> None:
        self._socket = socket
        self._writer = StreamWriter(stream_sid)

    def send_audio(self, payload: bytes) -> None:
        self._send(self._writer.media(payload))

    def send_mark(self, name: str) -> None:
        self._send(self._writer.mark(name))

    def send_keys(self, keys: str) -> None:
        """Not over a media stream: Twilio takes keys from TwiML only."""

    def clear(self) -> None:
        self._send(self._writer.clear)

    def end(self, action: str, arguments: Mapping[str, str]) -> None:
        """Close the stream; Twilio then asks the ``action`` URL of its ``<Connect>`` what comes next."""
        if action == "dead":
            self._socket.disconnect(graceful=False)  # nobody is there to answer a goodbye
        else:
            close(self._socket, WSCloseCode.OK)

    def quality(self) -> LegQuality | None:
        """Unknown: the carrier ends the caller's RTP, and tells neither its loss nor its delay over the stream."""
        return None

    def _send(self, message: bytes) -> None:
        self._socket.send(WSMsgType.TEXT, message)


def close(socket: WSTransport, code: WSCloseCode, reason: str = "") -> None:
    """Say goodbye and wait for the answer (RFC 6455, section 7.1.1); harmless on a socket that is gone.

    Closing at once, with audio of the peer's unread, would reset the connection and lose the goodbye.
    """
    if not socket.is_close_frame_sent:
        socket.send_close(code, reason.encode())
        # A peer that does not read would keep the socket until TCP gives up, minutes from now.
        asyncio.get_running_loop().call_later(CLOSE_GRACE_S, socket.disconnect, False)
