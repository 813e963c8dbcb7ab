// Command ddumbfs is the whole program: file system, tools and mount helpers. Which of them runs is decided by the name
// it is called by and by its first argument (package command).
package main

import (
	"context"
	"os"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/command"
	"tresor/index/cores"
)

func main() {
	cores.Spare(cores.Waiting)
	ctx, stop := cli.WithSignals(context.Background())
	code := command.Main(ctx, os.Args, command.Streams{Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(int(code))
}
