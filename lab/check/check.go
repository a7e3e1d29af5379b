// Package check compares a census of the lab with what the lab knows to be true: every verdict with
// the behaviour behind it, what paired campaigns conclude likewise, paths and final verdicts with the boxes
// on the way, and the rows of the dataset with the replies that the hosts sent.
//
// The real hosts behind chains of routers are no part of the population: they are left out of these, and
// compared by themselves.
package check

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

var (
	//go:embed verdicts.sql
	verdictsSQL string
	//go:embed treatments.sql
	treatmentsSQL string
	//go:embed replies.sql
	repliesSQL string
	//go:embed scans.sql
	scansSQL string
	//go:embed paths.sql
	pathsSQL string
	//go:embed finals.sql
	finalsSQL string
)

// Asking is a way to ask: what one scan has for all of its targets.
type Asking struct {
	Family string
	Port   uint16
	Probe  string
}

func (a Asking) String() string { return fmt.Sprintf("%s, port %d, %s", a.Family, a.Port, a.Probe) }

// Source is where replies come from, as the lab counts them: targets of one behaviour, asked in one
// way.
type Source struct {
	Behaviour string
	Asking
}

func (s Source) String() string { return s.Behaviour + ", " + s.Asking.String() }

// Seen is what the lab has counted of a source since it came up.
type Seen struct {
	SYNs    uint64
	Targets uint64 // distinct ones that got a SYN
	Sent    uint64 // replies
}

// Cell counts the targets of one source that led to one conclusion.
type Cell struct {
	Source
	Expected, Found string // verdicts or treatments, or noRow
	Certain         bool   // a difference is an error, not a matter of chance
	Targets         uint64
}

const noRow = "no row"

// Replies are the packets of one source.
type Replies struct {
	Source
	Seen
	Rows uint64 // in the table replies
}

// Scans are all scans of the dataset that asked in one way, and what the lab has of them.
type Scans struct {
	Asking
	ProbesSent sql.NullInt64
	Seen
	Rows uint64
}

// Report is the comparison. Its numbers are sums over all scans of the dataset.
type Report struct {
	Verdicts   Matrix
	Treatments Matrix     // empty without a campaign
	Paths      PathMatrix // nil where paths are not checked
	Finals     Matrix     // of final verdicts; nil likewise
	Chains     Matrix     // of the real hosts behind chains of routers; nil where none was asked
	Replies    []Replies
	Scans      []Scans
}

// Truth names the Parquet files of the truth.
type Truth struct {
	Targets string
	Paths   string // empty: paths and final verdicts are not checked
}

// Compare joins the dataset behind db (the views of its tables) with the truth. seen holds what the lab has
// counted since it came up, at the time labUp: scans that began before are left out. So are targets that the
// lab was never asked for: the dataset may be a census of a part of it. The database is one connection.
func Compare(ctx context.Context, db *sql.DB, truth Truth, labUp time.Time, seen map[Source]Seen) (Report, error) {
	var report Report
	if err := viewLab(ctx, db, labUp); err != nil {
		return Report{}, err
	}
	var err error
	if err = compareReplies(ctx, db, truth.Targets, seen, &report); err != nil {
		return Report{}, fmt.Errorf("counting replies: %w", err)
	}
	if report.Verdicts, err = readMatrix(ctx, db, verdictsSQL, seen, truth.Targets); err != nil {
		return Report{}, fmt.Errorf("comparing verdicts with %s: %w", truth.Targets, err)
	}
	if report.Treatments, err = readMatrix(ctx, db, treatmentsSQL, seen, truth.Targets); err != nil {
		return Report{}, fmt.Errorf("comparing treatments with %s: %w", truth.Targets, err)
	}
	if report.Chains, err = readMatrix(ctx, db, chainsSQL, nil); err != nil {
		return Report{}, fmt.Errorf("comparing chains: %w", err)
	}
	if truth.Paths == "" {
		return report, nil
	}
	if err := comparePaths(ctx, db, truth.Paths, labUp, &report); err != nil {
		return Report{}, fmt.Errorf("comparing paths with %s: %w", truth.Paths, err)
	}
	return report, nil
}

// viewLab makes the views that the other statements read: lab_scans are the scans since labUp, and those
// without a reply that would tell when they began; lab_replies and so on have their rows.
func viewLab(ctx context.Context, db *sql.DB, labUp time.Time) error {
	if err := writeChains(ctx, db); err != nil {
		return err
	}
	views := fmt.Sprintf("CREATE TEMP VIEW lab_scans AS FROM scans WHERE started IS NULL OR started >= make_timestamptz(%d);", labUp.UnixMicro())
	for table, target := range map[string]string{"replies": "saddr", "hosts": "target", "treatments": "target"} {
		views += fmt.Sprintf("CREATE TEMP VIEW lab_%s AS FROM %s SEMI JOIN lab_scans USING (scan_id) ANTI JOIN chains ON %s = chains.target;",
			table, table, table+"."+target)
	}
	views += "CREATE TEMP VIEW chain_hosts AS FROM hosts SEMI JOIN lab_scans USING (scan_id) SEMI JOIN chains USING (target);"
	_, err := db.ExecContext(ctx, views)
	return err
}

// readMatrix leaves out the targets without a row that the lab was never asked for.
func readMatrix(ctx context.Context, db *sql.DB, query string, seen map[Source]Seen, args ...any) (Matrix, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var matrix Matrix
	for rows.Next() {
		var c Cell
		var of, scans uint64 // all targets of the source; scans that each should be in
		if err := rows.Scan(&c.Behaviour, &c.Family, &c.Port, &c.Probe, &c.Expected, &c.Found, &c.Certain, &c.Targets, &of, &scans); err != nil {
			return nil, err
		}
		if c.Found == noRow {
			unasked := of - min(of, seen[c.Source].Targets)
			c.Targets -= min(c.Targets, unasked*scans)
		}
		if c.Targets > 0 {
			matrix = append(matrix, c)
		}
	}
	return matrix, rows.Err()
}

