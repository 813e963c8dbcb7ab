package disktest_test

import (
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
)

func TestMemory(t *testing.T) {
	disktest.Suite(t, func() disk.FS { return disktest.New() })
}

func TestOS(t *testing.T) { disktest.Suite(t, disk.OS) }
