package tresor

import (
	"os"
	"path/filepath"
	"testing"

	"tresor/orchestrator/signal"
)

// donotcheck holds while the file is there, and without a folder of signals nobody wants it.
func TestDoNotCheck(t *testing.T) {
	if (*front)(nil).noCheck() {
		t.Error("without a folder volumes are not checked")
	}
	dir := t.TempDir()
	for _, want := range []bool{false, true, false} {
		name := filepath.Join(dir, string(signal.DoNotCheck))
		if want {
			if err := os.WriteFile(name, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		f, err := signal.Open(signal.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if have := (&front{f: f}).noCheck(); have != want {
			t.Errorf("the file is there: %v; not checked: %v", want, have)
		}
	}
}
