package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"tresor/cmd/internal/cli"
)

// Verbs lists every verb in the order of the help text.
func Verbs() []*Verb {
	return []*Verb{
		mkfsVerb(), mountVerb(), umountVerb(), fsckVerb(), reclaimVerb(), scrubVerb(), verifyVerb(), reinitVerb(), resizeVerb(), migrateVerb(), cpVerb(), testfsVerb(), alterVerb(), queryVerb(), statsVerb(), versionVerb(), helpVerb(),
	}
}

// all is Verbs and the command lines that only a program name reaches.
func all() []*Verb { return append(Verbs(), mountHelperVerb(), umountHelperVerb()) }

// Main runs the program: argv[0] is the name it was called by, the rest its arguments. It returns the exit code.
func Main(ctx context.Context, argv []string, s Streams) cli.Code {
	name := "ddumbfs"
	if len(argv) > 0 {
		name, argv = filepath.Base(argv[0]), argv[1:]
	}
	for _, v := range all() {
		for _, call := range v.Calls {
			if call == name {
				return v.Execute(ctx, s, argv)
			}
		}
	}
	return ddumbfs(ctx, argv, s)
}

// ddumbfs is the program under its own name: a verb, or the original's command line, which mounts.
func ddumbfs(ctx context.Context, args []string, s Streams) cli.Code {
	if len(args) == 0 {
		overview(s.Err)
		return cli.ExitUsage
	}
	switch args[0] {
	case "-h", "--help":
		overview(s.Out)
		return cli.ExitOK
	case "-V", "--version":
		return versionVerb().Execute(ctx, s, args[1:])
	}
	if v := find(args[0]); v != nil {
		return v.Execute(ctx, s, args[1:])
	}
	if originalForm(args) {
		return mountVerb().Execute(ctx, s, args)
	}
	cli.Report(s.Err, "", unknownVerb(args[0]))
	return cli.ExitUsage
}

// originalForm tells whether args are `-o parent=PARENT[,...] MNT` or `PARENT MNT [-o ...]`. The second needs two
// arguments of which the first is a path: a word that is no directory is a mistyped verb.
func originalForm(args []string) bool {
	if strings.HasPrefix(args[0], "-") {
		return true
	}
	if len(args) < 2 {
		return false
	}
	info, err := os.Stat(args[0])
	return strings.Contains(args[0], "/") || err == nil && info.IsDir()
}

func find(name string) *Verb {
	for _, v := range Verbs() {
		if v.Name == name {
			return v
		}
	}
	return nil
}

func unknownVerb(word string) error {
	err := fmt.Errorf("unknown verb %q", word)
	names := make([]string, 0, len(Verbs()))
	for _, v := range Verbs() {
		names = append(names, v.Name)
	}
	hint := "ddumbfs help lists the verbs"
	if near := cli.Nearest(word, names); near != "" {
		hint = fmt.Sprintf("did you mean `ddumbfs %s`? %s", near, hint)
	}
	return cli.Hint(cli.Usage(err), hint)
}

func overview(w io.Writer) {
	fmt.Fprint(w, "ddumbfs is a file system that stores equal blocks once.\n\n")
	for _, v := range Verbs() {
		fmt.Fprintf(w, "  ddumbfs %-8s %s\n", v.Name, v.Short)
	}
	fmt.Fprint(w, "\nAs the original: ddumbfs -o parent=PARENT[,OPTION...] MNT and ddumbfs PARENT MNT [-o OPTION,...] mount a volume.\n"+
		"The verbs answer to these program names as well:\n")
	for _, v := range all() {
		for _, call := range v.Calls {
			fmt.Fprintf(w, "  %-20s ddumbfs %s\n", call, v.Name)
		}
	}
	fmt.Fprint(w, "\n`ddumbfs help VERB` shows a verb's options and exit codes.\n")
}
