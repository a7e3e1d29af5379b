package check

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"
)

// A census of four targets, made by hand: a true host that answers twice, a mirror, a silent address
// and a real kernel.
const census = `
CREATE TABLE scans   AS SELECT 's1' AS scan_id, 443::USMALLINT AS port, 'v0' AS probe;
CREATE TABLE replies AS SELECT * FROM (VALUES
	('198.18.0.1', 443::USMALLINT, 'v0'), ('198.18.0.1', 443, 'v0'), ('198.18.0.2', 443, 'v0'),
	('198.19.0.1', 443, 'v0')) AS t(saddr, port, probe);
CREATE TABLE hosts   AS SELECT * FROM (VALUES
	('198.18.0.1', 443::USMALLINT, 'v0', 'potential'),
	('198.18.0.2', 443::USMALLINT, 'v0', 'mirrored'),
	('198.19.0.1', 443::USMALLINT, 'v0', 'no-mptcp')) AS t(target, port, probe, verdict);
CREATE TABLE truth   AS SELECT * FROM (VALUES
	('198.18.0.1', 443::USMALLINT, 'v0', 'true-v0', 'potential', true),
	('198.18.0.2', 443::USMALLINT, 'v0', 'mirror', 'mirrored', true),
	('198.18.0.3', 443::USMALLINT, 'v0', 'silent', NULL, true),
	('198.19.0.1', 443::USMALLINT, 'v0', 'kernel-mptcp', 'no-mptcp', true),
	('198.18.0.3', 443::USMALLINT, 'v1', 'silent', NULL, true),
	('198.18.0.3', 80::USMALLINT,  'v0', 'silent', NULL, true)) AS t(target, port, probe, behaviour, verdict, certain);
`

func compare(t *testing.T, change string) Report {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	truth := filepath.Join(t.TempDir(), "truth.parquet")
	if _, err := db.Exec(census + change + "; COPY truth TO '" + truth + "' (FORMAT parquet)"); err != nil {
		t.Fatal(err)
	}
	sent := map[Source]uint64{
		{"true-v0", 443, "v0"}:      2,
		{"mirror", 443, "v0"}:       1,
		{"kernel-mptcp", 443, "v0"}: 1,
		{"true-v0", 443, "v1"}:      9, // not scanned
		{"silent", 443, "v0"}:       0,
	}
	report, err := Compare(context.Background(), db, truth, sent)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestComparePerfectCensus(t *testing.T) {
	r := compare(t, "")
	if err := r.Err(); err != nil {
		t.Errorf("a perfect census is refused: %v", err)
	}
	if r.Targets != 4 || r.Sent() != 4 || r.Rows() != 4 || r.Checked() != 4 || r.Wrong() != 0 {
		t.Errorf("sums: %+v", r)
	}
}

func TestCompareFindsEveryKindOfFault(t *testing.T) {
	for name, c := range map[string]struct{ change, want string }{
		"wrong verdict":   {"UPDATE hosts SET verdict = 'potential' WHERE target = '198.18.0.2'", "1 verdicts are wrong"},
		"host not found":  {"DELETE FROM hosts WHERE target = '198.18.0.1'", "1 verdicts are wrong"},
		"host invented":   {"INSERT INTO hosts VALUES ('198.18.9.9', 443, 'v0', 'closed')", "1 verdicts are wrong"},
		"silent answers":  {"INSERT INTO hosts VALUES ('198.18.0.3', 443, 'v0', 'closed')", "1 verdicts are wrong"},
		"host twice":      {"INSERT INTO hosts VALUES ('198.18.0.1', 443, 'v0', 'closed')", "1 verdicts are wrong"},
		"reply lost":      {"DELETE FROM replies WHERE rowid = 0", "true-v0, port 443, v0: 2 replies sent, 1 rows"},
		"all lost":        {"DELETE FROM replies WHERE saddr = '198.18.0.2'", "mirror, port 443, v0: 1 replies sent, 0 rows"},
		"kernel's lost":   {"DELETE FROM replies WHERE saddr = '198.19.0.1'", "kernel-mptcp, port 443, v0: 1 replies sent, 0 rows"},
		"row invented":    {"INSERT INTO replies VALUES ('198.18.0.2', 443, 'v0')", "mirror, port 443, v0: 1 replies sent, 2 rows"},
		"reply of nobody": {"INSERT INTO replies VALUES ('198.18.9.9', 443, 'v0')", "not in the lab, port 443, v0: 0 replies sent, 1 rows"},
		"not classified":  {"DELETE FROM hosts; DELETE FROM truth", "no verdict could be checked"},
	} {
		t.Run(name, func(t *testing.T) {
			err := compare(t, c.change).Err()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// What is left to chance is shown, not enforced.
func TestCompareUncertainVerdict(t *testing.T) {
	r := compare(t, "UPDATE truth SET certain = false, verdict = 'tampered' WHERE target = '198.18.0.1'")
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"potential 1", "differs", "verdicts checked 3, wrong 0"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, &out)
		}
	}
}
