// Package report draws the figures of a dataset.
package report

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	_ "gonum.org/v1/plot/vg/vgimg" // PNG
	_ "gonum.org/v1/plot/vg/vgsvg" // SVG

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// ErrTooFewKeys is returned instead of a figure that would say nothing.
var ErrTooFewKeys = errors.New("not enough data")

// verdicts that a key can lead to, each with a colour of Okabe and Ito's palette (which people of
// every colour vision tell apart) and a shape of its own.
var verdicts = []struct {
	name  string
	color color.Color
	shape draw.GlyphDrawer
}{
	{"potential", color.RGBA{0x00, 0x9e, 0x73, 0xff}, draw.CircleGlyph{}},
	{"mirrored", color.RGBA{0x00, 0x72, 0xb2, 0xff}, draw.BoxGlyph{}},
	{"tampered", color.RGBA{0xcc, 0x79, 0xa7, 0xff}, draw.PyramidGlyph{}},
	{"implausible", color.Black, diamond{}},
}

const fontVariant = "Sans"

var (
	barColor     = color.Gray{0xd4}
	outlierColor = color.RGBA{0xf4, 0xb5, 0x8a, 0xff} // Okabe and Ito's vermilion, paled for the marks on it
)

// KeysByVerdict counts the keys that came back in a scan by the target's verdict and the key's weight.
func KeysByVerdict(ctx context.Context, db *sql.DB, scanID string) (map[string]keys.Histogram, error) {
	rows, err := db.QueryContext(ctx, `SELECT verdict, key_weight, count(*) FROM hosts
		WHERE scan_id = ? AND sender_key IS NOT NULL GROUP BY ALL`, scanID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	byVerdict := make(map[string]keys.Histogram)
	for rows.Next() {
		var verdict string
		var weight uint8
		var n uint64
		if err := rows.Scan(&verdict, &weight, &n); err != nil {
			return nil, err
		}
		h := byVerdict[verdict]
		h[weight] = n
		byVerdict[verdict] = h
	}
	return byVerdict, rows.Err()
}

// HammingPlot draws the Hamming weights of all keys that came back in a scan, after the paper's
// figure: the observed bars, the curve of the genuine keys among them, outlying weights marked with
// their p-value, and the verdicts. format is png or svg.
//
// Counts stand on a logarithmic axis from 1/2, so that a spike of thousands and single keys in the
// tails are both seen: one key is a bar, none is no bar. Bars are not stacked, for heights do not add
// up on such an axis; each verdict has its mark at its own count.
func HammingPlot(w io.Writer, format, title string, byVerdict map[string]keys.Histogram) error {
	var all keys.Histogram
	for _, h := range byVerdict {
		for weight, n := range h {
			all[weight] += n
		}
	}
	test := keys.TestWeights(all)
	if test.TooFew {
		return fmt.Errorf("%w: %d keys, a figure needs %d", ErrTooFewKeys, test.Keys, keys.MinKeys)
	}
	p := weightAxes(test)
	p.Title.Text = fmt.Sprintf("%s\n%s sender's keys came back; by their weights alone, at most about %s of them are genuine",
		title, grouped(test.Keys), grouped(uint64(math.Round(test.Genuine))))
	addBars(p, test)
	if err := errors.Join(addCurve(p, test), addVerdicts(p, byVerdict), addOutlierLabels(p, test)); err != nil {
		return err
	}
	return write(w, format, p)
}

// weightAxes is an empty plot with axes for the test's weights and counts.
func weightAxes(test keys.WeightTest) *plot.Plot {
	p := plot.New()
	for _, f := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font,
	} {
		f.Variant = fontVariant
	}
	p.Title.TextStyle.Font.Size = vg.Points(13)
	p.Title.Padding = vg.Points(8)
	p.Legend.Top = true
	p.Legend.YOffs = -vg.Points(4)
	p.Legend.Padding = vg.Points(2)

	p.X.Label.Text = "Hamming weight of the sender's key (bits set, of 64)"
	p.X.Min, p.X.Max = -1, keys.Bits+1
	p.X.Tick.Marker = plot.TickerFunc(weightTicks)

	most := uint64(0)
	for _, weight := range test.Weights {
		most = max(most, weight.Observed)
	}
	p.Y.Label.Text = "Targets (count, logarithmic)"
	p.Y.Scale = plot.LogScale{}
	p.Y.Min, p.Y.Max = 0.5, 4*float64(most)
	if len(test.Outliers()) > 0 {
		// The labels above the bars take a third of the height: half as many decades again.
		p.Y.Max *= math.Sqrt(p.Y.Max/p.Y.Min) / 2
	}
	p.Y.Tick.Marker = plot.TickerFunc(countTicks)

	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color = color.Gray{0xdd}
	p.Add(grid)
	return p
}

