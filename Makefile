# Rocket. `make run` starts the server, `make help` lists the targets.

GO      ?= go
BIN     := bin
FUZZTIME ?= 10s
TOOLS   := -modfile=tools/go.mod
PACKAGES := ./...

.PHONY: help all js js-package build server dist package-test image-test run test race conformance fuzz faults cluster-test faults-short microbench million stored lint fmt clean

all: fmt lint test ## what is done without a target: fmt, lint, test

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

server: ## the server alone, bin/rocket
	$(GO) build -trimpath $(STAMP) -o $(BIN)/ ./cmd/rocket

build: ## the server, the load generator and the fault tool, in bin/
	$(GO) build -trimpath $(STAMP) -o $(BIN)/ ./cmd/...

run: server ## starts the server, on localhost:9772
	$(BIN)/rocket

test: ## all tests
	$(GO) test -shuffle=on $(PACKAGES)

race: ## all tests, with the race detector
	$(GO) test -race -shuffle=on $(PACKAGES)

conformance: ## the RFCs, as docs/conformance.md lists them; openssl, curl, Node, Chromium and backends in five languages as clients, nginx, HAProxy and Caddy in between
	cd conformance/node && npm ci --no-audit --no-fund --ignore-scripts
	$(GO) test -count=1 -tags clients ./conformance

js: server ## the JavaScript client: built, its size, its package in clean projects; with a fake server, bin/rocket and Chromium
	cd js && npm ci --no-audit --no-fund --ignore-scripts
	cd js && npm run -s all
	@cmp js/dist/webrocket.js js/webrocket.js || { echo "the server embeds another bundle: cp js/dist/webrocket.js js/webrocket.js"; exit 1; }

js-package: ## the JavaScript client as a package for npm, in js/
	cd js && npm ci --no-audit --no-fund --ignore-scripts && npm run -s build && npm pack

fuzz: ## every fuzz target for FUZZTIME: 10s, or 20000x for a number of executions
	tools/fuzz.sh $(FUZZTIME) $(PACKAGES)

faults: build $(BIN)/nats-server ## what goes wrong on purpose, about 38 minutes; FAULTS="-clock" or names of cases; needs root
	$(BIN)/rocket-faults $(FAULTS)

cluster-test: build $(BIN)/nats-server ## the cases nodes, nats and logs of it alone, 16 minutes: a cluster whose nodes and servers of NATS are stopped, cut off, slowed down and killed
	$(BIN)/rocket-faults nodes nats logs

faults-short: build $(BIN)/nats-server ## a cut of it, about 5 minutes
	$(BIN)/rocket-faults -short $(FAULTS)

microbench: ## the benchmarks of the packages
	$(GO) test -run '^$$' -bench . -benchmem $(PACKAGES)

CONNS ?= 1000000
million: ## CONNS connections, a million by default, without sockets: memory, publish, garbage collection
	$(GO) test -run '^$$' -bench Million -benchtime 20x -timeout 10m ./engine -conns $(CONNS)

CHANNELS ?= 1000000
stored: ## CHANNELS channels, a million by default, that keep ten events each: memory, garbage collection, sweep
	$(GO) test -run '^$$' -bench Stored -benchtime 1x -timeout 10m ./protocol/native -channels $(CHANNELS)

lint: ## gofumpt, golangci-lint, and whether Kubernetes would read its manifests
	@unformatted=$$($(GO) tool $(TOOLS) gofumpt -l .); \
		if [ -n "$$unformatted" ]; then echo "not gofumpt'd, run make fmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) tool $(TOOLS) golangci-lint run
	$(GO) -C tools run ./manifest ../deploy/kubernetes.yaml ../deploy/kubernetes-cluster.yaml ../docs/proxies.md

fmt: ## gofumpt
	$(GO) tool $(TOOLS) gofumpt -w .

include bench/bench.mk

DIST       := dist
VERSION     = $(shell sed -n 's/^const Version = "\(.*\)"$$/\1/p' webrocket.go)
MAINTAINER ?= Rocket <rocket@localhost>
ARCHES     := amd64 arm64
PACKAGE     = VERSION=$(VERSION) DIST=$(DIST) MAINTAINER="$(MAINTAINER)" SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
	$(GO) tool $(TOOLS) nfpm package -f deploy/nfpm.yaml -p deb

dist: ## static binaries and Debian packages with their checksums, in dist/
	rm -rf $(DIST)
	mkdir -p $(DIST)/share
	set -e; for arch in $(ARCHES); do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -ldflags "-s -w $(STAMPED)" \
			-o $(DIST)/rocket-linux-$$arch ./cmd/rocket; \
	done
	$(GO) run ./cmd/rocket man | gzip -9n > $(DIST)/share/rocket.1.gz
	gzip -9nc CHANGELOG.md > $(DIST)/share/changelog.gz
	set -e; for shell in bash zsh fish; do \
		$(GO) run ./cmd/rocket completion $$shell > $(DIST)/share/rocket.$$shell; \
	done
	set -e; for arch in $(ARCHES); do \
		ARCH=$$arch $(PACKAGE) -t $(DIST)/; \
	done
	cd $(DIST) && sha256sum rocket* > SHA256SUMS

SUITES ?= bookworm trixie
package-test: dist ## installs the package on clean Debians with a running systemd, and tries it; as root
	mkdir -p $(DIST)/next
	CGO_ENABLED=0 $(GO) -C tools build -o $(abspath $(DIST))/next/crowd ./crowd
	set -e; arch=$$(dpkg --print-architecture); \
		RELEASE=2 ARCH=$$arch $(PACKAGE) -t $(DIST)/next/; \
		SUITES="$(SUITES)" deploy/try-package.sh $(DIST)/rocket_*_$$arch.deb $(DIST)/next/rocket_*_$$arch.deb $(DIST)/next/crowd

image-test: ## builds the image without Docker, of this machine's Go, and tries it; as root
	deploy/try-image.sh

clean: ## removes bin/ and dist/
	rm -rf $(BIN) $(DIST)
