package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tresor/bench/result"
)

var update = flag.Bool("update", false, "write the golden files anew")

// example is a run such as ddbench makes.
func example(t *testing.T) *result.Run {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := result.ReadJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func svgOf(t *testing.T, r *result.Run) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := WriteSVG(&out, r); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func pngOf(t *testing.T, r *result.Run) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := WritePNG(&out, r); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestGolden: the same record gives the same SVG. PICTURE names a directory to which both forms are written, to be looked at.
func TestGolden(t *testing.T) {
	svg := svgOf(t, example(t))
	if dir := os.Getenv("PICTURE"); dir != "" {
		for name, data := range map[string][]byte{"example.svg": svg, "example.png": pngOf(t, example(t))} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	path := filepath.Join("testdata", "example.svg")
	if *update {
		if err := os.WriteFile(path, svg, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(svg, want) {
		t.Errorf("%s differs; look at the new picture (PICTURE=DIR), then go test -update writes it anew", path)
	}
}

// TestPNG: it shows the same page, with twice as many pixels each way.
func TestPNG(t *testing.T) {
	r := example(t)
	r.Series = slices.DeleteFunc(r.Series, func(s *result.Series) bool { // few rows: pixels take their time with the race detector
		return s.Workload != "write-unique/128k/1" && s.Workload != "archive-create"
	})
	s, err := layOut(r)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(pngOf(t, r)))
	if err != nil {
		t.Fatal(err)
	}
	if b := img.Bounds(); b.Dx() != int(2*s.width) || b.Dy() != int(2*s.height) {
		t.Errorf("%v pixels, want twice of %v x %v", b, s.width, s.height)
	}
	// Every contender has its colour somewhere.
	seen := map[color.RGBA]bool{}
	for y := 0; y < img.Bounds().Dy(); y += 4 {
		for x := 0; x < img.Bounds().Dx(); x += 5 {
			seen[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)] = true
		}
	}
	for _, series := range r.Series {
		if !seen[colour(series.Contender)] {
			t.Errorf("the PNG has no pixel in the colour of %s", series.Contender)
		}
	}
}

// box is a shape's room on the page.
type box struct {
	left, top, right, bottom float64
	text                     string
}

func boxes(s *sheet) (texts, bars []box) {
	for _, h := range s.shapes[1:] {
		if h.text == "" {
			if h.h == barHeight {
				bars = append(bars, box{h.x, h.y, h.x + h.w, h.y + h.h, fmt.Sprint("bar at ", h.x, h.y)})
			}
			continue
		}
		// Letters reach from their ascent to a little below their base line.
		texts = append(texts, box{h.left(), h.y - 0.75*h.h, h.left() + h.w, h.y + 0.2*h.h, h.text})
	}
	return texts, bars
}

func (b box) hits(o box) bool {
	const touch = 0.01
	return b.left < o.right-touch && o.left < b.right-touch && b.top < o.bottom-touch && o.top < b.bottom-touch
}

func checkPage(t *testing.T, s *sheet) {
	t.Helper()
	texts, bars := boxes(s)
	for i, b := range texts {
		if b.left < 0 || b.top < 0 || b.right > s.width || b.bottom > s.height {
			t.Fatalf("text outside of the page of %v x %v: %+v", s.width, s.height, b)
		}
		for _, o := range texts[i+1:] {
			if b.hits(o) {
				t.Fatalf("texts overlap: %+v and %+v", b, o)
			}
		}
		for _, o := range bars {
			if b.hits(o) {
				t.Fatalf("a text lies on a bar: %+v and %+v", b, o)
			}
		}
	}
	for _, h := range s.shapes {
		for _, v := range []float64{h.x, h.y, h.w, h.h} {
			if math.IsNaN(v) || v < -0.001 || v > 1e7 {
				t.Fatalf("a shape is nowhere: %+v", h)
			}
		}
	}
}

func TestNothingOverlaps(t *testing.T) {
	s, err := layOut(example(t))
	if err != nil {
		t.Fatal(err)
	}
	checkPage(t, s)
}

// TestAnyRun: however many workloads and contenders, however long their names and whatever their values.
func TestAnyRun(t *testing.T) {
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("TRESOR_SEED: %v", err)
		}
	}
	t.Logf("TRESOR_SEED=%d", n)
	rnd := rand.New(rand.NewPCG(n, 2))
	known := example(t)
	for range 40 {
		s, err := layOut(randomRun(t, rnd, known))
		if err != nil {
			t.Fatal(err)
		}
		checkPage(t, s)
	}
}

