"""Fixtures for every test: a real server for those marked ``redis``."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from wire.bus.embedded import EmbeddedValkey

# A busy machine is no fault of the code.
settings.register_profile("twowire", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("twowire")


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The address of a Valkey server that all tests share; use addresses of your own, or flush it first."""
    with EmbeddedValkey() as server:
        yield server.url


@pytest.fixture(autouse=True)
def _logs_of_their_own() -> Iterator[None]:
    """Undo what ``configure_logs`` set up, which holds on to this test's captured stderr."""
    yield
    structlog.reset_defaults()
    for handler in logging.getLogger().handlers[:]:
        if type(handler) is logging.StreamHandler:
            logging.getLogger().removeHandler(handler)
