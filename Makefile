# Every command a person runs. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

# The processor of this machine, in AWS's words, and the one that a release is built for.
HOST := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
ARCHITECTURE ?= arm64
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# How cargo builds what is released and what is measured. CI, which asks only whether the targets work, says `dev`.
PROFILE ?= release
PROFILE_DIR = $(TARGET_DIR)/$(patsubst dev,debug,$(PROFILE))
# Where tests run their own emulator, beside one that is in use.
TEST_PORT ?= 4577
# What `make chart` needs.
HELM := v3.18.6
# What `make lint` checks the workflows with, and `make sbom` lists the crates with.
ACTIONLINT := v1.7.12
CARGO_CYCLONEDX := cargo-cyclonedx@0.5.9
# The Rust tools that `make lint` needs, with their versions.
CARGO_TOOLS := cargo-deny@0.20.2 cargo-machete@0.9.2
# What `make fuzz` needs.
CARGO_FUZZ := cargo-fuzz@0.13.2
.PHONY: help
help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/\1|\2/' | awk -F'|' '{printf "  make %-15s %s\n", $$1, $$2}'

# The emulator: MiniStack, or LocalStack, which is installed where no Docker engine runs it.
EMULATOR ?= ministack
export EMULATOR
.PHONY: run
run: up ## start everything, submit the sample photo, show what came of it
	infra/demo "$$(infra/stack url)"

.PHONY: up
up: local-build $(EMULATOR) ## build, start the emulator, deploy template.yaml into it; again: deploy what has changed
	infra/emulator start
	infra/stack deploy

.PHONY: ministack
ministack: .venv/stack

.PHONY: localstack
localstack: ## install LocalStack, for EMULATOR=localstack, where no Docker engine answers
	@infra/localstack/install

.PHONY: url
url: ## print the base URL of the running stack's API
	@infra/stack url

.PHONY: logs
logs: ## follow the logs of the emulator and of the functions
	infra/emulator logs --follow

.PHONY: down
down: ## stop the emulator and every function
	infra/emulator stop

.PHONY: watch
watch: .venv/releasing up ## answer for the running stack from the working tree: functions reload on save
	infra/stack watch

.PHONY: serve
serve: local-binaries ## build and run everything in one process on port 8000, its data in ./data (SERVE: more options)
	$(TARGET_DIR)/debug/darkroom serve $(SERVE)

.PHONY: test
test: test-on-$(EMULATOR) ## run every test, those of the deployed stack and of `darkroom` without it among them

# What each test of the black-box suite came to is noted for the guide's page of hosts.
.PHONY: test-on-ministack
test-on-ministack: local-build
	cargo test --locked --workspace --no-run
	AUTH=true EMULATOR_PORT=$(TEST_PORT) infra/stack run -- infra/seen ministack -- cargo test --locked --workspace -- --include-ignored
	infra/serve $(TARGET_DIR)/debug/darkroom -- infra/seen serve -- $(BLACK_BOX) --skip contracts::
	EMULATOR_PORT=$(TEST_PORT) infra/stack emulate -- infra/serve --compose $(TARGET_DIR)/debug/darkroom -- $(BLACK_BOX) --skip contracts::

# The suites that need a stack; documents show commands for MiniStack.
.PHONY: test-on-localstack
test-on-localstack: local-build localstack
	cargo test --locked --workspace --test blackbox --no-run
	test ! -e $(LOCALSTACK) || $(LOCALSTACK) -m unittest discover --start-directory infra/localstack
	EMULATOR_PORT=$(TEST_PORT) infra/stack run -- infra/seen localstack -- $(BLACK_BOX)

# The suite over HTTP, but for what is about documents.
BLACK_BOX = cargo test --locked --workspace --test blackbox -- --include-ignored --skip documents::
LOCALSTACK = .local/localstack/venv/bin/python

.PHONY: chaos
chaos: local-build ## thousands of jobs while processes are killed and services fail, none lost (CHAOS=--quick, --serve, --stack)
	EMULATOR_PORT=$(TEST_PORT) infra/chaos $(TARGET_DIR)/debug/darkroom $(CHAOS)

SCHEMATHESIS := .local/schemathesis

.PHONY: schemathesis
schemathesis: local-binaries $(SCHEMATHESIS)/installed ## ask `darkroom serve` what its description allows, and what it forbids
	$(SCHEMATHESIS)/venv/bin/python infra/schemathesis/run.py $(TARGET_DIR)/debug/darkroom

$(SCHEMATHESIS)/installed: infra/schemathesis/requirements.txt
	mkdir -p $(@D)
	python3 -m venv $(@D)/venv
	$(@D)/venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement $<
	touch $@

