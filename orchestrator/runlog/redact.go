package runlog

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"
)

// Hidden stands where a secret was.
const Hidden = "***"

// shortest secret that is looked for: one of three letters would be found in every second word.
const shortest = 4

// Redactor takes secrets out of texts. As a hook of logrus, added before all others, it takes them out of every entry. It may be used
// concurrently.
type Redactor struct {
	mu    sync.RWMutex // guards forms; no I/O and no other lock under it
	forms []string     // longest first, so that no part of one remains
}

// NewRedactor knows no secret.
func NewRedactor() *Redactor { return &Redactor{} }

// Add makes secrets known, in the forms in which they get around: as they are, in base64, in JSON and in URLs. Those of fewer than four
// bytes are not looked for.
func (r *Redactor) Add(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		quoted, err := json.Marshal(s)
		forms := []string{s, strings.TrimSpace(s), base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
			url.QueryEscape(s), url.PathEscape(s), strings.Trim(fmt.Sprintf("%q", s), `"`)}
		if err == nil {
			forms = append(forms, strings.Trim(string(quoted), `"`))
		}
		for _, f := range forms {
			if len(f) >= shortest && len(strings.TrimSpace(s)) >= shortest && !slices.Contains(r.forms, f) {
				r.forms = append(r.forms, f)
			}
		}
	}
	slices.SortStableFunc(r.forms, func(a, b string) int { return len(b) - len(a) })
}

// Clean returns a text without secrets. A nil Redactor knows none.
func (r *Redactor) Clean(text string) string {
	if r == nil {
		return text
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, f := range r.forms {
		text = strings.ReplaceAll(text, f, Hidden)
	}
	return text
}

// Error returns an error whose text has no secrets; err itself if it has none. One that had is not wrapped: what prints its inside would print them.
func (r *Redactor) Error(err error) error {
	if err == nil {
		return nil
	}
	if clean := r.Clean(err.Error()); clean != err.Error() {
		return errors.New(clean)
	}
	return err
}

// Levels is for logrus: all of them.
func (r *Redactor) Levels() []logrus.Level { return logrus.AllLevels }

// Fire is for logrus: it changes the entry before it is formatted. The logger hands in a copy, whose fields are its own.
func (r *Redactor) Fire(e *logrus.Entry) error {
	e.Message = r.Clean(e.Message)
	for k, v := range e.Data {
		e.Data[k] = r.value(v)
	}
	return nil
}

// value cleans whatever has a text. Numbers, times and truth values stay what they are.
func (r *Redactor) value(v any) any {
	switch x := v.(type) {
	case nil, bool, int, int64, int32, uint, uint32, uint64, float64:
		return v
	case string:
		return r.Clean(x)
	case []byte: // it would be written in base64
		return r.Clean(string(x))
	case error:
		return r.Error(x)
	}
	text := fmt.Sprint(v)
	if clean := r.Clean(text); clean != text {
		return clean
	}
	return v
}
