# The two commands that matter: `make test` and `make demo`.

.PHONY: build test fmt lint bench bench-go fuzz demo clean

FUZZTIME ?= 20s

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

clean:
	rm -rf bin
