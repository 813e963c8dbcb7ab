package fsck

import "tresor/index"

// Of describes the volume of a parent directory, and has it lock an index that a repair makes. The caller still has to load what is known of how
// it was left (LoadState).
func Of(p *index.Parent) *Volume {
	return &Volume{FS: p.FS, Dir: p.Dir, Root: p.Root, Config: p.Config, Geometry: p.Geometry, IndexPath: p.IndexPath,
		BlocksPath: p.BlocksPath, Unclean: p.ForeignIndex, own: p.LockFiles}
}
