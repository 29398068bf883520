"""Hypothesis strategies for everything that crosses the wire."""

from typing import get_args

from hypothesis import strategies as st

from wire.audio.codecs import Codec
from wire.ids import CallId, GatewayId, TurnId, WorkerId
from wire.messages import (
    MAX_SAY_CHARS,
    AnyMessage,
    AudioChunk,
    CallClosed,
    CallFailed,
    CallOpened,
    CallRules,
    Decision,
    DecisionKind,
    Dtmf,
    Floor,
    Line,
    OverlapRules,
    Past,
    Playback,
    Say,
    Snapshot,
    SoundEvent,
    SpeechChunk,
    ToolCall,
    Transcript,
    Translation,
    TurnCancelled,
    TurnDone,
    Voice,
    WorkerBeat,
    WorkerDraining,
)

counts = st.integers(0, 2**53 - 1)
indexes = st.integers(0, 2**32 - 1)
seconds = st.floats(0, 86_400, allow_nan=False)
probabilities = st.none() | st.floats(0, 1, allow_nan=False)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
turns = indexes.map(TurnId)
payloads = st.binary(max_size=400)
pairs = st.dictionaries(texts, texts, max_size=3)
head = {"call": texts.map(CallId), "epoch": indexes, "seq": counts}
overlap_rules = st.builds(
    OverlapRules,
    duck_db=st.floats(0, 60),
    trigger_frames=st.integers(1, 50),
    trigger_window=st.integers(1, 50),
    over_after_s=st.floats(0.01, 5),
    model_judges=st.booleans(),
    judged_within_s=st.floats(0.01, 10),
    stop_after_s=st.floats(0.01, 10),
    sure_after_s=st.floats(0.01, 10),
)
playbacks = st.builds(Playback, turn=turns, generated=counts, sent=counts, played=counts)
pasts = st.builds(
    Past,
    decided_below=indexes,
    told=counts,
    turn=turns,
    generated=counts,
    open=st.booleans(),
    checksum=counts,
    state=payloads,
    exact=st.booleans(),
    said=st.lists(st.builds(Line, voice=st.sampled_from(Voice), text=texts), max_size=3).map(tuple),
)

STRATEGIES: dict[type[AnyMessage], st.SearchStrategy[AnyMessage]] = {
    CallOpened: st.builds(
        CallOpened,
        **head,
        gateway=texts.map(GatewayId),
        codec=st.sampled_from(Codec),
        agent=texts,
        caller=texts,
        callee=texts,
        variables=pairs,
        past=st.none() | pasts,
    ),
    AudioChunk: st.builds(
        AudioChunk,
        **head,
        index=indexes,
        start_samples=counts,
        age_s=seconds,
        payload=payloads,
        playback=st.none() | playbacks,
        overlap_s=seconds,
    ),
    TurnCancelled: st.builds(TurnCancelled, **head, turn=turns, heard_samples=counts, cause=texts),
    Dtmf: st.builds(Dtmf, **head, digit=st.sampled_from("0123456789*#ABCD"), at_samples=counts),
    CallClosed: st.builds(CallClosed, **head, reason=texts),
    Say: st.builds(Say, **head, text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=MAX_SAY_CHARS)),
    Decision: st.builds(
        Decision,
        **head,
        index=indexes,
        kind=st.sampled_from(DecisionKind),
        turn=turns,
        p_speak=probabilities,
        chunk_age_s=seconds,
        queue_s=seconds,
        step_s=seconds,
        floor=st.none() | st.sampled_from(Floor),
    ),
    SpeechChunk: st.builds(
        SpeechChunk,
        **head,
        turn=turns,
        start_samples=counts,
        payload=payloads,
        text=texts,
        word_starts=st.lists(counts, max_size=8).map(tuple),
    ),
    TurnDone: st.builds(TurnDone, **head, turn=turns, total_samples=counts),
    Transcript: st.builds(
        Transcript, **head, voice=st.sampled_from(Voice), text=texts, turn=turns, confidence=probabilities
    ),
    ToolCall: st.builds(ToolCall, **head, name=texts, arguments=pairs, turn=turns),
    SoundEvent: st.builds(SoundEvent, **head, name=texts, probability=probabilities),
    Translation: st.builds(Translation, **head, text=texts, language=texts),
    CallFailed: st.builds(CallFailed, **head, reason=texts),
    WorkerDraining: st.builds(WorkerDraining, **head, deadline_s=seconds),
    CallRules: st.builds(CallRules, **head, overlap=overlap_rules),
    Snapshot: st.builds(Snapshot, **head, index=indexes, state=payloads),
    WorkerBeat: st.builds(WorkerBeat, **head, worker=texts.map(WorkerId)),
}
MESSAGE_TYPES: tuple[type[AnyMessage], ...] = get_args(AnyMessage)
messages = st.one_of(*STRATEGIES.values())
