package borg

import (
	"math/rand"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/mountinfo"
)

func oneRoot(t *testing.T) []orchestrator.Root {
	return []orchestrator.Root{tree(t, map[string]string{"f": "x"})}
}

// TestTranslate: the regular expression matches what filepath.Match does, for random patterns and names.
func TestTranslate(t *testing.T) {
	t.Parallel()
	seed := time.Now().UnixNano()
	if s, err := strconv.ParseInt(os.Getenv("TRESOR_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("TRESOR_SEED=%d", seed)
	random := rand.New(rand.NewSource(seed))
	word := func(alphabet string, n int) string {
		letters := []rune(alphabet)
		var b strings.Builder
		for range random.Intn(n) {
			b.WriteRune(letters[random.Intn(len(letters))])
		}
		return b.String()
	}
	good, hits := 0, 0
	for good < 20000 {
		pattern, name := word(`ab*?[]^-\.+ä&~#$`, 8), word(`ab-].+^ä\&$`, 6)
		want, err := filepath.Match(pattern, name)
		body, tErr := translate(pattern)
		if pattern == "" || err != nil {
			if tErr == nil && pattern == "" {
				t.Fatal("an empty pattern: no error")
			}
			continue
		}
		if _, err := path.Match(pattern, ""); err != nil {
			if tErr == nil {
				t.Fatalf("pattern %q: no error", pattern)
			}
			continue
		}
		good++
		if tErr != nil {
			t.Fatalf("pattern %q: %v", pattern, tErr)
		}
		re, err := regexp.Compile(`^(?:` + body + `)$`)
		if err != nil {
			t.Fatalf("pattern %q became %q: %v", pattern, body, err)
		}
		if have := re.MatchString(name); have != want {
			t.Fatalf("pattern %q, name %q: have %v by %q, want %v", pattern, name, have, body, want)
		}
		if want {
			hits++
		}
	}
	if hits < 100 {
		t.Errorf("only %d of the patterns matched", hits)
	}
	for _, p := range []string{"", "[", "a[", `a\`, "[a-]", "#b*-[?~"} {
		if _, err := translate(p); err == nil {
			t.Errorf("pattern %q: no error", p)
		}
	}
}

// TestExclude: what the real borg leaves out, and that it leaves out nothing else; the names in the archive are those of the roots.
func TestExclude(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	repo := r.plain("repo")
	if err := r.Init(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	for _, name := range []string{
		"one [1]/a.tmp", "one [1]/sub/b.tmp", "one [1]/sub/c.tmpx", "one [1]/cache/x", "one [1]/sub/cache/x", "one [1]/cache-2/x", "one [1]/ä&~#.o", "one [1]/b-1", "one [1]/bb1",
		"two/a.tmp", "two/cache/x",
	} {
		put(t, filepath.Join(base, name), name)
	}
	roots := []orchestrator.Root{
		{Path: base + "/one [1]", Name: "one [1]", Exclude: []string{"*.tmp", "sub/cache/", "?&~#.o", "b[^b]1"}},
		{Path: base + "/two", Name: "two"},
	}
	create := func(name string, roots []orchestrator.Root) []string {
		t.Helper()
		if _, warnings, err := r.Create(t.Context(), repo, name, roots, "lz4"); err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v %q", name, err, warnings)
		}
		var list []string
		for line := range strings.Lines(r.byHand(t, repo, "/", "list", "--format={type}{path}{NL}", repo.URL+"::"+name)) {
			if line[0] == '-' {
				list = append(list, strings.TrimSpace(line[1:]))
			}
		}
		slices.Sort(list)
		return list
	}
	kept := []string{"one [1]/bb1", "one [1]/cache-2/x", "one [1]/cache/x", "one [1]/sub/c.tmpx", "two/a.tmp", "two/cache/x"}
	if have := create("a-20260101000000", roots); !slices.Equal(have, kept) {
		t.Errorf("relative: have %q, want %q", have, kept)
	}
	roots[1].Name = "elsewhere" // no directory in common: whole paths
	for i := range kept {
		kept[i] = base[1:] + "/" + kept[i]
	}
	if have := create("a-20260102000000", roots); !slices.Equal(have, kept) {
		t.Errorf("absolute: have %q, want %q", have, kept)
	}
	top := []orchestrator.Root{{Path: base, Name: ".", Exclude: []string{"one *", "*wo/*.tmp"}}}
	if have, want := create("a-20260104000000", top), []string{"two/cache/x"}; !slices.Equal(have, want) {
		t.Errorf("root itself: have %q, want %q", have, want)
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	root := func(path, name string) orchestrator.Root { return orchestrator.Root{Path: path, Name: name} }
	for _, c := range []struct {
		roots []orchestrator.Root
		want  string
	}{
		{[]orchestrator.Root{root("/etc", "etc"), root("/var/lib", "var/lib")}, "/"},
		{[]orchestrator.Root{root("/run/tresor/dc/tank/data", "tank/data")}, "/run/tresor/dc"},
		{[]orchestrator.Root{root("/run/tresor/dc/tank/data", "tank/data"), root("/etc", "etc")}, "/"},
		{[]orchestrator.Root{root("/run/x-data", "data")}, "/"},
		{[]orchestrator.Root{root("/", ".")}, "/"},
		{[]orchestrator.Root{root("/", "."), root("/srv", "srv")}, "/"},
	} {
		if have := commonBase(c.roots); have != c.want {
			t.Errorf("%v: have %s, want %s", c.roots, have, c.want)
		}
	}
	one, all := root("/", "."), root("/proc", "proc")
	one.OneSystem = true
	p, err := planPaths([]orchestrator.Root{one, all})
	if err != nil || p.oneSystem || !slices.Contains(p.exclude, `re:^proc(?:/|\Z)`) {
		t.Errorf("one of two stays on its file system: have %+v %v", p, err)
	}
	if p, err := planPaths([]orchestrator.Root{one}); err != nil || !p.oneSystem || len(p.exclude) > 0 || !slices.Equal(p.paths, []string{"."}) {
		t.Errorf("all stay on their file system: have %+v %v", p, err)
	}
	table := []mountinfo.Mount{{Point: "/"}, {Point: "/srv"}, {Point: "/srv/a.b"}, {Point: "/srv-2/x"}, {Point: "/srv/a.b"}}
	if have, want := mountsBelow("/", "/srv", table), []string{`re:^srv/a\.b(?:/|\Z)`}; !slices.Equal(have, want) {
		t.Errorf("mounts below: have %q, want %q", have, want)
	}
	for _, roots := range [][]orchestrator.Root{nil, {root("etc", "etc")}, {{Path: "/etc", Name: "etc", Exclude: []string{"["}}}} {
		if _, err := planPaths(roots); err == nil {
			t.Errorf("roots %v: no error", roots)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"", " dc", "dc ", "a/b", "a::b", "a\nb", "a\x00"} {
		if checkPrefix(p) == nil {
			t.Errorf("prefix %q: no error", p)
		}
	}
	for _, p := range []string{"dc", "Büro 1", "a[b]*?", "a:b", "{now}", "dc-2", "dc-20260101000000"} {
		if err := checkPrefix(p); err != nil {
			t.Errorf("prefix %q: %v", p, err)
		}
		pattern := strings.NewReplacer("{{", "{", "}}", "}").Replace(glob(p)) // as borg does first
		match, err := filepath.Match(pattern, p+"-20260101000000")
		other, err2 := filepath.Match(pattern, p+"-2-20260101000000")
		if !match || other || err != nil || err2 != nil {
			t.Errorf("prefix %q: pattern %s", p, glob(p))
		}
	}
}

// TestRepositories: which settings are refused, and that no message has the passphrase.
func TestRepositories(t *testing.T) {
	t.Parallel()
	for _, r := range []Repository{
		{URL: "/r"}, {Name: "n"}, {Name: "n", URL: "r"}, {Name: "n", URL: "-v"}, {Name: "n", URL: "/r::a"}, {Name: "n", URL: "ssh://u:pw@h/r"}, {Name: "n", URL: "/r\n"},
		{Name: "n", URL: "/r", Encryption: "rot13"}, {Name: "n", URL: "/r", Init: true}, {Name: "n", URL: "/r", Init: true, Encryption: "repokey"},
		{Name: "n", URL: "/r", Init: true, Encryption: "repokey", Passphrase: secret("")},
		{Name: "n", URL: "/r", Passphrase: secret(strings.Repeat(passphrase, 200))},
		{Name: "n", URL: "h:r", SSHKey: "key"}, {Name: "n", URL: "h:r", SSHKey: `/a"b`}, {Name: "n", URL: "h:r", KnownHosts: "~/known"},
	} {
		if err := r.Validate(); err == nil || strings.Contains(err.Error(), passphrase) || strings.Contains(err.Error(), "pw@") {
			t.Errorf("%+v: have %v", r.URL, err)
		}
	}
	for url, remote := range map[string]bool{"/r": false, "/a:b/c": false, "file:///r": false, "ssh://u@h:22/./r": true, "u@h:r": true, "h:/r": true} {
		r := Repository{Name: "n", URL: url}
		if err := r.Validate(); err != nil || r.remote() != remote {
			t.Errorf("%s: %v, remote %v, want %v", url, err, r.remote(), remote)
		}
	}
}

// TestSSH: the real borg reaches a borg on the "other side" through a program called ssh, which gets key and known hosts as one word each.
func TestSSH(t *testing.T) {
	t.Parallel()
	needBorg(t)
	bin := t.TempDir()
	notes := filepath.Join(bin, "notes")
	text := "#!/bin/sh\nfor a; do echo \"$a\"; done >" + notes + "\nfor a; do shift; [ \"$a\" = backup@nas ] && break; done\nexec \"$@\"\n"
	program(t, filepath.Join(bin, "ssh"), text)
	r := newRig(t, func(o *Options) {
		o.Environ = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "BORG_PASSPHRASE=of somebody else", "BORG_REPO=/elsewhere")
	})
	repo := r.encrypted("far repo")
	repo.URL = "ssh://backup@nas:2222" + filepath.Join(r.dir, "far")
	repo.SSHKey, repo.KnownHosts, repo.RemotePath = "/etc/our keys/it's 100%", "/etc/known hosts", "borg"
	if os.Getenv("TRESOR_LONG") == "" {
		if err := r.Init(t.Context(), repo); err != nil {
			t.Fatal(err)
		}
	} else if report := r.Run(t.Context(), []Repository{repo}, Backup{Prefix: "dc", Roots: oneRoot(t)}); report.Result != OK {
		t.Fatal(report)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "far", "config")); err != nil {
		t.Errorf("nothing was made on the other side: %v", err)
	}
	have, err := os.ReadFile(notes)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`IdentityFile="/etc/our keys/it's 100%%"`, `UserKnownHostsFile="/etc/known hosts"`, "StrictHostKeyChecking=yes", "BatchMode=yes", "IdentitiesOnly=yes", "2222", "backup@nas",
	} {
		if !slices.Contains(strings.Split(string(have), "\n"), want) {
			t.Errorf("ssh got no %q: %q", want, have)
		}
	}
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Log("the real ssh is not installed: what it makes of these words was not looked at")
		return
	}
	out, err := exec.Command("ssh", "-G", "-o", `IdentityFile="/etc/our keys/it's 100%%"`, "-o", `UserKnownHostsFile="/etc/known hosts"`, "nas").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "identityfile /etc/our keys/it's 100%") {
		t.Errorf("ssh -G: %v: %s", err, out)
	}
}
