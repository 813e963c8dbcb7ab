package result

// Figure is one line of the table of what must be reached (section 4 of the engine page, and docs/performance.md): Value by Bound must be
// at least Must, and should be at least Aim.
type Figure struct {
	Name         string
	Value, Bound Formula
	Must, Aim    float64 // Aim is 0 where there is none
	MustPerCore  bool    // Must is meant for each core
	AimPerCore   bool    // Aim is meant for each core
	AtMost       bool    // less is better: at most Must, at most Aim
	Elsewhere    string  // what measures it where ddbench does not; the formulas are empty then
	Beside       Formula // another bound, for information: it decides nothing. Empty where there is none
	Option       string  // of the run, whose number stands for N in the name; "" where there is none
}

// Figures is the table. Unless a name says otherwise: requests of 1 MiB, blocks of 128 KiB, BLAKE3.
func Figures() []Figure {
	var list []Figure
	for _, part := range [][]Figure{writeFigures(), readFigures(), proofFigures(), otherFigures(), figuresElsewhere()} {
		list = append(list, part...)
	}
	return list
}

// Contenders of the table.
const (
	ours = "ours-BLAKE3"
	null = "null"
	raw  = "raw"
)

// hashRate is that of one core.
func hashRate(hash string) Formula { return of("hash/128k", hash) }

func writeFigures() []Figure {
	inTurn := serial(of("write-known/128k/1", null), hashRate("BLAKE3"))
	return []Figure{
		{Name: "write, known, one writer", Value: of("write-known/128k/1", ours), Bound: inTurn, Must: 1.3, Aim: 0.8, AimPerCore: true},
		{Name: "write, known, four writers", Value: of("write-known/128k/4", ours), Bound: inTurn,
			Must: 0.7, MustPerCore: true, Aim: 0.85, AimPerCore: true},
		{Name: "write, unique, fsync at the end", Value: of("write-unique/128k/1", ours),
			Bound: least(of("write-unique/128k/1", raw), of("write-known/128k/1", ours)), Must: 0.85, Aim: 1},
		{Name: "4 KiB random overwrite, fsync at the end", Value: of("rand-overwrite/4k/1", ours), Bound: of("rand-overwrite/4k/1", "plain-loop"), Must: 0.8, Aim: 5},
	}
}

// hashFigure is that of a hash so slow that it decides, of an ingest into a volume at rest: what all cores reach that do nothing but hash the same data, at the same time of a round. Behind FUSE no volume can, since the requests
// need the same processors; write-known tells how far it gets there.
func hashFigure(hash string) Figure {
	return Figure{Name: "ingest, known, volume at rest, " + hash, Value: of("ingest-known/128k/offline", "ours-"+hash), Bound: of("hash-cores/128k", "ours-"+hash), Must: 0.9}
}

func readFigures() []Figure {
	return []Figure{
		{Name: "read, direct I/O", Value: of("read-direct/128k/1", ours), Bound: of("read-direct/128k/1", null), Must: 0.5, Aim: 0.7},
		{Name: "read, kernel's cache, second pass", Value: of("read-warm/128k/1", ours), Bound: of("read-warm/128k/1", raw), Must: 0.9, Aim: 1,
			Beside: of("read-warm/128k/1", null)},
		{Name: "read, cold, verify=first", Value: of("read-cold/128k/1", ours),
			Bound: least(of("read-cold/128k/1", raw), onAllCores(hashRate("BLAKE3"))), Must: 0.85, Aim: 1},
	}
}

// proofFigures are those of programs that hash without FUSE.
func proofFigures() []Figure {
	allCores, atOnce := onAllCores(hashRate("BLAKE3")), of("hash-mapped/128k", ours)
	return []Figure{
		{Name: "ingest, known, volume at rest", Value: of("ingest-known/128k/offline", ours), Bound: allCores, Must: 0.85, Aim: 0.95,
			Beside: atOnce},
		{Name: "ingest, known, mounted volume", Value: of("ingest-known/128k/mounted", ours), Bound: allCores, Must: 0.85, Aim: 0.95,
			Beside: atOnce},
		hashFigure("SHA1"), hashFigure("TIGER"),
		{Name: "fsck -C, cold", Value: of("check-hashes/128k", ours), Bound: least(of("check-hashes/128k", raw), allCores), Must: 0.85, Aim: 1},
		{Name: "scrub, cold, volume at rest", Value: of("scrub/128k", ours), Bound: least(of("scrub/128k", raw), allCores), Must: 0.85, Aim: 1},
	}
}

func otherFigures() []Figure {
	list := []Figure{
		{Name: "memory beside the index, 1 TiB", Value: beside(of("memory/1T", ours), of("memory-index/1T", ours)),
			Bound: constant("64 MiB", 64<<20), Must: 2, Aim: 1, AtMost: true},
	}
	for _, op := range []string{"create", "stat", "list"} {
		list = append(list, Figure{Name: op + ", N small files", Option: "small-files", Value: of("small-"+op, ours), Bound: of("small-"+op, "loopback"), Must: 0.5, Aim: 0.8})
	}
	return list
}

// figuresElsewhere need more entries, or other tools, than a run of ddbench has.
func figuresElsewhere() []Figure {
	return []Figure{
		{Name: "check -c of 20 million entries", Elsewhere: "TRESOR_BENCH_ENTRIES=20000000 go test -run '^$' -bench Check ./index/fsck"},
		{Name: "reclaim of 20 million entries, and writers during it", Elsewhere: "TRESOR_LONG=1 go test -v ./integration/pauses"},
		{Name: "Tiger by the C version of rhash", Elsewhere: "hand: rhash --tiger --benchmark beside hash/128k TIGER"},
		{Name: "writes into an index that is 90 % full", Elsewhere: "make bench-scale"},
		{Name: "mount of a clean volume, full against empty", Elsewhere: "make bench-scale; mount-full above has a tenth of its blocks in use"},
		{Name: "cold read of an aged volume against a new one", Elsewhere: "make bench-aging (must 0.8)"},
	}
}
