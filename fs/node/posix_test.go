package node_test

import (
	"os"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"

	"tresor/fs/node"
)

// TestPosix runs the functions of the FUSE library's own test suite.
func TestPosix(t *testing.T) {
	for _, mode := range []struct {
		name   string
		direct node.Direct
	}{{"auto", node.DirectAuto}, {"always", node.DirectAlways}, {"never", node.DirectNever}} {
		t.Run(mode.name, func(t *testing.T) {
			// FdLeak counts the descriptors of this process, which is the server too.
			m := newMount(t, func(c *node.Config) { c.Direct, c.MaxOpen = mode.direct, 4 })
			for name, run := range posixtest.All {
				if name == "FcntlFlockLocksFile" {
					continue // expects locks of one process to conflict; fails on any file system
				}
				t.Run(name, func(t *testing.T) {
					dir := m.path(name)
					check(t, os.Mkdir(dir, 0o755))
					run(t, dir)
				})
			}
		})
	}
}
