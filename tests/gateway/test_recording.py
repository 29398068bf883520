"""Recordings as files: what players read, and what happens when the disk does not take them."""

import io
import os
import stat
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.effects import Effect, NoteTurnEnded, SendAudio, TurnEnd
from gateway.events import WorkerSaid
from gateway.runner.recording import (
    CallRecorder,
    RecordingFile,
    RecordingWriter,
    find_recording,
    recording_path,
    wav_header,
)
from tests.gateway.calls import RTP_LIKE, Driven, decision, speech
from tests.gateway.records import LOUD, barged_in, chunk, decided
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.ids import CallId, TurnId
from wire.messages import DecisionKind, Playback

CALL = CallId("CA1")
QUIET = b"\xff"


def a_call() -> list[Effect]:
    """Four loud chunks of the caller, and a turn of 0.8 s from 0.5 s on, of which 0.6 s are heard."""
    effects: list[Effect] = []
    for index in range(4):
        effects += [chunk(index), decided(index)]
        if index == 0:
            effects.append(SendAudio(LOUD * 6_400, at_s=0.5))
    return [*effects, barged_in()]


def recorder(writer: RecordingWriter, max_s: float = 60.0) -> CallRecorder:
    file = writer.open(CALL, Codec.PCMU)
    assert file is not None
    return CallRecorder(Codec.PCMU, file, max_s)


def sound_of(path: Path) -> np.ndarray:
    """The octets of a stereo G.711 file, shape (samples, 2); its header must fit them."""
    data = path.read_bytes()
    riff, size, form = struct.unpack_from("<4sI4s", data)
    assert (riff, size, form) == (b"RIFF", len(data) - 8, b"WAVE")
    tag, channels, rate_hz, octets_per_s, frame, bits = struct.unpack_from("<HHIIHH", data, 20)
    assert (tag, channels, rate_hz, octets_per_s, frame, bits) == (7, 2, 8_000, 16_000, 2, 8)
    at = data.index(b"data")
    (sound_bytes,) = struct.unpack_from("<I", data, at + 4)
    assert len(data) == at + 8 + sound_bytes
    return np.frombuffer(data, np.uint8, offset=at + 8).reshape(-1, 2)


def test_a_call_becomes_a_file_with_the_caller_on_the_left_and_what_was_heard_on_the_right(tmp_path):
    writer = RecordingWriter(tmp_path / "new")
    call = recorder(writer)
    for effect in a_call():
        call.observe(effect)
    call.finish()
    writer.close()
    path = tmp_path / "new" / "CA1.wav"
    sound = sound_of(path)
    assert len(sound) == 4 * 3_200
    assert set(sound[:, 0]) == {LOUD[0]}
    heard = np.flatnonzero(sound[:, 1] == LOUD[0])
    assert (heard[0], heard[-1] + 1, len(heard)) == (4_000, 8_800, 4_800)
    assert find_recording(path.parent, CALL) == path
    assert find_recording(tmp_path, CALL) is None
    assert (writer.stats.finished, writer.stats.stopped) == (1, 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_pcm_is_a_file_that_every_player_reads(tmp_path):
    writer = RecordingWriter(tmp_path)
    file = writer.open(CALL, Codec.L16_16K)
    assert file is not None
    file.write(b"\x01\x00\x02\x00" * 320)
    file.close()
    writer.close()
    with wave.open(str(tmp_path / "CA1.wav")) as wav:
        assert (wav.getnchannels(), wav.getframerate(), wav.getsampwidth(), wav.getnframes()) == (2, 16_000, 2, 320)
        assert wav.readframes(320) == b"\x01\x00\x02\x00" * 320


def test_the_header_of_a_file_that_is_still_growing_says_so():
    header = wav_header(Codec.PCMU, None)
    assert header.endswith(b"data\xff\xff\xff\xff")
    assert len(header) == len(wav_header(Codec.PCMU, 16_000))
    grown = io.BytesIO(wav_header(Codec.L16_24K, 4) + b"abcd")
    with wave.open(grown) as wav:
        assert wav.getnframes() == 1


def test_a_call_that_begins_anew_does_not_overwrite_its_first_half(tmp_path):
    writer = RecordingWriter(tmp_path)
    for chunks in (1, 3, 2):
        call = recorder(writer)
        for index in range(chunks):
            call.observe(chunk(index))
        call.finish()
    writer.close()
    assert [len(sound_of(tmp_path / name)) // 3_200 for name in ("CA1.wav", "CA1.2.wav", "CA1.3.wav")] == [1, 3, 2]
    assert find_recording(tmp_path, CALL) == tmp_path / "CA1.3.wav"


def test_a_call_that_never_made_a_sound_leaves_no_file(tmp_path):
    writer = RecordingWriter(tmp_path)
    recorder(writer).finish()
    writer.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", ".hidden", "a\0b", "ü", "x" * 200, "a b", "a\nb"])
def test_a_name_that_is_none_of_a_file_is_refused(tmp_path, name):
    assert recording_path(tmp_path, CallId(name)) is None
    writer = RecordingWriter(tmp_path)
    with capture_logs() as logs:
        assert writer.open(CallId(name), Codec.PCMU) is None
    assert [entry["event"] for entry in logs] == ["recording.stopped"]
    assert find_recording(tmp_path, CallId(name)) is None
    writer.close()


def play_on(call: CallRecorder, chunks: int) -> None:
    for index in range(chunks):
        call.observe(chunk(index))
        call.observe(decided(index))
        call.observe(SendAudio(LOUD * 800, at_s=0.4 * index))
        ended = Playback(TurnId(index + 1), 800, 800, 800)
        call.observe(NoteTurnEnded(ended, TurnEnd.PLAYED, "", "", 0.4 * index + 0.1))
    call.finish()


def test_a_full_disk_ends_the_recording_with_one_line_and_nothing_else(tmp_path, monkeypatch):
    real_open = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, mode=0o777: real_open("/dev/full", os.O_WRONLY))
    with capture_logs() as logs:
        writer = RecordingWriter(tmp_path)
        play_on(recorder(writer, max_s=600.0), 200)
        writer.close()
    assert [entry["event"] for entry in logs] == ["recording.stopped"]
    assert logs[0]["reason"] == "No space left on device"
    assert (writer.stats.finished, writer.stats.stopped) == (0, 1)


def test_a_directory_that_went_away_costs_the_recording_only(tmp_path):
    directory = tmp_path / "mounted"
    writer = RecordingWriter(directory)
    directory.rmdir()
    with capture_logs() as logs:
        play_on(recorder(writer), 20)
        writer.close()
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("recording.stopped", "No such file or directory")]


