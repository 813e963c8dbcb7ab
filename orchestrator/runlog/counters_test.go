package runlog_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator/runlog"
)

func TestCounters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "counters")
	c := runlog.NewCounters(dir)
	machines := []string{"dc", "dc-2", "Büro 2", "..", ".", "a/b", "a%2Fb", strings.Repeat("ü", 120), strings.Repeat("ü", 119) + "x", "%sha256-00"}
	for i, m := range machines {
		for n := range i + 1 {
			s := runlog.Sample{Run: strconv.Itoa(n), Begun: start.Add(time.Duration(n) * time.Hour), Took: time.Minute, Read: 1000, New: 100, Written: 800, Result: runlog.OK}
			if n%2 == 1 {
				s.Result = runlog.Failed
			}
			if err := c.Add(m, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != len(machines) {
		t.Fatalf("%d files, %v, want one for each of %d machines", len(files), err, len(machines))
	}
	for i, m := range machines {
		have, err := c.Get(m)
		if err != nil || have.Machine != m || have.Runs != i+1 || have.Failed != (i+1)/2 || have.Read != int64(i+1)*1000 || have.Took != time.Duration(i+1)*time.Minute {
			t.Errorf("%q: have %+v, %v", m, have, err)
		}
		if good, ok := have.LastGood(); !ok || good.Run != strconv.Itoa(i/2*2) || have.Ratio() != 10 {
			t.Errorf("%q: last good %+v", m, good)
		}
	}
	if have, err := c.Get("dc"); err != nil || !have.Verified().IsZero() {
		t.Errorf("verified at %s, %v, and nothing ever was", have.Verified(), err)
	}
	late := runlog.Sample{Run: "0", Read: 1000, New: 100, Written: 800, Took: time.Minute, Result: runlog.OK, Checked: start.Add(time.Hour)} // in place of the first one
	if err := c.Add("dc", late); err != nil {
		t.Fatal(err)
	}
	have, err := c.Get("dc")
	if err != nil || !have.Verified().Equal(start.Add(time.Hour)) || have.Runs != 1 || have.Read != 1000 {
		t.Errorf("after a late verification: %+v, %v", have, err)
	}
	if none, err := c.Get("unknown"); err != nil || none.Runs != 0 {
		t.Errorf("unknown: %+v, %v", none, err)
	}
	if err := c.Add("", late); err == nil {
		t.Error("a machine without a name: no error")
	}
}

// TestNewData: what is new is never more than what was read, whatever it takes in whole blocks, also in files from before that was kept.
func TestNewData(t *testing.T) {
	dir := t.TempDir()
	c := runlog.NewCounters(dir)
	if err := os.WriteFile(filepath.Join(dir, "dc.json"), []byte(`{"machine":"dc","runs":2,"read":6300,"written":24900,"samples":[
		{"run":"0","read":6200,"written":24800,"result":"ok"},{"run":"1","read":100,"written":100,"result":"ok"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	have, err := c.Get("dc")
	if err != nil || have.New != 6300 || have.Ratio() != 1 || have.Samples[0].New != 6200 || have.Samples[1].New != 100 || have.Written != 24900 {
		t.Errorf("from before: have %+v, ratio %v, %v", have, have.Ratio(), err)
	}
	for range 2 { // the second one replaces the first
		if err := c.Add("dc", runlog.Sample{Run: "2", Read: 6300, New: 2100, Written: 24900, Result: runlog.OK}); err != nil {
			t.Fatal(err)
		}
	}
	if have, err = c.Get("dc"); err != nil || have.New != 8400 || have.Written != 49800 || have.Ratio() != 1.5 {
		t.Errorf("have %+v, ratio %v, %v", have, have.Ratio(), err)
	}
}

func TestCountersMany(t *testing.T) {
	c := runlog.NewCounters(t.TempDir())
	for n := range 405 {
		if err := c.Add("dc", runlog.Sample{Run: strconv.Itoa(n), Written: 1, Result: runlog.OK}); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := c.Get("dc"); err != nil || len(have.Samples) != 400 || have.Samples[399].Run != "404" || have.Runs != 405 || have.Written != 405 {
		t.Errorf("%d samples, %d runs, %v", len(have.Samples), have.Runs, err)
	}
}

func TestCountersBroken(t *testing.T) {
	dir := t.TempDir()
	c := runlog.NewCounters(dir)
	path := filepath.Join(dir, "dc.json")
	if err := os.WriteFile(path, []byte(`{"machine":"dc","runs":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get("dc"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("get: %v", err)
	}
	if err := c.Add("dc", runlog.Sample{Run: "1", Result: runlog.OK}); err == nil || !strings.Contains(err.Error(), ".broken and begun anew") {
		t.Errorf("add: %v", err)
	}
	if have, err := c.Get("dc"); err != nil || have.Runs != 1 {
		t.Errorf("the sample is lost: %+v, %v", have, err)
	}
	if text, err := os.ReadFile(path + ".broken"); err != nil || !strings.HasPrefix(string(text), `{"machine"`) {
		t.Errorf("the old file: %q, %v", text, err)
	}
	if err := os.Rename(path, filepath.Join(dir, "mail.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get("mail"); err == nil || !strings.Contains(err.Error(), `they are of "dc"`) {
		t.Errorf("counters of another machine: %v", err)
	}
}

// TestCountersChange: what comes to be known later goes into the sample of that backup, once.
func TestCountersChange(t *testing.T) {
	c := runlog.NewCounters(t.TempDir())
	if err := c.Change("dc", "dc-1", func(s *runlog.Sample) { s.Written = 5 }); err != nil {
		t.Fatal(err)
	}
	for _, s := range []runlog.Sample{
		{Run: "1", Backup: "dc-1", Result: runlog.Failed, Took: time.Minute}, {Run: "2", Result: runlog.Failed}, {Run: "3", Backup: "dc-3", Result: runlog.OK, Took: 3 * time.Minute, Read: 10},
		{Run: "3", Backup: "dc-3", Result: runlog.OK, Took: 3 * time.Minute, Read: 10}, {Run: "4", Backup: "dc-4", Result: runlog.OK, Took: time.Hour},
	} {
		if err := c.Add("dc", s); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		err := c.Change("dc", "dc-1", func(s *runlog.Sample) { s.Result, s.Written, s.Checked = runlog.OK, 7, start })
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Change("dc", "", func(s *runlog.Sample) { s.Result = runlog.OK }); err != nil {
		t.Fatal(err)
	}
	have, err := c.Get("dc")
	if err != nil || have.Runs != 4 || have.Failed != 1 || have.Written != 7 || have.Read != 10 || !have.Verified().Equal(start) || have.Usual() != 2*time.Minute {
		t.Errorf("have %+v, %v, usually %s", have, err, have.Usual())
	}
}
