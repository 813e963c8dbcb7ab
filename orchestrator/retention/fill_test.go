package retention_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"tresor/orchestrator/retention"
)

func TestRecalculate(t *testing.T) {
	base := retention.Fill{Machines: 4, Backups: 43, Used: 87_900, Total: 100_000, Max: 50, Min: 4, FillMax: 85}
	with := func(change func(*retention.Fill)) retention.Fill {
		f := base
		change(&f)
		return f
	}
	for name, c := range map[string]struct {
		fill               retention.Fill
		versions, override int
		formula            int
		small              bool
	}{
		"above: 43/4=10, 10×85/87=9":     {base, 9, 9, 9, false},
		"used is truncated":              {with(func(f *retention.Fill) { f.Used = 80_999 }), 50, 0, 0, false},
		"just above the start":           {with(func(f *retention.Fill) { f.Used = 81_000 }), 10, 10, 10, false},
		"below: the file goes":           {with(func(f *retention.Fill) { f.Used, f.Override = 50_000, 7 }), 50, 0, 0, false},
		"an old override is no bound":    {with(func(f *retention.Fill) { f.Override = 7 }), 9, 9, 9, false},
		"more than the maximum":          {with(func(f *retention.Fill) { f.Backups, f.Max = 400, 50 }), 50, 50, 97, false},
		"less than the minimum":          {with(func(f *retention.Fill) { f.Backups = 12 }), 4, 4, 2, true},
		"maximum below the minimum":      {with(func(f *retention.Fill) { f.Max = 2 }), 2, 2, 9, false},
		"no machine":                     {with(func(f *retention.Fill) { f.Machines, f.Override = 0, 7 }), 7, 7, 0, false},
		"no volume":                      {with(func(f *retention.Fill) { f.Total = 0 }), 50, 0, 0, false},
		"no maximum":                     {with(func(f *retention.Fill) { f.Max = 0 }), 0, 0, 0, false},
		"empty, and a tiny maximum fill": {with(func(f *retention.Fill) { f.Used, f.FillMax = 0, 3 }), 50, 0, 0, false},
		"no backup, but full":            {with(func(f *retention.Fill) { f.Backups = 0 }), 4, 4, 0, true},
		"exabytes":                       {with(func(f *retention.Fill) { f.Used, f.Total = math.MaxInt64/100*87, math.MaxInt64 }), 9, 9, 9, false},
		"more used than there is":        {with(func(f *retention.Fill) { f.Used = math.MaxInt64 }), 8, 8, 8, false},
	} {
		l := retention.Recalculate(c.fill)
		if l.Versions != c.versions || l.Override != c.override || l.Formula != c.formula || l.TooSmall != c.small || l.Reason == "" {
			t.Errorf("%s: %+v: have %+v, want versions %d, override %d, formula %d, too small %v", name, c.fill, l, c.versions, c.override, c.formula, c.small)
		}
	}
}

// legacy is the formula as it is specified, step by step: the new limit, 0 for "the file is deleted", -1 for "too small, nothing is written".
func legacy(v, d, u, fillmax int64) int64 {
	if u <= fillmax-5 {
		return 0
	}
	avg := d / v
	b := avg * fillmax / u
	if b > 3 {
		return b
	}
	return -1
}

func TestRecalculateAgainstFormula(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 0))
	for range 20_000 {
		f := retention.Fill{
			Machines: 1 + r.IntN(30), Backups: r.IntN(900), Total: 1 + r.Int64N(1<<45), Max: 1 + r.IntN(60), Min: 4, FillMax: 20 + r.IntN(81),
			Override: r.IntN(3) * r.IntN(40),
		}
		f.Used = r.Int64N(f.Total + 1)
		want := legacy(int64(f.Machines), int64(f.Backups), int64(float64(f.Used)/float64(f.Total)*100+1e-9), int64(f.FillMax))
		l := retention.Recalculate(f)
		switch {
		case want == 0:
			if l.Override != 0 || l.Versions != f.Max {
				t.Fatalf("%+v: have %+v, want no override", f, l)
			}
		case want < 0:
			if !l.TooSmall || l.Versions != min(f.Min, f.Max) {
				t.Fatalf("%+v: have %+v, want too small", f, l)
			}
		default:
			if l.Override != int(min(want, int64(f.Max))) || l.Versions != l.Override || l.TooSmall {
				t.Fatalf("%+v: have %+v, want %d, clamped", f, l, want)
			}
		}
	}
}
