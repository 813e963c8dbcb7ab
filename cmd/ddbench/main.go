// Command ddbench measures a mount of ours side by side with the disk below, with other file systems behind FUSE, and with other backup programs (package
// bench/run). `ddbench compare` says what two records have to say about each other. Called as `ddbench serve KIND POINT DIR` it is the process that serves one of them.
package main

import (
	"context"
	"fmt"
	"os"

	"tresor/bench/contender"
	"tresor/cmd/internal/cli"
)

func main() {
	ctx, stop := cli.WithSignals(context.Background())
	err := start(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ddbench:", err)
		if hint := cli.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
	}
	os.Exit(int(cli.CodeOf(err)))
}

func start(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == contender.ServeWord {
		if len(args) != 4 {
			return cli.Usage(fmt.Errorf("serve: want KIND POINT DIR, have %d arguments", len(args)-1))
		}
		return contender.Serve(ctx, args[1], args[2], args[3])
	}
	if len(args) > 0 && args[0] == compareWord {
		return compare(args[1:], os.Stdout)
	}
	return measure(ctx, args, os.Stdout, os.Stderr)
}
