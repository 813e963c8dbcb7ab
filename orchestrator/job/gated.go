package job

import (
	"context"
	"io"

	"tresor/orchestrator"
	"tresor/orchestrator/job/internal/copier"
)

// gatedStore is a store whose readings back stop while there is a pause: a verification is held in the middle of a file as a copy is.
type gatedStore struct {
	orchestrator.Store
	gate *copier.Gate
}

// ReadBack implements orchestrator.Store.
func (s *gatedStore) ReadBack(ctx context.Context, path string, w io.Writer, list []orchestrator.Blocks) (orchestrator.ReadBack, error) {
	if err := s.gate.Wait(ctx); err != nil {
		return orchestrator.ReadBack{}, err
	}
	if w != nil {
		w = &gatedWriter{ctx, w, s.gate}
	}
	return s.Store.ReadBack(ctx, path, w, list)
}

// gatedWriter belongs to one ReadBack, whose context it has.
type gatedWriter struct {
	ctx  context.Context
	w    io.Writer
	gate *copier.Gate
}

func (w *gatedWriter) Write(p []byte) (int, error) {
	if err := w.gate.Wait(w.ctx); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}
