"""The chart, rendered by Helm itself."""

from pathlib import Path
from typing import Any

import yaml

from tests.helm.tools import ROOT, helm

CHART = ROOT / "helm" / "twowire"
VALUE_SETS = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
RELEASE, NAMESPACE = "tw", "telephony"

Values = dict[str, Any]
Object = dict[str, Any]


def values_of(name: str) -> Values:
    loaded: Values = yaml.safe_load(VALUE_SETS[name].read_text())
    return loaded


def changed(values: Values, path: str, value: object) -> Values:
    """A copy of ``values`` with one of them replaced, or taken out by None; ``path`` like ``gateway.sip.enabled``."""
    first, _, rest = path.partition(".")
    if rest:
        value = changed(values.get(first) or {}, rest, value)
    return {key: each for key, each in (values | {first: value}).items() if each is not None}


def render(values: Values, chart: Path = CHART) -> dict[str, str]:
    """Each template's text, by its path within the chart. Raises HelmRenderError and HelmValuesError."""
    with helm().Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        rendered: dict[str, str] = loaded.render(values, name=RELEASE, namespace=NAMESPACE)
    return {path.partition("/templates/")[2]: text for path, text in sorted(rendered.items())}


def objects(values: Values, chart: Path = CHART) -> list[Object]:
    """Everything that would be sent to Kubernetes."""
    found: list[Object] = []
    for path, text in render(values, chart).items():
        if path.endswith(".yaml"):
            found += [each for each in yaml.safe_load_all(text) if each]
    return found


def one(found: list[Object], kind: str, name: str = "") -> Object:
    """The only object of ``kind`` whose name ends with ``name``."""
    (it,) = [each for each in found if each["kind"] == kind and each["metadata"]["name"].endswith(name)]
    return it
