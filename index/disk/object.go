package disk

import "time"

// Objects is what a file system can do besides FS: objects that are no regular files, and the attributes of all of them. The operating
// system's has it; disks in memory do not. Whoever needs it asks with a type assertion. Names are never followed: all calls are about a
// symlink itself.
type Objects interface {
	// Symlink makes a symlink to target, which may be any text.
	Symlink(target, name string) error
	// Readlink is the target of a symlink.
	Readlink(name string) (string, error)
	// Link gives a file another name.
	Link(oldName, newName string) error
	// Mknod makes a fifo, socket or device: the type bits of mode say which, dev is the kernel's number of a device.
	Mknod(name string, mode uint32, dev uint64) error
	// Attributes reads the attributes of an object.
	Attributes(name string) (*Attributes, error)
	// SetAttributes makes the attributes those of a; extended ones that a does not have are removed. A symlink has no mode of its own.
	// After an error some may be set.
	SetAttributes(name string, a *Attributes) error
}

// Attributes are what an object has besides type and content.
type Attributes struct {
	Mode     uint32 // permissions, set-id and sticky bits
	UID, GID uint32
	Access   time.Time
	Modified time.Time
	Extended map[string]string // extended attributes by their full names, access control lists among them
}
