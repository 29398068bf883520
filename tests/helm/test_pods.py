"""What holds of every pod, whatever is switched on."""

import re
from typing import Any

import pytest

from tests.helm.chart import VALUE_SETS, Object, changed, objects, one, values_of
from tests.helm.tools import fetched

pytestmark = pytest.mark.timeout(900)  # whoever comes first fetches the tools
each_set = pytest.mark.parametrize("name", VALUE_SETS)


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    fetched()


def pods(found: list[Object]) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    """Labels and specification of each pod, by the name of what makes it."""
    made = {each["metadata"]["name"]: each["spec"]["template"] for each in found if "template" in each.get("spec", {})}
    made |= {each["metadata"]["name"]: each for each in found if each["kind"] == "Pod"}
    return {name: (template["metadata"]["labels"], template["spec"]) for name, template in made.items()}


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container["env"]}


@each_set
def test_no_pod_is_root_or_could_become_it_or_writes_where_it_should_not(name: str) -> None:
    for labels, spec in pods(objects(values_of(name))).values():
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] >= 999
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not any("hostPath" in volume for volume in spec.get("volumes", []))
        assert not spec.get("hostNetwork") or labels["app.kubernetes.io/component"] == "gateway"
        for container in containers(spec):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            assert re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+(-\w+)?", container["image"])


@each_set
def test_nothing_may_ask_the_cluster_for_anything(name: str) -> None:
    kinds = {each["kind"] for each in objects(values_of(name))}
    assert not kinds & {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}


@each_set
def test_everything_has_a_name_of_its_own_in_the_release_s_namespace(name: str) -> None:
    found = objects(values_of(name))
    assert {each["metadata"]["namespace"] for each in found} == {"telephony"}
    names = [(each["kind"], each["metadata"]["name"]) for each in found]
    assert len(names) == len(set(names))


@each_set
def test_selectors_choose_the_pods_of_their_workload_and_no_others(name: str) -> None:
    found = objects(values_of(name))
    made = pods(found)
    for each in found:
        if each["kind"] in {"Deployment", "StatefulSet", "PodDisruptionBudget"}:
            wanted = each["spec"]["selector"]["matchLabels"].items()
            assert [pod for pod, (labels, _) in made.items() if wanted <= labels.items()] == [each["metadata"]["name"]]
        if each["kind"] == "Service":
            wanted = each["spec"]["selector"].items()
            (served,) = [spec for labels, spec in made.values() if wanted <= labels.items()]
            opened = {port["name"] for port in served["containers"][0]["ports"]}
            asked = {port["targetPort"] for port in each["spec"]["ports"]}
            assert all(isinstance(port, int) or port in opened for port in asked)


@each_set
def test_whoever_leaves_has_time_to_finish_his_calls(name: str) -> None:
    for labels, spec in pods(objects(values_of(name))).values():
        if labels["app.kubernetes.io/component"] in {"gateway", "worker"}:
            (container,) = spec["containers"]
            hook = container.get("lifecycle", {}).get("preStop", {"exec": {"command": ["sleep", "0"]}})
            waits_s = float(hook["exec"]["command"][1])
            assert hook["exec"]["command"][0] == "sleep"
            drain_s = float(environment(container)["TWOWIRE_DRAIN_LIMIT_S"])
            assert spec["terminationGracePeriodSeconds"] >= waits_s + drain_s + 30


@pytest.mark.parametrize(("drain_s", "pre_stop_s", "grace_s"), [(0, 0, 30), (1_799.5, 10, 1_840), (7_200, 600, 7_830)])
def test_the_grace_period_follows_from_the_drain_limit(drain_s: float, pre_stop_s: int, grace_s: int) -> None:
    values = changed(values_of("twilio-only"), "gateway.drainLimitSeconds", drain_s)
    found = objects(changed(values, "gateway.preStopSeconds", pre_stop_s))
    gateway = one(found, "Deployment", "gateway")["spec"]
    assert gateway["template"]["spec"]["terminationGracePeriodSeconds"] == grace_s
    assert gateway["progressDeadlineSeconds"] > grace_s
    longer = changed(values, "gateway.terminationGracePeriodSeconds", 9_000)
    spec = one(objects(longer), "Deployment", "gateway")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 9_000


def test_a_gateway_is_still_there_while_load_balancers_learn_that_it_leaves() -> None:
    (container,) = one(objects(values_of("twilio-only")), "Deployment", "gateway")["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["lifecycle"] == {"preStop": {"exec": {"command": ["sleep", "10"]}}}


@pytest.mark.parametrize("name", ["gpu-keda", "hpa"])
def test_pods_are_taken_away_one_at_a_time_and_late(name: str) -> None:
    found = objects(values_of(name))
    behaviors = [each["spec"]["behavior"] for each in found if each["kind"] == "HorizontalPodAutoscaler"]
    behaviors += [
        each["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        for each in found
        if each["kind"] == "ScaledObject"
    ]
    assert len(behaviors) == 2
    for behavior in behaviors:
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 600
        assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]
        assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0


def annotations(values: dict[str, Any], name: str) -> dict[str, str]:
    found: dict[str, str] = one(objects(values), "Deployment", name)["spec"]["template"]["metadata"]["annotations"]
    return found


@pytest.mark.parametrize(
    ("base", "workload", "path", "value"),
    [
        ("sip-host-network", "gateway", "gateway.sip.config.options_ping_s", 31),
        ("sip-host-network", "gateway", "secrets.apiToken", "another-api-token-of-16"),
        ("twilio-only", "gateway", "gateway.fallback.steps", []),
        ("gpu-keda", "cascade", "workers.cascade.agents", {"sales.yaml": "agent: sales"}),
    ],
)
def test_pods_are_replaced_when_what_they_read_at_the_start_changes(
    base: str, workload: str, path: str, value: object
) -> None:
    values = values_of(base)
    assert annotations(changed(values, path, value), workload) != annotations(values, workload)


def test_pods_are_not_replaced_for_what_is_not_theirs() -> None:
    values = values_of("sip-host-network")
    other = changed(values, "workers.receptionist.agents", {"a.yaml": "agent: a"})
    assert annotations(other, "gateway") == annotations(values, "gateway")


@each_set
def test_who_is_scaled_has_no_fixed_number_of_pods(name: str) -> None:
    found = objects(values_of(name))
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in found if "scaleTargetRef" in each.get("spec", {})}
    for each in found:
        if each["kind"] == "Deployment":
            assert ("replicas" in each["spec"]) == (each["metadata"]["name"] not in scaled)


def test_a_gpu_pool_asks_for_its_gpu_and_where_to_find_one() -> None:
    spec = one(objects(values_of("gpu-keda")), "Deployment", "duplex")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"] == {"memory": "48Gi", "nvidia.com/gpu": 1}
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert volumes["model"]["persistentVolumeClaim"]["claimName"] == "tw-twowire-worker-duplex-model"
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "4Gi"}
    assert volumes["cache"]["persistentVolumeClaim"]["claimName"] == "vllm-cache"
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 2_400


def test_a_pool_has_what_it_does_not_say_from_the_defaults_and_changes_no_other() -> None:
    found = objects(values_of("gpu-keda"))
    images = {
        pool: one(found, "Deployment", pool)["spec"]["template"]["spec"]["containers"][0]["image"]
        for pool in ("duplex", "cascade", "receptionist")
    }
    assert images == {
        "duplex": "twowire-worker-gpu:0.1.0",
        "cascade": "twowire-worker:0.1.0",
        "receptionist": "twowire-worker:0.1.0",
    }
