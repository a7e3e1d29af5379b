package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestQuery(t *testing.T) {
	dir := t.TempDir()
	query := func(stdin string, arguments ...string) (string, error) {
		app := newApp()
		var out bytes.Buffer
		app.Writer, app.Reader = &out, strings.NewReader(stdin)
		err := app.RunContext(t.Context(), append([]string{"mpcensus", "query", "--dataset", dir}, arguments...))
		return out.String(), err
	}

	for _, test := range []struct {
		stdin     string
		arguments []string
		want      string
	}{
		{"", []string{"SELECT 1 AS one"}, "one\n  1\n"},
		{"SELECT 1 AS one;\n", []string{"--format", "json", "-"}, "{\"one\":1}\n"},
		{"", []string{"SELECT count(*) AS n FROM history"}, "n\n0\n"},
	} {
		if got, err := query(test.stdin, test.arguments...); err != nil || got != test.want {
			t.Errorf("%q: %q, %v", test.arguments, got, err)
		}
	}

	out := filepath.Join(dir, "out.csv")
	if got, err := query("", "--format", "csv", "--out", out, "SELECT 1 AS one"); err != nil || got != "" {
		t.Errorf("%q, %v", got, err)
	}
	if content, err := os.ReadFile(out); err != nil || string(content) != "one\n1\n" {
		t.Errorf("%s: %q, %v", out, content, err)
	}
	// A query that fails leaves the file that is there.
	if _, err := query("", "--out", out, "SELECT error('broken')"); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
	if content, _ := os.ReadFile(out); string(content) != "one\n1\n" {
		t.Errorf("%s: %q", out, content)
	}

	for want, arguments := range map[string][]string{
		"one SQL statement":       nil,
		"in quotes":               {"SELECT", "1"},
		"--format xml: it is":     {"--format", "xml", "SELECT 1"},
		"--out is missing":        {"--format", "parquet", "SELECT 1"},
		"it is a folder":          {"--out", dir, "SELECT 1"},
		"more than 1048576 bytes": {"-"},
		"no dataset":              {"--dataset", filepath.Join(dir, "absent"), "SELECT 1"},
	} {
		if _, err := query(strings.Repeat(" ", maxStatement+1), arguments...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", arguments, err, want)
		}
	}
}
