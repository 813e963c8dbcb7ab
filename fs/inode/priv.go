package inode

import "sync/atomic"

// Privileges that a write to a file takes away from it. A set bit in a
// PrivCache means that the file does not have that one.
const (
	PrivNoSuid = 1 << iota // neither set-user-id nor an executable set-group-id bit
	PrivNoCaps             // no security.capability attribute
	privStep               // one Forget
)

// PrivCache spares a look at mode and attributes on every write. The zero value
// knows nothing. Safe for concurrent use.
type PrivCache struct{ v atomic.Uint64 }

// Known tells whether all the bits of need are known; if not, seen is to be
// handed to Learn after looking.
func (p *PrivCache) Known(need uint64) (seen uint64, ok bool) {
	seen = p.v.Load()
	return seen, seen&need == need
}

// Learn sets bits, unless Forget was called since seen was read.
func (p *PrivCache) Learn(seen, bits uint64) { p.v.CompareAndSwap(seen, seen|bits) }

// Forget clears all bits; to be called after every change of mode, ACL or capability.
func (p *PrivCache) Forget() {
	for {
		old := p.v.Load()
		if p.v.CompareAndSwap(old, (old+privStep)&^(privStep-1)) {
			return
		}
	}
}
