package report

import (
	"encoding/csv"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// What others may write into names: of networks, files, arguments.
var hostileNames = []string{
	"a|b", "<script>alert(1)</script>", "two\nlines\r\nand a tab\t", "=cmd|' /C calc'!A1", "+1", "-1", "@SUM(A1)", "\t=1",
	"`code` *bold* _it_ ~~no~~ [link](http://example.com) ![image](//example.com)", "https://example.com www.example.com a@b.c",
	`\| backslash`, `"quoted", comma`, "&lt;b&gt;", "right\u202eleft\x00\x1b[31m", "日本 – ü", "\xff\xfe",
}

func hostileTable() *Table {
	t := &Table{Name: "t", Title: "T|<b>", Note: "N", Columns: []Column{{Name: "name", Meaning: "M"}, {Name: "n", Unit: "keys", Meaning: "M"}}}
	for i, s := range hostileNames {
		t.Rows = append(t.Rows, []any{s, int64(i)})
	}
	return t
}

func TestText(t *testing.T) {
	for _, test := range []struct {
		column Column
		value  any
		want   string
	}{
		{Column{}, nil, "–"}, {Column{}, int64(1234567), "1,234,567"}, {Column{}, int64(-1234), "-1,234"}, {Column{}, int64(0), "0"},
		{Column{}, int64(math.MinInt64), "-9,223,372,036,854,775,808"}, {Column{Number: true}, int64(64500), "64500"},
		{Column{Share: true}, 0.12345, "12.35"}, {Column{Share: true}, 1.0, "100.00"}, {Column{Chance: true}, 0.0, "< 1e-300"}, {Column{Chance: true}, 0.012345, "1.2e-02"}, {Column{}, 1.5e-20, "1.5e-20"},
		{Column{}, 0.000123456, "0.0001235"}, {Column{}, 1234.4, "1,234"}, {Column{}, 999.96, "1000"}, {Column{}, 3.0, "3"}, {Column{}, "x", "x"},
	} {
		if got := test.column.Text(test.value); got != test.want {
			t.Errorf("%v: got %q, want %q", test.value, got, test.want)
		}
	}
}

func TestCSV(t *testing.T) {
	table := &Table{Columns: []Column{{Name: "name"}, {Name: "share", Share: true}, {Name: "n", Unit: "keys"}}, Rows: [][]any{
		{"x, \"y\"", 1. / 3, int64(1234567)}, {nil, nil, int64(-1)}, {"=1+1", 1e-300, nil},
	}}
	var b strings.Builder
	if err := table.CSV(&b); err != nil {
		t.Fatal(err)
	}
	want := "name,share,n\n" + `"x, ""y""",0.3333333333333333,1234567` + "\n,,-1\n'=1+1,1e-300,\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}

	b.Reset()
	if err := hostileTable().CSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows[1:] {
		// encoding/csv reads CRLF inside quotes as LF.
		text := strings.ReplaceAll(hostileNames[i], "\r\n", "\n")
		if strings.ContainsAny(text[:1], "=+-@\t\r") {
			text = "'" + text
		}
		if row[0] != text {
			t.Errorf("got %q, want %q", row[0], text)
		}
	}
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	if err := hostileTable().Markdown(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	want := []string{`# T\|&lt;b&gt;`, "", "N", "", "| name | n (keys) |", "|---|--:|", `| a\|b | 0 |`, "| &lt;script&gt;alert(1)&lt;/script&gt; | 1 |",
		"| two lines  and a tab  | 2 |"}
	if !reflect.DeepEqual(lines[:len(want)], want) {
		t.Errorf("got %q", lines[:len(want)])
	}
	if n := len(lines); n != 6+len(hostileNames)+4 {
		t.Errorf("%d lines: a cell broke its row\n%s", n, b.String())
	}
	if strings.ContainsAny(b.String(), "\x00\x1b\u202e\t\r") {
		t.Error("an invisible character got through")
	}

	b.Reset()
	if err := (&Table{Title: "T", Note: "N", Empty: "Not enough data."}).Markdown(&b); err != nil || b.String() != "# T\n\nN\n\nNot enough data.\n" {
		t.Errorf("of no rows: %q, %v", b.String(), err)
	}
}

// Python and DuckDB read what CSV wrote.
func TestCSVReaders(t *testing.T) {
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no .venv: make .venv/ready")
		}
		t.Skip("no .venv, so the CSV is not read by others: make .venv/ready")
	}
	path := filepath.Join(t.TempDir(), "t.csv")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	table := hostileTable()
	table.Rows = table.Rows[:len(table.Rows)-1] // the last is no UTF-8
	if err := table.CSV(file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", `
import csv, sys, duckdb
with open(sys.argv[1], newline="") as f:
    rows = list(csv.reader(f))
assert rows[0] == ["name", "n"] and [int(r[1]) for r in rows[1:]] == list(range(len(rows) - 1)), rows
print(len(rows) - 1, duckdb.read_csv(sys.argv[1], header=True, quotechar='"', escapechar='"', delimiter=",").aggregate("sum(n)").fetchall()[0][0])
`, path).CombinedOutput()
	n := len(table.Rows)
	if err != nil || strings.TrimSpace(string(out)) != strings.Join([]string{Column{}.Text(int64(n)), Column{}.Text(int64(n * (n - 1) / 2))}, " ") {
		t.Errorf("got %s, %v", out, err)
	}
}
