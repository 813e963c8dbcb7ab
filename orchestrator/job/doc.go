// Package job owns the durable queue of copies into a volume: each job brings one backup of one machine into bazaar/, or ends as failed with its reason.
//
//	Open, Add ──▶ held ─▶ queued ─▶ copying ─▶ copied ─▶ verifying ─▶ verified ─▶ published     Queue.Work walks a job along this line
//	                        ▲                                 └─▶ crc_failed ─┐            ▲
//	                        └── once: copied anew ────────────────────────────┴─▶ failed   └── from copied, where somebody wants no verification
//
// What it promises, whenever the process is killed:
//
//   - A job is a file of the journal; what is known when a step has ended is durable before the next one begins. Each job ends once.
//   - bazaar.tmp/<backup>.partial is being copied, bazaar.tmp/<backup> is copied and not verified, bazaar/<backup> is verified, or says in its record
//     that somebody asked for no verification. Nothing gets there in another way. A copy that differed twice stays as bazaar.tmp/<backup>.crc-failed. The folders
//     are called as Volume.Folder says; what others have put there stays.
//   - Whether a copy is verified is decided when it would be, for the volume that it lies on.
//   - A copy goes on where it was, in the middle of a file (package copier below). On another volume it begins anew, and what it left on the old one is
//     removed when that comes back. What was proved on an earlier mount of the volume is proved again: a repair may have changed it since.
//   - What comes from the buffer is what was put there, where that is known.
//   - The source is released after the publication, or when an operator drops the job, and never before.
//   - One volume has one writer, jobs are begun in the order of their backups, and those of one machine never pass each other.
//
// The queue does not wait: Work does what can be done now, and Ready says what that is.
package job
