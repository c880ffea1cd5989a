# `make help` lists the targets.

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

# Packages that start real brokers, by themselves or in their tests: they need JDK 17 and Maven. The others need only Go.
REALKAFKA := tandem/internal/testkit/realkafka
IS_REAL   := {{$$real := eq .ImportPath "$(REALKAFKA)"}}{{range .Imports}}{{if eq . "$(REALKAFKA)"}}{{$$real = true}}{{end}}{{end}}{{range .TestImports}}{{if eq . "$(REALKAFKA)"}}{{$$real = true}}{{end}}{{end}}{{range .XTestImports}}{{if eq . "$(REALKAFKA)"}}{{$$real = true}}{{end}}{{end}}
UNIT = $(GO) list -f '$(IS_REAL){{if not $$real}}{{.ImportPath}}{{end}}' ./...
REAL = $(GO) list -f '$(IS_REAL){{if $$real}}{{.ImportPath}}{{end}}' ./...

# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(if $(shell command -v $${CC:-gcc} 2>/dev/null),-race)

# Packages whose tests make up histories: the race detector looks at a part of them only, and all run without it as well.
MANY := ./internal/replicate/... ./internal/offsetsync ./internal/archive ./internal/archive/catalog ./internal/archive/compact ./internal/archive/restore ./internal/archive/retain ./internal/archive/verify/...

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.DEFAULT_GOAL := help
.PHONY: help build dist demo test test-unit test-real soak bench lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

BIN := bin

build: ## bin/mirror, bin/failover, bin/archive: static, they run on any Linux of the architecture
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/mirror ./cmd/failover ./cmd/archive

PLATFORMS := linux/amd64 linux/arm64 darwin/arm64

dist: ## dist/tandem-VERSION-OS-ARCH.tar.gz for each platform, and dist/SHA256SUMS
	rm -rf dist
	@set -e; for platform in $(PLATFORMS); do \
		name=tandem-$(VERSION)-$${platform%/*}-$${platform#*/}; \
		echo "$$name"; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} $(MAKE) --no-print-directory build BIN=dist/$$name/bin VERSION='$(VERSION)' >/dev/null; \
		cp -R LICENSE README.md CHANGELOG.md config dashboards deploy dist/$$name/; \
		tar -C dist --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -czf dist/$$name.tar.gz $$name; \
		rm -rf dist/$$name; \
	done
	cd dist && sha256sum *.tar.gz > SHA256SUMS

demo: build ## the whole story in a minute: clusters, an archive and a disaster in one process; DEMO_FLAGS are passed on
	$(BIN)/mirror demo $(DEMO_FLAGS)

# Tests with real brokers mostly wait, the others only compute: side by side they take as long as the former alone. The latter are
# nice and one package at a time, so that those that wait find a processor when they wake up.
test: ## all tests, with real brokers (JDK 17, Maven)
	$(MAKE) --jobs=2 test-unit test-real

test-unit: ## the tests that need only Go
	nice $(GO) test -p 1 $(if $(RACE),-race -short) $$($(UNIT))
	$(if $(RACE),nice $(GO) test -p 1 $(MANY))

test-real: ## the tests that start real brokers, two packages at a time, the longest first
	$(GO) test -p 2 -timeout 45m $$($(REAL) | sort -r)
	KAFKA_LIBS=$(CURDIR)/.cache/kafka-4.3.1/libs $(GO) test -run TestJavaReads ./internal/batch

soak: ## mirror killed 50 times in each of four campaigns, with real brokers; SOAK_FLAGS are passed on, e.g. SOAK_FLAGS='-kills 500'
	$(GO) test ./test/integration -run Campaign -count=1 -timeout 120m -v -args -kills 50 $(SOAK_FLAGS)

bench: ## Tandem beside MirrorMaker 2 and a sarama copier; BENCH_FLAGS are passed on, e.g. BENCH_FLAGS='--scale 0.1'
	$(GO) run ./test/bench $(BENCH_FLAGS)

lint: ## gofmt, go vet, golangci-lint
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(GOLANGCI) run ./...

clean: ## remove what was built; the jars in .cache stay
	rm -rf bin dist
