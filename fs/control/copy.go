package control

import (
	"context"
	"errors"
	iofs "io/fs"
	"time"

	"tresor/fs/socket"
	"tresor/fs/transfer"
	"tresor/index/format"
)

// Names of the operations that copy a file, which comes along as an open descriptor.
const (
	OpCopyIn  = "copy-in"
	OpCopyOut = "copy-out"
)

// CopyInArgs are the arguments of copy-in. Its answer is a transfer.Written.
type CopyInArgs struct {
	// Path is relative to the root of the volume.
	Path Path `json:"path"`
	// Mode has permission bits, 0 for those of the file that is replaced. Modified is zero for now.
	Mode     uint32    `json:"mode,omitempty"`
	Modified time.Time `json:"modified,omitzero"`
	// Verify reads the new file back before it gets its name.
	Verify bool `json:"verify,omitempty"`
	// Confirmed: the new file gets its name only when the client has confirmed that the end of the descriptor is that of the data.
	Confirmed bool `json:"confirmed,omitempty"`
}

// CopyOutArgs are the arguments of copy-out. Its answer is a transfer.Read, also beside an error.
type CopyOutArgs struct {
	Path Path `json:"path"`
	// Force goes on over bad blocks.
	Force bool `json:"force,omitempty"`
}

// Copier moves files in and out of the mounted volume. Both take over the descriptor.
type Copier interface {
	CopyIn(ctx context.Context, path string, d transfer.Held, o transfer.InOptions) (*transfer.Written, error)
	CopyOut(ctx context.Context, path string, d transfer.Held, o transfer.OutOptions) (*transfer.Read, error)
}

// AddCopies adds the operations that copy.
func AddCopies(to socket.Operations, c Copier) {
	to[OpCopyIn] = func(ctx context.Context, r *socket.Request) (any, error) {
		var a CopyInArgs
		d, err := sent(r, &a)
		if err != nil {
			return nil, err
		}
		o := transfer.InOptions{Mode: iofs.FileMode(a.Mode).Perm(), Modified: a.Modified, Verify: a.Verify, Progress: progressTo(r)}
		if a.Confirmed {
			o.Complete = func(ctx context.Context) error { return confirmed(ctx, r) }
		}
		w, err := c.CopyIn(ctx, string(a.Path), d, o)
		if err != nil {
			return nil, err
		}
		return w, nil
	}
	to[OpCopyOut] = func(ctx context.Context, r *socket.Request) (any, error) {
		var a CopyOutArgs
		d, err := sent(r, &a)
		if err != nil {
			return nil, err
		}
		return c.CopyOut(ctx, string(a.Path), d, transfer.OutOptions{Force: a.Force, Progress: progressTo(r)})
	}
}

// confirmed waits for the client's word that everything was sent. A client that is killed takes its pipe and its connection along, the pipe first.
func confirmed(ctx context.Context, r *socket.Request) error {
	select {
	case <-r.Confirmed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sent takes the descriptor of a request that must have one, and its arguments.
func sent(r *socket.Request, args any) (*socket.Descriptor, error) {
	d := r.Descriptor()
	if d == nil {
		return nil, format.Mark(format.ErrUnsupported, errors.New("the operation wants a descriptor, and none came"))
	}
	if err := r.Decode(args); err != nil {
		d.Drop()
		return nil, err
	}
	return d, nil
}
