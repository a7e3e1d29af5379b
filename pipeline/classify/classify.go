// Package classify turns the replies of a dataset into a verdict on every target that answered, and the
// verdicts of a paired campaign into how each target treats MP_CAPABLE; both with their reasons. What
// concerns sets of rows is SQL ([repeated.sql], [hosts.sql], [final.sql], [treatments.sql]) run by DuckDB over the
// dataset's Parquet files; the statistics are those of package keys.
//
// # Which reply speaks for a target
//
// A target has one verdict in a scan, however often it answered.
//
//   - A SYN-ACK decides before an RST, an RST before an ICMP message: a host that answers is there,
//     whatever a box on the way says. Among equals decides the earliest, and without times the first row.
//   - Retransmitted SYN-ACKs say the same again (RFC 9293 §3.8.1), as do packets doubled on the way:
//     `replies` counts them and nothing else changes. ZMap's own mark of them, `repeat`, is not needed.
//   - Where replies differ, the reason `conflicting-replies` says how many kinds of each there were. Where
//     the deciding one passes all tests, so does the target: what came later may be of a box on the way.
//   - SYN-ACKs with one sequence number and one port of ours are of one connection. Its key cannot change
//     (RFC 8684 §3.1): where it does, `key-changed`, the target is implausible. A host without state (SYN
//     cookies) and a SYN doubled on the way would look like it.
//
// # Which test speaks first
//
// What is certain of a reply or key by itself; then what keys have in common in the scan, of those left in
// one AS, of those left in one prefix; then the weights of those left.
//
// # The final verdict
//
// A SYN-ACK shows a host or a box; the path to it and a connection with it tell which. By the newest trace
// and verification of a target, of the scan's date, family, port and probe (v0 or v1), the first that holds:
//
//  1. A connection was still MPTCP after data: `true`, unless the path shows that a box answers in the host's
//     place.
//  2. The host was potential, and every connection of which it is known fell back to TCP:
//     `middlebox-affected`.
//  3. The path shows that MP_CAPABLE is removed, changed, dropped or answered on the way:
//     `middlebox-affected`, whatever the scan's verdict.
//  4. The host was potential, and answered neither the trace nor any connection: `unreachable`.
//  5. The host was potential, and answered the trace with MP_CAPABLE: `true`. A RST, or a SYN-ACK without
//     it, proves no MPTCP.
//  6. The scan's verdict is no-mptcp, and the SYN-ACK has NOPs where MP_CAPABLE would be:
//     `middlebox-affected`.
//
// Addresses and sequence numbers that are rewritten, a clamped MSS or several routers at one hop make no path
// middlebox-affected; they stand in the reasons.
//
// Three ways to strip MP_CAPABLE have names: `stripped-syn` where quotes show it gone on the way to the host,
// `stripped-synack` by rule 6, `stripped-data` where connections were MPTCP when they were made and TCP after
// data. A box that strips SYN and SYN-ACK alike looks like one that strips SYNs: the host, which sees none,
// puts none into its SYN-ACK. One that takes the option out of SYN-ACKs and leaves no NOPs looks like a host
// without MPTCP.
//
// # What hangs together
//
// A key that came from several hosts, or from one host in several scans, is implausible in all of them,
// `repeated-key`: the verdicts of a scan depend on all scans of the dataset. The same dataset gives the
// same bytes; after a scan is added, classify again. Some pair of n genuine keys is equal with a chance of
// [keys.CollisionChance]: 1e-9 for 200,000, 1e-4 for 60 million.
//
// Memory: DuckDB keeps to the limit of [dataset.DuckDBOptions], 1 GiB, and spills what needs more to the
// folder for temporary files. Beside it there are the table `networks` and, of one scan at a time, the
// keys that passed the tests on single keys. Measured: 1.4 GB for a scan of 10 million
// replies, of which 3 in 1000 have a key; 1.0 GB for one of 1 million, all with a genuine key.
package classify

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/enrich"
)

//go:embed repeated.sql
var repeatedSQL string

// Scan is a scan and the partition that it lies in.
type Scan struct {
	ID string
	dataset.Partition
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

// Classifier judges the scans of a dataset.
type Classifier struct {
	db    *sql.DB
	dir   string
	files map[string][]string // of replies, by scan id, as scans lists them
}

// New prepares to judge the scans of the dataset in dir, which is that of the database, one of
// [dataset.OpenDuckDB]: it looks for keys that came back more than once in all scans. It removes the
// table treatments, which [Campaign.Judge] makes anew from the hosts: none must outlive those it is from.
func New(ctx context.Context, db *sql.DB, dir string) (*Classifier, error) {
	if err := register(ctx, db); err != nil {
		return nil, err
	}
	networks, err := enrich.Read(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := networks.Register(ctx, db); err != nil {
		return nil, err
	}
	scans, err := Scans(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, scan := range scans {
		if err := removeTreatments(dir, scan); err != nil {
			return nil, err
		}
	}
	if _, err := db.ExecContext(ctx, repeatedSQL); err != nil {
		return nil, err
	}
	files, err := listedReplies(ctx, db)
	return &Classifier{db, dir, files}, err
}

func listedReplies(ctx context.Context, db *sql.DB) (map[string][]string, error) {
	rows, err := db.QueryContext(ctx, `
		SELECT scan_id, file.path FROM (SELECT scan_id, unnest(files) AS file FROM scans)
		WHERE starts_with(file.path, 'replies/') ORDER BY file.path`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	files := make(map[string][]string)
	for rows.Next() {
		var scanID, path string
		if err := rows.Scan(&scanID, &path); err != nil {
			return nil, err
		}
		files[scanID] = append(files[scanID], path)
	}
	return files, rows.Err()
}

func removeTreatments(dir string, scan Scan) error {
	if err := os.Remove(treatmentsPath(dir, scan)); !errors.Is(err, fs.ErrNotExist) {
		return err
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
