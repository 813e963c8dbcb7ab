package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tresor/index/blockhash"
	"tresor/index/format"
)

// scaleSizes are the block sizes that docs/scale.md has rows for.
func scaleSizes() []string { return []string{"4k", "16k", "64k", "128k", "256k", "1M", "2M"} }

// scaleRows computes the table of docs/scale.md: what room for a TiB of different data takes, for each size of a hash.
func scaleRows(t *testing.T) (rows []string) {
	t.Helper()
	for _, text := range scaleSizes() {
		size, err := format.ParseSize(text)
		if err != nil {
			t.Fatal(err)
		}
		row := "| " + text
		var last *format.Config
		for _, hash := range []string{"TIGER128", "SHA1", "BLAKE3", "BLAKE3-256"} {
			if last, err = format.NewConfig(format.CreateOptions{Hash: hash, Size: 1 << 40, BlockSize: int(size)}); err != nil {
				t.Fatal(err)
			}
			row += fmt.Sprintf(" | %s (%d)", format.FormatSize(last.IndexSize), last.NodeSize)
		}
		// written, in flight, proved
		rows = append(rows, row+" | "+format.FormatSize(3*last.FreeblockSize)+" |")
	}
	return rows
}

// TestScaleTable holds the table of docs/scale.md against index/format.
func TestScaleTable(t *testing.T) {
	page := read(t, "docs/scale.md")
	for _, row := range scaleRows(t) {
		if !strings.Contains(page, row+"\n") {
			t.Errorf("docs/scale.md: want the row\n%s", row)
		}
	}
	for _, hash := range blockhash.Names() {
		if !strings.Contains(page, hash) {
			t.Errorf("docs/scale.md does not say which column is that of %s", hash)
		}
	}
}

// loopDevice attaches a new file of so many bytes and takes the device away after the test.
func loopDevice(t *testing.T, size int64) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v: %s", device, err, out)
		}
	})
	return device
}

// TestScaleCommands runs the commands of docs/scale.md with loop devices in the place of those of a storage network.
func TestScaleCommands(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the commands of docs/scale.md mount: they want root")
	}
	commands := blocks(read(t, "docs/scale.md"), "sh")
	if len(commands) < 4 {
		t.Fatalf("docs/scale.md: %d blocks marked sh found", len(commands))
	}
	bin, dir := t.TempDir(), t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./cmd/ddumbfs")
	build.Dir = root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	script := `
set -eu -o pipefail
# The daemon has closed the volume when ddumbfs umount returns, but its process may still be on its way out of the file system with the log.
umount() { for _ in $(seq 100); do ! command umount "$@" || return 0; sleep 0.1; done; return 1; }
set -x
trap 'code=$?; cd /; for m in "$DIR/backup" "$DIR/meta"; do ! mountpoint -q "$m" || ddumbfs umount "$m" || umount -f -l "$m"; done; exit $code' EXIT
` + strings.Join(commands, "\n") + `
test ! -e meta/volume/.autofsck
umount meta
`
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin", "DIR="+dir,
		"BLOCKS="+loopDevice(t, 256<<20), "META="+loopDevice(t, 64<<20))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("commands of docs/scale.md: %v\n%s", err, out)
	}
	if strings.Count(string(out), "Filesystem status        : OK") != 2 {
		t.Errorf("commands of docs/scale.md: want two checks that find nothing:\n%s", out)
	}
}
