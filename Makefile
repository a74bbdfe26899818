# The two commands that matter: `make test` and `make demo`.

.PHONY: build test fmt lint bench bench-go fuzz demo lab lab-images lab-check lab-down clean

FUZZTIME ?= 20s
packaging := cmd/mbbgp/packaging
static := CGO_ENABLED=0 go build -trimpath -ldflags='-s -w'
nfpm := go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
export VERSION ?= $(shell git log -1 --format=0.0.0~%cd.%h --date=format:%Y%m%d%H%M%S 2>/dev/null || echo 0.0.0)
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
export MAINTAINER ?= mbbgp <mbbgp@localhost>
DEB ?= bin/
IMAGE ?= mbbgp

build: ## the binary, in bin/
	go build -o bin/mbbgp ./cmd/mbbgp

test: ## everything: checks, unit tests, black box tests against real peers
	@test/run

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

lint: ## the checks of `make test` without the tests
	@test/run checks

bench-go: ## benchmarks of all packages
	go test -run '^$$' -bench . -benchmem ./...

bench: ## mbbgp, metalbond and a bare writer under the same loads; BENCH="-runs 3 -loads fanout" for less
	go run ./test/bench $(BENCH)

fuzz: ## every fuzz target for FUZZTIME
	@test/run fuzz $(FUZZTIME)

demo: build ## routes crossing both ways before your eyes; needs no privilege
	bin/mbbgp demo

deb: ## the Debian package of this machine's architecture, in bin/; VERSION=1.2.3 for a release
	rm -rf bin/package
	$(static) -o bin/package/mbbgp ./cmd/mbbgp
	bin/package/mbbgp man bin/package/man && gzip -9n bin/package/man/*
	mkdir bin/package/completion
	for shell in bash zsh fish; do bin/package/mbbgp completion $$shell >bin/package/completion/$$shell || exit; done
	GOARCH=$$(go env GOARCH) $(nfpm) package -f $(packaging)/nfpm.yaml -p deb -t $(DEB)

image: ## a Docker image of this machine's architecture, named IMAGE
	rm -rf bin/image
	mkdir -p bin/image/etc/mbbgp bin/image/run/mbbgp bin/image/tmp bin/image/var/lib/mbbgp
	$(static) -o bin/image/usr/bin/mbbgp ./cmd/mbbgp
	cp $(packaging)/mbbgp.yaml bin/image/etc/mbbgp/
	docker build -f $(packaging)/prebuilt.Dockerfile -t $(IMAGE) bin/image

lab-images: ## the images of labs/containerlab, from Debian packages and this checkout
	labs/containerlab/images/build

lab: ## starts a lab of labs/containerlab: NAME=evpn-gateway; as root
	@labs/containerlab/lab up $(NAME)

lab-check: ## looks whether it does what its README says; starts and removes one that is not up
	@labs/containerlab/lab check $(NAME)

lab-down: ## removes it
	@labs/containerlab/lab down $(NAME)

clean:
	rm -rf bin
