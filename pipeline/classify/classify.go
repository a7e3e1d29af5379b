// Package classify turns the replies of a scan into a verdict on every target that answered, and the
// verdicts of a paired campaign into how each target treats MP_CAPABLE; both with their reasons. What
// concerns sets of rows is SQL ([hosts.sql], [treatments.sql]) run by DuckDB over the dataset's Parquet
// files; the statistics are those of package keys.
package classify

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/keys"
)

//go:embed hosts.sql
var hostsSQL string

// Scan is a scan and the partition that it lies in.
type Scan struct {
	ID string
	dataset.Partition
}

// Verdicts are all that this package pronounces, the surest signs of MPTCP first.
var Verdicts = []string{"potential", "mirrored", "tampered", "implausible", "no-mptcp", "closed", "unreachable"}

// Result is what was concluded of one scan.
type Result struct {
	Verdicts map[string]uint64 // targets by verdict
	Returned keys.WeightTest   // of all keys that came back: an echo of keys of one weight is a spike
	Judged   keys.WeightTest   // of the keys that passed all tests before that of weights
}

// Scans are the scans that the table scans knows, by their id. The database is one of
// [dataset.OpenDuckDB].
func Scans(ctx context.Context, db *sql.DB) ([]Scan, error) {
	rows, err := db.QueryContext(ctx, "SELECT scan_id, date, family, port, probe FROM scans ORDER BY ALL")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var scans []Scan
	for rows.Next() {
		var s Scan
		if err := rows.Scan(&s.ID, &s.Date, &s.Family, &s.Port, &s.Probe); err != nil {
			return nil, err
		}
		scans = append(scans, s)
	}
	return scans, rows.Err()
}

// CheckRows says whether each scan has as many rows in replies as it kept when they were written: a
// conclusion from fewer, or from rows of another dataset among them, would be wrong and not look so.
func CheckRows(ctx context.Context, db *sql.DB) error {
	var scanID string
	var kept, found uint64
	err := db.QueryRowContext(ctx, `
		SELECT scan_id, rows_kept, coalesce(found, 0)
		FROM scans
		LEFT JOIN (SELECT date, family, port, probe, scan_id, count(*) AS found FROM replies GROUP BY ALL)
			USING (date, family, port, probe, scan_id)
		WHERE rows_kept IS DISTINCT FROM coalesce(found, 0)
		ORDER BY scan_id LIMIT 1`).Scan(&scanID, &kept, &found)
	if err == nil {
		return fmt.Errorf("scan %s: %d rows in the table replies where the scan kept %d: restore its files, or make it again",
			scanID, found, kept)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// Hosts writes the table hosts of one scan into the dataset in dir, in place of what it wrote before.
// The file appears whole or not at all; the same replies give the same bytes.
func Hosts(ctx context.Context, db *sql.DB, dir string, scan Scan) (Result, error) {
	result, err := hosts(ctx, db, dir, scan)
	if err != nil {
		err = fmt.Errorf("scan %s: %w", scan.ID, err)
	}
	return result, err
}

func hosts(ctx context.Context, db *sql.DB, dir string, scan Scan) (Result, error) {
	var r Result
	if err := register(ctx, db); err != nil {
		return r, err
	}
	variables := fmt.Sprintf(`
		SET VARIABLE scan_id = %s;
		SET VARIABLE date = %s;
		SET VARIABLE family = %s;
		SET VARIABLE port = %d;
		SET VARIABLE probe = %s;
		SET VARIABLE distance_level = %g::DOUBLE;
		SET VARIABLE min_bytes_kept = %d;
		SET VARIABLE max_low_entropy = %d;`,
		dataset.Literal(scan.ID), dataset.Literal(scan.Date), dataset.Literal(scan.Family), scan.Port,
		dataset.Literal(scan.Probe), keys.DistanceLevel, keys.MinBytesKept, keys.MaxLowEntropy)
	if _, err := db.ExecContext(ctx, variables+hostsSQL); err != nil {
		return r, err
	}

	returned, err := histogram(ctx, db, "sender_key IS NOT NULL")
	if err != nil {
		return r, err
	}
	judged, err := histogram(ctx, db, "verdict IS NULL")
	if err != nil {
		return r, err
	}
	r.Returned, r.Judged = keys.TestWeights(returned), keys.TestWeights(judged)
	if err := insertOutliers(ctx, db, r.Judged); err != nil {
		return r, err
	}

	if r.Verdicts, err = countBy(ctx, db, "verdict", "verdicts"); err != nil {
		return r, err
	}
	return r, dataset.WriteParquet(ctx, db, "FROM verdicts ORDER BY address_order(target)",
		scan.Path(dir, "hosts", scan.ID, dataset.Parquet))
}

// histogram counts the keys in evidence by weight.
func histogram(ctx context.Context, db *sql.DB, where string) (h keys.Histogram, err error) {
	rows, err := db.QueryContext(ctx, "SELECT key_weight, count(*) FROM evidence WHERE "+where+" GROUP BY ALL")
	if err != nil {
		return h, err
	}
	defer rows.Close()
	for rows.Next() {
		var weight uint8
		var n uint64
		if err := rows.Scan(&weight, &n); err != nil {
			return h, err
		}
		h[weight] = n
	}
	return h, rows.Err()
}

func insertOutliers(ctx context.Context, db *sql.DB, t keys.WeightTest) error {
	condemned := make(map[int]bool)
	for _, w := range t.Condemned() {
		condemned[w.Weight] = true
	}
	for _, w := range t.Outliers() {
		reason := fmt.Sprintf("weight-outlier: weight %d, p %s, excess %.4g %%",
			w.Weight, keys.FormatP(w.P), 100*w.Excess)
		if _, err := db.ExecContext(ctx, "INSERT INTO outliers VALUES (?, ?, ?)",
			w.Weight, reason, condemned[w.Weight]); err != nil {
			return err
		}
	}
	return nil
}

// countBy counts the rows of a view by the value of one column.
func countBy(ctx context.Context, db *sql.DB, column, view string) (map[string]uint64, error) {
	rows, err := db.QueryContext(ctx, "SELECT "+column+", count(*) FROM "+view+" GROUP BY ALL")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := make(map[string]uint64)
	for rows.Next() {
		var value string
		var n uint64
		if err := rows.Scan(&value, &n); err != nil {
			return nil, err
		}
		counts[value] = n
	}
	return counts, rows.Err()
}
