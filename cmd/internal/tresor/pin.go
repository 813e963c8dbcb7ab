package tresor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator/catalog"
	"tresor/orchestrator/service"
)

func pinVerb() *Verb {
	return &Verb{Name: "pin", Args: "NAME…", Short: "Keeps backups of the volume in use or the buffer from being pruned, whatever the rules say, until `tresor unpin`.",
		Codes: asked(cli.Meaning{Code: cli.ExitNoVolume, Text: "there is no such backup; nothing was changed"}), new: func() runner { return &pin{on: true} }}
}

func unpinVerb() *Verb {
	return &Verb{Name: "unpin", Args: "NAME…", Short: "Lets pinned backups be pruned again.",
		Codes: asked(cli.Meaning{Code: cli.ExitNoVolume, Text: "there is no such backup; nothing was changed"}), new: func() runner { return &pin{} }}
}

type pin struct {
	client
	on bool
}

// pinned is what became of one backup.
type pinned struct {
	Backup string   `json:"backup"`
	Pinned bool     `json:"pinned"`
	On     []string `json:"on"` // the volume, the buffer
}

func (v *pin) Run(ctx context.Context, s Streams, args []string) error {
	if len(args) == 0 {
		return arguments("want names of backups")
	}
	var list []pinned
	if err := v.ask(ctx, "pin", pinArgs{args, v.on}, &list, nil); err != nil {
		return err
	}
	return v.say(s, list, func(p *printer) {
		for _, one := range list {
			word := "may be pruned again"
			if one.Pinned {
				word = "is kept until it is unpinned"
			}
			p.line("%s %s (%s)", one.Backup, word, strings.Join(one.On, ", "))
		}
	})
}

// shelf is a folder of backups, and what it is called.
type shelf struct {
	name string
	*catalog.Folder
}

// pin notes that backups are kept, or are not, wherever they lie. One that lies on the buffer does not need a volume where none can be used.
func (a *app) pin(ctx context.Context, s *service.Service, r pinArgs) (list []pinned, err error) {
	c := a.config()
	var places []shelf
	if c.Paths.Buffer != "" {
		places = append(places, shelf{"the buffer", catalog.Open(c.Paths.Buffer)})
	}
	looked := false
	err = s.OnVolume(ctx, func(_ context.Context, v service.Volume) (err error) {
		looked = true
		list, err = a.pinOn(append(places, shelf{v.Name, (&keeper{a, c}).folder(v)}), r)
		return err
	})
	if !looked && err != nil {
		if onBuffer, e := a.pinOn(places, r); e == nil {
			return onBuffer, nil
		}
	}
	return list, err
}

// pinOn looks for all backups before it changes the first.
func (a *app) pinOn(places []shelf, r pinArgs) (list []pinned, err error) {
	a.records.Lock()
	defer a.records.Unlock()
	for _, name := range r.Names {
		one := pinned{Backup: name, Pinned: r.Pin}
		for _, p := range places {
			_, err := p.Find(name)
			if err == nil {
				one.On = append(one.On, p.name)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		if len(one.On) == 0 {
			return nil, cli.Hint(cli.Exit(cli.ExitNoVolume, fmt.Errorf("there is no backup %q on the volume in use or the buffer; nothing was changed", name)), "tresor backups lists them")
		}
		list = append(list, one)
	}
	for _, one := range list {
		for _, p := range places {
			if !slices.Contains(one.On, p.name) {
				continue
			}
			if err := p.Pin(one.Backup, r.Pin); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}
