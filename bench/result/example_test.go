package result

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata, which -update writes.
func golden(t *testing.T, name string, have []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, have, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s differs (go test -update writes it anew); have:\n%s", path, have)
	}
}

// noise of five rounds: the third is the median.
var noise = [5]float64{0.98, 1.03, 1, 0.96, 1.02}

func newRun() *Run {
	return &Run{
		Started: time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC), Took: 543, Options: map[string]string{"rounds": "5", "small-files": "10000"},
		Machine: Machine{CPU: "AMD EPYC 9B14", Cores: 2, Memory: 24 << 30, Kernel: "6.18.44", Go: "go1.26.8", GoFuse: "v2.12.1",
			FileSystem: "ext4", Device: "/dev/vda1"},
		Revision: Revision{Git: "7e9f0ea5d1c4b8a0e6f2739b5c8d1e4f60718293", Modified: true},
	}
}

// fill adds five samples around a value.
func fill(t *testing.T, r *Run, workload, contender string, u Unit, value float64) {
	t.Helper()
	for round, f := range noise {
		if err := r.AddSample(workload, contender, u, Sample{Round: round, Value: value * f, CPU: 0.5}); err != nil {
			t.Fatal(err)
		}
	}
}

// exampleRun has all that the table of figures needs, in round numbers.
func exampleRun(t *testing.T) *Run {
	t.Helper()
	r := newRun()
	const gb = 1e9
	for _, s := range []struct {
		workload, contender string
		unit                Unit
		value               float64
	}{
		{"hash/128k", "BLAKE3", BytesPerSecond, 3 * gb}, {"hash/128k", "SHA1", BytesPerSecond, 1.8 * gb}, {"hash/128k", "TIGER", BytesPerSecond, 0.95 * gb},
		{"write-known/128k/1", "null", BytesPerSecond, 4 * gb}, {"write-known/128k/1", "ours-BLAKE3", BytesPerSecond, 2.4 * gb},
		{"write-known/128k/1", "ours-SHA1", BytesPerSecond, 1.9 * gb}, {"write-known/128k/1", "ours-TIGER", BytesPerSecond, 0.9 * gb},
		{"write-known/64k/1", "ours-BLAKE3", BytesPerSecond, 2.2 * gb},
		{"write-known/128k/4", "null", BytesPerSecond, 5 * gb}, {"write-known/128k/4", "ours-BLAKE3", BytesPerSecond, 2.4 * gb},
		{"write-unique/128k/1", "raw", BytesPerSecond, 1.4 * gb}, {"write-unique/128k/1", "loopback", BytesPerSecond, 1 * gb},
		{"write-unique/128k/1", "ours-BLAKE3", BytesPerSecond, 1.3 * gb}, {"write-unique/128k/1", "original-TIGER", BytesPerSecond, 0.4 * gb},
		{"read-direct/128k/1", "null", BytesPerSecond, 8 * gb}, {"read-direct/128k/1", "ours-BLAKE3", BytesPerSecond, 3.9 * gb},
		{"read-warm/128k/1", "raw", BytesPerSecond, 9 * gb}, {"read-warm/128k/1", "null", BytesPerSecond, 8.2 * gb}, {"read-warm/128k/1", "ours-BLAKE3", BytesPerSecond, 8 * gb},
		{"read-cold/128k/1", "raw", BytesPerSecond, 1.7 * gb}, {"read-cold/128k/1", "ours-BLAKE3", BytesPerSecond, 1.5 * gb},
		{"rand-overwrite/4k/1", "plain-loop", OperationsPerSecond, 12000}, {"rand-overwrite/4k/1", "ours-BLAKE3", OperationsPerSecond, 90000},
		{"check-hashes/128k", "raw", BytesPerSecond, 1.7 * gb},
		{"check-hashes/128k", "ours-BLAKE3", BytesPerSecond, 1.6 * gb}, {"check/128k", "ours-BLAKE3", Seconds, 0.034},
		{"ingest-known/128k/offline", "ours-BLAKE3", BytesPerSecond, 5.5 * gb},
		{"scrub/128k", "raw", BytesPerSecond, 1.6 * gb}, {"scrub/128k", "ours-BLAKE3", BytesPerSecond, 2 * gb},
		{"hash-cores/128k", "ours-BLAKE3", BytesPerSecond, 5.6 * gb},
		{"hash-mapped/128k", "ours-BLAKE3", BytesPerSecond, 5.6 * gb},
		{"hash-cores/128k", "ours-SHA1", BytesPerSecond, 3.6 * gb}, {"hash-cores/128k", "ours-TIGER", BytesPerSecond, 1.9 * gb},
		{"ingest-known/128k/offline", "ours-SHA1", BytesPerSecond, 3.4 * gb}, {"ingest-known/128k/offline", "ours-TIGER", BytesPerSecond, 1.4 * gb},
		{"small-create", "loopback", OperationsPerSecond, 20000}, {"small-create", "ours-BLAKE3", OperationsPerSecond, 13000},
		{"archive-create", "ours-cp", BytesPerSecond, 1.2 * gb}, {"archive-create", "borg", BytesPerSecond, 0.2 * gb},
	} {
		fill(t, r, s.workload, s.contender, s.unit, s.value)
	}
	for _, s := range []Series{{Workload: "memory/1T", Samples: []Sample{{Value: 390e6}}}, {Workload: "memory-index/1T", Samples: []Sample{{Value: 289e6}}}} {
		if err := r.AddSample(s.Workload, "ours-BLAKE3", Bytes, s.Samples[0]); err != nil {
			t.Fatal(err)
		}
	}
	r.Skip("restic", "not installed")
	return r
}
