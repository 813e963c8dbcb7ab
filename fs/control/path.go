package control

import (
	"encoding/json"
	"unicode/utf8"
)

// Path is a path in a volume on the control socket. Names of files are any bytes, and a string of JSON is UTF-8: a path that is none goes as
// {"base64": "..."}, every other one as a string.
type Path string

type rawPath struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (p Path) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(p)) {
		return json.Marshal(string(p))
	}
	return json.Marshal(rawPath{[]byte(p)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Path) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '{' {
		var raw rawPath
		if err := json.Unmarshal(text, &raw); err != nil {
			return err
		}
		*p = Path(raw.Base64)
		return nil
	}
	return json.Unmarshal(text, (*string)(p))
}
