"""What the three protocols of MiniCPM-o's servers have of their own."""

import base64
import io
import wave
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from model_worker.dialog.brief import Brief, Mode
from model_worker.duplex.minicpm_o.backend import BackendSession
from model_worker.duplex.minicpm_o.dialect import dialect
from model_worker.duplex.minicpm_o.realtime_v2 import CONTEXT_FULL, RealtimeV2Session
from model_worker.duplex.minicpm_o.units import Units, sound
from model_worker.duplex.minicpm_o.vllm_omni import VllmOmniSession
from model_worker.duplex.remote.effects import (
    Broken,
    Effect,
    Expiring,
    Heard,
    Line,
    Ready,
    Send,
    SessionFault,
    Sound,
    TurnOver,
    Words,
)
from model_worker.duplex.remote.json_frames import GarbageError
from model_worker.duplex.remote.seam import Opening, ServerSession
from model_worker.duplex.remote.settings import ServerSettings
from wire.ids import CallId
from wire.messages import Voice

BRIEF = Brief(name="desk", engine="minicpm-o", instructions="Be kind.", greeting="Hello, this is the desk.")
OPENING = Opening(CallId("c"), BRIEF)
VOICE = np.arange(-8_000, 8_000, dtype="<i2").tobytes()
SECOND = np.arange(16_000, dtype=np.int16)


def effects(session: ServerSession) -> list[Effect]:
    found = []
    while (effect := session.poll()) is not None:
        found.append(effect)
    return found


def sent(found: Sequence[Effect]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(effect.frame) for effect in found if isinstance(effect, Send)]


def told(to: ServerSession, /, **event: Any) -> list[Effect]:
    to.receive(msgspec.json.encode(event).decode())
    return effects(to)


def v2() -> RealtimeV2Session:
    session = RealtimeV2Session(OPENING)
    session.connected()
    effects(session)
    assert told(session, type="session.created", session_id="s") == [Ready()]
    return session


def speaks(session: ServerSession, text: str = "hi", *, end: bool = False, positions: int = 100) -> list[Effect]:
    floats = base64.b64encode(np.full(2_400, 0.5, "<f4").tobytes()).decode()
    kind = "response.output_audio.delta"
    return told(session, type=kind, text=text, audio=floats, end_of_turn=end, kv_cache_length=positions)


def kinds(found: Sequence[Effect]) -> list[type[Effect]]:
    return [type(effect) for effect in found]


def test_units_are_floats_and_the_first_of_a_session_is_longer() -> None:
    units = Units()
    first, second = (np.frombuffer(units.write(SECOND), "<f4") for _ in range(2))
    assert (len(first), len(second)) == (16_560, 16_000)
    assert not first[:560].any()
    assert np.array_equal(sound(second.tobytes()), SECOND)
    assert len(np.frombuffer(Units().write(np.zeros(16_560, np.int16)), "<f4")) == 16_560


def test_sound_that_is_none_is_garbage_and_what_is_too_loud_is_clipped() -> None:
    assert sound(np.array([2.0, -2.0], "<f4").tobytes()).tolist() == [32_767, -32_768]
    for octets in (b"\0\0\0", np.array([np.nan], "<f4").tobytes()):
        with pytest.raises(GarbageError):
            sound(octets)


def test_v2_tells_what_the_business_wants_how_to_begin_and_later_what_was_said() -> None:
    session = RealtimeV2Session(OPENING)
    session.connected()
    (update,) = sent(effects(session))
    assert update["session"]["instructions"] == "Be kind.\n\nBegin the call by saying: Hello, this is the desk."
    later = RealtimeV2Session(Opening(CallId("c"), BRIEF, [Line(Voice.CALLER, "my bill"), Line(Voice.AGENT, "I see")]))
    later.connected()
    (update,) = sent(effects(later))
    assert update["session"]["instructions"].endswith("Caller: my bill\nYou: I see")
    assert "Hello" not in update["session"]["instructions"]


