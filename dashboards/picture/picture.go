// Package picture draws a board's panels from what its queries answered, for where no
// Grafana is: numbers, lines over time, and a heatmap, on a dark ground as on its pages.
package picture

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
	"slices"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/wispanel/wptk/dashboards"
)

// Series is one answer of a query. Where it has no value at a time, NaN.
type Series struct {
	Name   string
	Values []float64
}

const (
	column = 60 // pixels of one of the 24 columns
	row    = 34 // pixels of one unit of height
	gap    = 8
	title  = 40
	tall   = 12 // letters
	big    = 34
)

var (
	ground = color.RGBA{0x11, 0x12, 0x17, 0xff}
	card   = color.RGBA{0x18, 0x1b, 0x1f, 0xff}
	grid   = color.RGBA{0x2c, 0x30, 0x36, 0xff}
	bright = color.RGBA{0xd8, 0xd9, 0xda, 0xff}
	dim    = color.RGBA{0x8e, 0x93, 0x9b, 0xff}
	green  = color.RGBA{0x73, 0xbf, 0x69, 0xff}
	lines  = []color.RGBA{green, {0xf2, 0xcc, 0x0c, 0xff}, {0x8a, 0xb8, 0xff, 0xff}, {0xff, 0x78, 0x0a, 0xff},
		{0xf2, 0x49, 0x5c, 0xff}, {0x57, 0x94, 0xf2, 0xff}, {0xb8, 0x77, 0xd9, 0xff}, {0x70, 0x5d, 0xa0, 0xff},
		{0x37, 0x87, 0x2d, 0xff}, {0xfa, 0xde, 0x2a, 0xff}}
)

type canvas struct {
	*image.RGBA
	small, large font.Face
}

// Board writes a board as PNG. The answers are by panel, seconds is how long they span.
func Board(w io.Writer, b dashboards.Board, answers [][]Series, seconds float64) error {
	small, large, err := faces()
	if err != nil {
		return err
	}
	places := b.Places()
	height := 0
	for _, p := range places {
		height = max(height, p.Y+p.H)
	}
	c := canvas{image.NewRGBA(image.Rect(0, 0, 24*column+gap, title+height*row+gap)), small, large}
	c.fill(c.Bounds(), ground)
	c.text(c.small, gap+4, 26, bright, b.Title)
	for i, p := range b.Panels {
		at := places[i]
		box := image.Rect(at.X*column+gap, title+at.Y*row, (at.X+at.W)*column, title+(at.Y+at.H)*row-gap)
		c.panel(box, p, answers[i], seconds)
	}
	if err := png.Encode(w, c); err != nil {
		return fmt.Errorf("encoding picture: %w", err)
	}
	return nil
}

func faces() (small, large font.Face, err error) {
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, nil, fmt.Errorf("reading font: %w", err)
	}
	if small, err = opentype.NewFace(parsed, &opentype.FaceOptions{Size: tall, DPI: 72, Hinting: font.HintingFull}); err != nil {
		return nil, nil, fmt.Errorf("reading font: %w", err)
	}
	if large, err = opentype.NewFace(parsed, &opentype.FaceOptions{Size: big, DPI: 72, Hinting: font.HintingFull}); err != nil {
		return nil, nil, fmt.Errorf("reading font: %w", err)
	}
	return small, large, nil
}

func (c canvas) fill(r image.Rectangle, col color.Color) {
	draw.Draw(c, r, image.NewUniform(col), image.Point{}, draw.Src)
}

// text begins at x on the base line y.
func (c canvas) text(face font.Face, x, y int, col color.Color, s string) {
	(&font.Drawer{Dst: c, Src: image.NewUniform(col), Face: face, Dot: fixed.P(x, y)}).DrawString(s)
}

func width(face font.Face, s string) int { return font.MeasureString(face, s).Ceil() }

// cut shortens s to what fits.
func cut(face font.Face, s string, room int) string {
	if width(face, s) <= room {
		return s
	}
	letters := []rune(s)
	for len(letters) > 0 && width(face, string(letters)+"…") > room {
		letters = letters[:len(letters)-1]
	}
	return string(letters) + "…"
}

func (c canvas) panel(box image.Rectangle, p dashboards.Panel, all []Series, seconds float64) {
	c.fill(box, card)
	c.text(c.small, box.Min.X+8, box.Min.Y+18, bright, cut(c.small, p.Title, box.Dx()-16))
	switch p.Kind {
	case "stat":
		c.stat(box, p, all)
	case "heatmap":
		c.heatmap(box, all, seconds)
	default:
		c.graph(box, p, all, seconds)
	}
}

func (c canvas) stat(box image.Rectangle, p dashboards.Panel, all []Series) {
	text := "no data"
	if len(all) > 0 {
		text = Format(p.Unit, last(all[0].Values))
	}
	c.text(c.large, box.Min.X+(box.Dx()-width(c.large, text))/2, box.Min.Y+78, green, text)
}

