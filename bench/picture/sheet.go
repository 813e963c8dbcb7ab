package picture

import (
	"fmt"
	"image/color"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// sheet is a picture before it is written: shapes in the order in which they cover each other. Places and sizes are in pixels of the
// SVG; y grows downwards.
type sheet struct {
	width, height float64
	shapes        []shape
	fonts         *fonts
}

// shape is a filled rectangle, or a text if it has one.
type shape struct {
	x, y, w, h float64 // of a text: the anchor on its base line, the room it may need, the size of its letters
	fill       color.RGBA
	text       string
	bold       bool
	anchor     anchor // of a text
}

// anchor is which point of a text its x is.
type anchor string

const (
	start  anchor = "start"
	middle anchor = "middle"
	end    anchor = "end"
)

// left is where the room of a text begins.
func (h shape) left() float64 {
	switch h.anchor {
	case middle:
		return h.x - h.w/2
	case end:
		return h.x - h.w
	}
	return h.x
}

func (s *sheet) rect(x, y, w, h float64, fill color.RGBA) {
	s.shapes = append(s.shapes, shape{x: x, y: y, w: w, h: h, fill: fill})
}

// vertical draws a thin line, dashed if dash is above 0.
func (s *sheet) vertical(x, top, bottom, width, dash float64, fill color.RGBA) {
	if dash <= 0 {
		s.rect(x-width/2, top, width, bottom-top, fill)
		return
	}
	for y := top; y < bottom; y += 2 * dash {
		s.rect(x-width/2, y, width, min(dash, bottom-y), fill)
	}
}

// pen is how a text looks.
type pen struct {
	size float64
	bold bool
	fill color.RGBA
}

// left writes a text that begins at x.
func (s *sheet) left(x, y float64, p pen, text string) { s.write(x, y, p, text, start) }

// right writes a text that ends at x.
func (s *sheet) right(x, y float64, p pen, text string) { s.write(x, y, p, text, end) }

// middle writes a text around x.
func (s *sheet) middle(x, y float64, p pen, text string) { s.write(x, y, p, text, middle) }

func (s *sheet) write(x, y float64, p pen, text string, a anchor) {
	if text == "" {
		return
	}
	s.shapes = append(s.shapes, shape{x: x, y: y, w: s.fonts.width(p, text), h: p.size, fill: p.fill, text: text, bold: p.bold, anchor: a})
}

// slack is how much wider than ours the letters of another font may be: an SVG is shown with those that the viewer has (DejaVu Sans and Verdana are
// the widest of the usual ones).
const slack = 1.2

// fonts are the letters of the PNG, and the widths that the layout goes by.
type fonts struct {
	regular, bold *sfnt.Font
	widths        map[bool]map[rune]float64 // of letters that were asked for, bold or not
}

func newFonts() (*fonts, error) {
	regular, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("read font: %w", err)
	}
	bold, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return nil, fmt.Errorf("read bold font: %w", err)
	}
	return &fonts{regular, bold, map[bool]map[rune]float64{false: {}, true: {}}}, nil
}

func (f *fonts) of(bold bool) *sfnt.Font {
	if bold {
		return f.bold
	}
	return f.regular
}

// face is a font in a size in pixels.
func (f *fonts) face(bold bool, size float64) (font.Face, error) {
	face, err := opentype.NewFace(f.of(bold), &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return nil, fmt.Errorf("make face of %v pixels: %w", size, err)
	}
	return face, nil
}

// width is the room that a text needs in pixels, whatever the font. Letters that the font lacks count as wide as its replacement.
func (f *fonts) width(p pen, text string) float64 {
	sum := 0.0
	for _, r := range text {
		sum += f.letter(p.bold, r)
	}
	return sum * p.size * slack
}

// letter is the width of a letter by its size.
func (f *fonts) letter(bold bool, r rune) float64 {
	known := f.widths[bold]
	if w, ok := known[r]; ok {
		return w
	}
	const em = 1000 // the widths of the letters in thousandths of their size
	var buf sfnt.Buffer
	fnt := f.of(bold)
	glyph, err := fnt.GlyphIndex(&buf, r)
	if err != nil {
		glyph = 0
	}
	advance, err := fnt.GlyphAdvance(&buf, glyph, fixed.I(em), font.HintingNone)
	if err != nil {
		advance = fixed.I(em)
	}
	known[r] = float64(advance) / 64 / em
	return known[r]
}

// clip shortens a text until it fits.
func (f *fonts) clip(p pen, text string, width float64) string {
	if f.width(p, text) <= width {
		return text
	}
	r := []rune(text)
	for len(r) > 0 && f.width(p, string(r)+"…") > width {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}

// wrap breaks a text at spaces; a word that is too long alone is clipped.
func (f *fonts) wrap(p pen, text string, width float64) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if longer := strings.TrimSpace(line + " " + word); f.width(p, longer) <= width {
			line = longer
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		line = f.clip(p, word, width)
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
