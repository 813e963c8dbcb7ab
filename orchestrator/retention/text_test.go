package retention_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/retention"
)

// years is the plan of the evening of 2027-01-10, after three and a half years with a backup of "mail 01" each night at 23:30 UTC, which is another day in
// Berlin, and a prune every tenth day.
func years(t *testing.T) retention.Plan {
	t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	in := retention.Input{Folder: "volume disc-1", Location: berlin,
		Machines: map[string]retention.Rules{"mail 01": {Versions: 3, Daily: 7, Weekly: 6, Monthly: 6, Yearly: 3, UnverifiedDays: 20}, "dc": {Versions: 5}}}
	limit := retention.Recalculate(retention.Fill{Machines: 2, Backups: 11, Used: 87, Total: 100, Max: 5, Min: 3, FillMax: 85})
	in.Limit, in.Override = &limit, limit.Override
	end := at("2027-01-10 23:30")
	for n, when := 0, at("2023-06-01 23:30"); !when.After(end); n, when = n+1, when.AddDate(0, 0, 1) {
		v := orchestrator.Verified
		if n%9 == 4 {
			v = orchestrator.Mismatch
		} else if n%31 == 7 {
			v = orchestrator.Unverified
		}
		in.Backups = append(in.Backups, backup("mail 01", when, v))
		in.Now = when.Add(time.Hour)
		if n%10 == 0 && when.Before(end) {
			p := retention.Make(in)
			in.Backups = slices.DeleteFunc(in.Backups, func(b orchestrator.Backup) bool {
				return slices.ContainsFunc(p.Deletions(), func(d retention.Decision) bool { return d.Name == b.Name })
			})
		}
	}
	// The hour that comes twice in autumn, and the one that is missing in spring.
	for _, text := range []string{"2026-10-25 00:30", "2026-10-25 01:30", "2026-03-29 00:59", "2026-03-29 01:00"} {
		in.Backups = append(in.Backups, backup("dc", at(text), orchestrator.Verified))
	}
	pinned := backup("dc", at("2020-12-31 12:00"), orchestrator.Skipped)
	pinned.Pinned = true
	in.Backups = append(in.Backups, pinned, backup("evil\x1b[2J", at("2026-12-31 12:00"), orchestrator.Verified))
	in.InUse = map[string]string{"dc-20260329005900": "restore of 2027-01-10"}
	return retention.Make(in)
}

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, have []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, have, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s differs; have:\n%s", path, have)
	}
}

func TestGoldenCalendar(t *testing.T) {
	var b bytes.Buffer
	if err := years(t).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "calendar.txt", b.Bytes())
}

func TestGoldenJSON(t *testing.T) {
	data, err := json.MarshalIndent(years(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "calendar.json", append(data, '\n'))
}
