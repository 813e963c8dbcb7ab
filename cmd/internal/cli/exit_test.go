package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"tresor/cmd/internal/cli"
	"tresor/index/format"
)

func TestCodeOf(t *testing.T) {
	usage := cli.Usage(errors.New("wrong"))
	for _, c := range []struct {
		name string
		err  error
		want cli.Code
		fsck cli.Code
	}{
		{"nil", nil, cli.ExitOK, cli.FsckOK},
		{"plain", errors.New("x"), cli.ExitFailure, cli.FsckErrors},
		{"busy", format.Mark(format.ErrBusy, errors.New("x")), cli.ExitBusy, cli.FsckErrors},
		{"corrupt", fmt.Errorf("read: %w", &format.CorruptError{What: "magic"}), cli.ExitCorrupt, cli.FsckErrors},
		{"no space", format.Mark(format.ErrNoSpace, errors.New("x")), cli.ExitNoSpace, cli.FsckErrors},
		{"unsupported", format.Mark(format.ErrUnsupported, errors.New("x")), cli.ExitUnsupported, cli.FsckErrors},
		{"not there", fmt.Errorf("open: %w", fs.ErrNotExist), cli.ExitNoVolume, cli.FsckErrors},
		{"interrupted", &cli.SignalError{}, cli.ExitInterrupted, cli.FsckErrors},
		{"cancelled", context.Canceled, cli.ExitInterrupted, cli.FsckErrors},
		{"deadline", fmt.Errorf("wait: %w", context.DeadlineExceeded), cli.ExitTimeout, cli.FsckErrors},
		{"usage is no verdict on a volume", cli.Hint(usage, "usage"), cli.ExitUsage, cli.FsckErrors},
		{"damaged files are no wrong command line", cli.Exit(cli.FsckDamaged, nil), cli.FsckDamaged, cli.FsckDamaged},
		{"chosen code wins over class", cli.Exit(cli.ExitNotClean, format.ErrBusy), cli.ExitNotClean, cli.ExitNotClean},
		{"no volume for fsck", cli.Exit(cli.FsckNoVolume, fs.ErrNotExist), cli.FsckNoVolume, cli.FsckNoVolume},
	} {
		t.Run(c.name, func(t *testing.T) {
			if have := cli.CodeOf(c.err); have != c.want {
				t.Errorf("CodeOf(%v): have %d, want %d", c.err, have, c.want)
			}
			if have := cli.FsckCodeOf(c.err); have != c.fsck {
				t.Errorf("FsckCodeOf(%v): have %d, want %d", c.err, have, c.fsck)
			}
		})
	}
}

// Scripts rely on the numbers: a code that changes its value or shares one breaks them.
func TestCodesAreFixed(t *testing.T) {
	codes := []cli.Code{
		cli.ExitOK, cli.ExitFailure, cli.ExitUsage, cli.ExitBusy, cli.ExitCorrupt, cli.ExitNoSpace, cli.ExitNoVolume,
		cli.ExitUnsupported, cli.ExitInterrupted, cli.ExitNotClean, cli.ExitTimeout,
	}
	for want, code := range codes {
		if int(code) != want {
			t.Errorf("code %d in the list has the value %d", want, code)
		}
	}
	fsck := []cli.Code{cli.FsckOK, cli.FsckErrors, cli.FsckDamaged, cli.FsckNoVolume}
	for i, want := range []cli.Code{0, 1, 2, 255} {
		if fsck[i] != want {
			t.Errorf("fsck code %d: have %d, want the original's %d", i, fsck[i], want)
		}
	}
}

func TestReport(t *testing.T) {
	err := errors.New("open volume /p: two\nlines")
	for _, c := range []struct {
		name, verb string
		err        error
		want       string
	}{
		{"nothing", "mkfs", nil, ""},
		{"plain", "mkfs", errors.New("no room"), "ddumbfs mkfs: no room\n"},
		{"no verb", "", errors.New("unknown"), "ddumbfs: unknown\n"},
		{"one line", "umount", err, "ddumbfs umount: open volume /p: two; lines\n"},
		{"hint", "mount", cli.Hint(errors.New("busy"), "wait"), "ddumbfs mount: busy\nhint: wait\n"},
		{"hint below a code", "mount", cli.Exit(3, cli.Hint(errors.New("busy"), "wait")), "ddumbfs mount: busy\nhint: wait\n"},
		{"outer hint wins", "mount", cli.Hint(cli.Hint(errors.New("a"), "inner"), "outer"), "ddumbfs mount: a\nhint: outer\n"},
		{"code alone is silent", "fsck", cli.Exit(1, nil), ""},
		{"code and hint", "fsck", cli.Hint(cli.Exit(1, nil), "repair it"), "hint: repair it\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			cli.Report(&b, c.verb, c.err)
			if b.String() != c.want {
				t.Errorf("have %q, want %q", b.String(), c.want)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	verbs := []string{"mkfs", "mount", "umount", "fsck", "reclaim", "stats", "version", "help"}
	for _, c := range []struct{ word, want string }{
		{"mont", "mount"}, {"unmount", "umount"}, {"fskc", "fsck"}, {"mkfs", "mkfs"}, {"stat", "stats"},
		{"reclami", "reclaim"}, {"xyzzy", ""}, {"", ""}, {"/dev/sda1", ""},
	} {
		if have := cli.Nearest(c.word, verbs); have != c.want {
			t.Errorf("Nearest(%q): have %q, want %q", c.word, have, c.want)
		}
	}
}
