"""The caller on a real gateway: a call, a barge-in measured from the caller's side, a busy house."""

import wave
from pathlib import Path

import numpy as np
import pytest

from tests.gateway.live import API_TOKEN, AUTH_TOKEN, SPEECH_SAMPLES, Line, line
from tests.speech import jfk_ulaw
from twowire.caller.addresses import Addresses
from twowire.caller.recording import CallRecording
from twowire.caller.result import CallRefusedError, CallResult
from twowire.caller.script import Plan, Say
from twowire.caller.session import CallSession, Dialled
from wire.messages import TurnCancelled

BARGE_IN_AT_S = 0.5


async def call(it: Line, plan: Plan, recording: CallRecording | None = None) -> CallResult:
    addresses = Addresses(it.gateway.base_url, None, AUTH_TOKEN)
    return await CallSession(addresses, Dialled("+15550100", "+15550199"), plan, API_TOKEN).run(recording)


async def test_a_barge_in_is_cleared_and_the_caller_hears_no_more_of_the_turn(tmp_path: Path):
    path = tmp_path / "call.wav"
    speech = Say(jfk_ulaw()[:16_000], "jfk")
    plan = Plan([speech], barge_in_at_s=BARGE_IN_AT_S, hang_up_after_s=4.0)
    async with line() as it:
        with CallRecording(path) as recording:
            result = await call(it, plan, recording)
        (cancelled,) = it.worker.of(TurnCancelled)
    timeline = result.conversation.timeline()
    [barge_in] = timeline.barge_ins()
    [agent] = timeline.agent
    assert barge_in.onset_s >= agent.start_s + BARGE_IN_AT_S
    assert barge_in.clear_s is not None
    assert barge_in.onset_s < barge_in.clear_s
    assert -0.001 <= agent.end_s - barge_in.clear_s <= 0.021  # the frame that was being played is played to its end
    assert result.violations == []
    # What the gateway takes for heard is what was heard: measured within 2 ms, allowed 0.1 s on a busy machine.
    heard_samples = round(8_000 * (agent.end_s - agent.start_s))
    assert cancelled.heard_samples < SPEECH_SAMPLES
    assert abs(cancelled.heard_samples - heard_samples) <= 800
    assert result.after == ("Hangup",)
    assert (result.record["state"], result.record["turns"][0]["end"]) == ("ended", "barged_in")
    with wave.open(str(path), "rb") as file:
        right = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)[:, 1]
    audible = np.flatnonzero(np.abs(right.astype(np.int32)) > 50)  # lowered by 20 dB at its end
    assert (audible[0], audible[-1] + 1) == (round(8_000 * agent.start_s), round(8_000 * agent.end_s))


async def test_a_full_house_is_a_refusal():
    async with line(slots=1) as it:
        phone = it.phone()
        await phone.dial()
        with pytest.raises(CallRefusedError, match="Reject reason=busy"):
            await call(it, Plan())
