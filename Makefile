# `make` lists the targets. They need Go 1.26 and git; what else they need,
# .ci/setup installs on Debian, or names.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help build demo test test-nix test-docker lint vuln schemas bench fuzz clean

# Where Go's own installation puts it, in case sudo forgot.
export PATH := $(PATH):/usr/local/go/bin

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
FUZZTIME ?= 30s

# Demo and tests use Nix without a network. Root builds without the group of
# build users and without a sandbox, whatever /etc/nix says.
root := $(filter 0,$(shell id -u))
define NIX_CONFIG
experimental-features = nix-command flakes
substituters =
flake-registry =
$(if $(root),sandbox = false)
$(if $(root),build-users-group =)
endef

help:
	@sed -n 's/^\([a-z-]*\): .*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do printf '  make %-8s  %s\n' "$$target" "$$text"; done

build: ## Build bin/homelab, bin/homelab-mcp and the sidecars
	@.ci/setup build
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/homelab ./cmd/homelab-mcp
	@for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags '-s -w' -o bin/homelab-sidecar-linux-$$arch ./cmd/homelab-sidecar || exit; \
	done

demo: export NIX_CONFIG := $(NIX_CONFIG)
demo: ## Try homelab on a small homelab of its own (KEEP=1 keeps it)
	@.ci/setup demo
	@$(MAKE) --no-print-directory build
	CGO_ENABLED=0 go build -trimpath -o bin/mcpclient ./examples/mcpclient
	@examples/demo.sh bin

test: export NIX_CONFIG := $(NIX_CONFIG)
test: ## Run everything: lint, and all tests with the race detector, real Nix, Docker and ssh
	@.ci/setup test
	@$(MAKE) --no-print-directory lint
	CGO_ENABLED=1 go run ./.ci/gotest -race -count=1 -timeout 30m ./... ./.ci/gotest

test-nix: export NIX_CONFIG := $(NIX_CONFIG)
test-nix: ## Run what uses real Nix with newer versions of it, from newer Debian releases (root; 5 minutes)
	@.ci/newer-debian nix

test-docker: ## Run what uses real Docker with newer versions of it, and with containerd's image store (root; 10 minutes)
	@.ci/newer-debian docker

lint: ## Check format, vet, staticcheck and go.mod
	@.ci/setup build
	@unformatted=$$(find . -name '*.go' -not -path './.tools/*' -exec gofmt -l {} +); \
		if [ -n "$$unformatted" ]; then echo "lint: run gofmt -w on:" >&2; echo "$$unformatted" >&2; exit 1; fi
	go vet ./... ./.ci/gotest
	go tool staticcheck ./... ./.ci/gotest
	@echo go mod tidy -diff; said=$$(go mod tidy -diff 2>&1) || { echo "$$said"; exit 1; }
	go mod verify
	@said=$$($(MAKE) --no-print-directory vuln 2>&1) && echo "$$said" || case $$said in \
		*"fetching vulnerabilities"*) echo "lint: vuln.go.dev cannot be reached, so vulnerabilities are not looked for; make vuln needs it" ;; \
		*) echo "$$said" >&2; exit 1 ;; \
	esac

vuln: ## Look for known vulnerabilities that the programs can reach (needs vuln.go.dev)
	go tool govulncheck ./cmd/...

schemas: ## Write schemas/ anew from the Go types
	go run ./schemas/gen

bench: export NIX_CONFIG := $(NIX_CONFIG)
bench: ## Measure, and write docs/benchmarks.md
	@$(MAKE) --no-print-directory build
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/ ./bench/emptyserver ./bench/service
	go run ./bench -homelab bin/homelab -empty bin/emptyserver -service bin/service >bin/benchmarks.md
	mv bin/benchmarks.md docs/benchmarks.md

fuzz: ## Fuzz each fuzz target for FUZZTIME (30s)
	@set -eo pipefail; go test -list '^Fuzz' ./... | awk '/^Fuzz/ {found[n++] = $$1} /^ok/ {while (n) print $$2, found[--n]}' | \
	while read -r package target; do \
		echo "$$target in $$package"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$$package"; \
	done

clean: ## Remove what was built and installed here
	rm -rf bin .tools
