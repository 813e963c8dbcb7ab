package control

import (
	"context"
	"strings"

	"tresor/fs/socket"
	"tresor/index"
	"tresor/index/progress"
	"tresor/index/reclaim"
)

// Names of the operations of the control socket.
const (
	OpScrub       = "scrub"
	OpScrubStatus = "scrub-status"
	OpReclaim     = "reclaim"
	OpStats       = "stats"
)

// ReclaimArgs are the arguments of the operation reclaim.
type ReclaimArgs struct {
	DryRun bool `json:"dry_run,omitempty"`
}

// ReclaimResult is its answer: the report, and as the original prints it.
type ReclaimResult struct {
	Text   string          `json:"text"`
	Report *reclaim.Report `json:"report"`
}

// StatsResult is the answer of the operation stats.
type StatsResult struct {
	index.Stats
	Settings
}

// Reclaimer is what the operation reclaim needs of the mounted volume.
type Reclaimer interface {
	// ReclaimWith runs a reclaim with the DryRun and Progress of o.
	ReclaimWith(ctx context.Context, o reclaim.Options) (*reclaim.Report, error)
}

// Operations is the table of what can be asked for on the control socket of a mount. A new operation is a row here.
func Operations(src Source, rec Reclaimer, scr *Scrubber) socket.Operations {
	return socket.Operations{
		OpScrub:       scr.Operation,
		OpScrubStatus: scr.Status,
		OpReclaim: func(ctx context.Context, r *socket.Request) (any, error) {
			return runReclaim(ctx, rec, r)
		},
		OpStats: func(_ context.Context, r *socket.Request) (any, error) {
			if err := r.Decode(&struct{}{}); err != nil {
				return nil, err
			}
			return &StatsResult{src.Stats(), src.Settings()}, nil
		},
	}
}

func runReclaim(ctx context.Context, rec Reclaimer, r *socket.Request) (any, error) {
	var args ReclaimArgs
	if err := r.Decode(&args); err != nil {
		return nil, err
	}
	rep, err := rec.ReclaimWith(ctx, reclaim.Options{DryRun: args.DryRun, Progress: progressTo(r)})
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	if err := rep.WriteText(&b); err != nil {
		return nil, err
	}
	return &ReclaimResult{Text: b.String(), Report: rep}, nil
}

// progressTo hands stages to the client.
func progressTo(r *socket.Request) progress.Func {
	return func(s progress.Stage) { r.Progress(s) }
}
