package volume_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/volume"
)

// wants is an engine that notes how volumes are made, and may have no room.
type wants struct {
	*engine
	made []orchestrator.MakeOptions
	err  error
}

func (w *wants) Make(ctx context.Context, o orchestrator.MakeOptions) error {
	if w.made = append(w.made, o); w.err != nil {
		return w.err
	}
	return w.engine.Make(ctx, o)
}

// TestFirstVolume: on a new disk and no other; the index lies here, and what is left is enough for its copies.
func TestFirstVolume(t *testing.T) {
	r := newRig(t, "my disk", "b")
	w := &wants{engine: r.e}
	r.o.Engine = w
	r.o.IndexSize = func(size int64, _ int, _ string) (int64, error) { return size / 8, nil }
	m, ctx := r.manager(), context.Background()
	if _, err := m.Start(ctx); err == nil || !strings.Contains(err.Error(), "`tresor volumes init 'my disk'` makes one") || !strings.Contains(err.Error(), "`tresor volumes init b`") {
		t.Errorf("without volumes: %v", err)
	}
	r.wantMounted()
	r.must(m.Make(ctx, "my disk", volume.MakeHow{Percent: 100, BlockSize: 4096}))
	r.wantMounted()
	var st unix.Statfs_t
	r.onDisk("my disk", func(dir string) {
		r.must(unix.Statfs(dir, &st))
		if text, err := os.ReadFile(filepath.Join(dir, "diskinfo")); err != nil || !strings.HasPrefix(string(text), "UUID: ") {
			t.Errorf("diskinfo %q, %v", text, err)
		}
	})
	total, free := int64(st.Blocks)*st.Bsize, int64(st.Bavail)*st.Bsize
	o := w.made[0]
	if o.Size > free-total/8 || o.Size < total/2 || o.BlockSize != 4096 || filepath.Dir(o.Index) != r.o.Index {
		t.Errorf("made %+v on a disk of %d bytes, %d free", o, total, free)
	}
	// A second time it is not the first volume any more.
	if err := m.Make(ctx, "my disk", volume.MakeHow{}); err == nil || !strings.Contains(err.Error(), "tresor volumes reinit 'my disk'") {
		t.Errorf("again: %v", err)
	}
	r.start(m, "my disk")
	if o := r.e.last(); o.Check {
		t.Errorf("a new volume is checked: %+v", o)
	}
	// Something else on the disk: it may be the wrong one.
	for _, name := range []string{"letters/to my mother", "l0/photos", "l0/ddumbfs/half of something"} {
		r.onDisk("b", func(dir string) {
			r.must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			r.must(os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		})
		if err := m.Make(ctx, "b", volume.MakeHow{}); err == nil {
			t.Errorf("made beside %s", name)
		}
		r.onDisk("b", func(dir string) {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
			r.must(errors.Join(os.RemoveAll(filepath.Join(dir, "letters")), os.RemoveAll(filepath.Join(dir, "l0"))))
		})
	}
	r.must(m.Make(ctx, "b", volume.MakeHow{Percent: 10}))
	if o := w.made[len(w.made)-1]; o.Size > total/10 || o.Size < total/11 {
		t.Errorf("10 percent of %d are %d", total, o.Size)
	}
}

// TestFirstVolumeFails: after a making that failed somebody makes a volume by hand, and uses it. It stays.
func TestFirstVolumeFails(t *testing.T) {
	r := newRig(t, "a")
	w := &wants{engine: r.e, err: errors.New("no room for the index")}
	r.o.Engine = w
	m, ctx := r.manager(), context.Background()
	if err := m.Make(ctx, "a", volume.MakeHow{}); !errors.Is(err, w.err) {
		t.Fatal(err)
	}
	r.wantMounted()
	w.err = nil
	r.onDisk("a", func(dir string) {
		parent := filepath.Join(dir, "l0/ddumbfs")
		r.must(os.MkdirAll(parent, 0o755))
		r.must(r.e.Make(ctx, orchestrator.MakeOptions{Parent: parent, Index: filepath.Join(parent, "ddfsidx")}))
		r.must(os.WriteFile(filepath.Join(parent, "ddfs.cfg"), []byte("index_filename: ddfsidx\nblock_filename: ddfsblocks\n"), 0o600))
		r.must(os.WriteFile(filepath.Join(parent, "ddfsblocks"), []byte("a year of backups"), 0o600))
	})
	r.start(r.manager(), "a")
	if data, err := os.ReadFile(filepath.Join(r.mountPoint("a"), "l0/ddumbfs/ddfsblocks")); err != nil || string(data) != "a year of backups" {
		t.Errorf("the volume that was made by hand holds %q, %v", data, err)
	}
}

// TestNoRoomForIndex: nothing is given up for a volume that cannot be made.
func TestNoRoomForIndex(t *testing.T) {
	r := newRig(t, "a")
	r.must(r.made().Close())
	r.old("a")
	r.o.IndexSize = func(int64, int, string) (int64, error) { return 1 << 60, nil }
	m := r.manager()
	if err := m.Make(context.Background(), "a", volume.MakeHow{GiveUp: "a"}); !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
	r.onDisk("a", func(dir string) {
		if data, err := os.ReadFile(filepath.Join(dir, "l0/ddumbfs/ddfsblocks")); err != nil || string(data) != "many old blocks" {
			t.Errorf("%q, %v", data, err)
		}
	})
}

// TestReinitLikeTheOld: what is not said is as it was.
func TestReinitLikeTheOld(t *testing.T) {
	r := newRig(t, "a")
	w := &wants{engine: r.e}
	r.o.Engine = w
	m := r.made()
	r.onDisk("a", func(dir string) {
		r.must(os.WriteFile(filepath.Join(dir, "l0/ddumbfs/ddfs.cfg"), []byte("hash: TIGER\nblock_size: 65536\nindex_filename: x\n"), 0o600))
	})
	for _, h := range []volume.MakeHow{{GiveUp: "a"}, {GiveUp: "a", Hash: "BLAKE3-256", BlockSize: 4096}} {
		r.must(m.Make(context.Background(), "a", h))
		o := w.made[len(w.made)-1]
		if h.Hash == "" && (o.Hash != "TIGER" || o.BlockSize != 65536) || h.Hash != "" && (o.Hash != h.Hash || o.BlockSize != h.BlockSize) {
			t.Errorf("%+v: made %+v", h, o)
		}
	}
}
