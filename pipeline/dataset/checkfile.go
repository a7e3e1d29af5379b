package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

// checkFile says what is wrong with a file that a scan lists.
func checkFile(ctx context.Context, in store.Reader, f File, key ScanKey) error {
	lines, err := checkBytes(ctx, in, f)
	if err != nil {
		return err
	}
	rows := lines
	switch Format(strings.TrimPrefix(path.Ext(f.Path), ".")) {
	case Parquet:
		rows, err = checkParquet(in, key, strings.Contains(f.Path, sortedMark+"-"))
	case Arrow:
		rows, err = checkArrow(in, key)
	}
	if err == nil {
		err = checkRows(rows, f)
	}
	return err
}

func checkRows(rows uint64, f File) error {
	if rows != f.Rows {
		return fmt.Errorf("has %d rows, and should have %d", rows, f.Rows)
	}
	return nil
}

// checkBytes compares a file's size and digest with what is listed. It returns the number of lines.
func checkBytes(ctx context.Context, in store.Reader, f File) (lines uint64, err error) {
	if uint64(in.Size()) != f.Bytes {
		return 0, fmt.Errorf("has %d bytes, and should have %d", in.Size(), f.Bytes)
	}
	lines, digest, err := readThrough(ctx, in)
	if err == nil && digest != f.SHA256 {
		err = fmt.Errorf("is damaged: its SHA-256 is %s, and should be %s", digest, f.SHA256)
	}
	return lines, err
}

// readThrough counts the lines of a file and takes its SHA-256.
func readThrough(ctx context.Context, in io.Reader) (lines uint64, digest string, err error) {
	sum := sha256.New()
	buffer := make([]byte, 256<<10)
	for {
		n, err := in.Read(buffer)
		lines += uint64(bytes.Count(buffer[:n], []byte{'\n'}))
		sum.Write(buffer[:n])
		if err == io.EOF {
			return lines, hex.EncodeToString(sum.Sum(nil)), nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return 0, "", err
		}
	}
}

// guard makes an error of a panic: arrow-go answers some damaged files with one.
func guard(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("cannot be read: %v", r)
	}
}

// checkParquet returns the number of rows in a file of `replies`, from its footer. The pages have been
// checked by their digest; here it is whether what was written was right.
func checkParquet(in store.Reader, key ScanKey, sorted bool) (rows uint64, err error) {
	defer guard(&err)
	// The reader closes a file that can be closed.
	p, err := file.NewParquetReader(readSeeker(in))
	if err != nil {
		return 0, fmt.Errorf("cannot be read: %w", err)
	}
	defer p.Close()
	columns, err := pqarrow.NewFileReader(p, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return 0, fmt.Errorf("cannot be read: %w", err)
	}
	schema, err := columns.Schema()
	if err != nil {
		return 0, fmt.Errorf("cannot be read: %w", err)
	}
	if err := checkSchema(RepliesTable, schema); err != nil {
		return 0, err
	}
	last := ""
	for i := range p.NumRowGroups() {
		group := p.MetaData().RowGroup(i)
		least, greatest, err := textRange(group, schema, "scan_id")
		if err != nil {
			return 0, fmt.Errorf("row group %d: %w", i, err)
		}
		if least != key.ID || greatest != key.ID {
			return 0, fmt.Errorf("row group %d is of scan %s", i, least)
		}
		if sorted {
			if least, greatest, err = textRange(group, schema, "saddr"); err != nil {
				return 0, fmt.Errorf("row group %d: %w", i, err)
			}
			if least < last {
				return 0, fmt.Errorf("row group %d is not sorted by saddr: %s comes after %s", i, least, last)
			}
			last = greatest
		}
	}
	return uint64(p.NumRows()), nil
}

func readSeeker(in store.Reader) *io.SectionReader { return io.NewSectionReader(in, 0, in.Size()) }

// textRange returns the least and the greatest value of a text column that is never NULL.
func textRange(group *metadata.RowGroupMetaData, schema *arrow.Schema, column string) (least, greatest string, err error) {
	chunk, err := group.ColumnChunk(schema.FieldIndices(column)[0])
	if err != nil {
		return "", "", err
	}
	statistics, err := chunk.Statistics()
	if err != nil {
		return "", "", err
	}
	text, ok := statistics.(*metadata.ByteArrayStatistics)
	if !ok || !text.HasMinMax() {
		return "", "", fmt.Errorf("no statistics of %s", column)
	}
	return string(text.Min()), string(text.Max()), nil
}

