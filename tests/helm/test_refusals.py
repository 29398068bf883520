"""Wrong values are refused before anything is sent to Kubernetes, with words that say which and why."""

import re

import pytest

from model_worker.engines.cards import CARDS
from tests.helm.chart import CHART, Values, changed, render, values_of
from tests.helm.tools import fetched, helm

pytestmark = pytest.mark.timeout(900)  # whoever comes first fetches the tools


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    fetched()


def refused(values: Values) -> str:
    """What Helm says against them."""
    with pytest.raises((helm().HelmValuesError, helm().HelmRenderError)) as caught:
        render(values)
    return str(caught.value)


SCHEMA = {
    "gatway": ({}, ["gatway", "not allowed"]),
    "gateway.replicas": ("two", ["/gateway/replicas", "want integer"]),
    "gateway.port": (80, ["/gateway/port", "minimum"]),
    "gateway.settings.max_cal_s": (60, ["/gateway/settings", "max_cal_s"]),
    "gateway.settings.redis_url": ("redis://x", ["/gateway/settings", "redis_url"]),
    "gateway.settings.max_call_s": (0, ["/gateway/settings/max_call_s", "exclusiveMinimum"]),
    "gateway.settings.log_format": ("yaml", ["/gateway/settings/log_format", "'console', 'json'"]),
    "gateway.fallback.steps": ([{"greeting": {}, "queue": {}}], ["/gateway/fallback/steps/0", "maxProperties"]),
    "gateway.sip.config.trunks": ([{"name": "a", "peer": []}], ["/gateway/sip/config/trunks/0", "'peer'"]),
    "gateway.sip.rtpPorts.first": (80, ["/gateway/sip/rtpPorts/first", "minimum"]),
    "gateway.webrtc.config.relay": (True, ["/gateway/webrtc/config", "'relay'"]),
    "gateway.autoscaling.minReplicas": (0, ["/gateway/autoscaling/minReplicas", "minimum"]),
    "gateway.mounts.Recordings": ({"path": "/r"}, ["/gateway/mounts", "'Recordings'"]),
    "gateway.extraEnv": ([{"name": "A"}], ["/gateway/extraEnv/0", "'value'"]),
    "gateway.egress": ([{"to": []}], ["/gateway/egress/0", "'ports'"]),
    "ingress.host": ("https://voice.example.com", ["/ingress/host", "pattern"]),
    "publicUrl": ("https://voice.example.com/twilio", ["/publicUrl", "pattern"]),
    "secrets.apiToken": ("short", ["/secrets/apiToken", "pattern"]),
    "redis.url": ("redis://:password@redis:6379", ["/redis/url", "pattern"]),
    "autoscaling.stabilizationSeconds": (60, ["/autoscaling/stabilizationSeconds", "minimum"]),
    "workers.Duplex": ({}, ["/workers", "'Duplex'"]),
    "workers.receptionist.engine": ("gpt", ["/workers/receptionist/engine", "'receptionist'"]),
    "workers.receptionist.gpu.count": (-1, ["/workers/receptionist/gpu/count", "minimum"]),
    "workers.receptionist.settings.slots": ("many", ["/workers/receptionist/settings/slots", "integer"]),
    "workers.receptionist.agents.sales": ("", ["/workers/receptionist/agents", "'sales'"]),
    "workers.receptionist.resources.requests": ({"cpu": "lots"}, ["/resources/requests/cpu", "pattern"]),
    "valkey.image.tag": ("", ["/valkey/image/tag", "pattern"]),
    "networkPolicy.nodeCidrs": (["10.0.0.1"], ["/networkPolicy/nodeCidrs/0", "pattern"]),
}


@pytest.mark.parametrize("path", SCHEMA)
def test_the_schema_refuses(path: str) -> None:
    value, expected = SCHEMA[path]
    base = values_of("twilio-only")
    render(base)
    said = refused(changed(base, path, value))
    assert all(part in said for part in expected), said


def after(name: str, changes: dict[str, object]) -> Values:
    """A set of values with some replaced; None takes one out."""
    values = values_of(name)
    for path, value in changes.items():
        values = changed(values, path, value)
    return values


