package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/orchestrator/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, have string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if have != string(want) {
		t.Errorf("%s:\nhave\n%s\nwant\n%s", file, have, want)
	}
}

func importOf(dir string) (*config.Imported, error) {
	return config.Import(config.ImportOptions{
		Dir: filepath.Join("testdata", dir), Fstab: "testdata/fstab", Crypttab: "testdata/crypttab", Secrets: "/etc/tresor",
	})
}

func TestImport(t *testing.T) {
	for _, c := range []struct {
		dir     string
		secrets map[string]string
	}{
		{"single", map[string]string{"/etc/tresor/server-192.0.2.10.secret": "ge#heim $x", "/etc/tresor/mail.secret": `se"cret`}},
		{"multi", map[string]string{"/etc/tresor/server-esx0.example.org.secret": "word0", "/etc/tresor/server-esx2.example.org.secret": "word2"}},
	} {
		t.Run(c.dir, func(t *testing.T) {
			got, err := importOf(c.dir)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, c.dir+".toml", string(got.Text))
			report := &strings.Builder{}
			for _, r := range got.Report {
				report.WriteString(r.String() + "\n")
			}
			golden(t, c.dir+".report", report.String())
			have := map[string]string{}
			for _, s := range got.Secrets {
				have[s.File] = s.Secret.Reveal()
			}
			for file, text := range c.secrets {
				if have[file] != text {
					t.Errorf("secret of %s: have %q, want %q", file, have[file], text)
				}
			}
			if len(have) != len(c.secrets) {
				t.Errorf("secrets: have %d, want %d: %v", len(have), len(c.secrets), have)
			}
			all, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range have {
				if strings.Contains(string(got.Text)+report.String()+string(all), text) {
					t.Errorf("the password %q stands in the file or the report", text)
				}
			}
		})
	}
}

func TestImportRefuses(t *testing.T) {
	_, err := importOf("bad")
	var mistakes config.Mistakes
	if !errors.As(err, &mistakes) {
		t.Fatalf("have %v, want mistakes", err)
	}
	golden(t, "bad.mistakes", err.Error()+"\n")
	if strings.Contains(err.Error(), "abc") {
		t.Errorf("a part of the password stands in the message: %v", err)
	}
}

// TestImportHidesPasswords: lines that are not understood have a password in them, or are the rest of one.
func TestImportHidesPasswords(t *testing.T) {
	for _, text := range []string{"let VMPASSWORD=geheim\n", "VMPASSWORD:geheim\n", "VMPASSWORD=\\\ngeheim\n", "VMPASSWORD=\"ein\ngeheim\"\n", "VMPASSWORD+=geheim\n",
		"VMPASSWORD=x$geheim\n", "MYKEY='x'geheim\n", "MYKEY=$geheim\n", "let MYKEY=geheim\n", "export VMPASSWORD=geheim\n", "VMPASSWORD = geheim\n", "geheim\n"} {
		_, err := config.Import(config.ImportOptions{Dir: write(t, map[string]string{"AmutaQ!.conf": oneServer + text}), Secrets: "/etc/tresor"})
		var mistakes config.Mistakes
		if !errors.As(err, &mistakes) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: have %v, want mistakes without the password", text, err)
		}
	}
}