func compareReplies(ctx context.Context, db *sql.DB, truthFile string, seen map[Source]Seen, report *Report) error {
	rows, err := db.QueryContext(ctx, repliesSQL, truthFile)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r Replies
		if err := rows.Scan(&r.Behaviour, &r.Family, &r.Port, &r.Probe, &r.Rows); err != nil {
			return err
		}
		r.Seen = seen[r.Source]
		report.Replies = append(report.Replies, r)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	scans, err := db.QueryContext(ctx, scansSQL)
	if err != nil {
		return err
	}
	defer scans.Close()
	for scans.Next() {
		var s Scans
		if err := scans.Scan(&s.Family, &s.Port, &s.Probe, &s.ProbesSent); err != nil {
			return err
		}
		for _, r := range report.Replies {
			if r.Asking == s.Asking {
				s.SYNs += r.SYNs
				s.Targets += r.Targets
				s.Sent += r.Sent
				s.Rows += r.Rows
			}
		}
		report.Scans = append(report.Scans, s)
	}
	return scans.Err()
}

// Targets is the number of (address, port) that the scans of the dataset asked.
func (r Report) Targets() (sum uint64) {
	most := map[Asking]uint64{} // of all probes, the one with most targets
	for _, s := range r.Scans {
		target := Asking{Family: s.Family, Port: s.Port}
		most[target] = max(most[target], s.Targets)
	}
	for _, n := range most {
		sum += n
	}
	return sum
}

// Sent is the number of replies that the lab's hosts sent to the scans of the dataset.
func (r Report) Sent() (sum uint64) {
	for _, s := range r.Replies {
		sum += s.Sent
	}
	return sum
}

// Rows is the number of rows in the table replies.
func (r Report) Rows() (sum uint64) {
	for _, s := range r.Replies {
		sum += s.Rows
	}
	return sum
}

// Err says what is not as it has to be: replies without a row, or wrong verdicts.
func (r Report) Err() error {
	var faults []string
	for _, s := range r.Scans {
		if s.Sent != s.Rows && s.ProbesSent.Valid && uint64(s.ProbesSent.Int64) != s.SYNs {
			faults = append(faults, fmt.Sprintf("%s: the dataset's scans sent %d SYNs, the lab received %d: compare all scans since `mpcensus lab up`",
				s.Asking, s.ProbesSent.Int64, s.SYNs))
		}
	}
	for _, s := range r.Replies {
		if s.Sent != s.Rows {
			faults = append(faults, fmt.Sprintf("%s: %d replies sent, %d rows", s.Source, s.Sent, s.Rows))
		}
	}
	if wrong := r.Verdicts.Wrong(); wrong > 0 {
		faults = append(faults, fmt.Sprintf("%d verdicts are wrong", wrong))
	}
	if wrong := r.Treatments.Wrong(); wrong > 0 {
		faults = append(faults, fmt.Sprintf("%d treatments are wrong", wrong))
	}
	if wrong := r.Paths.Wrong(); wrong > 0 {
		faults = append(faults, fmt.Sprintf("%d paths are wrong", wrong))
	}
	if wrong := r.Finals.Wrong(); wrong > 0 {
		faults = append(faults, fmt.Sprintf("%d final verdicts are wrong", wrong))
	}
	if wrong := r.Chains.Wrong(); wrong > 0 {
		faults = append(faults, fmt.Sprintf("%d chains are judged wrongly", wrong))
	}
	if r.Verdicts.Checked()+r.Chains.Checked() == 0 {
		faults = append(faults, "no verdict could be checked: was port or probe of the truth scanned and classified?")
	}
	if faults == nil {
		return nil
	}
	return errors.New(strings.Join(faults, "; "))
}

// Print writes the confusion matrices, the replies of each scan, and a last line with the sums.
func (r Report) Print(w io.Writer) error {
	if err := r.Verdicts.print(w, "verdict"); err != nil {
		return err
	}
	if r.Treatments != nil {
		if err := r.Treatments.print(w, "treatment"); err != nil {
			return err
		}
	}
	if r.Paths != nil {
		if err := r.Paths.print(w); err != nil {
			return err
		}
		if err := r.Finals.print(w, "final verdict"); err != nil {
			return err
		}
	}
	if r.Chains != nil {
		if err := r.Chains.print(w, "verdict; path; connection; final verdict"); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "family\tport\tprobe\treplies sent\trows\t")
	for _, s := range r.Scans {
		fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%d\t\n", s.Family, s.Port, s.Probe, s.Sent, s.Rows)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	sums := fmt.Sprintf("targets %d, replies sent %d, rows %d, verdicts checked %d, wrong %d",
		r.Targets(), r.Sent(), r.Rows(), r.Verdicts.Checked(), r.Verdicts.Wrong())
	if r.Treatments != nil {
		sums += fmt.Sprintf(", treatments checked %d, wrong %d", r.Treatments.Checked(), r.Treatments.Wrong())
	}
	if r.Paths != nil {
		sums += fmt.Sprintf(", paths checked %d, wrong %d, final verdicts checked %d, wrong %d",
			r.Paths.Checked(), r.Paths.Wrong(), r.Finals.Checked(), r.Finals.Wrong())
	}
	if r.Chains != nil {
		sums += fmt.Sprintf(", chains checked %d, wrong %d", r.Chains.Checked(), r.Chains.Wrong())
	}
	_, err := fmt.Fprintln(w, sums)
	return err
}
