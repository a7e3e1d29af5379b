package dataset

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestViewsOfEmptyDataset(t *testing.T) {
	db := openTest(t, filepath.Join(t.TempDir(), "absent"))
	for _, table := range []string{
		"replies", "hosts", "treatments", "scans", "hops", "paths", "traces", "grabs", "verifications", "networks", "sources",
	} {
		if got := column0(t, db, "SELECT count(*)::VARCHAR FROM "+table); got[0] != "0" {
			t.Errorf("%s: %s rows", table, got[0])
		}
	}
	got := column0(t, db, "SELECT column_name || ' ' || column_type FROM (DESCRIBE hosts)")
	want := []string{
		"scan_id VARCHAR", "target VARCHAR", "verdict VARCHAR", "reasons VARCHAR[]", "sender_key UBIGINT",
		"key_weight UTINYINT", "key_distance UTINYINT", "canary VARCHAR", "replies UINTEGER",
		"excess_probability DOUBLE", "option_order VARCHAR", "asn UINTEGER", "as_name VARCHAR", "country VARCHAR",
		"final_verdict VARCHAR", "final_reasons VARCHAR[]",
		"date VARCHAR", "family VARCHAR", "port USMALLINT", "probe VARCHAR",
	}
	if !slices.Equal(got, want) {
		t.Errorf("hosts:\n got %q\nwant %q", got, want)
	}
}

