package powercut

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// guestVariable set makes this program the one that runs in the guest: its value is the number of the round, "last" for the last one.
const guestVariable = "TRESOR_POWERCUT_ROUND"

// The places in the guest: the disk's file system, the volume on it, the mount point; the shared directory with program and promises.
const (
	diskDir   = "/mnt/a"
	parentDir = diskDir + "/volume"
	mountDir  = "/mnt/c"
	filesDir  = mountDir + "/files"
	shareDir  = "/host"
)

func TestMain(m *testing.M) {
	if round := os.Getenv(guestVariable); round != "" {
		if err := guest(round); err != nil {
			fmt.Println("FAILED", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func ddumbfs(args ...string) (string, error) {
	out, err := exec.Command(filepath.Join(shareDir, "ddumbfs"), args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ddumbfs %q: %w: %s", args, err, out)
	}
	return string(out), nil
}

// guest mounts, judges what the last power cut left, and then writes until the next one.
func guest(round string) error {
	unix.Umask(0)
	if round == "1" {
		if err := first(); err != nil {
			return err
		}
	}
	begin := time.Now()
	if _, err := ddumbfs("mount", parentDir, mountDir, "-o", "checkpoint=2M"); err != nil {
		return err
	}
	fmt.Printf("mounted in %.2fs\n", time.Since(begin).Seconds())
	if log, err := os.ReadFile(mountDir + "/.ddumbfs/ddumbfs.log"); err == nil {
		now := string(log)
		now = now[max(strings.LastIndex(now, "open volume"), 0):]
		for line := range strings.Lines(now) {
			fmt.Print("log ", line)
		}
	}
	text, err := os.ReadFile(shareDir + "/promises")
	if err != nil {
		return err
	}
	v := judge(filesDir, promises(string(text)))
	for i, w := range v.wrong {
		if i < 10 {
			fmt.Println("WRONG", w)
		}
	}
	fmt.Printf("judged %d files, %d of them synced; removed %d, unsynced blocks lost %d, wrong %d\n", v.files, v.synced, v.missing, v.lost, len(v.wrong))
	if len(v.wrong) > 0 {
		return errors.New("promises are broken")
	}
	if round == "last" {
		return last()
	}
	n, err := strconv.Atoi(round)
	if err != nil {
		return err
	}
	fmt.Println("START")
	return write(n)
}

func first() error {
	if err := os.Mkdir(parentDir, 0o755); err != nil {
		return err
	}
	if _, err := ddumbfs("mkfs", "-a", "-s", "1G", "-B", strconv.Itoa(blockSize), parentDir); err != nil {
		return err
	}
	if _, err := ddumbfs("mount", parentDir, mountDir); err != nil {
		return err
	}
	if err := os.Mkdir(filesDir, 0o755); err != nil {
		return err
	}
	_, err := ddumbfs("umount", mountDir)
	unix.Sync()
	return err
}

func last() error {
	if _, err := ddumbfs("umount", mountDir); err != nil {
		return err
	}
	out, err := exec.Command(filepath.Join(shareDir, "ddumbfs"), "fsck", "-C", parentDir).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 2) { // 2: lost blocks, of what was not synced
		return fmt.Errorf("fsck -C: %w\n%s", err, out)
	}
	fmt.Println("fsck -C finds nothing but lost blocks of what was not synced")
	return nil
}

// write runs writers and reclaims until the power goes.
func write(round int) error {
	var all sync.WaitGroup
	fail := make(chan error, 8)
	var reclaims atomic.Int64
	for w := range 4 {
		all.Go(func() {
			for i := 0; ; i++ {
				if err := writeFile(round<<11 | i<<2 | w); err != nil {
					fail <- err
					return
				}
			}
		})
	}
	all.Go(func() {
		for {
			if _, err := os.ReadFile(mountDir + "/.ddumbfs/reclaim"); err != nil {
				fail <- err
				return
			}
			fmt.Println("reclaims", reclaims.Add(1))
			time.Sleep(20 * time.Millisecond)
		}
	})
	return <-fail
}

// writeFile writes one file as its script says, and makes its promises. Two of three files are removed half a second later, long after the
// host has heard of it.
func writeFile(id int) error {
	name := fileName(filesDir, id)
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for w, c := range script(id) {
		if _, err := f.WriteAt(c.bytes(id, w), int64(c.from)*word); err != nil {
			return err
		}
		if !c.sync {
			continue
		}
		if err := f.Sync(); err != nil {
			return err
		}
		fmt.Printf("S %d %d\n", id, w+1)
	}
	if id>>2%3 != 0 {
		fmt.Printf("R %d\n", id)
		time.AfterFunc(500*time.Millisecond, func() {
			if err := os.Remove(name); err != nil {
				fmt.Println("FAILED", err)
			}
		})
	}
	return nil
}
