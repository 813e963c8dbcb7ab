package picture

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"image/color"
	"io"
	"strconv"
	"strings"
)

// fontFamily begins with the font that the widths were taken from.
const fontFamily = "Go, Arial, Helvetica, 'Liberation Sans', sans-serif"

// writeSVG writes the sheet.
func (s *sheet) writeSVG(w io.Writer, title string) error {
	b := bufio.NewWriter(w) // keeps its first error until Flush
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" font-family="%s">`+"\n",
		num(s.width), num(s.height), num(s.width), num(s.height), fontFamily)
	fmt.Fprintf(b, "<title>%s</title>\n", escape(title))
	for _, h := range s.shapes {
		if h.text == "" {
			fmt.Fprintf(b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`+"\n", num(h.x), num(h.y), num(h.w), num(h.h), hex(h.fill))
			continue
		}
		more := ""
		if h.bold {
			more += ` font-weight="bold"`
		}
		if h.anchor != start {
			more += fmt.Sprintf(` text-anchor="%s"`, h.anchor)
		}
		fmt.Fprintf(b, `<text x="%s" y="%s" font-size="%s" fill="%s"%s>%s</text>`+"\n",
			num(h.x), num(h.y), num(h.h), hex(h.fill), more, escape(h.text))
	}
	fmt.Fprintln(b, "</svg>")
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write SVG: %w", err)
	}
	return nil
}

// num prints a length to a tenth of a pixel.
func num(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// escape also replaces what XML cannot have at all.
func escape(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return "" // a strings.Builder takes everything
	}
	return b.String()
}