// Folders with quotes and pattern characters in their names, and files of two schema versions. Only files
// that scans lists are read.
func TestViewsOfFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "o'clock [x] *?")
	db := openTest(t, dir)
	for _, scan := range []struct{ partition, id, saddr string }{
		{"date=2026-01-01/family=ipv4/port=443/probe=v1", "a", ""},
		{"date=2026-02-01/family=ipv4/port=443/probe=v1", "b", ", '192.0.2.1' AS saddr"},
	} {
		for _, table := range []string{"replies", "scans"} {
			if err := os.MkdirAll(filepath.Join(dir, table, scan.partition), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		part := filepath.Join("replies", scan.partition, scan.id+"-00000.parquet")
		exec(t, db, "COPY (SELECT "+Literal(scan.id)+" AS scan_id"+scan.saddr+") TO "+Literal(filepath.Join(dir, part))+" (FORMAT parquet)",
			"COPY (SELECT "+Literal(scan.id)+" AS scan_id, [{path: "+Literal(part)+", rows: 1::UBIGINT, bytes: 1::UBIGINT, sha256: ''}] AS files) TO "+
				Literal(filepath.Join(dir, "scans", scan.partition, scan.id+".parquet"))+" (FORMAT parquet)")
		// Files that are not part of the dataset: on their way in or out, or half written.
		exec(t, db, "COPY (SELECT 'c' AS scan_id) TO "+Literal(filepath.Join(dir, "replies", scan.partition, "c-00000.parquet"))+" (FORMAT parquet)")
		if err := os.WriteFile(filepath.Join(dir, "replies", scan.partition, ".tmp-1"), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	db = openTest(t, dir)
	got := column0(t, db, `SELECT concat_ws(' ', scan_id, saddr, date, family, port, probe, typeof(date), typeof(port),
		file_index, file_row_number) FROM replies ORDER BY file_index`)
	want := []string{
		"a 2026-01-01 ipv4 443 v1 VARCHAR USMALLINT 0 0",
		"b 192.0.2.1 2026-02-01 ipv4 443 v1 VARCHAR USMALLINT 1 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	// Columns of the contract that no file has, being older, are there and NULL.
	if got := column0(t, db, "SELECT concat(count(*), ' ', count(canary), ' ', typeof(any_value(canary))) FROM replies"); got[0] != "2 0 VARCHAR" {
		t.Errorf("a column that no file has: %q", got)
	}
}

// A scan may list no file outside the dataset.
func TestListedOutside(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	folder := filepath.Join(dir, "scans", "date=2026-01-01", "family=ipv4", "port=443", "probe=v1")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "COPY (SELECT 'a' AS scan_id, [{path: 'replies/../../secret.parquet'}] AS files) TO "+
		Literal(filepath.Join(folder, "a.parquet"))+" (FORMAT parquet)")
	_, err := OpenDuckDB(t.Context(), dir, DuckDBOptions{TempDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "not in the dataset") {
		t.Errorf("got %v", err)
	}
}

// Arrow files must not be left out silently, beside Parquet files either.
func TestArrow(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "replies"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.parquet", "f.arrow"} {
		if err := os.WriteFile(filepath.Join(dir, "replies", name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenDuckDB(t.Context(), dir, DuckDBOptions{}); !errors.Is(err, ErrArrow) {
		t.Errorf("got %v", err)
	}
}

// seenScan is a scan, and its targets that were potential; not classified if that is nil.
type seenScan struct {
	ScanKey
	complete  bool
	potential []string
}

// write puts the scan's files into the dataset in dir.
func (s seenScan) write(t *testing.T, dir string) {
	t.Helper()
	db := openTest(t, filepath.Join(dir, "absent"))
	path := s.Path(dir, ScansTable, s.ID, Parquet)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	exec(t, db, fmt.Sprintf("COPY (SELECT %s AS scan_id, %t AS complete, %d::UBIGINT AS rows_kept) TO %s (FORMAT parquet)",
		Literal(s.ID), s.complete, len(s.potential)+1, Literal(path)))
	if s.potential == nil {
		return
	}
	rows := []string{"('mirror', 'mirrored')"}
	for _, target := range s.potential {
		rows = append(rows, fmt.Sprintf("('%s', 'potential')", target))
	}
	path = s.Path(dir, HostsTable, s.ID, Parquet)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	exec(t, db, fmt.Sprintf("COPY (SELECT %s AS scan_id, target, verdict FROM (VALUES %s) v(target, verdict)) TO %s (FORMAT parquet)",
		Literal(s.ID), strings.Join(rows, ", "), Literal(path)))
}

// presences is the view history, made the slow way: target by target, date by date.
func presences(scans []seenScan) (lines []string) {
	type series struct {
		family string
		port   uint16
		probe  string
	}
	partial := map[Partition]bool{}
	for _, s := range scans {
		partial[s.Partition] = partial[s.Partition] || !s.complete || s.potential == nil
	}
	dates := map[series]map[string][]string{} // date → targets, where all scans are complete and classified
	for _, s := range scans {
		if partial[s.Partition] || (s.Probe != "v0" && s.Probe != "v1") {
			continue
		}
		k := series{s.Family, s.Port, s.Probe}
		if dates[k] == nil {
			dates[k] = map[string][]string{}
		}
		dates[k][s.Date] = append(dates[k][s.Date], s.potential...)
	}
	for k, byDate := range dates {
		for target := range 40 {
			name := fmt.Sprint("host", target)
			var on []string
			for date, targets := range byDate {
				if slices.Contains(targets, name) {
					on = append(on, date)
				}
			}
			if len(on) == 0 {
				continue
			}
			presence := "sometimes"
			switch {
			case len(byDate) == 1:
				presence = "NULL"
			case len(on) == len(byDate):
				presence = "always"
			case len(on) == 1:
				presence = "once"
			}
			lines = append(lines, fmt.Sprint(k.family, " ", k.port, " ", k.probe, " ", name, " ",
				slices.Min(on), " ", slices.Max(on), " ", len(on), " ", len(byDate), " ", presence))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestHistory(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	var scans []seenScan
	add := func(p Partition, complete bool, potential []string) {
		s := seenScan{ScanKey{fmt.Sprintf("%s-%d", p.ScanID(time.Time{}), len(scans)), p}, complete, potential}
		s.write(t, dir)
		scans = append(scans, s)
	}
	for _, family := range []string{IPv4, IPv6} {
		for _, probe := range []string{"v0", "v1", "plain"} {
			for month := range 7 {
				var potential []string
				for target := range 40 { // the first are there always, the last seldom
					if random.IntN(40) >= target-10 {
						potential = append(potential, fmt.Sprint("host", target))
					}
				}
				p := Partition{fmt.Sprintf("2026-%02d-15", month+1), family, 443, probe}
				switch {
				case family == IPv6 && month > 1: // one complete date only
				case month == 1:
					add(p, false, potential)
				case month == 2: // two scans on a date
					add(p, true, potential[:len(potential)/2])
					add(p, true, potential[len(potential)/3:])
				case month == 3:
					add(p, true, nil)
				case month == 4: // a shard broke off
					add(p, true, potential[:len(potential)/2])
					add(p, false, potential[len(potential)/2:])
				case month == 5: // a shard is not classified
					add(p, true, potential[:len(potential)/2])
					add(p, true, nil)
				default:
					add(p, true, potential)
				}
			}
		}
	}
	got := column0(t, openTest(t, dir), `
		SELECT concat_ws(' ', family, port, probe, target, first_seen, last_seen, seen, scanned, coalesce(presence, 'NULL')) AS line
		FROM history ORDER BY line`)
	if want := presences(scans); !slices.Equal(got, want) || len(want) < 100 {
		t.Errorf("%d lines, want %d; the first that differs: %q", len(got), len(want), firstDifference(got, want))
	}
}

// A scan that nothing answered is a date on which hosts were not seen, though it has no hosts.
func TestHistoryWithoutReplies(t *testing.T) {
	dir := t.TempDir()
	p := Partition{"2026-01-15", IPv4, 443, "v0"}
	seenScan{ScanKey{"a", p}, true, []string{"host"}}.write(t, dir)
	p.Date = "2026-02-15"
	path := p.Path(dir, ScansTable, "b", Parquet)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	db := openTest(t, dir)
	exec(t, db, "COPY (SELECT 'b' AS scan_id, true AS complete, 0::UBIGINT AS rows_kept) TO "+Literal(path)+" (FORMAT parquet)")
	if got := column0(t, openTest(t, dir), "SELECT concat(seen, ' of ', scanned) FROM history"); !slices.Equal(got, []string{"1 of 2"}) {
		t.Errorf("got %q", got)
	}
}

func firstDifference(a, b []string) [2]string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return [2]string{a[i], b[i]}
		}
	}
	return [2]string{fmt.Sprint(len(a)), fmt.Sprint(len(b))}
}

// queries of the views, each of one column of text.
var queries = []string{
	"SELECT concat_ws(' ', scan_id, date, family, port, probe, rows_kept, files::VARCHAR) FROM scans ORDER BY scan_id",
	"SELECT to_json(r)::VARCHAR FROM (SELECT * FROM replies ORDER BY file_index, file_row_number) r",
	"SELECT concat_ws(' ', family, port, probe, verdict, count(*), any_value(asn)) FROM hosts GROUP BY family, port, probe, verdict ORDER BY ALL",
	"SELECT to_json(h)::VARCHAR FROM (SELECT * FROM history ORDER BY ALL) h",
	"SELECT count(*)::VARCHAR FROM treatments",
	"SELECT concat_ws(' ', first, last, asn, as_name, country) FROM networks",
	"SELECT concat_ws(' ', table_name, column_name, data_type) FROM information_schema.columns WHERE table_name IN (SELECT view_name FROM duckdb_views() WHERE NOT internal) ORDER BY table_name, ordinal_position",
}

// Any DuckDB has the same views by views.sql, also after the dataset was moved.
func TestWriteViews(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "census")
	d := openDataset(t, dir)
	for _, port := range []uint16{80, 443} {
		scanOfPort(port).commit(t, d)
	}
	must(t, d.Close())
	// Files of an earlier version, of a table without partitions, and one that no scan lists.
	writeHosts(t, filepath.Join(dir, hosts443), fmt.Sprintf(hostsSQL, Literal(scan443)))
	writeHosts(t, filepath.Join(dir, hosts80), fmt.Sprintf(hosts4SQL, Literal(scan80)))
	writeHosts(t, filepath.Join(dir, WholeFile(NetworksTable)), "SELECT '192.0.2.0' AS first, 64496::UINTEGER AS asn")
	writeHosts(t, filepath.Join(dir, "replies", partition80, "unlisted-00000.parquet"), "SELECT 'x' AS scan_id")
	// A verdict that history counts.
	again := seenScan{ScanKey{"again", Partition{"2026-12-23", IPv4, 80, "v0"}}, true, []string{"192.0.2.1"}}
	again.write(t, dir)

	db := openTest(t, dir)
	var want []string
	for _, q := range queries {
		want = append(want, column0(t, db, q)...)
	}
	path, err := WriteViews(t.Context(), db, dir)
	must(t, err)
	if path != filepath.Join(dir, "views.sql") {
		t.Errorf("written to %s", path)
	}
	moved := filepath.Join(t.TempDir(), "a copy")
	must(t, os.Rename(dir, moved))

	for folder, script := range map[string]string{
		moved: `duckdb.execute(open("views.sql").read())`,
		"/":   fmt.Sprintf(`duckdb.execute("SET file_search_path = '%s'"); duckdb.execute(open("%[1]s/views.sql").read())`, moved),
	} {
		got := readWithPython(t, folder, script)
		if !slices.Equal(got, want) {
			t.Errorf("in %s: %q", folder, firstDifference(got, want))
		}
	}
}

// readWithPython runs the queries in Python's DuckDB, after a script.
func readWithPython(t *testing.T, folder, script string) []string {
	t.Helper()
	python, err := filepath.Abs("../../.venv/bin/python")
	must(t, err)
	command := osexec.CommandContext(t.Context(), python, append([]string{"-c", `
import duckdb, sys
duckdb.execute("SET TimeZone = 'UTC'")
` + script + `
for query in sys.argv[1:]:
    for (line,) in duckdb.execute(query).fetchall():
        print(line)
`}, queries...)...)
	command.Dir = folder
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}
