"""By what pods are added and taken away: queries that ask for series that exist, and what comes of the numbers."""

import math
import re
import shutil
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry

from gateway.metrics import GatewayMetrics
from model_worker.engine.admission import Admission
from model_worker.engine.stats import LoopStats
from model_worker.metrics import WorkerMetrics
from tests.helm.chart import CHART, Object, changed, objects, one, values_of
from tests.helm.tools import fetched
from wire.bus.seam import BusStats

pytestmark = pytest.mark.timeout(900)  # whoever comes first fetches the tools


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    fetched()


def exported() -> set[str]:
    """The names of all series that gateways and workers show."""
    registry = CollectorRegistry()
    GatewayMetrics(registry, BusStats)
    WorkerMetrics(registry, LoopStats(), Admission(4, 0.4), BusStats)
    names = set()
    for family in registry.collect():
        names |= {family.name, *(sample.name for sample in family.samples)}
        if family.type == "histogram":
            names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
        if family.type == "counter":
            names.add(f"{family.name}_total")
    return names


def expressions(found: list[Object]) -> list[str]:
    said = [rule["expr"] for each in found if each["kind"] == "PrometheusRule" for rule in rules(each)]
    for each in found:
        if each["kind"] == "ScaledObject":
            said += [trigger["metadata"]["query"] for trigger in each["spec"]["triggers"]]
    return said


def rules(each: Object) -> list[dict[str, Any]]:
    return [rule for group in each["spec"]["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("name", ["gpu-keda", "hpa"])
def test_queries_are_promql_and_ask_for_series_that_exist(name: str) -> None:
    found = objects(values_of(name))
    said = expressions(found)
    assert len(said) >= 3
    recorded = {
        rule["record"] for each in found if each["kind"] == "PrometheusRule" for rule in rules(each) if "record" in rule
    }
    for query in said:
        promql_parser.parse(query)
        assert set(re.findall(r"\btwowire_\w+", query)) <= exported() | recorded, query


def test_hpas_go_by_series_that_are_exported_or_recorded_with_the_same_labels() -> None:
    found = objects(values_of("hpa"))
    recorded = {rule["record"]: rule["labels"] for rule in rules(one(found, "PrometheusRule", "autoscaling"))}
    asked = [
        metric["external"]["metric"]
        for each in found
        if each["kind"] == "HorizontalPodAutoscaler"
        for metric in each["spec"]["metrics"]
    ]
    assert len(asked) == 4
    for metric in asked:
        assert metric["name"] in exported() | recorded.keys()
        assert metric["selector"]["matchLabels"].items() <= recorded.get(metric["name"], {"release": "tw"}).items()


def test_series_get_the_labels_that_queries_ask_for() -> None:
    found = objects(values_of("gpu-keda"))
    (endpoint,) = one(found, "PodMonitor")["spec"]["podMetricsEndpoints"]
    given = {rule["targetLabel"]: rule for rule in endpoint["relabelings"]}
    assert given["release"]["replacement"] == "tw"
    assert given["pool"]["sourceLabels"] == ["__meta_kubernetes_pod_label_twowire_pool"]
    query = one(found, "ScaledObject", "duplex")["spec"]["triggers"][0]["metadata"]["query"]
    assert '{state="busy",namespace="telephony",release="tw",pool="duplex"}' in query


def wanted_workers(values: dict[str, Any], workers: int, slots: int, busy: int, wait_s: float) -> int:
    """Pods that an HPA asks for: the most that one metric does, each ceil(pods × value ÷ target) but for a tenth."""
    found = one(objects(values), "ScaledObject", "duplex")["spec"]
    scaling = {trigger["name"]: float(trigger["metadata"]["threshold"]) for trigger in found["triggers"]}
    floor = re.search(r"\+ (\d+)\)", found["triggers"][1]["metadata"]["query"])
    assert floor is not None
    total = workers * slots
    value = {"busy": busy / total, "floor": (busy + int(floor[1])) / total, "wait": wait_s}
    wanted = []
    for name, target in scaling.items():
        ratio = value[name] / target
        wanted.append(workers if abs(ratio - 1) <= 0.1 else math.ceil(workers * ratio))
    least, most = int(found["minReplicaCount"]), int(found["maxReplicaCount"])
    return max(least, min(most, max(wanted)))


@pytest.mark.parametrize(
    ("busy", "wait_s", "expected"),
    [
        (0, 0.0, 2),  # the least
        (22, 0.05, 4),  # 0.7 of the slots, and 8 free: as it should be
        (30, 0.05, 6),  # 30 of 32 busy: 5.4 by the share, 4.75 by the floor
        (22, 0.4, 8),  # late decisions: twice as many
        (32, 3.0, 12),  # the most
        (8, 0.01, 2),  # few calls
    ],
)
def test_what_pods_a_pool_of_four_workers_with_eight_slots_asks_for(busy: int, wait_s: float, expected: int) -> None:
    assert wanted_workers(values_of("gpu-keda"), 4, 8, busy, wait_s) == expected


def test_rules_and_dashboards_of_the_tree_are_sent_as_they_are(tmp_path: Path) -> None:
    chart = tmp_path / "twowire"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("rules", "dashboards"))
    (chart / "rules").mkdir()
    (chart / "dashboards").mkdir()
    alarm = {"alert": "A", "expr": "up == 0", "annotations": {"summary": "{{ $labels.pod }} is away"}}
    groups = {"groups": [{"name": "g", "rules": [alarm]}]}
    (chart / "rules" / "alarms.yaml").write_text(yaml.safe_dump(groups))
    (chart / "dashboards" / "calls_now.json").write_text('{"title": "{{pod}}"}')
    found = objects(values_of("gpu-keda"), chart)
    assert one(found, "PrometheusRule", "alarms")["spec"] == groups
    dashboard = one(found, "ConfigMap", "dashboard-calls-now")
    assert dashboard["data"] == {"calls_now.json": '{"title": "{{pod}}"}'}
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_without_monitoring_nothing_of_it_is_rendered() -> None:
    values = changed(values_of("twilio-only"), "monitoring", {})
    assert not {each["kind"] for each in objects(values)} & {"PodMonitor", "ServiceMonitor", "PrometheusRule"}
