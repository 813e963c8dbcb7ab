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
		backupsVerb(), jobsVerb(), jobsDropVerb(), jobsRetryVerb(), verifyVerb(), pruneVerb(), logVerb(), switchVerb(), volumesVerb(),
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
	if v == nil {
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

func unknownVerb(args []string) error {
	var names, below []string
	for _, v := range Verbs() {
		names = append(names, v.Name)
		if strings.HasPrefix(v.Name, args[0]+" ") {
			below = append(below, v.Name)
		}
	}
	if len(below) > 0 {
		return cli.Hint(cli.Usage(fmt.Errorf("%q is not a whole verb", strings.Join(args[:min(2, len(args))], " "))), "there are: "+program+" "+strings.Join(below, ", "+program+" "))
	}
	hint := program + " help lists the verbs"
	if near := cli.Nearest(args[0], names); near != "" {
		hint = fmt.Sprintf("did you mean `%s %s`? %s", program, near, hint)
	}
	return cli.Hint(cli.Usage(fmt.Errorf("unknown verb %q", args[0])), hint)
}

func overview(w io.Writer) {
	fmt.Fprint(w, "tresor backs up machines to disks that take turns, verifies what it wrote, and keeps what is worth keeping.\n\n")
	for _, v := range Verbs() {
		fmt.Fprintf(w, "  tresor %-15s %s\n", v.Name, v.Short)
	}
	fmt.Fprint(w, "\n`tresor help VERB` shows a verb's options and exit codes. A first configuration: `tresor setup`.\n")
}
