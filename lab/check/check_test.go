package check

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
)

// A census of four targets, made by hand: a true host that answers twice, a mirror, a silent address
// and a real kernel.
const census = `
CREATE TABLE scans   AS SELECT * FROM (VALUES
	('s1', NULL::VARCHAR, 'ipv4', 443::USMALLINT, 'v0', 4::UBIGINT, TIMESTAMPTZ '2026-11-23 08:00:00Z'))
	AS t(scan_id, campaign, family, port, probe, probes_sent, started);
CREATE TABLE replies AS SELECT * FROM (VALUES
	('198.18.0.1', 'ipv4', 443::USMALLINT, 'v0', 's1'), ('198.18.0.1', 'ipv4', 443, 'v0', 's1'), ('198.18.0.2', 'ipv4', 443, 'v0', 's1'),
	('198.19.0.1', 'ipv4', 443, 'v0', 's1')) AS t(saddr, family, port, probe, scan_id);
CREATE TABLE hosts   AS SELECT * FROM (VALUES
	('198.18.0.1', 'ipv4', 443::USMALLINT, 'v0', 'potential', NULL::VARCHAR, 's1'),
	('198.18.0.2', 'ipv4', 443::USMALLINT, 'v0', 'mirrored', NULL, 's1'),
	('198.19.0.1', 'ipv4', 443::USMALLINT, 'v0', 'no-mptcp', NULL, 's1')) AS t(target, family, port, probe, verdict, canary, scan_id);
CREATE TABLE treatments (scan_id VARCHAR, target VARCHAR, family VARCHAR, port USMALLINT, probe VARCHAR, treatment VARCHAR);
CREATE TABLE truth   AS SELECT * FROM (VALUES
	('198.18.0.1', 'ipv4', 443::USMALLINT, 'v0', 'true-v0', 'potential', true, 'supports', true),
	('198.18.0.2', 'ipv4', 443::USMALLINT, 'v0', 'mirror', 'mirrored', true, 'mirrors', true),
	('198.18.0.3', 'ipv4', 443::USMALLINT, 'v0', 'silent', NULL, true, NULL, true),
	('198.19.0.1', 'ipv4', 443::USMALLINT, 'v0', 'kernel-mptcp', 'no-mptcp', true, 'ignores', true),
	('2001:db8::1', 'ipv6', 443::USMALLINT, 'v0', 'mirror', 'mirrored', true, 'mirrors', true),
	('198.18.0.3', 'ipv4', 443::USMALLINT, 'v1', 'silent', NULL, true, NULL, true),
	('198.18.0.3', 'ipv4', 80::USMALLINT,  'v0', 'silent', NULL, true, NULL, true))
	AS t(target, family, port, probe, behaviour, verdict, certain, treatment, treatment_certain);
`

// notFollowedUp are the tables of traces and connections, without rows.
const notFollowedUp = `;
ALTER TABLE hosts ADD COLUMN final_verdict VARCHAR;
CREATE TABLE paths (trace_id VARCHAR, target VARCHAR, family VARCHAR, port USMALLINT, probe VARCHAR, finding VARCHAR, after_hop UTINYINT, by_hop UTINYINT);
CREATE TABLE grabs (target VARCHAR, family VARCHAR, port USMALLINT, transport VARCHAR, outcome VARCHAR, fallback VARCHAR,
	mptcp_at_connect BOOLEAN, mptcp_after_data BOOLEAN, connect_us UINTEGER);
`

// paired makes the census one of two campaigns, which both judged all targets.
const paired = `
UPDATE scans SET campaign = 'c1';
INSERT INTO scans VALUES ('s2', 'c2', 'ipv4', 443, 'v0', 0, NULL), ('s3', 'c2', 'ipv4', 443, 'plain', 0, NULL);
INSERT INTO treatments VALUES
	('s1', '198.18.0.1', 'ipv4', 443, 'v0', 'supports'), ('s2', '198.18.0.1', 'ipv4', 443, 'v0', 'supports'),
	('s1', '198.18.0.2', 'ipv4', 443, 'v0', 'mirrors'),  ('s2', '198.18.0.2', 'ipv4', 443, 'v0', 'mirrors'),
	('s1', '198.19.0.1', 'ipv4', 443, 'v0', 'ignores'),  ('s2', '198.19.0.1', 'ipv4', 443, 'v0', 'ignores');
`

