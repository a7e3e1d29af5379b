package report

import (
	"fmt"
	"iter"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// rank is a row of a ranking.
type rank struct {
	name  string
	count int64
}

// drawRanks puts a bar for each row into the figure, the first at the top. axis says what is counted.
func (f *Figure) drawRanks(axis string, ranks []rank) {
	p := newFigurePlot(axis)
	most := int64(1)
	names, counts := make(plot.ConstantTicks, len(ranks)), make(notes, len(ranks))
	beside := textStyle(9)
	beside.YAlign = draw.YCenter
	for i, r := range ranks {
		y := float64(len(ranks) - 1 - i)
		most = max(most, r.count)
		names[i] = plot.Tick{Value: y, Label: r.name}
		counts[i] = note{plotter.XY{X: float64(r.count), Y: y}, groupedSigned(r.count), beside, vg.Point{X: 4}}
	}
	p.X.Min, p.X.Max = 0, 1.1*float64(most)
	p.X.Tick.Marker = plot.TickerFunc(wholeTicks)
	p.Y.Min, p.Y.Max = -0.6, float64(len(ranks))-0.4
	p.Y.Tick.Marker, p.Y.Tick.Length, p.Y.LineStyle.Width = names, 0, 0
	p.Add(rankBars(ranks), counts)
	f.plot, f.height = p, vg.Length(100+22*len(ranks))
}

// rankBars draws the bars of a ranking.
type rankBars []rank

// Plot implements plot.Plotter.
func (ranks rankBars) Plot(c draw.Canvas, p *plot.Plot) {
	const half = 7 // of a bar's height
	x, y := p.Transforms(&c)
	for i, r := range ranks {
		at, right := y(float64(len(ranks)-1-i)), x(float64(r.count))
		c.FillPolygon(skyBlue, []vg.Point{
			{X: c.Min.X, Y: at - half}, {X: c.Min.X, Y: at + half}, {X: right, Y: at + half}, {X: right, Y: at - half},
		})
	}
}

// wholeTicks are at most a few whole numbers, for counts on a linear axis that begins at zero.
func wholeTicks(_, highest float64) (ticks []plot.Tick) {
	step := 1.0
	for i := 0; highest/step > 8; i++ {
		step *= []float64{2, 2.5, 2}[i%3]
	}
	for value := 0.0; value <= highest; value += step {
		ticks = append(ticks, plot.Tick{Value: value, Label: grouped(uint64(value))})
	}
	return ticks
}

// networkFigures draw the AS or countries of a table that have potential hosts, a figure a family. name
// is that of a row, or empty for one that stands for others together.
func networkFigures(t *Table, title, plural string, name func(row map[string]any) string) []*Figure {
	var figures []*Figure
	ranks := make(map[string][]rank)
	shares := make(map[string]float64)
	for row := range t.byName() {
		family, _ := row["family"].(string)
		potential, _ := row["potential"].(int64)
		if potential == 0 || name(row) == "" {
			continue
		}
		if ranks[family] == nil {
			figures = append(figures, &Figure{
				Name: t.Name + "-" + family, Title: title + ", " + label(familyName(family)),
				Caption: fmt.Sprintf("The %s with the most potential addresses. An address counts once, whatever its ports and versions. It is where the "+
					"addresses are routed or registered, which need not be where the hosts are.", plural),
			})
		}
		ranks[family] = append(ranks[family], rank{name(row), potential})
		share, _ := row["potential_share"].(float64)
		shares[family] += share
	}
	if len(figures) == 0 {
		return []*Figure{{Name: t.Name, Title: title, Empty: "not enough data: of no potential address it is known"}}
	}
	for _, f := range figures {
		family := strings.TrimPrefix(f.Name, t.Name+"-")
		rows := ranks[family]
		f.subtitle = fmt.Sprintf("together %.1f %% of the potential addresses", 100*shares[family])
		f.drawRanks("Potential addresses (count)", rows)
		f.Alt = fmt.Sprintf("%d bars, %s. The first is %s, with %s addresses. The table below has all numbers.",
			len(rows), f.subtitle, rows[0].name, groupedSigned(rows[0].count))
	}
	return figures
}

// asFigures draw the AS with the most potential addresses.
func asFigures(t *Table) []*Figure {
	return networkFigures(t, "Autonomous systems of potential hosts", "autonomous systems", func(row map[string]any) string {
		number, known := row["asn"].(int64)
		if !known {
			return ""
		}
		name, _ := row["as_name"].(string)
		return label(strings.TrimSpace(fmt.Sprintf("AS%d %s", number, name)))
	})
}

// countryFigures draw the countries with the most potential addresses.
func countryFigures(t *Table) []*Figure {
	return networkFigures(t, "Countries of potential hosts", "countries", func(row map[string]any) string {
		country, _ := row["country"].(string)
		if strings.HasPrefix(country, "(") {
			return ""
		}
		return label(country)
	})
}

// byName goes over the rows, with the names of their columns.
func (t *Table) byName() iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		for _, values := range t.Rows {
			row := make(map[string]any, len(values))
			for i, value := range values {
				row[t.Columns[i].Name] = value
			}
			if !yield(row) {
				return
			}
		}
	}
}
