package report

import (
	"database/sql"
	"fmt"
	"maps"
	"math/bits"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/classify"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// testHost is a row of hosts, as far as reports read it. Empty text and nil are NULL.
type testHost struct {
	target, verdict string
	reasons         []string
	key             *uint64
	distance        *int // to the key sent
	excess          *float64
	replies         int // 0: 1
	order           string
	asn             int // 0: NULL
	asName, country string
	final           string
}

// testScan is a scan with its hosts.
type testScan struct {
	dataset.ScanKey
	broken bool              // not complete
	values map[string]string // other columns of scans, as SQL
	hosts  []testHost
}

func newScan(date, family string, port uint16, probe, suffix string, hosts ...testHost) testScan {
	p := dataset.Partition{Date: date, Family: family, Port: port, Probe: probe}
	id := fmt.Sprintf("%s-%s-%d-%s%s", strings.ReplaceAll(date, "-", ""), family, port, probe, suffix)
	return testScan{ScanKey: dataset.ScanKey{ID: id, Partition: p}, values: map[string]string{}, hosts: hosts}
}

func (s *testScan) replies() (n int) {
	for _, h := range s.hosts {
		n += max(1, h.replies)
	}
	return n
}

func quoted(s string) string {
	if s == "" {
		return "NULL"
	}
	return dataset.Literal(s)
}

func orNull[T any](v *T) string {
	if v == nil {
		return "NULL"
	}
	return fmt.Sprint(*v)
}

// columns are the host's values, as SQL by name.
func (h testHost) columns() map[string]string {
	var reasons []string
	for _, r := range h.reasons {
		reasons = append(reasons, dataset.Literal(r))
	}
	weight, asn := "NULL", "NULL"
	if h.key != nil {
		weight = fmt.Sprint(bits.OnesCount64(*h.key))
	}
	if h.asn > 0 {
		asn = fmt.Sprint(h.asn)
	}
	return map[string]string{
		"target": dataset.Literal(h.target), "verdict": dataset.Literal(h.verdict),
		"reasons": "[" + strings.Join(reasons, ", ") + "]::VARCHAR[]", "sender_key": orNull(h.key), "key_weight": weight,
		"key_distance": orNull(h.distance), "excess_probability": orNull(h.excess), "replies": fmt.Sprint(max(1, h.replies)),
		"option_order": quoted(h.order), "asn": asn, "as_name": quoted(h.asName), "country": quoted(h.country),
		"final_verdict": quoted(h.final),
	}
}

// addScans writes scans and their hosts, with the columns of the contract.
func addScans(t testing.TB, dir string, scans ...testScan) {
	t.Helper()
	db := openTest(t, t.TempDir())
	for _, s := range scans {
		var hosts []map[string]string
		for _, h := range s.hosts {
			hosts = append(hosts, h.columns())
		}
		addTable(t, db, s.Path(dir, dataset.HostsTable, s.ID, dataset.Parquet), dataset.HostsTable, s.ID, hosts)
		row := map[string]string{"complete": fmt.Sprint(!s.broken), "rows_kept": fmt.Sprint(s.replies()), "tool_version": "'test'"}
		for name, value := range s.values {
			row[name] = value
		}
		addTable(t, db, s.Path(dir, dataset.ScansTable, s.ID, dataset.Parquet), dataset.ScansTable, s.ID, []map[string]string{row})
	}
}

// addTable writes a file of a table with rows of one scan.
func addTable(t testing.TB, db *sql.DB, path, table, scanID string, rows []map[string]string) {
	t.Helper()
	addRows(t, db, path, table, "scan_id", scanID, rows)
}

// addRows writes a file of a table, whose rows have the same id. All have the same columns; others are NULL.
func addRows(t testing.TB, db *sql.DB, path, table, key, id string, rows []map[string]string) {
	t.Helper()
	execute(t, db, "CREATE OR REPLACE TEMP TABLE t AS SELECT * EXCLUDE (date, family, port, probe) FROM "+table)
	if len(rows) > 0 {
		names := slices.Sorted(maps.Keys(rows[0]))
		var values []string
		for _, row := range rows {
			cells := []string{dataset.Literal(id)}
			for _, name := range names {
				cells = append(cells, row[name])
			}
			values = append(values, "("+strings.Join(cells, ", ")+")")
		}
		execute(t, db, "INSERT INTO t ("+key+", "+strings.Join(names, ", ")+") VALUES "+strings.Join(values, ", "))
	}
	writeTest(t, db, "FROM t", path)
}

func writeTest(t testing.TB, db *sql.DB, query, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := dataset.WriteParquet(t.Context(), db, query, path); err != nil {
		t.Fatal(err)
	}
}

func openTest(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), dir, dataset.DuckDBOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%.300s: %v", statement, err)
	}
}

