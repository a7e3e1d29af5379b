# The targets that people use; `make help` lists them.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZ_SECONDS ?= 30

include zmap-module/module.mk

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: tools-demo build ## a census of a simulated Internet with the real ZMap, end to end (four minutes)
	scripts/demo.sh demo-out

.PHONY: test
test: tools-test .venv/ready build test-module ## all tests
	go test -race -p 1 -count=1 -timeout 25m ./...

.PHONY: lint
lint: tools-lint check-format-module ## formatting, vet, staticcheck, shellcheck, generated pages
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "run make format: $$unformatted"; exit 1; fi
	go mod tidy -diff
	go vet ./...
	go run $(STATICCHECK) ./...
	shellcheck scripts/*.sh .ci/run zmap-module/zmap-mptcp zmap-module/*/*.sh
	go run ./scripts/tables-page | diff -u docs/tables.md - || { echo "run make docs"; exit 1; }
	go run ./scripts/statistics | diff -u docs/statistics.md - || { echo "run make docs"; exit 1; }

.PHONY: build
build: tools-build bin/mpcensus bin/zmap-mptcp bin/mptcp.so ## bin/mpcensus, bin/zmap-mptcp and bin/mptcp.so

.PHONY: bin/mpcensus
bin/mpcensus:
	go build -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o $@ ./cmd/mpcensus

.PHONY: fuzz
fuzz: tools-fuzz fuzz-module ## fuzz every decoder, FUZZ_SECONDS each
	scripts/fuzz.sh $(FUZZ_SECONDS)

.PHONY: bench-targets
bench-targets: build ## time and memory of targets build for ten million IPv6 addresses
	go run ./scripts/bench-targets bin/mpcensus

.PHONY: test-faults
test-faults: tools-test .venv/ready build ## the long form of the fault tests: 400 kills and more (a quarter of an hour)
	MPCENSUS_FAULTS=long go test -count=1 -timeout 40m -v \
		-run 'Killed|TwoAtOnce|ObjectStore|FullDisk|Unwritable|NobodyReads|Truncated|Backwards|Rejects|Fault' \
		./pipeline/ingest ./pipeline/dataset ./pipeline/spool ./pipeline/store ./e2e

.PHONY: bench-ingest
bench-ingest: .venv/ready build ## speed, memory and file size of ingest beside DuckDB's
	go run ./scripts/bench-ingest bin/mpcensus

.PHONY: bench-enrich
bench-enrich: build ## 74 million look-ups of AS and country, and enrich as a whole
	go run ./scripts/bench-enrich bin/mpcensus

.PHONY: bench-report
bench-report: build ## time and memory of the report over 48 million hosts (takes 10 GB of disk)
	go run ./scripts/bench-report bin/mpcensus

.PHONY: bench-trace
bench-trace: tools-bench-trace build ## targets traced a second beside scamper's, and whose hops agree (a quarter of an hour)
	go run ./scripts/bench-trace bin/mpcensus

.PHONY: artifact
artifact: build ## the paper's tables and figures from a fixed seed, compared with the expected ones (two minutes)
	go run ./scripts/artifact bin/mpcensus artifact-out

.PHONY: artifact-update
artifact-update: build ## take the tables and figures as they are for the expected ones
	go run ./scripts/artifact -update bin/mpcensus artifact-out

.PHONY: notebooks
notebooks: .venv/ready build ## run the notebooks on a small simulated dataset
	scripts/notebooks.sh

.PHONY: bench-probe
bench-probe: tools-bench-probe bin/mptcp.so $(ZM_BENCH_PROGRAMS) ## speed of the probe module beside ZMap's own tcp_synscan
	zmap-module/bench/bench_probe.sh bin $(ZM_BENCH)

.PHONY: docs
docs: ## regenerate docs/tables.md from schemas/tables.yaml, and docs/statistics.md by simulation (a minute)
	go run ./scripts/tables-page > docs/tables.md
	go run ./scripts/statistics > docs/statistics.md

.PHONY: format
format: format-module ## format Go and C sources
	gofmt -w .

.PHONY: clean
clean: ## remove what was built
	rm -rf bin build demo-out artifact-out .venv

# What each job needs beyond Go, a C compiler and make.
.PHONY: tools-build tools-demo tools-test tools-venv tools-lint tools-fuzz tools-bench-probe tools-bench-trace
tools-build:
	@scripts/install-packages.sh gcc g++ git
tools-demo: tools-build
	@scripts/install-packages.sh zmap nftables util-linux
tools-test: tools-demo
	@scripts/install-packages.sh tshark tcpdump iproute2 zstd xxhash chromium
tools-venv:
	@scripts/install-packages.sh python3-venv
tools-lint: tools-build
	@scripts/install-packages.sh clang-format shellcheck diffutils
tools-fuzz:
	@scripts/install-packages.sh clang
	@scripts/install-packages.sh libclang-rt-$$(clang -dumpversion | cut -d. -f1)-dev
tools-bench-trace: tools-demo
	@scripts/install-packages.sh scamper iproute2
tools-bench-probe: tools-build
	@scripts/install-packages.sh zmap iproute2 util-linux

# Independent readers of the dataset, for the tests.
.venv/ready: requirements.txt | tools-venv
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	touch $@
