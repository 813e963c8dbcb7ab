package tresor

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator/config"
)

// ran is what one call of a verb did.
type ran struct {
	code     cli.Code
	out, err string
}

func runVerb(v *Verb, in string, args ...string) ran {
	out, errs := &bytes.Buffer{}, &bytes.Buffer{}
	code := v.Execute(context.Background(), Streams{In: strings.NewReader(in), Out: out, Err: errs}, args)
	return ran{code, out.String(), errs.String()}
}

func writeFile(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	good := writeFile(t, filepath.Join(dir, "good.toml"), "[[source.dir]]\nname = \"a\"\npaths = [\"/etc\"]\n", 0o600)
	bad := writeFile(t, filepath.Join(dir, "bad.toml"), "[log]\nlevle = \"x\"\n[schedule]\nstart = [\"25:00\"]\n", 0o600)
	for _, c := range []struct {
		name     string
		args     []string
		code     cli.Code
		out, err string
	}{
		{"good", []string{good}, cli.ExitOK, "nothing is wrong: 1 source, 0 virtual machines, 0 volumes, 0 borg repositories", ""},
		{"note", []string{good}, cli.ExitOK, "note: there is no volume", ""},
		{"bad", []string{bad}, cli.ExitConfig, bad + ":2: log.levle: unknown key; did you mean level?", "2 mistakes"},
		{"calendar of the schedule", []string{bad}, cli.ExitConfig, bad + ":4: schedule.start[0]: ", ""},
		{"absent", []string{filepath.Join(dir, "none")}, cli.ExitConfig, "", "no such file"},
		{"two files", []string{good, bad}, cli.ExitUsage, "", "usage: tresor config check"},
	} {
		t.Run(c.name, func(t *testing.T) {
			have := runVerb(configCheckVerb(), "", c.args...)
			if have.code != c.code || !strings.Contains(have.out, c.out) || !strings.Contains(have.err, c.err) {
				t.Errorf("have %+v, want %+v", have, c)
			}
		})
	}
	have := runVerb(configCheckVerb(), "", "--json", bad)
	var result checked
	if err := json.Unmarshal([]byte(have.out), &result); err != nil || have.code != cli.ExitConfig || result.OK || len(result.Mistakes) != 2 || result.Mistakes[0].Line != 2 {
		t.Errorf("have %+v, %v", have, err)
	}
}

func TestConfigExampleIsGood(t *testing.T) {
	have := runVerb(configExampleVerb(), "")
	file := writeFile(t, filepath.Join(t.TempDir(), "x.toml"), have.out, 0o600)
	if have.code != cli.ExitOK || have.out != config.Example() {
		t.Errorf("have code %d, %d bytes", have.code, len(have.out))
	}
	if check := runVerb(configCheckVerb(), "", file); check.code != cli.ExitOK {
		t.Errorf("the example is not good: %+v", check)
	}
	on := strings.ReplaceAll("\n"+config.Example(), "\n#[[server]]", "\n[[server]]")
	on = strings.ReplaceAll(strings.ReplaceAll(on, "\n#name = \"esx1\"", "\nname = \"esx1\""), "\n#host", "\nhost")
	file = writeFile(t, filepath.Join(t.TempDir(), "y.toml"), on, 0o600)
	if check := runVerb(configCheckVerb(), "", file); check.code != cli.ExitConfig || !strings.Contains(check.out, "password_file or ssh_key") {
		t.Errorf("have %+v", check)
	}
}

// legacy makes a directory of the predecessor's files and an fstab.
func legacy(t *testing.T) (dir, fstab string) {
	t.Helper()
	dir = t.TempDir()
	writeFile(t, filepath.Join(dir, "etc", "AmutaQ!.conf"), "VMHOST=192.0.2.1\nVMPASSWORD='geheim'\nVMLIST='a b'\nDDDEVICELIST=sdc1\nODD=1\n", 0o644)
	fstab = writeFile(t, filepath.Join(dir, "fstab"), "UUID=1111-2222 /mnt/sdc1 ext4 noauto 0 0\n", 0o644)
	return filepath.Join(dir, "etc"), fstab
}

func TestConfigImport(t *testing.T) {
	dir, fstab := legacy(t)
	out := filepath.Join(t.TempDir(), "new", "tresor.toml")

	dry := runVerb(configImportVerb(), "", dir, "--out", out, "--fstab", fstab, "--dry-run")
	if _, err := os.Stat(filepath.Dir(out)); dry.code != cli.ExitOK || err == nil || !strings.Contains(dry.out, "[[server]]") || strings.Contains(dry.out, "unknown:") ||
		!strings.Contains(dry.err, "unknown: ") {
		t.Errorf("dry run: have %+v, %v", dry, err)
	}

	have := runVerb(configImportVerb(), "", dir, "--out", out, "--fstab", fstab)
	if have.code != cli.ExitOK || !strings.Contains(have.out, "written: "+out) {
		t.Fatalf("have %+v", have)
	}
	secret := filepath.Join(filepath.Dir(out), "server-192.0.2.1.secret")
	for name, want := range map[string]string{out: dry.out, secret: "geheim\n"} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s: %v, %v", name, info, err)
		}
		if text, err := os.ReadFile(name); err != nil || string(text) != want {
			t.Errorf("%s: have %q, %v, want %q", name, text, err, want)
		}
	}
	if check := runVerb(configCheckVerb(), "", out); check.code != cli.ExitOK || !strings.Contains(check.out, "ESXi hosts are backed up from the next release on") {
		t.Errorf("the check of the import: %+v", check)
	}
	if strings.Contains(dry.out+dry.err+have.out+have.err, "geheim") {
		t.Error("the password was printed")
	}

	again := runVerb(configImportVerb(), "", dir, "--out", out, "--fstab", fstab)
	if again.code != cli.ExitBusy || !strings.Contains(again.err, "is there already; nothing was written") {
		t.Errorf("over an old file: have %+v", again)
	}
}

// TestConfigImportWritesNothing: a line that is not understood, and a secret that is there already.
func TestConfigImportWritesNothing(t *testing.T) {
	dir, fstab := legacy(t)
	home := t.TempDir()
	out := filepath.Join(home, "tresor.toml")
	writeFile(t, filepath.Join(home, "server-192.0.2.1.secret"), "old", 0o600)
	if have := runVerb(configImportVerb(), "", dir, "--out", out, "--fstab", fstab); have.code != cli.ExitBusy {
		t.Errorf("have %+v", have)
	}
	writeFile(t, filepath.Join(dir, "pzymail.conf"), "PZYHOST=$(hostname)\n", 0o644)
	have := runVerb(configImportVerb(), "", dir, "--out", out, "--json")
	var result imported
	if err := json.Unmarshal([]byte(have.out), &result); err != nil || have.code != cli.ExitConfig || len(result.Mistakes) != 1 || result.Mistakes[0].Line != 1 || result.Written {
		t.Errorf("have %+v, %v", have, err)
	}
	if entries, err := os.ReadDir(home); err != nil || len(entries) != 1 {
		t.Errorf("have %v, %v", entries, err)
	}
}
