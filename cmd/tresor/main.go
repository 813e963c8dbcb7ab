// Command tresor is the backup service and its command line: `tresor serve` is the service, the other verbs ask it or look at its state (package
// cmd/internal/tresor).
package main

import (
	"context"
	"os"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/tresor"
)

func main() {
	ctx, stop := cli.WithSignals(context.Background())
	code := tresor.Main(ctx, os.Args, tresor.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(int(code))
}
