package service

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// row is a row of the checklist of features, and where it is tested: folder and function. Without tests it says which later issue brings it.
type row struct {
	feature string
	tests   []string
	later   string
}

func checklist() []row {
	const esxi, luks, restore, rest = "hosts with virtual machines", "encrypted disks", "restore", "surroundings"
	return []row{
		{feature: "several hosts, ordered lists", tests: []string{"orchestrator/service TestRound"}, later: esxi},
		{feature: "import of old configuration", tests: []string{"orchestrator/config TestImport"}},
		{feature: "buffered, direct, mixed mode", tests: []string{"orchestrator/service TestWays", "orchestrator/service TestMixedRounds"}},
		{feature: "blocked hours", tests: []string{"orchestrator/schedule TestBlockedHours", "orchestrator/service TestRound"}},
		{feature: "buffer admission", tests: []string{"orchestrator/service TestAdmission", "orchestrator/service TestAdmissionQueue", "orchestrator/service TestEmergency"}},
		{feature: "async copy queue", tests: []string{"orchestrator/job TestKilledAtEveryStep", "orchestrator/job TestKilledAtRandom", "integration/service TestKilled"}},
		{feature: "CRC on both sides", tests: []string{"integration/service TestFlipOnDiskAfterCopy", "integration/service TestFlipSourceAfterCopy", "integration/service TestFlipPublished"}},
		{feature: "skip CRC", tests: []string{"integration/service TestSkip"}},
		{feature: "retention, fill control, unverified age", tests: []string{"orchestrator/retention TestRecalculate", "orchestrator/retention TestRules", "orchestrator/retention TestRandomPlans"}},
		{feature: "daily, weekly, monthly, yearly", tests: []string{"orchestrator/retention TestGoldenCalendar"}},
		{feature: "disk rotation", tests: []string{"orchestrator/volume/internal/rotation Test"}},
		{feature: "switch, softswitch, donotswitch", tests: []string{"orchestrator/service TestSwitch", "integration/service TestSignalFiles", "orchestrator/volume TestSwitch"}},
		{feature: "fsck policy, dirty detection", tests: []string{"orchestrator/volume TestKilledProcess"}},
		{feature: "index cache, copy, conflict", tests: []string{"orchestrator/volume/internal/indexcache Test"}},
		{feature: "format, reinit", tests: []string{"orchestrator/volume TestReinit"}, later: rest},
		{feature: "LUKS", later: luks},
		{feature: "second volume", tests: []string{"orchestrator/volume TestSecond"}},
		{feature: "all signals and the command line", tests: []string{"integration/service TestSignalFiles", "integration/service TestVerbs", "orchestrator/signal Test"}},
		{feature: "stop, kill, reboot", tests: []string{"orchestrator/service TestStop", "integration/service TestPauseAndStopNow"}},
		{feature: "pause after round, scheduled start, continuous mode", tests: []string{"orchestrator/service TestPauseAfterRound", "orchestrator/service TestContinuous"}},
		{feature: "NFS datastore probe", later: esxi},
		{feature: "drivers of hosts", later: esxi},
		{feature: "hang watchdog", tests: []string{"orchestrator/systemd Test"}, later: esxi},
		{feature: "independent disks, RDM, snapshots", later: esxi},
		{feature: "delta files and RAID monitoring", later: esxi},
		{feature: "cloner orchestration", later: esxi},
		{feature: "restore", later: restore},
		{feature: "hot start from the buffer", later: restore},
		{feature: "UPS", later: rest},
		{feature: "mails", tests: []string{"orchestrator/notify TestSecurity", "orchestrator/notify TestOutage", "integration/service TestSecrets"}},
		{feature: "error-only mail, log attached", tests: []string{"orchestrator/notify TestErrorOnly", "orchestrator/notify TestLongLogs"}},
		{feature: "single instance, clean temporary directory", tests: []string{"integration/service TestOneService", "orchestrator/instance TestOtherProcess"}},
		{feature: "directory and snapshot sources", tests: []string{"orchestrator/source Test", "orchestrator/service TestRound"}},
		{feature: "check and scrub", tests: []string{"orchestrator/service TestScrub", "integration/scrub Test"}},
		{feature: "reclaim after prune", tests: []string{"integration/service TestVerbs", "orchestrator/borg Test"}},
		{feature: "failure reasons, duration", tests: []string{"orchestrator/service TestRound"}},
		{feature: "a log for each run, garbage collection", tests: []string{"orchestrator/runlog Test"}},
		{feature: "status, reports", tests: []string{"integration/service TestOneService", "orchestrator/service TestSwitch"}, later: rest},
		{feature: "off-site replica", later: rest},
		{feature: "mail interface, keep-alive", later: rest},
		{feature: "secrets", tests: []string{"integration/service TestSecrets", "orchestrator/config TestSecret"}},
	}
}

// TestChecklist: every feature has a test whose name begins so, or belongs to a later issue.
func TestChecklist(t *testing.T) {
	_, source, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(source), "..", "..")
	for _, r := range checklist() {
		if len(r.tests) == 0 && r.later == "" {
			t.Errorf("%s: neither tested nor said to be later", r.feature)
		}
		for _, name := range r.tests {
			folder, function, _ := strings.Cut(name, " ")
			if !hasTest(t, filepath.Join(root, folder), "func "+function) {
				t.Errorf("%s: there is no test %s in %s", r.feature, function, folder)
			}
		}
	}
}

func hasTest(t *testing.T, dir, begin string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		found = found || strings.Contains(string(text), "\n"+begin)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return found
}
