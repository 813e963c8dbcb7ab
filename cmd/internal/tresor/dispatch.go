package tresor

import (
	"context"
	"fmt"
	"io"
	"strings"

	"tresor/cmd/internal/cli"
)

// program is the name in messages.
const program = "tresor"

// Verbs lists every verb in the order of the help text.
func Verbs() []*Verb {
	list := []*Verb{
		setupVerb(), configCheckVerb(), configExampleVerb(), configImportVerb(), mailTestVerb(),
		serveVerb(), statusVerb(), roundVerb(), pauseVerb(), resumeVerb(), stopVerb(), reloadVerb(), rebootVerb(),
		backupsVerb(), pinVerb(), unpinVerb(), jobsVerb(), jobsDropVerb(), jobsRetryVerb(), verifyVerb(), pruneVerb(), scrubVerb(), logVerb(), switchVerb(), volumesVerb(),
	}
	return append(append(list, volumeVerbs()...), demoVerb(), versionVerb(), helpVerb())
}

// Main runs the program: argv[0] is the name it was called by, the rest its arguments. It returns the exit code.
func Main(ctx context.Context, argv []string, s Streams) cli.Code {
	if len(argv) < 2 {
		overview(s.Err)
		return cli.ExitUsage
	}
	args := argv[1:]
	switch args[0] {
	case "-h", "--help":
		overview(s.Out)
		return cli.ExitOK
	case "-V", "--version":
		return versionVerb().Execute(ctx, s, args[1:])
	}
	v, rest := find(args)
	if v == nil || len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && len(below(v.Name)) > 0 { // a verb with others below it takes no arguments
		cli.ReportFor(s.Err, program, "", unknownVerb(args))
		return cli.ExitUsage
	}
	return v.Execute(ctx, s, rest)
}

// find is the verb that args begin with, and what follows it. Of `mail test` and `mail` the longer one counts.
func find(args []string) (found *Verb, rest []string) {
	for _, v := range Verbs() {
		words := strings.Fields(v.Name)
		if len(args) < len(words) || strings.Join(args[:len(words)], " ") != v.Name {
			continue
		}
		if found == nil || len(v.Name) > len(found.Name) {
			found, rest = v, args[len(words):]
		}
	}
	return found, rest
}

// below are the second words of verbs whose first one is word.
func below(word string) (list []string) {
	for _, v := range Verbs() {
		if second, ok := strings.CutPrefix(v.Name, word+" "); ok {
			list = append(list, second)
		}
	}
	return list
}

func unknownVerb(args []string) error {
	seconds := below(args[0])
	if len(seconds) > 0 {
		hint := fmt.Sprintf("there are: %s %s %s", program, args[0], strings.Join(seconds, ", "))
		if len(args) == 1 {
			return cli.Hint(cli.Usage(fmt.Errorf("%q is not a whole verb", args[0])), hint)
		}
		if near := cli.Nearest(args[1], seconds); near != "" {
			hint = fmt.Sprintf("did you mean `%s %s %s`? %s", program, args[0], near, hint)
		}
		return cli.Hint(cli.Usage(fmt.Errorf("unknown verb %q", args[0]+" "+args[1])), hint)
	}
	var names []string
	for _, v := range Verbs() {
		names = append(names, v.Name)
	}
	hint := program + " help lists the verbs"
	if near := cli.Nearest(args[0], names); near != "" {
		hint = fmt.Sprintf("did you mean `%s %s`? %s", program, near, hint)
	}
	return cli.Hint(cli.Usage(fmt.Errorf("unknown verb %q", args[0])), hint)
}

func overview(w io.Writer) {
	p := newPrinter(w)
	p.wrapped("", "tresor backs up machines to disks that take turns, verifies what it wrote, and keeps what is worth keeping.")
	p.line("")
	for _, v := range Verbs() {
		lines := wrap(v.Short, p.width-indentOfVerbs)
		p.line("  tresor %-18s %s", v.Name, lines[0])
		for _, more := range lines[1:] {
			p.line("%s%s", strings.Repeat(" ", indentOfVerbs), more)
		}
	}
	p.line("\n`tresor help VERB` shows a verb's options and exit codes. A first configuration: `tresor setup`.")
}

// indentOfVerbs is where the sentences of the overview begin.
const indentOfVerbs = 28