.PHONY: hosts
hosts: ## write the guide's page of hosts anew, from what the last runs of `make test` saw
	infra/seen keep
	$(MAKE) --no-print-directory guide

.PHONY: unit
unit: ## run the tests that need nothing but Rust
	cargo test --locked --workspace

.PHONY: lint
lint: .venv/releasing .venv/cargo-tools ## check formatting, code, template and dependencies
	cargo fetch --locked
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps --quiet
	cfn-lint template.yaml
	AWS_REGION=us-east-1 sam validate --lint
	cargo deny --locked --offline check bans licenses sources
	cargo machete
	@if command -v go actionlint > /dev/null; then $(MAKE) --no-print-directory workflows; else \
	  echo "left out: the workflows, because there is neither actionlint nor Go to build it with"; fi

.PHONY: workflows
workflows: .local/actionlint/actionlint
	.local/actionlint/actionlint -shellcheck= -pyflakes=

.PHONY: measure
measure: .venv/releasing ## measure a release on the local stack: sizes, start-up, how long a job takes (MEASURE=--quick)
	$(MAKE) --no-print-directory build ARCHITECTURE=$(HOST)
	DARKROOM_LOCAL= ARCHITECTURE=$(HOST) sam build --build-dir .local/build --parameter-overrides Architecture=$(HOST) > .local/build.log 2>&1 || { cat .local/build.log; exit 1; }
	infra/emulator start
	infra/stack deploy
	infra/measure "$$(infra/stack url)" $(MEASURE)

BENCH_TOOLS := .local/bench
BENCH_EXAMPLES = $(PROFILE_DIR)/examples

.PHONY: measure-serve
measure-serve: $(BENCH_TOOLS)/sources/drawn ## measure `darkroom serve`: start, memory, jobs a second, lists (BENCH=--quick; BINARY: another one)
	$(if $(BINARY),,cargo build --locked --profile $(PROFILE) --workspace --bin darkroom)
	infra/measure-serve $(or $(BINARY),$(PROFILE_DIR)/darkroom) $(BENCH_TOOLS)/sources $(BENCH)

.PHONY: bench-imaging
bench-imaging: $(BENCH_TOOLS)/installed $(BENCH_TOOLS)/sources/drawn ## measure thumbnails against sharp, libvips, Pillow, OpenCV (BENCH=--quick; needs Node.js)
	cargo build --locked --profile $(PROFILE) --workspace --example bench
	$(BENCH_TOOLS)/venv/bin/python infra/bench/measure.py $(BENCH_EXAMPLES)/bench $(BENCH_TOOLS) $(BENCH)

$(BENCH_TOOLS)/installed: infra/bench/requirements.txt infra/bench/package-lock.json
	command -v npm > /dev/null || { echo "sharp needs Node.js with npm, version 20.9 or newer" >&2; exit 1; }
	mkdir -p $(BENCH_TOOLS)
	python3 -m venv $(BENCH_TOOLS)/venv
	$(BENCH_TOOLS)/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement infra/bench/requirements.txt
	cp infra/bench/package.json infra/bench/package-lock.json $(BENCH_TOOLS)
	npm ci --prefix $(BENCH_TOOLS) --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

$(BENCH_TOOLS)/sources/drawn: infra/bench/sources.py tests/data/rocket.jpg | $(BENCH_TOOLS)/installed
	$(BENCH_TOOLS)/venv/bin/python infra/bench/sources.py $(@D)
	touch $@

.PHONY: worst
worst: ## the worst images that are known: memory, and processor time between two looks at the deadline (WORST_PIXELS=2000000)
	cargo test --locked --profile $(PROFILE) --workspace --test worst -- --ignored --nocapture --test-threads 1

.PHONY: bench-detection
bench-detection: $(BENCH_TOOLS)/detection/installed ## measure detectors against scikit-image, OpenCV and zxing-cpp (BENCH=--quick)
	cargo build --locked --profile $(PROFILE) --workspace --example bench_detection
	$(BENCH_TOOLS)/detection/venv/bin/python infra/bench/detection.py $(BENCH_EXAMPLES)/bench_detection $(BENCH_TOOLS)/detection $(BENCH)

$(BENCH_TOOLS)/detection/installed: infra/bench/detection.txt
	mkdir -p $(@D)
	python3 -m venv $(@D)/venv
	$(@D)/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement infra/bench/detection.txt
	touch $@