CONTRADICTIONS: list[tuple[str, dict[str, object], str]] = [
    ("everything-off", {"publicUrl": ""}, "set ingress.host or publicUrl"),
    ("twilio-only", {"ingress.host": "", "publicUrl": "https://a.example.com"}, "set ingress.host, or ingress.enabled"),
    ("twilio-only", {"secrets.existingSecret": ""}, "set secrets.existingSecret, or secrets.twilioAuthToken and"),
    ("twilio-only", {"secrets.apiToken": "a" * 16}, "give existingSecret or values, not both"),
    ("twilio-only", {"valkey.enabled": True}, "name one bus of redis.url, redis.existingSecret.name and valkey"),
    ("twilio-only", {"redis.existingSecret.name": ""}, "and valkey.enabled; got 0"),
    ("everything-off", {"serviceAccount.name": ""}, "set serviceAccount.name"),
    # calls that are to live, and a grace period that ends them
    (
        "twilio-only",
        {"gateway.terminationGracePeriodSeconds": 1_839},
        "gateway.terminationGracePeriodSeconds: 1839 s end",
    ),
    (
        "gpu-keda",
        {"workers.duplex.terminationGracePeriodSeconds": 1_800},
        "workers.duplex.terminationGracePeriodSeconds: 1800 s end calls",
    ),
    ("twilio-only", {"workerDefaults.terminationGracePeriodSeconds": 60}, "workers.receptionist.terminationGrace"),
    # autoscaling
    ("gpu-keda", {"gateway.autoscaling.minReplicas": 7}, "minReplicas 7 is more than maxReplicas 6"),
    (
        "gpu-keda",
        {"autoscaling.keda.prometheusAddress": ""},
        "workers.duplex.autoscaling.mode keda: set autoscaling.keda",
    ),
    ("gpu-keda", {"monitoring.podMonitor.enabled": False}, "workers.duplex.autoscaling: set monitoring.podMonitor"),
    ("hpa", {"monitoring.serviceMonitor.enabled": False}, "gateway.autoscaling: set monitoring.serviceMonitor.enabled"),
    ("hpa", {"monitoring.rules.enabled": False}, "workers.receptionist.autoscaling.mode hpa: set monitoring.rules"),
    # pods
    (
        "sip-host-network",
        {"gateway.strategy.maxUnavailable": 0},
        "gateway.strategy: with maxSurge and maxUnavailable 0",
    ),
    ("sip-host-network", {"gateway.strategy.maxSurge": 1}, "two gateways cannot share a node's ports"),
    ("twilio-only", {"gateway.settings.recording_dir": "/calls"}, "recording_dir: /calls lies in none of its mounts"),
    ("twilio-only", {"gateway.settings.recording_dir": "/recordingsx"}, "lies in none of its mounts"),
    ("twilio-only", {"gateway.settings.recording_dir": ""}, "gateway.settings.recording: set recording_dir"),
    ("gpu-keda", {"workers.cascade.mounts": {}}, "answers_key_file: /etc/twowire/keys/answers lies in none"),
    ("twilio-only", {"gateway.mounts.recordings.secret": "a"}, "/recordings: name one of claim, secret and configMap"),
    ("twilio-only", {"gateway.extraEnv": [{"name": "TWOWIRE_AGENT", "value": "a"}]}, "TWOWIRE_AGENT is a setting"),
    # SIP
    ("sip-host-network", {"gateway.hostNetwork": False}, "gateway.sip.expose hostNetwork: set gateway.hostNetwork"),
    (
        "sip-host-network",
        {"gateway.sip.expose": "podAddress"},
        "gateway.sip.expose podAddress: gateway.hostNetwork gives",
    ),
    ("sip-host-network", {"gateway.sip.advertise": "203.0.113.7"}, "one address for several gateways"),
    ("sip-host-network", {"gateway.sip.tls.existingSecret": ""}, "gateway.sip.tlsPort: set gateway.sip.tls"),
    (
        "sip-host-network",
        {"gateway.extraEnv": []},
        "gateway.sip.config.trunks: PBX_PASSWORD is not in gateway.extraEnv",
    ),
    (
        "sip-host-network",
        {"gateway.sip.rtpPorts": {"first": 2000, "last": 2002}},
        "expected at least four ports, got 2000",
    ),
    (
        "sip-host-network",
        {"gateway.sip.udpPort": 0, "gateway.sip.tcpPort": 0, "gateway.sip.tlsPort": 0},
        "gateway.sip: no port is open",
    ),
    ("webrtc-turn", {"gateway.sip.advertise": ""}, "loadBalancer: set gateway.sip.advertise"),
    ("webrtc-turn", {"gateway.replicas": 2}, "RTP would reach another gateway than the one that has the call"),
    ("webrtc-turn", {"gateway.sip.rtpPorts": {"first": 10_000, "last": 10_400}}, "at most 400"),
    # browsers
    ("webrtc-turn", {"gateway.webrtc.config.ice_servers": []}, "browsers cannot reach the address of a pod"),
    (
        "webrtc-turn",
        {"gateway.extraEnv": []},
        "gateway.webrtc.config.ice_servers: TURN_SECRET is not in gateway.extraEnv",
    ),
    ("webrtc-turn", {"gateway.extraEnv": []}, "config.token_secret: PAGE_TOKEN_SECRET is not in gateway.extraEnv"),
    (
        "webrtc-turn",
        {"gateway.webrtc.config.token_secret": None, "gateway.replicas": 2},
        "token_secret: several gateways behind one address need the same",
    ),
    # pools
    ("gpu-keda", {"workers.duplex.model": None}, "workers.duplex: audio-interaction-vllm needs a model"),
    (
        "gpu-keda",
        {"workers.duplex.model.claim": "mine"},
        "workers.duplex.model: name one of claim, image and create; got 2",
    ),
    ("gpu-keda", {"workers.cascade.model.claim": "mine"}, "workers.cascade.model: cascade takes none"),
    (
        "gpu-keda",
        {"workers.cascade.settings.recognizer_url": None},
        "workers.cascade: cascade needs settings.recognizer_url",
    ),
    ("gpu-keda", {"workers.cascade.agents": {}}, "workers.cascade: cascade needs agent files"),
    ("gpu-keda", {"workers.cascade.agentsConfigMap": "mine"}, "give agents or agentsConfigMap, not both"),
    ("gpu-keda", {"workers.cascade.egress": []}, "settings.answers_url: networkPolicy lets nothing through to it"),
    # policies
    ("twilio-only", {"networkPolicy.redis.to": []}, "networkPolicy.redis.to: where is the bus?"),
    (
        "sip-host-network",
        {"redis.url": "", "valkey.enabled": True},
        "networkPolicy.nodeCidrs: gateways with hostNetwork come to valkey from the nodes' addresses",
    ),
]


