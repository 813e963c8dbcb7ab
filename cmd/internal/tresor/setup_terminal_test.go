package tresor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
)

// terminal is a pair of a pseudo terminal: what a person types goes into the first.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// TestPasswordIsNotShown: while a password is asked for the terminal is silent, and afterwards it is what it was, also after Ctrl-C.
func TestPasswordIsNotShown(t *testing.T) {
	for _, interrupted := range []bool{false, true} {
		person, program := terminal(t)
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		asked := make(chan struct{})
		a := newAsker(ctx, Streams{In: program, Out: &signalling{sign: "Password", at: asked}})
		type answer struct {
			text string
			err  error
		}
		got := make(chan answer, 1)
		go func() {
			text, err := a.secret("Password")
			got <- answer{text, err}
		}()
		<-asked
		if echoes(t, program) {
			t.Error("the terminal shows the password")
		}
		if interrupted {
			cancel(&cli.SignalError{})
		} else if _, err := person.WriteString("geheim\n"); err != nil {
			t.Fatal(err)
		}
		select {
		case have := <-got:
			if interrupted && cli.CodeOf(have.err) != cli.ExitInterrupted || !interrupted && (have.text != "geheim" || have.err != nil) {
				t.Errorf("have %q, %v", have.text, have.err)
			}
		case <-time.After(time.Minute):
			t.Fatal(errors.New("the question still waits"))
		}
		if !echoes(t, program) {
			t.Error("the terminal stays silent")
		}
	}
}
