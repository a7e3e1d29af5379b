// Package check compares a census of the lab with what the lab knows to be true: every verdict with
// the behaviour behind it, and the rows of the dataset with the replies that the hosts sent.
package check

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

//go:embed verdicts.sql
var verdictsSQL string

//go:embed replies.sql
var repliesSQL string

// Source is where replies come from, as the lab counts them: targets of one behaviour, asked on one
// port with one kind of probe.
type Source struct {
	Behaviour string
	Port      uint16
	Probe     string
}

// Cell counts the targets of one behaviour that one probe led to one verdict.
type Cell struct {
	Behaviour, Probe string
	Expected, Found  string // verdicts, or "no row"
	Certain          bool   // a difference is an error, not a matter of chance
	Targets          uint64
}

// Replies are the packets of one source.
type Replies struct {
	Source
	Sent uint64 // by the lab's hosts
	Rows uint64 // in the table replies
}

// Report is the comparison. Its numbers are sums over all scans of the dataset.
type Report struct {
	Targets uint64 // distinct (address, port)
	Cells   []Cell
	Replies []Replies
}

// Compare joins the dataset behind db (views scans, hosts, replies) with the truth's Parquet file. sent
// holds the replies that the lab's hosts have sent since they came up.
func Compare(ctx context.Context, db *sql.DB, truthFile string, sent map[Source]uint64) (Report, error) {
	var report Report
	if err := compareVerdicts(ctx, db, truthFile, &report); err != nil {
		return Report{}, fmt.Errorf("comparing verdicts with %s: %w", truthFile, err)
	}
	if err := compareReplies(ctx, db, truthFile, sent, &report); err != nil {
		return Report{}, fmt.Errorf("counting replies: %w", err)
	}
	err := db.QueryRowContext(ctx,
		"SELECT count(DISTINCT (target, port)) FROM read_parquet($1) SEMI JOIN scans USING (port)", truthFile).
		Scan(&report.Targets)
	if err != nil {
		return Report{}, fmt.Errorf("counting targets of %s: %w", truthFile, err)
	}
	return report, nil
}

func compareVerdicts(ctx context.Context, db *sql.DB, truthFile string, report *Report) error {
	rows, err := db.QueryContext(ctx, verdictsSQL, truthFile)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c Cell
		if err := rows.Scan(&c.Behaviour, &c.Probe, &c.Expected, &c.Found, &c.Certain, &c.Targets); err != nil {
			return err
		}
		report.Cells = append(report.Cells, c)
	}
	return rows.Err()
}

func compareReplies(ctx context.Context, db *sql.DB, truthFile string, sent map[Source]uint64, report *Report) error {
	rows, err := db.QueryContext(ctx, repliesSQL, truthFile)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r Replies
		if err := rows.Scan(&r.Behaviour, &r.Port, &r.Probe, &r.Rows); err != nil {
			return err
		}
		r.Sent = sent[r.Source]
		report.Replies = append(report.Replies, r)
	}
	return rows.Err()
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

// Checked is the number of verdicts that have to be right: one a target and probe.
func (r Report) Checked() (sum uint64) {
	for _, c := range r.Cells {
		if c.Certain {
			sum += c.Targets
		}
	}
	return sum
}

// Wrong is how many of Checked differ from the truth.
func (r Report) Wrong() (sum uint64) {
	for _, c := range r.Cells {
		if c.Certain && c.Expected != c.Found {
			sum += c.Targets
		}
	}
	return sum
}

// Err says what is not as it has to be: replies without a row, or wrong verdicts.
func (r Report) Err() error {
	var faults []string
	for _, s := range r.Replies {
		if s.Sent != s.Rows {
			faults = append(faults, fmt.Sprintf("%s: %d replies sent, %d rows", s.Source, s.Sent, s.Rows))
		}
	}
	if wrong := r.Wrong(); wrong > 0 {
		faults = append(faults, fmt.Sprintf("%d verdicts are wrong", wrong))
	}
	if r.Checked() == 0 {
		faults = append(faults, "no verdict could be checked: was port or probe of the truth scanned and classified?")
	}
	if faults == nil {
		return nil
	}
	return errors.New(strings.Join(faults, "; "))
}

// line is a row of the printed matrix: a behaviour and probe with all verdicts found.
type line struct {
	behaviour, probe, expected string
	certain                    bool
	found                      []string
	right                      bool
}

// Print writes the confusion matrix, the replies of each scan, and a last line with the sums.
func (r Report) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "behaviour\tprobe\ttruth\tfound (targets)\t")
	for _, l := range r.lines() {
		mark := ""
		switch {
		case l.right:
		case l.certain:
			mark = "WRONG"
		default:
			mark = "differs"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", l.behaviour, l.probe, l.expected, strings.Join(l.found, ", "), mark)
	}
	fmt.Fprintln(table, "\t\t\t\t")
	fmt.Fprintln(table, "port\tprobe\treplies sent\trows\t")
	for _, s := range r.byScan() {
		fmt.Fprintf(table, "%d\t%s\t%d\t%d\t\n", s.Port, s.Probe, s.Sent, s.Rows)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "targets %d, replies sent %d, rows %d, verdicts checked %d, wrong %d\n",
		r.Targets, r.Sent(), r.Rows(), r.Checked(), r.Wrong())
	return err
}

// lines joins the cells of one behaviour, probe and truth, which stand together.
func (r Report) lines() []line {
	var lines []line
	for _, c := range r.Cells {
		last := len(lines) - 1
		if last < 0 || lines[last].behaviour != c.Behaviour || lines[last].probe != c.Probe || lines[last].expected != c.Expected {
			lines = append(lines, line{behaviour: c.Behaviour, probe: c.Probe, expected: c.Expected, certain: c.Certain, right: true})
			last++
		}
		lines[last].found = append(lines[last].found, fmt.Sprintf("%s %d", c.Found, c.Targets))
		lines[last].right = lines[last].right && c.Found == c.Expected
	}
	return lines
}

// byScan sums the replies of one port and probe.
func (r Report) byScan() []Replies {
	var sums []Replies
	for _, s := range r.Replies {
		s.Behaviour = ""
		i := slices.IndexFunc(sums, func(sum Replies) bool { return sum.Source == s.Source })
		if i < 0 {
			sums = append(sums, s)
			continue
		}
		sums[i].Sent += s.Sent
		sums[i].Rows += s.Rows
	}
	return sums
}

func (s Source) String() string {
	return fmt.Sprintf("%s, port %d, %s", s.Behaviour, s.Port, s.Probe)
}
