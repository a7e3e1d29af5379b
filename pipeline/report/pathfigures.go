package report

import (
	"cmp"
	"fmt"
	"image/color"
	"slices"
	"strings"
)

// newestRows are the rows of a table, which has the newest first, that are of the newest date of what the
// columns name.
func newestRows(t *Table, columns ...string) (rows []map[string]any) {
	newest := make(map[string]any)
	for row := range t.byName() {
		var of []string
		for _, name := range columns {
			of = append(of, fmt.Sprint(row[name]))
		}
		at := strings.Join(of, " ")
		if newest[at] == nil {
			newest[at] = row["date"]
		}
		if newest[at] == row["date"] {
			rows = append(rows, row)
		}
	}
	return rows
}

// middleboxesFigure draws where on the path each kind of middlebox is.
func middleboxesFigure(t *Table) Figure {
	f := Figure{
		Name:  "middleboxes",
		Title: "Where on the path middleboxes are",
		Caption: "Each row is a kind of middlebox, and divides the paths that it is on, of the newest traced date of each family, port and MPTCP " +
			"version, by where on them it is. A target that was traced with two versions has two paths. Not told: the host did not answer, so that the " +
			"length of the path is not known, or the quotes narrow it down to no better than a third of it.",
	}
	counts := make(map[string][]int64)
	var kinds []string
	for _, row := range newestRows(t, "family", "port", "probe") {
		kind := fmt.Sprint(row["kind"])
		if counts[kind] == nil {
			counts[kind] = make([]int64, len(places))
			kinds = append(kinds, kind)
		}
		for i, place := range places {
			n, _ := row[place.column].(int64)
			counts[kind][i] += n
		}
	}
	if len(kinds) == 0 {
		f.Empty = "not enough data: no path shows a middlebox"
		return f
	}
	// The table has them by version, where the first may lack the kinds that matter most.
	slices.SortStableFunc(kinds, func(a, b string) int { return cmp.Or(cmp.Compare(kindRank(a), kindRank(b)), cmp.Compare(a, b)) })
	if all := len(kinds); all > mostSeries {
		kinds = kinds[:mostSeries]
		f.subtitle = fmt.Sprintf("the first %d of %d kinds", mostSeries, all)
	}
	var rows []shareRow
	for _, kind := range kinds {
		rows = append(rows, shareRow{label(kind), counts[kind]})
	}
	colors := []segment{{color: blue, text: color.White}, {color: skyBlue, text: color.Black}, {color: orange, text: color.Black},
		{color: vermilion, text: color.Black}, {color: gridColor, text: color.Black}}
	for i := range colors {
		colors[i].name = places[i].label
	}
	f.drawShares("paths with such a box", colors, rows)
	f.Alt = fmt.Sprintf("Bars divided by place on the path, %d rows. The first is %s, on %s paths. The table below has all numbers.",
		len(rows), rows[0].name, groupedSigned(rows[0].total()))
	return f
}

// verificationFigure draws what connections prove.
func verificationFigure(t *Table) Figure {
	f := Figure{
		Name:  "verification",
		Title: "What real connections prove",
		Caption: "Each row divides the targets of the newest verification of a family, port and protocol by what their connections with the kernel's " +
			"MPTCP show. Only what is still MPTCP after bytes of a response proves it.",
	}
	var rows []shareRow
	for _, row := range newestRows(t, "family", "port", "protocol") {
		family, _ := row["family"].(string)
		port, _ := row["port"].(int64)
		protocol, _ := row["protocol"].(string)
		r := shareRow{name: series(family, uint16(port), protocol)}
		for _, result := range verificationResults {
			n, _ := row[result.column].(int64)
			r.counts = append(r.counts, n)
		}
		if r.total() > 0 {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		f.Empty = "not enough data: no target was connected to"
		return f
	}
	if all := len(rows); all > mostSeries {
		rows = rows[:mostSeries]
		f.subtitle = fmt.Sprintf("the first %d of %d", mostSeries, all)
	}
	colors := []segment{{color: blue, text: color.White}, {color: orange, text: color.Black}, {color: vermilion, text: color.Black},
		{color: skyBlue, text: color.Black}, {color: gridColor, text: color.Black}, {color: purple, text: color.Black}}
	for i := range colors {
		colors[i].name = verificationResults[i].label
	}
	f.drawShares("targets", colors, rows)
	f.Alt = fmt.Sprintf("Bars divided by what connections prove, %d rows. The table below has all numbers.", len(rows))
	return f
}
