# The commands of a contributor. `make help` lists them; CONTRIBUTING.md explains them.

SHELL := /bin/bash
.SHELLFLAGS := -ec
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PORT ?= 8080
DATA ?=
PYTHON ?=
LEAVE_OUT ?=
# For `make soak`: the minutes to run.
MINUTES ?= 10
# The processes of `make test` and `make check`; where it is empty, those below.
PROCESSES ?=
# For `make up`: the number of workers (as many as the last time, at first 1), 3 for a cluster, and the first port of the block behind the gateway.
WORKERS ?=
NODES ?=
PORTS ?= 18100

HOME_OF_UP = $(or $(DATA),.fanfold)

PY := .venv/bin/python
FAST_TIERS := $(wildcard tests/unit tests/property tests/contract tests/api)
# A process per core, and one more, because many tests wait; the tests on one pair of engines stay in one process. Those of faults kill and restart whole
# engines, and have a process per core.
IN_PARALLEL := -n $(or $(PROCESSES),logical) --maxprocesses=8
ONE_MORE = -n $(or $(PROCESSES),$(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)) --maxprocesses=8
# The files that hold tests with the mark `alone`: to collect the others would take longer than to run these.
ALONE = $(shell grep -rl --include='test_*.py' 'pytest.mark.alone' tests)
# Its tests share one cluster, which needs both cores for an hour. `make test-faults LONG=1` runs them too.
LONG ?=
FAULTS_OF_A_CLUSTER := tests/faults/cluster
# The tests start hundreds of Python processes. They start sooner when modules are compiled once.
unexport PYTHONDONTWRITEBYTECODE
# Stamps carry a checksum of their inputs: an environment that is up to date costs nothing,
# and one that was copied from elsewhere or whose requirements changed is created again.
checksum = $(shell { pwd; cat $(1); } | cksum | tr ' ' '-')
STAMPS := .venv/.stamps
VENV := $(STAMPS)/venv-$(call checksum,/dev/null)
RUNTIME := $(STAMPS)/runtime-$(call checksum,requirements/runtime.txt requirements/build.txt pyproject.toml)
TEST := $(STAMPS)/test-$(call checksum,requirements/test.txt requirements/dev.txt)
LOCAL := $(STAMPS)/local-$(call checksum,requirements/local.txt)
# Wheels only: building a package would fetch tools without a known hash, and run its code.
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes

.PHONY: help run up status down test test-alone test-image test-faults check audit soak seeded-bugs fmt lock lock-jars pin-images pictures schemas release clean static engines bench image manifests k8s-verify k8s-cluster k8s-cluster-stop
.NOTPARALLEL:

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' \
	  | awk -F '\t' '{ printf "  make %-16s %s\n", $$1, $$2 }'

run: $(RUNTIME) ## Serve the whole API with the demo on port PORT (8080); DATA=path keeps the log
	@exec .venv/bin/fanfold dev --port $(PORT) $(if $(DATA),--data "$(DATA)")

up: $(LOCAL) ## Start the real system and keep it running: PORT (8080), WORKERS, NODES=3, DATA (.fanfold), PORTS
	@scripts/fetch_engines jars
	@exec $(PY) -m deploy.local.up --data "$(HOME_OF_UP)" --port $(PORT) --ports $(PORTS) $(if $(WORKERS),--workers $(WORKERS)) $(if $(NODES),--nodes $(NODES))

status: $(LOCAL) ## Show its health, the workers' lag, and where the logs are
	@exec $(PY) -m deploy.local.status --data "$(HOME_OF_UP)"

down: $(LOCAL) ## Stop it in order; its data stays
	@exec $(PY) -m deploy.local.down --data "$(HOME_OF_UP)"

test: static engines manifests $(LOCAL) ## Run every check and test but the three below, including those on the real Kafka and Cassandra
	@scripts/install_browser
	@echo "==> tests, on every core; beside them the locked packages are compared with advisories, which waits for answers"
	@scripts/audit > .venv/audit.log 2>&1 & audit=$$!; \
	trap 'kill $$audit 2> /dev/null || true' EXIT; \
	failed=0; \
	$(PY) -m pytest $(ONE_MORE) -m "not alone" --durations=10 --durations-min=2 || failed=$$?; \
	audited=0; wait $$audit || audited=$$?; \
	cat .venv/audit.log; \
	[ $$audited = 0 ] || [ $$audited = 3 ] || failed=$$audited; \
	exit $$failed

test-alone: $(TEST) engines ## Run the tests that measure time, one after the other
	@echo "==> tests that measure time"
	@$(PY) -m pytest -m alone $(ALONE)

test-image: $(TEST) engines ## Build the image, inspect it, and run every service from it
	@scripts/install_image_tools
	@echo "==> the image, built when something in it has changed"
	@$(PY) -m pytest tests/image

test-faults: $(TEST) engines $(LOCAL) ## Kill, freeze and cut off real processes, and with LONG=1 those of a cluster of three
	@echo "==> faults, on real engines"
	@failed=0; \
	$(PY) -m pytest tests/faults --ignore=$(FAULTS_OF_A_CLUSTER) $(IN_PARALLEL) --durations=10 --durations-min=2 || failed=$$?; \
	[ $$failed != 2 ] || exit 2; `# Interrupted` \
	[ -n "$(LONG)" ] || exit $$failed; \
	scripts/fetch_toxiproxy; \
	scripts/install_faketime; \
	echo "==> faults, on a cluster: three brokers, three nodes of Cassandra"; \
	$(PY) -m pytest $(FAULTS_OF_A_CLUSTER) --durations=10 --durations-min=2 || failed=$$?; \
	exit $$failed

