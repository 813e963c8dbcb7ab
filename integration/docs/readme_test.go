package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// blocks returns the fenced blocks of a document that are marked with a language.
func blocks(text, language string) (list []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}

// clone copies the repository as git would: what is tracked, and what is new and not ignored.
func clone(t *testing.T, to string) {
	t.Helper()
	script := `git ls-files -z --cached --others --exclude-standard | tar --null --no-recursion --ignore-failed-read -T - -cf - 2>/dev/null | tar -xf - -C "$1"`
	cmd := exec.Command("sh", "-c", script, "sh", to)
	cmd.Dir = root()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("copy the repository: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(to, "Makefile")); err != nil {
		t.Fatalf("copy the repository: %v", err)
	}
}

// around is what the commands of the README run in: a mount name space of their own, in which /sbin is a copy, so that
// `make install` and mount(8) work without a trace on the machine; and a last look at what they left. It lets go of the mounts of other
// tests: a file system that is unmounted there would live on here, and its server, or its loop device, with it.
const around = `
set -eu -o pipefail
sandbox=$1
cut -d " " -f 5 /proc/self/mountinfo | sort -r | while read -r m; do
	m=$(printf %b "$m")
	case $m in "${TMPDIR:-/tmp}"/*) ;; *) continue ;; esac
	case $sandbox/ in "$m"/*) ;; *) umount -c -i -l "$m" || true ;; esac
done
export PREFIX=$sandbox/prefix PATH=$sandbox/prefix/bin:$PATH:/usr/sbin:/sbin
cp -a "$(realpath /sbin)" "$sandbox/sbin"
mount --bind "$sandbox/sbin" "$(realpath /sbin)"
trap 'code=$?; for m in backup fstab-mount; do ! mountpoint -q $m || ddumbfs umount $m || umount -i -f -l $m; done; exit $code' EXIT
set -x
`

// TestReadmeCommands runs every block of the README that is marked sh, one after the other, in one copy of the repository.
func TestReadmeCommands(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the README's commands mount and install: they want root")
	}
	readme := read(t, "README.md")
	commands := blocks(readme, "sh")
	if len(commands) < 6 {
		t.Fatalf("README.md: %d blocks marked sh found", len(commands))
	}
	first := strings.Split(strings.TrimSpace(commands[1]), "\n")
	if len(first) != 5 || !strings.HasPrefix(first[4], "ddumbfs umount") {
		t.Errorf("README.md: the second block is the first volume in five commands; have %q", first)
	}
	sandbox, dir := t.TempDir(), t.TempDir()
	clone(t, dir)
	script := around + strings.Join(commands, "\n") + fstab(t, readme) + `
if [ -e volume/.autofsck ]; then echo "the volume is not clean" >&2; exit 1; fi
ddumbfs fsck -C volume
make uninstall
left=$(ls "$PREFIX"/bin/*ddumbfs /sbin/*mount.*ddumbfs 2>/dev/null || true)
if [ -n "$left" ]; then echo "uninstall left $left" >&2; exit 1; fi
`
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "bash", "-c", script, "bash", sandbox)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("commands of the README: %v\n%s", err, out)
	}
	for _, want := range []string{"Filesystem status        : OK", "block_not_in_use", "volume volume", "made anew"} {
		if !strings.Contains(strings.ReplaceAll(string(out), dir+"/", ""), want) {
			t.Errorf("commands of the README: no %q in their output:\n%s", want, out)
		}
	}
}

// fstab makes commands that mount by the README's line of /etc/fstab.
func fstab(t *testing.T, readme string) string {
	t.Helper()
	list := blocks(readme, "fstab")
	if len(list) != 1 {
		t.Fatalf("README.md: want one block marked fstab, have %d", len(list))
	}
	line := strings.NewReplacer("/data/volume", "$PWD/volume", "/mnt/backup", "$PWD/fstab-mount").Replace(strings.TrimSpace(list[0]))
	return `
mkdir fstab-mount
echo "` + line + `" >fstab
mount --fstab fstab --all
mountpoint fstab-mount
ls fstab-mount/.ddumbfs/stats >/dev/null
umount fstab-mount
`
}
