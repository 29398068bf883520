"""What `twowire call` prints of a call: for people as tables, for machines as one JSON object."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from twowire.caller.decision_strip import decision_strip
from twowire.caller.result import CallResult

NO_VALUE = "–"
_OPENED = {"twilio": "webhook sent → stream open", "sip": "INVITE sent → answered"}


def succeeded(result: CallResult) -> bool:
    """The agent was heard, and everything that was to be said was said and answered.

    A call that was to be cut short (``--hang-up-after``) owes no more than a word of the agent.
    """
    if not result.conversation.timeline().agent:
        return False
    script = result.conversation.script
    return result.ended_by == "hang_up_after" or (script.completed and script.unanswered == 0)


def as_json(result: CallResult, recording: str | None) -> dict[str, Any]:
    """The object of ``--json``. Seconds since the stream began, on the media clock."""
    conversation = result.conversation
    timeline = conversation.timeline()
    return {
        "call": result.call,
        "door": result.door,
        "ok": succeeded(result),
        "answer_s": round(result.answer_s, 4),
        "first_audio_s": timeline.first_audio_s,
        "ended_by": result.ended_by,
        "close_code": result.close_code,
        "after": list(result.after),
        "after_trouble": result.after_trouble or None,
        "unanswered": conversation.script.unanswered,
        "barge_in_missed": conversation.script.barge_in_missed,
        "replies": [asdict(reply) | {"latency_s": reply.latency_s} for reply in timeline.replies()],
        "barge_ins": [
            asdict(barge_in)
            | {
                "to_lowered_s": barge_in.to_lowered_s,
                "to_clear_s": barge_in.to_clear_s,
                "to_silence_s": barge_in.to_silence_s,
            }
            for barge_in in timeline.barge_ins()
        ],
        "timeline": asdict(timeline),
        "violations": result.violations,
        "media": result.media or None,
        "tick_late_ms": {"p50": late_ms(result, 0.5), "p99": late_ms(result, 0.99), "max": late_ms(result, 1.0)},
        "recording": recording,
        "record": result.record or None,
        "record_trouble": result.record_trouble or None,
    }


def late_ms(result: CallResult, share: float) -> float | None:
    """How late the caller's own 20 ms ticks ran: what all its figures are good for."""
    late_s = sorted(result.conversation.late_s)
    return round(1_000 * late_s[max(0, math.ceil(share * len(late_s)) - 1)], 2) if late_s else None


def as_text(result: CallResult, recording: str | None) -> str:
    """Timeline, latencies, transcript, end."""
    parts = [_timeline(result), _latencies(result), _transcript(result), _decisions(result), _end(result, recording)]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _timeline(result: CallResult) -> list[str]:
    lines = [f"Timeline of call {result.call} (s since the stream began)"]
    for start_s, end_s, what in result.conversation.timeline().lines():
        until = f"– {end_s:7.2f}" if end_s is not None else " " * 9
        lines.append(f"  {start_s:7.2f} {until}  {what}")
    return lines if len(lines) > 1 else [*lines, "  nobody was heard"]


def _latencies(result: CallResult) -> list[str]:
    timeline = result.conversation.timeline()
    rows = [
        (_OPENED[result.door], _ms(result.answer_s)),
        ("media open → agent heard", _ms(timeline.first_audio_s)),
    ]
    for reply in timeline.replies():
        what = "key pressed" if reply.by == "key" else "caller silent"
        rows.append((f"{what} at {reply.asked_s:.2f} → agent heard", _ms(reply.latency_s)))
    for barge_in in timeline.barge_ins():
        rows.append((f"caller speaks at {barge_in.onset_s:.2f} → voice taken back", _ms(barge_in.to_lowered_s)))
        rows.append((f"caller speaks at {barge_in.onset_s:.2f} → last clear received", _ms(barge_in.to_clear_s)))
        rows.append((f"caller speaks at {barge_in.onset_s:.2f} → agent silent", _ms(barge_in.to_silence_s)))
    rows.append(("own clock late, p50 / p99", f"{_number(late_ms(result, 0.5))} / {_number(late_ms(result, 0.99))}"))
    return ["Latency (ms, as the caller hears it, to 20 ms)", *_table(rows)]


