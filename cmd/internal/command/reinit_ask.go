package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/index/mkfs"
)

// confirm says what will be lost and asks for agreement, unless the command line has it.
func (v *renewVolume) confirm(ctx context.Context, s Streams, l *mkfs.Loss) error {
	cli.Note(s.Err, "reinit", "%s", lossText(v.o.Parent, l, "will be lost"))
	if v.yes {
		return nil
	}
	if !v.terminal {
		return cli.Hint(errors.New("nobody is there to agree: nothing was changed"), "--yes agrees; --dry-run shows what would be done")
	}
	fmt.Fprint(s.Err, "type the path of the volume, or yes, to go on: ")
	answer, err := readLine(ctx, v.in)
	if err != nil {
		return err
	}
	if answer != "yes" && !samePath(answer, v.o.Parent) {
		return errors.New("not agreed to: nothing was changed")
	}
	return nil
}

// readLine waits for an answer, or for a signal. The goroutine that reads ends with the process.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n') // the end of the input is an empty answer
		answer <- strings.TrimSpace(line)
	}()
	select {
	case line := <-answer:
		return line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func samePath(a, b string) bool {
	x, err := filepath.Abs(a)
	y, err2 := filepath.Abs(b)
	return a != "" && err == nil && err2 == nil && x == y
}

// onTerminal tells whether somebody can answer.
func onTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
