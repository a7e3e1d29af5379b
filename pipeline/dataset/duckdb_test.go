package dataset

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func openTest(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := OpenDuckDB(t.Context(), dir, DuckDBOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// column0 is the first column of a query.
func column0(t *testing.T, db *sql.DB, query string) (got []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestViewsOfEmptyDataset(t *testing.T) {
	db := openTest(t, filepath.Join(t.TempDir(), "absent"))
	for _, table := range []string{"replies", "hosts", "treatments", "scans", "networks", "sources"} {
		if got := column0(t, db, "SELECT count(*)::VARCHAR FROM "+table); got[0] != "0" {
			t.Errorf("%s: %s rows", table, got[0])
		}
	}
	got := column0(t, db, "SELECT column_name || ' ' || column_type FROM (DESCRIBE hosts)")
	want := []string{
		"scan_id VARCHAR", "target VARCHAR", "verdict VARCHAR", "reasons VARCHAR[]", "sender_key UBIGINT",
		"key_weight UTINYINT", "key_distance UTINYINT", "canary VARCHAR", "replies UINTEGER",
		"excess_probability DOUBLE", "option_order VARCHAR", "asn UINTEGER", "as_name VARCHAR", "country VARCHAR",
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

func TestBrokenFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "scans", "date=2026-01-01", "family=ipv4", "port=443", "probe=v1", "f.parquet")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("PAR1 cut short"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := OpenDuckDB(t.Context(), dir, DuckDBOptions{})
	if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestSettings(t *testing.T) {
	temp := t.TempDir()
	db, err := OpenDuckDB(context.Background(), t.TempDir(), DuckDBOptions{MemoryLimit: "64MiB", Threads: 1, TempDir: temp})
	if err != nil {
		t.Fatal(err)
	}
	got := column0(t, db, `SELECT value FROM duckdb_settings() WHERE name IN ('autoinstall_known_extensions',
		'autoload_known_extensions', 'memory_limit', 'threads') ORDER BY name`)
	if want := []string{"false", "false", "64.0 MiB", "1"}; !slices.Equal(got, want) {
		t.Errorf("settings: got %q, want %q", got, want)
	}
	_, err = db.Exec("SELECT * FROM 'https://192.0.2.1/x.parquet'")
	if err == nil || !strings.Contains(err.Error(), "httpfs") {
		t.Errorf("reading from the network: got %v", err)
	}

	// More than fits: spilled below TempDir, and gone with the database.
	exec(t, db, "CREATE TEMP TABLE t AS SELECT hash(i) AS a, hash(i + 1) AS b, hash(i + 2) AS c FROM range(5_000_000) r(i)")
	if files, _ := filepath.Glob(filepath.Join(temp, "*", "*")); len(files) == 0 {
		t.Error("nothing was spilled to TempDir")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if files, _ := filepath.Glob(filepath.Join(temp, "*")); len(files) != 0 {
		t.Errorf("left behind: %q", files)
	}
}
