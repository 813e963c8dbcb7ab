package fs

import (
	"github.com/sirupsen/logrus"

	"tresor/fs/socket"
)

// Logger is what the mount tells an administrator.
func (m *Mounted) Logger() *logrus.Logger { return m.log }

// Survived is what becomes of an operation of the control socket.
func (m *Mounted) Survived(op socket.Operation) socket.Operation { return m.survived(op) }
