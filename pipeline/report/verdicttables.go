package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Columns that several tables have.
var (
	dateColumn     = Column{Name: "date", Meaning: "UTC date on which the scan began."}
	familyColumn   = Column{Name: "family", Meaning: "ipv4 or ipv6."}
	portColumn     = Column{Name: "port", Number: true, Meaning: "TCP port of the targets."}
	probeColumn    = Column{Name: "probe", Meaning: "What the SYN carried: MP_CAPABLE v0 (RFC 6824) or v1 (RFC 8684), nothing (plain) or an unknown option (canary)."}
	completeColumn = Column{Name: "complete", Meaning: "no: a scan broke off, and there are more targets than are counted."}

	partitionColumns = []Column{dateColumn, familyColumn, portColumn, probeColumn}

	responsiveColumn = Column{Name: "responsive", Unit: "targets", Meaning: "Answered with a SYN-ACK."}
	mpCapableColumn  = Column{Name: "mp_capable", Unit: "targets", Meaning: "Answered with a SYN-ACK that has MP_CAPABLE."}
	filteredColumn   = Column{Name: "filtered", Unit: "targets", Meaning: "Of mp_capable, those whose MP_CAPABLE is not a genuine host's: mirrored, tampered or implausible."}
	potentialColumn  = Column{Name: "potential", Unit: "targets", Meaning: "Of mp_capable, those that passed all tests."}
)

func partitionCells(p dataset.Partition) []any {
	return []any{p.Date, p.Family, int64(p.Port), p.Probe}
}

// funnel makes the table Funnel.
func (r *reader) funnel() {
	t := Table{
		Name: "funnel", Title: "From probes to potential MPTCP hosts",
		Note: "Targets of each date, family, port and probe. A target is an address and port; one that several scans of that date have counts once, with the verdict that speaks most for MPTCP.",
		Columns: slices.Concat(partitionColumns, []Column{
			{Name: "scans", Meaning: "Scans that are counted here: shards of one, or repetitions."},
			completeColumn,
			{Name: "probes_sent", Unit: "SYNs", Meaning: "SYNs sent by these scans; not known of rows that came from a file."},
			responsiveColumn, mpCapableColumn, filteredColumn,
			{Name: "filtered_share", Share: true, Meaning: "Filtered targets of those with MP_CAPABLE."},
			{Name: "mirrored", Unit: "targets", Meaning: "Of filtered: our own option came back."},
			{Name: "tampered", Unit: "targets", Meaning: "Of filtered: the key was made from one that we sent."},
			{Name: "implausible", Unit: "targets", Meaning: "Of filtered: the key or the option cannot be a genuine host's."},
			potentialColumn}, finalColumns),
	}
	for i := range r.census.Tallies {
		c := &r.census.Tallies[i]
		var probes, potential any
		if c.Probes.Valid {
			probes = c.Probes.V
		}
		if sendsMPCapable(c.Partition) {
			potential = c.Potential()
		}
		t.Rows = append(t.Rows, slices.Concat(partitionCells(c.Partition), []any{int64(len(c.Scans)), yesNo(c.Complete), probes,
			c.Responsive(), c.MPCapable(), c.Filtered(), share(c.Filtered(), c.MPCapable()),
			c.Verdicts["mirrored"], c.Verdicts["tampered"], c.Verdicts["implausible"], potential}, c.finalCells()))
	}
	r.census.Funnel = t
}

// reasons makes the table Reasons.
func (r *reader) reasons() {
	t := Table{
		Name: "reasons", Title: "Why hosts were filtered",
		Note: "Filtered hosts by verdict and by what their reasons begin with. A host that has several reasons counts at each of them, and one that several scans of a date have counts in each.",
		Columns: slices.Concat(partitionColumns, []Column{
			{Name: "verdict", Meaning: "mirrored, tampered or implausible."},
			{Name: "reason", Meaning: "As in the column reasons of hosts, without its numbers."},
			{Name: "hosts", Unit: "targets", Meaning: "Filtered hosts with this verdict and reason."},
			{Name: "share", Share: true, Meaning: "Of all filtered hosts of that date, family, port and probe."}}),
		Empty: "No host was filtered.",
	}
	for _, same := range byPartition(r.scans) {
		filtered := int64(0)
		counts := make(map[reason]int64)
		for _, s := range same {
			filtered += s.verdicts["mirrored"] + s.verdicts["tampered"] + s.verdicts["implausible"]
			for key, n := range s.reasons {
				key.weight = 0
				counts[key] += n
			}
		}
		var found []reason
		for key := range counts {
			found = append(found, key)
		}
		slices.SortFunc(found, func(a, b reason) int {
			return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.verdict, b.verdict), cmp.Compare(a.tag, b.tag))
		})
		for _, key := range found {
			t.Rows = append(t.Rows, append(partitionCells(same[0].Partition),
				key.verdict, key.tag, counts[key], share(counts[key], filtered)))
		}
	}
	r.census.Reasons = t
}

