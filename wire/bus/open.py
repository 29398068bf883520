"""What a process gets when it joins a bus, whichever carrier it is."""

from typing import NamedTuple

from wire.bus.seam import Bus, OneTimeTokens, Placement
from wire.bus.waiting_line import WaitingLine


class BusParts(NamedTuple):
    """One process's share of a bus. ``bus.close()`` ends all of it; withdraw and release before."""

    bus: Bus
    placement: Placement
    tokens: OneTimeTokens
    line: WaitingLine
