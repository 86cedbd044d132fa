# Every command of this project. Needs only make and git on Debian or Ubuntu (root or sudo); the rest it installs itself.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
UV := uv==0.13.9

# Lazy on purpose: looked up again once "python" below has installed one.
python = $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

##@ Use
.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nMore for pytest goes into ARGS:  make test-unit ARGS="-k settings -x"\n'

.PHONY: run
run: $(VENV)/.installed ## Start a throw-away server (or take DATABASE_URL), upgrade it, show the tables, upgrade again, clean up
	$(BIN)/python -m tests.support.demo

##@ Test
# Most tests wait for a server most of the time, so two lanes share the two cores; each prints when it has ended. What measures
# time runs after them, alone.
ALONE := tests/integration/test_speed.py
CLUSTER := $(wildcard tests/integration/test_galera*.py tests/integration/test_support_galera.py tests/integration/test_databases.py \
	tests/integration/test_group_replication.py)
# A sample; .ci/run leaves it out, as it runs the whole matrix next.
CRASH := tests/crash

.PHONY: test test-lane-1 test-lane-2
test: $(VENV)/.installed ## Everything but the whole crash matrix: unit, integration, image, k8s (under 12 minutes on two cores)
	+@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-lane-1 test-lane-2
	$(PYTEST) --report test-3 $(ALONE) $(ARGS)
test-lane-1: $(VENV)/.installed
	$(PYTEST) --report test-1 tests/unit tests/integration $(CLUSTER:%=--ignore=%) $(ALONE:%=--ignore=%) $(ARGS)
test-lane-2: $(VENV)/.installed
	$(PYTEST) --report test-2 $(CLUSTER) $(CRASH) tests/image tests/k8s $(ARGS)

.PHONY: test-unit
test-unit: $(VENV)/.installed ## Seconds, no server
	$(PYTEST) --report unit tests/unit $(ARGS)

.PHONY: test-integration
test-integration: $(VENV)/.installed ## Against a real MySQL and a real MariaDB
	$(PYTEST) --report integration tests/integration $(ARGS)

.PHONY: test-crash
test-crash: $(VENV)/.installed ## The whole crash matrix: every statement, every moment ("make test" takes a sample)
	$(PYTEST) --report crash --crash-points all tests/crash $(ARGS)

.PHONY: test-image
test-image: $(VENV)/.installed ## Build the image with a real engine and run it
	$(PYTEST) --report image tests/image $(ARGS)

.PHONY: test-k8s
test-k8s: $(VENV)/.installed ## Render, validate and play the manifests
	$(PYTEST) --report k8s tests/k8s $(ARGS)

.PHONY: bench
bench: $(VENV)/.installed ## Measure speed and memory beside other tools
	$(BIN)/python -m bench $(ARGS)

##@ Develop
.PHONY: lint
lint: $(VENV)/.installed ## ruff, mypy --strict, import order of the modules, hadolint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

.PHONY: format
format: $(VENV)/.installed ## Let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(VENV)/.installed ## Write requirements*.txt anew from requirements*.in, with hashes (UPGRADE=1 takes newer versions)
	$(BIN)/python -m pip install --quiet $(UV)
	for name in requirements requirements-dev; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
			--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) $$name.in --output-file $$name.txt || exit 1; \
	done

.PHONY: venv
venv: $(VENV)/.installed ## Make .venv with everything that developing needs

.PHONY: clean
clean: ## Remove .venv, reports and caches of this work tree (servers stay cached in ~/.cache/alembic-gate)
	rm -rf $(VENV) .reports .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build ./*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An unfinished environment must not look finished: the stamp comes last, and a changed lock file starts anew.
$(VENV)/.installed: requirements.txt requirements-dev.txt pyproject.toml | python
	rm -f $@
	$(python) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: python
python:
	@if [ -z "$(python)" ]; then \
		echo "installing python3 and python3-venv"; \
		$(SUDO) apt-get update --quiet=2 || true; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends python3 python3-venv \
			|| { echo "Python 3.11 or newer with venv is needed: install it, then run make again" >&2; exit 1; }; \
	fi