// months makes Months and their table.
func (r *reader) months() {
	c := &r.census
	t := Table{
		Name: "months", Title: "Months",
		Note: "Targets of the newest complete date of each month. A month without a complete scan is a gap, not a zero.",
		Columns: []Column{
			{Name: "month", Meaning: "Calendar month, UTC."},
			familyColumn, portColumn, probeColumn,
			{Name: "date", Meaning: "The date counted; none: no complete scan that month."},
			responsiveColumn, mpCapableColumn, filteredColumn, potentialColumn},
	}
	c.Months, t.Empty = monthsBy(c, func(*Tally) bool { return true })
	for _, m := range c.Months {
		row := []any{m.Month, m.Family, int64(m.Port), m.Probe, nil, nil, nil, nil, nil}
		if m.Scanned {
			row = append(row[:4], m.Tally.Date, m.Tally.Responsive(), m.Tally.MPCapable(), m.Tally.Filtered(), m.Tally.Potential())
		}
		t.Rows = append(t.Rows, row)
	}
	c.MonthsTable = t
}

// monthsBy are the months of each family, port and probe with MP_CAPABLE, by the newest complete tally of each
// that counts; where there are none, empty says why.
func monthsBy(c *Census, counts func(*Tally) bool) (months []Month, empty string) {
	type series struct {
		family string
		port   uint16
		probe  string
	}
	type month struct {
		series
		month string
	}
	var all []series
	newest := make(map[month]*Tally)
	for i := range c.Tallies {
		tally := &c.Tallies[i]
		if !sendsMPCapable(tally.Partition) {
			continue
		}
		s := series{tally.Family, tally.Port, tally.Probe}
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
		at := month{s, tally.Date[:len("2006-01")]}
		if tally.Complete && counts(tally) && newest[at] == nil { // the newest is first
			newest[at] = tally
		}
	}
	slices.SortFunc(all, func(a, b series) int {
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.port, b.port), cmp.Compare(a.probe, b.probe))
	})
	names := monthsOf(c.Dates)
	switch {
	case len(names) < 2:
		return nil, "Not enough data: all scans are of one month."
	case len(names) > maxMonths:
		return nil, fmt.Sprintf("No table: from %s to %s there are more than %d months. Is one of these dates mistaken?",
			c.Dates[0], c.Dates[len(c.Dates)-1], maxMonths)
	case len(all) == 0:
		return nil, "Not enough data: no v0 or v1 scan."
	}
	for _, s := range all {
		for _, name := range names {
			m := Month{Month: name, Family: s.family, Port: s.port, Probe: s.probe, Tally: newest[month{s, name}]}
			m.Scanned = m.Tally != nil
			months = append(months, m)
		}
	}
	return months, ""
}

// maxMonths bounds the gaps that a mistaken date makes.
const maxMonths = 50 * 12

// monthsOf are all months from the first date to the last, at most maxMonths and one.
func monthsOf(dates []string) (names []string) {
	month, _ := time.Parse("2006-01", dates[0][:len("2006-01")])
	last := dates[len(dates)-1][:len("2006-01")]
	for len(names) <= maxMonths {
		name := month.Format("2006-01")
		names = append(names, name)
		if name == last {
			break
		}
		month = month.AddDate(0, 1, 0)
	}
	return names
}

// versions makes the table Versions.
func (r *reader) versions() error {
	t := Table{
		Name: "versions", Title: "MPTCP v0 against v1",
		Note: "Targets that are potential to probes of both versions on the same date, family and port, or to one only. Where one version was not scanned that day, what needs it is not known.",
		Columns: []Column{dateColumn, familyColumn, portColumn, completeColumn,
			{Name: "v0", Unit: "targets", Meaning: "Potential to v0."},
			{Name: "v1", Unit: "targets", Meaning: "Potential to v1."},
			{Name: "both", Unit: "targets", Meaning: "Potential to both."},
			{Name: "only_v0", Unit: "targets", Meaning: "Potential to v0 but not to v1."},
			{Name: "only_v1", Unit: "targets", Meaning: "Potential to v1 but not to v0."}},
		Empty: "Not enough data: no date, family and port has both a v0 and a v1 scan.",
	}
	type counts struct{ v0, v1, both int64 }
	found := make(map[dataset.Partition]counts)
	var p dataset.Partition
	var n counts
	err := r.query("versions", nil, func() error {
		found[p] = n
		return nil
	}, &p.Date, &p.Family, &p.Port, &n.both, &n.v0, &n.v1)
	if err != nil {
		return err
	}

	tallies := make(map[dataset.Partition]*Tally)
	var places []dataset.Partition // without probe
	paired := false
	for i := range r.census.Tallies {
		tally := &r.census.Tallies[i]
		if !sendsMPCapable(tally.Partition) {
			continue
		}
		tallies[tally.Partition] = tally
		place := tally.Partition
		place.Probe = ""
		if len(places) == 0 || places[len(places)-1] != place {
			places = append(places, place)
		} else {
			paired = true
		}
	}
	for _, place := range places {
		p0, p1 := place, place
		p0.Probe, p1.Probe = zmap.ProbeV0, zmap.ProbeV1
		v0, v1 := tallies[p0], tallies[p1]
		row := []any{place.Date, place.Family, int64(place.Port),
			yesNo((v0 == nil || v0.Complete) && (v1 == nil || v1.Complete)), nil, nil, nil, nil, nil}
		n := found[place]
		if v0 != nil {
			row[4] = n.v0
		}
		if v1 != nil {
			row[5] = n.v1
		}
		if v0 != nil && v1 != nil {
			row[6], row[7], row[8] = n.both, n.v0-n.both, n.v1-n.both
		}
		if paired {
			t.Rows = append(t.Rows, row)
		}
	}
	r.census.Versions = t
	return nil
}
