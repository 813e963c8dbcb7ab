package node

// SetFsync replaces the call that syncs directories.
func (c *Config) SetFsync(fsync func(fd int) error) { c.fsync = fsync }

// SetSyncfs replaces the call that syncs all.
func (c *Config) SetSyncfs(syncfs func(fd int) error) { c.syncfs = syncfs }