func TestImportWithoutFiles(t *testing.T) {
	_, err := config.Import(config.ImportOptions{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "want the predecessor's etc directory") {
		t.Errorf("have %v", err)
	}
}

// write makes a directory of the predecessor's files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const oneServer = "VMHOST=h\nVMPASSWORD=p\nLAZYBONEFLAG=1\n"

// TestImportCases are those in which the meaning of a value decides.
func TestImportCases(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  map[string]string
		refuse string // a part of the message; empty: it is taken
		want   string // a part of the file
		report string
	}{
		{"machine of the name of the main file", map[string]string{"AmutaQ!.conf": oneServer + "VMLIST=AmutaQ!\nDONTRUNFROM=1\nDONTRUNTILL=2\n"}, "", `vms = ["AmutaQ!"]`,
			"warning: AmutaQ!.conf: the machine AmutaQ! has the name of the main file"},
		{"younger than", map[string]string{"AmutaQ!.conf": oneServer + "HOUSEKEEPERAGE=-20\n"}, "AmutaQ!.conf:4: HOUSEKEEPERAGE: want +N, found \"-20\"", "", ""},
		{"older than", map[string]string{"AmutaQ!.conf": oneServer + "HOUSEKEEPERAGE=\"+7\"\n"}, "", "unverified_max_age_days = 7", ""},
		{"folder elsewhere", map[string]string{"AmutaQ!.conf": oneServer + "DDUMBVOL=/mnt/d\nASYNCTARGET=/mnt/d/a/b\n"}, "AmutaQ!.conf:5: ASYNCTARGET: want a folder right below DDUMBVOL (/mnt/d)", "", ""},
		{"other mount point", map[string]string{"AmutaQ!.conf": oneServer + "DDUMBVOL=/mnt/d/\nASYNCTARGET=$DDUMBVOL/old\n"}, "", "volume_mount = \"/mnt/d\"\nvolume_subdir = \"old\"", ""},
		{"few versions", map[string]string{"AmutaQ!.conf": oneServer + "KEEPVERSIONSONFINALTARGET=2\n"}, "", "volume_versions = 2\nmin_versions = 2", "note: "},
		{"no pause where nothing is said", map[string]string{"AmutaQ!.conf": "VMHOST=h\nVMPASSWORD=p\n"}, "", "pause_after_round = false", "LAZYBONEFLAG is not set"},
		{"no .0", map[string]string{"AmutaQ!.conf": oneServer, "AmutaQ!.conf.1": "VMHOST=other\n"}, "", `host = "h"`, "AmutaQ!.conf.1: not read: without AmutaQ!.conf.0 there is one server"},
		{"same machine on two servers", map[string]string{"AmutaQ!.conf.0": oneServer + "VMLIST=a\n", "AmutaQ!.conf.1": "VMHOST=i\nVMPASSWORD=p\nLAZYBONEFLAG=1\nVMLIST=\"b a\"\n"},
			"AmutaQ!.conf.1:4: server[1].vms[1]: the name of a machine \"a\" stands at server[0].vms[0]", "", ""},
		{"mail without login", map[string]string{"AmutaQ!.conf": oneServer, "pzymail.conf": "PZYHOST=m\nPZYUSER=u\nPZYFROM=a@b\nPZYTO='c@d e@f'\nSWAKSMODE=tlsc\n"}, "",
			"security = \"tls\"\nfrom = \"a@b\"\nto = [\"c@d\", \"e@f\"]", "PZYUSER without PZYPASS"},
		{"mail to nobody", map[string]string{"AmutaQ!.conf": oneServer, "pzymail.conf": "PZYHOST=m\nPZYFROM=a@b\nPZYTO=nobody\n"}, "pzymail.conf:3: mail.to[0]: want an address", "", ""},
		{"mode of mail", map[string]string{"AmutaQ!.conf": oneServer, "pzymail.conf": "PZYHOST=m\nPZYFROM=a@b\nPZYTO=c@d\nPZYMODE=ssh\n"}, "pzymail.conf:4: PZYMODE: found \"ssh\"", "", ""},
		{"control interface that is off", map[string]string{"AmutaQ!.conf": oneServer, "cif.conf": "CIFACTIVE=0\nCIFINTERNALNET=eth1\n"}, "", "host = \"h\"", ""},
		{"restore to a host of no server", map[string]string{"AmutaQ!.conf": oneServer, "restore.conf": "MYTARGETSERVER=x\nTARGET_DISK_FORMAT=1\n"}, "", "disk_format = \"zeroedthick\"", "MYTARGETSERVER x is none of the servers"},
		{"old letters", map[string]string{"AmutaQ!.conf": "VMHOST=h\nVMPASSWORD=p\nVMLIST=b\xfcro\n"}, "AmutaQ!.conf:3: want UTF-8", "", ""},
		{"disk without fstab", map[string]string{"AmutaQ!.conf": oneServer + "DDDEVICELIST=sdc1\n"}, "", "[[server]]", "volume sdc1 is left out: no fstab was given"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, c.files)
			got, err := config.Import(config.ImportOptions{Dir: dir, Secrets: "/etc/tresor"})
			if c.refuse != "" {
				if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, c.refuse)) {
					t.Errorf("have %v, want %q", err, c.refuse)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(got.Text), c.want) {
				t.Errorf("have\n%s\nwant %q", got.Text, c.want)
			}
			report := ""
			for _, r := range got.Report {
				report += strings.ReplaceAll(r.String(), dir+"/", "") + "\n"
			}
			if !strings.Contains(report, c.report) {
				t.Errorf("have the report\n%s\nwant %q", report, c.report)
			}
		})
	}
}
