# make run   serve the demo application on http://127.0.0.1:8080
# make test  everything: vet, Go tests with the race detector, PHP tests, the lab
# Both install what they need from Debian when they run as root.

GO      ?= go
VERSION ?= 0.1.0
LDFLAGS  = -s -w -X github.com/rr-systemd/rrd/daemon.Version=$(VERSION) \
           -X github.com/rr-systemd/rrd/daemon.BuildTime=$(shell date -u +%Y-%m-%dT%H:%M:%SZ)

.PHONY: all build run test test-go test-php ext-check lab lab-all fuzz property conformance bench endurance transport packages clean

all: build

build:
	mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/rrd ./cmd/rrctl
	ln -sf rrctl bin/rr

run:
	tests/deps run
	$(MAKE) --no-print-directory build
	php/demo/run bin

test:
	tests/deps test
	$(MAKE) --no-print-directory test-go test-php lab

test-go: build
	$(GO) vet ./...
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(GO) test -race -timeout 15m ./...

test-php: build
	phpunit -c php
	php/ext/check plain

# The extension with the sanitizers and under valgrind, and the tests of applications
# over HTTP on shared memory, with and without it; a few minutes.
ext-check:
	php/ext/check plain asan valgrind
	mkdir -p bin && php/ext/compile bin/rr.so
	RR_TEST_EXTENSION=$(CURDIR)/bin/rr.so $(GO) test -count=1 ./listeners/http
	RR_TEST_EXTENSION=none $(GO) test -count=1 ./listeners/http

# Boots a real systemd (tests/lab/README.md), installs our .deb there, and tries it.
lab: packages
	tests/lab/run bookworm
	tests/lab/limits.sh bookworm
	tests/lab/services.sh bookworm
	tests/lab/cgroup.sh bookworm
	tests/lab/restart.sh bookworm

# What make test leaves out, because it takes long: reloads by the hundred, and
# systemd 257.
lab-all: packages
	LAB_LIMIT=1800 tests/lab/reload.sh bookworm 200
	LAB_LIMIT=1800 tests/lab/reload.sh trixie 50
	tests/lab/run trixie
	tests/lab/limits.sh trixie
	tests/lab/cgroup.sh trixie
	tests/lab/restart.sh trixie

# A minute for each fuzz target; FUZZTIME=10m for longer.
fuzz:
	tests/fuzz $(or $(FUZZTIME),1m)

# 100,000 random forms of each kind, compared with what PHP makes of them; a few
# minutes. SEED=n for others.
property:
	tests/deps run
	$(GO) test ./listeners/http -run LikePHP -count 1 -timeout 60m -args -http.forms 100000 -http.multiparts 100000 -http.seed $(or $(SEED),1)

# h2spec, smuggled and malformed requests behind proxies, slow clients, HTTP/3, TLS;
# writes docs/conformance.md. A few minutes.
conformance: build
	tests/deps conformance
	GOBIN=$(CURDIR)/bin $(GO) install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
	PATH=$(CURDIR)/bin:$$PATH $(GO) test -tags conformance ./tests/conformance -count 1 -timeout 20m

bench: build
	bench/run

# 1,000 reloads and 50 restarts under requests of all protocols: docs/systemd.md
# has what came of it.
endurance:
	$(GO) test ./daemon -run TestAllProtocolsUnderLoad -count=1 -v -timeout 3h -reloads 1000 -restarts 50

# What the protocol promises of shared memory, at length: 10,000 random requests over
# every way between daemon and worker, and a million requests among workers that are
# killed. SEED=n for others. About two hours.
transport:
	$(GO) test ./tests/transport -run TestSameEverywhere -count=1 -v -timeout 3h -transport.requests 10000 -transport.seed $(or $(SEED),1)
	$(GO) test ./pool -run TestNoByteOfAnother -count=1 -v -timeout 5h -pool.canaries 1000000

packages:
	VERSION=$(VERSION) packaging/build

clean:
	rm -rf bin dist