@pytest.mark.parametrize(("name", "changes", "expected"), CONTRADICTIONS, ids=[text for _, _, text in CONTRADICTIONS])
def test_a_contradiction_fails_the_render(name: str, changes: dict[str, object], expected: str) -> None:
    assert expected in refused(after(name, changes))


def test_all_that_is_wrong_is_said_at_once() -> None:
    said = refused({})
    expected = [
        "set ingress.host or publicUrl",
        "set secrets.existingSecret",
        "name one bus of",
        "networkPolicy.redis.to",
    ]
    assert all(part in said for part in expected), said


@pytest.mark.parametrize("engine", [card.name for card in CARDS if card.kind.endswith("server")])
def test_an_engine_on_a_server_needs_its_address(engine: str) -> None:
    said = refused(changed(values_of("twilio-only"), "workers.receptionist.engine", engine))
    assert f"workers.receptionist: {engine} needs settings.server_url" in said


def test_every_fault_that_the_chart_knows_is_tried_here() -> None:
    checks = (CHART / "templates" / "checks.yaml").read_text()
    said = [refused(after(name, changes)) for name, changes, _ in CONTRADICTIONS]
    known = re.findall(r'append \$faults (?:\(printf )?"([^"]+)"', checks)
    assert len(known) == checks.count("$faults = append")
    for text in known:
        pattern = re.compile(re.sub("%[sd]", ".+", re.escape(text)))
        assert any(pattern.search(each) for each in said), text
