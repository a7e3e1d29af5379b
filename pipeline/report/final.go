package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mpcensus/mpcensus/pipeline/classify"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// readFinal counts the targets of each tally by final verdict.
func (r *reader) readFinal() error {
	tallies := make(map[dataset.Partition]*Tally)
	for i := range r.census.Tallies {
		t := &r.census.Tallies[i]
		t.Final = make(map[string]int64)
		tallies[t.Partition] = t
	}
	var p dataset.Partition
	if err := r.query("followed", nil, func() error {
		if t := tallies[p]; t != nil {
			t.FollowedUp = sendsMPCapable(p)
		}
		return nil
	}, &p.Date, &p.Family, &p.Port, &p.Probe); err != nil {
		return err
	}
	if err := r.setNames("final_verdicts", classify.FinalVerdicts); err != nil {
		return err
	}
	var verdict *string
	var n int64
	return r.query("final", nil, func() error {
		if verdict == nil {
			return fmt.Errorf("a final verdict of %s %s port %d %s is unknown: was it made by a newer version?", p.Date, p.Family, p.Port, p.Probe)
		}
		tallies[p].Final[*verdict] = n
		return nil
	}, &p.Date, &p.Family, &p.Port, &p.Probe, &verdict, &n)
}

// checkFinal says which scan was traced or connected to after it was classified: its targets would seem to be without
// a final verdict. It needs the views of paths and connections.
func (r *reader) checkFinal() error {
	var scanID, found string
	if err := r.query("unconcluded", nil, func() error { found = scanID; return nil }, &scanID); err != nil {
		return err
	}
	if found != "" {
		return fmt.Errorf("scan %s: its targets were traced or connected to since it was classified: run mpcensus classify", found)
	}
	return nil
}

// setNames sets an SQL variable to a list of texts.
func (r *reader) setNames(variable string, names []string) error {
	literals := make([]string, len(names))
	for i, name := range names {
		literals[i] = dataset.Literal(name)
	}
	_, err := r.db.ExecContext(r.ctx, "SET VARIABLE "+variable+" = ["+strings.Join(literals, ", ")+"]")
	return queryError(variable, err)
}

var finalColumns = []Column{
	{Name: "true", Unit: "targets", Meaning: "Final verdict true: MPTCP from end to end, by a connection or a path; –: neither traced nor connected to."},
	{Name: "middlebox_affected", Unit: "targets", Meaning: "Final verdict middlebox-affected, whatever the scan's verdict: a box on the path changes, removes, drops or answers MP_CAPABLE."},
	{Name: "unreachable", Unit: "targets", Meaning: "Final verdict unreachable: was potential, and answered neither trace nor connection."},
}

// finalCells are those of finalColumns. Boxes that a scan alone shows count without a trace.
func (t *Tally) finalCells() []any {
	cells := make([]any, len(classify.FinalVerdicts))
	for i, verdict := range classify.FinalVerdicts {
		if n := t.Final[verdict]; t.FollowedUp || n > 0 {
			cells[i] = n
		}
	}
	return cells
}

// True targets speak MPTCP from end to end. They are not known unless FollowedUp.
func (t *Tally) True() int64 { return t.Final["true"] }

// finalMonths makes FinalMonths and their table.
func (r *reader) finalMonths() {
	c := &r.census
	t := Table{
		Name: "final_months", Title: "True hosts by month",
		Note: "Targets of the newest complete date of each month whose hosts were traced or connected to. A month without one is a gap, not a zero.",
		Columns: slices.Concat([]Column{
			{Name: "month", Meaning: "Calendar month, UTC."},
			familyColumn, portColumn, probeColumn,
			{Name: "date", Meaning: "The date counted; none: no complete scan of that month was followed up."},
			{Name: "potential", Unit: "targets", Meaning: "Passed all tests on keys."}}, finalColumns),
	}
	c.FinalMonths, t.Empty = monthsBy(c, func(tally *Tally) bool { return tally.FollowedUp })
	if t.Empty == "" && !slices.ContainsFunc(c.FinalMonths, func(m Month) bool { return m.Scanned }) {
		c.FinalMonths, t.Empty = nil, "Not enough data: no complete v0 or v1 scan was followed by mpcensus trace or verify."
	}
	for _, m := range c.FinalMonths {
		row := []any{m.Month, m.Family, int64(m.Port), m.Probe, nil, nil, nil, nil, nil}
		if m.Scanned {
			row = slices.Concat(row[:4], []any{m.Tally.Date, m.Tally.Potential()}, m.Tally.finalCells())
		}
		t.Rows = append(t.Rows, row)
	}
	c.FinalMonthsTable = t
}