func addBars(p *plot.Plot, test keys.WeightTest) {
	usual, outlying := bars{color: barColor}, bars{color: outlierColor}
	for _, weight := range test.Weights {
		switch {
		case weight.Outlier:
			outlying.xys = append(outlying.xys, top(weight))
		case weight.Observed > 0:
			usual.xys = append(usual.xys, top(weight))
		}
	}
	p.Add(usual, outlying)
	p.Legend.Add("all keys", usual)
	if len(outlying.xys) > 0 {
		p.Legend.Add("all keys, outlying weight", outlying)
	}
}

// top is where a weight's bar ends.
func top(w keys.Weight) plotter.XY {
	return plotter.XY{X: float64(w.Weight), Y: float64(w.Observed)}
}

// addCurve draws what genuine keys explain, where that is a visible number.
func addCurve(p *plot.Plot, test keys.WeightTest) error {
	var curve plotter.XYs
	for _, weight := range test.Weights {
		if weight.Expected >= p.Y.Min {
			curve = append(curve, plotter.XY{X: float64(weight.Weight), Y: weight.Expected})
		}
	}
	if len(curve) < 2 {
		return nil
	}
	line, err := plotter.NewLine(curve)
	if err != nil {
		return err
	}
	line.Width = vg.Points(1.5)
	p.Add(line)
	p.Legend.Add("expected of genuine keys: Binomial(64, 1/2)", line)
	return nil
}

func addVerdicts(p *plot.Plot, byVerdict map[string]keys.Histogram) error {
	for _, verdict := range verdicts {
		var xys plotter.XYs
		for weight, n := range byVerdict[verdict.name] {
			if n > 0 {
				xys = append(xys, plotter.XY{X: float64(weight), Y: float64(n)})
			}
		}
		if len(xys) == 0 {
			continue
		}
		marks, err := plotter.NewScatter(xys)
		if err != nil {
			return err
		}
		marks.GlyphStyle = draw.GlyphStyle{Color: verdict.color, Radius: vg.Points(2.8), Shape: verdict.shape}
		p.Add(marks)
		p.Legend.Add("verdict "+verdict.name, marks)
	}
	return nil
}

func addOutlierLabels(p *plot.Plot, test keys.WeightTest) error {
	var labels plotter.XYLabels
	for _, weight := range test.Outliers() {
		labels.XYs = append(labels.XYs, top(weight))
		labels.Labels = append(labels.Labels, fmt.Sprintf("weight %d: %s keys, p %s",
			weight.Weight, grouped(weight.Observed), keys.FormatP(weight.P)))
	}
	if len(labels.XYs) == 0 {
		return nil
	}
	l, err := plotter.NewLabels(labels)
	if err != nil {
		return err
	}
	labelFont := font.From(plot.DefaultFont, vg.Points(8))
	labelFont.Variant = fontVariant
	for i := range l.TextStyle {
		l.TextStyle[i].Rotation = math.Pi / 2
		l.TextStyle[i].YAlign = text.YCenter
		l.TextStyle[i].Font = labelFont
	}
	l.Offset = vg.Point{Y: vg.Points(5)}
	p.Add(l)
	return nil
}

func write(w io.Writer, format string, p *plot.Plot) error {
	const width, height, margin = 900, 480, 10
	figure, err := draw.NewFormattedCanvas(width, height, format)
	if err != nil {
		return err
	}
	canvas := draw.New(figure)
	canvas.FillPolygon(color.White, []vg.Point{{}, {X: width}, {X: width, Y: height}, {Y: height}})
	p.Draw(draw.Crop(canvas, margin, -margin, margin, -margin))
	_, err = figure.WriteTo(w)
	return err
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
func (b bars) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(b.color, []vg.Point{c.Min, {X: c.Min.X, Y: c.Max.Y}, c.Max, {X: c.Max.X, Y: c.Min.Y}})
}

// diamond is a mark that gonum lacks.
type diamond struct{}

// DrawGlyph implements draw.GlyphDrawer.
func (diamond) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	r := style.Radius
	c.FillPolygon(style.Color, []vg.Point{
		{X: at.X - r, Y: at.Y}, {X: at.X, Y: at.Y + r}, {X: at.X + r, Y: at.Y}, {X: at.X, Y: at.Y - r},
	})
}

func weightTicks(_, _ float64) (ticks []plot.Tick) {
	for weight := 0; weight <= keys.Bits; weight++ {
		t := plot.Tick{Value: float64(weight)}
		if weight%8 == 0 {
			t.Label = strconv.Itoa(weight)
		}
		ticks = append(ticks, t)
	}
	return ticks
}

func countTicks(_, highest float64) (ticks []plot.Tick) {
	for decade := uint64(1); float64(decade) <= highest; decade *= 10 {
		ticks = append(ticks, plot.Tick{Value: float64(decade), Label: grouped(decade)})
		for i := uint64(2); i < 10 && float64(i*decade) <= highest; i++ {
			ticks = append(ticks, plot.Tick{Value: float64(i * decade)})
		}
	}
	return ticks
}

// grouped writes a count with a comma before each three digits.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
