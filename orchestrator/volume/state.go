package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"tresor/orchestrator/internal/statefile"
	"tresor/orchestrator/volume/internal/rotation"
)

// State is how far a volume has come.
type State string

// The states, in their order.
const (
	Absent      State = "absent"       // the disk is not connected
	Attached    State = "attached"     // it is
	Unlocked    State = "unlocked"     // and can be read
	DiskMounted State = "disk-mounted" // its file system is mounted
	Checking    State = "fsck"         // the engine mounts the volume, and checks it first where that is needed
	Mounted     State = "mounted"      // the volume can be used
	Draining    State = "draining"     // jobs end; no new ones
	Unmounted   State = "unmounted"    // the volume is closed; its disk is still mounted
	Ejectable   State = "ejectable"    // the disk is connected and mounted nowhere: it can be taken away
)

// ours tells whether a service that noted this state last had the disk mounted: one that was killed leaves it so.
func (s State) ours() bool {
	switch s {
	case DiskMounted, Checking, Mounted, Draining, Unmounted:
		return true
	}
	return false
}

// Transition is a change of the state of a volume, or something else that happened to it; then From and To are the same. Without a volume it is about all.
type Transition struct {
	Time     time.Time
	Volume   string
	From, To State
	Note     string // what was found or decided on the way
	Err      error  // why it went back
}

// memory is what is kept on the disk. It says what was intended; what is, the kernel says.
type memory struct {
	Current  string            `json:"current"` // name of the volume in use, "" for none
	Parent   string            `json:"parent"`  // its directory, as in the mount table: a disk that was pulled out cannot be asked
	Volumes  map[string]step   `json:"volumes"`
	Rotation rotation.Rotation `json:"rotation"`
	Second   map[string]string `json:"second,omitempty"` // names of volumes by their mount points
}

// step is the last known state of one volume.
type step struct {
	State State     `json:"state"`
	Since time.Time `json:"since"`
}

const (
	memoryFile  = "volumes.json"
	memoryLimit = 16 << 20 // bytes
)

// openMemory reads the state. One that is damaged is laid aside, and the work begins without: it says nothing that the kernel does not know but the order
// of the rotation. damaged says that this was so. With look nothing is changed.
func openMemory(dir string, look bool) (root *os.Root, mem memory, damaged, err error) {
	if !look {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, mem, nil, fmt.Errorf("state of the volumes: %w", err)
		}
	}
	root, err = os.OpenRoot(dir)
	if err != nil {
		return nil, mem, nil, fmt.Errorf("state of the volumes: %w", err)
	}
	data, err := statefile.Read(root, memoryFile, memoryLimit)
	if err == nil {
		if damaged = json.Unmarshal(data, &mem); damaged != nil {
			if mem = (memory{}); !look {
				err = root.Rename(memoryFile, memoryFile+".damaged")
			}
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, mem, nil, errors.Join(fmt.Errorf("state of the volumes, %s/%s: %w", dir, memoryFile, err), root.Close())
	}
	if mem.Volumes == nil {
		mem.Volumes = map[string]step{}
	}
	if mem.Second == nil {
		mem.Second = map[string]string{}
	}
	return root, mem, damaged, nil
}

func (mem *memory) save(root *os.Root) error {
	data, err := json.MarshalIndent(mem, "", "\t")
	if err == nil {
		err = statefile.ReplaceBytes(root, memoryFile, 0o600, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("state of the volumes: %w", err)
	}
	return nil
}
