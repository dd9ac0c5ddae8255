# Two commands: `make demo` (the main job) and `make test` (the tests). Both set up .venv first.
PYTHON ?= python3
WORKDIR ?= workdir
BIN = .venv/bin
SERVING_IMAGE ?= tensorflow/serving:2.18.0
# One worker more than two cores: many tests wait for processes and sockets.
PYTEST = $(BIN)/python -m pytest -n 3 --dist loadscope -q --durations 40 --durations-min 5

.PHONY: demo demo-mlops demo-online test test-slow test-gpu test-all flink kafka emulators cuda kube cluster images serving-smoke lint format golden docs lock sbom clean

demo: .venv/.installed
	$(BIN)/podway run movielens_sasrec --workdir $(WORKDIR)
	$(BIN)/python -m podway.launch.demo --workdir $(WORKDIR)

# Two versions, a gate, a canary under load, a fault and the way back.
demo-mlops: .venv/.installed
	$(BIN)/python -m podway.launch.demo_mlops --workdir $(WORKDIR)

# Users whose taste changes, services that are killed, a model that follows.
demo-online: .venv/.installed
	$(BIN)/python -m podway.launch.demo_online --workdir $(WORKDIR)

test: .venv/.installed
	$(PYTEST) -m "not slow and not extensive"

test-slow: .venv/.installed
	$(PYTEST) -m "slow and not extensive"

# On a machine with an NVIDIA GPU: what needs one, and what computes on any device. Products of f32 are in f32.
test-gpu: .venv/.installed
	JAX_PLATFORMS=cuda JAX_DEFAULT_MATMUL_PRECISION=highest XLA_PYTHON_CLIENT_PREALLOCATE=false \
	  $(BIN)/python -m pytest -q -m "gpu or not (slow or extensive)" \
	  tests/framework/models tests/framework/losses tests/framework/embedding

# All, with what CI leaves out since it takes over an hour.
test-all: .venv/.installed
	$(PYTEST) --timeout 1800

# Fetches Beam's Flink job server to where Beam looks for it. Running it needs Java 17.
flink: .venv/.installed
	$(BIN)/python -m podway.beam.engines.flink_jar

# Fetches Kafka's broker, for tests of the queue. Running it needs Java 17; kept in ~/.cache/podway.
kafka: .venv/.installed
	$(BIN)/python -m tests.online.queue.kafka_jars

# Builds Google's doubles of Pub/Sub and Bigtable, for tests of queue and store. Needs Go; kept in ~/.cache/podway.
emulators: .venv/.installed
	$(BIN)/python -m tests.online.emulators.programs

# Fetches what compiles for GPUs that are not here, for its tests; kept in ~/.cache/podway.
cuda: .venv/.installed
	$(BIN)/python -m tests.framework.gpus.plugin

# Builds what validates manifests as an API server does. Needs Go; what it made is kept in ~/.cache/podway.
kube: .venv/.installed
	$(BIN)/python -m tests.cluster.programs validate

# Manifests on a real Kubernetes control plane, and trainings whose hosts are taken away. Needs Go.
cluster: .venv/.installed
	$(BIN)/python -m tests.cluster.programs validate kubelite kueue
	$(BIN)/python -m pytest -q --timeout 3600 tests/cluster

# Podway's container images, by docker, podman or buildah.
images:
	$(PYTHON) images/build.py

# The contract tests against the stock server, in Docker.
serving-smoke: .venv/.installed
	PATH="$$PWD/$(BIN):$$PATH" bash tests/export/server/smoke.sh $(SERVING_IMAGE)

lint: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Rewrites tests/golden/ after a deliberate change to a config; review the difference.
golden: .venv/.installed
	for config in $$($(BIN)/podway configs | cut -d' ' -f1); do \
	  $(BIN)/podway show $$config > tests/golden/$$config.json; done
	JAX_PLATFORMS=cpu $(BIN)/python -m tests.launch.test_preflight

# Resolves the newest versions again.
lock: .venv/.installed
	$(BIN)/uv pip compile pyproject.toml --universal --extra dev --python-version 3.11 \
	  --generate-hashes --no-header --upgrade -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --universal --extra docs --python-version 3.11 \
	  --constraint requirements.lock --generate-hashes --no-header --upgrade -q -o requirements-docs.lock
	$(BIN)/python images/lock.py

# What each image installs, with hashes, as CycloneDX: sbom/server.cdx.json and so on.
sbom: .venv/.installed
	mkdir -p sbom
	for lock in images/locks/*.lock; do \
	  $(BIN)/uvx --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements $$lock \
	    --output-reproducible --output-file sbom/$$(basename $$lock .lock).cdx.json || exit 1; done

# The documentation as a site, site/index.html, which needs no server and no network.
docs: .venv-docs/.installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict
	.venv-docs/bin/python docs/site/check.py site

.venv-docs/.installed: requirements-docs.lock
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check \
	  --require-hashes --no-deps -r requirements-docs.lock
	touch $@

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on \
	  --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

clean:
	rm -rf .venv .venv-docs sbom site $(WORKDIR)
