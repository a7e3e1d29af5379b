package dataset

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const tracePartition = "date=2026-11-24/family=ipv4/port=443/probe=v1"

// writeTrace puts a trace with one row in hops and paths into dir. It returns the names of these files.
func writeTrace(t *testing.T, dir, id string) (hops, paths, traces string) {
	t.Helper()
	db := openTest(t, filepath.Join(dir, "absent"))
	write := func(table, row string) string {
		name := filepath.Join(table, tracePartition, id+".parquet")
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		exec(t, db, fmt.Sprintf("COPY (SELECT * EXCLUDE (date, family, port, probe) FROM (FROM %s UNION ALL BY NAME SELECT %s)) TO %s (FORMAT parquet)",
			table, row, Literal(filepath.Join(dir, name))))
		return name
	}
	listed := func(name string) string {
		content, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		return fmt.Sprintf("{path: %s, rows: 1::UBIGINT, bytes: %d::UBIGINT, sha256: '%x'}", Literal(name), len(content), sha256.Sum256(content))
	}
	hops = write(HopsTable, Literal(id)+" AS trace_id, '192.0.2.1' AS target")
	paths = write(PathsTable, Literal(id)+" AS trace_id, '192.0.2.1' AS target")
	traces = write(TracesTable, fmt.Sprintf("%s AS trace_id, [%s, %s] AS files", Literal(id), listed(hops), listed(paths)))
	return hops, paths, traces
}

func TestCheckTraces(t *testing.T) {
	dir := t.TempDir()
	hops, paths, traces := writeTrace(t, dir, "t1")
	if report := mustBeClean(t, openDataset(t, dir)); report.Files != 2 || report.Rows != 2 || report.Notes != nil {
		t.Errorf("%+v", report)
	}
	for name, test := range map[string]struct {
		damage     func(dir string)
		path, what string
	}{
		"damaged hops": {func(dir string) {
			edit(t, filepath.Join(dir, hops), func(b []byte) []byte { b[8] ^= 1; return b })
		}, hops, "is damaged"},
		"missing paths":  {func(dir string) { must(t, os.Remove(filepath.Join(dir, paths))) }, paths, "is missing, but t1 lists it"},
		"damaged traces": {func(dir string) { edit(t, filepath.Join(dir, traces), func(b []byte) []byte { return b[:len(b)/2] }) }, traces, "cannot be read"},
		"hops of another trace": {func(dir string) {
			_, _, other := writeTrace(t, dir, "t2")
			copyTo(t, filepath.Join(dir, strings.Replace(hops, "t1", "t2", 1)), filepath.Join(dir, hops))
			must(t, os.Remove(filepath.Join(dir, other)))
			db := openTest(t, filepath.Join(dir, "absent"))
			content, err := os.ReadFile(filepath.Join(dir, hops))
			must(t, err)
			exec(t, db, fmt.Sprintf("COPY (SELECT * REPLACE ([{path: files[1].path, rows: 1::UBIGINT, bytes: %d::UBIGINT, sha256: '%x'}] AS files) FROM read_parquet(%s, hive_partitioning = false)) TO %s (FORMAT parquet)",
				len(content), sha256.Sum256(content), Literal(filepath.Join(dir, traces)), Literal(filepath.Join(dir, traces+".new"))))
			must(t, os.Rename(filepath.Join(dir, traces+".new"), filepath.Join(dir, traces)))
		}, hops, "is of trace t2"},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := t.TempDir()
			must(t, os.CopyFS(damaged, os.DirFS(dir)))
			test.damage(damaged)
			report := check(t, openDataset(t, damaged))
			found := false
			for _, p := range report.Problems {
				found = found || p.Path == test.path && strings.Contains(p.What, test.what)
			}
			if !found {
				t.Errorf("no problem of %s with %q in %q", test.path, test.what, report.Problems)
			}
		})
	}
}

// A trace that died before its row was stored is no part of the dataset: no view reads it, and the check
// says what becomes of it.
func TestUnlistedTrace(t *testing.T) {
	dir := t.TempDir()
	writeTrace(t, dir, "t1")
	_, _, traces := writeTrace(t, dir, "t2")
	must(t, os.Remove(filepath.Join(dir, traces)))
	db := openTest(t, dir)
	for _, table := range []string{"hops", "paths"} {
		if got := column0(t, db, "SELECT trace_id FROM "+table); fmt.Sprint(got) != "[t1]" {
			t.Errorf("%s has rows of %q", table, got)
		}
	}
	report := mustBeClean(t, openDataset(t, dir))
	if len(report.Notes) != 2 || !strings.Contains(report.Notes[0], "the next mpcensus trace removes it") {
		t.Errorf("notes %q", report.Notes)
	}
}
