package tresor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
)

// Streams are what a verb reads and writes: answers of a person from In, results to Out, messages to Err.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// runner is one call of a verb: it declares its options, then runs with what they left over.
type runner interface {
	Flags(f *pflag.FlagSet)
	Run(ctx context.Context, s Streams, args []string) error
}

// Verb is one command of the program.
type Verb struct {
	Name  string // as in `tresor NAME`; may be two words
	Args  string // what follows the verb, for the usage line
	Short string // one sentence, for the list of verbs
	Codes []cli.Meaning

	new func() runner
}

// FlagSet returns the verb's options, for the test that holds docs/tresor.md against them.
func (v *Verb) FlagSet() *pflag.FlagSet {
	flags, _ := v.prepare()
	return flags
}

func (v *Verb) prepare() (*pflag.FlagSet, runner) {
	r := v.new()
	flags := pflag.NewFlagSet(v.Name, pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(io.Discard)
	r.Flags(flags)
	return flags, r
}

// Execute runs the verb with its arguments, reports what went wrong and returns the exit code.
func (v *Verb) Execute(ctx context.Context, s Streams, args []string) cli.Code {
	out := &counted{w: s.Out}
	err := v.run(ctx, Streams{s.In, out, s.Err}, args)
	if errors.Is(err, pflag.ErrHelp) {
		v.help(s.Out)
		return cli.ExitOK
	}
	cli.ReportFor(s.Err, program, v.Name, err)
	code := cli.CodeOf(err)
	if err != nil && err.Error() != "" && out.n.Load() == 0 && asksJSON(args) {
		// A program that reads the result gets the failure in the same form. If this fails as well there is nobody to tell.
		_ = cli.JSON(s.Out, failure{Error: err.Error(), Hint: cli.HintOf(err), Exit: code})
	}
	return code
}

// failure is what --json prints where there is no result.
type failure struct {
	Error string   `json:"error"`
	Hint  string   `json:"hint,omitempty"`
	Exit  cli.Code `json:"exit"`
}

// counted counts what was printed, in bytes. It may be used from several goroutines if w may.
type counted struct {
	w io.Writer
	n atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.w.Write(p)
}

// asksJSON tells whether --json is among the arguments, which may not have been understood.
func asksJSON(args []string) (asks bool) {
	for _, a := range args {
		if a == "--" {
			break
		}
		if a == "--json" {
			asks = true
		} else if value, ok := strings.CutPrefix(a, "--json="); ok {
			asks, _ = strconv.ParseBool(value) // any other value is a wrong command line
		}
	}
	return asks
}

func (v *Verb) run(ctx context.Context, s Streams, args []string) error {
	flags, r := v.prepare()
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		return cli.Hint(cli.Usage(err), v.usage())
	}
	err := r.Run(ctx, s, flags.Args())
	if errors.Is(err, errArguments) {
		return cli.Hint(cli.Usage(err), v.usage())
	}
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		return cli.Hint(cause, cli.HintOf(err)) // names the signal
	}
	return err
}

func (v *Verb) usage() string {
	return strings.TrimSpace("usage: " + program + " " + v.Name + " " + v.Args)
}

func (v *Verb) help(w io.Writer) {
	p := newPrinter(w)
	p.line("%s\n", v.usage())
	p.wrapped("", v.Short)
	if flags := v.FlagSet().FlagUsagesWrapped(p.width); flags != "" {
		p.line("\nOptions:")
		p.block(flags)
	}
	p.line("\nExit codes:")
	for _, c := range v.Codes {
		lines := wrap(c.Text, p.width-7)
		p.line("  %3d  %s", c.Code, lines[0])
		for _, more := range lines[1:] {
			p.line("       %s", more)
		}
	}
}

// errArguments is a wrong number or form of arguments; the usage line goes with it.
var errArguments = errors.New("wrong arguments")

type argumentError struct{ text string }

func (e *argumentError) Error() string        { return e.text }
func (e *argumentError) Is(target error) bool { return target == errArguments }

// arguments refuses a command line with a reason.
func arguments(format string, args ...any) error {
	return &argumentError{text: fmt.Sprintf(format, args...)}
}

// noArguments refuses whatever follows a verb that takes nothing.
func noArguments(args []string) error {
	if len(args) > 0 {
		return arguments("want no argument, have %q", args)
	}
	return nil
}