def test_v2_waits_in_a_short_queue_and_sends_nothing_twice() -> None:
    session = RealtimeV2Session(OPENING)
    session.connected()
    effects(session)
    assert told(session, type="session.queued", position=1, estimated_wait_s=2.0) == []
    assert told(session, type="session.queue_update", position=1, estimated_wait_s=None) == []
    assert told(session, type="session.queue_done") == []
    assert told(session, type="session.created", session_id="s") == [Ready()]


def test_v2_does_not_wait_in_a_queue_that_is_longer_than_a_caller_waits() -> None:
    session = RealtimeV2Session(OPENING)
    session.connected()
    effects(session)
    (broken,) = told(session, type="session.queued", position=3, estimated_wait_s=45.0)
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.FULL


def test_v2_forces_the_model_to_listen_until_it_says_so() -> None:
    session = v2()
    assert kinds(speaks(session)) == [Words, Sound]
    session.interrupt(0.1)
    session.hear(SECOND)
    assert sent(effects(session))[0]["force_listen"] is True
    assert speaks(session, "still") == []
    session.hear(SECOND)
    assert sent(effects(session))[0]["force_listen"] is True
    assert told(session, type="response.listen") == []
    session.hear(SECOND)
    assert sent(effects(session))[0]["force_listen"] is False
    assert kinds(speaks(session, "anew", end=True)) == [Words, Sound, TurnOver]


def test_v2_a_turn_that_went_to_its_end_in_spite_of_it_is_not_heard_and_the_next_one_is() -> None:
    session = v2()
    speaks(session)
    session.interrupt(0.1)
    assert speaks(session, "the end", end=True) == []
    assert kinds(speaks(session, "next")) == [Words, Sound]


def test_v2_words_whose_sound_is_not_there_yet_are_words() -> None:
    kind = "response.output_audio.delta"
    found = told(v2(), type=kind, text="well,", audio=None, end_of_turn=False, kv_cache_length=9)
    assert found == [Words("well,")]


def test_v2_an_error_before_the_session_is_one_is_its_end() -> None:
    session = RealtimeV2Session(OPENING)
    session.connected()
    effects(session)
    (broken,) = told(session, type="error", error={"code": "invalid_payload", "message": "no", "type": "client_error"})
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.SERVER_ERROR


def test_v2_listening_ends_a_turn_once() -> None:
    session = v2()
    speaks(session)
    assert kinds(told(session, type="response.listen", kv_cache_length=5)) == [TurnOver]
    assert told(session, type="response.listen", kv_cache_length=6) == []


def test_v2_a_context_that_fills_is_told_once_and_in_time() -> None:
    session = v2()
    assert told(session, type="response.listen", kv_cache_length=CONTEXT_FULL - 1) == []
    assert kinds(told(session, type="response.listen", kv_cache_length=CONTEXT_FULL)) == [Expiring]
    assert told(session, type="response.listen", kv_cache_length=CONTEXT_FULL + 1) == []


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ({"type": "session.closed", "reason": "timeout"}, SessionFault.EXPIRED),
        ({"type": "session.closed", "reason": "context_full"}, SessionFault.EXPIRED),
        ({"type": "session.closed", "reason": "server_shutdown"}, SessionFault.LOST),
        ({"type": "session.closed", "reason": "error"}, SessionFault.SERVER_ERROR),
        ({"type": "error", "error": {"code": "worker_busy"}}, SessionFault.FULL),
        ({"type": "error", "error": {"code": "service_unavailable"}}, SessionFault.SERVER_ERROR),
        ({"type": "response.listen", "kv_cache_length": "many"}, SessionFault.GARBAGE),
        ({"type": "session.created"}, SessionFault.GARBAGE),
    ],
)
def test_v2_what_ends_a_session(event: dict[str, Any], fault: SessionFault) -> None:
    (broken,) = told(v2(), **event)
    assert isinstance(broken, Broken)
    assert broken.fault is fault


