"""Callers who wait for a slot, by SIP: 182, and an answer when it is their turn."""

from pathlib import Path

from gateway.sip.ua.effects import CallAnswered, CallEnded, CallRinging
from tests.gateway.sip.far_end import sip_line


def ladder(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "fallback.yaml"
    file.write_text(f"steps: [{text}]")
    return file


async def test_who_waits_is_told_so_and_answered_when_a_slot_is_free(tmp_path: Path):
    file = ladder(tmp_path, "{queue: {max_wait_s: 60}}")
    async with sip_line(slots=1, fallback_file=file) as line:
        first, second = await line.telephone(), await line.telephone()
        talking = first.call(line.uri)
        await first.told(CallAnswered)
        second.call(line.uri)
        assert (await second.told(CallRinging)).status == 182
        first.hang_up(talking)
        await second.told(CallAnswered)
        assert await line.metric('twowire_gateway_fallbacks_total{door="sip",step="queue"}') == 1


async def test_who_gives_up_leaves_the_line(tmp_path: Path):
    file = ladder(tmp_path, "{queue: {max_wait_s: 60}}")
    async with sip_line(slots=1, fallback_file=file) as line:
        first, second, third = [await line.telephone() for _ in range(3)]
        talking = first.call(line.uri)
        await first.told(CallAnswered)
        gives_up = second.call(line.uri)
        await second.told(CallRinging)
        second.hang_up(gives_up)
        await second.told(CallEnded)
        third.call(line.uri)
        await third.told(CallRinging)
        first.hang_up(talking)
        await third.told(CallAnswered)
