// Package full holds the proof that running out of room is clean: writes say so,
// what was written before stays right, the volume can be unmounted and is sound,
// and deleting and reclaiming makes room again. It has tests only.
package full
