"""docs/WIRE.md says what the code does."""

import re
from pathlib import Path
from typing import get_args

import msgspec

from wire import keys
from wire.audio.codecs import Codec
from wire.codec import MAX_BODY_BYTES, VERSION
from wire.errors import WireError
from wire.messages import DownMessage, Message, Past, Playback, UpMessage

DOCUMENT = (Path(__file__).parents[2] / "docs" / "WIRE.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| `(\w+)` \| (.*?) \|", re.MULTILINE)


def documented(section: str) -> dict[str, tuple[int, list[str]]]:
    """Message name to its tag and its fields, as the table of a section gives them."""
    text = DOCUMENT.split(f"### {section}:", 1)[1].split("\n#", 1)[0]
    return {name: (int(tag), re.findall(r"`(\w+)`", fields)) for tag, name, fields in ROW.findall(text)}


def in_code(union: object) -> dict[str, tuple[int, list[str]]]:
    common = {field.name for field in msgspec.structs.fields(Message)}
    return {
        kind.__name__: (
            kind.__struct_config__.tag,
            [field.name for field in msgspec.structs.fields(kind) if field.name not in common],
        )
        for kind in get_args(union)
    }


def test_every_message_up_is_documented_with_its_tag_and_fields_in_order():
    assert documented("Up") == in_code(UpMessage)


def test_every_message_down_is_documented_with_its_tag_and_fields_in_order():
    assert documented("Down") == in_code(DownMessage)


def test_playback_is_documented_with_its_fields_in_order():
    sentence = DOCUMENT.split("`Playback` is an array", 1)[1].split(", all int", 1)[0]
    assert re.findall(r"`(\w+)`", sentence) == [field.name for field in msgspec.structs.fields(Playback)]


def test_past_is_documented_with_its_fields_in_order():
    sentence = DOCUMENT.split("`Past` is an array", 1)[1].split("; a `Line`", 1)[0]
    assert re.findall(r"`(\w+)`", sentence) == [field.name for field in msgspec.structs.fields(Past)]


def test_version_bound_codecs_and_reasons_are_documented():
    assert f"| 1 | version | `{VERSION}` |" in DOCUMENT
    assert f"at most {MAX_BODY_BYTES} |" in DOCUMENT
    for codec in Codec:
        assert f"| `{codec.value}` |" in DOCUMENT
    errors: list[type[WireError]] = [WireError, *WireError.__subclasses__()]
    for error in errors:
        assert f"`{error.reason}`" in DOCUMENT


def test_every_key_is_documented():
    for key in (
        keys.ADVERTS,
        keys.HEARTBEATS,
        keys.CALL_LEASES,
        keys.WAITING,
        keys.WAITING_ASKED,
        keys.worker_leases("<worker>"),
        keys.worker_stream("<worker>"),
        keys.gateway_stream("<gateway>"),
        keys.spent_token("<nonce>"),
        keys.live_call("<call>"),
        keys.recorded_call("<call>"),
    ):
        assert f"| `{key}` |" in DOCUMENT