// compare changes the census, then fills the tables of traces and connections.
func compare(t *testing.T, change string, followUps ...string) Report {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	truth := filepath.Join(t.TempDir(), "truth.parquet")
	if _, err := db.Exec(census + change + notFollowedUp + strings.Join(followUps, ";") + ";COPY truth TO '" + truth + "' (FORMAT parquet)"); err != nil {
		t.Fatal(err)
	}
	v0 := Asking{"ipv4", 443, "v0"}
	seen := map[Source]Seen{
		{"true-v0", v0}:                        {1, 1, 2},
		{"mirror", v0}:                         {1, 1, 1},
		{"kernel-mptcp", v0}:                   {1, 1, 1},
		{"silent", v0}:                         {1, 1, 0},
		{"true-v0", Asking{"ipv4", 443, "v1"}}: {3, 3, 9}, // not scanned
		{"mirror", Asking{"ipv6", 443, "v0"}}:  {1, 1, 1}, // not scanned
	}
	labUp := time.Date(2026, 11, 23, 7, 59, 0, 0, time.UTC)
	report, err := Compare(context.Background(), db, Truth{Targets: truth}, labUp, seen)
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
	if r.Targets() != 4 || r.Sent() != 4 || r.Rows() != 4 || r.Verdicts.Checked() != 4 || r.Verdicts.Wrong() != 0 {
		t.Errorf("sums: %+v", r)
	}
}

