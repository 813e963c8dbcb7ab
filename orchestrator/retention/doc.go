// Package retention decides which backups are kept and which are deleted, and gives a reason for each.
//
//	Recalculate(Fill) Limit           fill control: how many versions of each machine the volume holds (before pruning)
//	Make(Input) Plan                  pure: the same input, the same plan
//	Plan.WriteText, JSON of Plan      the calendar of a dry run
//	Apply(ctx, Plan, Catalogue, busy) deletes what the plan says, oldest first, looking at each backup again
//	ApplyEvidence(ctx, Plan, …)       the same for copies that differed from their source
//
// Rules. A backup is kept if one of them keeps it; machines are matched by their whole name.
//
//   - versions: the newest N of a machine. Failed backups (mismatch, unreadable) take no good one's place: as evidence those are kept that are newer
//     than the oldest good one kept here, and at most N.
//   - daily, weekly (ISO), monthly, yearly: in this order, in each rule the newest of each period, N periods. A backup that an earlier one of these
//     four keeps marks its period and is not counted again. Failed and unverified ones never count. One whose verification was skipped on purpose
//     counts where a period has no verified one, else a volume without verification would lose everything.
//
// Against the rules, unverified backups (nobody looked, nobody skipped it) that are older than a number of whole days are deleted. Those of the
// predecessor are not: that it left no sums may mean that it was told to make none.
//
// Fill control and KEEPVERSIONS replace the number of versions that the volume or the file has; what is set for a machine alone they only lower.
//
// Copies that differed from their source twice, and are kept as evidence in the staging folder, count for fill control, since they take room. They go when
// they are older than a number of whole days and a verified backup of their machine that is whole and as new, or newer, is kept on the volume: never while they are
// the only copy.
//
// Whatever the rules say, these are kept: what is pinned; what a job or a restore uses; the last verified backup of a machine, the last verified one
// that is whole, and the newest one of a machine that has none; all of machines that are not configured; all, where no rule is set; those whose
// date lies in the future, which take no place of another one either.
package retention
