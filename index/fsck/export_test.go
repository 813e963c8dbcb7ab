package fsck

// LimitReports makes a repair keep fewer reports in memory than MaxReports.
func (v *Volume) LimitReports(n int) { v.maxReports = n }