func TestCompareFindsEveryKindOfFault(t *testing.T) {
	for name, c := range map[string]struct{ change, want string }{
		"wrong verdict":   {"UPDATE hosts SET verdict = 'potential' WHERE target = '198.18.0.2'", "1 verdicts are wrong"},
		"host not found":  {"DELETE FROM hosts WHERE target = '198.18.0.1'", "1 verdicts are wrong"},
		"host invented":   {"INSERT INTO hosts VALUES ('198.18.9.9', 'ipv4', 443, 'v0', 'closed', NULL, 's1')", "1 verdicts are wrong"},
		"silent answers":  {"INSERT INTO hosts VALUES ('198.18.0.3', 'ipv4', 443, 'v0', 'closed', NULL, 's1')", "1 verdicts are wrong"},
		"host twice":      {"INSERT INTO hosts VALUES ('198.18.0.1', 'ipv4', 443, 'v0', 'closed', NULL, 's1')", "1 verdicts are wrong"},
		"reply lost":      {"DELETE FROM replies WHERE rowid = 0", "true-v0, ipv4, port 443, v0: 2 replies sent, 1 rows"},
		"all lost":        {"DELETE FROM replies WHERE saddr = '198.18.0.2'", "mirror, ipv4, port 443, v0: 1 replies sent, 0 rows"},
		"kernel's lost":   {"DELETE FROM replies WHERE saddr = '198.19.0.1'", "kernel-mptcp, ipv4, port 443, v0: 1 replies sent, 0 rows"},
		"row invented":    {"INSERT INTO replies VALUES ('198.18.0.2', 'ipv4', 443, 'v0', 's1')", "mirror, ipv4, port 443, v0: 1 replies sent, 2 rows"},
		"reply of nobody": {"INSERT INTO replies VALUES ('198.18.9.9', 'ipv4', 443, 'v0', 's1')", "not in the lab, ipv4, port 443, v0: 0 replies sent, 1 rows"},
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

// What the dataset has from before the lab came up is none of the lab's business, whatever is wrong with it.
func TestCompareLeavesEarlierScansOut(t *testing.T) {
	r := compare(t, `
		INSERT INTO scans VALUES ('s0', 'c0', 'ipv4', 443, 'v0', 9, TIMESTAMPTZ '2026-11-23 07:58:59Z');
		INSERT INTO replies VALUES ('198.18.0.1', 'ipv4', 443, 'v0', 's0');
		INSERT INTO hosts VALUES ('198.18.0.1', 'ipv4', 443, 'v0', 'closed', NULL, 's0');
		INSERT INTO treatments VALUES ('s0', '198.18.0.1', 'ipv4', 443, 'v0', 'closed')`)
	if err := r.Err(); err != nil || r.Verdicts.Checked() != 4 || len(r.Treatments) != 0 {
		t.Errorf("%v: %+v", err, r)
	}
}

// A census of a part of the lab is no wrong one; a lab with other scans is no lab to compare with.
func TestCompareLessThanTheLab(t *testing.T) {
	more := "INSERT INTO truth SELECT '198.18.1.' || n, 'ipv4', 443, 'v0', 'mirror', 'mirrored', true, 'mirrors', true FROM range(100) AS t(n);"
	r := compare(t, paired+more)
	if err := r.Err(); err != nil {
		t.Errorf("targets that were not asked count: %v", err)
	}
	if r.Targets() != 4 || r.Verdicts.Checked() != 4 || r.Treatments.Checked() != 8 {
		t.Errorf("%d targets, %d verdicts, %d treatments", r.Targets(), r.Verdicts.Checked(), r.Treatments.Checked())
	}
	// The one that was asked is still missed among them.
	err := compare(t, more+"DELETE FROM hosts WHERE target = '198.18.0.2'").Err()
	if err == nil || !strings.Contains(err.Error(), "1 verdicts are wrong") {
		t.Errorf("a mirror without a verdict: %v", err)
	}

	err = compare(t, "DELETE FROM replies WHERE rowid = 0; UPDATE scans SET probes_sent = 3").Err()
	if want := "ipv4, port 443, v0: the dataset's scans sent 3 SYNs, the lab received 4"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// A host that makes up a key and mirrors the canary: a scan whose SYNs have both finds it out, another
// takes it for genuine.
func TestCompareCanaryBesideMPCapable(t *testing.T) {
	const keyed = "UPDATE truth SET verdict = 'potential' WHERE target = '198.18.0.2';"
	for verdict, canary := range map[string]string{"mirrored": "'mirrored'", "potential": "NULL"} {
		set := keyed + "UPDATE hosts SET verdict = '%s', canary = %s WHERE target = '198.18.0.2'"
		if err := compare(t, fmt.Sprintf(set, verdict, canary)).Err(); err != nil {
			t.Errorf("%s, canary %s: %v", verdict, canary, err)
		}
		other := map[string]string{"mirrored": "'none'", "potential": "'mirrored'"}[verdict]
		err := compare(t, fmt.Sprintf(set, "potential", other)).Err()
		if err == nil || !strings.Contains(err.Error(), "1 verdicts are wrong") {
			t.Errorf("potential, canary %s: %v", other, err)
		}
	}
	// A genuine host sends no canary back.
	err := compare(t, "UPDATE hosts SET verdict = 'mirrored', canary = 'mirrored' WHERE target = '198.18.0.1'").Err()
	if err == nil || !strings.Contains(err.Error(), "1 verdicts are wrong") {
		t.Errorf("true-v0, mirrored: %v", err)
	}
}

// Ports stand together in a line.
func TestPrintJoinsPorts(t *testing.T) {
	of := func(port uint16, found string, targets uint64) Cell {
		return Cell{Source{"mirror", Asking{"ipv6", port, "v1"}}, "mirrored", found, true, targets}
	}
	var out strings.Builder
	if err := (Matrix{of(80, "closed", 1), of(80, "mirrored", 2), of(443, "mirrored", 3)}).print(&out, "verdict"); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^mirror +ipv6 +v1 +mirrored +closed 1, mirrored 5 +WRONG$`).MatchString(out.String()) {
		t.Errorf("printed\n%s", &out)
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

func TestComparePerfectCampaigns(t *testing.T) {
	r := compare(t, paired)
	if err := r.Err(); err != nil {
		t.Errorf("a perfect campaign is refused: %v", err)
	}
	if r.Treatments.Checked() != 8 || r.Treatments.Wrong() != 0 {
		t.Errorf("treatments checked %d, wrong %d", r.Treatments.Checked(), r.Treatments.Wrong())
	}
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	if want := "verdicts checked 4, wrong 0, treatments checked 8, wrong 0\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("last line is not %q:\n%s", want, &out)
	}

	out.Reset()
	if err := compare(t, "").Print(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "treatment") {
		t.Errorf("treatments without a campaign:\n%s", &out)
	}
}

func TestCompareFindsWrongTreatments(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		wrong  uint64
	}{
		"wrong treatment":     {"UPDATE treatments SET treatment = 'drops' WHERE target = '198.18.0.2' AND scan_id = 's2'", 1},
		"target not judged":   {"DELETE FROM treatments WHERE target = '198.18.0.1' AND scan_id = 's1'", 1},
		"silent target":       {"INSERT INTO treatments VALUES ('s1', '198.18.0.3', 'ipv4', 443, 'v0', 'drops')", 1},
		"target invented":     {"INSERT INTO treatments VALUES ('s2', '198.18.9.9', 'ipv4', 443, 'v0', 'closed')", 1},
		"not of the family":   {"UPDATE treatments SET family = 'ipv6' WHERE target = '198.18.0.1' AND scan_id = 's1'", 2},
		"scan of no campaign": {"UPDATE scans SET campaign = NULL WHERE scan_id = 's1'", 3},
		"nothing judged":      {"DELETE FROM treatments", 6},
	} {
		t.Run(name, func(t *testing.T) {
			r := compare(t, paired+c.change)
			want := fmt.Sprintf("%d treatments are wrong", c.wrong)
			if err := r.Err(); err == nil || err.Error() != want || r.Treatments.Wrong() != c.wrong {
				t.Errorf("got %v, want %q", err, want)
			}
			var out strings.Builder
			if err := r.Print(&out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), "WRONG") || !strings.HasSuffix(out.String(), fmt.Sprintf(", wrong %d\n", c.wrong)) {
				t.Errorf("not seen in:\n%s", &out)
			}
		})
	}

	chance := compare(t, paired+"UPDATE truth SET treatment_certain = false, treatment = 'tampers' WHERE target = '198.18.0.1'")
	if err := chance.Err(); err != nil || chance.Treatments.Checked() != 6 {
		t.Errorf("what is left to chance: %v, %d checked", err, chance.Treatments.Checked())
	}
}
