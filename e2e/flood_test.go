package e2e

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// TestFlood scans a population with forgers, which answer each SYN with SYN-ACKs that have the right
// ports and the wrong state: none becomes a row, each is counted, and every genuine reply arrives.
func TestFlood(t *testing.T) {
	l := labUp(t)
	for family, h := range map[string]struct{ targets []string }{
		"ipv4": {[]string{"198.18.0.0/16"}},
		"ipv6": {[]string{"--targets", l.sparse(t, 1, 16384).path}},
	} {
		t.Run(family, func(t *testing.T) {
			dir := t.TempDir()
			census, truth := filepath.Join(dir, "census"), filepath.Join(dir, "truth.parquet")
			mustRun(t, mpcensus, "lab", "truth", "--out", truth)
			mustRun(t, mpcensus, l.scan(census, "443", "v0", append([]string{"--rate", "20000"}, h.targets...)...)...)
			db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var forgers, rowsOfForgers, expected, rows uint64
			var invalid sql.Null[uint64]
			err = db.QueryRow(`
				WITH truth AS (SELECT * FROM read_parquet($1) WHERE family = $2 AND port = 443 AND probe = 'v0' AND behaviour NOT LIKE 'kernel%')
				SELECT (SELECT count(*) FROM truth WHERE behaviour = 'forger'),
				       (SELECT count(*) FROM replies JOIN truth ON saddr = target WHERE behaviour = 'forger'),
				       (SELECT sum(replies)::UBIGINT FROM truth WHERE verdict IS NOT NULL),
				       (SELECT count(*) FROM replies), (SELECT any_value(invalid) FROM scans)`, truth, family).
				Scan(&forgers, &rowsOfForgers, &expected, &rows, &invalid)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d forgers, %d invalid packets, %d rows", forgers, invalid.V, rows)
			if rowsOfForgers != 0 || rows != expected {
				t.Errorf("%d rows of forgers; %d rows, want %d", rowsOfForgers, rows, expected)
			}
			// Some of the forged packets have another port than the capture filter wants.
			if forgers < 40 || invalid.V < 16*forgers {
				t.Errorf("%d invalid packets of %d forgers: that is no flood", invalid.V, forgers)
			}
		})
	}
}
