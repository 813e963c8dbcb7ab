package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Peek reads the journal in a directory without a lock and without changing anything, for a look at it while no queue is open, or beside one. Records that
// cannot be read are in the error; the others are returned.
func Peek(dir string) ([]Job, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Job
	var errs []error
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !e.Type().IsRegular() || strings.HasPrefix(id, ".") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it ended
		}
		var j Job
		_, data, _ := bytes.Cut(text, []byte("\n")) // the first line proves the rest, which the queue looks at
		if err == nil {
			err = json.Unmarshal(data, &j)
		}
		if err == nil {
			err = j.check(id)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("job %s: %w", id, err))
			continue
		}
		list = append(list, j)
	}
	inOrder(list)
	return list, errors.Join(errs...)
}
