package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg/draw"
)

// series names what a scan asked: "IPv4 443 v0".
func series(family string, port uint16, probe string) string {
	return label(fmt.Sprintf("%s port %d %s", familyName(family), port, probe))
}

func familyName(family string) string {
	return strings.Replace(family, "ip", "IP", 1)
}

// mostSeries is how many rows or lines a figure has at most: with more it could not be read.
const mostSeries = 12

// stages of the funnel, with the marks that stand for them.
var stages = []struct {
	name  string
	count func(*Tally) int64
	mark  dot
}{
	{"responsive (SYN-ACK)", (*Tally).Responsive, newDot(blue, draw.BoxGlyph{})},
	{"with MP_CAPABLE", (*Tally).MPCapable, newDot(vermilion, draw.PyramidGlyph{})},
	{"potential", (*Tally).Potential, newDot(green, draw.CircleGlyph{})},
	{"true", (*Tally).trueIfKnown, newDot(purple, diamond{})},
}

func (t *Tally) trueIfKnown() int64 {
	if !t.FollowedUp {
		return unknownCount
	}
	return t.True()
}

// funnelFigure draws how many of the targets that answered are left at each stage: a row for the newest
// v0 and v1 scan of each family and port.
func funnelFigure(tallies []Tally) Figure {
	f := Figure{
		Name:  "funnel",
		Title: "From answers to MPTCP hosts",
		Caption: "Each row is the newest complete scan of a family, port and MPTCP version. From right to left: targets that answered " +
			"with a SYN-ACK, those whose SYN-ACK has MP_CAPABLE, those left when mirrored, tampered and implausible ones are " +
			"filtered, and, where they were traced or connected to, those that speak MPTCP from end to end. The axis is logarithmic: equal steps are equal ratios.",
	}
	newest := newestTallies(tallies)
	if len(newest) == 0 {
		f.Empty = "not enough data: no complete v0 or v1 scan"
		return f
	}
	all := len(newest)
	newest = newest[:min(all, mostSeries)]
	if all > len(newest) {
		f.subtitle = fmt.Sprintf("the %d of %d scans with the most targets that answered", len(newest), all)
	}
	var marks []dot
	for _, stage := range stages {
		marks = append(marks, stage.mark)
		if slices.ContainsFunc(newest, func(t *Tally) bool { return stage.count(t) != unknownCount }) {
			f.explain(stage.name, stage.mark)
		}
	}
	rows := make([]dotRow, len(newest))
	for i, t := range newest {
		rows[i].name = series(t.Family, t.Port, t.Probe) + ", " + label(t.Date)
		for _, stage := range stages {
			rows[i].counts = append(rows[i].counts, stage.count(t))
		}
	}
	f.drawDots("Targets (count, logarithmic)", marks, rows, false)
	first := newest[0]
	f.Alt = fmt.Sprintf("Dots on a logarithmic axis, %d rows. %s: %s responsive, %s with MP_CAPABLE, %s potential. The table below has all numbers.",
		len(newest), series(first.Family, first.Port, first.Probe), groupedSigned(first.Responsive()), groupedSigned(first.MPCapable()), groupedSigned(first.Potential()))
	return f
}

// newestTallies are the newest complete tallies of each family, port and version of MPTCP: by family,
// port and probe, but if there are more than mostSeries, those with the most answers first.
func newestTallies(tallies []Tally) []*Tally {
	newest := make(map[string]*Tally)
	for i := range tallies {
		t := &tallies[i]
		name := series(t.Family, t.Port, t.Probe)
		if have := newest[name]; t.Complete && (t.Probe == "v0" || t.Probe == "v1") && (have == nil || have.Date < t.Date) {
			newest[name] = t
		}
	}
	sorted := make([]*Tally, 0, len(newest))
	for _, t := range newest {
		sorted = append(sorted, t)
	}
	slices.SortFunc(sorted, func(a, b *Tally) int {
		byAnswers := 0
		if len(newest) > mostSeries {
			byAnswers = cmp.Compare(b.Responsive(), a.Responsive())
		}
		return cmp.Or(byAnswers, cmp.Compare(a.Family, b.Family), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Probe, b.Probe))
	})
	return sorted
}
