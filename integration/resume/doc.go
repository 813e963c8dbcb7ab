// Package resume tests that a copy which was killed goes on where it was: the built programs, a volume on a loop device, and a source on another one, whose
// reads the kernel counts. It takes gigabytes, and runs with TRESOR_LONG only; the short form is in orchestrator/job.
package resume
