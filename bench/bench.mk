# Load tests of a whole server. The main Makefile includes this file; alone it runs as make -f bench/bench.mk.
# bench/README.md says what they measure.

GO      ?= go
BIN     ?= bin
RESULTS ?= bench/results

# Peers in Go are built from their release as it is, with the versions that its own go.sum names. nginx and its module nchan,
# and Redis, are Debian's; if they are missing, apt-get installs them, which takes root.
NATS       := github.com/nats-io/nats-server/v2@v2.15.2
CENTRIFUGO := github.com/centrifugal/centrifugo/v6@v6.9.1
NCHAN      := /usr/lib/nginx/modules/ngx_nchan_module.so

# Results are named for the day and the commit, with a + if files had been changed since.
RUN := $(shell date -u +%Y-%m-%d)-$(shell git describe --always --exclude '*' --dirty=+ 2>/dev/null)

# What the programs say they were built from: go build does not know it in a git worktree, or if GOFLAGS forbids it.
# Nothing outside of git.
COMMIT = $(shell test -e .git && echo $$(git rev-parse --short=12 HEAD)$$(test -z "$$(git status --porcelain)" || echo +changes))
STAMPED = -X github.com/nu7hatch/webrocket/build.stamped=$(COMMIT)
STAMP   = -ldflags "$(STAMPED)"

.PHONY: bench bench-compare bench-binaries bench-cluster million-nodes

bench: bench-binaries ## the standard set, about 11 minutes
	@mkdir -p $(RESULTS)
	$(BIN)/rocket-bench standard $(BENCHFLAGS) -json $(RESULTS)/$(RUN).json -html $(RESULTS)/$(RUN).html > $(RESULTS)/$(RUN).txt; \
		status=$$?; cat $(RESULTS)/$(RUN).txt; exit $$status

bench-compare: bench-binaries $(BIN)/nats-server $(BIN)/centrifugo $(BIN)/nginx ## the standard set for Rocket and its peers, about 16 minutes
	@mkdir -p $(RESULTS)
	$(BIN)/rocket-bench compare $(BENCHFLAGS) -json $(RESULTS)/$(RUN)-compare.json -html $(RESULTS)/$(RUN)-compare.html > $(RESULTS)/$(RUN)-compare.txt; \
		status=$$?; $(peers) >> $(RESULTS)/$(RUN)-compare.txt; cat $(RESULTS)/$(RUN)-compare.txt; exit $$status

bench-cluster: bench-binaries $(BIN)/nats-server $(BIN)/centrifugo $(BIN)/redis-server ## two nodes, Rocket and Centrifugo, with and without a history, and three of Rocket, about 11 minutes
	@mkdir -p $(RESULTS)
	$(BIN)/rocket-bench cluster $(BENCHFLAGS) -json $(RESULTS)/$(RUN)-cluster.json -html $(RESULTS)/$(RUN)-cluster.html > $(RESULTS)/$(RUN)-cluster.txt; \
		status=$$?; { echo; printf '%s\n' $(NATS) $(CENTRIFUGO); $(BIN)/redis-server --version; } >> $(RESULTS)/$(RUN)-cluster.txt; cat $(RESULTS)/$(RUN)-cluster.txt; exit $$status

NODES ?= 53
million-nodes: CONNS = 19000
million-nodes: bench-binaries $(BIN)/nats-server ## NODES processes with CONNS real connections each, 53 with 19,000 by default, as one cluster: memory, an event to all
	@mkdir -p $(RESULTS)
	$(BIN)/rocket-bench nodes -nats $(BIN)/nats-server -nodes $(NODES) -conns $(CONNS) -hold 30s -server-args "-ping-interval 2m" \
		-json $(RESULTS)/$(RUN)-nodes.json

# What the peers are, for the end of the table.
peers = { echo; printf '%s\n' $(NATS) $(CENTRIFUGO); dpkg-query -W nginx libnginx-mod-nchan; }

bench-binaries: ## the server and the load generator, in bin/
	$(GO) build -trimpath $(STAMP) -o $(BIN)/ ./cmd/rocket ./cmd/rocket-bench

# Another version named above is another program.
$(BIN)/nats-server $(BIN)/centrifugo: $(lastword $(MAKEFILE_LIST))

$(BIN)/nats-server:
	$(call peer,$(NATS))

$(BIN)/centrifugo:
	$(call peer,$(CENTRIFUGO))

$(BIN)/nginx:
	test -x /usr/sbin/nginx -a -e $(NCHAN) || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends nginx libnginx-mod-nchan >/dev/null; }
	ln -sf /usr/sbin/nginx $@

$(BIN)/redis-server:
	test -x /usr/bin/redis-server || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends redis-server >/dev/null; }
	ln -sf /usr/bin/redis-server $@

define peer
	dir=$$($(GO) mod download -json $(1) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') && \
		cd "$$dir" && GOFLAGS=-buildvcs=false $(GO) build -trimpath -o $(abspath $(@)) .
endef
