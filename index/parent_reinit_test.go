package index_test

import (
	"errors"
	"os"
	"testing"

	"tresor/index"
	"tresor/index/disk/disktest"
)

// TestAcquireDuringReinit holds that a volume without a configuration that is being made anew is told from no volume, and that nobody looks
// further up and finds another one.
func TestAcquireDuringReinit(t *testing.T) {
	m := disktest.New()
	m.MkdirAll("/outer/inner/ddfsroot")
	for _, name := range []string{"/outer/ddfs.cfg", "/outer/inner/.ddfsreinit"} {
		f, err := m.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	_, err := index.Acquire(index.Location{FS: m, Parent: "/outer/inner/ddfsroot"}, index.Read)
	var unfinished *index.UnfinishedError
	if !errors.As(err, &unfinished) || unfinished.Command != "ddumbfs reinit /outer/inner" {
		t.Errorf("have %v, want the reinit to be named", err)
	}
}