func randomRun(t *testing.T, rnd *rand.Rand, known *result.Run) *result.Run {
	t.Helper()
	r := &result.Run{Machine: result.Machine{CPU: strings.Repeat("Long Name ", rnd.IntN(40)), Cores: rnd.IntN(64)}}
	if rnd.IntN(2) == 0 {
		r.Void = strings.Repeat("busy ", 1+rnd.IntN(100))
	}
	units := []result.Unit{result.BytesPerSecond, result.OperationsPerSecond, result.Seconds, result.Bytes}
	for range rnd.IntN(40) {
		workload := strings.Repeat("w", 1+rnd.IntN(4)) + "/" + strings.Repeat("Wide", rnd.IntN(40)) + "/1"
		if rnd.IntN(2) == 0 {
			workload = known.Series[rnd.IntN(len(known.Series))].Workload
		}
		unit := units[rnd.IntN(len(units))]
		for range 1 + rnd.IntN(12) {
			contender := []string{"raw", "null", "ours-BLAKE3", "loopback", strings.Repeat("M", 1+rnd.IntN(80)), fmt.Sprint("c", rnd.IntN(99))}[rnd.IntN(6)]
			if old := r.Find(workload, contender); old != nil {
				continue
			}
			value := math.Exp(float64(rnd.IntN(60) - 20))
			for round := range 1 + rnd.IntN(6) {
				v := value * math.Exp(rnd.NormFloat64()*rnd.Float64())
				if err := r.AddSample(workload, contender, unit, result.Sample{Round: round, Value: v}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return r
}

// TestExtremes: values at the ends of what a record may hold end neither in an endless axis nor in a shape without a place.
func TestExtremes(t *testing.T) {
	for _, values := range [][]float64{{5e-324}, {1e308, 1e307}, {1e-300, 1e300}, {1}} {
		r := &result.Run{}
		for i, v := range values {
			for _, w := range []string{"write-known/128k/1", "read-warm/128k/1"} {
				for _, c := range []string{"raw", "ours-BLAKE3"} {
					if err := r.AddSample(w, fmt.Sprint(c, strings.Repeat("'", i)), result.BytesPerSecond, result.Sample{Value: v}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		s, err := layOut(r)
		if err != nil {
			t.Fatal(err)
		}
		checkPage(t, s)
	}
}

// TestManyRows: the PNG of a picture of any height stays within its memory.
func TestManyRows(t *testing.T) {
	r := &result.Run{}
	for i := range 700 {
		if err := r.AddSample(fmt.Sprintf("w%d/%dk", i/9, i), "ours-BLAKE3", result.Seconds, result.Sample{Value: 1}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := layOut(r)
	if err != nil {
		t.Fatal(err)
	}
	if pixels := s.width * s.height * s.scale() * s.scale(); pixels > maxPixels+1 || pixels < maxPixels/3 {
		t.Errorf("%v pixels for a page of %v x %v, want %d", pixels, s.width, s.height, maxPixels)
	}
	checkPage(t, s)
}

// TestHostileNames: the SVG is well-formed XML whatever is in the record, and shows it as it is.
func TestHostileNames(t *testing.T) {
	const name = `</text><script>alert("1")</script>&amp;` + "\x00\xff"
	r := &result.Run{Void: name, Revision: result.Revision{Git: name}, Machine: result.Machine{CPU: name}}
	if err := r.AddSample(name, name, result.Seconds, result.Sample{Value: 1}); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(svgOf(t, r)))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "script" {
			t.Fatal("a name became an element")
		}
	}
}

type fullDisk struct{ after int }

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.after -= len(b); d.after < 0 {
		return 0, errors.New("no space")
	}
	return len(b), nil
}

func TestWriteErrors(t *testing.T) {
	r := example(t)
	for _, after := range []int{0, 5000, 20000} {
		if err := WriteSVG(&fullDisk{after}, r); err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("SVG, full after %d bytes: %v", after, err)
		}
	}
	if err := WritePNG(&fullDisk{1000}, &result.Run{}); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("PNG: %v", err)
	}
}
