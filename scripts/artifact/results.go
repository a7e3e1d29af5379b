package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// results has of each table its text, and of each figure its digest, by file name: "tables/funnel.csv".
type results map[string]string

// digests is the file that has the figures' SHA-256, as sha256sum prints and checks it.
const digests = "figures.sha256"

// versionColumn tells which mpcensus made a scan.
const versionColumn = "tool_version"

// readReport reads what a report says.
func readReport(dir string) (results, error) {
	r := make(results)
	for _, pattern := range []string{"tables/*.csv", "figures/*.svg"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			name := filepath.Join(filepath.Dir(pattern), filepath.Base(path))
			if strings.HasSuffix(name, ".svg") {
				digest := sha256.Sum256(content)
				r[name] = hex.EncodeToString(digest[:])
			} else if r[name], err = withoutVersion(content); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return r, nil
}

// withoutVersion is a table without the column that a new version of mpcensus changes.
func withoutVersion(table []byte) (string, error) {
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil || len(rows) == 0 {
		return string(table), err
	}
	column := slices.Index(rows[0], versionColumn)
	if column < 0 {
		return string(table), nil
	}
	for i, row := range rows {
		rows[i] = slices.Delete(row, column, column+1)
	}
	var out bytes.Buffer
	err = csv.NewWriter(&out).WriteAll(rows)
	return out.String(), err
}

// save makes r the expectation.
func (r results) save(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "tables"), 0o755); err != nil {
		return err
	}
	var figures strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if strings.HasSuffix(name, ".svg") {
			fmt.Fprintf(&figures, "%s  %s\n", r[name], name)
		} else if err := os.WriteFile(filepath.Join(dir, name), []byte(r[name]), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, digests), []byte(figures.String()), 0o644)
}

// load reads an expectation.
func load(dir string) (results, error) {
	figures, err := os.ReadFile(filepath.Join(dir, digests))
	if err != nil {
		return nil, err
	}
	r := make(results)
	for line := range strings.Lines(string(figures)) {
		digest, name, found := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !found {
			return nil, fmt.Errorf("%s: %q is no line of sha256sum", filepath.Join(dir, digests), line)
		}
		r[name] = digest
	}
	tables, err := filepath.Glob(filepath.Join(dir, "tables", "*.csv"))
	if err != nil {
		return nil, err
	}
	for _, path := range tables {
		table, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		r["tables/"+filepath.Base(path)] = string(table)
	}
	return r, nil
}
