package tresor

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/tresor/control"
	"tresor/index/format"
	"tresor/orchestrator/config"
	"tresor/orchestrator/notify/smtpsink"
	"tresor/orchestrator/service"
	"tresor/orchestrator/volume"
)

func demoVerb() *Verb {
	return &Verb{
		Name: "demo", Args: "[--size SIZE]",
		Short: "Shows a whole life in a few minutes: two disks, two machines, backups, verification, a switch, retention, mails. Needs root, and leaves nothing behind.",
		Codes: []cli.Meaning{{Code: cli.ExitOK, Text: "everything went as it should"}, {Code: cli.ExitFailure, Text: "something did not"}, {Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitInterrupted, Text: "interrupted; it has cleaned up"}},
		new: func() runner { return new(demo) },
	}
}

// demo is one demonstration. It speaks to the same service as every administrator, over the same socket.
type demo struct {
	size string

	dir    string
	out    *printer
	number int
	cfg    *config.Config
	sink   *smtpsink.Sink
}

// Flags declares the options.
func (d *demo) Flags(f *pflag.FlagSet) {
	f.StringVar(&d.size, "size", "96M", "`SIZE` of the disk image that one machine has, at least 8M")
}

// smallestDemo is an image that shows anything.
const smallestDemo = 8 << 20

func (d *demo) Run(ctx context.Context, s Streams, args []string) (err error) {
	if err := noArguments(args); err != nil {
		return err
	}
	size, err := format.ParseSize(d.size)
	if err != nil {
		return cli.Usage(err)
	}
	if size < smallestDemo {
		return arguments("--size %s: want at least %d MiB", d.size, smallestDemo>>20)
	}
	if os.Geteuid() != 0 {
		return cli.Hint(errors.New("it mounts disks: it wants root"), "sudo tresor demo")
	}
	begun := time.Now()
	if d.dir, err = os.MkdirTemp("", "tresor-demo-"); err != nil {
		return err
	}
	if d.dir, err = filepath.EvalSymlinks(d.dir); err != nil {
		return err
	}
	d.out = newPrinter(s.Out)
	defer func() {
		left := leaveNothing(d.dir)
		if err == nil && left == nil {
			d.out.line("\nDone in %s; disks, mounts and files of the demonstration are gone.", time.Since(begun).Round(time.Second))
			err = d.out.err
		}
		err = errors.Join(err, left)
	}()
	if d.sink, err = smtpsink.Start(smtpsink.Options{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.sink.Close()) }()
	if err := d.prepare(ctx, int64(size)); err != nil {
		return err
	}
	return d.live(ctx)
}

// head begins a chapter.
func (d *demo) head(title, why string) {
	d.number++
	d.out.line("\n%d. %s\n   %s\n", d.number, title, why)
}

// prepare makes disks, machines and the configuration.
func (d *demo) prepare(ctx context.Context, size int64) error {
	d.head("Two disks, two machines", "Each disk is a file with ext4 in it, attached as a loop device. \"office\" is a folder of documents and goes straight to the\n"+
		"   disk; \"mail 1\" holds the image of a small machine and takes the way over the buffer, as virtual machines do.")
	if err := makeSources(d.path("office"), d.path("mail"), size); err != nil {
		return err
	}
	disk := 2*size + 512<<20
	for _, name := range []string{"disk-a", "disk-b"} {
		if err := makeDisk(ctx, d.path(name+".img"), disk); err != nil {
			return err
		}
		d.out.line("   %s: %s", name, sizeOf(disk))
	}
	d.configure(size)
	return d.write()
}

func sizeOf(n int64) string { return size(n) }

func (d *demo) path(name ...string) string { return filepath.Join(append([]string{d.dir}, name...)...) }

// configure makes the configuration of the demonstration.
func (d *demo) configure(size int64) {
	c := config.Default()
	c.File = d.path("tresor.toml")
	p := &c.Paths
	p.Buffer, p.VolumeMount, p.SecondMount, p.Disks = d.path("buffer"), d.path("volume"), d.path("second"), d.path("disks")
	p.State, p.Index, p.Socket, p.Temporary = d.path("state"), d.path("index"), d.path("sock"), d.path("snapshots")
	c.Buffer.Reserve = 1 << 20
	c.Backup.PauseAfterRound, c.Schedule.SwitchAfterRound, c.Backup.RetryAfter = true, false, 2*time.Second
	c.Schedule.Start = []string{"20:00"}
	c.Retention.VolumeVersions, c.Retention.MinVersions = 5, 1
	c.Log.Journal = false
	c.Mail.Host, c.Mail.Port, c.Mail.Security = d.sink.Host(), d.sink.Port(), config.SecurityNone
	c.Mail.From, c.Mail.To = "Tresor <tresor@example.org>", []string{"admin@example.org"}
	office, mail := config.NewDir(), config.NewDir()
	office.Name, office.Paths = "office", []string{d.path("office")}
	mail.Name, mail.Paths, mail.Via = "mail 1", []string{d.path("mail")}, config.ViaBuffer
	c.Source.Dir = []config.Dir{office, mail}
	for _, name := range []string{"disk-a", "disk-b"} {
		v := config.NewVolume()
		v.Name, v.Kind, v.File = name, config.KindLoop, d.path(name+".img")
		c.Volumes = append(c.Volumes, v)
	}
	d.cfg = c
}

func (d *demo) write() error { return os.WriteFile(d.cfg.File, config.Render(d.cfg), 0o600) }

// live starts the service and asks it for one thing after the other.
func (d *demo) live(ctx context.Context) (err error) {
	log, err := os.Create(d.path("service.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	a, err := openApp(ctx, d.cfg.File, log, false)
	if err != nil {
		return err
	}
	if err = d.makeVolumes(ctx, a); err != nil {
		return errors.Join(err, a.close())
	}
	life, end := context.WithCancelCause(ctx)
	defer end(nil)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := a.serve(life, func(*service.Service) { close(ready) })
		ended <- errors.Join(err, a.close())
	}()
	select {
	case <-ready:
		err = d.chapters(life)
	case err = <-ended:
		return orFirst(err, errors.New("the service did not start"))
	}
	if err == nil {
		err = d.last(ctx)
	} else {
		err = cli.Hint(err, lastLines(log.Name()))
	}
	end(nil)
	return errors.Join(err, <-ended)
}

func orFirst(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// lastLines is the end of the service's log, for a demonstration that failed.
func lastLines(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "the log ends with: " + strings.Join(lines[max(0, len(lines)-12):], "; ")
}

// makeVolumes puts an empty volume on each disk.
func (d *demo) makeVolumes(ctx context.Context, a *app) error {
	vs, err := a.newVolumes(d.cfg)
	if err != nil {
		return err
	}
	for _, v := range d.cfg.Volumes {
		if err == nil {
			err = vs.m.Make(ctx, v.Name, volume.MakeHow{Percent: 80})
		}
	}
	return errors.Join(err, vs.m.Close())
}

func (d *demo) ask(ctx context.Context, op string, args, result any) error {
	return control.Call(ctx, d.cfg.Paths.Socket, op, args, result, func(m json.RawMessage) {
		var t told
		if json.Unmarshal(m, &t) == nil && t.Result != nil {
			d.out.line("   %s: %s, %s%s", t.Result.Machine, string(t.Result.Outcome), size(t.Result.Bytes), inBrackets(t.Result.Text))
		}
	})
}
