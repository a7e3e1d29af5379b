package report

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// lineStyles tell lines apart by colour and mark; IPv6 is dashed as well.
var lineStyles = []struct {
	color color.Color
	shape draw.GlyphDrawer
}{
	{blue, draw.CircleGlyph{}}, {vermilion, draw.BoxGlyph{}}, {green, draw.PyramidGlyph{}}, {purple, diamond{}},
	{color.Black, draw.RingGlyph{}}, {orange, draw.SquareGlyph{}}, {skyBlue, draw.TriangleGlyph{}}, {color.Gray{0x70}, draw.CrossGlyph{}},
}

// monthsFigure draws the potential hosts of each month, a line a family, port and version.
func monthsFigure(months []Month) (Figure, error) {
	f := Figure{
		Name:  "months",
		Title: "Potential MPTCP hosts by month",
		Caption: "Targets with verdict potential in the newest complete scan of each month. A month without such a scan is a gap in " +
			"the line, not a zero. The axis is logarithmic: equal steps are equal ratios.",
	}
	err := f.drawMonths(months, "potential", (*Tally).Potential)
	return f, err
}

// finalMonthsFigure draws the true hosts of each month.
func finalMonthsFigure(months []Month) (Figure, error) {
	f := Figure{
		Name:  "final_months",
		Title: "True MPTCP hosts by month",
		Caption: "Targets with final verdict true, in the newest complete scan of each month whose hosts were traced or connected to. A month " +
			"without one is a gap in the line, not a zero. The axis is logarithmic: equal steps are equal ratios.",
	}
	err := f.drawMonths(months, "true", (*Tally).True)
	return f, err
}

// drawMonths puts a line for each family, port and version into the figure. what names what is counted.
func (f *Figure) drawMonths(months []Month, what string, count func(*Tally) int64) error {
	names := monthNames(months)
	lines := monthLines(months, count)
	if len(names) < 2 || len(lines) == 0 {
		f.Empty = fmt.Sprintf("not enough data: %d of the at least 2 months with complete scans", min(len(names), len(lines)))
		return nil
	}
	if len(lines) > mostSeries {
		f.subtitle = fmt.Sprintf("the %d of %d series with the most %s hosts", mostSeries, len(lines), what)
		lines = lines[:mostSeries]
	}

	p := newFigurePlot("Month")
	f.yLabel = strings.ToUpper(what[:1]) + what[1:] + " targets (count, logarithmic)"
	lowest, highest := math.Inf(1), 1.0
	for i, line := range lines {
		style := lineStyles[i%len(lineStyles)]
		mark := newDot(style.color, style.shape)
		stroke := draw.LineStyle{Color: style.color, Width: 1.5}
		if line.family == "ipv6" {
			stroke.Dashes = []vg.Length{5, 3}
		}
		for _, piece := range line.pieces {
			for _, at := range piece {
				lowest, highest = min(lowest, at.Y), max(highest, at.Y)
			}
			drawn, marks, err := plotter.NewLinePoints(piece)
			if err != nil {
				return err
			}
			drawn.LineStyle, marks.GlyphStyle = stroke, mark.GlyphStyle
			p.Add(drawn, marks)
		}
		f.explain(line.name, lineMark{stroke, mark})
	}
	p.X.Min, p.X.Max = -0.3, float64(len(names))-0.7
	p.X.Tick.Marker = plot.ConstantTicks(monthTicks(names))
	logAxis(&p.Y, lowest, highest)
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color = gridColor
	p.Add(grid)
	f.plot, f.height = p, 420
	f.Alt = fmt.Sprintf("%d lines from %s to %s. The table below has all numbers.", len(lines), names[0], names[len(names)-1])
	return nil
}

// monthLine is a line of the figure, in pieces between its gaps.
type monthLine struct {
	name, family string
	pieces       []plotter.XYs
	sum          int64 // over all months
}

// monthLines are the lines, by family, port and probe; those with the most hosts first if there are too many
// for a figure.
func monthLines(months []Month, count func(*Tally) int64) []monthLine {
	names := monthNames(months)
	var lines []monthLine
	for _, m := range months {
		name := series(m.Family, m.Port, m.Probe)
		i := slices.IndexFunc(lines, func(l monthLine) bool { return l.name == name })
		if i < 0 {
			i = len(lines)
			lines = append(lines, monthLine{name: name, family: m.Family})
		}
		l, x := &lines[i], float64(slices.Index(names, m.Month))
		if !m.Scanned {
			continue
		}
		n := count(m.Tally)
		l.sum += n
		at := plotter.XY{X: x, Y: logCount(uint64(n))}
		if last := len(l.pieces) - 1; last >= 0 && l.pieces[last][len(l.pieces[last])-1].X == x-1 {
			l.pieces[last] = append(l.pieces[last], at)
		} else {
			l.pieces = append(l.pieces, plotter.XYs{at})
		}
	}
	lines = slices.DeleteFunc(lines, func(l monthLine) bool { return len(l.pieces) == 0 })
	if len(lines) > mostSeries {
		slices.SortStableFunc(lines, func(a, b monthLine) int { return cmp.Compare(b.sum, a.sum) })
	}
	return lines
}

// monthNames are the months, oldest first.
func monthNames(months []Month) []string {
	var names []string
	for _, m := range months {
		names = append(names, m.Month)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// monthTicks name at most a dozen months.
func monthTicks(names []string) []plot.Tick {
	every := (len(names) + 11) / 12
	ticks := make([]plot.Tick, len(names))
	for i, name := range names {
		ticks[i].Value = float64(i)
		if i%every == 0 {
			ticks[i].Label = name
		}
	}
	return ticks
}

// lineMark is a legend's mark of a line with marks on it.
type lineMark struct {
	draw.LineStyle
	dot
}

// Thumbnail implements plot.Thumbnailer.
func (m lineMark) Thumbnail(c *draw.Canvas) {
	y := c.Center().Y
	c.StrokeLine2(m.LineStyle, c.Min.X, y, c.Max.X, y)
	m.dot.Thumbnail(c)
}
