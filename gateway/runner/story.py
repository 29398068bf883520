"""A call told as JSON events: the same words live, stored, and on a browser call's data channel.

``events_of`` tells a call from its record, ``event_of`` what one effect adds; docs/CONSOLE.md lists
the events. ``at_s`` is seconds since the call began, and events come in its order.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import chain
from typing import Any

from gateway.effects import (
    Effect,
    NoteDecision,
    NoteFirstAudio,
    NoteKey,
    NoteMissing,
    NoteMuted,
    NoteOverlap,
    NoteReply,
    NoteSound,
    NoteTranscript,
    NoteTranslation,
    NoteTurnEnded,
    NoteTurnOpened,
)
from gateway.runner.decision_tape import decision_json
from gateway.runner.levels import STEP_S
from gateway.runner.record import CallRecord, OpenTurn, Turn, Words
from gateway.seams import LegQuality
from wire.messages import Voice

Event = dict[str, Any]
"""One JSON object; ``event`` is its kind."""

LEVELS_PER_EVENT = 200  # ten seconds: a long call stays a few hundred objects


def summary_of(record: CallRecord, now_unix_s: float) -> Event:
    """One line about a call: its ids, its state, and how well it goes."""
    open_turn = record.open_turn
    audible = open_turn is not None and open_turn.audible_at_s is not None
    quality = record.qualities[-1][1] if record.qualities else None
    ended = record.state == "ended"
    age_s = record.duration_s if ended else now_unix_s - record.started_unix_s
    return {
        "call": record.call,
        "door": record.setup.door,
        "direction": record.direction,
        "state": record.state,
        "caller": record.setup.caller,
        "agent": record.setup.agent,
        "engine": record.engine,
        "worker": record.worker,
        "started_unix_s": _round(record.started_unix_s),
        "age_s": _round(age_s),
        "duration_s": _round(record.duration_s),
        "outcome": record.outcome,
        "turn_state": "speaking" if audible and not ended else "listening",
        "muted": record.muted,
        "mos": _round(quality.mos if quality is not None else None, 2),
        "p95_first_audio_s": _round(record.p95_first_audio_s),
        "interruptions": record.interruptions,
        "recorded": record.recorded,
    }


def call_event(record: CallRecord, now_unix_s: float) -> Event:
    """The first event of a call's own feed, and told again when something in it changed."""
    return {"event": "call", "call": summary_of(record, now_unix_s)}


def events_of(record: CallRecord) -> list[Event]:
    """The whole call so far."""
    return list(iter_events(record))


def iter_events(record: CallRecord) -> Iterator[Event]:
    """As ``events_of``, one by one: who serves live calls can pause between them.

    What is told is the call as it is now, whatever is added to the record meanwhile.
    """
    told = merge(*_streams(record), key=lambda event: event["start_s" if event["event"] == "levels" else "at_s"])
    return _with_end(told, record) if record.state == "ended" else iter(told)


def event_of(record: CallRecord, effect: Effect) -> list[Event]:
    """What one effect adds to the story, most often nothing; ``record`` has noted it already.

    Levels come with the chunks (``levels_event``), the end when the record has it (``ended_event``).
    """
    match effect:
        case NoteDecision():
            return [_decision(record, decision_json(effect))]
        case NoteTurnOpened():
            return [_turn_state(record, effect.turn, "open", effect.at_s)]
        case NoteFirstAudio():
            return [_turn_state(record, effect.turn, "audible", effect.at_s)]
        case NoteTurnEnded():
            return [_turn_ended(record, record.turns[-1]), _words(record, record.words[-1])]
        case NoteTranscript(transcript):
            if transcript.voice is Voice.CALLER:
                return [_words(record, record.words[-1])]
            return _words_to_come(record, record.open_turn)
        case NoteTranslation():
            return [_translation(record, effect)]
        case NoteSound():
            return [_sound(record, effect)]
        case NoteReply():
            return [_reply(record, effect)]
        case NoteOverlap():
            return [_overlap(record, effect)]
        case NoteMissing():
            return [_missing(record, effect)]
        case NoteMuted():
            return [_muted(record, effect)]
        case NoteKey():
            return [_key(record, effect)]
    return []


def levels_event(record: CallRecord, voice: Voice, first_step: int, levels: bytes) -> Event:
    """Levels of one voice; they replace what was told of the same steps before."""
    return {
        "event": "levels",
        "call": record.call,
        "voice": voice.value,
        "start_s": _round(first_step * STEP_S),
        "step_s": STEP_S,
        "levels": list(levels),
    }


def quality_event(record: CallRecord, at_s: float, quality: LegQuality) -> Event:
    """What the leg measured of the line."""
    return {
        "event": "quality",
        "call": record.call,
        "at_s": _round(at_s),
        "mos": _round(quality.mos, 2),
        "loss": _round(quality.loss, 5),
        "jitter_s": _round(quality.jitter_s, 5),
        "round_trip_s": _round(quality.round_trip_s, 5),
    }


def ended_event(record: CallRecord, outcome: str | None, at_s: float) -> Event:
    """The last event of a call."""
    return {"event": "ended", "call": record.call, "at_s": _round(at_s), "outcome": outcome}


