package check

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A trace of six targets, each 4 routers away, made by hand: every one has its box behind hop 2. Router 3
// quotes 8 bytes (28 with the IP header), the others all.
const traceOfSix = `
CREATE TABLE scans AS SELECT * FROM (VALUES
	('s1', NULL::VARCHAR, 'ipv4', 443::USMALLINT, 'v1', 6::UBIGINT, TIMESTAMPTZ '2026-11-23 08:00:00Z'))
	AS t(scan_id, campaign, family, port, probe, probes_sent, started);
CREATE TABLE kinds AS SELECT * FROM (VALUES
	('10.0.0.1', 'tcp',         'strip',           'no-mptcp',  'removed',         2::UTINYINT, 4::UTINYINT, 'middlebox-affected'),
	('10.0.0.2', 'tcp',         'nat',             'no-mptcp',  'kept',            NULL, NULL,          NULL),
	('10.0.0.3', 'true-v1',     'answer-in-place', 'potential', 'answered-nearer', 2,    3,             'middlebox-affected'),
	('10.0.0.4', 'drop-mptcp',  'drop',            NULL,        'dropped',         2,    3,             NULL),
	('10.0.0.5', 'true-v1',     'none',            'potential', 'kept',            NULL, NULL,          'true'),
	('10.0.0.6', 'true-v1',     'ttl-guard',       'potential', 'kept',            NULL, NULL,          'unreachable'))
	AS t(target, behaviour, box, verdict, finding, after_hop, by_hop, final_verdict);
CREATE TABLE parts AS SELECT DATE '2026-11-23' AS date, 'ipv4' AS family, 443::USMALLINT AS port, 'v1' AS probe;
CREATE TABLE truth AS SELECT target, family, port, probe, behaviour, verdict, true AS certain, NULL::VARCHAR AS treatment, true AS treatment_certain
	FROM kinds, parts;
CREATE TABLE path_rows AS SELECT target, family, port, probe, behaviour, 4::UTINYINT AS hops, box,
		CASE WHEN box <> 'none' THEN 2::UTINYINT END AS box_hop, box <> 'none' AS box_acts
	FROM kinds, parts;
CREATE TABLE hosts AS SELECT date, target, family, port, probe, verdict, NULL::VARCHAR AS canary, 's1' AS scan_id, final_verdict
	FROM kinds, parts WHERE verdict IS NOT NULL;
CREATE TABLE replies AS SELECT target AS saddr, family, port, probe, scan_id FROM hosts;
CREATE TABLE treatments (scan_id VARCHAR, target VARCHAR, family VARCHAR, port USMALLINT, probe VARCHAR, treatment VARCHAR);
CREATE TABLE traces AS SELECT * REPLACE (probes AS probe) FROM
	(SELECT parts.*, 't-' || probes AS trace_id, 'c1' AS campaign, TIMESTAMPTZ '2026-11-23 08:10:00Z' AS started, probes
	 FROM parts, (VALUES ('v1'), ('plain')) AS t(probes));
CREATE TABLE hops AS
	SELECT date, family, port, 'v1' AS probe, 't-v1' AS trace_id, target, ttl::UTINYINT AS probe_ttl,
	       CASE WHEN ttl > 4 THEN 'synack' WHEN ttl > 2 AND box = 'answer-in-place' THEN 'synack' ELSE 'time-exceeded' END AS answer,
	       CASE WHEN answer = 'time-exceeded' THEN if(ttl = 3, 28, 64) END::USMALLINT AS quoted_bytes
	FROM kinds, parts, range(1, 13) AS t(ttl)
	WHERE ttl <= 2 OR box NOT IN ('drop', 'ttl-guard')
	UNION ALL
	SELECT date, family, port, 'plain', 't-plain', target, ttl,
	       if(ttl > 4, 'synack', 'time-exceeded') AS answer, CASE WHEN answer = 'time-exceeded' THEN if(ttl = 3, 28, 64) END
	FROM kinds, parts, range(1, 13) AS t(ttl)
	WHERE ttl <= 2 OR box <> 'ttl-guard';
CREATE TABLE paths AS SELECT date, target, family, port, probe, 't-v1' AS trace_id, 12::UTINYINT AS last_ttl, finding, after_hop, by_hop,
		box = 'nat' AS nat, false AS seq_rewritten, if(box IN ('nat', 'strip'), ['a change'], []) AS changes
	FROM kinds, parts;
CREATE TABLE grabs (date DATE, target VARCHAR, family VARCHAR, port USMALLINT, probe VARCHAR, verification_id VARCHAR, connect_us UINTEGER, mptcp_after_data BOOL,
  transport VARCHAR, outcome VARCHAR, fallback VARCHAR, mptcp_at_connect BOOL);
CREATE TABLE verifications AS SELECT 'g1' AS verification_id, TIMESTAMPTZ '2026-11-23 08:20:00Z' AS started;
`

