package tresor

import (
	"context"
	"errors"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/tresor/control"
	"tresor/index/format"
	"tresor/orchestrator/service"
)

func volumesVerb() *Verb {
	return &Verb{Name: "volumes", Args: "", Short: "Lists the disks, how full their volumes are, and which can be taken away.",
		Codes: looked(), new: func() runner { return new(listVolumes) }}
}

type listVolumes struct{ client }

func (v *listVolumes) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	var st service.Status
	o, err := v.orOffline(ctx, "status", nil, &st, func(o *offline) (err error) {
		st, err = o.status(ctx)
		return err
	})
	if err != nil {
		return err
	}
	o.warn(s, "volumes")
	return v.say(s, append([]service.DiskState{}, st.Disks...), func(p *printer) {
		if len(st.Disks) == 0 {
			p.line("no volume was ever looked at")
		}
		printDisks(p, st)
	})
}

// volumeVerbs do something with a disk by hand.
func volumeVerbs() []*Verb {
	making := func(name, args, short, do string) *Verb {
		return &Verb{Name: "volumes " + name, Args: args, Short: short, Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "done"}, {Code: cli.ExitFailure, Text: "it failed, or something is in the way"}, {Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitBusy, Text: "something else is going on"}, {Code: cli.ExitNoVolume, Text: "there is no such volume in the configuration"},
			{Code: cli.ExitInterrupted, Text: "interrupted; the next use of the disk brings it to its end"}, {Code: cli.ExitConfig, Text: "no service runs, and the configuration is wrong or missing"},
		}, new: func() runner { return &volumeVerb{do: do, named: true} }}
	}
	verb := func(name, args, short, do string, named bool) *Verb {
		return &Verb{Name: "volumes " + name, Args: args, Short: short, Codes: asked(), new: func() runner { return &volumeVerb{do: do, named: named} }}
	}
	return []*Verb{
		verb("mount", "", "Mounts the volume again after `volumes umount`, and goes on.", "mount", false),
		verb("umount", "", "Unmounts the volume in use and pauses, until `volumes mount`.", "umount", false),
		verb("eject", "NAME", "Unmounts a disk that is not in use, so that it can be taken away.", "eject", true),
		verb("second", "NAME [--check]", "Mounts another volume read-only at paths.second_mount.", "second", true),
		verb("end-second", "", "Unmounts the second volume.", "end-second", false),
		making("init", "NAME [--size SIZE] [--block-size SIZE] [--hash HASH]", "Makes the first volume on a new disk that has a file system and nothing else on it. Needs no service.", "init"),
		making("reinit", "NAME --yes-really NAME [--size SIZE] [--block-size SIZE] [--hash HASH]", "Makes a new, empty volume on a disk in place of the old one, whose backups are lost. Needs no service.", "reinit"),
	}
}

type volumeVerb struct {
	client
	do     string
	named  bool
	check  bool
	really string
	size   string
	block  string
	hash   string
}

// Flags declares the options.
func (v *volumeVerb) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	switch v.do {
	case "second":
		f.BoolVar(&v.check, "check", false, "check the volume before")
	case "reinit":
		f.StringVar(&v.really, "yes-really", "", "the `NAME` again: all backups on it are lost")
	}
	if v.makes() {
		f.StringVar(&v.size, "size", "", "`SIZE` of the new volume, such as 800G (default: format.volume_percent of the disk)")
		f.StringVar(&v.block, "block-size", "", "`SIZE` of its blocks, such as 64k (default: as the old volume, else that of ddumbfs mkfs)")
		f.StringVar(&v.hash, "hash", "", "its `HASH`, such as TIGER (default: as the old volume, else that of ddumbfs mkfs)")
	}
}

// makes tells whether the verb makes a volume.
func (v *volumeVerb) makes() bool { return v.do == "init" || v.do == "reinit" }

func (v *volumeVerb) Run(ctx context.Context, s Streams, args []string) error {
	r := volumeArgs{Do: v.do, Check: v.check}
	switch {
	case v.named && len(args) != 1:
		return arguments("want one volume, have %d arguments", len(args))
	case !v.named && len(args) > 0:
		return noArguments(args)
	case v.named:
		r.Name = args[0]
	}
	if v.do == "reinit" && v.really != r.Name {
		return arguments("all backups on %s would be lost: say --yes-really %s", r.Name, r.Name)
	}
	if err := v.sizes(&r); err != nil {
		return cli.Usage(err)
	}
	err := v.ask(ctx, "volume", r, nil, nil)
	if v.makes() && errors.Is(err, control.ErrNobody) {
		err = v.alone(ctx, s, r)
	}
	if err != nil {
		return err
	}
	return v.say(s, struct{}{}, func(p *printer) { p.line("done") })
}

// sizes reads what the options say of the volume to be made.
func (v *volumeVerb) sizes(r *volumeArgs) error {
	r.Hash = v.hash
	if v.size != "" {
		n, err := format.ParseSize(v.size)
		if err != nil {
			return err
		}
		r.Size = int64(n)
	}
	if v.block != "" {
		n, err := format.ParseSize(v.block)
		if err != nil {
			return err
		}
		r.BlockSize = int(n)
	}
	return nil
}