func readCensus(t testing.TB, dir string) *Census {
	t.Helper()
	c, err := Read(t.Context(), openTest(t, dir), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range c.Tables() {
		checkShape(t, table)
	}
	return c
}

// checkShape makes sure of what Table promises.
func checkShape(t testing.TB, table *Table) {
	t.Helper()
	if table.Name == "" || table.Title == "" || table.Note == "" || len(table.Columns) == 0 {
		t.Errorf("table %q: no name, title, note or columns", table.Name)
	}
	if len(table.Rows) == 0 && table.Empty == "" {
		t.Errorf("table %s: no rows, and no word why", table.Name)
	}
	for _, c := range table.Columns {
		if c.Name == "" || c.Meaning == "" {
			t.Errorf("table %s: column %q without a name or meaning", table.Name, c.Name)
		}
	}
	for _, row := range table.Rows {
		if len(row) != len(table.Columns) {
			t.Fatalf("table %s: %d cells for %d columns", table.Name, len(row), len(table.Columns))
		}
		for i, v := range row {
			switch v := v.(type) {
			case nil, string, int64:
			case float64:
				if table.Columns[i].Share && (v < 0 || v > 1) {
					t.Errorf("table %s: share %v", table.Name, v)
				}
			default:
				t.Errorf("table %s: a %T in column %s", table.Name, v, table.Columns[i].Name)
			}
		}
	}
}

// want compares the rows of a table, written as text: cells joined by a space, – for what is not known.
func want(t *testing.T, table *Table, rows ...string) {
	t.Helper()
	var got []string
	for _, row := range table.Rows {
		var cells []string
		for i, v := range row {
			cells = append(cells, table.Columns[i].Text(v))
		}
		got = append(got, strings.Join(cells, " "))
	}
	if !reflect.DeepEqual(got, rows) {
		t.Errorf("table %s (%s): got\n%s\nwant\n%s", table.Name, table.Empty, strings.Join(got, "\n"), strings.Join(rows, "\n"))
	}
}

func ptr[T any](v T) *T { return &v }

func potential(target string, key uint64) testHost {
	return testHost{target: target, verdict: "potential", reasons: []string{"key-plausible: weight 1"}, key: &key,
		excess: ptr(0.0), order: "2-30", asn: 64500, asName: "Example", country: "DE"}
}

func mirror(target string) testHost {
	return testHost{target: target, verdict: "mirrored", reasons: []string{"key-echo: distance 0"}, key: ptr(uint64(0xffff)),
		distance: ptr(0), order: "30-2", asn: 64501, asName: "Mirrors", country: "FR"}
}

func without(target string) testHost {
	return testHost{target: target, verdict: "no-mptcp", reasons: []string{"no-mp-capable"}, order: "2"}
}

// A dataset that can be counted by hand: two months of v0 and v1 on one port, and one IPv6 scan.
func byHand(t *testing.T) string {
	dir := t.TempDir()
	zero := testHost{target: "192.0.2.6", verdict: "implausible", reasons: []string{"zero-key", "low-entropy: 1 byte values"},
		key: ptr(uint64(0)), distance: ptr(16), order: "2-30", asn: 64501, asName: "Mirrors", country: "FR"}
	closed := testHost{target: "192.0.2.9", verdict: "closed", reasons: []string{"rst"}, replies: 3}
	undecided := potential("192.0.2.2", 2)
	undecided.excess = ptr(0.25)
	unjudged := potential("192.0.2.3", 3)
	unjudged.excess = nil

	old := newScan("2026-09-15", "ipv4", 80, "v0", "", potential("192.0.2.1", 1), potential("192.0.2.4", 4), mirror("192.0.2.5"))
	old.values = map[string]string{"probes_sent": "100", "kernel_drops": "7", "rows_rejected": "2", "static_key": "65535",
		"seed": "18446744073709551615", "zmap_arguments": "['zmap', '-p', '80']", "input": "'=a|b.json'"}
	v0 := newScan("2026-10-15", "ipv4", 80, "v0", "",
		potential("192.0.2.1", 11), undecided, unjudged, mirror("192.0.2.5"), mirror("192.0.2.7"), zero, without("192.0.2.8"), closed)
	v1 := newScan("2026-10-15", "ipv4", 80, "v1", "", potential("192.0.2.1", 12), potential("192.0.2.4", 4), without("192.0.2.8"))
	ipv6 := newScan("2026-10-15", "ipv6", 443, "v1", "", without("2001:db8::1"))
	addScans(t, dir, old, v0, v1, ipv6)
	return dir
}

func TestByHand(t *testing.T) {
	c := readCensus(t, byHand(t))
	if c.Scans != 4 || !reflect.DeepEqual(c.Dates, []string{"2026-09-15", "2026-10-15"}) || len(c.Notes) != 0 ||
		!reflect.DeepEqual(c.Families, []string{"ipv4", "ipv6"}) || !reflect.DeepEqual(c.Ports, []uint16{80, 443}) {
		t.Errorf("got %d scans of %v, %v, %v; %q", c.Scans, c.Dates, c.Families, c.Ports, c.Notes)
	}
	want(t, &c.Funnel,
		"2026-10-15 ipv4 80 v0 1 yes – 7 6 3 50.00 2 0 1 3 – – –",
		"2026-10-15 ipv4 80 v1 1 yes – 3 2 0 0.00 0 0 0 2 – – –",
		"2026-10-15 ipv6 443 v1 1 yes – 1 0 0 – 0 0 0 0 – – –",
		"2026-09-15 ipv4 80 v0 1 yes 100 3 3 1 33.33 1 0 0 2 – – –")
	want(t, &c.Reasons,
		"2026-10-15 ipv4 80 v0 mirrored key-echo 2 66.67",
		"2026-10-15 ipv4 80 v0 implausible low-entropy 1 33.33",
		"2026-10-15 ipv4 80 v0 implausible zero-key 1 33.33",
		"2026-09-15 ipv4 80 v0 mirrored key-echo 1 100.00")
	want(t, &c.MonthsTable,
		"2026-09 ipv4 80 v0 2026-09-15 3 3 1 2",
		"2026-10 ipv4 80 v0 2026-10-15 7 6 3 3",
		"2026-09 ipv4 80 v1 – – – – –",
		"2026-10 ipv4 80 v1 2026-10-15 3 2 0 2",
		"2026-09 ipv6 443 v1 – – – – –",
		"2026-10 ipv6 443 v1 2026-10-15 1 0 0 0")
	want(t, &c.Versions,
		"2026-10-15 ipv4 80 yes 3 2 1 2 1",
		"2026-10-15 ipv6 443 yes – 0 – – –",
		"2026-09-15 ipv4 80 yes 2 – – – –")
	// Of v0's four targets one was there on both dates. One date of v1 tells nothing.
	want(t, &c.PresenceTable,
		"ipv4 80 v0 2 4 1 25.00 0 0.00 3 75.00",
		"ipv4 80 v1 1 2 – – – – – –")
	if !reflect.DeepEqual(c.Presence, []Presence{{"ipv4", 80, "v0", 2, []int64{3, 1}}, {"ipv4", 80, "v1", 1, []int64{2}}}) {
		t.Errorf("presence %v", c.Presence)
	}
	want(t, &c.Reuse, "0000000000000004 2 1 1 2 2026-09-15 2026-10-15 potential")
	if !strings.Contains(c.Reuse.Note, " 8 times in all, 2 of these times one of the 1 that came more than once") {
		t.Error(c.Reuse.Note)
	}
	// Of the latest scans: 192.0.2.1, .2, .3 and .4 are potential, .5 and .7 mirror.
	want(t, &c.ASes, "ipv4 64500 Example 4 100.00 0 0.00", "ipv4 – (all others) 0 0.00 2 100.00")
	want(t, &c.Countries, "ipv4 DE 4 100.00 0 0.00", "ipv4 (all others) 0 0.00 2 100.00")
	want(t, &c.Fingerprints, "2-30 5 100.00 0 0.00 1 0", "30-2 0 0.00 2 100.00 0 0", "2 0 0.00 0 0.00 0 3")
	want(t, &c.Losses,
		"2026-10-15 ipv4 80 v0 20261015-ipv4-80-v0 yes – – – – – – – – – 1 1",
		"2026-10-15 ipv4 80 v1 20261015-ipv4-80-v1 yes – – – – – – – – – 0 0",
		"2026-10-15 ipv6 443 v1 20261015-ipv6-443-v1 yes – – – – – – – – – 0 0",
		"2026-09-15 ipv4 80 v0 20260915-ipv4-80-v0 yes 100 – – – 7 – – – 2 0 0")
	want(t, &Table{Name: "provenance of the first scan", Columns: c.Provenance.Columns, Rows: c.Provenance.Rows[3:]},
		"2026-09-15 ipv4 80 v0 20260915-ipv4-80-v0 yes – – test – zmap -p 80 18446744073709551615 000000000000ffff – – – =a|b.json –")
	want(t, &c.Outliers)
	want(t, &c.Treatments)
	want(t, &c.Sources)

	if k := c.Keys[0]; k.ID != "20261015-ipv4-80-v0" || k.ByVerdict["mirrored"][16] != 2 || k.ByVerdict["implausible"][0] != 1 ||
		k.Distances[0] != 2 || k.Distances[16] != 1 || k.Weights.Keys != 6 || !k.Weights.TooFew {
		t.Errorf("keys of the first scan: %v", k)
	}
}

func TestTreatmentsAndSources(t *testing.T) {
	dir := t.TempDir()
	v0 := newScan("2026-10-15", "ipv4", 80, "v0", "", potential("192.0.2.1", 1))
	v1 := newScan("2026-10-15", "ipv4", 80, "v1", "", potential("192.0.2.1", 2))
	addScans(t, dir, v0, v1)
	db := openTest(t, t.TempDir())
	for scan, treatments := range map[*testScan][]string{&v0: {"supports", "mirrors", "mirrors", "closed"}, &v1: {"supports"}} {
		var rows []map[string]string
		for i, treatment := range treatments {
			rows = append(rows, map[string]string{"campaign": "'c|1'", "target": fmt.Sprintf("'192.0.2.%d'", i), "treatment": dataset.Literal(treatment)})
		}
		addTable(t, db, scan.Path(dir, dataset.TreatmentsTable, scan.ID, dataset.Parquet), dataset.TreatmentsTable, scan.ID, rows)
	}
	writeTest(t, db, `SELECT 'asn.csv' AS name, 'asn' AS gives, 'csv' AS format, 'ipv4' AS family, '2026-06-17' AS date, 'ab' AS sha256,
		12::UBIGINT AS ranges, 1::UBIGINT AS rejected, 'CC-BY-4.0' AS licence, '<b>Somebody</b>' AS attribution`,
		filepath.Join(dir, "sources", "sources.parquet"))
	c := readCensus(t, dir)
	want(t, &c.Treatments, "c|1 2026-10-15 ipv4 80 v0 4 1 2 0 0 0 0 0 0 0 1", "c|1 2026-10-15 ipv4 80 v1 1 1 0 0 0 0 0 0 0 0 0")
	for i, name := range classify.Treatments {
		if column := c.Treatments.Columns[6+i]; column.Name != name {
			t.Errorf("column %s, want %s", column.Name, name)
		}
	}
	want(t, &c.Sources, "asn.csv asn csv ipv4 2026-06-17 12 1 CC-BY-4.0 <b>Somebody</b> ab")
}
