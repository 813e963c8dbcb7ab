package orchestrator_test

import (
	"testing"
	"time"

	"tresor/orchestrator"
)

func TestBackupNames(t *testing.T) {
	when := time.Date(2026, 10, 25, 1, 30, 5, 999, time.UTC)
	berlin := time.FixedZone("CEST", 2*3600)
	for _, machine := range []string{"dc", "dc-2", "dc-20260101000000", "a-", "-", "Büro 1", "a\xff\n", ".x", "a.partial"} {
		name := orchestrator.BackupName(machine, when.In(berlin))
		have, at, err := orchestrator.ParseBackupName(name)
		if err != nil || have != machine || !at.Equal(when.Truncate(time.Second)) || name != machine+"-20261025013005" {
			t.Errorf("%q: have %q at %v, %v", name, have, at, err)
		}
	}
	for _, name := range []string{"", "-", "dc", "dc-", "-20260101000000", "20260101000000", "dc-2026010100000", "dc-202601010000000", "dc-20260101000060", "dc-20260229000000",
		"dc-20261301000000", "dc-2026010124000", "dc-20260101000000.partial", "dc-20260101000000 ", "dc-+2260101000000", "dc-202601010000.5", "dc-20260101000000.5", "dc-２０２６0101000000"} {
		if machine, at, err := orchestrator.ParseBackupName(name); err == nil {
			t.Errorf("%q was taken as %q at %v", name, machine, at)
		}
	}
}
