"""``python -m load_tests.receiver``: ten minutes of speech through a bad network, on a clock of numbers.

No socket and no waiting: datagrams with arrival times go into the gateway's own receiver, and what comes out is cut
into chunks by its own chunker. Definitions:

- *chunk-length errors*: chunks that are not of 0.4 s, not numbered in order, or missing at the end.
- *late*: when a piece of audio was handed on, after its place in the stream. *Stalls*: pieces more than 40 ms later
  than the slowest packet of this path is, by the jitter that it is given.
- *standing delay*: the median lateness of the last minute less that of the same path without loss.

What stands in the place of lost packets is judged without jitter, see ``concealment``.
"""

import json
import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise

import click
import numpy as np

from gateway.rtp.packet import build_header
from gateway.rtp.receiver import RtpReceiver
from gateway.rtp.reception import ReceiverConfig
from gateway.rtp.transcode import WireCodec, decoding, encoder
from gateway.turn.chunker import Chunker
from load_tests.command import CONTEXT
from load_tests.concealment import Comparison, compare
from load_tests.duplex.recordings import Recording, samples
from wire.audio.g711 import decode, encode
from wire.audio.resample import Resampler

PACKET_S = 0.02
CHUNK_MS = 400
DELAY_S, JITTER_S, LOSS = 0.060, 0.020, 0.05
STALL_S = 0.040
CONCEALED_S = 120.0
"""Of speech, to judge concealment by: the recording twice."""
SEED = 60_20
PAYLOAD_TYPES = {WireCodec.PCMU: 0, WireCodec.G722: 9, WireCodec.OPUS: 111}

Datagram = tuple[float, bytes]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one stream."""

    codec: str
    loss: str
    seconds: float
    packets: int
    lost: int
    concealed_s: float
    chunks: int
    chunk_length_errors: int
    late_p50_s: float
    late_max_s: float
    stalls: int
    standing_delay_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What came out of the receiver."""

    receiver: RtpReceiver
    chunk_errors: int
    chunks: int
    late_s: list[float]
    audio: bytes


def sent(codec: WireCodec, seconds: float) -> list[bytes]:
    """Speech as a phone sends it, over and over: one datagram per 20 ms."""
    source = samples(Recording.CONVERSATION).astype(np.int16)
    pcm = source if codec.leg.sample_rate_hz == 8_000 else Resampler(8_000, 16_000).push(source)
    size = round(codec.leg.sample_rate_hz * PACKET_S)
    count = round(seconds / PACKET_S)
    looped = np.resize(pcm, count * size).reshape(count, size)
    pack = encoder(codec, codec.leg)
    ticks = round(codec.clock_hz * PACKET_S)
    datagrams = []
    for number, frame in enumerate(looped):
        audio = encode(codec.leg, frame)
        timestamp = number * ticks & 0xFFFF_FFFF
        header = build_header(PAYLOAD_TYPES[codec], 60_000 + number & 0xFFFF, timestamp, 0xCA11, False)
        datagrams.append(header + (audio if pack is None else pack(audio)))
    return datagrams


def path(datagrams: Iterable[bytes], loss: float, burst: float, jitter_s: float = JITTER_S) -> list[Datagram]:
    """What arrives, and when: 60 ms later, 20 more or less; lost in bursts of ``burst`` on average (Gilbert)."""
    chance = random.Random(SEED)
    lost, arrivals = False, []
    for number, datagram in enumerate(datagrams):
        delay_s = DELAY_S + chance.uniform(-jitter_s, jitter_s)
        turn = chance.random()
        lost = turn < 1 - 1 / burst if lost else turn < loss / (burst * (1 - loss))
        if burst == 1:
            lost = turn < loss
        if not lost:
            arrivals.append((number * PACKET_S + delay_s, datagram))
    return sorted(arrivals, key=lambda arrival: arrival[0])


