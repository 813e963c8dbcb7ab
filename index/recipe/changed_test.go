package recipe_test

import (
	"errors"
	"fmt"
	"testing"

	"tresor/index/recipe"
)

// TestChanged: runs of changed entries are written once, unchanged ones never, and half an entry at the end is left alone.
func TestChanged(t *testing.T) {
	for entries, want := range map[string]string{
		"": "", "aaBBa": "2:bb ", "BaB": "0:b 2:b ", "BBB": "0:bbb ", "aaa": "",
	} {
		var raw []byte
		for _, e := range entries {
			raw = append(raw, byte(e), 'x', 'y')
		}
		have := ""
		err := recipe.Changed(append(raw, 'B', 'z'), 3, func(i int, e []byte) bool {
			if len(e) != 3 || e[0] != entries[i] {
				t.Errorf("%s: entry %d is %q", entries, i, e)
			}
			changed := e[0] == 'B'
			if changed {
				e[0] = 'b'
			}
			return changed
		}, func(first int, raw []byte) error {
			have += fmt.Sprint(first, ":")
			for i := 0; i < len(raw); i += 3 {
				have += string(raw[i])
			}
			have += " "
			return nil
		})
		if have != want || err != nil {
			t.Errorf("%s: have %q, %v, want %q", entries, have, err, want)
		}
	}
	failed, calls := errors.New("failed"), 0
	err := recipe.Changed(make([]byte, 9), 1, func(i int, _ []byte) bool { return i%2 == 0 }, func(int, []byte) error { calls++; return failed })
	if !errors.Is(err, failed) || calls != 1 {
		t.Errorf("have %v after %d writes", err, calls)
	}
}
