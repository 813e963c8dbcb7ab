package verify

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tresor/orchestrator"
)

// released is the predecessor's mark that a buffer was copied; its sums do not have it.
const released = "ASYNC.OK"

// maxSumsFile bounds a checksum.crc that is believed, in bytes.
const maxSumsFile = 1 << 30

// inSumsFile tells whether a file has a line in checksum.crc: hidden ones and those in hidden directories have none, as with the predecessor, and neither
// have names with a line feed, which that form cannot hold. The manifest has them all.
func inSumsFile(p orchestrator.Path) bool {
	for part := range strings.SplitSeq(string(p), "/") {
		if part == "" || part[0] == '.' {
			return false
		}
	}
	return p != released && !ours(string(p)) && !strings.Contains(string(p), "\n")
}

// WriteSums writes checksum.crc: for each file "NAME:CRC SIZE " and a line feed, by name in the order of the C locale, in which services run. The
// predecessor had files at the top of a backup only; files in directories are listed by their path here.
func WriteSums(w io.Writer, files []orchestrator.FileSum) error {
	list := make([]*orchestrator.FileSum, 0, len(files))
	for i := range files {
		if inSumsFile(files[i].Path) {
			list = append(list, &files[i])
		}
	}
	slices.SortFunc(list, func(a, b *orchestrator.FileSum) int { return strings.Compare(string(a.Path), string(b.Path)) })
	b := bufio.NewWriter(w)
	for _, f := range list {
		if _, err := fmt.Fprintf(b, "%s:%d %d \n", f.Path, f.Cksum, f.Size); err != nil {
			return err
		}
	}
	return b.Flush()
}

// sumsError is a checksum.crc that was read, and is none.
type sumsError struct{ text string }

func (e *sumsError) Error() string { return "sums of a backup: " + e.text }

func sumsErrorf(format string, args ...any) error { return &sumsError{fmt.Sprintf(format, args...)} }

// ReadSums reads a checksum.crc, of ours or of the predecessor. What it returns has size and cksum only, in the order of names. Lines that are none are
// errors, which name them: a sums file that was cut off is no proof.
func ReadSums(r io.Reader) ([]orchestrator.FileSum, error) {
	var list []orchestrator.FileSum
	in := bufio.NewReader(io.LimitReader(r, maxSumsFile+1))
	read := int64(0)
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		if read += int64(len(line)); read > maxSumsFile {
			return nil, sumsErrorf("more than %d bytes", maxSumsFile)
		}
		if errors.Is(err, io.EOF) && line == "" {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("sums of a backup: %w", err)
		}
		f, ok := parseSums(line)
		if !ok {
			return nil, sumsErrorf("line %d: have %.200q, want NAME:CRC SIZE, a blank and a line feed", n, line)
		}
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b orchestrator.FileSum) int { return strings.Compare(string(a.Path), string(b.Path)) })
	for i := 1; i < len(list); i++ {
		if list[i].Path == list[i-1].Path {
			return nil, sumsErrorf("%q twice", list[i].Path)
		}
	}
	return list, nil
}

func parseSums(line string) (f orchestrator.FileSum, ok bool) {
	text, ok := strings.CutSuffix(line, " \n")
	colon := strings.LastIndexByte(text, ':')
	if !ok || colon <= 0 {
		return f, false
	}
	crc, size, ok := strings.Cut(text[colon+1:], " ")
	sum, err1 := strconv.ParseUint(crc, 10, 32)
	length, err2 := strconv.ParseInt(size, 10, 64)
	f = orchestrator.FileSum{Path: orchestrator.Path(text[:colon]), Cksum: uint32(sum), Size: length}
	return f, ok && err1 == nil && err2 == nil && length >= 0 && safePath(f.Path)
}

// safePath tells whether a path that somebody else wrote stays in the backup, and is written in the one way that we write it.
func safePath(p orchestrator.Path) bool {
	s := string(p)
	return filepath.IsLocal(s) && filepath.Clean(s) == s && s != "." && !strings.ContainsRune(s, 0)
}