@pytest.mark.parametrize("code", ["invalid_payload", "unknown_event", "inference_error"])
def test_v2_what_does_not_end_it(code: str) -> None:
    session = v2()
    assert told(session, type="error", error={"code": code, "message": "secret words", "type": "client_error"}) == []
    assert told(session, type="something.new", field=1) == []


def test_a_backend_tells_text_sound_and_listening_each_by_itself() -> None:
    session = BackendSession(OPENING)
    session.connected()
    (init,) = sent(effects(session))
    assert (init["type"], init["payload"]["mode"]) == ("session.init", "full_duplex")
    told(session, type="session.created", session_id="s", mode="full_duplex")
    floats = base64.b64encode(np.full(240, 0.5, "<f4").tobytes()).decode()
    kind = "response.output.delta"
    assert kinds(told(session, type=kind, kind="text", text="hi")) == [Words]
    assert kinds(told(session, type=kind, kind="audio", audio=floats)) == [Sound]
    assert kinds(told(session, type=kind, kind="listen")) == [TurnOver]
    (broken,) = told(session, type=kind, kind="video")
    assert isinstance(broken, Broken)


def test_before_a_backend_with_a_queue_nothing_is_sent_until_it_is_our_turn() -> None:
    session = BackendSession(OPENING, queues=True)
    session.connected()
    assert effects(session) == []
    assert told(session, type="session.queued", position=2, estimated_wait_s=1.5) == []
    (init,) = sent(told(session, type="session.queue_done"))
    assert init["type"] == "session.init"
    assert told(session, type="session.queue_done") == []
    assert told(session, type="session.created", session_id="s", mode="full_duplex") == [Ready()]


def test_a_backend_with_a_long_queue_is_full() -> None:
    session = BackendSession(OPENING, queues=True)
    session.connected()
    (broken,) = told(session, type="session.queued", position=9, estimated_wait_s=90.0)
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.FULL


def omni() -> VllmOmniSession:
    session = VllmOmniSession(OPENING, "m", VOICE)
    session.connected()
    effects(session)
    assert told(session, type="session.created", session={"id": "d"}) == [Ready()]
    return session


def omni_speaks(session: VllmOmniSession, response: str = "r1", text: str = "hi") -> list[Effect]:
    pcm = base64.b64encode(np.full(2_400, 500, "<i2").tobytes()).decode()
    kind, place = "response.output_audio.delta", {"response_id": response, "item_id": f"item_{response}"}
    found = told(session, type=kind, delta=pcm, format="pcm16", sample_rate_hz=24_000, **place)
    return found + told(session, type="response.output_audio_transcript.delta", delta=text, **place)


def test_vllm_omni_is_told_what_was_heard_and_that_the_caller_has_the_floor() -> None:
    session = omni()
    assert kinds(omni_speaks(session)) == [Sound, Words]
    session.played(0.05)
    assert sent(effects(session)) == [{"type": "playback.ack", "response_id": "r1", "played_ms": 50}]
    session.interrupt(0.08)
    assert [event["type"] for event in sent(effects(session))] == ["playback.ack", "barge_in"]
    assert omni_speaks(session) == []
    assert told(session, type="response.done", response_id="r1", response={"status": "cancelled"}) == []
    assert kinds(omni_speaks(session, "r2")) == [Sound, Words]


def test_vllm_omni_a_turn_that_is_all_there_is_cut_in_its_history() -> None:
    session = omni()
    omni_speaks(session)
    assert told(session, type="response.done", response_id="r1", response={"status": "completed"}) == [TurnOver()]
    session.interrupt(0.06)
    *_, truncate = sent(effects(session))
    assert (truncate["type"], truncate["item_id"], truncate["audio_end_ms"]) == (
        "conversation.item.truncate",
        "item_r1",
        60,
    )


def test_vllm_omni_a_response_that_the_server_cut_is_cut() -> None:
    session = omni()
    omni_speaks(session)
    assert told(session, type="response.done", response_id="r1", response={"status": "cancelled"}) == [
        TurnOver(cut=True)
    ]


