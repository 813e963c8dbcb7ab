package damage

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tresor/index/alter"
)

// seedVariable, longVariable and casesVariable choose the seed of the run, the long form, and how many cases it has.
const (
	seedVariable  = "TRESOR_SEED"
	longVariable  = "TRESOR_LONG"
	casesVariable = "TRESOR_CASES"
)

// The number of cases in CI, and in the long form.
const (
	fewCases  = 400
	manyCases = 10_000
)

// bases are made from a seed of their own, so that a case is told by one number.
func bases(t testing.TB) (list []*base) {
	for _, s := range shapes() {
		list = append(list, newBase(t, s, 1))
	}
	return list
}

func long() bool { return os.Getenv(longVariable) == "1" }

// seed is TRESOR_SEED, or a new one.
func seed(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv(seedVariable)
	if text == "" {
		return rand.Uint64() >> 16 << 16
	}
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		t.Fatalf("%s: %v", seedVariable, err)
	}
	return n
}

// tally adds up what came of the cases.
type tally struct {
	mu       sync.Mutex // guards the rest
	cases    int
	kinds    map[alter.Kind]int
	out      outcome
	refused  int
	rebuilt  int
	failures []*trial
}

func (y *tally) add(c *trial) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.cases++
	for _, s := range c.steps {
		y.kinds[s.kind]++
	}
	y.out.files += c.out.files
	y.out.recoverable += c.out.recoverable
	y.out.recovered += c.out.recovered
	y.out.lost += c.out.lost
	y.out.decayed += c.out.decayed
	y.refused += min(len(c.refused), 1)
	if c.rebuilt {
		y.rebuilt++
	}
	if len(c.problems) > 0 {
		y.failures = append(y.failures, c)
	}
}

func (y *tally) String() string {
	var kinds []string
	for k, n := range y.kinds {
		kinds = append(kinds, fmt.Sprintf("%s %d", k, n))
	}
	slices.Sort(kinds)
	return fmt.Sprintf("%d cases (%d with a refused repair, %d that needed all blocks hashed); %d files: %d recoverable, %d recovered, "+
		"%d lost or changed by the damage; %d kinds: %s", y.cases, y.refused, y.rebuilt, y.out.files, y.out.recoverable, y.out.recovered,
		y.out.lost, len(kinds), strings.Join(kinds, ", "))
}

// runAll runs n cases on all processors; get gives them.
func runAll(n int, get func(i int) (b *base, name string, pl plan)) *tally {
	y := &tally{kinds: map[alter.Kind]int{}}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				y.add(guarded(get(i)))
			}
		})
	}
	wg.Wait()
	slices.SortFunc(y.failures, func(a, b *trial) int { return len(a.damages) - len(b.damages) })
	return y
}

// report prints the tally and fails the test for each case that did.
func (y *tally) report(t *testing.T) {
	t.Helper()
	t.Log(y)
	const shown = 8
	for _, c := range y.failures[:min(len(y.failures), shown)] {
		t.Errorf("%v", c)
	}
	if len(y.failures) > 0 {
		t.Errorf("%d of %d cases fail", len(y.failures), y.cases)
	}
}

// guarded turns a panic into a problem of the case.
func guarded(b *base, name string, pl plan) (c *trial) {
	defer func() {
		if r := recover(); r != nil {
			stack := make([]byte, 8<<10)
			c = &trial{name: name, plan: pl, b: b, problems: []string{fmt.Sprintf("panic: %v\n%s", r, stack[:runtime.Stack(stack, false)])}}
		}
	}()
	return runTrial(b, name, pl)
}

// TestRandomDamage is the test of ten thousand damages.
func TestRandomDamage(t *testing.T) {
	n := fewCases
	if long() {
		n = manyCases
	}
	if text := os.Getenv(casesVariable); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", casesVariable, err)
		}
	}
	first := seed(t)
	t.Logf("%d cases from seed %d on; %s=SEED %s=1 runs one of them", n, first, seedVariable, casesVariable)
	list := bases(t)
	y := runAll(n, func(i int) (*base, string, plan) {
		s := first + uint64(i)
		pl := draw(s, len(list))
		return list[pl.base], fmt.Sprintf("seed %d", s), pl
	})
	y.report(t)
	if y.out.recoverable < y.out.files/2 {
		t.Errorf("%d of %d files were recoverable: the damage is too great to prove anything", y.out.recoverable, y.out.files)
	}
}
