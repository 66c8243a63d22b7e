package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Plots have no background, and colours that can be told from a white page and from a
// dark one.
var (
	inkColor   = color.RGBA{0x77, 0x7c, 0x83, 0xff} // of text
	lineColor  = color.NRGBA{0x77, 0x7c, 0x83, 0x50}
	oursColor  = color.RGBA{0x2f, 0x81, 0xf7, 0xff}
	otherColor = color.RGBA{0x9a, 0xa2, 0xab, 0xff}
	worseColor = color.RGBA{0xdb, 0x6d, 0x28, 0xff}
)

const (
	plotWidth = 620 // points: what GitHub shows of a page in full
	barStep   = 22  // points from bar to bar
	margin    = 16  // points at the right, for half of a number below
)

// A bar is a row of a plot.
type bar struct {
	name  string
	value float64
	label string // at its end
	color color.Color
}

// bars is a plotter of horizontal bars, the first at the top.
type bars struct {
	rows []bar
	at   []float64 // on the axis
	from float64   // where they begin
	text text.Style
}

func (b *bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i, r := range b.rows {
		at := y(b.at[i])
		const half = barStep * 0.36
		left, right := x(b.from), x(r.value)
		left, right = min(left, right), max(left, right)
		c.FillPolygon(r.color, []vg.Point{{X: left, Y: at - half}, {X: right, Y: at - half}, {X: right, Y: at + half}, {X: left, Y: at + half}})
		c.FillText(b.text, vg.Point{X: right + 5, Y: at}, r.label)
	}
	c.StrokeLine2(draw.LineStyle{Color: inkColor, Width: 1}, x(b.from), c.Min.Y, x(b.from), c.Max.Y)
}

// grid draws a line at each tick of the lower axis that has a label.
type grid struct{}

func (grid) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		if !t.IsMinor() && t.Value >= p.X.Min && t.Value <= p.X.Max {
			c.StrokeLine2(draw.LineStyle{Color: lineColor, Width: 0.5}, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
		}
	}
}

// powers are the ticks of a logarithmic axis.
type powers struct{ format func(float64) string }

func (t powers) Ticks(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(least)); e <= math.Ceil(math.Log10(most)); e++ {
		if v := math.Pow(10, e); v >= least*0.999 && v <= most*1.001 {
			ticks = append(ticks, plot.Tick{Value: v, Label: t.format(v)})
		}
	}
	return ticks
}

// named are ticks with labels of the axis's own unit.
type named struct{ format func(float64) string }

func (t named) Ticks(least, most float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(least, most)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = t.format(ticks[i].Value)
		}
	}
	return ticks
}

// A chart is a plot of bars.
type chart struct {
	title, below string // below the title, smaller
	rows         []bar
	from         float64 // where bars begin
	logarithmic  bool
	format       func(float64) string // of the axis
}