def test_vllm_omni_writes_down_the_caller() -> None:
    kind = "conversation.item.input_audio_transcription.completed"
    assert told(omni(), type=kind, item_id="i", content_index=0, transcript=" my bill ") == [Heard("my bill")]


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ({"type": "session.expired", "reason": "idle_ttl_expired"}, SessionFault.EXPIRED),
        ({"type": "session.closed", "reason": "timeout"}, SessionFault.EXPIRED),
        ({"type": "session.closed", "reason": "shutdown"}, SessionFault.SERVER_ERROR),
        ({"type": "session.resync_required", "reason": "journal_gap"}, SessionFault.SERVER_ERROR),
        ({"type": "error", "error": {"code": "session_closed", "message": "gone"}}, SessionFault.EXPIRED),
        ({"type": "response.output_audio.delta", "response_id": "r", "delta": "AA=="}, SessionFault.GARBAGE),
    ],
)
def test_vllm_omni_what_ends_a_session(event: dict[str, Any], fault: SessionFault) -> None:
    (broken,) = told(omni(), **event)
    assert isinstance(broken, Broken)
    assert broken.fault is fault


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ({"error": "limit=4", "code": "resource_exhausted"}, SessionFault.FULL),
        ({"error": {"code": "resource_exhausted", "message": "limit=4"}}, SessionFault.FULL),
        ({"error": {"code": "ref_audio_required", "message": "a voice"}}, SessionFault.SERVER_ERROR),
    ],
)
def test_vllm_omni_what_refuses_a_session(event: dict[str, Any], fault: SessionFault) -> None:
    session = VllmOmniSession(OPENING, "m", VOICE)
    session.connected()
    effects(session)
    (broken,) = told(session, type="error", **event)
    assert isinstance(broken, Broken)
    assert broken.fault is fault


def test_vllm_omni_what_comes_of_any_interrupted_response_is_passed_over() -> None:
    session = omni()
    for response in ("r1", "r2"):
        omni_speaks(session, response)
        session.interrupt(0.05)
    effects(session)
    assert omni_speaks(session, "r1") == []
    assert omni_speaks(session, "r2") == []
    assert kinds(omni_speaks(session, "r3")) == [Sound, Words]


def test_vllm_omni_sound_of_another_form_is_garbage() -> None:
    (broken,) = told(
        omni(), type="response.output_audio.delta", response_id="r", delta="AAAA", format="pcm16", sample_rate_hz=16_000
    )
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.GARBAGE


def test_every_server_gets_the_voice_to_copy_in_its_own_form() -> None:
    omni, gateway, own = (
        VllmOmniSession(OPENING, "m", VOICE),
        BackendSession(OPENING, VOICE),
        RealtimeV2Session(OPENING, VOICE),
    )
    begun = []
    for session in (omni, gateway, own):
        session.connected()
        begun += sent(effects(session))
    head, _, octets = begun[0]["session"]["ref_audio"].partition(",")
    assert head == "data:audio/wav;base64"
    with wave.open(io.BytesIO(base64.b64decode(octets))) as clip:
        assert (clip.getframerate(), clip.readframes(clip.getnframes())) == (16_000, VOICE)
    for told_voice in (begun[1]["payload"]["voice"]["ref_audio"], begun[2]["session"]["ref_audio"]):
        assert sound(base64.b64decode(told_voice)).tobytes() == VOICE


def test_vllm_omni_without_a_voice_is_named_before_the_worker_takes_calls() -> None:
    with pytest.raises(ValueError, match="TWOWIRE_SERVER_VOICE_FILE"):
        dialect(ServerSettings(url="ws://server"))


def test_an_unknown_flavour_is_refused_and_so_is_a_line_for_something_else() -> None:
    with pytest.raises(ValueError, match="realtime-v2"):
        dialect(ServerSettings(url="ws://server", flavour="v3"))
    can = dialect(ServerSettings(url="ws://server", flavour="gateway"))
    assert "dialogs only" in can.cannot(BRIEF.model_copy(update={"mode": Mode.TRANSCRIPTION}))
    assert not can.cannot(BRIEF)
