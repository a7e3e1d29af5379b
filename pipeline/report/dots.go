package report

import (
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// dotRow is a row of dots: what it is of, and a count for each mark, or unknownCount.
type dotRow struct {
	name   string
	counts []int64
}

// unknownCount has no dot.
const unknownCount = -1

// known are the counts that have dots.
func (r dotRow) known() []int64 {
	return slices.DeleteFunc(slices.Clone(r.counts), func(n int64) bool { return n == unknownCount })
}

// drawDots puts rows of dots into the figure, the first at the top, each dot at its count on a
// logarithmic axis. (A bar's length would say nothing on such an axis.) The dots of a row are joined by
// a line, or apart: one below the other, where counts may be alike.
func (f *Figure) drawDots(axis string, marks []dot, rows []dotRow, apart bool) {
	p := newFigurePlot(axis)
	lowest, highest := math.Inf(1), 1.0
	names := make(plot.ConstantTicks, len(rows))
	var numbers notes
	style := textStyle(9)
	style.XAlign = draw.XCenter
	// Numbers in turn above and below the line: those of neighbours, which may be alike, do not meet.
	offsets := []vg.Point{{Y: 6}, {Y: -14}}
	if apart {
		style = textStyle(8)
		style.YAlign = draw.YCenter
		offsets = []vg.Point{{X: 6}}
	}
	for i, row := range rows {
		y := float64(len(rows) - 1 - i)
		names[i] = plot.Tick{Value: y, Label: row.name}
		for j, n := range row.counts {
			if n == unknownCount {
				continue
			}
			x := logCount(uint64(n))
			lowest, highest = min(lowest, x), max(highest, x)
			at := plotter.XY{X: x, Y: y}
			if apart {
				at.Y -= apartBy(j, len(marks))
			}
			numbers = append(numbers, note{at, groupedSigned(n), style, offsets[j%len(offsets)]})
		}
	}
	logAxis(&p.X, lowest, highest)
	p.Y.Min, p.Y.Max = -0.6, float64(len(rows))-0.3
	p.Y.Tick.Marker, p.Y.Tick.Length, p.Y.LineStyle.Width = names, 0, 0
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = nil, gridColor
	p.Add(grid, dots{marks, rows, apart}, numbers)
	f.plot, f.height = p, vg.Length(130+34*len(rows))
}

// apartBy is how far below the middle of its row the j-th of n dots stands.
func apartBy(j, n int) float64 { return 0.24 * (float64(j) - float64(n-1)/2) }

// dots draws rows of dots.
type dots struct {
	marks []dot
	rows  []dotRow
	apart bool
}

// Plot implements plot.Plotter.
func (d dots) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	place := func(n int64) vg.Length { return x(logCount(uint64(n))) }
	for i, row := range d.rows {
		middle := float64(len(d.rows) - 1 - i)
		if !d.apart {
			c.StrokeLine2(draw.LineStyle{Color: gridColor, Width: 3},
				place(slices.Min(row.known())), y(middle), place(slices.Max(row.known())), y(middle))
		}
		for j, n := range row.counts {
			if n == unknownCount {
				continue
			}
			at := middle
			if d.apart {
				at -= apartBy(j, len(row.counts))
			}
			c.DrawGlyph(d.marks[j].GlyphStyle, vg.Point{X: place(n), Y: y(at)})
		}
	}
}
