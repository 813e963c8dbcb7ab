package orchestrator_test

import (
	"encoding/json"
	"testing"

	"tresor/orchestrator"
)

func TestPathKeepsAnyBytes(t *testing.T) {
	all := make([]byte, 0, 255)
	for b := 1; b < 256; b++ {
		all = append(all, byte(b))
	}
	for _, want := range []orchestrator.Path{"", "a b/ü", `back\slash`, `\x41`, "\xff\xfe", "half \xc3", "�", orchestrator.Path(all)} {
		text, err := json.Marshal(map[string]orchestrator.Path{"p": want})
		if err != nil {
			t.Fatal(err)
		}
		var have map[string]orchestrator.Path
		if err := json.Unmarshal(text, &have); err != nil || have["p"] != want {
			t.Errorf("%q as %s: have %q, %v", want, text, have["p"], err)
		}
	}
	for _, wrong := range []string{`\`, `a\`, `\x`, `\x4`, `\xg0`, `\n`} {
		var p orchestrator.Path
		if err := p.UnmarshalText([]byte(wrong)); err == nil {
			t.Errorf("%q was taken as %q, want an error", wrong, p)
		}
	}
}

func TestDigestText(t *testing.T) {
	want := orchestrator.Digest{1, 2, 31: 255}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var have orchestrator.Digest
	if err := json.Unmarshal(text, &have); err != nil || have != want {
		t.Errorf("%s: have %x, %v", text, have, err)
	}
	for _, wrong := range []string{"", "00", string(make([]byte, 64))} {
		if err := have.UnmarshalText([]byte(wrong)); err == nil {
			t.Errorf("digest %q was taken", wrong)
		}
	}
}
