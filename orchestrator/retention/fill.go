package retention

import (
	"fmt"
	"math/bits"
)

// hysteresis is how many percent below the maximum the recalculation begins: a volume just below the limit does not change its mind at each switch.
const hysteresis = 5

// Fill is what fill control looks at.
type Fill struct {
	Machines int   // that are configured, over all servers and sources
	Backups  int   // directories of backups on the volume; foreign ones do not count
	Used     int64 // bytes of blocks in use, from the statistics of the volume
	Total    int64 // bytes of different data that the volume has room for
	Max      int   // volume_versions: the most that is kept of each machine
	Min      int   // min_versions: the least
	FillMax  int   // percent of Total that may be used
	Override int   // KEEPVERSIONS of the volume; 0: there is none
}

// Limit is what fill control decides.
type Limit struct {
	Versions    int    `json:"versions"`  // of each machine, to prune with
	Override    int    `json:"override"`  // what KEEPVERSIONS is to hold from now on; 0: no such file
	UsedPercent int    `json:"used"`      // truncated
	Average     int    `json:"average"`   // backups of each machine, truncated
	Formula     int    `json:"formula"`   // what the formula gave before it was brought within the bounds; 0: it was not used
	TooSmall    bool   `json:"too_small"` // the formula allows less than Min: the disk is too small for what is backed up
	Reason      string `json:"reason"`
}

// Recalculate decides how many versions of each machine a volume holds from now on. All divisions truncate. With D backups of V machines, of which u
// percent of the volume are used:
//
//	u > FillMax-5:  (D/V × FillMax) / u, but at least Min and at most Max (Max counts, where Min is more)
//	else:           Max, and no KEEPVERSIONS
//
// Where that cannot be computed (no machine, no volume, no maximum) all stays as it is. KEEPVERSIONS that an administrator wrote goes as well when the
// volume is not full: the predecessor did so.
func Recalculate(f Fill) Limit {
	l := Limit{Versions: f.Max, Override: f.Override}
	if f.Override > 0 {
		l.Versions = f.Override
	}
	if f.Total <= 0 || f.Used < 0 || f.Machines <= 0 || f.Backups < 0 || f.Max <= 0 {
		l.Reason = fmt.Sprintf("not recalculated: %d machines, %d backups, at most %d versions, %d of %d bytes used", f.Machines, f.Backups, f.Max, f.Used, f.Total)
		return l
	}
	l.UsedPercent = percent(f.Used, f.Total)
	l.Average = f.Backups / f.Machines
	start := f.FillMax - hysteresis
	if l.UsedPercent <= start || l.UsedPercent == 0 {
		l.Versions, l.Override = f.Max, 0
		l.Reason = fmt.Sprintf("%d %% used, no more than %d %%: volume_versions holds", l.UsedPercent, start)
		return l
	}
	l.Formula = l.Average * f.FillMax / l.UsedPercent
	l.TooSmall = l.Formula < f.Min
	l.Versions = min(max(l.Formula, f.Min, 1), f.Max)
	l.Override = l.Versions
	l.Reason = fmt.Sprintf("%d %% used, more than %d %%: %d backups / %d machines = %d, × %d / %d = %d", l.UsedPercent, start,
		f.Backups, f.Machines, l.Average, f.FillMax, l.UsedPercent, l.Formula)
	if l.Versions != l.Formula {
		l.Reason += fmt.Sprintf(", within %d to %d: %d", f.Min, f.Max, l.Versions)
	}
	if l.TooSmall {
		l.Reason += "; the disk is too small"
	}
	return l
}

// percent is used × 100 / total, truncated, without overflow; more than all is all.
func percent(used, total int64) int {
	hi, lo := bits.Mul64(uint64(min(used, total)), 100)
	q, _ := bits.Div64(hi, lo, uint64(total)) // hi < total, since the quotient is at most 100
	return int(q)
}
