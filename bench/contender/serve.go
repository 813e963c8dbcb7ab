package contender

import (
	"context"
	"fmt"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/node"
	"tresor/index/cores"
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
		spare()
		if s, err = serveNull(point, newNullFS()); err == nil {
			err = node.SetReadAhead(point, readAhead)
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

// readAhead is that of a mount of a volume (package fs), in bytes.
const readAhead = 8 << 20

// spare gives the null server as many threads for its processors as the ddumbfs program gives its daemon. The library's own example is left as it comes.
func spare() { cores.Spare(cores.Waiting) }

func serveNull(point string, files fusefs.RawFileSystem) (*fusefs.Server, error) {
	o := new(node.FS).MountOptions(Null, nil) // those of a mount of ours, whatever they become
	o.Logger = nil
	s, err := fusefs.NewServer(files, point, o)
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
