package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/fs"
	"tresor/index"
)

func mountVerb() *Verb {
	return &Verb{
		Name: "mount", Args: "PARENT MNT [-o OPTION,...]",
		Short: "Mounts a volume; returns when it can be used.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "mounted; with --foreground: unmounted and closed cleanly"},
			{Code: cli.ExitFailure, Text: "could not be mounted, or could not be closed cleanly"},
			{Code: cli.ExitUsage, Text: "wrong command line or mount option"},
			{Code: cli.ExitBusy, Text: "the volume is mounted already, or another process owns it"},
			{Code: cli.ExitCorrupt, Text: "the volume is damaged and could not be repaired at mount"},
			{Code: cli.ExitNoSpace, Text: "no room on the disk below"},
			{Code: cli.ExitNoVolume, Text: "PARENT is no volume, or a part of it or the mount point is missing"},
			{Code: cli.ExitUnsupported, Text: "a valid volume that this program cannot serve"},
			{Code: cli.ExitInterrupted, Text: "interrupted before it was mounted"},
			{Code: cli.ExitTimeout, Text: "not mounted within --deadline"},
		},
		new: func() runner { return &mount{serve: serveMount} },
	}
}

// mountHelperVerb is what mount(8) calls: `mount.fuse.ddumbfs PARENT MNT [-sfnv] [-N namespace] [-o options] [-t type]`.
func mountHelperVerb() *Verb {
	v := mountVerb()
	v.Calls = []string{"mount.fuse.ddumbfs", "mount.ddumbfs"}
	v.Args = "PARENT MNT [-sfnv] [-N NAMESPACE] [-o OPTION,...] [-t TYPE]"
	v.hidden = true
	v.new = func() runner { return &mount{serve: serveMount, helper: true} }
	return v
}

type mount struct {
	options       []string
	index, blocks string
	readOnly      bool
	foreground    bool
	debug         bool
	deadline      time.Duration
	statusFD      int // of the pipe to the waiting parent, in the daemon only
	helper        bool
	fake, sloppy  bool // of the helper

	serve func(ctx context.Context, o fs.Options, log *logrus.Logger, d *daemon) error
}

// statusFlag is passed from the waiting process to the daemon that it starts.
const statusFlag = "daemon-status-fd"

func (m *mount) Flags(f *pflag.FlagSet) {
	f.StringArrayVarP(&m.options, "options", "o", nil, "mount options, separated by commas; `OPTION,...`")
	f.BoolVarP(&m.debug, "debug", "d", false, "log every request; implies --foreground")
	f.DurationVar(&m.deadline, "deadline", 0, "give up when the volume is not mounted by then; 0 waits as long as a repair takes")
	f.StringVar(&m.index, "index", "", "index `FILE` to use instead of the configured one")
	f.StringVar(&m.blocks, "blocks", "", "block `FILE` to use instead of the configured one")
	f.BoolVar(&m.readOnly, "read-only", false, "as -o ro")
	f.IntVar(&m.statusFD, statusFlag, 0, "")
	_ = f.MarkHidden(statusFlag)
	f.BoolP("no-mtab", "n", false, "accepted, without effect")
	f.BoolP("verbose", "v", false, "accepted, without effect")
	if m.helper {
		f.BoolVarP(&m.fake, "fake", "f", false, "check the command line and mount nothing")
		f.BoolVarP(&m.sloppy, "sloppy", "s", false, "ignore unknown mount options")
		f.StringP("namespace", "N", "", "accepted, without effect")
		f.StringP("types", "t", "", "accepted, without effect")
		return
	}
	f.BoolVarP(&m.foreground, "foreground", "f", false, "serve in this process, log to the terminal, unmount at SIGINT, SIGTERM or SIGHUP")
	f.BoolP("single", "s", false, "accepted, without effect")
}

func (m *mount) Run(ctx context.Context, s Streams, args []string) error {
	o, err := m.resolve(s, args)
	if err != nil {
		return err
	}
	switch {
	case m.fake:
		return nil
	case m.statusFD > 0:
		return m.daemon(ctx, o)
	case m.foreground || o.Debug:
		log := logrus.New()
		log.SetOutput(s.Err)
		if o.Debug {
			log.SetLevel(logrus.DebugLevel)
		}
		return m.serve(ctx, o, log, nil)
	}
	return m.start(ctx, s, o)
}

