"""One caller at the Twilio door: what Twilio sends for a call, at as little cost as Python allows.

The frames of all callers differ only in their stream and count, so each is one concatenation
of two pieces that were made before the run.
"""

import binascii
import json
from collections import deque
from collections.abc import Sequence
from time import monotonic

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from load_tests.figures import MISSING
from load_tests.schedule import FRAME_MS, Questions
from load_tests.tally import LOUD, SAMPLE_RATE_HZ, Tally, is_loud, line_noise


def media_heads(frames: int) -> list[bytes]:
    """The first part of the media message with each number. The sequence counts media only."""
    return [
        b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d","payload":"'
        % (n + 2, n + 1, n * FRAME_MS)
        for n in range(frames)
    ]


def media_tail(payload: bytes, stream_sid: str) -> bytes:
    """The rest of a media message."""
    return binascii.b2a_base64(payload, newline=False) + b'"},"streamSid":"' + stream_sid.encode() + b'"}'


class TwilioCaller(WSListener):
    """The far end of one media stream: sends on the grid, plays and acknowledges what it is given."""

    __slots__ = (
        "_answer_bytes",
        "_answered_bytes",
        "_heads",
        "_marks",
        "_media_prefix",
        "_question_due",
        "_questions",
        "_tally",
        "call_sid",
        "first_tick",
        "frames_sent",
        "lost",
        "next_loud",
        "number",
        "play_end",
        "stream_sid",
        "tails",
        "transport",
    )

    def __init__(
        self, number: int, run: str, questions: Questions, answer_ms: int, tally: Tally, heads: Sequence[bytes]
    ) -> None:
        """``heads`` are the ``media_heads`` of as many frames as the call may last."""
        super().__init__()
        self._heads = heads
        self.number = number
        self.call_sid = f"CA{run}{number:06d}"
        self.stream_sid = f"MZ{run}{number:06d}"
        self.tails = (media_tail(line_noise(), self.stream_sid), media_tail(LOUD, self.stream_sid))
        self.first_tick = 0
        self.frames_sent = 0
        self.next_loud = -1
        self.play_end = 0.0
        self.lost = False
        self.transport: WSTransport | None = None
        self._questions = questions
        self._tally = tally
        self._answer_bytes = answer_ms * SAMPLE_RATE_HZ // 1_000
        self._answered_bytes = self._answer_bytes  # nothing is being waited for
        self._question_due: float | None = None
        self._marks: deque[tuple[float, bytes]] = deque()
        self._media_prefix = b'{"event":"media","streamSid":"' + self.stream_sid.encode() + b'","media":{"payload":"'

    def begin(self, token: str) -> None:
        """``connected`` and ``start``; media may follow."""
        self.say("connected", protocol="Call", version="1.0.0")
        self.say(
            "start",
            sequenceNumber="1",
            streamSid=self.stream_sid,
            start={
                "accountSid": "AC" + "0" * 32,
                "streamSid": self.stream_sid,
                "callSid": self.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": SAMPLE_RATE_HZ, "channels": 1},
                "customParameters": {"token": token},
            },
        )

    def say(self, event: str, **fields: object) -> None:
        """Send one message that is not media."""
        if self.transport is not None:
            self.transport.send(WSMsgType.TEXT, json.dumps({"event": event, **fields}).encode())

    def send_frame(self, due: float) -> None:
        """Send the next 20 ms, which are due at ``due``, and acknowledge what was played by now."""
        if self.transport is None:
            return
        frame = self.frames_sent
        self.frames_sent = frame + 1
        if frame == self.next_loud:
            self._close_question()
            self._question_due = due
            self._answered_bytes = 0
            self.next_loud = self._questions.next_frame(frame)
            self.transport.send(WSMsgType.TEXT, self._heads[frame] + self.tails[1])
        else:
            self.transport.send(WSMsgType.TEXT, self._heads[frame] + self.tails[0])
        now = monotonic()
        self._tally.lateness_s.append(now - due)
        while self._marks and self._marks[0][0] <= now:
            self._echo(self._marks.popleft()[1])

    def ask(self) -> None:
        """From now on, ask."""
        self.next_loud = self._questions.first_frame(self.number, self.frames_sent)

    def ask_no_more(self) -> None:
        self.next_loud = -1

    def hang_up(self) -> None:
        """``stop``, then the end of the connection; what is still unanswered counts as missing."""
        self._close_question()
        if self.transport is not None:
            self.say("stop", streamSid=self.stream_sid, stop={"callSid": self.call_sid})
            transport, self.transport = self.transport, None
            transport.disconnect()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self.transport is not None:  # it was not we who hung up
            self.transport = None
            self.lost = True

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        now = monotonic()
        if frame.msg_type is not WSMsgType.TEXT:
            return
        text = frame.get_payload_as_bytes()
        if text.startswith(self._media_prefix):
            self._hear(text[len(self._media_prefix) : -3], now)
        elif text.startswith(b'{"event":"mark"'):
            self._marks.append((self.play_end, text))
        elif text.startswith(b'{"event":"clear"'):
            self._tally.clears += 1
            self.play_end = now
            while self._marks:
                self._echo(self._marks.popleft()[1])

    def _hear(self, base64: bytes, now: float) -> None:
        payload = binascii.a2b_base64(base64)
        if self._answered_bytes == 0 and self._question_due is not None:
            if is_loud(payload):
                self._tally.latencies_s.append(now - self._question_due)
                self._question_due = None
            else:
                self._tally.wrong_answers += 1
        elif self._answered_bytes >= self._answer_bytes:
            self._tally.wrong_answers += 1
        elif now > self.play_end:
            self._tally.gaps += 1
        self._answered_bytes += len(payload)
        self.play_end = max(now, self.play_end) + len(payload) / SAMPLE_RATE_HZ

    def _echo(self, mark: bytes) -> None:
        """Send a mark back, as Twilio does: with the fields it came with."""
        if self.transport is not None:
            self.transport.send(WSMsgType.TEXT, mark)

    def _close_question(self) -> None:
        if self._question_due is not None:
            self._tally.latencies_s.append(MISSING)
            self._question_due = None
        elif self._answered_bytes != self._answer_bytes:
            self._tally.wrong_answers += 1
        self._answered_bytes = self._answer_bytes
