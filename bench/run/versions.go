package run

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"time"
)

// versions are what the record says about the programs that measure or stand beside ours: option by name. What is not asked for has none.
func (o *Options) versions(ctx context.Context) map[string]string {
	list := map[string]string{"ddbench-revision": unknown}
	if r := revision(o.Program); r.Git != "" {
		list["ddbench-revision"] = r.Short()
	}
	list["fio"] = version(ctx, "fio", "--version")
	if list["fio"] == notInstalled {
		list["fio"] = notInstalled + ": a loop of ddbench in its place"
	}
	if !o.Quick {
		list["borg"], list["restic"] = version(ctx, "borg", "--version"), version(ctx, "restic", "version")
	}
	return list
}

const (
	notInstalled = "not installed"
	unknown      = "unknown"
)

// version is the first line that a program prints about itself.
func version(ctx context.Context, program, argument string) string {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	out, err := exec.CommandContext(ctx, program, argument).Output()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return notInstalled
	case err != nil || line == "":
		return unknown
	}
	return line
}