def _transcript(result: CallResult) -> list[str]:
    entries = result.record.get("transcript") or []
    if not entries:
        return [f"Transcript of the gateway: {result.record_trouble or NO_VALUE}"]
    lines = ["Transcript of the gateway"]
    for entry in entries:
        words = entry.get("text") or NO_VALUE
        if cut := entry.get("cut"):
            words = f"{entry.get('heard') or ''} [not heard: {cut}]".strip()
        lines.append(f"  {_seconds(entry.get('at_s'))}  {entry.get('voice', NO_VALUE):<6}  {words}")
    return lines


def _decisions(result: CallResult) -> list[str]:
    decisions = result.record.get("decisions") or []
    kinds: dict[str, int] = {}
    for decision in decisions:
        kind = str(decision.get("kind", NO_VALUE))
        kinds[kind] = kinds.get(kind, 0) + 1
    ages_s = sorted(decision["age_s"] for decision in decisions if isinstance(decision.get("age_s"), int | float))
    age = f"{1_000 * ages_s[len(ages_s) // 2]:.1f} / {1_000 * ages_s[-1]:.1f}" if ages_s else NO_VALUE
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or NO_VALUE
    turns = ", ".join(_turn(turn) for turn in result.record.get("turns") or []) or NO_VALUE
    rows = [
        ("engine", str(result.record.get("engine") or NO_VALUE)),
        ("decisions", counts),
        ("chunk complete → decision at the gateway, median / max (ms)", age),
        ("turns (samples heard of generated)", turns),
    ]
    lines = ["Record of the gateway", *_table(rows)]
    if strip := decision_strip(decisions):
        lines += ["  one sign per chunk: . listen, # speak, ? none", *(f"  {line}" for line in strip)]
    return lines


def _turn(turn: dict[str, Any]) -> str:
    heard, generated = turn.get("heard_samples", NO_VALUE), turn.get("generated_samples", NO_VALUE)
    return f"{turn.get('turn', NO_VALUE)}: {heard} of {generated} {turn.get('end', NO_VALUE)}"


def _end(result: CallResult, recording: str | None) -> list[str]:
    script = result.conversation.script
    by = {
        "done": "the caller hung up, all done",
        "hang_up_after": "the caller hung up as told by --hang-up-after",
        "timeout": "the caller gave up after --timeout",
        "agent": "the agent ended the call",
    }[result.ended_by]
    after = ", ".join(result.after) or result.after_trouble or "nothing"
    goes_on = f"; Twilio would go on with: {after}" if result.door == "twilio" else ""
    lines = [f"End: {by}{goes_on}"]
    if result.media:
        lines.append("Media: " + ", ".join(f"{count} {what}" for what, count in result.media.items()))
    if recording is not None:
        lines.append(f"Recording: {recording} (left: caller, right: agent as heard)")
    if not result.conversation.timeline().agent:
        lines.append("The agent was not heard.")
    if script.unanswered:
        lines.append(f"The agent did not answer {script.unanswered} time(s).")
    if script.barge_in_missed:
        lines.append("The agent had finished before the time of --barge-in-at: nobody was interrupted.")
    lines += [f"Against the rules of the door: {violation}" for violation in result.violations]
    return lines


def _table(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    width = max(len(name) for name, _ in rows)
    return (f"  {name:<{width}}  {value}" for name, value in rows)


def _ms(value_s: float | None) -> str:
    return NO_VALUE if value_s is None else f"{1_000 * value_s:.0f}"


def _seconds(value_s: object) -> str:
    return f"{value_s:7.2f}" if isinstance(value_s, int | float) else f"{NO_VALUE:>7}"


def _number(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.1f}"