// resolve turns the command line into options with absolute paths: the daemon leaves the working directory.
func (m *mount) resolve(s Streams, args []string) (fs.Options, error) {
	o := fs.DefaultOptions()
	if err := m.parse(s, &o); err != nil {
		return o, err
	}
	switch {
	case len(args) == 2:
		if o.Parent != "" {
			return o, arguments("want the parent directory once, as argument or with -o parent=")
		}
		o.Parent, o.MountPoint = args[0], args[1]
	case len(args) == 1 && o.Parent != "":
		o.MountPoint = args[0]
	default:
		return o, arguments("want PARENT and MNT, have %d arguments", len(args))
	}
	if m.index != "" {
		o.Index = m.index
	}
	if m.blocks != "" {
		o.Blocks = m.blocks
	}
	o.ReadOnly = o.ReadOnly || m.readOnly
	o.Debug = o.Debug || m.debug
	for _, path := range []*string{&o.Parent, &o.MountPoint, &o.Index, &o.Blocks} {
		if *path == "" {
			continue
		}
		abs, err := absolute(*path)
		if err != nil {
			return o, cli.Exit(cli.ExitNoVolume, err)
		}
		*path = abs
	}
	return o, checkMountPoint(o.MountPoint)
}

func (m *mount) parse(s Streams, o *fs.Options) error {
	kernel, own := sortMountOptions(m.options)
	o.FuseOptions = append(o.FuseOptions, kernel...)
	for _, option := range own {
		err := o.ParseMount(option)
		if err != nil && m.sloppy {
			cli.Note(s.Err, "mount", "ignored: %v", err)
			continue
		}
		if err != nil {
			return cli.Usage(suggestOption(err))
		}
	}
	return nil
}

// suggestOption adds the known option that an unknown one is most like.
func suggestOption(err error) error {
	var unknown *fs.UnknownOptionError
	if !errors.As(err, &unknown) {
		return err
	}
	if near := cli.Nearest(unknown.Option, unknown.Known); near != "" {
		return fmt.Errorf("%w; did you mean %s?", err, near)
	}
	return err
}

func checkMountPoint(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return cli.Hint(cli.Exit(cli.ExitNoVolume, fmt.Errorf("mount point %s does not exist", path)), "mkdir "+path)
	case err != nil:
		return cli.Hint(fmt.Errorf("mount point: %w", err), "ddumbfs umount -l "+path+" takes away what a dead process left there")
	case !info.IsDir():
		return fmt.Errorf("mount point %s is no directory", path)
	}
	return nil
}

// closingGrace is how long mount waits for a volume that somebody owns although it is not mounted: after umount(8) its
// daemon still writes what it has.
const closingGrace = 10 * time.Second

// awaitClosing waits for the former daemon of the volume. What remains wrong is said by the mount itself.
func (m *mount) awaitClosing(ctx context.Context, s Streams, parent string) {
	open, err := mounted.Owned(parent)
	if !open || err != nil {
		return
	}
	if list, err := index.Mounts(); err != nil || mountOf(list, parent) != nil {
		return
	}
	cli.Note(s.Err, "mount", "volume %s is still open: waiting up to %s for it to be closed", parent, closingGrace)
	_ = mounted.WaitClosed(ctx, parent, closingGrace, func() {})
}

// start runs the daemon and waits until it says how it went.
func (m *mount) start(ctx context.Context, s Streams, o fs.Options) error {
	m.awaitClosing(ctx, s, o.Parent)
	args := []string{"ddumbfs", "mount", o.Parent, o.MountPoint}
	var options []string
	for _, list := range m.options {
		options = append(options, withoutParent(list)...)
	}
	if len(options) > 0 {
		args = append(args, "-o", strings.Join(options, ","))
	}
	for _, f := range []struct{ name, value string }{{"--index=", o.Index}, {"--blocks=", o.Blocks}} {
		if f.value != "" {
			args = append(args, f.name+f.value)
		}
	}
	if m.readOnly {
		args = append(args, "--read-only")
	}
	w := waiter{args: args, deadline: m.deadline, err: s.Err, grace: killGrace}
	return w.run(ctx)
}
