package report

import (
	"fmt"

	"github.com/mpcensus/mpcensus/pipeline/classify"
)

// mostCampaigns is how many marks a row of the figure of treatments can have and still be read.
const mostCampaigns = 4

// treatmentsFigure draws how the newest campaigns' targets treat MP_CAPABLE: a row a treatment, a mark a
// family, port and version.
func treatmentsFigure(t *Table) Figure {
	f := Figure{
		Name:  "treatments",
		Title: "How targets treat MP_CAPABLE",
		Caption: "Each row is a treatment; each mark counts the targets of the newest campaign of a family, port and MPTCP version. Targets " +
			"that are closed to every probe are left out. The axis is logarithmic; its lower end is zero.",
	}
	var names []string
	newest := make(map[string]map[string]any)
	for row := range t.byName() { // newest first
		family, _ := row["family"].(string)
		probe, _ := row["probe"].(string)
		port, _ := row["port"].(int64)
		name := series(family, uint16(port), probe)
		if newest[name] == nil {
			newest[name] = row
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		f.Empty = "not enough data: no paired campaign"
		return f
	}
	if len(names) > mostCampaigns {
		f.subtitle = fmt.Sprintf("%d of %d families, ports and versions; the table has all", mostCampaigns, len(names))
		names = names[:mostCampaigns]
	}
	var marks []dot
	for i, name := range names {
		mark := newDot(lineStyles[i].color, lineStyles[i].shape)
		marks = append(marks, mark)
		f.explain(name+", "+label(fmt.Sprint(newest[name]["date"])), mark)
	}
	var rows []dotRow
	for _, treatment := range classify.Treatments {
		if treatment == "closed" {
			continue
		}
		row := dotRow{name: treatment}
		for _, name := range names {
			n, _ := newest[name][treatment].(int64)
			row.counts = append(row.counts, n)
		}
		rows = append(rows, row)
	}
	f.drawDots("Targets (count, logarithmic)", marks, rows, true)
	supports := rows[0]
	f.Alt = fmt.Sprintf("Dots on a logarithmic axis, %d rows. %s: %s targets of %s. The table below has all numbers.",
		len(rows), supports.name, groupedSigned(supports.counts[0]), names[0])
	return f
}
