package command

import (
	"context"
	"encoding/json"
	"errors"

	"tresor/cmd/internal/cli"
	"tresor/fs/socket"
	"tresor/index"
	"tresor/index/progress"
)

// askServer has the process that serves a mounted volume do an operation, and shows how far it is. The result is also valid where an interruption ends it
// early. The error matches socket.ErrNobody where nobody answers.
func askServer(ctx context.Context, m *index.Mount, op string, args, result any, p *cli.Progress) error {
	err := socket.Call(ctx, socket.Place{}, m.Source, op, args, result, func(data json.RawMessage) {
		var s progress.Stage
		if json.Unmarshal(data, &s) == nil {
			p.Stage(s)
		}
	})
	if errors.Is(err, socket.ErrNobody) {
		// Not the code of a volume that is not there: it is, only nobody answers.
		return cli.Hint(cli.Exit(cli.ExitFailure, err), "its process is another user's, an older one, or the original's; "+
			"unmount the volume and use its parent directory "+m.Source)
	}
	return err
}
