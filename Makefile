.PHONY: check test race fuzz bench interop soak kernel-race route-server-race stress lint proto deb man

FUZZTIME ?= 20s
GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

check: ; test -z "$$(gofmt -l .)" && go vet -tags interop ./... && go build ./... && go test ./...
test: ; ./test.sh
race: ; go test -race ./...
fuzz: ; ./fuzz.sh $(FUZZTIME)
bench: ; go test -run '^$$' -bench . -benchmem ./...
interop: ; go test -tags interop -count=1 -parallel 6 -timeout 20m ./internal/kernel ./testkit/netlab/... ./test/interop/...
kernel-race: ; go test -tags interop -run '^$$' -bench Kernel -benchtime 1x -timeout 30m ./test/race
route-server-race: ; go test -tags interop -run '^$$' -bench RouteServer -benchtime 1x -count 3 -timeout 60m ./test/race
healing: ; go test -tags interop -run '^$$' -bench Healing -benchtime 1x -timeout 60m ./test/healing -args -write $(CURDIR)/docs/healing.md
soak: ; while go test -count=1 -timeout 0 ./internal/engine -run '^TestRandom$$' -steps 1000000 -seed $$(date +%s); do :; done
stress: ; go test -count=1 -timeout 60m -v ./test/stress -rounds 30
lint: ; go run $(GOLANGCI) run ./...
proto: ; internal/api/generate.sh
deb: ; packaging/deb.sh
man: ; mkdir -p dist && go run ./packaging/man dist
