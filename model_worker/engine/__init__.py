"""The engine loop: messages of gateways in, one decision per chunk out; pure and synchronous."""

from model_worker.engine.loop import EngineLoop
from model_worker.engine.stats import EngineStep, Fault, LoopStats

__all__ = ["EngineLoop", "EngineStep", "Fault", "LoopStats"]
