# What a person does here, one target each. `make` alone says so.

GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -X main.version=$(VERSION)

# How long, in whole seconds: `make fuzz` over all its targets together, `make sim`.
FUZZTIME ?= 60
SIMTIME  ?= 60

# What `make run` hands to coordd dev, for instance RUNFLAGS='--nodes 1'.
RUNFLAGS ?=

.DEFAULT_GOAL := help
# How many tiny worlds `make exact` goes through.
HISTORIES ?= 1000000

.PHONY: help build run test race fuzz exact abuse sim lint generate bench bench-quick bench-scale check clean

help: ## say what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## leave bin/coordd and bin/coordctl
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/coordd ./cmd/coordctl

run: build ## start three nodes for development and say what to type next
	bin/coordd dev $(RUNFLAGS)

# The tests of processes wait more than they do: they go first, and beside as many others as there
# are processors.
test: ## run the tests, in less than five minutes
	$(GO) test -p $$(($$(getconf _NPROCESSORS_ONLN) + 1)) -timeout 10m ./test/e2e ./...

race: ## run the tests under the race detector
	$(GO) test -race -timeout 15m ./...

fuzz: ## fuzz for FUZZTIME=60 seconds, shared by all fuzz targets
	.ci/fuzz $(FUZZTIME)

exact: ## hold the deadlock search against all futures of HISTORIES=1000000 tiny worlds
	$(GO) test ./internal/machine -run TestDeadlocksAreExact -histories $(HISTORIES) -timeout 60m

abuse: ## silent connections, streams nobody reads and a million waits, beside honest clients
	$(GO) test ./test/abuse -count=1 -v -timeout 15m -args -full

sim: ## simulate both pure halves over a faulty log for SIMTIME=60 seconds
	$(GO) run ./test/sim -duration $(SIMTIME)s

lint: ## check format, golangci-lint and the .proto files
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted; run gofmt -w:"; echo "$$unformatted"; exit 1; fi
	$(TOOL) golangci-lint run ./...
	$(TOOL) buf lint

generate: ## write the Go code of api/ anew
	$(TOOL) buf generate

bench: ## measure, side by side where there is a peer, in one run
	$(GO) run ./bench

bench-quick: ## measure Lock and Unlock over three nodes on disk, beside the raw log
	$(GO) run ./bench -quick

bench-scale: ## measure a million held locks, snapshots of them, a restart, and 100,000 sessions
	$(GO) run ./bench -scale

check: generate build lint test race fuzz sim ## do all of the above but bench, then demand a clean tree
	@dirty=$$(git status --porcelain); if [ -n "$$dirty" ]; then echo "the tree is not clean:"; echo "$$dirty"; exit 1; fi

clean: ## remove what build and run leave
	rm -rf bin coordd-data
