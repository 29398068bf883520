"""asyncio beside one engine thread: the bus and the heartbeat on the loop, the model on its thread."""

from model_worker.runner.worker import EngineDiedError, EngineFault, Worker

__all__ = ["EngineDiedError", "EngineFault", "Worker"]
