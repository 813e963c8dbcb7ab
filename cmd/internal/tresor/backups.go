package tresor

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator"
	"tresor/orchestrator/service"
)

// listed is what the verb backups prints.
type listed struct {
	Volume   string                `json:"volume,omitempty"`
	Seen     time.Time             `json:"seen,omitzero"` // when the volume was looked at; zero: just now
	OnVolume []orchestrator.Backup `json:"on_volume"`
	Evidence []orchestrator.Backup `json:"crc_failed"` // copies that differed from their source twice, put aside
	OnBuffer []orchestrator.Backup `json:"on_buffer"`
	Others   []contents            `json:"others,omitempty"`   // volumes that are not in use, as they were seen last
	Problems []string              `json:"problems,omitempty"` // what could not be looked at
}

func newListed() listed {
	return listed{OnVolume: []orchestrator.Backup{}, Evidence: []orchestrator.Backup{}, OnBuffer: []orchestrator.Backup{}}
}

func (l *listed) problem(err error) {
	if err != nil {
		l.Problems = append(l.Problems, err.Error())
	}
}

// use takes what was seen on a volume.
func (l *listed) use(c *contents) {
	l.Volume, l.Seen = c.Volume, c.Seen
	l.OnVolume, l.Evidence = append(l.OnVolume, c.Backups...), append(l.Evidence, c.Evidence...)
}

// listBackups looks at the volume in use and the buffer. What cannot be looked at does not keep the rest from being listed.
func (a *app) listBackups(ctx context.Context, s *service.Service, all bool) (any, error) {
	out, c := newListed(), a.config()
	err := s.OnVolume(ctx, func(ctx context.Context, v service.Volume) error {
		have, err := (&keeper{a, c}).look(ctx, v)
		if err == nil {
			out.use(&have)
			out.Seen = time.Time{}
		}
		return err
	})
	out.problem(err)
	others, e := seen(c)
	out.problem(e)
	for i := range others {
		switch {
		case others[i].Volume == out.Volume:
		case all || err != nil && i == 0: // the one that was in use last, if none is
			out.Others = append(out.Others, others[i])
		}
	}
	out.buffer(ctx, c)
	return out, nil
}

func backupsVerb() *Verb {
	return &Verb{Name: "backups", Args: "[--all]", Short: "Lists the backups on the volume in use and on the buffer, with what is known of their content; without a service as they were seen last.",
		Codes: looked(cli.Meaning{Code: cli.ExitPartly, Text: "something could not be looked at; the rest is listed"}), new: func() runner { return new(backups) }}
}

type backups struct {
	client
	all bool
}

// Flags declares the options.
func (v *backups) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.all, "all", false, "those of the other disks too, as they were seen last")
}

func (v *backups) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	var got listed
	o, err := v.orOffline(ctx, "backups", backupsArgs{v.all}, &got, func(o *offline) (err error) {
		got, err = o.backups(ctx, v.all)
		return err
	})
	if err != nil {
		return err
	}
	o.warn(s, "backups")
	if err := v.say(s, got, got.print); err != nil {
		return err
	}
	if len(got.Problems) > 0 {
		return cli.Exit(cli.ExitPartly, nil)
	}
	return nil
}

func (l *listed) print(p *printer) {
	if l.Volume != "" || len(l.Problems) == 0 {
		printBackups(p, "On "+orWord(l.Volume, "no volume")+seenAt(l.Seen), l.OnVolume)
		printEvidence(p, l.Evidence)
	}
	for _, c := range l.Others {
		printBackups(p, "On "+c.Volume+seenAt(c.Seen), c.Backups)
		printEvidence(p, c.Evidence)
	}
	printBackups(p, "On the buffer", l.OnBuffer)
	for _, text := range l.Problems {
		p.wrapped("", "Not known: "+brief(text))
	}
}

func seenAt(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ", as it was seen " + moment(t)
}

func printBackups(p *printer, title string, list []orchestrator.Backup) {
	p.line("%s: %d", title, len(list))
	var rows []row
	for _, b := range list {
		r := row{cells: []string{b.Name, size(b.Bytes), countOf(b.Files, "file"), state(b)}}
		if b.Reason != "" {
			r.notes = append(r.notes, brief(b.Reason))
		}
		if len(b.Partial) > 0 {
			r.notes = append(r.notes, "not in it: "+brief(b.Partial[0])+more(len(b.Partial)-1))
		}
		rows = append(rows, r)
	}
	p.table("  ", rows)
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n)
}

// state is what is known of a backup's content, in a few words.
func state(b orchestrator.Backup) string {
	b.Reason = ""
	return service.BackupState(b)
}

func printEvidence(p *printer, list []orchestrator.Backup) {
	if len(list) == 0 {
		return
	}
	p.line("Copies that differed from their source twice, put aside as evidence (no backups): %d", len(list))
	var rows []row
	for _, e := range list {
		r := row{cells: []string{filepath.Base(e.Dir), size(e.Bytes), state(e)}}
		if e.Reason != "" {
			r.notes = []string{brief(e.Reason)}
		}
		rows = append(rows, r)
	}
	p.table("  ", rows)
}
