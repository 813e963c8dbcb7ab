package contender

import (
	"context"
	"fmt"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/node"
)

// The kinds of Served, and the first argument by which ddbench becomes the server of one.
const (
	Null      = "null"
	Loopback  = "loopback"
	ServeWord = "serve"
)

// Serve mounts a file system of a kind on point and serves it until it is unmounted, or ctx ends, which unmounts it. below is the
// directory that Loopback shows.
func Serve(ctx context.Context, kind, point, below string) error {
	unix.Umask(0)
	var s *fusefs.Server
	var err error
	switch kind {
	case Null:
		if s, err = serveNull(point); err == nil {
			err = node.SetReadAhead(point, 1<<20) // as the mount of a volume does
		}
	case Loopback:
		s, err = serveLoopback(point, below)
	default:
		return fmt.Errorf("serve: kind %q, want %s or %s", kind, Null, Loopback)
	}
	if err != nil {
		return fmt.Errorf("serve %s on %s: %w", kind, point, err)
	}
	defer context.AfterFunc(ctx, func() { _ = s.Unmount() })()
	s.Wait()
	return nil
}

func serveNull(point string) (*fusefs.Server, error) {
	o := new(node.FS).MountOptions(Null, nil) // those of a mount of ours, whatever they become
	o.Logger = nil
	s, err := fusefs.NewServer(&nullFS{RawFileSystem: fusefs.NewDefaultRawFileSystem()}, point, o)
	if err != nil {
		return nil, err
	}
	go s.Serve() // ended by the unmount, which Wait waits for
	return s, s.WaitMount()
}

// serveLoopback has the options of the library's own program (example/loopback), called with -q.
func serveLoopback(point, below string) (*fusefs.Server, error) {
	root, err := gofs.NewLoopbackRoot(below)
	if err != nil {
		return nil, err
	}
	valid := time.Second
	return gofs.Mount(point, root, &gofs.Options{AttrTimeout: &valid, EntryTimeout: &valid, NullPermissions: true,
		MountOptions: fusefs.MountOptions{FsName: below, Name: Loopback, DirectMount: true}})
}
