// Package source makes the machines of this host ready to be read: directories as they are (Dir), and ZFS datasets, btrfs subvolumes and LVM volumes
// by a snapshot (Snapshot). It owns the snapshots that it makes and the private directory below which they are mounted, and nothing else.
//
//	p, err := source.NewPlace(source.PlaceOptions{Dir: config.Paths.Temporary})
//	s, err := source.NewDir("etc", source.DirOptions{Paths: []string{"/etc"}})
//	s, err := source.NewZFS(p, "data", source.Options{}, "tank/data")
//	s, err := source.NewBtrfs(p, "home", source.Options{}, "/home", "")
//	s, err := source.NewLVM(p, "root", source.Options{}, source.LVMVolume{Group: "vg0", Name: "root", Size: "5G"})
//	tree, err := s.Open(ctx, token) // *Error names machine, step and what was left behind
//	err = tree.Close(ctx)           // unmounts and destroys
//
// What it promises:
//
//   - A snapshot is called tresor- and a ULID. Nothing without such a name is ever destroyed, no snapshot of another dataset, subvolume or volume, none
//     that is open and none that a kept token names. Nothing is ever made or destroyed recursively.
//   - Nothing is unmounted but snapshots with such a name, wherever else something is mounted below the directory.
//   - What Open made it undoes when it fails, whatever the context says by then: clean-up has a context and a deadline of its own. What could not be
//     undone is named in the error, and the next Clean finds it; that also finishes a tree whose Close or Suspend failed.
//   - No program is waited for without end, not even one that the kernel keeps. It is asked to end, and killed with its children when its patience is over.
//   - A token is the ULID. Open with the token of a snapshot that is still there and sound gives that one again; otherwise it makes a new one,
//     with another token. Suspend of a tree (orchestrator.Suspender) unmounts and leaves the snapshot for that.
//   - A machine is mounted at the same path each time, Dir/MACHINE/NAME, so that programs that remember files by their path (borg) know them again.
//     Only a second tree of a machine, while the first is open, gets another one.
//
// A crash leaves mounts and snapshots. Place.Sweep takes all mounts below its directory away and empties it, which belongs to the start of a
// process that holds the instance lock; Clean of each source destroys the snapshots. A snapshot of a source that was taken out of the configuration stays until
// somebody destroys it.
package source
