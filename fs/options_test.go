package fs

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"tresor/index"
)

func TestParseMount(t *testing.T) {
	for _, c := range []struct {
		list string
		want func(o *Options)
	}{
		{"", func(*Options) {}},
		{"verify_links", func(o *Options) { o.VerifyLinks = true }},
		{"verify_links,noverify_links", func(o *Options) {}},
		{"pool=4,nolock_index,reclaim=80,check", func(o *Options) { o.Pool, o.LockIndex, o.ReclaimAt, o.Check = 4, false, 80, true }},
		{"verify=always,lost=zeros,direct=never", func(o *Options) { o.Verify, o.Lost, o.Handles = "always", "zeros", "never" }},
		{"checkpoint=64M,entry_timeout=0,attr_timeout=1.5", func(o *Options) {
			o.Checkpoint, o.EntryTimeout, o.AttrTimeout = 64<<20, 0, 1500*time.Millisecond
		}},
		{`index=/a\,b/c.idx,ro`, func(o *Options) { o.Index, o.ReadOnly = "/a,b/c.idx", true }},
		{"use_ino,readdir_ino,default_permissions,allow_other,big_writes,max_read=131072,max_write=131072,negative_timeout=0",
			func(o *Options) { o.FuseOptions = []string{"default_permissions", "allow_other"} }},
		{"dio,,nodio,", func(o *Options) { o.DirectIO = "off" }},
		{"nosuid,noatime", func(o *Options) { o.FuseOptions = []string{"nosuid", "noatime"} }},
	} {
		t.Run(c.list, func(t *testing.T) {
			have, want := DefaultOptions(), DefaultOptions()
			c.want(&want)
			if err := have.ParseMount(c.list); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(have, want) {
				t.Errorf("%q: want %+v, have %+v", c.list, want, have)
			}
		})
	}
}

func TestParseMountErrors(t *testing.T) {
	for list, want := range map[string]string{
		"verfy=first":     `"verfy" is unknown`,
		"quite_unknown":   `"quite_unknown" is unknown`,
		"pool=x":          `pool: want a whole number`,
		"reclaim=101":     "reclaim: want a whole number from 0 to 100",
		"verify=often":    "want first or always or off",
		"verify":          "a value is missing",
		"check=yes":       "takes no value",
		"attr_timeout=-1": "want seconds",
		"checkpoint=12Q":  "checkpoint",
	} {
		o := DefaultOptions()
		err := o.ParseMount(list)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want an error with %q, have %v", list, want, err)
		}
	}
}

func TestOptionValues(t *testing.T) {
	for _, c := range []struct{ pool, cpus, want int }{{0, 8, 0}, {3, 8, 3}, {-100, 8, 8}, {-50, 8, 4}, {-100, 1, 1}, {-10, 2, 1}, {-200, 2, 4}} {
		if have := (&Options{Pool: c.pool}).workers(c.cpus); have != c.want {
			t.Errorf("pool=%d on %d processors: want %d writers, have %d", c.pool, c.cpus, c.want, have)
		}
	}
	for word, want := range map[string]index.Verify{"first": index.VerifyFirst, "always": index.VerifyAlways, "off": index.VerifyOff} {
		if have := (&Options{Verify: word}).verify(); have != want {
			t.Errorf("verify=%s: want %d, have %d", word, want, have)
		}
	}
}

func TestInside(t *testing.T) {
	for _, c := range []struct {
		path, dir string
		want      bool
	}{{"/a/b", "/a/b", true}, {"/a/b/c", "/a/b", true}, {"/a/bc", "/a/b", false}, {"/a", "/a/b", false}, {"/a", "/", true}} {
		if have := inside(c.path, c.dir); have != c.want {
			t.Errorf("inside(%q, %q): want %v, have %v", c.path, c.dir, c.want, have)
		}
	}
}

// TestOptionsDocumented holds the table of mount options in docs/commands.md to the code.
func TestOptionsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, word := range strings.Split(cells[1], ",") {
				name, _, _ := strings.Cut(strings.TrimSpace(word), "=")
				words[name] = true
			}
		}
	}
	for _, o := range table() {
		if !words[o.name] {
			t.Errorf("mount option %s has no row in docs/commands.md", o.name)
		}
	}
}
