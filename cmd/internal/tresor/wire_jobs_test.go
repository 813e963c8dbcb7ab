package tresor

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/job"
	"tresor/orchestrator/verify"
)

// TestOnBufferWithoutManifest: a backup of ours on the buffer that has lost its manifest is proved by nothing, and is not copied as if it were the predecessor's.
func TestOnBufferWithoutManifest(t *testing.T) {
	name := orchestrator.BackupName("a", time.Date(2026, 5, 1, 20, 0, 0, 0, time.UTC))
	begun := time.Date(2026, 5, 1, 20, 0, 0, 0, time.UTC)
	ours := &orchestrator.Record{Name: name, Machine: "a", Source: "dir", Begun: begun, Copied: begun}
	for what, c := range map[string]struct {
		record *orchestrator.Record
		files  []string
		bad    bool
	}{
		"whole":                         {ours, []string{orchestrator.ManifestFile}, false},
		"its manifest is lost":          {ours, nil, true},
		"and it has sums":               {ours, []string{orchestrator.SumsFile}, true},
		"the predecessor's, with sums":  {nil, []string{orchestrator.SumsFile}, false},
		"the predecessor's, none":       {nil, []string{"STATUS.ok"}, false},
		"the predecessor's, was pinned": {&orchestrator.Record{Name: name, Machine: "a", Begun: begun, Pinned: true}, []string{"STATUS.ok"}, false},
	} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name)
			err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644))
			if c.record != nil {
				text, e := json.Marshal(c.record)
				err = errors.Join(err, e, os.WriteFile(filepath.Join(dir, orchestrator.RecordFile), text, 0o644))
			}
			for _, f := range c.files {
				switch f {
				case orchestrator.ManifestFile:
					err = errors.Join(err, verify.Describe(t.Context(), nil, dir, name, []orchestrator.FileSum{{Path: "file", Size: 1, SegmentSize: 4096, Segments: []orchestrator.Digest{{}}, Blake3: &orchestrator.Digest{}}}))
				case orchestrator.SumsFile:
					err = errors.Join(err, os.WriteFile(filepath.Join(dir, f), []byte("file:1 1 \n"), 0o644))
				default:
					err = errors.Join(err, os.WriteFile(filepath.Join(dir, f), nil, 0o644))
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			list, err := onBuffer(job.Job{Spec: job.Spec{Backup: name, Buffer: dir}})
			if c.bad != (err != nil) || err == nil && list == nil {
				t.Errorf("%+v, %v", list, err)
			}
		})
	}
}
