package volume

// StopMake ends makings before a step.
func (m *Manager) StopMake(stop func(before string) error) { m.stop = stop }
