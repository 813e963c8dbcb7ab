package volume

// StopMake ends makings before a step.
func (m *Manager) StopMake(stop func(before string) error) { m.stop = stop }

// StopCopy is called before each step of the cache.
func (m *Manager) StopCopy(step func(name string) error) { m.cache.Step = step }
