package query

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/array"
)

// blockRows is for how many rows at a time widths of columns are found: memory is bounded, and only a
// result with more rows can shift to the right on the way.
const blockRows = 1000

// writeTable aligns the columns of text in a Parquet file.
func writeTable(ctx context.Context, file *os.File, columns []column, w io.Writer) error {
	t := tableWriter{columns: columns, widths: make([]int, len(columns)), w: bufio.NewWriter(w)}
	header := make([]string, len(columns))
	for i, c := range columns {
		header[i] = printable(c.name)
	}
	t.append(header)
	batches, err := openParquet(ctx, file, blockRows)
	if err != nil {
		return err
	}
	defer batches.Release()
	for batches.Next() {
		batch := batches.RecordBatch()
		for row := range int(batch.NumRows()) {
			cells := make([]string, len(columns))
			for i := range cells {
				cells[i] = "NULL"
				if values := batch.Column(i).(*array.String); values.IsValid(row) {
					cells[i] = printable(values.Value(row))
				}
			}
			t.append(cells)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if err := batches.Err(); err != nil {
		return err
	}
	return t.flush()
}

type tableWriter struct {
	columns []column
	widths  []int // in runes
	rows    [][]string
	w       *bufio.Writer
}

func (t *tableWriter) append(cells []string) {
	for i, cell := range cells {
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
	}
	t.rows = append(t.rows, cells)
}

// flush writes the rows: numbers to the right, all else to the left.
func (t *tableWriter) flush() error {
	for _, cells := range t.rows {
		var line strings.Builder
		for i, cell := range cells {
			padding := strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell))
			if t.columns[i].numeric() {
				line.WriteString(padding + cell + "  ")
			} else {
				line.WriteString(cell + padding + "  ")
			}
		}
		if _, err := t.w.WriteString(strings.TrimRight(line.String(), " ") + "\n"); err != nil {
			return err
		}
	}
	t.rows = t.rows[:0]
	return t.w.Flush()
}

// printable replaces characters that a terminal would obey: names in a dataset are somebody else's.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}
