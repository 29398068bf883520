"""Recordings: both voices of a call into a stereo file, the caller on the left, in the codec of the line.

The event loop only lays samples side by side. One thread writes for all calls; when the disk is full, or slower than
the calls, the recording stops and the call goes on.
"""

import errno
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import BinaryIO

import structlog

from gateway.effects import ClearAudio, Effect, NoteDecision, NoteTurnEnded, SendAudio, SendUp
from gateway.runner.stereo import StereoTrack
from wire.audio.codecs import Codec
from wire.ids import CallId
from wire.messages import AudioChunk

log = structlog.get_logger()

MAX_BACKLOG_BYTES = 32_000_000  # half an hour of one call, 20 s of a hundred
MAX_FILES_PER_CALL = 20
_BUFFER_BYTES = 65_536  # four seconds of a call per write
_FORMATS = {Codec.PCMA: 6, Codec.PCMU: 7}  # RFC 2361; everything else is PCM, 1
_UNKNOWN_SIZE = 0xFFFFFFFF
_MAX_SOUND_BYTES = _UNKNOWN_SIZE - 1_024  # a WAV file counts with 32 bits
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.@-]{0,127}")


def recording_path(directory: Path, call: CallId) -> Path | None:
    """Where the first recording of a call is, or will be; None for a name that is none of a file."""
    return directory / f"{call}.wav" if _SAFE_NAME.fullmatch(call) else None


def find_recording(directory: Path, call: CallId) -> Path | None:
    """The recording of a call, the last where there are several; looks at the disk. It may still be growing."""
    path = recording_path(directory, call)
    found = None
    for name in () if path is None else _names(path):
        if not name.is_file():
            break
        found = name
    return found


def wav_header(codec: Codec, sound_bytes: int | None) -> bytes:
    """The first octets of a stereo file, up to its sound. ``sound_bytes`` None: not known yet, as players take it."""
    frame_bytes = 2 * codec.bytes_per_sample
    rate_hz = codec.sample_rate_hz
    form = struct.pack(
        "<HHIIHHH",
        _FORMATS.get(codec, 1),
        2,
        rate_hz,
        rate_hz * frame_bytes,
        frame_bytes,
        codec.bytes_per_sample * 8,
        0,
    )
    frames = 0 if sound_bytes is None else sound_bytes // frame_bytes
    body = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"fact", struct.pack("<I", frames))
    size = _UNKNOWN_SIZE if sound_bytes is None else sound_bytes
    whole = _UNKNOWN_SIZE if sound_bytes is None else len(body) + 8 + sound_bytes
    return b"RIFF" + struct.pack("<I", whole) + body + b"data" + struct.pack("<I", size)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


