package service

import (
	"os"
	"path/filepath"
	"testing"
)

// A state of a program that did not tell new data from the blocks that it takes says what can be said, not that nothing was new.
func TestStateWithoutNewData(t *testing.T) {
	dir := t.TempDir()
	text := `{"last_round": {"machines": [{"machine": "a", "bytes": 100, "new_bytes": 4096}, {"machine": "b", "bytes": 9000, "new_bytes": 4096, "new_data": 50}]}}`
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := LoadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if m := s.LastRound.Machines; m[0].NewData != 100 || m[1].NewData != 50 {
		t.Errorf("new data of %d and %d bytes, want 100 and 50", m[0].NewData, m[1].NewData)
	}
}
