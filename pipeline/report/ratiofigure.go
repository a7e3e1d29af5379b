package report

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// ratioRow is a row of a figure of ratios: what it is of, and a ratio for each mark.
type ratioRow struct {
	name   string
	ratios []Ratio
}

// drawRatios puts rows of ratios into the figure, one below the other, on a logarithmic axis: twice as long and
// half as long are equally far from 1.
func (f *Figure) drawRatios(axis string, marks []dot, rows []ratioRow) {
	p := newFigurePlot(axis)
	furthest := 1.1 // from 1, to either side
	names := make(plot.ConstantTicks, len(rows))
	for i, row := range rows {
		names[i] = plot.Tick{Value: float64(len(rows) - 1 - i), Label: row.name}
		for _, ratio := range row.ratios {
			for _, value := range ratio.drawn() {
				furthest = max(furthest, value, 1/value)
			}
		}
	}
	furthest = math.Min(furthest*1.05, mostRatio)
	p.X.Scale, p.X.Min, p.X.Max = plot.LogScale{}, 1/furthest, furthest
	p.X.Tick.Marker = plot.ConstantTicks(ratioTicks(furthest))
	p.Y.Min, p.Y.Max = -0.6, float64(len(rows))-0.4
	p.Y.Tick.Marker, p.Y.Tick.Length, p.Y.LineStyle.Width = names, 0, 0
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = nil, gridColor
	p.Add(grid, ratioDots{marks, rows})
	f.plot, f.height = p, vg.Length(130+38*len(rows))
}

// mostRatio bounds the axis: what lies further out is drawn at its end.
const mostRatio = 100

// drawn are the values that the figure shows of a ratio.
func (r Ratio) drawn() []float64 {
	switch {
	case r.Targets == 0:
		return nil
	case !r.HasRange:
		return []float64{r.Median}
	}
	return []float64{r.Median, r.Low, r.High}
}

// ratioTicks are those of an axis from 1/furthest to furthest.
func ratioTicks(furthest float64) (ticks []plot.Tick) {
	values := []float64{1, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, mostRatio}
	inside := slices.DeleteFunc(values, func(v float64) bool { return v > furthest })
	if len(inside) > 5 { // 1 and the outermost few
		inside = slices.Concat(inside[:1], inside[len(inside)-4:])
	}
	for _, v := range inside {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%.4g", v)})
		if v != 1 {
			ticks = append(ticks, plot.Tick{Value: 1 / v, Label: fmt.Sprintf("%.2g", 1/v)})
		}
	}
	return ticks
}

// ratioDots draws rows of ratios, each with the line of its interval.
type ratioDots struct {
	marks []dot
	rows  []ratioRow
}

// Plot implements plot.Plotter.
func (d ratioDots) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	place := func(ratio float64) vg.Length { return x(min(max(ratio, p.X.Min), p.X.Max)) }
	c.StrokeLine2(draw.LineStyle{Color: color.Gray{0x70}, Width: 1}, x(1), c.Min.Y, x(1), c.Max.Y)
	beside := textStyle(8)
	beside.YAlign = draw.YCenter
	for i, row := range d.rows {
		for j, ratio := range row.ratios {
			if ratio.Targets == 0 {
				continue
			}
			at := y(float64(len(d.rows)-1-i) - apartBy(j, len(row.ratios)))
			right := place(ratio.Median)
			if ratio.HasRange {
				right = place(ratio.High)
				c.StrokeLine2(draw.LineStyle{Color: d.marks[j].Color, Width: 1.5}, place(ratio.Low), at, right, at)
			}
			c.DrawGlyph(d.marks[j].GlyphStyle, vg.Point{X: place(ratio.Median), Y: at})
			c.FillText(beside, vg.Point{X: right + 6, Y: at}, ratioText(ratio.Median))
		}
	}
}

// ratioText writes two decimals where they say something.
func ratioText(ratio float64) string {
	if ratio >= mostRatio {
		return groupedSigned(int64(math.Round(ratio)))
	}
	return fmt.Sprintf("%.2f", ratio)
}

// transfersFigure draws how long connections by MPTCP take against those by TCP, by what is on the path.
func transfersFigure(transfers []Transfer) Figure {
	f := Figure{
		Name:  "transfers",
		Title: "Transfers: MPTCP against TCP, by what is on the path",
		Caption: "Ratios of times, MPTCP : TCP, of connections to the same targets in turn: right of 1, MPTCP is slower. Marks are medians over " +
			"targets, lines the intervals that cover them with at least 95 %; with fewer than 6 targets there is none. What is beyond 100 stands at the end of the axis. Rows are of the newest " +
			"verification of a family, port and protocol.",
	}
	newest := make(map[Transfer]string)
	var drawn []Transfer
	for _, t := range transfers { // newest first
		of := Transfer{Family: t.Family, Port: t.Port, Protocol: t.Protocol}
		if newest[of] == "" {
			newest[of] = t.Date
		}
		if newest[of] == t.Date && t.Connect.Targets > 0 {
			drawn = append(drawn, t)
		}
	}
	if len(drawn) == 0 {
		f.Empty = "not enough data: no target was connected to by MPTCP and by TCP"
		return f
	}
	if all := len(drawn); all > mostSeries {
		slices.SortStableFunc(drawn, func(a, b Transfer) int { return cmp.Compare(b.Targets, a.Targets) })
		drawn = drawn[:mostSeries]
		f.subtitle = fmt.Sprintf("the %d of %d with the most targets", mostSeries, all)
	}
	var marks []dot
	for i, ratio := range ratiosOfTransfers {
		mark := newDot(lineStyles[i].color, lineStyles[i].shape)
		marks = append(marks, mark)
		f.explain(ratio.label, mark)
	}
	var rows []ratioRow
	for _, t := range drawn {
		row := ratioRow{name: fmt.Sprintf("%s, %s", series(t.Family, t.Port, t.Protocol), t.Path)}
		for _, ratio := range ratiosOfTransfers {
			row.ratios = append(row.ratios, ratio.of(&t))
		}
		rows = append(rows, row)
	}
	f.drawRatios("Time by MPTCP for each unit of time by TCP (ratio, logarithmic)", marks, rows)
	first := drawn[0]
	f.Alt = fmt.Sprintf("Dots with intervals, %d rows. %s: connected in %.2f, first byte in %.2f, in all %.2f times that of TCP. The table below has all numbers.",
		len(rows), rows[0].name, first.Connect.Median, first.FirstByte.Median, first.Total.Median)
	return f
}