def _streams(record: CallRecord) -> list[Iterable[Event]]:
    """What there is to tell, by kind, each in the order of time; taken from copies."""
    turns, words, open_turn = tuple(record.turns), tuple(record.words), record.open_turn
    to_come = _words_to_come(record, open_turn)
    told = [] if open_turn is None else list(_began(record, open_turn))
    return [
        (_decision(record, row) for row in record.decisions),
        (_missing(record, note) for note in tuple(record.missing)),
        chain((event for turn in turns for event in _turn_events(record, turn)), told),
        (_words(record, entry) for entry in words if entry.voice == Voice.CALLER.value),
        chain((_words(record, entry) for entry in words if entry.voice == Voice.AGENT.value), to_come),
        (_translation(record, note) for note in tuple(record.translations)),
        (_sound(record, note) for note in tuple(record.sounds)),
        (_overlap(record, note) for note in tuple(record.overlaps)),
        (_reply(record, note) for note in tuple(record.replies)),
        (_muted(record, note) for note in tuple(record.mutes)),
        (_key(record, note) for note in tuple(record.keys)),
        (quality_event(record, at_s, quality) for at_s, quality in tuple(record.qualities)),
        *(_levels_events(record, voice) for voice in record.levels),
    ]


def _with_end(told: Iterable[Event], record: CallRecord) -> Iterator[Event]:
    latest_s = record.duration_s or 0.0  # of a call that broke nobody noted how long it was
    for event in told:
        latest_s = max(latest_s, event.get("at_s", 0.0))
        yield event
    yield ended_event(record, record.outcome, latest_s)


def _levels_events(record: CallRecord, voice: Voice) -> Iterator[Event]:
    tape = record.levels[voice]
    levels, first_step = tape.snapshot(), tape.first_step
    return (
        levels_event(record, voice, first_step + at, levels[at : at + LEVELS_PER_EVENT])
        for at in range(0, len(levels), LEVELS_PER_EVENT)
    )


def _decision(record: CallRecord, row: Event) -> Event:
    return {
        "event": "decision",
        "call": record.call,
        **row,
        "worker": record.worker,
        "late": row["age_s"] > record.chunk_s,
    }


def _missing(record: CallRecord, note: NoteMissing) -> Event:
    return {"event": "missing", "call": record.call, "index": note.index, "at_s": _round(note.at_s)}


def _overlap(record: CallRecord, note: NoteOverlap) -> Event:
    return {
        "event": "overlap",
        "call": record.call,
        "turn": note.turn,
        "end": note.end.value,
        "onset_at_s": _round(note.onset_at_s),
        "ducked_at_s": _round(note.ducked_at_s),
        "stopped_at_s": _round(note.stopped_at_s),
        "at_s": _round(note.at_s),
    }


def _turn_events(record: CallRecord, turn: Turn) -> Iterator[Event]:
    yield from _began(record, turn)
    yield _turn_ended(record, turn)


def _began(record: CallRecord, turn: Turn | OpenTurn) -> Iterator[Event]:
    if turn.opened_at_s is not None:
        yield _turn_state(record, turn.turn, "open", turn.opened_at_s)
    if turn.audible_at_s is not None:
        yield _turn_state(record, turn.turn, "audible", turn.audible_at_s)


def _turn_state(record: CallRecord, turn: int, state: str, at_s: float) -> Event:
    return {
        "event": "turn",
        "call": record.call,
        "turn": turn,
        "state": state,
        "at_s": _round(at_s),
        "end": None,
        "generated_s": 0.0,
        "sent_s": 0.0,
        "heard_s": 0.0,
        "onset_at_s": None,
        "stop_s": None,
    }


def _turn_ended(record: CallRecord, turn: Turn) -> Event:
    rate_hz = record.setup.codec.sample_rate_hz
    return {
        **_turn_state(record, turn.turn, "ended", turn.ended_at_s),
        "end": turn.end,
        "generated_s": _round(turn.generated_samples / rate_hz),
        "sent_s": _round(turn.sent_samples / rate_hz),
        "heard_s": _round(turn.heard_samples / rate_hz),
        "onset_at_s": _round(turn.onset_at_s),
        "stop_s": _round(turn.stop_s),
    }


def _words(record: CallRecord, words: Words) -> Event:
    return {
        "event": "words",
        "call": record.call,
        "voice": words.voice,
        "at_s": _round(words.at_s if words.began_at_s is None else words.began_at_s),
        "turn": words.turn,
        "text": words.text,
        "heard": words.heard,
        "cut": words.cut,
        "estimated": words.estimated,
        "final": True,
    }


def _words_to_come(record: CallRecord, turn: OpenTurn | None) -> list[Event]:
    """All that the open turn will say, when it is known."""
    if turn is None or turn.text is None:
        return []
    words = Words(Voice.AGENT.value, turn.text, turn.turn, turn.began_at_s or 0.0)
    return [{**_words(record, words), "final": False}]


def _reply(record: CallRecord, note: NoteReply) -> Event:
    trace = note.trace
    return {
        "event": "reply",
        "call": record.call,
        "turn": trace.turn,
        "at_s": _round(trace.at_s),
        "total_s": _round(trace.total_s, 5),
        "parts": [[name, _round(part_s, 5)] for name, part_s in trace.parts()],
    }


def _translation(record: CallRecord, note: NoteTranslation) -> Event:
    return {
        "event": "translation",
        "call": record.call,
        "at_s": _round(note.at_s),
        "text": note.translation.text,
        "language": note.translation.language,
    }


def _sound(record: CallRecord, note: NoteSound) -> Event:
    return {
        "event": "sound",
        "call": record.call,
        "at_s": _round(note.at_s),
        "name": note.sound.name,
        "probability": _round(note.sound.probability, 3),
    }


def _muted(record: CallRecord, note: NoteMuted) -> Event:
    return {"event": "muted", "call": record.call, "muted": note.on, "at_s": _round(note.at_s)}


def _key(record: CallRecord, note: NoteKey) -> Event:
    return {"event": "key", "call": record.call, "digit": note.digit, "at_s": _round(note.at_s)}


def _round(seconds: float | None, digits: int = 4) -> float | None:
    return None if seconds is None else round(seconds, digits)
