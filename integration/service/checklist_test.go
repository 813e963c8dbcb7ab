package service

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// features are the rows of the checklist in the specification of the orchestrator, in its order.
func features() []string {
	return []string{
		"Several ESXi hosts, ordered VM lists", "Import of old configuration", "Buffered/direct/mixed mode (−1, 0, n)", "Blocked hours per VM", "Buffer admission",
		"Async copy queue", "CRC both sides, compare, markers", "Skip CRC (manual, NFS auto, noskipcrc)", "Retention, fill control, unverified age", "GFS prune d/w/m/y",
		"Disk rotation, day-of-week/month, NFS", "switch/softswitch/donotswitch", "fsck policy, dirty detection, donotcheck", "Index cache, copy on disk, conflict",
		"Format / reinit volume", "LUKS buffer (RAID0), derived/file key, add key, header backup", "Second volume mount / disk migration", "All signals + CLI",
		"stop / kill / reboot", "Pause after round, scheduled start, continuous mode", "NFS datastore probe/creation", "LAMW driver, native driver", "Hang watchdog",
		"Independent disks, RDM, existing snapshots", "Delta-file and RAID monitoring", "Cloner orchestration", "Restore copy/link/file level/rename", "Hot start from buffer",
		"UPS", "Mails (ok, failed, report, CRC, space, hang), TLS modes", "Error-only mail, full log attached", "Single instance, clean temp dir", "Directory and ZFS sources",
		"Check/scrub, fast and with data", "Reclaim/compact after prune", "Failure reasons, duration summary", "Log per run, GC keep N, rotation", "Status, reports, statistics",
		"Off-site replica / cloud disk", "On-demand mail interface; keep-alive for sleeping USB disks", "Secrets, host keys",
	}
}

// row is one of the table in docs/testing.md.
type row struct {
	feature, missing string
	tests            []string // "folder TestName"
}

const checklistHead = "## The checklist of the orchestrator"

// rows reads the table: feature, tests in backticks, what no test shows.
func rows(t *testing.T, root string) (list []row) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "testing.md"))
	must(t, err)
	_, section, ok := strings.Cut(string(text), checklistHead+"\n")
	if !ok {
		t.Fatalf("docs/testing.md has no section %q", checklistHead)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	quoted := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || strings.Contains(line, "---") || strings.TrimSpace(cells[0]) == "feature" {
			continue
		}
		r := row{feature: strings.TrimSpace(cells[0]), missing: strings.TrimSpace(cells[2])}
		folder := ""
		for _, q := range quoted.FindAllStringSubmatch(cells[1], -1) {
			if !strings.HasPrefix(q[1], "Test") {
				folder = q[1]
				continue
			}
			r.tests = append(r.tests, folder+" "+q[1])
		}
		list = append(list, r)
	}
	return list
}

// TestChecklist holds the table against the specification and the source: every feature has its row, every test that a row names exists by its whole name,
// and a row without any says what is missing.
func TestChecklist(t *testing.T) {
	_, source, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(source), "..", "..")
	list := rows(t, root)
	var have []string
	for _, r := range list {
		have = append(have, r.feature)
		if len(r.tests) == 0 && r.missing == "" {
			t.Errorf("%s: neither tested nor said to be missing", r.feature)
		}
		for _, name := range r.tests {
			folder, function, _ := strings.Cut(name, " ")
			if !hasTest(t, filepath.Join(root, folder), function) {
				t.Errorf("%s: there is no test %s in %q", r.feature, function, folder)
			}
		}
	}
	if want := features(); !slices.Equal(have, want) {
		for i := range max(len(have), len(want)) {
			if i >= len(have) || i >= len(want) || have[i] != want[i] {
				t.Fatalf("row %d: the table has %q, the specification %q", i, at(have, i), at(want, i))
			}
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "no such row"
}

// hasTest tells whether a file of the folder has exactly that test.
func hasTest(t *testing.T, dir, function string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	must(t, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		if strings.Contains(string(text), "\nfunc "+function+"(t *testing.T)") {
			return true
		}
	}
	return false
}
