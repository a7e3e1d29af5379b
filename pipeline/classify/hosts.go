package classify

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/keys"
)

//go:embed hosts.sql
var hostsSQL string

//go:embed final.sql
var finalSQL string

// Verdicts are all that this package pronounces, the surest signs of MPTCP first.
var Verdicts = []string{"potential", "mirrored", "tampered", "implausible", "no-mptcp", "closed", "unreachable"}

// FinalVerdicts are all that scan, paths and connections can say together.
var FinalVerdicts = []string{"true", "middlebox-affected", "unreachable"}

// Result is what was concluded of one scan.
type Result struct {
	Verdicts map[string]uint64 // targets by verdict
	Final    map[string]uint64 // targets by final verdict, of those that have one
	Returned keys.WeightTest   // of all keys that came back: an echo of keys of one weight is a spike
	Findings []keys.Finding    // on the keys of one network, or of the scan, that passed the tests on single keys
	Judged   keys.WeightTest   // of the keys that passed all tests before that of weights
}

// Hosts writes the table hosts of one scan, in place of what it wrote before. The file appears whole or
// not at all; the same dataset gives the same bytes.
func (c *Classifier) Hosts(ctx context.Context, scan Scan) (Result, error) {
	result, err := c.hosts(ctx, scan)
	if err != nil {
		err = fmt.Errorf("scan %s: %w", scan.ID, err)
	}
	return result, err
}

func (c *Classifier) hosts(ctx context.Context, scan Scan) (r Result, err error) {
	view, err := dataset.RepliesView("listed_replies", c.dir, c.files[scan.ID])
	if err != nil {
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
		SET VARIABLE max_low_entropy = %d;
		SET VARIABLE whole_scan = %s;`,
		dataset.Literal(scan.ID), dataset.Literal(scan.Date), dataset.Literal(scan.Family), scan.Port, dataset.Literal(scan.Probe),
		keys.DistanceLevel, keys.MinBytesKept, keys.MaxLowEntropy, dataset.Literal(wholeScan))
	if _, err := c.db.ExecContext(ctx, view+variables+hostsSQL+finalSQL); err != nil {
		return r, err
	}

	if r.Findings, err = c.testGroups(ctx); err != nil {
		return r, err
	}
	if r.Judged, err = c.testWeights(ctx, "judged"); err != nil {
		return r, err
	}
	if err := c.insertWeights(ctx, r.Judged); err != nil {
		return r, err
	}
	if r.Returned, err = c.testWeights(ctx, "evidence WHERE sender_key IS NOT NULL"); err != nil {
		return r, err
	}

	path := scan.Path(c.dir, dataset.HostsTable, scan.ID, dataset.Parquet)
	if err := dataset.WriteParquet(ctx, c.db, "FROM final_verdicts ORDER BY address_order(target)", path); err != nil {
		return r, err
	}
	written := "read_parquet(" + dataset.Literal(path) + ")"
	if r.Verdicts, err = countBy(ctx, c.db, "verdict", written); err != nil {
		return r, err
	}
	r.Final, err = countBy(ctx, c.db, "final_verdict", written+" WHERE final_verdict IS NOT NULL")
	return r, err
}

// testWeights tests the weights of the keys in a relation.
func (c *Classifier) testWeights(ctx context.Context, from string) (t keys.WeightTest, err error) {
	rows, err := c.db.QueryContext(ctx, "SELECT key_weight, count(*) FROM "+from+" GROUP BY ALL")
	if err != nil {
		return t, err
	}
	defer rows.Close()
	var h keys.Histogram
	for rows.Next() {
		var weight uint8
		var n uint64
		if err := rows.Scan(&weight, &n); err != nil {
			return t, err
		}
		h[weight] = n
	}
	return keys.TestWeights(h, keys.FDR), rows.Err()
}

// insertWeights fills the table weights, of which nothing is known when there were too few keys.
func (c *Classifier) insertWeights(ctx context.Context, t keys.WeightTest) error {
	if t.TooFew {
		return nil
	}
	for _, w := range t.Weights {
		if w.Observed == 0 {
			continue
		}
		if _, err := c.db.ExecContext(ctx, "INSERT INTO weights VALUES (?, ?, ?, ?)",
			w.Weight, w.Probability, outlying(w), w.Condemned); err != nil {
			return err
		}
	}
	return nil
}

// outlying is the reason that an outlying weight gives, NULL for another.
func outlying(w keys.Weight) sql.NullString {
	return sql.NullString{
		Valid: w.Outlier,
		String: fmt.Sprintf("weight-outlier: weight %d, p %s, excess %.0f (%.0f–%.0f) of %d keys, probability %.2f",
			w.Weight, keys.FormatP(w.P), w.Excess, w.ExcessLow, w.ExcessHigh, w.Observed, w.Probability),
	}
}
