// Package volume owns the volumes on their disks: which one is in use, in what order they take turns, how one is mounted and given back so that its
// disk can be taken away. What it promises:
//
//   - What a volume is doing is asked of the kernel, exactly (mount table, device numbers), and never believed from a file: the state on the disk only says
//     which volume was in use, and what has been tried.
//   - Every step has a deadline; what a step cannot do it says, and what was done before it is undone.
//   - Whoever waits is let go when its context ends. What was begun belongs to the Manager and comes to its end, a repair of hours included; the status says what it is,
//     the next caller waits for it, and Unmount cuts it off.
//   - A process that has a volume open without a mount, such as one that a killed service has left to check it, is waited for: no second one is started beside it, and
//     no other volume is mounted below it.
//   - A disk is said to be one that can be taken away only if nothing else of it is in use.
//   - A volume that was not closed cleanly is always checked. An index is used only if it is proved to be the one that the volume was closed with;
//     otherwise the volume is checked, or the index is made anew (package indexcache). While a volume is mounted its index is copied to the disk from time to time.
//   - No process of somebody else is ended, unless the settings hand in a function that does.
//   - If no other disk can be used at a switch, the one before is mounted again, and Switched says what really is.
//
// How it is used:
//
//	m, err := volume.New(volume.Options{Volumes: list, Engine: e, Mounts: disk.Table{}, Point: "/mnt/ddumbfs", State: dir, Index: dir, …})
//	cur, err := m.Start(ctx)                          // adopts what is mounted, or mounts the first volume that can be used
//	cur.Store, cur.Name, cur.Root                     // *Current, of m.Current() as well; nil: none
//	err  = m.Check(ctx)                               // before each machine: is it mounted, can it be written? ErrNotUsable
//	res, err := m.Switch(ctx, volume.SwitchOptions{Soft: true, Report: hook})
//	list := m.Status(ctx)                             // all volumes, what can be taken away among them; changes nothing
//	err  = m.Eject(ctx, name)                         // unmounts a disk that is not in use
//	closed, err := m.Unmount(ctx)                     // the current one and its disk
//	s, err := m.Second(ctx, name, point, check)       // another volume, read-only; m.EndSecond(ctx, point)
//	err  = m.Make(ctx, name, volume.MakeHow{…})       // a new, empty volume; over an old one only if its name is in GiveUp
//
// One volume is current at a time, at one mount point. The states of a volume:
//
//	absent ─▶ attached ─▶ unlocked ─▶ disk-mounted ─▶ fsck ─▶ mounted ─▶ draining ─▶ unmounted ─▶ ejectable
//
// A Manager may be used by several goroutines: what changes something waits for its turn, until the context ends; what looks does not wait.
package volume