FUZZ := $(CURDIR)/.local/fuzz
# cargo-fuzz needs features of a nightly compiler; the pinned one has them, too, when told so.
# The AV1 decoder takes a backtrace with every slice where it is told to check itself.
FUZZ_RUN := RUST_LIB_BACKTRACE=0 RUSTC_BOOTSTRAP=1 $(FUZZ)/bin/cargo-fuzz fuzz run --fuzz-dir shared/imaging/fuzz --target-dir $(TARGET_DIR)/fuzz

.PHONY: fuzz
fuzz: $(FUZZ)/bin/cargo-fuzz ## fuzz the imaging (TARGET=decode or thumbnail, else both; FUZZ_SECONDS=600 each; crashes in .local/fuzz)
	FUZZ_SEEDS=$(FUZZ)/seeds cargo test --locked --quiet --package imaging --test promises -- --ignored seeds
	for target in $(or $(TARGET),decode thumbnail); do \
	  mkdir -p $(FUZZ)/$$target; \
	  $(FUZZ_RUN) $$target $(FUZZ)/$$target $(FUZZ)/seeds/$$target -- -max_total_time=$(or $(FUZZ_SECONDS),600) \
	    -dict=shared/imaging/fuzz/formats.dict -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=256 -artifact_prefix=$(FUZZ)/$$target-; \
	done

$(FUZZ)/bin/cargo-fuzz: Makefile
	CARGO_TARGET_DIR=$(TARGET_DIR)/tools cargo install --quiet --locked --root $(FUZZ) $(CARGO_FUZZ)
	touch $@

.PHONY: simulate
simulate: ## simulate jobs in virtual time under every fault (SIMULATE_SECONDS=60, SIMULATE_SEED=1)
	cargo run --locked --quiet --profile simulation --package simulation --example simulate

.PHONY: mutate
mutate: ## take each guard of shared/jobs away in turn and see that a test notices (MUTATE: words of their names)
	CARGO_TARGET_DIR=$(TARGET_DIR)/mutate infra/mutate $(MUTATE)

.PHONY: image
image: ## build the container image `darkroom` with docker, podman or buildah
	infra/docker/build

.PHONY: test-image
test-image: local-binaries ## run the suite over HTTP on an image's own files, as its user (buildah, root; IMAGE=darkroom: that of `make image`)
	$(if $(IMAGE),,infra/docker/build --from $(TARGET_DIR)/debug/darkroom)
	infra/serve --image $(or $(IMAGE),darkroom:tried) -- $(BLACK_BOX) --skip contracts::

.PHONY: chart
chart: .local/helm/helm .venv/chart ## check the Helm chart: lint, rendered texts, Kubernetes' schemas, wrong settings (CHART=--update)
	.venv/bin/python infra/helm/check .local/helm/helm $(CHART)

.local/helm/helm: GO_PACKAGE = helm.sh/helm/v3/cmd/helm@$(HELM)
.local/actionlint/actionlint: GO_PACKAGE = github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT)
.local/helm/helm .local/actionlint/actionlint: Makefile
	@mkdir -p $(@D); rm -f $@; \
	if command -v $(@F) > /dev/null; then ln -s "$$(command -v $(@F))" $@; else \
	  command -v go > /dev/null || { echo "$(@F) is missing, and Go to build it with: install either" >&2; exit 1; }; \
	  echo "go install: $(GO_PACKAGE), into $(@D)"; GOBIN=$(CURDIR)/$(@D) go install $(GO_PACKAGE); fi

.venv/chart: infra/requirements-chart.txt | .venv/python
	.venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement infra/requirements-chart.txt
	touch $@

.PHONY: guide
guide: ## write the guide's tables and the description of the API anew from the code
	UPDATE_GUIDE=1 cargo test --locked --quiet --workspace --test guide --test description --test modules

.PHONY: pictures
pictures: up .venv/releasing ## draw the README's picture and the sample emoji anew, from what the running stack finds
	.venv/bin/python infra/pictures "$$(infra/stack url)"

.PHONY: fmt
fmt: ## format the code
	cargo fmt --all

.PHONY: build
build: .venv/releasing ## build the functions for AWS (arm64; ARCHITECTURE=x86_64 for the other)
	$(RELEASE_BUILD)
	@rm -f .local/functions.log

.PHONY: deploy
deploy: build ## build and deploy to AWS; asks before it changes anything (SAM_DEPLOY: more options for `sam deploy`)
	DARKROOM_LOCAL= sam build --parameter-overrides Architecture=$(ARCHITECTURE)
	sam deploy --parameter-overrides Architecture=$(ARCHITECTURE) $(SAM_DEPLOY)

RELEASE := .local/release