// checkArrow returns the number of rows in an Arrow IPC file of `replies`.
func checkArrow(in store.Reader, key ScanKey) (rows uint64, err error) {
	defer guard(&err)
	r, err := ipc.NewFileReader(readSeeker(in))
	if err != nil {
		return 0, fmt.Errorf("cannot be read: %w", err)
	}
	defer r.Close()
	if err := checkSchema(RepliesTable, r.Schema()); err != nil {
		return 0, err
	}
	for i := range r.NumRecords() {
		batch, err := r.RecordBatchAt(i)
		if err != nil {
			return 0, fmt.Errorf("batch %d cannot be read: %w", i, err)
		}
		rows += uint64(batch.NumRows())
		err = scanOwner(key).check(batch)
		batch.Release()
		if err != nil {
			return 0, fmt.Errorf("batch %d: %w", i, err)
		}
	}
	return rows, nil
}

// owner is what all rows of a file have in one column.
type owner struct{ column, id string }

// checkDerived returns the number of rows in a file that DuckDB wrote, all of which it reads. of is what its
// rows belong to, if they belong to one thing.
func checkDerived(ctx context.Context, in store.Reader, table string, of *owner) (rows uint64, err error) {
	defer guard(&err)
	p, err := file.NewParquetReader(readSeeker(in))
	if err != nil {
		return 0, fmt.Errorf("cannot be read: %w", err)
	}
	defer p.Close()
	columns, err := pqarrow.NewFileReader(p, pqarrow.ArrowReadProperties{BatchSize: rowGroupRows}, memory.DefaultAllocator)
	if err != nil {
		return 0, fmt.Errorf("cannot be read: %w", err)
	}
	batches, err := columns.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return 0, fmt.Errorf("cannot be read: %w", err)
	}
	defer batches.Release()
	if err := checkSchema(table, batches.Schema()); err != nil {
		return 0, err
	}
	for batches.Next() {
		rows += uint64(batches.RecordBatch().NumRows())
		if of == nil {
			continue
		}
		if err := of.check(batches.RecordBatch()); err != nil {
			return 0, err
		}
	}
	if err := batches.Err(); err != nil && err != io.EOF {
		return 0, fmt.Errorf("cannot be read: %w", err)
	}
	if rows != uint64(p.NumRows()) {
		return 0, fmt.Errorf("has %d rows, and its footer says %d", rows, p.NumRows())
	}
	return rows, nil
}

func scanOwner(key ScanKey) *owner { return &owner{"scan_id", key.ID} }

func (o *owner) check(batch arrow.RecordBatch) error {
	ids, ok := batch.Column(batch.Schema().FieldIndices(o.column)[0]).(*array.String)
	if !ok {
		return errors.New(o.column + " is not text")
	}
	for i := range ids.Len() {
		if ids.Value(i) != o.id {
			return fmt.Errorf("row %d is of %s %s", i, strings.TrimSuffix(o.column, "_id"), ids.Value(i))
		}
	}
	return nil
}

// checkSchema compares a file's columns with those that the table had in the file's version. A file that
// DuckDB wrote says nothing of versions, nor of what can be NULL: it has to have the columns of some version.
func checkSchema(table string, got *arrow.Schema) error {
	c, err := readContract()
	if err != nil {
		return err
	}
	version := c.Version
	ours := table == RepliesTable || table == ScansTable
	if ours {
		text, _ := got.Metadata().GetValue(versionKey)
		if version, err = strconv.Atoi(text); err != nil || version < 1 || version > c.Version {
			return fmt.Errorf("has version %q of the tables, and this program knows 1 to %d", text, c.Version)
		}
	}
	columns := c.Tables[table].columnsOf(version)
	for !ours && len(columns) > got.NumFields() {
		earlier := c.Tables[table].columnsOf(version - 1)
		if earlier == nil {
			break
		}
		columns, version = earlier, version-1
	}
	want, err := fieldsOf(table, columns)
	if err != nil {
		return err
	}
	if got.NumFields() != len(want) {
		return fmt.Errorf("has %d columns, and version %d of the table %s has %d", got.NumFields(), version, table, len(want))
	}
	for i, field := range got.Fields() {
		if field.Name != want[i].Name || !arrow.TypeEqual(field.Type, want[i].Type) || ours && field.Nullable != want[i].Nullable {
			return fmt.Errorf("column %d is %s, and should be %s", i, describeField(field), describeField(want[i]))
		}
	}
	return nil
}

// columnsOf are the columns that the table had in a version.
func (t table) columnsOf(version int) (columns []column) {
	for _, column := range t.Columns {
		if column.Since <= version {
			columns = append(columns, column)
		}
	}
	return columns
}

func describeField(f arrow.Field) string {
	text := f.Name + " " + f.Type.String()
	if f.Nullable {
		text += " or NULL"
	}
	return text
}
