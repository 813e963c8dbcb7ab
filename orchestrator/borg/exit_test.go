package borg

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	warning  = `{"type": "log_message", "time": 1.5, "message": "/x: file changed while we backed it up", "levelname": "WARNING", "name": "borg.archiver"}`
	lockGone = `{"type": "log_message", "time": 1.5, "message": "Failed to create/acquire the lock\n(timeout).", "levelname": "ERROR", "name": "borg", "msgid": "LockTimeout"}`
	listOut  = `{"archives": [], "repository": {"id": "9971"}}`
)

// play is a Borg whose program says what is given.
func play(t *testing.T, stdout, stderr string, code int) *Borg {
	t.Helper()
	b, err := New(t.Context(), Options{Program: script(t, fmt.Sprintf("cat <<'E'\n%s\nE\ncat >&2 <<'E'\n%s\nE\nexit %d\n", stdout, stderr, code))})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestExitCodes: 1 and 100 to 127 are warnings, the rest are errors; for check and prune warnings are failures.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	repo := Repository{Name: "nas", URL: "/r"}
	for code, good := range map[int]bool{0: true, 1: true, 100: true, 107: true, 127: true, 2: false, 3: false, 75: false, 99: false, 128: false, 137: false, 255: false} {
		b := play(t, listOut, warning, code)
		_, err := b.List(t.Context(), repo)
		var e *Error
		if good != (err == nil) || !good && (!errors.As(err, &e) || e.Code != code || !strings.Contains(err.Error(), "file changed")) {
			t.Errorf("exit code %d: have %v", code, err)
		}
		if err := b.Check(t.Context(), repo, CheckRepository); (err == nil) != (code == 0) {
			t.Errorf("check with exit code %d: have %v", code, err)
		}
		if err := b.Compact(t.Context(), repo); (err == nil) != (code == 0) {
			t.Errorf("compact with exit code %d: have %v", code, err)
		}
	}
	if _, err := play(t, listOut, "", 0).List(t.Context(), Repository{Name: "nas", URL: "/r", Passphrase: secret("x")}); err != nil {
		t.Errorf("a program that does not read the passphrase: %v", err)
	}
}

func TestComplaints(t *testing.T) {
	t.Parallel()
	repo := Repository{Name: "nas", URL: "/r", Passphrase: secret(passphrase)}
	_, err := play(t, "", "ssh: noise\n"+warning+"\n"+lockGone, 2).List(t.Context(), repo)
	var e *Error
	want := "repository nas: borg list: Failed to create/acquire the lock (timeout). (exit status 2)"
	if !errors.As(err, &e) || e.ID != "LockTimeout" || err.Error() != want {
		t.Errorf("have %v, want %s", err, want)
	}
	_, err = play(t, "", "Traceback:\n  ModuleNotFoundError: "+passphrase, 1).List(t.Context(), repo)
	if err == nil || strings.Contains(err.Error(), passphrase) {
		t.Errorf("no list at all: have %v", err)
	}
	_, err = play(t, "", "user@nas: Permission denied (publickey).\nsomething with "+passphrase, 2).List(t.Context(), repo)
	if err == nil || !strings.Contains(err.Error(), "Permission denied") || !strings.Contains(err.Error(), "something with ***") {
		t.Errorf("text of ssh: have %v", err)
	}
	for _, out := range []string{"", "{}", "[1", `{"archives": [{"name": "x", "start": "yesterday"}], "repository": {"id": "1"}}`} {
		if _, err := play(t, out, "", 0).List(t.Context(), repo); !errors.As(err, &e) || e.Repository != "nas" {
			t.Errorf("list %q: have %v", out, err)
		}
	}
	if _, _, err := play(t, `{"archive": {"name": "other-20260101000000"}}`, "", 0).
		Create(t.Context(), repo, "dc-20260101000000", oneRoot(t), ""); err == nil || !strings.Contains(err.Error(), "other-") {
		t.Errorf("statistics of another archive: have %v", err)
	}
}

// TestLongTalk: lines of any length and number are taken, and what is kept is bounded.
func TestLongTalk(t *testing.T) {
	t.Parallel()
	n := 0
	said := &talk{b: &Borg{o: Options{Log: func(Line) { n++ }}}}
	for range 3 * maxKept {
		fmt.Fprintln(said, warning)
	}
	for _, part := range []string{`{"type": "archive_prog`, `ress", "path": "x"}` + "\n\n", strings.Repeat("x", 3*maxLine), "\n", "last"} {
		fmt.Fprint(said, part)
	}
	said.end()
	if len(said.warnings) != maxKept || said.dropped != 2*maxKept || n != 3*maxKept+2 || len(said.other[0]) != maxLine || said.other[1] != "last" {
		t.Errorf("kept %d, dropped %d, told %d, others %d", len(said.warnings), said.dropped, n, len(said.other))
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]string{"borg 1.2.4\n": "1.2.4", "borg 1.4.0": "1.4.0", "borg 1.1.16\n": "", "borg 2.0.0b14": "", "": "", "bash 5\n": "", "borg1 1.2.8\n": "1.2.8"} {
		have, err := parseVersion(out)
		if have != want || (err == nil) != (want != "") {
			t.Errorf("%q: have %q %v, want %q", out, have, err, want)
		}
	}
	if _, err := exec.LookPath("borg"); err == nil {
		if b, err := New(t.Context(), Options{}); err != nil || b.Version() == "" {
			t.Errorf("the installed borg: %v", err)
		}
	}
	if _, err := New(t.Context(), Options{Program: "/no/such/borg"}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "apt-get install borgbackup") {
		t.Errorf("missing program: have %v", err)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	b := play(t, listOut, "", 0)
	for name, c := range map[string]struct {
		repositories []Repository
		w            Backup
		want         string
	}{
		"no sources":      {[]Repository{{Name: "r", URL: "/r"}}, Backup{Prefix: "dc"}, "nothing to back up"},
		"no repositories": {nil, Backup{Prefix: "dc", Roots: oneRoot(t)}, "no repository"},
		"prefix":          {[]Repository{{Name: "r", URL: "/r"}}, Backup{Prefix: "a/b", Roots: oneRoot(t)}, "prefix of archives"},
		"keep":            {[]Repository{{Name: "r", URL: "/r"}}, Backup{Prefix: "dc", Roots: oneRoot(t), Keep: Keep{Daily: -1}}, "-1 daily"},
		"check":           {[]Repository{{Name: "r", URL: "/r"}}, Backup{Prefix: "dc", Roots: oneRoot(t), Check: "some"}, "check \"some\""},
		"settings":        {[]Repository{{Name: "r", URL: "relative"}}, Backup{Prefix: "dc", Roots: oneRoot(t)}, "absolute path"},
	} {
		report := b.Run(t.Context(), c.repositories, c.w)
		if report.Result != Failed || len(report.Reasons) == 0 || !strings.Contains(report.String(), c.want) {
			t.Errorf("%s: have %s, want %q in it", name, report, c.want)
		}
	}
	if r := []Result{worse(OK, Partial), worse(Failed, OK), worse("", OK), worse(Partial, Failed)}; !slices.Equal(r, []Result{Partial, Failed, OK, Failed}) {
		t.Errorf("worse: %v", r)
	}
}
