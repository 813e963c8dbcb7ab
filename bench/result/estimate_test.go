package result

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// seed is TRESOR_SEED, or a new one each time. It is printed.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("TRESOR_SEED: %v", err)
		}
	}
	t.Logf("TRESOR_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 1))
}

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Estimate
	}{
		{nil, Estimate{}},
		{[]float64{7}, Estimate{7, 7, 7, 0, 1}},
		{[]float64{3, 1}, Estimate{2, 1, 3, 0.5, 2}},
		{[]float64{9, 1, 4}, Estimate{4, 1, 9, 0.75, 3}},
		{[]float64{4, 3, 2, 1}, Estimate{2.5, 1, 4, 0.875, 4}},
		{[]float64{5, 4, 3, 2, 1}, Estimate{3, 1, 5, 0.9375, 5}},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, Estimate{5.5, 2, 8, 957. / 1024, 10}},
	} {
		have := Summarize(c.values)
		if math.Abs(have.Confidence-c.want.Confidence) > 1e-9 {
			t.Errorf("%v: confidence %v, want %v", c.values, have.Confidence, c.want.Confidence)
		}
		have.Confidence = c.want.Confidence
		if have != c.want {
			t.Errorf("%v: have %+v, want %+v", c.values, have, c.want)
		}
	}
}

func TestSummarizeLeavesItsArgument(t *testing.T) {
	values := []float64{3, 1, 2}
	Summarize(values)
	if !slices.Equal(values, []float64{3, 1, 2}) {
		t.Errorf("the samples are sorted now: %v", values)
	}
}

// TestSummarizeProperties: the interval lies around the median and within the samples; order does not matter; a factor goes through.
func TestSummarizeProperties(t *testing.T) {
	r := seed(t)
	for range 2000 {
		values := make([]float64, 1+r.IntN(30))
		for i := range values {
			values[i] = math.Exp(3 * r.NormFloat64())
		}
		e := Summarize(values)
		if e.Lo > e.Median || e.Median > e.Hi || e.Lo < slices.Min(values) || e.Hi > slices.Max(values) || e.Spread() < 0 {
			t.Fatalf("%v: %+v", values, e)
		}
		if len(values) >= 5 && e.Confidence < 0.9 {
			t.Fatalf("%d values: confidence %v", len(values), e.Confidence)
		}
		scaled := make([]float64, len(values))
		for i, v := range values {
			scaled[i] = 8 * v // exact
		}
		r.Shuffle(len(scaled), func(i, j int) { scaled[i], scaled[j] = scaled[j], scaled[i] })
		if s := Summarize(scaled); s.Median != 8*e.Median || s.Lo != 8*e.Lo || s.Hi != 8*e.Hi {
			t.Fatalf("%v: %+v, eight times as much: %+v", values, e, s)
		}
	}
}

// TestConfidence: the interval has the true median as often as it says, for times with a long tail.
func TestConfidence(t *testing.T) {
	r := seed(t)
	for _, n := range []int{2, 3, 5, 7, 12} {
		const repeats = 4000
		inside, said := 0, 0.0
		for range repeats {
			values := make([]float64, n)
			for i := range values {
				values[i] = 1 + r.ExpFloat64()
			}
			e := Summarize(values)
			said = e.Confidence
			if e.Lo <= 1+math.Ln2 && 1+math.Ln2 <= e.Hi {
				inside++
			}
		}
		if have := float64(inside) / repeats; have < said-0.03 {
			t.Errorf("%d samples: the interval of %.3f has the median in %.3f of all cases", n, said, have)
		}
	}
}

func TestScale(t *testing.T) {
	for _, c := range []struct {
		unit  Unit
		value float64
		want  string
	}{
		{BytesPerSecond, 2.123e9, "2.12 GB/s"}, {BytesPerSecond, 999.6e6, "1000 MB/s"}, {BytesPerSecond, 45.67e6, "45.7 MB/s"}, {BytesPerSecond, 12, "12.0 B/s"},
		{Seconds, 0.0352, "35.2 ms"}, {Seconds, 101.4, "101 s"}, {Seconds, 3e-8, "0.030 µs"},
		{OperationsPerSecond, 90123, "90.1 k op/s"}, {OperationsPerSecond, 9.996, "10.0 op/s"}, {Bytes, 318e6, "318 MB"},
	} {
		s := ScaleOf(c.unit, c.value)
		if have := s.Format(c.value) + " " + s.Name; have != c.want {
			t.Errorf("%v %s: have %q, want %q", c.value, c.unit, have, c.want)
		}
	}
}

func ExampleEstimate() {
	fmt.Println(Summarize([]float64{2.1, 2.0, 2.2, 2.1, 2.15}))
	// Output: 2.1 ±5%
}
