# `make` lists the targets. All of them run from a fresh clone; those that need programs of Debian install them (as root).

PREFIX  ?= /usr/local
DESTDIR ?=
BINDIR   = $(PREFIX)/bin
# mount(8) looks for its helpers in /sbin only, whatever the prefix.
SBINDIR  = /sbin
SIZE    ?= 400M
FUZZTIME ?= 5s
GO      ?= go

# Git refuses to tell the revision of a clone that belongs to somebody else; a build must not fail for that.
STAMP := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=$(STAMP))
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

NAMES   := mkddumbfs fsckddumbfs migrateddumbfs cpddumbfs testddumbfs queryddumbfs alterddumbfs
HELPERS := mount.fuse.ddumbfs mount.ddumbfs umount.fuse.ddumbfs umount.ddumbfs

NEED_DEMO := fusermount3=fuse3 mkfs.ext4=e2fsprogs losetup=mount
NEED_BENCH := fusermount3=fuse3 mkfs.ext4=e2fsprogs debugfs=e2fsprogs fio=fio
NEED_TEST := $(NEED_DEMO) zstd=zstd setfattr=attr setfacl=acl gcc=gcc borg=borgbackup mkfs.btrfs=btrfs-progs mkfs.xfs=xfsprogs strace=strace fio=fio python3=python3
NEED_TEST += $(if $(wildcard /usr/include/stdlib.h),,no-libc-headers=libc6-dev)

# What mounts, makes loop devices or starts the program.
MOUNTING := ./integration/...
# Everything else: quick, and run with the race detector. Some packages mount small volumes here, too, where that is allowed (root).
QUICK     = $$($(GO) list ./... | grep -v /integration/) ./integration/goldenvol

.PHONY: help build unit test race stress fuzz lint integration golden-check bench bench-compare bench-go bench-aging bench-scale cover fmt install uninstall demo demo-engine ci clean \
	stress-faults stress-kill powercut

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ddumbfs needs nothing of the machine, so that it runs on whatever is left after a disaster; tresor finds names of hosts and users as the machine does.
build: ## the programs and their other names, in bin/
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -o bin/ddumbfs ./cmd/ddumbfs
	$(GO) build -o bin/tresor ./cmd/tresor
	CGO_ENABLED=0 $(GO) build -o bin/ddbench ./cmd/ddbench
	@for n in $(NAMES); do ln -sf ddumbfs bin/$$n; done

unit: need-test ## the quick tests of the packages
	$(GO) test $(QUICK)

race: need-test ## the same with the race detector
	$(GO) test -race -count=1 $(QUICK)

integration: need-test ## what needs mounts, loop devices and the built program
	$(GO) test -count=1 -timeout 20m $(MOUNTING)

stress: need-test ## everything in its long form; hours
	TRESOR_LONG=1 TRESOR_STRESS=1 $(GO) test -race -count=1 -timeout 6h $(QUICK)
	TRESOR_LONG=1 $(GO) test -count=1 -timeout 6h $(MOUNTING)

stress-faults: ## the fault matrix in its long form: more than 100 000 cases, half an hour
	TRESOR_LONG=1 GOGC=400 $(GO) test -count=1 -v -timeout 3h -run TestMatrix ./integration/faults

stress-kill: need-test ## kill -9 of the daemon under load 100 times for each hash, and of the tools
	TRESOR_LONG=1 $(GO) test -count=1 -v -timeout 3h -run 'TestKill' ./integration/crash

powercut: ## power cuts in a guest machine that was built before (VMLAB, see docs/testing.md)
	$(GO) test -count=1 -v -timeout 3h ./integration/powercut

golden-check: need-test ## the tests over volumes made by the original
	$(GO) test -count=1 ./integration/golden...
	$(GO) test -count=1 -run Golden ./index/...

fuzz: need-test ## every fuzz target for a short time (FUZZTIME=5s)
	@.ci/fuzz $(FUZZTIME)

lint: ## format, vet, and the rules of the project (integration/layout)
	@unformatted=$$(gofmt -l .); \
		[ -z "$$unformatted" ] || { echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) test -count=1 ./integration/layout

test: lint fuzz race integration ## everything that CI runs

ci: ## what CI runs, as CI runs it
	.ci/run

bench: need-bench build ## a mount beside the bare disk, an empty FUSE file system and other backup programs, in ten minutes (BENCH=options)
	$(GO) build -o bin/ddbench ./cmd/ddbench
	bin/ddbench --json bin/bench.json --svg bin/bench.svg --png bin/bench.png $(BENCH)

bench-compare: need-bench ## measure two revisions in one run and say what differs: A=revision B=revision (BENCH=options)
	GO="$(GO)" bench/compare.sh "$(A)" "$(B)" $(BENCH)

bench-aging: ## fifty generations of an image of 1 GiB, as they come and go: runs per GiB, cold read through a mount, write speed; a line for docs/performance.md (JSON in bin/aging.*)
	@mkdir -p bin
	TRESOR_LONG=1 TRESOR_JSON=$(CURDIR)/bin/aging $(GO) test -count=1 -v -timeout 2h -run Aging ./bench/aging

bench-scale: ## index, mount, reclaim and check with so many entries (ENTRIES=20000000; JSON in bin/scale.json)
	@mkdir -p bin
	TRESOR_ENTRIES=$(or $(ENTRIES),20000000) TRESOR_JSON=$(CURDIR)/bin/scale.json $(GO) test -count=1 -v -timeout 2h -run Scale ./bench/scale

bench-go: ## the benchmarks of the packages
	$(GO) test -run '^$$' -bench . ./index/... ./fs/...

cover: need-test ## what the quick tests cover, in bin/cover.txt and bin/cover.html
	@mkdir -p bin
	$(GO) test -coverpkg=./index/...,./fs/...,./cmd/... -coverprofile=bin/cover.prof $(QUICK)
	$(GO) tool cover -func=bin/cover.prof >bin/cover.txt
	$(GO) tool cover -html=bin/cover.prof -o bin/cover.html
	@tail -1 bin/cover.txt

demo: need-demo build ## the backup service: two disks, two machines, verification, a switch, retention, mails; in a minute
	bin/tresor demo $(DEMO)

demo-engine: need-demo build ## the file system alone: backups of a real disk image, compared byte for byte (SIZE=400M)
	integration/demo/demo.sh bin/ddumbfs $(SIZE)

fmt: ## format the source
	gofmt -l -w .

install: build ## the program, its names and the helpers of mount(8) (PREFIX, DESTDIR)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR)
	install -m 755 bin/ddumbfs $(DESTDIR)$(BINDIR)/ddumbfs
	install -m 755 bin/tresor $(DESTDIR)$(BINDIR)/tresor
	@for n in $(NAMES); do ln -sfn ddumbfs $(DESTDIR)$(BINDIR)/$$n; done
	@for n in $(HELPERS); do ln -sfn $(BINDIR)/ddumbfs $(DESTDIR)$(SBINDIR)/$$n; done

uninstall: ## what install put there
	rm -f $(DESTDIR)$(BINDIR)/ddumbfs $(DESTDIR)$(BINDIR)/tresor $(addprefix $(DESTDIR)$(BINDIR)/,$(NAMES)) $(addprefix $(DESTDIR)$(SBINDIR)/,$(HELPERS))

clean: ## remove bin/
	rm -rf bin

.PHONY: need-test need-demo need-bench
need-test:
	@.ci/need $(NEED_TEST)
need-demo:
	@.ci/need $(NEED_DEMO)
need-bench:
	@.ci/need $(NEED_BENCH)
