package config_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tresor/orchestrator/config"
)

const page = "../../docs/tresor-config.md"

// rows are the cells of the table with that head.
func rows(t *testing.T, head string) (list [][]string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), head+"\n")
	if !found {
		t.Fatalf("%s has no table %q", page, head)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for _, line := range strings.Split(strings.TrimSpace(table), "\n")[1:] {
		var cells []string
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		list = append(list, cells)
	}
	return list
}

// TestPageHasAllKeys holds the page against the code, both ways.
func TestPageHasAllKeys(t *testing.T) {
	var have, want []string
	name := regexp.MustCompile("`([^`]+)`")
	for _, row := range rows(t, "| table | keys |") {
		for _, m := range name.FindAllStringSubmatch(row[1], -1) {
			have = append(have, name.FindStringSubmatch(row[0])[1]+" "+m[1])
		}
	}
	nested := regexp.MustCompile(`^\[.*\.(retention|blocked_hours)\]$`)
	for _, k := range config.Keys() {
		want = append(want, nested.ReplaceAllString(k.Table, "$1")+" "+k.Name)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	slices.Sort(have)
	compareLists(t, have, want)
}

// TestPageHasAllLegacyKeys: every key of the predecessor has its place or is said to be dropped, and its place is a key of ours.
func TestPageHasAllLegacyKeys(t *testing.T) {
	files := map[string]string{"main": "AmutaQ!.conf", "machine": "VM.conf", "mail": "pzymail.conf", "interface": "cif.conf", "restore": "restore.conf"}
	ours := map[string]bool{"volume": true, "server.vm.NAME.blocked_hours": true}
	for _, k := range config.Keys() {
		ours[strings.Trim(k.Table, "[]")+"."+k.Name] = true
	}
	var have, want []string
	for _, row := range rows(t, "| file | key | becomes | remark |") {
		have = append(have, strings.Join(row, " | "))
	}
	for _, k := range config.LegacyKeys() {
		place := "dropped"
		if k.Place != "" {
			place = "`" + k.Place + "`"
			if !ours[k.Place] {
				t.Errorf("%s becomes %s, which is no key", k.Name, k.Place)
			}
		} else if k.Why == "" {
			t.Errorf("%s is dropped without a reason", k.Name)
		}
		want = append(want, fmt.Sprintf("`%s` | `%s` | %s | %s", files[k.File], k.Name, place, k.Why))
	}
	compareLists(t, have, want)
}

func compareLists(t *testing.T, have, want []string) {
	t.Helper()
	for _, one := range want {
		if !slices.Contains(have, one) {
			t.Errorf("%s lacks %q", page, one)
		}
	}
	for _, one := range have {
		if !slices.Contains(want, one) {
			t.Errorf("%s has %q, which the code has not", page, one)
		}
	}
}

// TestLegacyKeysAreAll: every key that the specification of the predecessor names is in the list.
func TestLegacyKeysAreAll(t *testing.T) {
	spec := strings.Fields(`VMUSER VMPASSWORD VMHOST VMLIST BACKUPNETWORK_IP BACKUPTOOL DDDEVICELIST PARANOIAMODE KEEPVERSIONS KEEPVERSIONSONFINALTARGET FILLMAX
		HOUSEKEEPERAGE LAZYBONEFLAG ALLOWCRCINBACKGROUND ALLOWCRCSOURCEINBACKGROUND FILESYSTEM DDUMBSIZE DDUMBVOL ASYNCTARGET VMBACKUPTARGET SPOOLDIR SIGNAL
		RSYNC_LOG ASYNC_LOG TARGETHD BAZAARVCB VERSION CPUPOOL4DDUMB CLOUDDISK SPOOLD4CLOUD MINBATTERY RSYNCFLAG BUFDISKMAX4FOREAUTODELTE
		PZYDESCRIPTION PZYHOST PZYPORT PZYUSER PZYPASS PZYMODE PZYTO PZYFROM SWAKSMODE CIFACTIVE CIFINTERNALNET
		MYTARGETSERVER MYRESTOREMODE TARGET_DATASTORE TARGET_DISK_FORMAT MYEDITOR MY_NFS_IP DONTRUNFROM DONTRUNTILL BAZAAREXTRAPARMS ALLOWREBOOT USEDDISKSPACE`)
	var have []string
	for _, k := range config.LegacyKeys() {
		have = append(have, k.Name)
	}
	compareLists(t, have, spec)
}
