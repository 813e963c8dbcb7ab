package notify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Secret returns a password or a token, read anew for each use, so that a changed file serves at once and nothing stays in memory.
type Secret func() (string, error)

// value of a secret that may be missing.
func (s Secret) value() (string, error) {
	if s == nil {
		return "", nil
	}
	text, err := s()
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return text, nil
}

// hide returns an error without secrets. One that had some is not wrapped, since what prints its inside would print them; that it was
// refused for good stays known.
func hide(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	// The longest first, so that no part of one remains.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, s := range secrets {
		if len(s) == 0 {
			continue
		}
		for _, form := range []string{s, base64.StdEncoding.EncodeToString([]byte(s)), url.QueryEscape(s), url.PathEscape(s), strings.Trim(fmt.Sprintf("%q", s), `"`)} {
			text = strings.ReplaceAll(text, form, "***")
		}
	}
	if text == err.Error() {
		return err
	}
	switch {
	case errors.As(err, new(*RefusedError)):
		return &RefusedError{errors.New(text)}
	case errors.As(err, new(*LaterError)):
		return &LaterError{errors.New(text)}
	}
	return errors.New(text)
}
