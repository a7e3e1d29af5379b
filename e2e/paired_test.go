package e2e

import (
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
	for _, treatment := range []string{"supports", "mirrors", "tampers", "implausible", "strips", "ignores", "resets", "drops", "closed"} {
		if !treatments[treatment] {
			t.Errorf("no target is called %s", treatment)
		}
	}
}
