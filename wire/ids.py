"""Ids that cross the wire."""

from typing import NewType

CallId = NewType("CallId", str)
"""One caller's call, unique for ever; the same at every epoch."""

WorkerId = NewType("WorkerId", str)
"""One model worker process."""

GatewayId = NewType("GatewayId", str)
"""One gateway process."""

TurnId = NewType("TurnId", int)
"""One utterance of the agent: numbered by the worker from 1, growing within an epoch. 0 means none."""

NO_TURN = TurnId(0)
