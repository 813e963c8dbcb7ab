package disk

// Silence keeps a device from answering until the channel is closed.
func (d *Disk) Silence(path string, until <-chan struct{}) {
	d.probe = func(p string) (kind, uuid string, err error) {
		if p == path {
			<-until
		}
		return probePath(p)
	}
}

// SlowUnmount keeps an unmount in the kernel, after the mount has gone from the table, until the channel is closed.
func (d *Disk) SlowUnmount(until <-chan struct{}) {
	unmount := d.unmount
	d.unmount = func(dir string) error {
		err := unmount(dir)
		<-until
		return err
	}
}
