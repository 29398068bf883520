"""What is kept of a call, so that a gateway which never heard of it can go on with it."""

from msgspec import DecodeError, Struct, msgpack

from wire.messages import Line

VERSION = 1


class Resumption(Struct, frozen=True, array_like=True):
    """One call at one moment, in words and counts: its sound is gone with its gateway."""

    version: int
    epoch: int
    turn: int
    """The newest turn of the agent."""
    state: bytes
    """The engine's newest snapshot; empty when it takes none."""
    said: tuple[Line, ...]
    unsaid: str
    """What the caller had not heard yet of a turn that was open."""
    agent: str
    caller: str
    callee: str
    variables: dict[str, str]
    after: tuple[str, dict[str, str]] | None = None
    """The agent has left: what happens to the caller now (``effects.EndLeg``). None: the call goes on."""


def pack(resumption: Resumption) -> bytes:
    return msgpack.encode(resumption)


def unpack(state: bytes) -> Resumption | None:
    """None for what another version wrote."""
    try:
        resumption = msgpack.decode(state, type=Resumption)
    except DecodeError:
        return None
    return resumption if resumption.version == VERSION else None
