package query

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// openProtected opens a dataset with one host.
func openProtected(t *testing.T) (*sql.DB, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "census")
	open := func() *sql.DB {
		db, err := dataset.OpenDuckDB(t.Context(), dir, dataset.DuckDBOptions{TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	path := dataset.Partition{Date: "2026-11-23", Family: dataset.IPv4, Port: 443, Probe: "v0"}.Path(dir, dataset.HostsTable, "a", dataset.Parquet)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	err := dataset.WriteParquet(t.Context(), open(), "SELECT 'a' AS scan_id, '192.0.2.1' AS target, 'potential' AS verdict", path)
	if err != nil {
		t.Fatal(err)
	}
	db := open()
	if err := Protect(t.Context(), db, dir); err != nil {
		t.Fatal(err)
	}
	return db, dir
}

func write(t *testing.T, db *sql.DB, statement string, format Format) string {
	t.Helper()
	var out bytes.Buffer
	if err := Write(t.Context(), db, statement, format, &out); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return out.String()
}

const typed = `
	SELECT 18446744073709551615::UBIGINT AS "key", -1 AS small, 1.5::DOUBLE AS "share %", 0.25::DECIMAL(4, 2) AS d,
		TIMESTAMPTZ '2026-11-23 08:15:00.000172+01' AS "time", '\x1E\x0C'::BLOB AS bytes,
		['b, "c"', 'd'] AS reasons, {'path': 'p', 'rows': 2} AS file, 'a' AS text, true AS ok
	UNION ALL
	SELECT NULL, 22, 'NaN'::DOUBLE, NULL, NULL, NULL, [], NULL, '', NULL -- a comment
	;`

func TestText(t *testing.T) {
	db, _ := openProtected(t)
	for format, want := range map[Format]string{
		Table: `                 key  small  share %     d  time                         bytes  reasons           file                   text  ok
18446744073709551615     -1      1.5  0.25  2026-11-23T07:15:00.000172Z  1e0c   ["b, \"c\"","d"]  {"path":"p","rows":2}  a     true
                NULL     22      nan  NULL  NULL                         NULL   []                NULL                         NULL
`,
		CSV: `key,small,share %,d,time,bytes,reasons,file,text,ok
18446744073709551615,-1,1.5,0.25,2026-11-23T07:15:00.000172Z,1e0c,"[""b, \""c\"""",""d""]","{""path"":""p"",""rows"":2}",a,true
,22,nan,,,,[],,"",
`,
		JSON: `{"key":18446744073709551615,"small":-1,"share %":1.5,"d":0.25,"time":"2026-11-23T07:15:00.000172Z","bytes":"1e0c","reasons":["b, \"c\"","d"],"file":{"path":"p","rows":2},"text":"a","ok":true}
{"key":null,"small":22,"share %":null,"d":null,"time":null,"bytes":null,"reasons":[],"file":null,"text":"","ok":null}
`,
	} {
		if got := write(t, db, typed, format); got != want {
			t.Errorf("%s:\n got %q\nwant %q", format, got, want)
		}
	}
}

// pyarrow and polars find the values that were asked for.
func TestBinary(t *testing.T) {
	db, _ := openProtected(t)
	dir := t.TempDir()
	for _, format := range []Format{Parquet, Arrow, ArrowStream} {
		if err := os.WriteFile(filepath.Join(dir, string(format)), []byte(write(t, db, typed, format)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), python, "-c", `
import math
from datetime import datetime, timezone
from decimal import Decimal
import polars, pyarrow.ipc, pyarrow.parquet

def same(rows):
    assert math.isnan(rows[1].pop("share %")), rows
    assert rows == [
        {"key": 2**64 - 1, "small": -1, "share %": 1.5, "d": Decimal("0.25"),
         "time": datetime(2026, 11, 23, 7, 15, 0, 172, timezone.utc), "bytes": b"\x1e\x0c",
         "reasons": ['b, "c"', "d"], "file": {"path": "p", "rows": 2}, "text": "a", "ok": True},
        {"key": None, "small": 22, "d": None, "time": None, "bytes": None, "reasons": [], "file": None, "text": "", "ok": None},
    ], rows

same(pyarrow.parquet.read_table("parquet").to_pylist())
same(pyarrow.ipc.open_file("arrow").read_all().to_pylist())
same(pyarrow.ipc.open_stream("arrow-stream").read_all().to_pylist())
same(polars.read_parquet("parquet").to_dicts())
same(polars.read_ipc("arrow").to_dicts())
same(polars.read_ipc_stream("arrow-stream").to_dicts())
`)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestStatements(t *testing.T) {
	db, dir := openProtected(t)
	for statement, want := range map[string]string{
		"SELECT target, date, port FROM hosts":                 "192.0.2.1,2026-11-23,443\n",
		"FROM hosts SELECT verdict":                            "potential\n",
		"WITH h AS (SELECT target FROM hosts) SELECT * FROM h": "192.0.2.1\n",
		"SELECT 1 AS a, 2 AS a":                                "1,2\n",
		`SELECT 1 AS "a""b"`:                                   "1\n",
		"SELECT column_name FROM (DESCRIBE hosts) LIMIT 1":     "scan_id\n",
		"SHOW TABLES": "grabs\nhistory\nhops\nhosts\nnetworks\npaths\nreplies\nscans\nsources\ntraces\ntreatments\nverifications\n",
		"SELECT count(*) FROM " + dataset.Literal(dir+"/hosts/**/*.parquet"): "1\n",
	} {
		if _, got, _ := strings.Cut(write(t, db, statement, CSV), "\n"); got != want {
			t.Errorf("%s: got %q, want %q", statement, got, want)
		}
	}
}

// A table is put together in blocks; no row is lost between them, and their order is the statement's.
func TestOrder(t *testing.T) {
	db, _ := openProtected(t)
	const rows = 100_000
	statement := fmt.Sprintf("SELECT i FROM range(%d) t(i) ORDER BY i DESC", rows)
	for _, format := range []Format{Table, CSV} {
		lines := strings.Fields(write(t, db, statement, format))[1:]
		if len(lines) != rows {
			t.Fatalf("%s: %d rows", format, len(lines))
		}
		for i, line := range lines {
			if line != fmt.Sprint(rows-1-i) {
				t.Fatalf("%s: row %d is %s", format, i, line)
			}
		}
	}
}

// Names in a dataset come from the network: they must not steer the terminal.
func TestControlCharacters(t *testing.T) {
	db, _ := openProtected(t)
	got := write(t, db, "SELECT 'a' || chr(27) || '[31m' || chr(10) || 'b' || chr(155) AS x", Table)
	if want := "x\na\ufffd[31m\ufffdb\ufffd\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// contents of the files below a folder.
func contents(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		list = append(list, path, string(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// SQL from elsewhere changes nothing and reads nothing but the dataset.
func TestProtected(t *testing.T) {
	db, dir := openProtected(t)
	before := contents(t, dir)
	outside := filepath.Join(t.TempDir(), "outside.csv")
	if err := os.WriteFile(outside, []byte("secret\n1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	inside := dataset.Literal(dir + "/new.parquet")
	for _, statement := range []string{
		"",
		"SELECT 1; SELECT 2",
		"COPY hosts TO " + inside,
		"SELECT 1) TO " + inside + " --",
		"SELECT 1); COPY hosts TO " + inside + "; SELECT (1",
		"EXPLAIN ANALYZE COPY hosts TO " + inside,
		"WITH a AS (COPY hosts TO " + inside + ") FROM a",
		"PREPARE p AS COPY hosts TO " + inside,
		"EXPORT DATABASE " + inside,
		"ATTACH " + dataset.Literal(dir+"/new.db"),
		"CREATE TABLE t AS FROM hosts",
		"SET enable_external_access = true",
		"PRAGMA enable_profiling",
		"INSTALL httpfs",
		"LOAD httpfs",
		"CALL enable_logging(storage = 'file', storage_path = " + inside + ")",
		"FROM read_csv(" + dataset.Literal(outside) + ")",
		"FROM " + dataset.Literal(outside),
		"SELECT content FROM read_text(" + dataset.Literal(dir+"/../"+filepath.Base(filepath.Dir(outside))+"/outside.csv") + ")",
		"FROM glob('/*')",
		"FROM read_csv('https://192.0.2.1/a.csv')",
	} {
		var out bytes.Buffer
		err := Write(t.Context(), db, statement, CSV, &out)
		if err == nil || out.Len() > 0 {
			t.Errorf("%s: error %v, output %q", statement, err, &out)
		}
	}
	if after := contents(t, dir); !slices.Equal(before, after) {
		t.Errorf("the dataset has changed: %q", after)
	}
}

func TestErrors(t *testing.T) {
	db, _ := openProtected(t)
	for statement, want := range map[string]string{
		"SELEC 1":                 `query: Parser Error: syntax error at or near "SELEC"`,
		"SELECT targt FROM hosts": "query: Binder Error: Referenced column \"targt\" not found in FROM clause!\nCandidate bindings: \"target\", ",
	} {
		if err := Write(t.Context(), db, statement, Table, &bytes.Buffer{}); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "\n") > 1 {
			t.Errorf("%s:\n got %v\nwant %s", statement, err, want)
		}
	}
}

func TestInterrupted(t *testing.T) {
	for name, statement := range map[string]string{
		"rows": "SELECT count(*) FROM range(100_000_000) a, range(100_000_000) b WHERE hash(a.range, b.range) = 1",
		// A function at one value, for half a minute, looks for no interrupt.
		"value": "SELECT levenshtein(repeat('a', 150_000), repeat('b', 150_000))",
	} {
		t.Run(name, func(t *testing.T) {
			db, _ := openProtected(t)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := Write(ctx, db, statement, Table, &bytes.Buffer{})
			if err != context.DeadlineExceeded { // and not a word of DuckDB
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
