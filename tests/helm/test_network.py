"""Who reaches whom: policies, the Ingress, the load balancer of SIP."""

from typing import Any

import pytest

from tests.helm.chart import VALUE_SETS, Object, changed, objects, one, values_of
from tests.helm.test_pods import pods
from tests.helm.tools import fetched

pytestmark = pytest.mark.timeout(900)  # whoever comes first fetches the tools


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    fetched()


def reached(policy: Object) -> list[tuple[Any, list[int]]]:
    return [(rule.get("to"), [port["port"] for port in rule["ports"]]) for rule in policy["spec"]["egress"]]


@pytest.mark.parametrize("name", [name for name in VALUE_SETS if name != "everything-off"])
def test_every_pod_but_those_of_the_nodes_network_has_a_policy_both_ways(name: str) -> None:
    found = objects(values_of(name))
    policies = [each["spec"] for each in found if each["kind"] == "NetworkPolicy"]
    assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies)
    for labels, spec in pods(found).values():
        if spec.get("hostNetwork") or labels["app.kubernetes.io/component"] == "test":
            continue
        chosen = [p for p in policies if p["podSelector"]["matchLabels"].items() <= labels.items()]
        assert len(chosen) == 1, labels


def test_gateway_and_worker_reach_the_bus_and_names_and_nothing_else() -> None:
    found = objects(values_of("twilio-only"))
    dns = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]
    expected = [([{"ipBlock": {"cidr": "10.20.0.0/24"}}], [6_379, 26_379]), (dns, [53, 53])]
    for name in ("gateway", "receptionist"):
        assert reached(one(found, "NetworkPolicy", name)) == expected


def test_only_the_pool_whose_engine_is_on_servers_reaches_them() -> None:
    found = objects(values_of("gpu-keda"))
    models = ([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "models"}}}], [8_000])
    assert [
        each["metadata"]["name"] for each in found if each["kind"] == "NetworkPolicy" and models in reached(each)
    ] == ["tw-twowire-worker-cascade"]


def test_the_bus_of_the_chart_hears_gateways_and_workers_and_speaks_to_nobody() -> None:
    policy = one(objects(values_of("webrtc-turn")), "NetworkPolicy", "bus")["spec"]
    assert policy["egress"] == []
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchExpressions"][0]["values"] == ["gateway", "worker"]


def test_gateways_of_the_nodes_network_reach_the_bus_from_the_nodes() -> None:
    values = changed(changed(values_of("sip-host-network"), "redis", None), "valkey.enabled", True)
    found = objects(changed(values, "networkPolicy.nodeCidrs", ["10.0.0.0/16"]))
    (rule,) = one(found, "NetworkPolicy", "bus")["spec"]["ingress"]
    assert {"ipBlock": {"cidr": "10.0.0.0/16"}} in rule["from"]


def test_metrics_and_the_api_are_not_on_the_ingress_unless_somebody_puts_them_there() -> None:
    (rule,) = one(objects(values_of("hpa")), "Ingress")["spec"]["rules"]
    assert [(path["path"], path["pathType"]) for path in rule["http"]["paths"]] == [("/twilio", "Prefix")]


def test_the_first_page_does_not_take_all_that_begins_like_it() -> None:
    (rule,) = one(objects(values_of("webrtc-turn")), "Ingress")["spec"]["rules"]
    kinds = {path["path"]: path["pathType"] for path in rule["http"]["paths"]}
    assert kinds["/"] == "Exact"
    assert kinds["/whip"] == "Prefix"


def test_a_load_balancer_has_every_rtp_port() -> None:
    service = one(objects(values_of("webrtc-turn")), "Service", "sip")["spec"]
    rtp = [port["port"] for port in service["ports"] if port["name"].startswith("rtp-")]
    assert rtp == list(range(10_000, 10_040))
    assert service["externalTrafficPolicy"] == "Local"
