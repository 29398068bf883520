"""The report of one run through the SIP door."""

from dataclasses import asdict, dataclass
from typing import Any

from load_tests.asking import chunk_ends
from load_tests.figures import ms_per_call_second
from load_tests.report import Report, as_ms
from load_tests.sip_door import SipFigures
from load_tests.udp_floor import Floor

FLOOR_FROM_CALLS = 50  # below it, waking up fifty times a second costs more than the packets


@dataclass(frozen=True, slots=True)
class SipReport(Report):
    """Adds what arrived in which rhythm, and the cost against that of the bare system calls."""

    figures: SipFigures
    floor: Floor | None = None

    @property
    def floor_ratio(self) -> float:
        """CPU of the gateway over that of the floor; NaN without one of them, or with too few calls."""
        observed = self.observed
        gateway_s = observed.cpu_s.get("gateway")
        if gateway_s is None or self.floor is None or observed.calls_up < FLOOR_FROM_CALLS:
            return float("nan")
        cost = ms_per_call_second(gateway_s, max(1, observed.calls_up), observed.window_s)
        return cost / self.floor.cpu_ms_per_call_second

    def door_json(self) -> dict[str, Any]:
        pace, figures = self.figures.pace, self.figures
        return {
            "pace_error_ms": {"p50": 1e3 * pace.p50_s, "p99": 1e3 * pace.p99_s, "max": 1e3 * pace.max_s},
            "packets": {
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
            "socket_errors": figures.socket_errors,
            "unanswered_byes": figures.unanswered_byes,
            "chunk_shift_frames": figures.shifts,
            "floor": None if self.floor is None else asdict(self.floor),
            "floor_ratio": self.floor_ratio,
        }

    def door_rows(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        packets, floor = body["packets"], body["floor"]
        ratio = body["floor_ratio"]
        return [
            ("pace error", ", ".join(f"{name} {as_ms(value)}" for name, value in body["pace_error_ms"].items())),
            (
                "packets",
                f"{packets['received']}, {packets['missing']} missing ({packets['lost']} lost, {packets['skipped']} "
                f"skipped), {packets['late']} late, {packets['reordered']} reordered, {packets['duplicated']} doubled, "
                f"{packets['restarts']} restarts, {packets['garbage']} strange, {packets['rtcp']} RTCP",
            ),
            ("chunk ends", chunk_ends(body["chunk_shift_frames"])),
            (
                "signalling",
                f"{body['unanswered_byes']} BYE unanswered, {body['socket_errors']} socket errors",
            ),
            (
                "syscall floor",
                "not measured"
                if floor is None
                else f"{floor['cpu_ms_per_call_second']:.3f} ms per call-second"
                + ("" if ratio is None else f"; the gateway takes {ratio:.1f} times that"),
            ),
        ]
