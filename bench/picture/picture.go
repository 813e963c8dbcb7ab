package picture

import (
	"fmt"
	"image/color"
	"io"

	"tresor/bench/result"
)

// WriteSVG writes the picture of a run as SVG. It needs no other file; a viewer that lacks the font takes another of the same widths.
func WriteSVG(w io.Writer, r *result.Run) error {
	s, err := layOut(r)
	if err != nil {
		return fmt.Errorf("picture of a run: %w", err)
	}
	return s.writeSVG(w, heading(r))
}

// WritePNG writes the same picture as PNG, two pixels for each of the SVG's, fewer for one of very many rows.
func WritePNG(w io.Writer, r *result.Run) error {
	s, err := layOut(r)
	if err != nil {
		return fmt.Errorf("picture of a run: %w", err)
	}
	return s.writePNG(w)
}

// Measures of the page, in pixels.
const (
	pageWidth = 1800.0
	columns   = 3
	margin    = 28.0
	gutter    = 36.0 // between two columns of panels
	rowHeight = 17.0
	barHeight = 12.0
)

func paper() color.RGBA { return color.RGBA{0xff, 0xff, 0xff, 0xff} }
func ink() color.RGBA   { return color.RGBA{0x22, 0x22, 0x22, 0xff} }
func quiet() color.RGBA { return color.RGBA{0x66, 0x66, 0x66, 0xff} }
func grid() color.RGBA  { return color.RGBA{0xe2, 0xe2, 0xe2, 0xff} }
func alarm() color.RGBA { return color.RGBA{0xc0, 0x1c, 0x1c, 0xff} }

func titlePen() pen { return pen{24, true, ink()} }
func panelPen() pen { return pen{15, true, ink()} }
func groupPen() pen { return pen{12, true, ink()} }
func labelPen() pen { return pen{12, false, ink()} }
func smallPen() pen { return pen{11.5, false, quiet()} }

func heading(r *result.Run) string {
	return fmt.Sprintf("Speed of %s, measured %s", r.Subject(), r.Started.UTC().Format("2006-01-02 15:04 MST"))
}

// layOut makes the whole page.
func layOut(r *result.Run) (*sheet, error) {
	f, err := newFonts()
	if err != nil {
		return nil, err
	}
	s := &sheet{width: pageWidth, fonts: f}
	s.rect(0, 0, pageWidth, 0, paper()) // the background; its height is known at the end
	y := s.head(r)
	y = s.legend(r, y)
	y = s.outcomes(r, y)
	y = s.panels(r, y)
	s.height = y + margin
	s.shapes[0].h = s.height
	return s, nil
}

// head writes title, machine and what is to be known to read the picture; it returns where the next part begins.
func (s *sheet) head(r *result.Run) float64 {
	y := margin + 22
	s.left(margin, y, titlePen(), heading(r))
	y += 8
	if r.Void != "" {
		y = s.paragraph(y, pen{15, true, alarm()}, "VOID: "+r.Void)
	}
	y = s.paragraph(y, labelPen(), r.Machine.String())
	y = s.paragraph(y, smallPen(), "Bars are medians; whiskers are their interval of 90 % confidence (with two to four samples: from the smallest to the largest). "+
		"Dashed: the ceiling of the workload, the slower one of raw (the disk's own file system) and null (a FUSE file system of the same library that "+
		"throws writes away and serves zeros); where there is neither, loopback (the library's example). × says how many times as good as the ceiling.")
	return y + 6
}

// paragraph writes a text over the width of the page and returns the base line of its last line.
func (s *sheet) paragraph(y float64, p pen, text string) float64 {
	for _, line := range s.fonts.wrap(p, text, pageWidth-2*margin) {
		y += p.size * 1.45
		s.left(margin, y, p, line)
	}
	return y
}
