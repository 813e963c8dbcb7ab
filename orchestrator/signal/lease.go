package signal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Lease pauses copies for as long as it is held.
type Lease struct {
	folder *Folder
	owner  string
	ttl    time.Duration
	till   time.Time // zero: until Release
}

// Lease begins a pause of copies on behalf of owner. It ends by Release, or ttl after the last Renew; 0 is without an end. It holds also where the file for
// scripts cannot be written: the next look tries again, and tells the trouble.
func (f *Folder) Lease(owner string, ttl time.Duration) (*Lease, error) {
	if owner == "" || ttl < 0 {
		return nil, fmt.Errorf("lease of waita for %q, %s: want an owner and a time", owner, ttl)
	}
	l := &Lease{folder: f, owner: printable(owner), ttl: ttl}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.look()
	l.renewLocked()
	f.leases[l] = struct{}{}
	return l, nil
}

func (l *Lease) renewLocked() {
	if l.ttl > 0 {
		l.till = l.folder.clock.Now().Add(l.ttl)
	}
}

// Renew puts the end of the lease off. It is an error if it has ended.
func (l *Lease) Renew() error {
	f := l.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.leases[l]; !ok || !l.holdsLocked() {
		return fmt.Errorf("renew lease of waita for %s: it has ended", l.owner)
	}
	l.renewLocked()
	return nil
}

// Release ends the lease. A second call does nothing. The error is that of the file; the lease has ended all the same.
func (l *Lease) Release() error {
	f := l.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.look()
	if _, ok := f.leases[l]; !ok {
		return nil
	}
	delete(f.leases, l)
	return f.leasesLocked()
}

func (l *Lease) holdsLocked() bool { return l.till.IsZero() || l.folder.clock.Now().Before(l.till) }

func (f *Folder) heldLocked() bool {
	for l := range f.leases {
		if l.holdsLocked() {
			return true
		}
	}
	return false
}

// Owners returns who holds a lease, sorted.
func (f *Folder) Owners() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var owners []string
	for l := range f.leases {
		if l.holdsLocked() {
			owners = append(owners, l.owner)
		}
	}
	slices.Sort(owners)
	return owners
}

// leasesLocked ends leases whose time is over, and makes the file or removes it. The file of somebody else stays, whatever ends here.
func (f *Folder) leasesLocked() error {
	for l := range f.leases {
		if !l.holdsLocked() {
			delete(f.leases, l)
		}
	}
	there, ok := f.now[WaitA]
	if len(f.leases) > 0 && !ok {
		created, err := f.setLocked(WaitA, leased+", see tresor status")
		if s, is := f.now[WaitA]; is && created {
			f.own = s.id
		}
		return err
	}
	if len(f.leases) == 0 && f.own != (identity{}) {
		own := f.own
		f.own = identity{}
		if ok && there.id == own && strings.HasPrefix(there.Text, leased) {
			return errors.Join(f.remove(WaitA), f.again(WaitA))
		}
	}
	return nil
}
