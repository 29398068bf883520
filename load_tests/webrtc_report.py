"""The report of one run through the browser door, beside the same callers on bare aiortc."""

from dataclasses import dataclass
from typing import Any

from load_tests.asking import chunk_ends
from load_tests.figures import ms_per_call_second, percentile
from load_tests.generator import Observed, Plan
from load_tests.report import Report, as_ms
from load_tests.webrtc_door import Line, WebRtcFigures

BARE = "bare_aiortc"
"""The name of its process in what was observed."""
KEEPS_PACE_MISSING = 0.01
"""Share of packets. Who leaves out more has done less work than was asked for, and its CPU says little."""


@dataclass(frozen=True, slots=True)
class BareRun:
    """The same callers against the echo of ``bare_aiortc``."""

    plan: Plan
    observed: Observed
    figures: WebRtcFigures

    @property
    def cpu_ms_per_call_second(self) -> float:
        observed = self.observed
        return ms_per_call_second(observed.cpu_s[BARE], max(1, observed.calls_up), observed.window_s)

    @property
    def keeps_pace(self) -> bool:
        pace = self.figures.pace
        return pace.missing <= KEEPS_PACE_MISSING * (pace.packets + pace.missing)

    def as_json(self) -> dict[str, Any]:
        observed = self.observed
        return {
            "calls": self.plan.calls,
            "calls_up": observed.calls_up,
            "calls_lost": observed.calls_lost,
            "cpu_ms_per_call_second": self.cpu_ms_per_call_second,
            "core_share": observed.cpu_s[BARE] / observed.window_s,
            "added_latency_ms": _latency_ms(observed),
            "keeps_pace": self.keeps_pace,
            **_packets_json(self.figures),
        }


@dataclass(frozen=True, slots=True)
class WebRtcReport(Report):
    """Adds what arrived in which rhythm, and what bare aiortc takes for it."""

    line: Line
    figures: WebRtcFigures
    bare: BareRun | None = None

    @property
    def bare_ratio(self) -> float:
        """CPU of the gateway over that of bare aiortc, each for one call-second; NaN without one of them."""
        observed = self.observed
        gateway_s = observed.cpu_s.get("gateway")
        if gateway_s is None or self.bare is None or not self.bare.observed.calls_up:
            return float("nan")
        cost = ms_per_call_second(gateway_s, max(1, observed.calls_up), observed.window_s)
        return cost / self.bare.cpu_ms_per_call_second

    def door_json(self) -> dict[str, Any]:
        figures = self.figures
        return {
            "codec": self.line.voice.name,
            "event_channels": self.line.events,
            "loss": self.line.loss,
            **_packets_json(figures),
            "messages": figures.messages,
            "unanswered_deletes": figures.unanswered_deletes,
            "chunk_shift_frames": figures.shifts,
            "bare_aiortc": None if self.bare is None else self.bare.as_json(),
            "bare_ratio": self.bare_ratio,
        }

    def door_rows(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        packets = body["packets"]
        channels = f"{body['messages']} messages of events" if body["event_channels"] else "no events"
        return [
            ("codec", f"{body['codec']}, {body['loss']:.1%} of the callers' packets lost on purpose, {channels}"),
            *_packet_rows(body),
            ("chunk ends", chunk_ends(body["chunk_shift_frames"])),
            (
                "strange",
                f"{packets['garbage']} datagrams, {body['unanswered_deletes']} DELETE unanswered",
            ),
            *self._bare_rows(body),
        ]

    def _bare_rows(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        bare, ratio = body["bare_aiortc"], body["bare_ratio"]
        if bare is None:
            return [("bare aiortc", "not measured")]
        latency = bare["added_latency_ms"]
        return [
            (
                "bare aiortc",
                f"{bare['cpu_ms_per_call_second']:.1f} ms per call-second at {bare['calls_up']} calls"
                + ("" if bare["keeps_pace"] else ", BUT IT LEFT PACKETS OUT")
                + ("" if ratio is None else f"; the gateway takes {ratio:.3f} of that"),
            ),
            (
                "  added latency",
                ", ".join(f"{name} {as_ms(latency[name])}" for name in latency),
            ),
            *((f"  {name}", text) for name, text in _packet_rows(bare)),
        ]


def _latency_ms(observed: Observed) -> dict[str, float]:
    latencies_s = observed.tally.latencies_s
    return {
        **{f"p{share}": 1_000 * percentile(latencies_s, share / 100) for share in (50, 99)},
        "max": 1_000 * max(latencies_s, default=float("nan")),
    }


def _packets_json(figures: WebRtcFigures) -> dict[str, Any]:
    pace = figures.pace
    return {
        "pace_error_ms": {"p50": 1e3 * pace.p50_s, "p99": 1e3 * pace.p99_s, "max": 1e3 * pace.max_s},
        "packets": {
            "sent": figures.sent,
            "dropped": figures.dropped,
            "received": pace.packets,
            "missing": pace.missing,
            "lost": pace.lost,
            "skipped": pace.skipped,
            "late": pace.late,
            "reordered": pace.reordered,
            "duplicated": pace.duplicated,
            "restarts": pace.restarts,
            "rtcp": figures.rtcp,
            "garbage": figures.garbage,
        },
    }


def _packet_rows(body: dict[str, Any]) -> list[tuple[str, str]]:
    packets = body["packets"]
    return [
        ("pace error", ", ".join(f"{name} {as_ms(value)}" for name, value in body["pace_error_ms"].items())),
        (
            "packets",
            f"{packets['received']}, {packets['missing']} missing ({packets['lost']} lost, {packets['skipped']} "
            f"skipped), {packets['late']} late, {packets['reordered']} reordered, {packets['duplicated']} doubled, "
            f"{packets['restarts']} restarts, {packets['rtcp']} RTCP",
        ),
    ]
