package deadline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"tresor/orchestrator/internal/deadline"
)

func TestRun(t *testing.T) {
	if v, err := deadline.Run(t.Context(), "count", func() (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	own := errors.New("own")
	if err := deadline.Do(t.Context(), "fail", func() error { return own }); !errors.Is(err, own) {
		t.Error(err)
	}
	end := make(chan struct{})
	defer close(end)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, own)
	defer cancel()
	if err := deadline.Do(ctx, "wait", func() error { <-end; return nil }); !errors.Is(err, own) {
		t.Errorf("one that does not answer: %v", err)
	}
	if err := deadline.Do(ctx, "begin", func() error { t.Error("begun after the end"); return nil }); !errors.Is(err, own) {
		t.Errorf("after the end: %v", err)
	}
}