def test_a_disk_slower_than_the_calls_ends_a_recording_at_its_last_whole_piece(tmp_path):
    writer = RecordingWriter(tmp_path, max_backlog_bytes=10_000)
    file = RecordingFile(writer, tmp_path / "CA1.wav", Codec.PCMU, CALL)
    with capture_logs() as logs:
        file.write(b"\x01" * 9_000)
        file.write(b"\x02" * 10_002)  # more than may ever wait
        file.write(b"\x03" * 2)
        file.close()
        writer.close()
    assert [entry["reason"] for entry in logs] == ["disk_too_slow"]
    assert bytes(sound_of(tmp_path / "CA1.wav").ravel()) == b"\x01" * 9_000


def test_a_recording_ends_at_the_longest_call(tmp_path):
    writer = RecordingWriter(tmp_path)
    with capture_logs() as logs:
        play_on(recorder(writer, max_s=10.0), 60)
        writer.close()
    assert [entry["reason"] for entry in logs] == ["too_long"]
    assert 10.0 <= len(sound_of(tmp_path / "CA1.wav")) / 8_000 < 10.5


def test_a_recording_is_abandoned_with_what_was_written(tmp_path):
    writer = RecordingWriter(tmp_path)
    with capture_logs() as logs:
        call = recorder(writer)
        for index in range(20):
            call.observe(chunk(index))
            call.observe(decided(index))
        call.abandon()
        call.observe(chunk(20))
        writer.close()
    assert [entry["reason"] for entry in logs] == ["fault"]
    assert len(sound_of(tmp_path / "CA1.wav")) == 4 * 8_000
    assert set(sound_of(tmp_path / "CA1.wav")[:, 1]) == {QUIET[0]}


def test_of_a_call_with_a_barge_in_the_recording_has_what_the_core_says_was_heard(tmp_path):
    driven = Driven(RTP_LIKE)
    now = driven.chunks(2, start=0.13)  # the caller's first sample came at 0.13 s
    driven.call.receive(WorkerSaid(decision(driven, 0)), now)
    driven.call.receive(WorkerSaid(decision(driven, 1, DecisionKind.SPEAK, turn=1)), now)
    driven.call.receive(WorkerSaid(speech(driven, 1, 0, 16_000)), now)
    driven.drain()
    caller = QUIET * 5_000 + jfk_ulaw()[4_000:20_000]  # silence, then he speaks up
    for at in range(0, 19_200, 160):
        now += 0.02
        driven.tick_to(now)
        driven.media(caller[at : at + 160], now)
    (ended,) = driven.of(NoteTurnEnded)
    assert ended.end is TurnEnd.BARGED_IN
    first = driven.of(SendAudio)[0]
    writer = RecordingWriter(tmp_path)
    call = recorder(writer)
    for effect in driven.effects:
        call.observe(effect)
    call.finish()
    writer.close()
    sound = sound_of(tmp_path / "CA1.wav")
    heard = np.flatnonzero(sound[:, 1] != 0xFF)  # lowered or not
    assert len(heard) == ended.ledger.played > 2_000
    assert heard[0] == pytest.approx(first.at_s * 8_000, abs=1)
    assert heard[-1] - heard[0] == ended.ledger.played - 1
