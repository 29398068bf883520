"""vLLM's engine client on an event loop of its own: the worker's engine knows no loop, vLLM's client nothing else."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")

# Before vLLM is imported: no questions to a model hub, and no telemetry.
ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}


def prepare_environment() -> None:
    """What the operator has set stays."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


class LoopThread:
    """Runs coroutines for another thread."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wait(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Its result, or what it raises."""
        return self.begin(coroutine).result()

    def begin(self, coroutine: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Coroutines begin in the order of these calls, each before the next."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call(self, function: Callable[[], Result]) -> Result:
        """A function on the loop's thread, where a loop runs."""

        async def called() -> Result:
            return function()

        return self.wait(called())

    def stop(self) -> None:
        """End the thread; coroutines that are under way are dropped."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
