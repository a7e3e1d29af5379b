package dataset

import (
	"context"
	"database/sql"
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
