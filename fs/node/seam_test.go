package node

// SetFsync replaces the call that syncs directories.
func (c *Config) SetFsync(fsync func(fd int) error) { c.fsync = fsync }
