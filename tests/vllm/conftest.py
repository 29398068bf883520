"""What needs vLLM runs where it is installed (``make test-vllm``), and says elsewhere that it does not."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.vllm.chat_model import CONTEXT_TOKENS, write_chat_model
from tests.vllm.server import VllmServer, serving

START_LIMIT_S = 600  # the first test of each process waits for the start of a server or an engine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason="vLLM is not installed in this environment: make test-vllm")
    for item in items:
        if item.get_closest_marker("vllm") is not None:
            item.add_marker(pytest.mark.timeout(START_LIMIT_S))
            if find_spec("vllm") is None:
                item.add_marker(missing)


@pytest.fixture(scope="session")
def chat_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    """A chat model that never ends an answer by itself, behind vLLM's OpenAI server."""
    folder = tmp_path_factory.mktemp("vllm")
    write_chat_model(folder / "model")
    with serving(folder / "model", folder / "server.log", CONTEXT_TOKENS) as server:
        yield server
