// Package lifecycle holds the proof of what a mount does to the files beside the
// volume, who may mount it, and how it ends (format page, section 7). It has tests
// only.
package lifecycle
