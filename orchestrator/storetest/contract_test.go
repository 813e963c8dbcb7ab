package storetest_test

import (
	"testing"

	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
)

func TestPlainPassesTheContract(t *testing.T) {
	storetest.Contract(t, func(t *testing.T) orchestrator.Store { return storetest.Dir(t.TempDir()) })
}
