"""asyncio beside one engine thread: the bus and the heartbeat on the loop, the model on its thread."""

from model_worker.runner.worker import EngineDiedError, Worker

__all__ = ["EngineDiedError", "Worker"]
