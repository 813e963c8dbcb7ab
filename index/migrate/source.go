package migrate

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"
	"strconv"
	"syscall"
	"time"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// The source is marked as long as its block file is touched: nobody may mount or change it, or what was carried over is not what the blocks
// belong to. Its .ddfsmigrate says where the block file goes; .rebuildfsck keeps the original off.

const sourceTitle = "tresor migration, source 1\n"

func (j *job) sourceText() string  { return sourceTitle + "to: " + strconv.Quote(j.dst.Dir) + "\n" }
func (j *job) sourceClaim() string { return "tresor migration to " + strconv.Quote(j.dst.Dir) + "\n" }

// loadSource finds the marks of this migration in the source. The marks of any other job are refused.
func (j *job) loadSource() error {
	var except []string
	text, err := readText(j.src, format.MigrateName)
	if err != nil {
		return err
	}
	claim, err := readText(j.src, format.RebuildName)
	if err != nil {
		return err
	}
	if text == j.sourceText() {
		j.marked, except = true, append(except, format.MigrateName)
		if claim == j.sourceClaim() {
			except = append(except, format.RebuildName)
		}
	}
	return index.CheckUnfinished(j.src.FS, j.src.Dir, except...)
}

// markSource closes the source, durably.
func (j *job) markSource() error {
	j.marked = true
	if err := disk.WriteFileAtomic(j.src.FS, j.src.Path(format.MigrateName), []byte(j.sourceText()), 0o600); err != nil {
		return err
	}
	return disk.WriteFileAtomic(j.src.FS, j.src.Path(format.RebuildName), []byte(j.sourceClaim()), 0o600)
}

// unmarkSource opens the source again, if the marks there are those of this migration.
func (j *job) unmarkSource() error {
	text, err := readText(j.src, format.MigrateName)
	if err != nil || text != j.sourceText() {
		return err
	}
	claim, err := readText(j.src, format.RebuildName)
	if err != nil {
		return err
	}
	if claim == j.sourceClaim() {
		if err := remove(j.src, format.RebuildName); err != nil {
			return err
		}
	}
	j.marked = false
	return remove(j.src, format.MigrateName)
}

// giveBack opens the source after an error, as long as it has its block file: the next run finds out whether it was changed since.
func (j *job) giveBack() error {
	if !j.marked || j.o.DryRun {
		return nil
	}
	if _, err := j.src.FS.Lstat(j.src.BlocksPath); err != nil {
		return nil //nolint:nilerr // the block file is gone, or nobody knows: it stays closed
	}
	return j.unmarkSource()
}

// identify says which content the source has: its configuration, its index, and which snapshot it was closed with and when: every session that comes to its end, and
// a repair, records that anew. One that was killed at rest has left its mark. A source without any of
// these is never the same.
func (j *job) identify(x *indexfile.File) error {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n%s\n", j.src.Config.Marshal(), x.Content(nil))
	proof, err := readText(j.src, indexfile.ProofName)
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%q\n", proof)
	traces := 0
	for _, name := range []string{format.SnapshotName, indexfile.ProofName, format.DirtyName} {
		info, err := j.src.FS.Lstat(j.src.Path(name))
		if err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
		if err == nil {
			fmt.Fprintf(h, "%d %d\n", info.Size(), info.ModTime().UnixNano())
			traces++
		}
	}
	if traces == 0 { // such as after sessions on a full disk, which left no room for one: nobody can tell what happened since
		fmt.Fprintln(h, time.Now().UnixNano())
	}
	j.identity = hex.EncodeToString(h.Sum(nil))
	return nil
}

// fileIdentity tells a regular file from every other one, whatever its name; "" for anything else. The number of the file system is left out: it
// may be another one after a restart.
func fileIdentity(fs disk.FS, name string) (string, error) {
	info, err := fs.Lstat(name)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return "", nil
	}
	return fmt.Sprint("inode ", st.Ino, " size ", info.Size()), nil
}

// changed tells whether what was carried over is of another state of the source.
func (j *job) changed() bool { return j.st.phase != "" && j.st.source != j.identity }
