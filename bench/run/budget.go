package run

import (
	"slices"
	"time"
)

// budget decides what a round has time for.
type budget struct {
	end   time.Time                // nothing is begun that would end later
	last  time.Time                // what has not ended by then is interrupted
	costs map[string]time.Duration // of items, by name: the last one
}

func newBudget(start time.Time, limit time.Duration) *budget {
	// The end of a run takes time, too: volumes are closed and files removed.
	reserve := min(limit/10, 20*time.Second)
	return &budget{end: start.Add(limit - reserve), last: start.Add(limit - reserve/2), costs: map[string]time.Duration{}}
}

// note what an item took, without what it needed to do once only.
func (b *budget) note(i item, took time.Duration) { b.costs[i.name()] = took }

// fits tells whether an item can still be done.
func (b *budget) fits(i item, now time.Time) bool { return now.Add(b.costs[i.name()]).Before(b.end) }

// round returns the rows that are done in a round, of which left remain, this one included. A row is done for all its contenders or for none. Rows of
// lower rank are sure of all their rounds before those of higher rank get one; what is then left goes to rows of higher rank, as early as possible.
func (b *budget) round(rows [][]item, left int, now time.Time) [][]item {
	room := b.end.Sub(now)
	byRank := slices.Clone(rows)
	slices.SortStableFunc(byRank, func(x, y []item) int { return x[0].w.Rank - y[0].w.Rank })
	taken := map[string]bool{}
	for _, n := range []int{left, 1} {
		for _, row := range byRank {
			name := row[0].w.Name
			cost := b.cost(row) * time.Duration(n)
			if taken[name] || cost > room && (n > 1 || row[0].w.Rank > 0) {
				continue
			}
			taken[name] = true
			room -= cost
		}
	}
	var list [][]item
	for _, row := range rows {
		if taken[row[0].w.Name] {
			list = append(list, row)
		}
	}
	return list
}

// first returns the rows in the order of the first round, in which costs are not known yet: by rank, so that those that come late can be left out.
func (b *budget) first(rows [][]item) [][]item {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(x, y []item) int { return x[0].w.Rank - y[0].w.Rank })
	return rows
}

// affords tells, in the first round, whether a row can be begun without taking the time of rows of lower rank, which have as many rounds to come.
func (b *budget) affords(row []item, rows [][]item, rounds int, now time.Time) bool {
	if row[0].w.Rank == 0 {
		return true
	}
	for _, other := range rows {
		if other[0].w.Rank < row[0].w.Rank {
			now = now.Add(b.cost(other) * time.Duration(rounds))
		}
	}
	return now.Before(b.end)
}

// known tells whether an item was done already.
func (b *budget) known(i item) bool {
	_, ok := b.costs[i.name()]
	return ok
}

// cost of a row. What was never done is taken for as long as the longest that was; what is done once only costs nothing any more.
func (b *budget) cost(row []item) (sum time.Duration) {
	var longest time.Duration
	for _, c := range b.costs {
		longest = max(longest, c)
	}
	for _, i := range row {
		switch {
		case !b.known(i):
			sum += longest
		case !i.w.Once:
			sum += b.costs[i.name()]
		}
	}
	return sum
}
