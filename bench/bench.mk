# Load tests of a whole server. The main Makefile includes this file; alone it runs as make -f bench/bench.mk.
# bench/README.md says what they measure.

GO      ?= go
BIN     ?= bin
RESULTS ?= bench/results

# The peers are built from their release as it is, with the versions that its own go.sum names.
NATS       := github.com/nats-io/nats-server/v2@v2.12.1
CENTRIFUGO := github.com/centrifugal/centrifugo/v5@v5.4.9

# Results are named for the day and the commit, with a + if files had been changed since.
RUN := $(shell date -u +%Y-%m-%d)-$(shell git describe --always --exclude '*' --dirty=+ 2>/dev/null)

# What the programs say they were built from: go build does not know it in a git worktree, or if GOFLAGS forbids it.
# Nothing outside of git.
COMMIT = $(shell test -e .git && echo $$(git rev-parse --short=12 HEAD)$$(test -z "$$(git status --porcelain)" || echo +changes))
STAMPED = -X github.com/nu7hatch/webrocket/build.stamped=$(COMMIT)
STAMP   = -ldflags "$(STAMPED)"

.PHONY: bench bench-compare bench-binaries

bench: bench-binaries ## the standard set, about 7 minutes
	@mkdir -p $(RESULTS)
	$(BIN)/rocket-bench standard $(BENCHFLAGS) -json $(RESULTS)/$(RUN).json -html $(RESULTS)/$(RUN).html > $(RESULTS)/$(RUN).txt; \
		status=$$?; cat $(RESULTS)/$(RUN).txt; exit $$status

bench-compare: bench-binaries $(BIN)/nats-server $(BIN)/centrifugo ## the standard set for Rocket and its peers, about 8 minutes
	@mkdir -p $(RESULTS)
	$(BIN)/rocket-bench compare $(BENCHFLAGS) -json $(RESULTS)/$(RUN)-compare.json -html $(RESULTS)/$(RUN)-compare.html > $(RESULTS)/$(RUN)-compare.txt; \
		status=$$?; cat $(RESULTS)/$(RUN)-compare.txt; exit $$status

bench-binaries: ## the server and the load generator, in bin/
	$(GO) build -trimpath $(STAMP) -o $(BIN)/ ./cmd/rocket ./cmd/rocket-bench

$(BIN)/nats-server:
	$(call peer,$(NATS))

$(BIN)/centrifugo:
	$(call peer,$(CENTRIFUGO))

define peer
	dir=$$($(GO) mod download -json $(1) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') && \
		cd "$$dir" && GOFLAGS=-buildvcs=false $(GO) build -trimpath -o $(abspath $(@)) .
endef
