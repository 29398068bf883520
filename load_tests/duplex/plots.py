"""Pictures of a run: one conversation on a timeline, and how the figures are distributed. Needs the extra ``plots``."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from load_tests.duplex.caller import FRAME_S
from load_tests.duplex.figures import Example, Rows
from load_tests.duplex.recordings import RATE_HZ
from wire.audio.g711 import decode_ulaw

mpl.use("Agg")

CALLER, AGENT, DUCKED, STOPPED = "#c2571a", "#1f5fa8", "#f2d58a", "#e59a9a"
TARGETS_S = {"duck": 0.15, "stop": 0.60, "resume gap": 0.60}
_DPI = 110
_POINTS_A_S = 100


def draw(rows: Rows, folder: Path) -> list[Path]:
    """Write all pictures that the rows have data for; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for policy, example in rows.examples.items():
        written.append(folder / f"timeline-{policy.replace(' ', '-')}.png")
        _timeline(example).savefig(written[-1], dpi=_DPI)
    if rows.outcomes:
        written.append(folder / "distributions.png")
        _distributions(rows).savefig(written[-1], dpi=_DPI)
    return written


def _timeline(example: Example) -> Figure:
    """The caller above, the agent as the caller heard it below, what the gateway made of overlaps behind both."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, frames, colour, name in (
        (above, example.tape.sent, CALLER, "caller"),
        (below, example.tape.heard, AGENT, "agent, at the caller's ear"),
    ):
        at_s, low, high = _envelope(frames)
        axes.fill_between(at_s, low, high, color=colour, linewidth=0)
        axes.set_ylabel(name)
        axes.set_ylim(-1, 1)
        axes.set_yticks([])
        for overlap in example.overlaps:
            stopped_s = overlap["stopped_at_s"]
            ducked_until_s = overlap["at_s"] if stopped_s is None else stopped_s
            axes.axvspan(overlap["ducked_at_s"], ducked_until_s, color=DUCKED, alpha=0.6, linewidth=0, zorder=0)
            if stopped_s is not None:
                axes.axvspan(
                    stopped_s, max(overlap["at_s"], stopped_s + 0.05), color=STOPPED, alpha=0.6, linewidth=0, zorder=0
                )
    for made in example.tape.made:
        above.annotate(
            f"{made.sound.kind.value}\n{made.sound.label}", (made.frame * FRAME_S, 0.95), fontsize=7, va="top"
        )
    for overlap in example.overlaps:
        below.annotate(overlap["end"], (overlap["at_s"], -0.95), fontsize=8, va="bottom", rotation=90)
    below.set_xlabel(
        "seconds of the call; yellow: voice lowered, red: held or stopped; the word: how the overlap ended"
    )
    return figure


def _distributions(rows: Rows) -> Figure:
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    ducks, stops, gaps = figure.subplots(1, 3)
    for policy, outcomes in rows.outcomes.items():
        taking = [one for one in outcomes if one.kind.takes_floor]
        _steps(ducks, policy, [one.duck_s for one in taking if one.duck_s is not None])
        _steps(stops, policy, [one.stop_s for one in taking if one.stop_s is not None and one.yielded])
        _steps(gaps, policy, [one.gap_s for one in outcomes if one.gap_s is not None and not one.kind.takes_floor])
    for axes, name in ((ducks, "duck"), (stops, "stop"), (gaps, "resume gap")):
        axes.axvline(TARGETS_S[name], color="grey", linestyle=":")
        axes.set_xlabel(f"{name} (s); dotted: what 95 % should stay below")
        axes.set_ylim(0, 1.02)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7)
    ducks.set_ylabel("share of sounds")
    return figure


def _steps(axes: Axes, label: str, values: Sequence[float]) -> None:
    if values:
        ordered = np.sort(values)
        axes.step(
            ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", label=f"{label} ({len(ordered)})"
        )


def _envelope(frames: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time, least and greatest sample of each hundredth of a second."""
    size = RATE_HZ // _POINTS_A_S
    pcm = decode_ulaw(b"".join(frames)).astype(np.float64) / 32_768
    parts = pcm[: len(pcm) // size * size].reshape(-1, size)
    return np.arange(len(parts)) / _POINTS_A_S, parts.min(axis=1), parts.max(axis=1)