class CallRecorder:
    """Records one call from its effects."""

    def __init__(self, codec: Codec, file: "RecordingFile", max_s: float) -> None:
        self._track = StereoTrack(codec)
        self._file = file
        self._max_samples = min(round(max_s * codec.sample_rate_hz), _MAX_SOUND_BYTES // (2 * codec.bytes_per_sample))

    def observe(self, effect: Effect) -> None:
        """Must be shown every effect of the call, in order."""
        if self._file.stopped:
            return
        match effect:
            case SendUp(AudioChunk() as chunk):
                self._track.caller(chunk.index, chunk.start_samples, chunk.payload)
                self._file.write(self._track.take())
                if self._track.written_samples > self._max_samples:
                    self._file.stop("too_long")
            case NoteDecision(decision, latency_s, at_s):
                self._track.chunk_complete(decision.index, at_s - latency_s)
            case SendAudio(payload, at_s):
                self._track.agent(at_s, payload)
            case ClearAudio(taken_back_samples):
                self._track.take_back(taken_back_samples)
            case NoteTurnEnded(ledger):
                self._track.end_turn(ledger.sent - ledger.played)

    def finish(self) -> None:
        """The call is over; what the caller said since his last whole chunk is not in it."""
        if not self._file.stopped:
            self._file.write(self._track.take(final=True))
        self._file.close()

    def abandon(self) -> None:
        """Keep what was written, and write no more."""
        self._file.stop("fault")
        self._file.close()


@dataclass(slots=True)
class RecordingStats:
    """Counters since start."""

    finished: int = 0
    stopped: int = 0
    """Recordings that end before their call: the disk was full or too slow, or the call too long."""


class RecordingFile:
    """One call's file. Written by the thread of ``RecordingWriter``; nothing here waits or raises."""

    def __init__(self, writer: "RecordingWriter", path: Path, codec: Codec, call: CallId) -> None:
        self.stopped = False
        self._writer = writer
        self._path = path
        self._codec = codec
        self.call = call
        self._file: BinaryIO | None = None
        self._sound_bytes = 0
        self._closed = False
        self._broken = False
        self._may_stop = Lock()

    def write(self, sound: bytes) -> None:
        """Append interleaved samples."""
        if sound and not self.stopped:
            self._writer.queue(self, sound)

    def stop(self, reason: str) -> None:
        """End the recording before the call; said once."""
        if self._may_stop.acquire(blocking=False):  # taken once, for good: by the loop or by the thread
            self.stopped = True
            self._writer.stats.stopped += 1
            log.error("recording.stopped", call=self.call, reason=reason)

    def close(self) -> None:
        """Nothing follows; harmless twice."""
        if not self._closed:
            self._closed = True
            self._writer.queue(self, None)

    def append_now(self, sound: bytes) -> None:
        """In the thread: put the octets into the file, which is opened by the first ones."""
        if self._broken:
            return
        try:
            if self._file is None:
                self._file = _create(self._path)
                self._file.write(wav_header(self._codec, None))
            self._file.write(sound)
            self._sound_bytes += len(sound)
        except OSError as error:
            self._broken = True
            self.stop(error.strerror or type(error).__name__)
            self.finish_now()

    def finish_now(self) -> None:
        """In the thread: say in the header how long it became."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            with file:
                file.flush()
                file.seek(0)
                file.write(wav_header(self._codec, self._sound_bytes))
            self._writer.stats.finished += not self.stopped
        except OSError as error:  # without its length it can still be played
            self.stop(error.strerror or type(error).__name__)


class RecordingWriter:
    """The thread that writes the recordings of all calls into one directory."""

    def __init__(self, directory: Path, max_backlog_bytes: int = MAX_BACKLOG_BYTES) -> None:
        """Raises OSError when there is no such directory and it cannot be made."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.stats = RecordingStats()
        self._max_backlog_bytes = max_backlog_bytes
        self._jobs: SimpleQueue[tuple[RecordingFile, bytes | None] | None] = SimpleQueue()
        self._queued_bytes = 0  # counted by the event loop only,
        self._done_bytes = 0  # and this by the thread only, so that neither needs a lock
        self._thread = Thread(target=self._work, name="recordings", daemon=True)
        self._thread.start()

    def open(self, call: CallId, codec: Codec) -> RecordingFile | None:
        """A file for a call, made when its first sound is written; None, said in the log, for a call of a name
        that no file can have.
        """
        path = recording_path(self.directory, call)
        if path is None:
            log.error("recording.stopped", call=call, reason="name")
            self.stats.stopped += 1
            return None
        return RecordingFile(self, path, codec, call)

    def queue(self, file: RecordingFile, sound: bytes | None) -> None:
        """Have the thread append, or finish where ``sound`` is None."""
        if sound is not None:
            if self._queued_bytes - self._done_bytes + len(sound) > self._max_backlog_bytes:
                file.stop("disk_too_slow")
                return
            self._queued_bytes += len(sound)
        self._jobs.put((file, sound))

    def close(self) -> None:
        """Write what is queued and end the thread; waits for the disk, so not to be called on the event loop."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            file, sound = job
            if sound is None:
                file.finish_now()
            else:
                file.append_now(sound)
                self._done_bytes += len(sound)


def _names(path: Path) -> Iterator[Path]:
    """A call that begins anew under its name gets a second file beside the first, and so on."""
    yield path
    for number in range(2, MAX_FILES_PER_CALL + 1):
        yield path.with_name(f"{path.stem}.{number}{path.suffix}")


def _create(path: Path) -> BinaryIO:
    """A new file that only we can read."""
    for name in _names(path):
        try:
            return os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", _BUFFER_BYTES)
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, f"{MAX_FILES_PER_CALL} recordings of one call")