.PHONY: release
release: build ## pack the functions for whoever has no Rust (arm64; ARCHITECTURE=x86_64 for the other), into .local/release
	infra/release/pack functions $(ARCHITECTURE) $(TARGET_DIR)/lambda $(RELEASE)

.PHONY: sbom
sbom: .local/sbom/bin/cargo-cyclonedx ## list what `darkroom` is made of, as CycloneDX, in .local/release
	mkdir -p $(RELEASE)
	infra/release/sbom $< $(RELEASE)

.local/sbom/bin/cargo-cyclonedx: Makefile
	CARGO_TARGET_DIR=$(TARGET_DIR)/tools cargo install --quiet --locked --root .local/sbom $(CARGO_CYCLONEDX)
	touch $@

.PHONY: test-release
test-release: local-build ## pack the functions of `make up` as a release does, deploy that as a user does, send a picture through
	rm -rf .local/released
	infra/release/pack functions $(HOST) .local/build .local/released
	@$(MAKE) --no-print-directory check-release RELEASE=.local/released

.PHONY: test-arm64
test-arm64: ## build everything for arm64 and try it under qemu on a machine of x86-64 (Debian or Ubuntu, root)
	CARGO_TARGET_DIR=$(TARGET_DIR) infra/arm64

# Deploys what `make release` has packed for this machine's processor into an emulator.
.PHONY: check-release
check-release: .venv/stack
	infra/release/pack launch darkroom-releases $(RELEASE)
	infra/release/pack checksums $(RELEASE)
	EMULATOR_PORT=$(TEST_PORT) infra/stack emulate -- infra/release/check $(RELEASE)

.PHONY: tools
tools: .venv/stack .venv/releasing ## install the pinned tools into .venv

# `sam build` makes each function with the rule below. A build of the whole workspace, once: if cargo were asked for one
# function at a time, as SAM's own method for Rust does, it would compile the SDKs again for those that have another set
# of dependencies, and with them other settings of link-time optimisation.
RELEASE_BUILD = cargo lambda build --locked --profile $(PROFILE) --$(subst x86_64,x86-64,$(ARCHITECTURE))

# sam calls this with ARTIFACTS_DIR, in the order of template.yaml: `build-SubmitFunction` and so on.
build-%Function:
	$(if $(DARKROOM_LOCAL),$(LOCAL_BUILD),mkdir -p .local && $(RELEASE_BUILD) 2>&1 | tee -a .local/functions.log)
	name=$$(tr '[:upper:]' '[:lower:]' <<< "$*"); \
	$(if $(DARKROOM_LOCAL),strip -o "$(ARTIFACTS_DIR)/bootstrap" "$(TARGET_DIR)/debug/$$name",cp "$(TARGET_DIR)/lambda/$$name/bootstrap" "$(ARTIFACTS_DIR)/bootstrap")

# The functions, and one small test: with a test among what is built, cargo gives every crate the features that tests
# ask for, so that `make test` finds the crates compiled.
LOCAL_BUILD = cargo build --locked --workspace --bins --test repository

.PHONY: local-build
local-build:
	@mkdir -p .local
	@$(MAKE) --no-print-directory -j2 .venv/stack local-binaries
	@echo "sam build: packing the functions"
	@DARKROOM_LOCAL=1 sam build --build-dir .local/build --parameter-overrides Architecture=$(HOST) > .local/build.log 2>&1 || { cat .local/build.log; exit 1; }

.PHONY: local-binaries
local-binaries:
	@test -e $(TARGET_DIR)/debug/process || echo "cargo build: the functions and all that they depend on (the first time some 7 minutes on 2 cores)"
	$(LOCAL_BUILD)

.venv/python:
	python3 -m venv .venv
	touch $@

# What runs the local stack.
.venv/stack: infra/requirements.txt infra/constraints.txt | .venv/python
	@echo "pip: the emulator and SAM, into .venv (half a minute)"
	.venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement infra/requirements.txt
	touch $@

# What builds releases and lints.
.venv/releasing: infra/requirements-releasing.txt infra/constraints.txt | .venv/stack
	@echo "pip: cargo-lambda with its linker, and cfn-lint, into .venv"
	.venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement infra/requirements-releasing.txt
	touch $@

# What builds the container image where no engine does.
.venv/image: infra/requirements-image.txt infra/constraints.txt | .venv/python
	.venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement infra/requirements-image.txt
	touch $@

.venv/cargo-tools: Makefile | .venv/python
	CARGO_TARGET_DIR=$(TARGET_DIR)/tools cargo install --quiet --locked --root .venv $(CARGO_TOOLS)
	touch $@
