"""What is rendered, given to those who will run it: our settings, our doors, our servers, our metrics."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from gateway.config import GatewayConfig, load_config
from gateway.config.fallback import load_ladder
from gateway.config.sip import load_sip
from gateway.config.webrtc import load_webrtc
from model_worker.config import WorkerConfig, load_worker_config
from model_worker.engines.files import load_lines
from model_worker.web import operations
from tests.gateway.live import line
from tests.helm.chart import CHART, VALUE_SETS, Object, objects, one, values_of
from tests.helm.test_pods import environment
from tests.helm.tools import fetched
from tests.interop.certificates import make_certificate

pytestmark = pytest.mark.timeout(900)  # whoever comes first fetches the tools
each_set = pytest.mark.parametrize("name", VALUE_SETS)
SECRET = "a-secret-of-16-characters-and-more"


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    fetched()


def container_of(deployment: Object) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def in_force(container: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Put a container's environment in place; what comes from a Secret is ``SECRET``. Gives the settings set."""
    for name, value in environment(container).items():
        monkeypatch.setenv(name, value or SECRET)
    return {name.removeprefix("TWOWIRE_").lower() for name in environment(container) if name.startswith("TWOWIRE_")}


@each_set
def test_a_gateway_starts_with_what_it_is_given(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = objects(values_of(name))
    container = container_of(one(found, "Deployment", "gateway"))
    given = in_force(container, monkeypatch)
    assert given <= set(GatewayConfig.model_fields)
    config = load_config()
    assert (config.host, config.port, config.log_format) == ("0.0.0.0", 8_080, "json")
    assert config.base_url.endswith((".example.com", ".example.internal:8080"))

    make_certificate(tmp_path, "127.0.0.1")
    for file, text in (one(found, "ConfigMap", "gateway").get("data") or {}).items():
        text = text.replace("/etc/twowire/sip-tls", str(tmp_path)).replace("$(POD_IP)", "10.1.2.3")
        (tmp_path / file).write_text(text)
    for setting, read in (("sip_file", load_sip), ("webrtc_file", load_webrtc), ("fallback_file", load_ladder)):
        path = getattr(config, setting)
        assert (path is None) == (not (tmp_path / setting.replace("_file", ".yaml")).exists())
        if path is not None:
            read(tmp_path / path.name)


@each_set
def test_a_worker_starts_with_what_it_is_given(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for deployment in objects(values_of(name)):
        if deployment["kind"] != "Deployment" or deployment["metadata"]["name"].endswith("gateway"):
            continue
        with monkeypatch.context() as patch:
            container = container_of(deployment)
            assert in_force(container, patch) <= set(WorkerConfig.model_fields)
            config = load_worker_config()
        assert (config.metrics_host, config.metrics_port) == ("0.0.0.0", container["ports"][0]["containerPort"])
        mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
        for path in (config.model, config.agents_dir):
            assert path is None or str(path) in mounted


def test_agent_files_arrive_as_they_were_written(tmp_path: Path) -> None:
    data = one(objects(values_of("gpu-keda")), "ConfigMap", "cascade-agents")["data"]
    for file, text in data.items():
        (tmp_path / file).write_text(text)
    briefs = load_lines(WorkerConfig(engine="cascade", agents_dir=tmp_path), "cascade")
    assert briefs.keys() == {"sales"}


def test_a_pod_on_the_node_s_network_tells_peers_its_own_address(tmp_path: Path) -> None:
    found = objects(values_of("sip-host-network"))
    spec = one(found, "Deployment", "gateway")["spec"]["template"]["spec"]
    (init,) = spec["initContainers"]
    python, option, script = init["command"]
    assert (python, option) == ("python", "-c")
    make_certificate(tmp_path, "127.0.0.1")
    text = one(found, "ConfigMap", "gateway")["data"]["sip.yaml"].replace("/etc/twowire/sip-tls", str(tmp_path))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "sip.yaml").write_text(text)
    script = script.replace("/etc/twowire", str(tmp_path)).replace("/run/twowire", str(tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POD_IP", "192.0.2.77")
        patch.setenv("PBX_PASSWORD", SECRET)
        exec(script)  # what the init container runs
        config = load_sip(tmp_path / "sip.yaml")
    assert config.announced_host == "192.0.2.77"
    assert config.rtp_ports == (20_000, 29_999)
    assert [(each.transport.value, each.address[1]) for each in config.listen] == [
        ("UDP", 5_060),
        ("TCP", 5_060),
        ("TLS", 5_061),
    ]


async def ran(script: str, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.parametrize(
    ("alive", "not_ready", "restarts"),
    [
        (True, None, False),
        (True, "draining", False),
        (True, "not advertised", False),
        (True, "engine without progress for 61 s", True),
        (True, "engine thread ended", True),
        (False, None, True),
    ],
)
async def test_a_worker_is_restarted_for_its_engine_and_not_for_its_bus(
    alive: bool, not_ready: str | None, restarts: bool
) -> None:
    container = container_of(one(objects(values_of("twilio-only")), "Deployment", "receptionist"))
    python, option, script = container["livenessProbe"]["exec"]["command"]
    assert (python, option) == ("python", "-c")
    runner = web.AppRunner(operations(CollectorRegistry(), lambda: alive, lambda: not_ready))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        status, said = await ran(script, str(runner.addresses[0][1]))
    finally:
        await runner.cleanup()
    assert (status != 0) == restarts, said
    assert not restarts or "engine" in said


async def test_a_worker_that_does_not_answer_is_restarted() -> None:
    status, said = await ran((CHART / "files" / "engine_moves.py").read_text(), "1")
    assert status != 0
    assert "ConnectionRefusedError" in said


def test_the_words_by_which_a_probe_knows_the_engine_are_the_worker_s() -> None:
    from model_worker.runner import worker

    source = Path(worker.__file__).read_text()
    reasons = re.findall(r'return f?"(.+)"', source[source.index("def not_ready") : source.index("async def start")])
    assert reasons == [
        "engine thread ended",
        "draining",
        "engine without progress for {stalled_s:.0f} s",
        "not advertised",
    ]


def test_a_worker_stalled_too_long_is_restarted_only_after_it_was_long_not_ready() -> None:
    probe = container_of(one(objects(values_of("twilio-only")), "Deployment", "receptionist"))["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 60 > WorkerConfig().stall_limit_s


async def test_helm_test_is_content_with_a_gateway_of_ours_and_not_with_one_that_drains() -> None:
    (container,) = one(objects(values_of("twilio-only")), "Pod")["spec"]["containers"]
    *_, script, host, port = container["command"]
    service = one(objects(values_of("twilio-only")), "Service")
    assert (host, port) == (service["metadata"]["name"], str(service["spec"]["ports"][0]["port"]))
    async with line() as it:
        here = it.gateway.base_url.rpartition(":")[2]
        assert await ran(script, "127.0.0.1", here) == (
            0,
            "GET /healthz 200\nGET /readyz 200\nPOST /twilio/voice 403\n",
        )
        draining = asyncio.create_task(it.gateway.drain())
        await asyncio.sleep(0)
        status, said = await ran(script, "127.0.0.1", here)
        await draining
    assert status != 0
    assert "GET /readyz: expected 200, got 503" in said
