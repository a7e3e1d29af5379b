package e2e

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// TestPaired runs one paired campaign over every kind of host that the lab has, on both families: what
// differs on the wire is told apart, without an exception.
func TestPaired(t *testing.T) {
	l := labUp(t)
	dir := t.TempDir()
	census, hitlist, truth := filepath.Join(dir, "census"), filepath.Join(dir, "hitlist.txt"), filepath.Join(dir, "truth.parquet")
	mustRun(t, mpcensus, "lab", "hitlist", "--out", hitlist)
	mustRun(t, mpcensus, "lab", "truth", "--out", truth)
	for _, targets := range [][]string{{"--targets", hitlist}, {"198.18.0.0/18", "198.19.0.1", "198.19.0.2", "198.19.0.3", "198.19.0.4"}} {
		args := append([]string{mpcensus, "scan", "--paired", "--dataset", census, "--port", "443", "--rate", "20000",
			"--cooldown", "1", "--blocklist", filepath.Join(l.dir, "blocklist.conf")}, targets...)
		mustRun(t, mpcensus, l.inside(args...)...)
	}
	mustRun(t, mpcensus, "classify", "--dataset", census)

	db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`
		WITH expected AS (
			SELECT family, target, probe, behaviour, treatment AS expected, certain FROM read_parquet($1)
			WHERE port = 443 AND probe IN ('v0', 'v1') AND treatment IS NOT NULL
			  AND (family = 'ipv6' OR starts_with(target, '198.19.') OR split_part(target, '.', 3)::INT < 64)
		)
		SELECT family, behaviour, probe, coalesce(expected, 'no row'), coalesce(treatment, 'no row'), coalesce(bool_and(certain), true), count(*)
		FROM expected FULL JOIN treatments USING (family, target, probe)
		GROUP BY ALL ORDER BY ALL`, truth)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	treatments := map[string]bool{}
	for rows.Next() {
		var family, behaviour, probe, expected, found string
		var certain bool
		var targets uint64
		if err := rows.Scan(&family, &behaviour, &probe, &expected, &found, &certain, &targets); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %-16s %s %-12s %-12s %d", family, behaviour, probe, expected, found, targets)
		treatments[found] = true
		if certain && found != expected {
			t.Errorf("%s, %s, %s: %d targets are %s, not %s", family, behaviour, probe, targets, found, expected)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	checkReasons(t, db, truth)
	for _, treatment := range []string{"supports", "mirrors", "tampers", "implausible", "strips", "ignores", "resets", "drops", "closed"} {
		if !treatments[treatment] {
			t.Errorf("no target is called %s", treatment)
		}
	}
}

// checkReasons looks at behaviours that have a treatment in common: their reasons tell them apart.
func checkReasons(t *testing.T, db *sql.DB, truth string) {
	t.Helper()
	rows, err := db.Query(`
		WITH expected(behaviour, reason) AS (VALUES
			('rst', 'plain: rst'), ('icmp', 'plain: icmp'),
			('tcp', 'canary: not mirrored'), ('alter-canary', 'canary: altered'), ('other-subtype', 'other-subtype'),
			('drop-mptcp', 'drops MPTCP only'), ('drop-unknown', 'drops unknown options'), ('reset-mptcp', 'resets MPTCP only'),
			('mirror', 'canary: not mirrored'), ('mirror-all', 'canary: mirrored'), ('mirror-all', '%-echo: %'),
			('mirror-keyed', 'canary: mirrored'), ('mirror-keyed', 'key-plausible: %'),
			('zero-key', 'zero-key'), ('constant-key', 'repeated-key: %'), ('wrong-version', 'wrong-version: %'),
			('malformed-length', 'malformed-option: length %'), ('malformed-short', 'malformed-option: length 12'), ('malformed-zero', 'malformed-option')
		)
		SELECT behaviour, reason, count(scan_id),
		       count(*) FILTER (len(list_filter(reasons, lambda r: r LIKE reason)) = 0), any_value(reasons)::VARCHAR
		FROM expected LEFT JOIN (
			FROM read_parquet($1) JOIN treatments USING (family, target, port, probe) SELECT behaviour, scan_id, reasons
		) USING (behaviour)
		GROUP BY ALL`, truth)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var behaviour, reason string
		var targets, without uint64
		var reasons sql.NullString
		if err := rows.Scan(&behaviour, &reason, &targets, &without, &reasons); err != nil {
			t.Fatal(err)
		}
		if targets == 0 || without != 0 {
			t.Errorf("%s: %d of %d rows lack the reason %q, as in %s", behaviour, without, targets, reason, reasons.String)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
