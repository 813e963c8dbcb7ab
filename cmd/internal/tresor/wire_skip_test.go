package tresor

import (
	"testing"

	"tresor/orchestrator/config"
	"tresor/orchestrator/signal"
)

// TestWhetherCopiesAreVerified is the table of who decides that.
func TestWhetherCopiesAreVerified(t *testing.T) {
	yes, no := true, false
	plain := signal.Event{Name: signal.SkipCRC, Active: true, Text: "Sun Nov 22"}
	legacy := signal.Event{Name: signal.SkipCRC, Active: true, Text: "NFSUNDERLAYING"}
	verify := signal.Event{Name: signal.NoSkipCRC, Active: true}
	gone := signal.Event{Name: signal.SkipCRC}
	for _, c := range []struct {
		name    string
		machine bool
		kind    string
		key     *bool
		signals []signal.Event
		file    bool // noskipcrc in the volume
		want    string
	}{
		{"a disk", false, config.KindUSB, nil, nil, false, ""},
		{"nfs", false, config.KindNFS, nil, nil, false, "the volume v lies on NFS"},
		{"nfs with the file", false, config.KindNFS, nil, nil, true, ""},
		{"nfs with the signal", false, config.KindNFS, nil, []signal.Event{verify}, false, ""},
		{"nfs, the volume wants it", false, config.KindNFS, &no, nil, false, ""},
		{"nfs, the volume does not want it, and the file", false, config.KindNFS, &yes, nil, true, "skip_verify of the volume v"},
		{"a disk that does not want it", false, config.KindUSB, &yes, nil, false, "skip_verify of the volume v"},
		{"the machine does not", true, config.KindUSB, &no, []signal.Event{verify}, true, "skip_verify of the machine dc"},
		{"skipcrc of a person", false, config.KindUSB, &no, []signal.Event{plain}, false, "the signal skipcrc"},
		{"skipcrc of a person on nfs, and the file", false, config.KindNFS, nil, []signal.Event{plain}, true, "the signal skipcrc"},
		{"skipcrc went", false, config.KindUSB, nil, []signal.Event{plain, gone}, false, ""},
		{"skipcrc of the predecessor's mount on a disk", false, config.KindUSB, nil, []signal.Event{legacy}, false, ""},
		{"skipcrc of the predecessor's mount on nfs, and the file", false, config.KindNFS, nil, []signal.Event{legacy}, true, ""},
	} {
		cfg := config.Default()
		d := config.NewDir()
		d.Name, d.SkipVerify = "dc", c.machine
		other := config.NewDir()
		other.Name, other.SkipVerify = "dc-2", !c.machine
		cfg.Source.Dir = []config.Dir{other, d}
		v := config.NewVolume()
		v.Name, v.Kind, v.SkipVerify = "v", c.kind, c.key
		var s skips
		for _, e := range c.signals {
			s.set(e)
		}
		if have := s.reason(cfg, "dc", &v, func() bool { return c.file }); have != c.want {
			t.Errorf("%s: have %q, want %q", c.name, have, c.want)
		}
	}
	if have := (skips{}).reason(config.Default(), "dc", nil, func() bool { return true }); have != "" {
		t.Errorf("a volume that is not in the configuration: %q, want it verified", have)
	}
}