# These tests wait for nothing, so a third process on two cores would only collect all of them once more.
check: static ## Run the fast part of the tests: no Java, no Docker, about a minute
	@echo "==> fast tests, on the embedded adapters"
	@$(PY) -m pytest $(IN_PARALLEL) -p no:schemathesis --hypothesis-profile=check -m "not real and not slow and not alone" $(FAST_TIERS)

audit: $(TEST) ## Compare the locked packages with published advisories; look for secrets, licences and missing hashes
	@$(PY) -m pytest --quiet tests/unit/test_supply.py tests/unit/test_jars.py tests/api/test_documentation.py
	@scripts/audit

soak: $(TEST) ## Try new examples of every property for MINUTES (10), and name the seeds of failures
	@$(PY) -m tests.support.soak --minutes $(MINUTES)

seeded-bugs: $(TEST) ## Put each seeded bug into the code, and check that a test finds it
	@$(PY) -m tests.support.seeded_bugs

# The second mypy is for a machine without a free core: a process of the first that has not begun within 3 seconds is given up (2).
static: $(TEST) ## Check formatting, lint, types and import contracts
	@echo "==> formatting"; $(PY) -m ruff format --quiet --check . \
	  || { echo "make fmt fixes this"; exit 1; }
	@echo "==> lint"; $(PY) -m ruff check --quiet .
	@echo "==> types"; $(PY) -m mypy --num-workers auto --no-error-summary \
	  || { [ $$? = 2 ] && $(PY) -m mypy --no-error-summary; }
	@echo "==> import contracts"; .venv/bin/lint-imports --no-logo > .venv/imports.log 2>&1 \
	  || { cat .venv/imports.log; exit 1; }

fmt: $(TEST) ## Format the code and fix what ruff can
	@$(PY) -m ruff check --quiet --fix .
	@$(PY) -m ruff format .

engines: $(TEST) ## Fetch the real Kafka and Cassandra, once, if no Docker engine answers
	@scripts/fetch_engines

bench: $(TEST) ## Measure the system on the real engines; ONLY=a one section, QUICK=1 a smoke run, ROUNDS=n, SAMPLE=reads or worker
	@FANFOLD_ENGINES=jars scripts/fetch_engines
	@$(PY) -m bench $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SAMPLE),--sample $(SAMPLE))

image: ## Build the container image with Docker, buildah or podman, and write its SBOM to dist/
	@scripts/build_image

manifests: $(TEST) ## Fetch the tools that check the Kubernetes manifests, once: kustomize, schemas, CRDs
	@scripts/fetch_engines jars
	@scripts/fetch_k8s

k8s-verify: $(TEST) $(LOCAL) ## Try the manifests on a real kube-apiserver and on three real nodes, built once in about forty minutes
	@scripts/fetch_engines jars
	@scripts/fetch_k8s apiserver
	@scripts/install_prometheus
	@scripts/install_browser
	@$(PY) -m pytest tests/apiserver
	@if [ "$$(id -u)" = 0 ]; then scripts/k8s_cluster build && $(PY) -m pytest tests/cluster; \
	else echo "==> tests/cluster is left out: nodes need root"; fi

k8s-cluster: $(LOCAL) ## Start a real Kubernetes of three nodes on this machine and keep it running (root; the first time twenty-five minutes)
	@scripts/k8s_cluster build
	@scripts/k8s_cluster start

k8s-cluster-stop: ## Stop it; nothing of it stays but its programs
	@scripts/k8s_cluster stop

lock: $(VENV) ## Compile requirements/*.in into hashed requirements; UPGRADE=1 takes newer releases
	@scripts/lock $(if $(UPGRADE),--upgrade)

pin-images: ## Write the digest of every container image of others behind its tag; needs a registry
	@scripts/pin_images

lock-jars: $(VENV) ## Write the SHA-256 of every jar that Maven fetches
	@scripts/lock_jars

pictures: $(TEST) manifests $(LOCAL) ## Take the pictures of the page and of the board in docs/pictures again, in light and dark
	@scripts/install_browser
	@scripts/install_prometheus
	@PICTURES=1 $(PY) -m pytest --quiet tests/browser/test_first_minute.py tests/apiserver/test_dashboard.py

schemas: $(TEST) ## Write schemas/events, asyncapi.yaml, openapi.json, the lists of schemas/README.md and docs/events.md from the code
	@.venv/bin/fanfold schema export
	@$(PY) -m tests.support.events_page
	@$(PY) -m tests.support.merged_openapi

release: $(RUNTIME) ## Build what is published of this version into dist/release, and try the wheel; LEAVE_OUT=image without the image
	@scripts/fetch_k8s kustomize
	@[ "$(LEAVE_OUT)" = image ] || scripts/install_image_tools
	@LEAVE_OUT="$(LEAVE_OUT)" scripts/release

clean: ## Remove the environment, the engines and every cache
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV):
	@scripts/create_venv "$(PYTHON)"
	@mkdir -p $(STAMPS) && touch $@

$(RUNTIME): $(VENV)
	@echo "==> installing Fanfold's dependencies into .venv"
	@$(INSTALL) -r requirements/runtime.txt -r requirements/build.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(STAMPS)/runtime-* && touch $@

$(TEST): $(RUNTIME)
	@echo "==> installing the checkers and test dependencies into .venv"
	@$(INSTALL) -r requirements/test.txt -r requirements/dev.txt
	@rm -f $(STAMPS)/test-* && touch $@

$(LOCAL): $(RUNTIME)
	@echo "==> installing the gateway and the supervisor into .venv"
	@$(INSTALL) -r requirements/local.txt
	@rm -f $(STAMPS)/local-* && touch $@
