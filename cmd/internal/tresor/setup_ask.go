package tresor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// asker asks questions on a terminal or over a pipe. It is used from one goroutine.
type asker struct {
	ctx    context.Context
	out    io.Writer
	failed error // of writing questions

	terminal *os.File // nil: not one
	lines    chan string
	more     chan struct{} // asks the reader for a line
	ended    chan error    // why there is no more
}

// newAsker starts a goroutine that reads lines as they are asked for, so that an interrupt is not held up by a read; it ends with the input, or
// waits for a last line that nobody wants when the program ends.
func newAsker(ctx context.Context, s Streams) *asker {
	a := &asker{ctx: ctx, out: s.Out, lines: make(chan string), more: make(chan struct{}), ended: make(chan error, 1)}
	if f, ok := s.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		a.terminal = f
	}
	in := bufio.NewReader(io.LimitReader(s.In, 1<<20))
	go a.read(in)
	return a
}

func (a *asker) read(in *bufio.Reader) {
	for {
		select {
		case <-a.more:
		case <-a.ctx.Done():
			return
		}
		line, err := in.ReadString('\n')
		if err != nil && line == "" {
			a.ended <- err
			return
		}
		select {
		case a.lines <- strings.TrimRight(line, "\r\n"):
		case <-a.ctx.Done():
			return
		}
	}
}

func (a *asker) say(format string, args ...any) {
	if a.failed == nil {
		_, a.failed = fmt.Fprintf(a.out, format, args...)
	}
}

// line is the next line of the input.
func (a *asker) line() (string, error) {
	if a.failed != nil {
		return "", a.failed
	}
	select {
	case a.more <- struct{}{}:
	case <-a.ctx.Done():
		return "", context.Cause(a.ctx)
	}
	select {
	case line := <-a.lines:
		return line, nil
	case err := <-a.ended:
		if errors.Is(err, io.EOF) {
			err = errors.New("the input ended before the last question")
		}
		return "", err
	case <-a.ctx.Done():
		return "", context.Cause(a.ctx)
	}
}

// question asks until check is content; an empty answer is the default. The answer - empties what has a default.
func (a *asker) question(text, preset string, check func(string) error) (string, error) {
	for {
		if preset != "" {
			a.say("%s [%s]: ", text, preset)
		} else {
			a.say("%s: ", text)
		}
		answer, err := a.line()
		if err != nil {
			return "", err
		}
		switch answer = strings.TrimSpace(answer); {
		case answer == "":
			answer = preset
		case answer == "-" && preset != "":
			answer = ""
		}
		if check == nil {
			return answer, nil
		}
		if err := check(answer); err != nil {
			a.say("  That will not do: %v\n", err)
			continue
		}
		return answer, nil
	}
}

func (a *asker) yes(text string, preset bool) (bool, error) {
	shown := map[bool]string{true: "yes", false: "no"}[preset]
	answer, err := a.question(text+" (yes or no)?", shown, func(s string) error {
		switch strings.ToLower(s) {
		case "yes", "y", "no", "n":
			return nil
		}
		return fmt.Errorf("want yes or no, found %q", s)
	})
	return strings.HasPrefix(strings.ToLower(answer), "y"), err
}

func (a *asker) number(text string, preset int, check func(int) error) (n int, err error) {
	_, err = a.question(text, strconv.Itoa(preset), func(s string) (err error) {
		if n, err = strconv.Atoi(s); err != nil {
			return fmt.Errorf("want a number, found %q", s)
		}
		return check(n)
	})
	return n, err
}

// list asks for lines until an empty one. check sees the whole list so far.
func (a *asker) list(text string, preset []string, check func([]string) error) ([]string, error) {
	list := []string{}
	for _, one := range preset {
		keep, err := a.yes(fmt.Sprintf("  Keep %q", one), true)
		if err != nil {
			return nil, err
		}
		if keep {
			list = append(list, one)
		}
	}
	for {
		had := len(list)
		answer, err := a.question("  "+text+" (empty: no more)", "", func(s string) error {
			list = list[:had]
			if s != "" {
				list = append(list, s)
			}
			if check != nil {
				return check(list)
			}
			return nil
		})
		if err != nil || answer == "" {
			return list, err
		}
	}
}

// secret asks for a password, which a terminal does not show.
func (a *asker) secret(text string) (string, error) {
	if a.terminal != nil {
		fd := int(a.terminal.Fd())
		state, err := term.GetState(fd)
		if err != nil {
			return "", err
		}
		defer term.Restore(fd, state) //nolint:errcheck // nothing can be done about a terminal that has gone
		if err := hideInput(fd); err != nil {
			return "", err
		}
	}
	a.say("%s: ", text)
	line, err := a.line()
	a.say("\n")
	return line, err
}
