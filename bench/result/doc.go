// Package result owns what a run of the benchmark found out: the record of a run, its JSON form, and what is concluded from it, that is
// medians with their confidence, the ratios of the table of figures (docs/performance.md), a text table, and the comparison of two runs.
//
// It promises that a record says what it was measured on (Machine, Revision, Options), that no sample is left out of a conclusion (there is no
// search for outliers), and that a conclusion for which samples are missing is "not measured", never a number. It measures nothing itself.
//
// Values are in base units without prefixes: bytes per second, seconds, operations per second, bytes. Printing chooses the prefix
// (powers of ten).
//
// Nothing here may be used by several goroutines at once: the runner measures one thing at a time.
package result
