// Package query runs a SELECT over the views of a dataset, and writes its result for people and programs.
package query

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// Format is how a result is written.
type Format string

const (
	Table       Format = "table"        // aligned columns, for people
	CSV         Format = "csv"          // RFC 4180, with a header; NULL is an empty field, lists are JSON
	JSON        Format = "json"         // an object a line; integers have all their digits
	Parquet     Format = "parquet"      // compressed with zstd
	Arrow       Format = "arrow"        // an Arrow IPC file
	ArrowStream Format = "arrow-stream" // an Arrow IPC stream
)

// Protect leaves a database of [dataset.OpenDuckDB] no files but those of the dataset in dir. It cannot be
// undone.
func Protect(ctx context.Context, db *sql.DB, dir string) error {
	for _, s := range []string{
		"SET allowed_directories = [" + dataset.Literal(dir) + "]",
		"SET enable_external_access = false",
	} {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Write writes the result of one SELECT statement to w. The result is written to a file in DuckDB's
// folder for temporary data first: DuckDB for Go has results whole in memory, beyond its memory limit.
//
// When ctx ends, DuckDB may still be at work for as long as the database is open, and nothing but closing
// it is left to do.
func Write(ctx context.Context, db *sql.DB, statement string, format Format, w io.Writer) error {
	var r result
	if err := orInterrupted(ctx, func() (err error) {
		r, err = run(ctx, db, statement, format)
		return err
	}); err != nil {
		return failure(ctx, err)
	}
	defer os.Remove(r.path)
	file, err := os.Open(r.path)
	if err != nil {
		return err
	}
	defer file.Close()
	switch format {
	case Table:
		return writeTable(ctx, file, r.columns, w)
	case Arrow, ArrowStream:
		return writeArrow(ctx, file, format, w)
	}
	_, err = io.Copy(w, file)
	return err
}

// patience is how long DuckDB may take to hear of an interrupt.
const patience = 2 * time.Second

// orInterrupted does work, or leaves it to itself when ctx has ended: DuckDB does not hear of an interrupt
// while it plans a statement, and while a function is at one value.
func orInterrupted(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		return ctx.Err()
	}
}

// result is the file that a statement's result is in.
type result struct {
	path    string
	columns []column
}

func run(ctx context.Context, db *sql.DB, statement string, format Format) (r result, err error) {
	// DuckDB's function takes a single SELECT and nothing else: no COPY, ATTACH, SET or CREATE.
	from := "query(" + dataset.Literal(statement) + ")"
	if r.columns, err = columnsOf(ctx, db, from); err != nil {
		return r, err
	}
	var spill string
	if err := db.QueryRowContext(ctx, "SELECT current_setting('temp_directory')").Scan(&spill); err != nil {
		return r, err
	}
	r.path = filepath.Join(spill, "result")
	_, err = db.ExecContext(ctx, "COPY (SELECT "+expressions(r.columns, format)+" FROM "+from+") TO "+
		dataset.Literal(r.path)+" "+copyOptions[format])
	return r, err
}

// copyOptions are DuckDB's. Tables and Arrow are made from Parquet.
var copyOptions = map[Format]string{
	Table:       "(FORMAT parquet)",
	CSV:         "(FORMAT csv, HEADER)",
	JSON:        "(FORMAT json)",
	Parquet:     "(FORMAT parquet, COMPRESSION zstd)",
	Arrow:       "(FORMAT parquet)",
	ArrowStream: "(FORMAT parquet)",
}

// column is a column of a result; its type is DuckDB's.
type column struct{ name, typ string }

func columnsOf(ctx context.Context, db *sql.DB, from string) ([]column, error) {
	rows, err := db.QueryContext(ctx, "SELECT column_name, column_type FROM (DESCRIBE FROM "+from+")")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var columns []column
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.name, &c.typ); err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, rows.Err()
}

// expressions has what a format shows of each column.
func expressions(columns []column, format Format) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		name := `"` + strings.ReplaceAll(c.name, `"`, `""`) + `"`
		list[i] = c.expression(name, format) + " AS " + name
	}
	return strings.Join(list, ", ")
}

func (c column) expression(name string, format Format) string {
	text := name
	switch {
	case format != Table && format != CSV && format != JSON:
		return name
	case c.typ == "BLOB":
		text = "lower(hex(" + name + "))"
	case c.typ == "TIMESTAMP WITH TIME ZONE": // ISO 8601; the database's time zone is UTC
		text = "strftime(" + name + ", '%Y-%m-%dT%H:%M:%S.%fZ')"
	case format == JSON && (c.typ == "DOUBLE" || c.typ == "FLOAT"): // JSON has neither NaN nor infinity
		text = "if(isfinite(" + name + "), " + name + ", NULL)"
	case format != JSON && c.nested():
		text = "to_json(" + name + ")"
	}
	if format == Table {
		text = "(" + text + ")::VARCHAR"
	}
	return text
}

func (c column) nested() bool {
	for _, prefix := range []string{"STRUCT(", "MAP(", "UNION("} {
		if strings.HasPrefix(c.typ, prefix) {
			return true
		}
	}
	return strings.HasSuffix(c.typ, "]")
}

// numeric says whether a column's values are numbers, by the first word of its type.
func (c column) numeric() bool {
	word, _, _ := strings.Cut(c.typ, "(")
	return word == "DOUBLE" || word == "FLOAT" || word == "DECIMAL" || strings.HasSuffix(word, "INT") || strings.HasSuffix(word, "INTEGER")
}

// failure is DuckDB's message without what follows it: a copy of the statement, or a trace of its stack.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if duckErr := new(duckdb.Error); errors.As(err, &duckErr) {
		message, _, _ := strings.Cut(duckErr.Msg, "\n\n")
		return fmt.Errorf("query: %s", strings.TrimSpace(message))
	}
	return err
}
