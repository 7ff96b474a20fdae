# Everything a fresh machine needs beyond Python >= 3.11 and make is installed by these targets,
# into .venv and the user's cache folder.
.DEFAULT_GOAL := help
.PHONY: help setup lock testbed generate drift lint check build unit supervisor metrics router test-engine e2e soak-router \
  cluster reconcile random test images release demo bench-control-plane bench-router bench-scaling bench-cli clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := operator:tests

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 24

setup: $(VENV)/.installed ## the virtual environment, from the lock file

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "setup: Python environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-header --no-annotate

# vLLM's own environment, without what a CPU has no use for; torch comes without its 2.7 GB of CUDA.
LOCK_VLLM = $(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
  --generate-hashes --no-emit-index-url --no-header --no-annotate

lock: ## pin every dependency with its hashes (no addresses)
	$(LOCK) --extra operator --extra router --extra opentelemetry --extra simulate --extra plots --extra parquet \
	  --extra cli --group dev \
	  pyproject.toml -o requirements.lock
	$(LOCK) --constraint requirements.lock --extra operator pyproject.toml -o images/operator/requirements.lock
	@mkdir -p images/router images/engine-sim
	$(LOCK) --constraint requirements.lock --extra router pyproject.toml -o images/router/requirements.lock
	$(LOCK) --constraint requirements.lock --extra simulate pyproject.toml -o images/engine-sim/requirements.lock
	$(LOCK) --constraint requirements.lock --extra router --group compile pyproject.toml -o images/router/compile.lock
	$(LOCK_VLLM) --override tests/testbed/vllm/overrides.txt tests/testbed/vllm/requirements.in \
	  -o tests/testbed/vllm/requirements.lock
	echo torch==2.13.0 | $(LOCK_VLLM) --no-deps - >> tests/testbed/vllm/requirements.lock
	sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml | \
	  $(LOCK) --constraint requirements.lock - -o images/operator/build.lock

testbed: setup ## Kubernetes, KWOK and helm, built once into the user's cache (KUBE=v1.NN.N for another version)
	@$(BIN)/python -m testbed build > /dev/null

generate: testbed ## write every generated file: CRDs, the chart's copy, the reference, install.yaml
	@$(BIN)/python -m heterofleet.generate
	@$(BIN)/python charts/generate.py

drift: testbed ## fail when a generated file is not what `make generate` would write
	@$(BIN)/python -m heterofleet.generate --check
	@$(BIN)/python charts/generate.py --check

lint: testbed build ## format, lint, types, imports, YAML, chart, Dockerfiles
	@$(BIN)/ruff format --check --quiet operator tests charts images
	@$(BIN)/ruff check --quiet operator tests charts images
	@$(BIN)/mypy --no-error-summary operator/heterofleet tests/testbed
	@$(BIN)/lint-imports --no-logo > build/imports.txt 2>&1 || (cat build/imports.txt; exit 1)
	@$(BIN)/yamllint --strict .
	@$(BIN)/hadolint images/*/Dockerfile
	@$$($(BIN)/python -m testbed build | sed -n 's/^helm *//p') lint --quiet charts/heterofleet

check: lint drift ## everything that needs no cluster and runs nothing (< 3 min)

build:
	@mkdir -p build

unit: setup ## pure rules, no cluster
	@$(BIN)/python -m pytest -q tests/unit tests/golden

supervisor: setup ## ranks as real processes on loopback
	@$(BIN)/python -m pytest -q tests/supervisor

metrics: setup ## recording rules and signals, by a real Prometheus on loopback
	@$(BIN)/python -m pytest -q tests/metrics

router: setup ## the router and the simulated engines, on loopback
	@$(BIN)/python -m pytest -q tests/router tests/simulate tests/recommend tests/soak \
	  --ignore tests/soak/datacentre/test_datacentre.py --ignore tests/soak/datacentre/test_dashboard.py

test-engine: setup ## the router before real vLLM on the CPU (RECORD=1 writes the forms of its answers anew)
	@RECORD=$(RECORD) $(BIN)/python -m pytest -q tests/engine

e2e: testbed ## real vLLM and the product's images on real nodes, as root (N=10 for ten runs, SEED=; reports in build/e2e)
	@SEED=$(SEED) $(BIN)/python -m e2e --runs $(or $(N),1) $(ARGS)

soak-router: setup ## two routers under load while engines and routers fail at random (SEED= MINUTES=10)
	@$(BIN)/python -m soak $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

.PHONY: soak soak-minute
soak: testbed ## the whole data centre under load and faults (SEED= MINUTES=20)
	@$(BIN)/python -m soak.datacentre $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

soak-minute: testbed ## the same for a minute, one seed that has every kind of fault
	$(call against_a_cluster,tests/soak/datacentre)

.PHONY: dashboard
dashboard: testbed ## every expression of dashboard and rules, before a whole data centre
	$(call against_a_cluster,tests/soak/datacentre/test_dashboard.py)

.PHONY: router-compiled
router-compiled: setup ## the router's tests once more, against its modules compiled as in the image
	@$(BIN)/python images/router/compiled.py
	@PYTHONPATH=build/compiled:tests $(BIN)/python -m pytest -q -o pythonpath="build/compiled tests" tests/router

# Played clusters share their machine with whatever else runs there. What failed is run once more by itself, and is
# a failure if it fails again; the first report stays in the output for whoever hunts flakes.
define against_a_cluster
	@$(BIN)/python -m pytest -q -o cache_dir=build/cache/$(1) $(1) || \
	  $(BIN)/python -m pytest -q -o cache_dir=build/cache/$(1) --last-failed --last-failed-no-failures none $(1)
endef

cluster: testbed ## against a real API server
	$(call against_a_cluster,tests/cluster)

reconcile: testbed ## the operator's rules against a real API server
	$(call against_a_cluster,tests/reconcile)

random: testbed ## random walks over fleets, a few seeds (SEEDS=0-199 STEPS=50 for many)
	@$(if $(SEEDS),$(BIN)/python -m randomwalk --seeds $(SEEDS) --steps $(or $(STEPS),50),$(BIN)/python -m pytest -q -o cache_dir=build/cache/random tests/randomwalk || $(BIN)/python -m pytest -q -o cache_dir=build/cache/random --last-failed tests/randomwalk)

# Two at a time, since much of it waits: what plays a cluster beside what does not, as far as they last.
SUITES := cluster check unit supervisor metrics reconcile router router-compiled random dashboard

test: setup testbed ## everything (< 20 min with warm caches)
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target --old-file=testbed $(SUITES)

images: setup ## the container images, where docker, podman or buildah works (ARGS=... for the builder)
	@$(BIN)/python images/build.py $(ARGS)

.PHONY: sbom
sbom: setup ## what is inside the images of operator and router, as CycloneDX, under build/sbom
	@$(BIN)/python charts/sbom.py

release: testbed drift ## this version's chart, wheel, CRDs and bills of materials, kept under tests/fixtures/releases
	@$(BIN)/python charts/release.py

demo: testbed ## the product, step by step, on a real control plane (CHAPTER=fleet, router or scaling; KEEP=1 leaves it running)
	@$(BIN)/python -m testbed.demo

bench-control-plane: testbed ## the operator among 10, 100 and 1,000 fleets (longer than an hour)
	@$(BIN)/python -m benchmarks.control_plane

bench-router: setup ## the router beside nginx, vllm-router and LiteLLM, each alone on a core (about 12 minutes)
	@$(BIN)/python -m benchmarks.router

bench-scaling: setup ## forecast and plan against HPA, KEDA and the oracle on real traces (about 4 minutes; ARGS=--variants)
	@$(BIN)/python -m benchmarks.scaling $(ARGS)

bench-cli: testbed ## how long the command line takes, also before 1,000 fleets on a real API server (about 3 minutes)
	@$(BIN)/python -m benchmarks.cli

clean: ## remove what was built in the tree; caches outside it stay
	@rm -rf build dist
