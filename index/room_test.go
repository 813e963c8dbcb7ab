package index_test

import (
	"testing"
	"time"

	"tresor/index"
)

// TestRoomAfterTheClockWasSetBack: an answer of the disk below that seems to come from the future is an old one.
func TestRoomAfterTheClockWasSetBack(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	if !r.vol.HasRoom(1) {
		t.Fatal("no room on an empty disk")
	}
	r.vol.SeenUntil(time.Now().Add(time.Hour)) // the clock was set back by an hour
	r.m.SetCapacity(4096)
	if r.vol.HasRoom(1) {
		t.Error("the disk is full and was not asked")
	}
	r.m.SetCapacity(0)
}
