package picture

import (
	"hash/fnv"
	"image/color"
	"slices"
	"strings"

	"tresor/bench/result"
)

// colour of a contender: the same in every picture. The ceilings are grey, ours are cold, the others warm (the palette of Okabe and Ito, which the
// colour-blind can tell apart).
func colour(contender string) color.RGBA {
	known := map[string]color.RGBA{
		"raw":         {0xc9, 0xc9, 0xc9, 0xff},
		"null":        {0x8c, 0x8c, 0x8c, 0xff},
		"loopback":    {0x5a, 0x5a, 0x5a, 0xff},
		"ours-BLAKE3": {0x00, 0x72, 0xb2, 0xff},
		"ours-SHA1":   {0x56, 0xb4, 0xe9, 0xff},
		"ours-TIGER":  {0x00, 0x9e, 0x73, 0xff},
		"ours-cp":     {0x7a, 0x5c, 0xc8, 0xff},
		"borg":        {0xcc, 0x79, 0xa7, 0xff},
		"restic":      {0xe6, 0x9f, 0x00, 0xff},
		"BLAKE3":      {0x00, 0x72, 0xb2, 0xff},
		"SHA1":        {0x56, 0xb4, 0xe9, 0xff},
		"TIGER":       {0x00, 0x9e, 0x73, 0xff},
	}
	if c, ok := known[contender]; ok {
		return c
	}
	switch {
	case strings.HasPrefix(contender, "original"):
		return color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	case strings.HasPrefix(contender, "A:"):
		return color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	case strings.HasPrefix(contender, "B:"):
		return color.RGBA{0x00, 0x72, 0xb2, 0xff}
	}
	others := []color.RGBA{{0xa6, 0x76, 0x1d, 0xff}, {0x7a, 0x9a, 0x01, 0xff}, {0x9e, 0x3d, 0x6f, 0xff}, {0x2b, 0x8c, 0x9e, 0xff}, {0xb8, 0x5c, 0x5c, 0xff}}
	h := fnv.New32a()
	h.Write([]byte(contender)) // never fails
	return others[int(h.Sum32()%uint32(len(others)))]
}

// legend names the colours, in as many lines as it takes.
func (s *sheet) legend(r *result.Run, y float64) float64 {
	var names []string
	for _, series := range r.Series {
		if !slices.Contains(names, series.Contender) {
			names = append(names, series.Contender)
		}
	}
	slices.SortStableFunc(names, result.ByContender)
	const box, gap = 12.0, 22.0
	x := margin
	y += 18
	for _, name := range names {
		text := s.fonts.clip(labelPen(), name, 300)
		w := box + 6 + s.fonts.width(labelPen(), text)
		if x > margin && x+w > pageWidth-margin {
			x = margin
			y += 20
		}
		s.rect(x, y-10, box, box, colour(name))
		s.left(x+box+6, y, labelPen(), text)
		x += w + gap
	}
	return y + 10
}
