"""``python -m tests.helm.renew``: write the schema and the golden renders anew. Then read what `git diff` shows."""

from pathlib import Path

from tests.helm.chart import CHART, VALUE_SETS, Values, render, values_of
from tests.helm.chart_schema import chart_schema_text

GOLDEN = Path(__file__).with_name("golden")
SCHEMA = CHART / "values.schema.json"


def golden_text(values: Values) -> str:
    """All that a set of values renders to, in one file, without lines of templates that left nothing on them."""
    parts = [f"# {path}\n{text}" for path, text in render(values).items() if text.strip()]
    lines = [line.rstrip() for line in "\n".join(parts).splitlines()]
    return "\n".join(line for line in lines if line) + "\n"


def main() -> None:
    SCHEMA.write_text(chart_schema_text())
    GOLDEN.mkdir(exist_ok=True)
    for stale in GOLDEN.glob("*.yaml"):
        stale.unlink()
    for name in VALUE_SETS:
        (GOLDEN / f"{name}.yaml").write_text(golden_text(values_of(name)))


if __name__ == "__main__":
    main()
