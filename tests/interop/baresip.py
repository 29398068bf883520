"""baresip: a telephone with G.711, G.722, SDES and DTLS-SRTP that plays a file and writes what it heard."""

import asyncio
import fcntl
import json
import socket
import struct
from pathlib import Path
from typing import Any

from tests.interop.audio import Samples, read_wav, write_wav
from tests.interop.peers import START_S, Bench, Peer, find_peer, free_media_ports, free_port, listening

MODULES = (
    "/usr/lib/baresip/modules",
    "/usr/lib/x86_64-linux-gnu/baresip/modules",
    "/usr/local/lib/baresip/modules",
)
EVENT_S = 15.0

CONFIG = """\
poll_method epoll
sip_listen {host}:{port}
sip_transports udp,tcp
call_local_timeout 30
call_max_calls 4
audio_player aufile,{folder}/player.wav
audio_source aufile,{folder}/source.wav
audio_alert aufile,{folder}/alert.wav
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
audio_buffer 20-160
rtp_tos 184
rtp_ports {media}-{media_end}
rtcp_mux no
jitter_buffer_delay 5-10
rtp_stats yes
net_interface {interface}
module_path {modules}
module g711.so
module g722.so
module aufile.so
module sndfile.so
module srtp.so
module dtls_srtp.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
snd_path {folder}
"""


def host_address() -> str:
    """An address of this machine that is not loopback: baresip leaves ``lo`` out of account."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        # No packet is sent by a connect of UDP; it only chooses the local address.
        probe.connect(("198.51.100.1", 9))
        host: str = probe.getsockname()[0]
    return host


def _modules() -> str:
    return next((path for path in MODULES if Path(path).is_dir()), MODULES[0])


def _interface_of(address: str) -> str:
    for _, name in socket.if_nameindex():
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            try:
                answer = fcntl.ioctl(probe.fileno(), 0x8915, struct.pack("256s", name.encode()[:15]))  # SIOCGIFADDR
            except OSError:
                continue
        if socket.inet_ntoa(answer[20:24]) == address:
            return name
    raise OSError(f"expected an interface with {address}")


class Baresip:
    """One telephone, driven over its control port (JSON in netstrings)."""

    def __init__(self, bench: Bench, source: Samples, rate: int, *, user: str = "alice", account: str = "") -> None:
        """``account``: parameters of the account, e.g. ``;auth_pass=x;regint=60`` or ``;mediaenc=dtls_srtp``."""
        self.host = host_address()
        self.port = free_port(self.host)
        self.user = user
        self._account = account
        self._bench = bench
        self._rate = rate
        self._source = source
        self._peer: Peer | None = None
        self._folder = Path()
        self._events: list[dict[str, Any]] = []
        self._seen = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    @property
    def uri(self) -> str:
        return f"sip:{self.user}@{self.host}:{self.port}"

    async def start(self, registrar: str = "") -> "Baresip":
        """Write the configuration, start, and wait for the control port."""
        self._folder = self._bench.folder_for("baresip")
        write_wav(self._folder / "source.wav", self._source, self._rate)
        control, media = free_port(), free_media_ports(self.host, 20)
        values = {
            "host": self.host,
            "port": self.port,
            "folder": self._folder,
            "rate": self._rate,
            "media": media,
            "media_end": media + 19,
            "interface": _interface_of(self.host),
            "modules": _modules(),
            "control": control,
        }
        (self._folder / "config").write_text(CONFIG.format(**values))
        (self._folder / "contacts").write_text("")
        domain = registrar or f"{self.host}:{self.port}"
        regint = "" if "regint" in self._account else ";regint=0"
        (self._folder / "accounts").write_text(f"<sip:{self.user}@{domain}>{self._account}{regint}\n")
        self._peer = self._bench.start("baresip", find_peer("baresip"), "-4", "-f", str(self._folder))
        async with asyncio.timeout(START_S):
            while not listening([(control, True)]):
                assert self._peer.running, self._peer.tail()
                await asyncio.sleep(0.05)
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", control)
        self._task = asyncio.get_running_loop().create_task(self._read(self._reader))
        if registrar:
            # Its event may come before anybody is connected; its words stay.
            await self._peer.until(r"200 OK .*\[\d+ bindings?\]")
        return self

    def do(self, command: str, parameters: str = "") -> None:
        """A command of its menu, e.g. ``dial``."""
        assert self._writer is not None
        data = json.dumps({"command": command, "params": parameters}).encode()
        self._writer.write(b"%d:%s," % (len(data), data))

    async def expect(self, kind: str, within_s: float = EVENT_S) -> dict[str, Any]:
        """The next event of this type, e.g. ``CALL_ESTABLISHED``; others are passed over."""
        assert self._peer is not None
        try:
            async with asyncio.timeout(within_s):
                while True:
                    while self._seen < len(self._events):
                        event = self._events[self._seen]
                        self._seen += 1
                        if event.get("type") == kind:
                            return event
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            got = [event.get("type") for event in self._events]
            raise AssertionError(f"baresip: expected {kind}, got {got}\n{self._peer.tail()}") from None

    @property
    def in_call(self) -> bool:
        """Whether the last call has begun and not ended."""
        kinds = [event.get("type") for event in self._events]
        return kinds.count("CALL_ESTABLISHED") > kinds.count("CALL_CLOSED")

    async def quit(self) -> None:
        """End it by its own command, so that its recordings are whole."""
        assert self._peer is not None
        self.do("quit")
        await self._peer.ended(EVENT_S)
        if self._task is not None:
            self._task.cancel()
        if self._writer is not None:
            self._writer.close()

    def heard(self) -> tuple[Samples, int]:
        """What came out of its decoder, of the last call."""
        files = sorted(self._folder.glob("*-dec.wav"), key=lambda path: path.stat().st_mtime)
        assert files, f"baresip wrote no recording in {self._folder}"
        return read_wav(files[-1])

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                length = int((await reader.readuntil(b":"))[:-1])
                message = json.loads(await reader.readexactly(length))
                await reader.readexactly(1)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if "event" in message:
                self._events.append(message)
            self._news.set()
