package main

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/lab/rows"
)

// copyTo writes the rows of a query as Parquet.
func copyTo(t *testing.T, name, query string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("COPY (" + query + ") TO " + literal(path) + " (FORMAT parquet)"); err != nil {
		t.Fatal(err)
	}
	return path
}

const someRows = "SELECT TIMESTAMP '2026-11-23 08:15:00' AS time, n, n % 3 AS m FROM (VALUES (1), (2), (NULL), (4)) AS v(n)"

func TestEqual(t *testing.T) {
	some := copyTo(t, "some.parquet", someRows)
	for name, query := range map[string]string{
		"":             someRows + " ORDER BY n DESC",
		"rows differ":  "SELECT * REPLACE (CASE WHEN n = 4 THEN 5 ELSE n END AS n) FROM (" + someRows + ")",
		"1 rows":       someRows + " LIMIT 3",
		"2 rows":       someRows + " UNION ALL SELECT * FROM (" + someRows + ") WHERE n < 3",
		"columns":      "SELECT time, m, n FROM (" + someRows + ")",
		"such as Duck": someRows + " UNION ALL " + someRows + " LIMIT 5",
	} {
		other := copyTo(t, "other.parquet", query)
		err := peer([]string{equalSQL, some, other})
		if name == "" && err != nil || name != "" && (err == nil || !strings.Contains(err.Error(), name)) {
			t.Errorf("%s: error %v", name, err)
		}
		if err := peer([]string{equalSQL, other, some}); (err == nil) != (name == "") {
			t.Errorf("%s, the other way round: error %v", name, err)
		}
	}
}

// What the statements read, on rows with every kind of option list, is for bench-ingest itself to compare with
// ours. Here: they run, and lose no row.
func TestStatements(t *testing.T) {
	const n = 20_000
	var text bytes.Buffer
	if err := rows.Write(t.Context(), &text, rows.Params{Rows: n, Probe: rows.V0, Family: rows.IPv4, Port: 443, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	input := filepath.Join(t.TempDir(), "rows.json")
	if err := os.WriteFile(input, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, statement := range map[string]string{"same": sameSQL, "short": shortSQL} {
		out := filepath.Join(t.TempDir(), "out.parquet")
		if err := peer([]string{statement, input, out}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		db, err := sql.Open("duckdb", "")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var count, keys int
		if err := db.QueryRow("SELECT count(*), count(sender_key) FROM "+literal(out)).Scan(&count, &keys); err != nil {
			t.Fatal(err)
		}
		if count != n || keys != strings.Count(text.String(), `"mptcp_key"`) {
			t.Errorf("%s: %d rows, %d keys", name, count, keys)
		}
	}
}
