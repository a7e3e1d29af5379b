package report

import (
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/gonum/stat/distuv"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// verdicts that a key can lead to, each with a colour and a shape of its own.
var verdicts = []struct {
	name  string
	color color.Color
	shape draw.GlyphDrawer
}{
	{"potential", green, draw.CircleGlyph{}},
	{"mirrored", blue, draw.BoxGlyph{}},
	{"tampered", purple, draw.PyramidGlyph{}},
	{"implausible", color.Black, diamond{}},
}

var (
	barColor      = color.Gray{0xd4}
	outlyingColor = color.RGBA{0xf4, 0xb5, 0x8a, 0xff}  // vermilion, paled for the marks on it
	bandColor     = color.NRGBA{0x56, 0xb4, 0xe9, 0x80} // sky blue, half let through
)

const (
	bitsHeight  = 480 // points
	labelOffset = 6   // from a bar to its label
)

// bitsFigure is a histogram over 0 to 64 bits: of weights or distances.
//
// Counts stand on a logarithmic axis, so that a spike of thousands and single keys in the tails are
// both seen. Bars are not stacked, for heights do not add up on such an axis; each verdict has its
// mark at its own count.
type bitsFigure struct {
	axis      string
	all       keys.Histogram
	byVerdict map[string]keys.Histogram // nil when not known
	test      *keys.WeightTest          // which estimates the genuine keys
	labels    map[int]string            // bars that outlie, and what is written on them
	outlying  string                    // what the legend calls those
}

// draw puts the histogram into the figure.
func (b bitsFigure) draw(f *Figure) error {
	highest := uint64(0)
	for _, n := range b.all {
		highest = max(highest, n)
	}
	p := newFigurePlot(b.axis)
	f.yLabel = "Targets (count, logarithmic)"
	p.X.Min, p.X.Max = -1, keys.Bits+1
	p.X.Tick.Marker = plot.TickerFunc(bitTicks)
	p.Y.Scale = plot.LogScale{}
	p.Y.Min, p.Y.Max = belowOne, b.roomFor(highest)
	p.Y.Tick.Marker = plot.ConstantTicks(decades(1, 10*float64(highest)))
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color = gridColor
	p.Add(grid)
	f.plot, f.height = p, bitsHeight

	b.addBars(f)
	if err := b.addCurve(f); err != nil {
		return err
	}
	return b.addVerdicts(f)
}

// roomFor is where the axis of counts must end so that the highest bar and all labels, which stand
// upright on theirs, lie below its end.
func (b bitsFigure) roomFor(highest uint64) float64 {
	const axis = bitsHeight - 140 // points, at least: without title, legend and labels
	decades := math.Log10(2 * float64(highest) / belowOne)
	for bits, text := range b.labels {
		bar := math.Log10(float64(b.all[bits]) / belowOne)
		decades = max(decades, bar*axis/(axis-labelOffset-barLabel().Width(text).Points()))
	}
	return belowOne * math.Pow(10, decades)
}

// barLabel is the style of the labels on bars.
func barLabel() draw.TextStyle {
	style := textStyle(8.5)
	style.YAlign = draw.YCenter
	return style
}

func (b bitsFigure) addBars(f *Figure) {
	usual, outlying := bars{color: barColor}, bars{color: outlyingColor}
	var labels notes
	style := barLabel()
	style.Rotation = math.Pi / 2
	for bits, n := range b.all {
		at := plotter.XY{X: float64(bits), Y: float64(n)}
		text, outlies := b.labels[bits]
		switch {
		case outlies:
			outlying.xys = append(outlying.xys, at)
			labels = append(labels, note{at, text, style, vg.Point{Y: labelOffset}})
		case n > 0:
			usual.xys = append(usual.xys, at)
		}
	}
	f.plot.Add(usual, outlying, labels)
	f.explain("all keys", usual)
	if len(outlying.xys) > 0 {
		f.explain(b.outlying, outlying)
	}
}

// addCurve draws what genuine keys explain, where that is a visible number.
func (b bitsFigure) addCurve(f *Figure) error {
	var curve, low, high plotter.XYs
	for bits := range keys.Bits + 1 {
		x := float64(bits)
		least, most := countInterval(b.test.GenuineLow*keys.PMF(bits), b.test.GenuineHigh*keys.PMF(bits))
		if most > 0 {
			low = append(low, plotter.XY{X: x, Y: logCount(least)})
			high = append(high, plotter.XY{X: x, Y: logCount(most)})
		}
		if expected := b.test.Genuine * keys.PMF(bits); expected >= belowOne {
			curve = append(curve, plotter.XY{X: x, Y: expected})
		}
	}
	if len(curve) < 2 {
		return nil
	}
	outline := low
	for i := len(high) - 1; i >= 0; i-- {
		outline = append(outline, high[i])
	}
	band, err := plotter.NewPolygon(outline)
	if err != nil {
		return err
	}
	band.Color, band.LineStyle.Width = bandColor, 0
	line, err := plotter.NewLine(curve)
	if err != nil {
		return err
	}
	line.Width = 1.5
	f.plot.Add(band, line)
	f.explain("expected of genuine keys: Binomial(64, 1/2)", line)
	f.explain("95 % of counts of genuine keys", swatch{bandColor})
	return nil
}

// countInterval holds 95 % of the counts, or more, of whatever Poisson distribution has a mean from low
// to high. Many genuine keys spread over 65 bins are Binomial in each; Poisson is a little wider.
func countInterval(low, high float64) (least, most uint64) {
	return poissonQuantile(low, 0.025), poissonQuantile(high, 0.975)
}

// poissonQuantile is the least count that a Poisson distribution reaches or stays below with chance p.
func poissonQuantile(mean, p float64) uint64 {
	if mean <= 0 {
		return 0
	}
	d := distuv.Poisson{Lambda: mean}
	spread := 10 * (math.Sqrt(mean) + 1)
	from, to := math.Floor(max(0, mean-spread)), math.Ceil(mean+spread)
	for from < to {
		if middle := math.Floor((from + to) / 2); d.CDF(middle) >= p {
			to = middle
		} else {
			from = middle + 1
		}
	}
	return uint64(to)
}

func (b bitsFigure) addVerdicts(f *Figure) error {
	for _, verdict := range verdicts {
		var xys plotter.XYs
		for bits, n := range b.byVerdict[verdict.name] {
			if n > 0 {
				xys = append(xys, plotter.XY{X: float64(bits), Y: float64(n)})
			}
		}
		if len(xys) == 0 {
			continue
		}
		marks, err := plotter.NewScatter(xys)
		if err != nil {
			return err
		}
		mark := newDot(verdict.color, verdict.shape)
		marks.GlyphStyle = mark.GlyphStyle
		f.plot.Add(marks)
		f.explain("verdict "+verdict.name, mark)
	}
	return nil
}

// bars stand on the axis wherever it begins; gonum's own begin at zero, which a logarithm has not.
type bars struct {
	xys   plotter.XYs
	color color.Color
}

// Plot implements plot.Plotter.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, at := range b.xys {
		left, right := x(at.X-0.4), x(at.X+0.4)
		c.FillPolygon(b.color, []vg.Point{
			{X: left, Y: c.Min.Y}, {X: left, Y: y(at.Y)}, {X: right, Y: y(at.Y)}, {X: right, Y: c.Min.Y},
		})
	}
}

// Thumbnail implements plot.Thumbnailer.
func (b bars) Thumbnail(c *draw.Canvas) { swatch{b.color}.Thumbnail(c) }

func bitTicks(_, _ float64) (ticks []plot.Tick) {
	for bits := range keys.Bits + 1 {
		t := plot.Tick{Value: float64(bits)}
		if bits%8 == 0 {
			t.Label = strconv.Itoa(bits)
		}
		ticks = append(ticks, t)
	}
	return ticks
}