func last(values []float64) float64 {
	for _, v := range slices.Backward(values) {
		if !math.IsNaN(v) {
			return v
		}
	}
	return math.NaN()
}

// plot is where lines are drawn, with its scale.
func (c canvas) plot(box image.Rectangle, unit string, top, seconds float64) image.Rectangle {
	area := image.Rect(box.Min.X+62, box.Min.Y+30, box.Max.X-10, box.Max.Y-48)
	for i := range 5 {
		y := area.Max.Y - i*area.Dy()/4
		c.fill(image.Rect(area.Min.X, y, area.Max.X, y+1), grid)
		label := Format(unit, top*float64(i)/4)
		c.text(c.small, area.Min.X-6-width(c.small, label), y+4, dim, label)
	}
	for i := range 4 {
		x := area.Min.X + i*area.Dx()/3
		label := "now"
		if i < 3 {
			label = "-" + Format("s", math.Round(seconds*float64(3-i)/3))
		}
		c.text(c.small, min(x, area.Max.X-width(c.small, label)), area.Max.Y+16, dim, label)
	}
	return area
}

func (c canvas) graph(box image.Rectangle, p dashboards.Panel, all []Series, seconds float64) {
	top := 0.0
	for _, s := range all {
		for _, v := range s.Values {
			if !math.IsNaN(v) {
				top = max(top, v)
			}
		}
	}
	if top == 0 {
		top = 1
	}
	top *= 1.1
	area := c.plot(box, p.Unit, top, seconds)
	// The largest first, as they are what one looks for.
	all = slices.SortedStableFunc(slices.Values(all), func(a, b Series) int { return cmp.Compare(last(b.Values), last(a.Values)) })
	x := box.Min.X + 10
	for i, s := range all {
		col := lines[i%len(lines)]
		c.line(area, s.Values, top, col)
		if name := cut(c.small, s.Name, 220); x+20+width(c.small, name) < box.Max.X {
			c.fill(image.Rect(x, box.Max.Y-17, x+10, box.Max.Y-14), col)
			c.text(c.small, x+14, box.Max.Y-11, dim, name)
			x += 26 + width(c.small, name)
		}
	}
}

// line connects values, and leaves out what is not there.
func (c canvas) line(area image.Rectangle, values []float64, top float64, col color.Color) {
	at := func(i int) (float64, float64) {
		return float64(area.Min.X) + float64(i)*float64(area.Dx()-1)/float64(max(len(values)-1, 1)),
			float64(area.Max.Y) - values[i]/top*float64(area.Dy())
	}
	for i := 1; i < len(values); i++ {
		if math.IsNaN(values[i]) || math.IsNaN(values[i-1]) {
			continue
		}
		x0, y0 := at(i - 1)
		x1, y1 := at(i)
		steps := int(math.Ceil(max(math.Abs(x1-x0), math.Abs(y1-y0)))) + 1
		for s := range steps {
			f := float64(s) / float64(steps)
			x, y := int(x0+f*(x1-x0)), min(int(y0+f*(y1-y0)), area.Max.Y-1)
			c.fill(image.Rect(x, y, x+2, y+2).Intersect(area), col)
		}
	}
}

// heatmap takes cumulative buckets, in the order of their bounds.
func (c canvas) heatmap(box image.Rectangle, all []Series, seconds float64) {
	area := image.Rect(box.Min.X+62, box.Min.Y+30, box.Max.X-10, box.Max.Y-28)
	counts := make([][]float64, len(all))
	most := 1.0
	for i, s := range all {
		counts[i] = slices.Clone(s.Values)
		for t := range counts[i] {
			if i > 0 {
				counts[i][t] -= all[i-1].Values[t]
			}
			if !math.IsNaN(counts[i][t]) {
				most = max(most, counts[i][t])
			}
		}
	}
	for i, of := range counts {
		y0, y1 := area.Max.Y-(i+1)*area.Dy()/len(all), area.Max.Y-i*area.Dy()/len(all)
		c.text(c.small, area.Min.X-6-width(c.small, all[i].Name), y1-2, dim, all[i].Name)
		for t, n := range of {
			if !(n > 0) { // nor NaN
				continue
			}
			heat := 0.25 + 0.75*math.Sqrt(n/most)
			col := color.RGBA{uint8(255 * heat), uint8(150 * heat * heat), 20, 255}
			c.fill(image.Rect(area.Min.X+t*area.Dx()/len(of), y0+1, area.Min.X+(t+1)*area.Dx()/len(of)-1, y1), col)
		}
	}
	c.text(c.small, area.Min.X, box.Max.Y-9, dim, fmt.Sprintf("seconds; the last %s", Format("s", math.Round(seconds))))
}