// write draws the chart. All text begins at a place that does not depend on how wide it
// is: a viewer may have another font.
func (ch *chart) write(file string) error {
	p := plot.New()
	style := func(size vg.Length) text.Style {
		s := p.Title.TextStyle
		s.Color, s.Font = inkColor, font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
		s.XAlign, s.YAlign = text.XLeft, text.YCenter
		return s
	}
	large, small, label := style(14), style(10), style(11)
	p.BackgroundColor = color.Transparent
	p.X.Color, p.X.Tick.Color, p.X.Tick.Length, p.X.Padding = color.Transparent, color.Transparent, 2, 0
	p.X.Tick.Label.Color, p.X.Tick.Label.Font = inkColor, small.Font
	p.HideY()

	least, names := ch.from, vg.Length(0)
	at := make([]float64, len(ch.rows)) // the first at 0, the others below
	for i, r := range ch.rows {
		least, names = min(least, r.value), max(names, label.Width(r.name)*1.15+10)
		if i > 0 {
			at[i] = at[i-1] - 1
			if r.name != "" && slices.ContainsFunc(ch.rows, func(r bar) bool { return r.name == "" }) {
				at[i] -= 0.3 // a group begins
			}
		}
	}
	last := at[len(at)-1]
	p.Y.Min, p.Y.Max = last-0.6, 0.6
	if ch.logarithmic && least < ch.from {
		least *= 0.8
	}
	// The axis is so long that each label fits behind its bar.
	scale := func(v float64) float64 { return v - least }
	if ch.logarithmic {
		scale = func(v float64) float64 { return math.Log(v / least) }
	}
	wide, span := plotWidth-margin-names, 0.0
	for _, r := range ch.rows {
		room := max(wide-label.Width(r.label)*1.15-10, wide/8)
		span = max(span, scale(max(r.value, ch.from))*float64(wide/room))
	}
	p.X.Min = least
	if ch.logarithmic {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, powers{ch.format}
		p.X.Max = least * math.Exp(max(span, math.Log(20)))
	} else {
		p.X.Tick.Marker = named{ch.format}
		p.X.Max = least + span
	}
	p.Add(grid{}, &bars{ch.rows, at, ch.from, label})

	const head = 44
	svg := vgsvg.New(plotWidth, head+20+barStep*vg.Length(1-last))
	c := draw.New(svg)
	c.FillText(large, vg.Point{X: 2, Y: c.Max.Y - 11}, ch.title)
	c.FillText(small, vg.Point{X: 2, Y: c.Max.Y - 29}, ch.below)
	area := draw.Crop(c, names, -margin, 0, -head)
	p.Draw(area)
	data := p.DataCanvas(area)
	_, y := p.Transforms(&data)
	for i, r := range ch.rows {
		c.FillText(label, vg.Point{X: 2, Y: y(at[i])}, r.name)
	}
	var out bytes.Buffer
	if _, err := svg.WriteTo(&out); err != nil {
		return err
	}
	const family = "font-family:Liberation Sans;"
	return os.WriteFile(file, bytes.ReplaceAll(out.Bytes(), []byte(family), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")), 0o666)
}

// plot draws what the ways of a contest took.
func (r *result) plot(dir string) error {
	rows := make([]bar, len(r.ways))
	least, most := math.Inf(1), 0.0
	for i, w := range r.ways {
		t := median(r.times[w.name])
		rows[i] = bar{w.name, t, quantity(t, r.unit), otherColor}
		if r.isOurs(i) {
			rows[i].color = oursColor
		}
		least, most = min(least, t), max(most, t)
	}
	ch := chart{title: title(r.name), below: "What " + article(r.per) + " takes: less is better. Blue is this library.", rows: rows}
	ch.format = func(v float64) string {
		if v == 0 {
			return "0"
		}
		return quantity(v, r.unit)
	}
	if least > 0 && most/least > 20 {
		ch.below += " Each line is ten times the one before."
		ch.logarithmic, ch.from = true, least/2
	}
	return ch.write(filepath.Join(dir, r.file()))
}

// file is the name of a contest's plot.
func (r *result) file() string {
	words := strings.FieldsFunc(strings.ToLower(r.name), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	return strings.Join(words, "-") + ".svg"
}

// summary draws the first way of each contest that has a headline beside the best way to
// read and write, and beside the best other mapping. It reports whether there is one.
func (s *session) summary(file string) (bool, error) {
	ch := chart{title: "How many times as fast as the best other way", from: 1, logarithmic: true, format: func(v float64) string { return fmt.Sprintf("%g×", v) }}
	ch.below = "First the best that reads and writes, then the best other mapping. Each line is ten times the one before."
	for _, h := range headlines {
		i := slices.IndexFunc(s.results, func(r *result) bool { return r.name == h.contest })
		if i < 0 || h.text == "" {
			continue
		}
		name := h.text
		for _, mayBe := range []func(string) bool{filesNamed.MatchString, isMapping} {
			other, ratio := s.results[i].lead(mayBe)
			if other == "" {
				continue
			}
			b := bar{name, ratio, times(ratio) + " · " + other, oursColor}
			if ratio < 0.95 {
				b.color = worseColor
			}
			ch.rows = append(ch.rows, b)
			name = "" // one for both
		}
	}
	if len(ch.rows) == 0 {
		return false, nil
	}
	return true, ch.write(file)
}

func isMapping(name string) bool {
	return !filesNamed.MatchString(name) && !vectorNamed.MatchString(name)
}

// times writes a ratio.
func times(ratio float64) string {
	switch {
	case ratio >= 10:
		return fmt.Sprintf("%.0f×", ratio)
	case ratio >= 2:
		return fmt.Sprintf("%.1f×", ratio)
	}
	return fmt.Sprintf("%.2f×", ratio)
}
