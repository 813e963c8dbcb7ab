package picture

import (
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"
)

const (
	sharpness = 2        // pixels of the PNG for one of the SVG, each way
	maxPixels = 48 << 20 // of the PNG, 192 MiB in memory; beyond, it gets less sharp
)

// writePNG draws the sheet.
func (s *sheet) writePNG(w io.Writer) error {
	scale := s.scale()
	img := image.NewRGBA(image.Rect(0, 0, int(s.width*scale), int(s.height*scale)))
	faces := map[pen]font.Face{}
	for _, h := range s.shapes {
		if h.text == "" {
			draw.Draw(img, pixels(h, scale), image.NewUniform(h.fill), image.Point{}, draw.Src)
			continue
		}
		key := pen{size: h.h, bold: h.bold}
		face := faces[key]
		if face == nil {
			var err error
			if face, err = s.fonts.face(h.bold, h.h*scale); err != nil {
				return fmt.Errorf("write PNG: %w", err)
			}
			faces[key] = face
		}
		d := font.Drawer{Dst: img, Src: image.NewUniform(h.fill), Face: face,
			Dot: fixed.Point26_6{X: fixed.Int26_6(h.x * scale * 64), Y: fixed.Int26_6(h.y * scale * 64)}}
		switch wide := d.MeasureString(h.text); h.anchor {
		case middle:
			d.Dot.X -= wide / 2
		case end:
			d.Dot.X -= wide
		}
		d.DrawString(h.text)
	}
	if err := png.Encode(w, img); err != nil {
		return fmt.Errorf("write PNG: %w", err)
	}
	return nil
}

// scale is how many pixels of the PNG stand for one of the SVG, each way.
func (s *sheet) scale() float64 { return min(sharpness, math.Sqrt(maxPixels/(s.width*s.height))) }

// pixels that a rectangle covers, at least one each way: thin lines stay.
func pixels(h shape, scale float64) image.Rectangle {
	r := image.Rect(round(h.x*scale), round(h.y*scale), round((h.x+h.w)*scale), round((h.y+h.h)*scale))
	r.Max.X, r.Max.Y = max(r.Max.X, r.Min.X+1), max(r.Max.Y, r.Min.Y+1)
	return r
}

func round(v float64) int { return int(math.Round(v)) }
