package command

import (
	"bufio"
	"os/exec"
	"testing"
)

// sleeper runs a shell script in a directory and keeps that shell until the end of the test; $0 is arg. It returns when
// the script is through.
func sleeper(t *testing.T, dir, script, arg string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script+"\necho ready\nread x", arg)
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
}
