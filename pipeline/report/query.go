package report

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strings"

	"github.com/duckdb/duckdb-go/v2"
)

// queries are what the report asks of the dataset, one file a question.
//
//go:embed sql
var queries embed.FS

// reader reads a census.
type reader struct {
	ctx    context.Context
	db     *sql.DB
	dir    string  // of the dataset
	scans  []*scan // newest first
	census Census
}

// query runs sql/NAME.sql and calls each for every row, whose columns are then in dest.
func (r *reader) query(name string, arguments []any, each func() error, dest ...any) error {
	return r.rows(name, arguments, func(rows *sql.Rows) error {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		return each()
	})
}

// execute runs the statements of sql/NAME.sql, which make views.
func (r *reader) execute(name string) error {
	text, err := queries.ReadFile("sql/" + name + ".sql")
	if err != nil {
		return err
	}
	_, err = r.db.ExecContext(r.ctx, string(text))
	return queryError(name, err)
}

// records runs sql/NAME.sql and returns its rows with their columns by name, as a Table takes them.
func (r *reader) records(name string) (records []map[string]any, err error) {
	err = r.rows(name, nil, func(rows *sql.Rows) error {
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		values, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		record := make(map[string]any, len(columns))
		for i, name := range columns {
			record[name] = tableValue(values[i])
		}
		records = append(records, record)
		return nil
	})
	return records, err
}

func (r *reader) rows(name string, arguments []any, each func(*sql.Rows) error) error {
	text, err := queries.ReadFile("sql/" + name + ".sql")
	if err != nil {
		return err
	}
	rows, err := r.db.QueryContext(r.ctx, string(text), arguments...)
	if err != nil {
		return queryError(name, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return queryError(name, err)
		}
	}
	return queryError(name, rows.Err())
}

// queryError makes one line of DuckDB's message, which the statement follows.
func queryError(name string, err error) error {
	if err == nil {
		return nil
	}
	message := err.Error()
	if duckErr := new(duckdb.Error); errors.As(err, &duckErr) {
		message, _, _ = strings.Cut(message, "\n")
	}
	return fmt.Errorf("report of %s: %s", name, message)
}

// tableValue is a value of DuckDB as one of a [Table].
func tableValue(v any) any {
	switch v := v.(type) {
	case nil, string, int64, float64:
		return v
	case uint16:
		return int64(v)
	case uint32:
		return int64(v)
	case uint64:
		if int64(v) >= 0 {
			return int64(v)
		}
	case bool:
		return yesNo(v)
	}
	return fmt.Sprint(v)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// pick is a row of a table: the columns of a record by their names.
func pick(record map[string]any, columns []Column) []any {
	row := make([]any, len(columns))
	for i, c := range columns {
		row[i] = record[c.Name]
	}
	return row
}

// share is part of whole, or nil of nothing.
func share(part, whole int64) any {
	if whole == 0 {
		return nil
	}
	return float64(part) / float64(whole)
}
