package check

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// PathMatrix says how many traced paths were judged rightly: cells of one kind of box, family and probe
// stand together.
type PathMatrix []PathCell

// PathCell counts the paths with one kind of box that were judged alike.
type PathCell struct {
	Box, Family, Probe string
	Judgement          Judgement
	Paths              uint64
}

// Judgement compares the finding of a path with the truth. A finding is shown if what answered the trace
// allows it: see paths.sql.
type Judgement string

// The judgements.
const (
	Right    Judgement = "right"     // the box in its interval; where none changes MP_CAPABLE, none
	NotShown Judgement = "not shown" // nothing that answered shows the box, and none was found
	Wrong    Judgement = "wrong"     // another interval, or the box was missed
	Invented Judgement = "invented"  // a change that no box made
)

var judgements = []Judgement{Right, NotShown, Wrong, Invented}

// Checked is the number of paths.
func (m PathMatrix) Checked() (sum uint64) {
	for _, c := range m {
		sum += c.Paths
	}
	return sum
}

// Wrong is how many of them were judged otherwise than what answered allows.
func (m PathMatrix) Wrong() (sum uint64) {
	for _, c := range m {
		if c.Judgement == Wrong || c.Judgement == Invented {
			sum += c.Paths
		}
	}
	return sum
}

// print writes the matrix, and an empty line.
func (m PathMatrix) print(w io.Writer) error {
	type kind struct{ box, family, probe string }
	var kinds []kind
	counts := map[kind]map[Judgement]uint64{}
	for _, c := range m {
		k := kind{c.Box, c.Family, c.Probe}
		if counts[k] == nil {
			counts[k] = map[Judgement]uint64{}
			kinds = append(kinds, k)
		}
		counts[k][c.Judgement] += c.Paths
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "box\tfamily\tprobe\t")
	for _, j := range judgements {
		fmt.Fprintf(table, "%s\t", j)
	}
	fmt.Fprintln(table, "(paths)\t")
	for _, k := range kinds {
		fmt.Fprintf(table, "%s\t%s\t%s\t", k.box, k.family, k.probe)
		for _, j := range judgements {
			fmt.Fprintf(table, "%d\t", counts[k][j])
		}
		mark := ""
		if counts[k][Wrong]+counts[k][Invented] > 0 {
			mark = "WRONG"
		}
		fmt.Fprintf(table, "\t%s\n", mark)
	}
	fmt.Fprintln(table)
	return table.Flush()
}

// comparePaths judges the paths of the traces since labUp, and the final verdicts of the scans since then.
func comparePaths(ctx context.Context, db *sql.DB, truthFile string, labUp time.Time, report *Report) error {
	since := fmt.Sprintf("started IS NULL OR started >= make_timestamptz(%d)", labUp.UnixMicro())
	_, err := db.ExecContext(ctx, fmt.Sprintf(`
		CREATE TEMP VIEW path_truth AS FROM read_parquet('%s');
		CREATE TEMP VIEW lab_traces AS FROM traces WHERE %[2]s;
		CREATE TEMP VIEW lab_hops AS FROM hops SEMI JOIN lab_traces USING (trace_id);
		CREATE TEMP VIEW lab_paths AS FROM paths SEMI JOIN lab_traces USING (trace_id);
		CREATE TEMP VIEW lab_grabs AS FROM grabs SEMI JOIN (FROM verifications WHERE %[2]s) USING (verification_id);
		%[3]s`, strings.ReplaceAll(truthFile, "'", "''"), since, pathsSQL))
	if err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, "SELECT box, family, probe, judgement, count(*) FROM checked_paths GROUP BY ALL ORDER BY ALL")
	if err != nil {
		return err
	}
	defer rows.Close()
	report.Paths = PathMatrix{}
	for rows.Next() {
		var c PathCell
		if err := rows.Scan(&c.Box, &c.Family, &c.Probe, &c.Judgement, &c.Paths); err != nil {
			return err
		}
		report.Paths = append(report.Paths, c)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	report.Finals, err = readMatrix(ctx, db, finalsSQL, nil)
	return err
}
