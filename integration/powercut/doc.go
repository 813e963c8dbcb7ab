// Package powercut cuts the power of a guest machine while a volume in it is written, reclaimed and checkpointed, and holds
// that what was synced is there afterwards, that the rest is right or missing, and that the mount repairs by itself. It shows as well that it
// would notice if the product did not sync. It has tests only; they need a built guest (environment variable VMLAB, see docs/testing.md).
package powercut
