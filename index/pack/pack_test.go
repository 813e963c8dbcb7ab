package pack_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"tresor/index/bitmap"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/pack"
	"tresor/index/table"
)

func TestPack(t *testing.T) {
	r := newRig(t, 600, 600, 1)
	before := state(t, r.m)
	dry, err := run(t, r.m, "/v", pack.Options{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	assertSame(t, "dry run", state(t, r.m), before)
	_, total, to := pack.Moves(indexBitmap(r.v))
	res, err := run(t, r.m, "/v", pack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if total < 50 || res.Moved != total || dry.Moved != total || res.Used != dry.Used || res.Cut != dry.Cut || res.Cut == 0 || res.Rounds != 1 {
		t.Errorf("have %+v, dry %+v, want %d moved", res, dry, total)
	}
	r.assertFiles("packed", r.m)
	r.assertPacked(r.m)
	// What was set aside: known hashes have their new places, whatever address stood there; the rest is as it was.
	for i, e := range r.asideEntries(r.m) {
		want := r.aside[i]
		if i == 1 {
			want.Addr -= 3
		}
		if a, moved := to(uint64(want.Addr)); moved && i != 2 {
			want.Addr = format.Address(a)
		}
		if e != want {
			t.Errorf("entry %d of the file set aside: have %d, want %d", i, e.Addr, want.Addr)
		}
	}
	after := state(t, r.m)
	again, err := run(t, r.m, "/v", pack.Options{})
	if err != nil || again.Moved != 0 || again.Rounds != 0 || again.Cut != 0 {
		t.Errorf("pack of a packed volume: have %+v, %v", again, err)
	}
	assertSame(t, "pack of a packed volume", state(t, r.m), after)
}

func indexBitmap(v *indextest.Volume) (b *bitmap.Bitmap) {
	v.WithIndex(func(_ *table.Table, used *bitmap.Bitmap) { b = used.Clone() })
	return b
}

// TestRefused holds that nothing changes where something is not in order.
func TestRefused(t *testing.T) {
	tests := []struct {
		name   string
		damage func(r *rig)
		want   string
		class  error
	}{
		{"not closed cleanly", func(r *rig) { r.v.SetFlag(format.DirtyName, true) }, "not closed cleanly", format.ErrCorrupt},
		{"file without a header", func(r *rig) {
			r.must(r.m.Remove("/v/ddfsroot/small"))
			writeFile(r, "/v/ddfsroot/small", "junk")
		}, "small", format.ErrCorrupt},
		{"index out of order", func(r *rig) {
			r.v.WithIndex(func(tb *table.Table, _ *bitmap.Bitmap) {
				var e format.Entry
				for s := range tb.Slots() {
					if !tb.Empty(s) && tb.Empty(s+1) {
						tb.Get(s, &e)
						tb.Put(s+1, &e)
						return
					}
				}
			})
		}, "of the index", format.ErrCorrupt},
		{"block in use but not in the index", func(r *rig) {
			r.v.WithIndex(func(_ *table.Table, used *bitmap.Bitmap) { used.Set(used.Len() - 1) })
		}, "not in the index", format.ErrCorrupt},
		{"file and index differ", func(r *rig) {
			size, e := r.v.Recipe("small")
			e[0].Addr++
			r.v.WriteRecipe("small", size, e)
		}, "link, entry 0", format.ErrCorrupt},
		{"block file without the last block", func(r *rig) {
			b := indexBitmap(r.v)
			last := uint64(0)
			for i, ok := b.NextSet(0); ok; i, ok = b.NextSet(i + 1) {
				last = i
			}
			f, err := r.m.OpenFile(r.v.BlocksPath, os.O_RDWR, 0)
			r.must(err)
			r.must(f.Truncate(r.v.Geometry.Offset(format.Address(last)) + 100))
			r.must(f.Close())
		}, "read block at address", format.ErrIO},
		{"decayed block", func(r *rig) {
			moves := pack.EachMove(indexBitmap(r.v))
			r.v.DamageBlock(format.Address(moves[len(moves)/2][0]))
		}, "is not what the index says", format.ErrIO},
		{"another index than the last one", func(r *rig) {
			r.v.WithIndex(func(_ *table.Table, used *bitmap.Bitmap) { used.Set(used.Len() - 1) })
		}, "closed with", format.ErrCorrupt},
		{"rebuild that did not finish", func(r *rig) { r.v.SetFlag(format.RebuildName, true) }, "rebuild of the index", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 600, 600, 2)
			tt.damage(r)
			if !strings.Contains(tt.want, "closed with") {
				r.must(r.m.Remove("/v/.ddfssnapshot")) // as if the original had closed it: nothing tells which index is the right one
			}
			before := state(t, r.m)
			_, err := runOnly(t, r.m, pack.Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.class != nil && !errors.Is(err, tt.class) {
				t.Errorf("have %v, want %q of class %v", err, tt.want, tt.class)
			}
			sameButFree(t, r, before)
		})
	}
}

func writeFile(r *rig, name, content string) {
	f, err := r.m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	r.must(err)
	_, err = f.WriteAt([]byte(content), 0)
	r.must(err)
	r.must(f.Close())
}

// sameButFree compares the volume with a state before. The content of free blocks may differ.
func sameButFree(t *testing.T, r *rig, before map[string]string) {
	t.Helper()
	have := state(t, r.m)
	used, b := indexBitmap(r.v), []byte(have["ddfsblocks"])
	old := []byte(before["ddfsblocks"])
	if len(b) != len(old) {
		t.Fatalf("block file: have %d bytes, want %d", len(b), len(old))
	}
	for i := 0; i+blockSize <= len(b); i += blockSize {
		if used.Get(uint64(i/blockSize)) && !bytes.Equal(b[i:i+blockSize], old[i:i+blockSize]) {
			t.Errorf("block %d has changed", i/blockSize)
		}
	}
	delete(have, "ddfsblocks")
	delete(before, "ddfsblocks")
	assertSame(t, "refused pack", have, before)
}

// TestDevice packs a volume whose blocks lie on a device: nothing is cut, and it is told of its free end if that was asked for.
func TestDevice(t *testing.T) {
	r := newRig(t, 600, 600, 4)
	image := state(t, r.m)
	r.must(r.m.Remove("/v/ddfsblocks"))
	r.m.MkdirAll("/dev")
	r.must(r.m.AddDevice("/v/ddfsblocks", 600*blockSize))
	f, err := r.m.OpenFile("/v/ddfsblocks", os.O_RDWR, 0)
	r.must(err)
	_, err = f.WriteAt([]byte(image["ddfsblocks"]), 0)
	r.must(err)
	r.must(f.Close())
	r.v.Sync()
	r.m.Record()
	res, err := run(t, r.m, "/v", pack.Options{Discard: true})
	if err != nil || res.Cut != 0 || res.Moved == 0 {
		t.Fatalf("have %+v, %v", res, err)
	}
	r.assertFiles("packed", r.m)
	r.assertPacked(r.m)
	var punched []disktest.Op
	for _, op := range r.m.Ops() {
		if op.Kind == disktest.Punch {
			punched = append(punched, op)
		}
	}
	from := int64(res.Used) * blockSize
	if len(punched) != 1 || punched[0].Off != from || punched[0].Len != 600*blockSize-from {
		t.Errorf("discarded: have %v, want all from %d on", punched, from)
	}
}

// TestCancelled stops in the middle of the copying.
func TestCancelled(t *testing.T) {
	r := newRig(t, 600, 600, 5)
	before := state(t, r.m)
	ctx, cancel := context.WithCancel(context.Background())
	p := acquire(t, r.m, "/v")
	_, err := pack.Run(ctx, p, pack.Options{Log: func(line string) {
		if strings.HasPrefix(line, "moving") {
			cancel()
		}
	}})
	r.must(p.Close())
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("have %v, want %v", err, context.Canceled)
	}
	sameButFree(t, r, before)
}
