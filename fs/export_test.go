package fs

import "github.com/sirupsen/logrus"

// Logger is what the mount tells an administrator.
func (m *Mounted) Logger() *logrus.Logger { return m.log }
