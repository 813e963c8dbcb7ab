package engine_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/integration/mounttest"
	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
)

// cpu is what a process has used so far.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var user, system int64
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// Putting known data in segments, each durable, costs the serving process what one copy by `ddumbfs cp` does: it is hashed where the kernel has it.
func TestPutCostsWhatCpDoes(t *testing.T) {
	size := int64(128 << 20)
	if os.Getenv("TRESOR_LONG") != "" {
		size = 2 << 30
	}
	r := newRig(t, mounttest.Dir(t), orchestrator.MakeOptions{BlockSize: 128 << 10, Size: 2*size + 64<<20})
	s := r.mount(orchestrator.MountOptions{})
	src := source(t, pattern(6, int(size)))
	cp := func(to string) time.Duration {
		before := cpu(t, r.daemon())
		c := exec.Command(mounttest.Binary(t), "cp", src.Name(), filepath.Join(r.point, to))
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return cpu(t, r.daemon()) - before
	}
	put := func(to string) time.Duration {
		empty(t, s, to, size)
		before := cpu(t, r.daemon())
		for at := int64(0); at < size; at += 64 << 20 {
			a, err := storetest.PutFile(t.Context(), s, to, src, at, min(64<<20, size-at))
			if err != nil || a.New != 0 {
				t.Fatalf("have %+v, %v", a, err)
			}
		}
		return cpu(t, r.daemon()) - before
	}
	cp("first")
	var copied, stored time.Duration
	for i := range 3 {
		copied += cp(fmt.Sprint("cp", i))
		stored += put(fmt.Sprint("put", i))
	}
	gib := float64(3*size) / (1 << 30)
	t.Logf("CPU of the serving process for 1 GiB of known data: cp %.3f s, put %.3f s", copied.Seconds()/gib, stored.Seconds()/gib)
	if stored > copied*3/2+100*time.Millisecond {
		t.Errorf("put needs %v, cp %v for the same data", stored, copied)
	}
}
