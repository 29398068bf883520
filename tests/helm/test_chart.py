"""The chart by Helm's own code, and what it renders by the published schemas of those who will read it."""

import json
from typing import Any

import pytest

from tests.helm.chart import CHART, VALUE_SETS, objects, one, render, values_of
from tests.helm.chart_schema import chart_schema_text
from tests.helm.renew import GOLDEN, SCHEMA, golden_text
from tests.helm.tools import fetched, helm, kubernetes, operators_say

OF_OPERATORS = {"ScaledObject", "PodMonitor", "ServiceMonitor", "PrometheusRule"}
KUBERNETES = [f"1.{minor}" for minor in range(28, 38)]
WARNING = 2  # severities of Helm's linter: 1 tells, 2 warns, 3 refuses

pytestmark = pytest.mark.timeout(900)  # whoever comes first fetches the tools
each_set = pytest.mark.parametrize("name", VALUE_SETS)


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    fetched()


@each_set
def test_the_linter_has_nothing_to_say(name: str) -> None:
    report = helm().lint(str(CHART), values_of(name), strict=True, kube_version="v1.37.0")
    assert [message for message in report["messages"] if message["severity"] >= WARNING] == []
    assert report["errors"] == []


@pytest.mark.parametrize("version", KUBERNETES)
@each_set
def test_kubernetes_takes_what_is_rendered(name: str, version: str) -> None:
    found = [each for each in objects(values_of(name)) if each["kind"] not in OF_OPERATORS]
    assert len(found) >= 4
    for each in found:
        kubernetes().validate(each, version, strict=True)


def test_that_check_would_see_a_wrong_type_and_an_unknown_key() -> None:
    deployment = one(objects(values_of("everything-off")), "Deployment")
    for wrong in ({"replicas": "two"}, {"replicaz": 2}):
        with pytest.raises(kubernetes().ValidationError):
            kubernetes().validate(deployment | {"spec": deployment["spec"] | wrong}, KUBERNETES[0], strict=True)


@each_set
def test_operators_take_what_is_rendered_for_them(name: str) -> None:
    found = [each for each in objects(values_of(name)) if each["kind"] in OF_OPERATORS]
    assert operators_say(found) == []


def test_that_check_would_see_a_wrong_one() -> None:
    found = objects(values_of("gpu-keda"))
    scaled = one(found, "ScaledObject", "duplex")
    scaled["spec"]["maxReplicaCount"] = "many"
    (said,) = operators_say([one(found, "PodMonitor"), scaled])
    assert "maxReplicaCount must be integer" in said


def test_all_kinds_of_operators_are_rendered_by_some_set() -> None:
    kinds = {each["kind"] for name in VALUE_SETS for each in objects(values_of(name))}
    assert kinds >= OF_OPERATORS | {"Ingress", "HorizontalPodAutoscaler", "StatefulSet", "NetworkPolicy"}


@each_set
def test_golden_render(name: str) -> None:
    assert golden_text(values_of(name)) == (GOLDEN / f"{name}.yaml").read_text(), "python -m tests.helm.renew"


def test_the_schema_is_that_of_our_settings() -> None:
    assert SCHEMA.read_text() == chart_schema_text(), "python -m tests.helm.renew"


def test_no_object_of_the_schema_takes_keys_that_it_does_not_know() -> None:
    open_ones: list[str] = []

    def look(node: Any, path: str) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object" and node.get("additionalProperties", True) is True:
                open_ones.append(path)
            for key, value in node.items():
                look(value, f"{path}/{key}")

    look(json.loads(SCHEMA.read_text()), "")
    affinities = ["/$defs/pool/properties/affinity", "/properties/gateway/properties/affinity"]
    assert sorted(open_ones) == sorted([*affinities, "/properties/global"])


def test_it_packages() -> None:
    with helm().Chart.load(CHART) as chart:
        assert (chart.name, chart.metadata["appVersion"]) == ("twowire", _version())


def _version() -> str:
    from wire import __version__

    return __version__


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("twilio-only", "POST https://voice.example.com/twilio/voice\n"),
        ("sip-host-network", "POST https://voice.example.com/twilio/voice\n"),
        ("webrtc-turn", "sip:203.0.113.7, UDP 5060, TCP 5060; RTP on UDP 10000 to 10039."),
        ("everything-off", "nobody answers until workers reach the same bus"),
        ("everything-off", "Twilio's media wants https"),
    ],
)
def test_notes_name_what_to_do_next(name: str, said: str) -> None:
    assert said in render(values_of(name))["NOTES.txt"]