// traceComparer gives a function that changes the trace, compares it with the truth, and undoes the change.
func traceComparer(t *testing.T) func(change string) (Report, string) {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	run := func(statement string) {
		t.Helper()
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	truth := Truth{filepath.Join(t.TempDir(), "truth.parquet"), filepath.Join(t.TempDir(), "it's paths.parquet")}
	run(traceOfSix + "COPY truth TO '" + truth.Targets + "'; COPY path_rows TO '" + strings.ReplaceAll(truth.Paths, "'", "''") + "'")
	v1 := Asking{"ipv4", 443, "v1"}
	seen := map[Source]Seen{{"tcp", v1}: {2, 2, 2}, {"true-v1", v1}: {3, 3, 3}, {"drop-mptcp", v1}: {1, 1, 0}}
	return func(change string) (Report, string) {
		t.Helper()
		run("BEGIN")
		defer run("ROLLBACK")
		run("SELECT 1; " + change)
		report, err := Compare(context.Background(), db, truth, time.Date(2026, 11, 23, 7, 59, 0, 0, time.UTC), seen)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := report.Print(&out); err != nil {
			t.Fatal(err)
		}
		return report, out.String()
	}
}

func TestComparePerfectTrace(t *testing.T) {
	r, out := traceComparer(t)("")
	if err := r.Err(); err != nil {
		t.Errorf("a perfect trace is refused: %v", err)
	}
	if want := ", paths checked 6, wrong 0, final verdicts checked 5, wrong 0\n"; !strings.HasSuffix(out, want) || strings.Contains(out, "WRONG") {
		t.Errorf("printed\n%s", out)
	}
	for _, c := range r.Paths {
		if c.Judgement != Right {
			t.Errorf("%+v", c)
		}
	}
	// Without the paths' truth nothing is said of them.
	if out := new(strings.Builder); compare(t, "").Print(out) != nil || strings.Contains(out.String(), "path") || strings.Contains(out.String(), "final") {
		t.Errorf("printed\n%s", out)
	}
}

func TestComparePathFaults(t *testing.T) {
	compare := traceComparer(t)
	const set = "UPDATE paths SET "
	for name, c := range map[string]struct {
		change    string
		judgement Judgement
		faults    string // and no other
	}{
		"interval too early":     {set + "after_hop = 0, by_hop = 2 WHERE target = '10.0.0.1'", Wrong, "1 paths are wrong"},
		"interval too late":      {set + "after_hop = 4, by_hop = 5 WHERE target = '10.0.0.1'", Wrong, "1 paths are wrong"},
		"interval too wide":      {set + "after_hop = 1 WHERE target = '10.0.0.1'", Wrong, "1 paths are wrong"},
		"short quote believed":   {set + "by_hop = 3 WHERE target = '10.0.0.1'", Wrong, "1 paths are wrong"},
		"no interval":            {set + "after_hop = NULL, by_hop = NULL WHERE target = '10.0.0.1'", Wrong, "1 paths are wrong"},
		"missed":                 {set + "finding = 'kept' WHERE target = '10.0.0.1'", Wrong, "1 paths are wrong"},
		"called unseen":          {set + "finding = 'not-quoted' WHERE target = '10.0.0.5'", Wrong, "1 paths are wrong"},
		"contradiction":          {set + "finding = 'inconsistent' WHERE target = '10.0.0.5'", Wrong, "1 paths are wrong"},
		"answer placed wrongly":  {set + "by_hop = 4 WHERE target = '10.0.0.3'", Wrong, "1 paths are wrong"},
		"answer missed":          {set + "finding = 'kept' WHERE target = '10.0.0.3'", Wrong, "1 paths are wrong"},
		"drop placed wrongly":    {set + "by_hop = 2 WHERE target = '10.0.0.4'", Wrong, "1 paths are wrong"},
		"drop begins early":      {set + "after_hop = 1 WHERE target = '10.0.0.4'", Wrong, "1 paths are wrong"},
		"drop missed":            {set + "finding = 'kept' WHERE target = '10.0.0.4'", Wrong, "1 paths are wrong"},
		"translation missed":     {set + "nat = false WHERE target = '10.0.0.2'", Wrong, "1 paths are wrong"},
		"translation invented":   {set + "nat = true WHERE target = '10.0.0.5'", Invented, "1 paths are wrong"},
		"sequence invented":      {set + "seq_rewritten = true WHERE target = '10.0.0.2'", Invented, "1 paths are wrong"},
		"change invented":        {set + "changes = ['x'] WHERE target = '10.0.0.5'", Invented, "1 paths are wrong"},
		"change before the box":  {"DELETE FROM hops WHERE probe = 'v1' AND target = '10.0.0.1' AND probe_ttl > 2; UPDATE paths SET finding = 'kept' WHERE target = '10.0.0.1'; UPDATE hosts SET final_verdict = NULL WHERE target = '10.0.0.1'", Invented, "1 paths are wrong"},
		"removal invented":       {set + "finding = 'removed', after_hop = 2, by_hop = 4 WHERE target = '10.0.0.2'", Invented, "1 paths are wrong"},
		"another kind":           {set + "finding = 'changed' WHERE target = '10.0.0.1'", Invented, "1 paths are wrong"},
		"guard taken for a drop": {set + "finding = 'dropped', after_hop = 2, by_hop = 3 WHERE target = '10.0.0.6'", Invented, "1 paths are wrong"},
		"final verdict missed":   {"UPDATE hosts SET final_verdict = NULL WHERE target = '10.0.0.1'", "", "1 final verdicts are wrong"},
		"final verdict wrong":    {"UPDATE hosts SET final_verdict = 'true' WHERE target = '10.0.0.6'", "", "1 final verdicts are wrong"},
		"final verdict invented": {"UPDATE hosts SET final_verdict = 'true' WHERE target = '10.0.0.2'", "", "1 final verdicts are wrong"},
		"final without a trace":  {"DELETE FROM paths WHERE target = '10.0.0.5'", "", "1 final verdicts are wrong"},
		"affected, not true":     {"UPDATE hosts SET final_verdict = 'true' WHERE target = '10.0.0.3'", "", "1 final verdicts are wrong"},
	} {
		r, out := compare(c.change)
		if err := r.Err(); err == nil || err.Error() != c.faults || !strings.Contains(out, "WRONG") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		found := Judgement("")
		for _, cell := range r.Paths {
			if cell.Judgement == Wrong || cell.Judgement == Invented {
				found = cell.Judgement
			}
		}
		if found != c.judgement {
			t.Errorf("%s: judged %q, want %q", name, found, c.judgement)
		}
	}
}

// What did not answer is not asked for; what did is.
func TestCompareJudgesByWhatAnswered(t *testing.T) {
	compare := traceComparer(t)
	const lose, find = "DELETE FROM hops WHERE probe = 'v1' AND ", "; UPDATE paths SET finding = "
	for name, change := range map[string]string{
		"last quote lost":         lose + "target = '10.0.0.1' AND probe_ttl = 4" + find + "'kept' WHERE target = '10.0.0.1'; UPDATE hosts SET final_verdict = NULL WHERE target = '10.0.0.1'",
		"quote before it lost":    lose + "target = '10.0.0.1' AND probe_ttl = 2; UPDATE paths SET after_hop = 1 WHERE target = '10.0.0.1'",
		"all before it lost":      lose + "target = '10.0.0.1' AND probe_ttl < 3; UPDATE paths SET after_hop = 0 WHERE target = '10.0.0.1'",
		"short quotes alone":      lose + "target = '10.0.0.5' AND probe_ttl IN (1, 2, 4)" + find + "'not-quoted' WHERE target = '10.0.0.5'",
		"nothing answered":        lose + "target = '10.0.0.6'" + find + "'no-answer' WHERE target = '10.0.0.6'",
		"nothing to a drop":       lose + "target = '10.0.0.4'; UPDATE paths SET after_hop = 0 WHERE target = '10.0.0.4'",
		"too few against a drop":  "DELETE FROM hops WHERE probe = 'plain' AND target = '10.0.0.4' AND probe_ttl = 7" + find + "'kept' WHERE target = '10.0.0.4'",
		"seven against a drop":    "UPDATE paths SET last_ttl = 11 WHERE target = '10.0.0.4'; DELETE FROM hops WHERE probe_ttl = 12 AND target = '10.0.0.4'" + find + "'kept' WHERE target = '10.0.0.4'",
		"first answer lost":       lose + "target = '10.0.0.3' AND probe_ttl = 3; UPDATE paths SET by_hop = 4 WHERE target = '10.0.0.3'",
		"no router beyond":        "DELETE FROM hops WHERE probe = 'plain' AND target = '10.0.0.3' AND probe_ttl IN (3, 4)" + find + "'kept', after_hop = NULL WHERE target = '10.0.0.3'; UPDATE hosts SET final_verdict = 'true' WHERE target = '10.0.0.3'",
		"translation not shown":   lose + "target = '10.0.0.2' AND probe_ttl IN (3, 4); UPDATE paths SET nat = false, changes = [] WHERE target = '10.0.0.2'",
		"host did not answer":     lose + "target = '10.0.0.5' AND probe_ttl > 4; UPDATE hosts SET final_verdict = 'unreachable' WHERE target = '10.0.0.5'",
		"but was connected to":    lose + "target = '10.0.0.5' AND probe_ttl > 4; UPDATE hosts SET final_verdict = NULL WHERE target = '10.0.0.5'; INSERT INTO grabs SELECT date, '10.0.0.5', family, port, probe, 'g1', 5, NULL, 'mptcp', 'ok', NULL, NULL FROM parts",
		"and proven":              lose + "target = '10.0.0.5' AND probe_ttl > 4; INSERT INTO grabs SELECT date, '10.0.0.5', family, port, probe, 'g1', 5, true, 'mptcp', 'ok', NULL, true FROM parts",
		"an earlier trace":        "INSERT INTO traces SELECT * REPLACE ('t-0' AS trace_id, TIMESTAMPTZ '2026-11-22 00:00:00Z' AS started) FROM traces WHERE probe = 'v1'; INSERT INTO paths SELECT * REPLACE ('t-0' AS trace_id, 'removed' AS finding) FROM paths",
		"neither traced nor else": "DELETE FROM paths WHERE target = '10.0.0.5'; UPDATE hosts SET final_verdict = NULL WHERE target = '10.0.0.5'",
	} {
		r, out := compare(change)
		if err := r.Err(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	// The same findings where more answered are misses.
	r, _ := compare("UPDATE paths SET finding = 'kept' WHERE finding IN ('removed', 'dropped', 'answered-nearer')")
	if r.Paths.Wrong() != 3 {
		t.Errorf("%d of 3 misses seen", r.Paths.Wrong())
	}
	r, _ = compare("DELETE FROM hops WHERE probe = 'v1' AND target = '10.0.0.1' AND probe_ttl = 4; UPDATE paths SET finding = 'kept' WHERE target = '10.0.0.1'")
	shown := uint64(0)
	for _, c := range r.Paths {
		if c.Judgement == NotShown {
			shown += c.Paths
		}
	}
	if shown != 1 {
		t.Errorf("%+v", r.Paths)
	}
}