def receive(codec: WireCodec, arrivals: Iterable[Datagram], seconds: float) -> Heard:
    """Feed a receiver as a leg does, and cut what it gives into chunks."""
    how = decoding(codec, codec.leg)
    config = ReceiverConfig(
        codec.leg, PAYLOAD_TYPES[codec], clock_hz=codec.clock_hz, decode=how.decode, ticks_of=how.ticks_of,
        recover=how.recover, pause_bytes=how.pause_bytes,
    )  # fmt: skip
    leg = codec.leg
    receiver, chunker = RtpReceiver(config, 0.0), Chunker(leg, CHUNK_MS, CHUNK_MS)
    outputs: list[tuple[float, int]] = [(0.0, 0)]
    heard = bytearray()
    errors = chunks = 0

    def take(audio: bytes, now: float) -> None:
        nonlocal errors, chunks
        if not audio:
            return
        heard.extend(audio)
        outputs.append((now, outputs[-1][1] + len(audio) // leg.bytes_per_sample))
        for chunk in chunker.push(audio):
            whole = len(chunk.payload) == leg.sample_rate_hz * CHUNK_MS // 1_000 * leg.bytes_per_sample
            errors += not (whole and chunk.index == chunks)
            chunks += 1

    for at, datagram in arrivals:
        while (due := receiver.next_deadline()) <= at:
            take(receiver.handle_deadline(due), due)
        take(receiver.receive(datagram, at), at)
    errors += abs(chunks - int(seconds * 1_000 // CHUNK_MS)) > 1  # the last packets may be lost
    late_s = [at - before / leg.sample_rate_hz for (_, before), (at, _) in pairwise(outputs)]
    return Heard(receiver, errors, chunks, late_s, bytes(heard))


def measure(codec: WireCodec, seconds: float, burst: float = 1.0) -> Figures:
    """One stream with loss, beside the same path without."""
    datagrams = sent(codec, seconds)
    clean = receive(codec, path(datagrams, 0.0, 1.0), seconds)
    lossy = receive(codec, path(datagrams, LOSS, burst), seconds)
    stats, minute = lossy.receiver.stats(), round(60 / PACKET_S)
    stalled_s = min(clean.late_s[5:]) + 2 * JITTER_S + STALL_S
    return Figures(
        codec=codec.value,
        loss=f"{LOSS:.0%}, " + ("random" if burst == 1 else f"bursts of {burst:.0f}"),
        seconds=seconds,
        packets=len(datagrams),
        lost=int(stats["lost"]),
        concealed_s=stats["concealed_samples"] / codec.leg.sample_rate_hz,
        chunks=lossy.chunks,
        chunk_length_errors=lossy.chunk_errors,
        late_p50_s=float(np.median(lossy.late_s)),
        late_max_s=max(lossy.late_s[5:]),
        stalls=sum(late > stalled_s for late in lossy.late_s[5:]),
        standing_delay_s=float(np.median(lossy.late_s[-minute:]) - np.median(clean.late_s[-minute:])),
    )


def conceal(codec: WireCodec, seconds: float) -> Comparison:
    """What the receiver puts in the place of packets lost at random, beside silence and repetition."""
    datagrams = sent(codec, seconds)
    size = round(codec.leg.sample_rate_hz * PACKET_S)
    whole, arrivals = path(datagrams, 0.0, 1.0, 0.0), path(datagrams, LOSS, 1.0, 0.0)
    got = {datagram for _, datagram in arrivals}
    true, concealed = (
        decode(codec.leg, receive(codec, part, seconds).audio) for part in (whole, [*arrivals, whole[-1]])
    )
    offset = len(true) - len(datagrams) * size  # what was filled before the first packet
    lost = [offset + number * size for number, datagram in enumerate(datagrams[:-1]) if datagram not in got]
    return compare(true, concealed, lost, codec.leg.sample_rate_hz)


@click.command(context_settings=CONTEXT)
@click.option("--minutes", type=click.FloatRange(0.1, 60), default=10.0, show_default=True, help="Of speech, each.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(minutes: float, as_json: bool) -> None:
    """5 % loss, 60 ± 20 ms of delay: what the listener gets of PCMU, G.722 and Opus."""
    rows = [measure(codec, 60 * minutes, burst) for codec in PAYLOAD_TYPES for burst in (1.0, 3.0)]
    concealments = {codec.value: conceal(codec, min(60 * minutes, CONCEALED_S)) for codec in PAYLOAD_TYPES}
    if as_json:
        judged = {codec: asdict(comparison) for codec, comparison in concealments.items()}
        click.echo(json.dumps({"streams": [asdict(row) for row in rows], "concealment": judged}, indent=1))
        return
    click.echo("| codec | loss | lost | concealed | chunks, wrong ones | late p50 / max | stalls | standing delay |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for row in rows:
        click.echo(
            f"| {row.codec} | {row.loss} | {row.lost} of {row.packets} | {row.concealed_s:.1f} s "
            f"| {row.chunks}, {row.chunk_length_errors} | {1e3 * row.late_p50_s:.0f} / {1e3 * row.late_max_s:.0f} ms "
            f"| {row.stalls} | {1e3 * row.standing_delay_s:.0f} ms |"
        )
    click.echo("\n| codec, random loss | lost packets of speech | concealed | last packet again | silence |")
    click.echo("|---|---|---|---|---|")
    for name, comparison in concealments.items():
        ways = (comparison.concealed, comparison.repeated, comparison.silent)
        cells = " | ".join(f"{way.distance_db:.1f} dB off, SNR {way.segmental_snr_db:.1f} dB" for way in ways)
        click.echo(f"| {name} | {comparison.packets} | {cells} |")


if __name__ == "__main__":
    main()
