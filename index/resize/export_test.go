package resize

import (
	"encoding/binary"
	"os"
	"slices"

	"tresor/index"
	"tresor/index/disk"
)

// Forged is a state of a resize as a test wants it, with valid sums.
type Forged struct {
	Phase, Old, New, From, Place string
	Pieces                       []ForgedPiece // in the journal, as batch 1
	Part                         *ForgedPiece  // in the list of what is done
}

// ForgedPiece is one run of data of a file, the last of it.
type ForgedPiece struct {
	Path   string
	Ino    uint64
	Length int64
	Off    int64
	Data   []byte
}

// Write puts the files of a forged resize into the volume.
func (f *Forged) Write(p *index.Parent) error {
	s := state{phase: phase(f.Phase), old: f.Old, new: f.New, from: f.From, place: f.Place}
	files := map[string][]byte{".ddfsresize": s.encode(), ".rebuildfsck": []byte(s.claim())}
	if f.Phase == string(converting) {
		files[doneName] = nil
	}
	if f.Part != nil {
		b := binary.AppendUvarint(nil, 1)
		b = binary.AppendUvarint(b, 0)
		b = binary.AppendUvarint(b, 1)
		b = appendBytes(b, []byte(f.Part.Path))
		b = binary.AppendUvarint(b, f.Part.Ino)
		b = appendBytes(b, nil)
		b = binary.AppendUvarint(b, uint64(f.Part.Length))
		b = binary.AppendUvarint(b, 1)
		files[doneName] = sealRecord(b)
	}
	var pieces []piece
	for _, x := range f.Pieces {
		pieces = append(pieces, piece{path: x.Path, ino: x.Ino, length: x.Length, last: true, runs: []run{{off: x.Off, data: x.Data}}})
	}
	if pieces != nil {
		files[redoName] = encodeBatch(1, pieces)
	}
	for name, data := range files {
		if err := disk.WriteFileAtomic(p.FS, p.Path(name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// JournalPaths are the files in the journal that is not known to be applied, none where there is no such.
func JournalPaths(fs disk.FS, dir string) ([]string, error) {
	c := &converter{r: &resizer{p: &index.Parent{FS: fs, Dir: dir}}, done: &doneList{}}
	number, pieces, err := c.readJournal()
	if err != nil || number == 0 {
		return nil, err
	}
	if c.done.f, err = fs.OpenFile(dir+"/"+doneName, os.O_RDONLY, 0); err != nil {
		return nil, err
	}
	defer c.done.f.Close()
	if err := c.done.load(); err != nil || number <= c.done.batches {
		return nil, err
	}
	var paths []string
	for i := range pieces {
		paths = append(paths, pieces[i].path)
	}
	return slices.Compact(paths), nil
}

// Peek returns phase and new configuration of the resize that is unfinished, none where there is none.
func Peek(fs disk.FS, dir string) (phase, next string) {
	st, err := loadState(&index.Parent{FS: fs, Dir: dir})
	if err != nil || st == nil {
		return "", ""
	}
	return string(st.phase), st.new
}
