package config_test

import (
	"strings"
	"testing"

	"tresor/orchestrator/config"
)

func TestResolved(t *testing.T) {
	c := parse(t, `[paths]
disks = "/media"
[schedule]
time_zone = "Europe/Berlin"
[[volume]]
name = "sdc1"
uuid = "1111-1111"
[[volume]]
name = "there"
kind = "path"
path = "/srv/x"
[[volume]]
name = "nas"
kind = "nfs"
export = "h:/x"
[[volume]]
name = "nas2"
kind = "nfs"
export = "h:/y"
skip_verify = false
`)
	for i, want := range []struct {
		point string
		skips bool
	}{{"/media/sdc1", false}, {"/srv/x", false}, {"/media/nas", true}, {"/media/nas2", false}} {
		v := &c.Volumes[i]
		if have := c.MountPoint(v); have != want.point || v.SkipsVerify() != want.skips {
			t.Errorf("%s: have %s, skips %v, want %+v", v.Name, have, v.SkipsVerify(), want)
		}
	}
	if c.Location().String() != "Europe/Berlin" || c.LogDir() != "/var/lib/tresor/runs" {
		t.Errorf("have %s, %s", c.Location(), c.LogDir())
	}
	if again := parse(t, "[log]\ndir = \"/x\"\n"); again.LogDir() != "/x" || again.Location().String() != "Local" {
		t.Errorf("have %s, %s", again.LogDir(), again.Location())
	}
	for want, m := range map[int]config.Mail{
		465: {Security: config.SecurityTLS, User: "u"}, 587: {Security: config.SecurityStartTLS, User: "u"}, 25: {Security: config.SecurityStartTLS}, 2525: {Port: 2525},
	} {
		if have := m.SMTPPort(); have != want {
			t.Errorf("%+v: have port %d, want %d", m, have, want)
		}
	}
}

// TestNames: what becomes a part of a path must be one.
func TestNames(t *testing.T) {
	good := []string{"dc", "dc-2", "a b", "ümläut", "日本", ".hidden", "a.partial", "x-20260101000000", strings.Repeat("x", 200)}
	bad := []string{"", ".", "..", "a/b", " a", "a ", "a\tb", "a\x01", "a\x7f", strings.Repeat("x", 201), "a\u0085b"}
	for i, name := range append(good, bad...) {
		c := config.Default()
		d := config.NewDir()
		d.Name, d.Paths = name, []string{"/etc"}
		c.Source.Dir = []config.Dir{d}
		if wrong := c.Check(config.Outside{}).Of("source.dir[0].name"); (len(wrong) > 0) != (i >= len(good)) {
			t.Errorf("name %q: have %v, want a mistake: %v", name, wrong, i >= len(good))
		}
	}
}
