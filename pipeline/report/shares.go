package report

import (
	"fmt"
	"image/color"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// segment is one of the parts that rows of a [sharesFigure] are divided into, from the left.
type segment struct {
	name  string
	color color.Color
	text  color.Color // on it
}

// shareRow is a row of a figure of shares: what it is of, and how many fall on each part.
type shareRow struct {
	name   string
	counts []int64
}

func (r shareRow) total() (n int64) {
	for _, count := range r.counts {
		n += count
	}
	return n
}

// drawShares puts rows into the figure whose parts add up to 100 %. Parts stand in the legend's order
// and have their share written on them, so that they are told apart without colours.
func (f *Figure) drawShares(unit string, parts []segment, rows []shareRow) {
	var percents plot.ConstantTicks
	p := newFigurePlot(fmt.Sprintf("Share of the %s (%%)", unit))
	p.X.Min, p.X.Max = 0, 100
	for percent := 0; percent <= 100; percent += 20 {
		percents = append(percents, plot.Tick{Value: float64(percent), Label: strconv.Itoa(percent)})
	}
	p.X.Tick.Marker = percents
	p.Y.Min, p.Y.Max = -0.6, float64(len(rows))-0.4
	ticks := make([]plot.Tick, len(rows))
	var names notes
	for i, row := range rows {
		y := float64(len(rows) - 1 - i)
		ticks[i] = plot.Tick{Value: y, Label: row.name}
		names = append(names, note{plotter.XY{X: 0, Y: y}, fmt.Sprintf("%s %s", groupedSigned(row.total()), unit), textStyle(9), vg.Point{Y: 11}})
	}
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Tick.Length, p.Y.LineStyle.Width = 0, 0
	p.Add(shares{parts, rows}, names)
	for i, s := range parts {
		f.explain(fmt.Sprintf("%d. %s", i+1, s.name), swatch{s.color})
	}
	f.plot, f.height = p, vg.Length(130+40*len(rows))
}

// shares draws rows of parts that add up to 100 %.
type shares struct {
	parts []segment
	rows  []shareRow
}

// Plot implements plot.Plotter.
func (s shares) Plot(c draw.Canvas, p *plot.Plot) {
	const half = 8 // of a row's height
	x, y := p.Transforms(&c)
	for i, row := range s.rows {
		at, total, before := y(float64(len(s.rows)-1-i)), row.total(), int64(0)
		for j, count := range row.counts {
			left, right := x(100*float64(before)/float64(total)), x(100*float64(before+count)/float64(total))
			before += count
			if count == 0 {
				continue
			}
			c.FillPolygon(s.parts[j].color, []vg.Point{
				{X: left, Y: at - half}, {X: left, Y: at + half}, {X: right, Y: at + half}, {X: right, Y: at - half},
			})
			c.StrokeLine2(draw.LineStyle{Color: color.White, Width: 1}, right, at-half, right, at+half)
			style := textStyle(9)
			style.Color, style.XAlign, style.YAlign = s.parts[j].text, draw.XCenter, draw.YCenter
			if share := fmt.Sprintf("%d: %.1f %%", j+1, 100*float64(count)/float64(total)); style.Width(share)+4 < right-left {
				c.FillText(style, vg.Point{X: (left + right) / 2, Y: at}, share)
			}
		}
	}
}

// presenceFigure draws which share of the hosts that were ever potential was there on all dates, on
// several, or on one only (the paper's transient hosts).
func presenceFigure(presence []Presence) Figure {
	f := Figure{
		Name:  "presence",
		Title: "Hosts seen always, sometimes, once",
		Caption: "Each row is a family, port and MPTCP version with at least two dates of complete scans, and divides the targets that were " +
			"potential on any of them. Once is one date only: with few dates, many hosts are new or short-lived merely because the scans began " +
			"late or ended early.",
	}
	var rows []shareRow
	for _, p := range presence {
		if p.Scanned < 2 {
			continue
		}
		row := shareRow{
			name:   fmt.Sprintf("%s, %d dates", series(p.Family, p.Port, p.Probe), p.Scanned),
			counts: make([]int64, 3),
		}
		for i, n := range p.Seen {
			switch {
			case i+1 == p.Scanned:
				row.counts[0] += n
			case i == 0:
				row.counts[2] += n
			default:
				row.counts[1] += n
			}
		}
		if row.total() > 0 {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		f.Empty = "not enough data: no family, port and MPTCP version has potential hosts and two dates of complete scans"
		return f
	}
	if all := len(rows); all > mostSeries {
		rows = rows[:mostSeries]
		f.subtitle = fmt.Sprintf("the first %d of %d", mostSeries, all)
	}
	f.drawShares("potential targets", []segment{
		{"always", blue, color.White}, {"sometimes", skyBlue, color.Black}, {"once", orange, color.Black},
	}, rows)
	f.Alt = fmt.Sprintf("Bars divided into always, sometimes and once, %d rows. The table below has all numbers.", len(rows))
	return f
}
