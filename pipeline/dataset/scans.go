package dataset

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/mpcensus/mpcensus/pipeline/store"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Scan is the row of `scans` on one scan: where it came from and what was counted. Zero times,
// empty strings and nil are NULL.
type Scan struct {
	ScanKey
	Started       time.Time
	Finished      time.Time
	Complete      bool
	ToolVersion   string
	ZMapVersion   string
	ZMapArguments []string
	Seed          sql.Null[uint64]
	StaticKey     sql.Null[uint64]
	Input         string
	InputXXH3     string
	Campaign      string
	TargetsSHA256 string
	Targets       sql.Null[uint64]
	Counts        zmap.Counts
	RowsRead      uint64
	RowsKept      uint64
	RowsRejected  uint64
	Files         []File // filled in by Commit
}

// File is what `scans` says of one of a scan's files.
type File struct {
	Path   string // in the dataset, with slashes
	Rows   uint64 // lines, for a file of rejected ones
	Bytes  uint64
	SHA256 string // hex
}

// fileOf is what `scans` says of a part.
func (k ScanKey) fileOf(p Part) File { return File{k.partFile(p), p.Rows, p.Bytes, p.SHA256} }

// Rejects says whether it is one of rejected lines.
func (f File) Rejects() bool { return strings.HasPrefix(f.Path, rejectsFolder+"/") }

// encodeScan makes the file with a scan's row.
func encodeScan(s Scan, format Format) ([]byte, error) {
	schema, err := Schema(ScansTable)
	if err != nil {
		return nil, err
	}
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	if err := appendScan(builder, s); err != nil {
		return nil, err
	}
	batch := builder.NewRecordBatch()
	defer batch.Release()
	return encodeRow(batch, format)
}

// encodeRow makes the file of a row of `scans`.
func encodeRow(batch arrow.RecordBatch, format Format) ([]byte, error) {
	var b bytes.Buffer
	out, err := smallWriter(&b, batch.Schema(), format)
	if err != nil {
		return nil, err
	}
	if err := out.Write(batch); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// batchWriter is what Parquet and Arrow IPC have in common.
type batchWriter interface {
	Write(arrow.RecordBatch) error
	Close() error
}

// smallWriter writes tables of a few rows.
func smallWriter(w io.Writer, schema *arrow.Schema, format Format) (batchWriter, error) {
	switch format {
	case Parquet:
		properties := parquet.NewWriterProperties(
			parquet.WithRootRepetition(parquet.Repetitions.Required),
			parquet.WithDictionaryDefault(false),
			parquet.WithCompression(compress.Codecs.Zstd))
		return pqarrow.NewFileWriter(schema, w, properties, pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	case Arrow:
		return ipc.NewFileWriter(w, ipc.WithSchema(schema))
	default:
		return nil, fmt.Errorf("unknown format %q: %s or %s", format, Parquet, Arrow)
	}
}

// appendScan adds the row of one scan.
func appendScan(batch *array.RecordBuilder, s Scan) error {
	c := &fields{batch: batch, taken: map[string]bool{}}
	appendNullable(fieldOf[*array.TimestampBuilder](c, "started"), timestamp(s.Started))
	appendNullable(fieldOf[*array.TimestampBuilder](c, "finished"), timestamp(s.Finished))
	fieldOf[*array.BooleanBuilder](c, "complete").Append(s.Complete)
	for name, value := range map[string]string{
		"scan_id": s.ID, "tool_version": s.ToolVersion, "zmap_version": s.ZMapVersion, "input": s.Input,
		"input_xxh3": s.InputXXH3, "campaign": s.Campaign, "targets_sha256": s.TargetsSHA256,
	} {
		appendNullable(fieldOf[*array.StringBuilder](c, name), sql.Null[string]{V: value, Valid: value != ""})
	}
	count := func(n uint64) sql.Null[uint64] { return sql.Null[uint64]{V: n, Valid: true} }
	n := &s.Counts
	for name, value := range map[string]sql.Null[uint64]{
		"seed": s.Seed, "static_key": s.StaticKey, "targets": s.Targets,
		"probes_sent": n.ProbesSent, "send_failures": n.SendFailures, "received": n.Received, "invalid": n.Invalid,
		"kernel_drops": n.KernelDrops, "interface_drops": n.InterfaceDrops, "backlog_drops": n.BacklogDrops,
		"duplicates": n.Duplicates, "answered_in_cooldown": n.AnsweredInCooldown,
		"rows_read": count(s.RowsRead), "rows_kept": count(s.RowsKept), "rows_rejected": count(s.RowsRejected),
	} {
		appendNullable(fieldOf[*array.Uint64Builder](c, name), value)
	}

	arguments := fieldOf[*array.ListBuilder](c, "zmap_arguments")
	arguments.Append(s.ZMapArguments != nil)
	for _, a := range s.ZMapArguments {
		arguments.ValueBuilder().(*array.StringBuilder).Append(a)
	}
	appendFiles(fieldOf[*array.ListBuilder](c, "files"), s.Files)
	return c.done()
}

// appendFiles adds a value of the column `files`.
func appendFiles(list *array.ListBuilder, files []File) {
	list.Append(true)
	for _, f := range files {
		file := list.ValueBuilder().(*array.StructBuilder)
		file.Append(true)
		file.FieldBuilder(0).(*array.StringBuilder).Append(f.Path)
		file.FieldBuilder(1).(*array.Uint64Builder).Append(f.Rows)
		file.FieldBuilder(2).(*array.Uint64Builder).Append(f.Bytes)
		file.FieldBuilder(3).(*array.StringBuilder).Append(f.SHA256)
	}
}

func timestamp(t time.Time) sql.Null[arrow.Timestamp] {
	return sql.Null[arrow.Timestamp]{V: arrow.Timestamp(t.UnixMicro()), Valid: !t.IsZero()}
}

func appendNullable[T any](b interface {
	Append(T)
	AppendNull()
}, v sql.Null[T]) {
	if v.Valid {
		b.Append(v.V)
	} else {
		b.AppendNull()
	}
}

// fields hands out the builders of a table's columns by name.
type fields struct {
	batch *array.RecordBuilder
	taken map[string]bool
}

// fieldOf returns the builder of a column, which must be a B.
func fieldOf[B array.Builder](f *fields, name string) B {
	indices := f.batch.Schema().FieldIndices(name)
	if len(indices) == 1 && !f.taken[name] {
		if b, ok := f.batch.Field(indices[0]).(B); ok {
			f.taken[name] = true
			return b
		}
	}
	panic(fmt.Sprintf("schemas/tables.yaml: column %q is missing, filled twice or of another type", name))
}

// done says whether every column has been filled.
func (f *fields) done() error {
	if n := f.batch.Schema().NumFields(); len(f.taken) != n {
		return fmt.Errorf("schemas/tables.yaml: %d columns, of which the program fills %d", n, len(f.taken))
	}
	return nil
}

// storedScan is what a file of `scans` says of a scan that is in the dataset.
type storedScan struct {
	name         string // of the file
	digest       string // SHA-256 of the file
	id           string
	inputXXH3    string
	complete     bool
	rowsRead     uint64
	rowsKept     uint64
	rowsRejected uint64
	files        []File
}

// givesWayTo says whether a scan may take the stored one's place: it came from the same input, or the
// stored one broke off and is no longer than this.
func (stored storedScan) givesWayTo(s Scan) bool {
	return stored.inputXXH3 == s.InputXXH3 || !stored.complete && stored.rowsRead <= s.RowsRead
}

// maxScanFile bounds the file with a scan's row: some thousand parts, and the longest command line.
const maxScanFile = 16 << 20

// readScan reads a file of `scans`. The error wraps fs.ErrNotExist if there is none.
func readScan(ctx context.Context, s store.Store, name string) (storedScan, error) {
	batch, digest, err := readScanRow(ctx, s, name)
	if err != nil {
		return storedScan{}, err
	}
	defer batch.Release()
	scan, err := scanOf(batch)
	if err != nil {
		return storedScan{}, fmt.Errorf("%s: %w", name, err)
	}
	scan.name, scan.digest = name, digest
	return scan, nil
}

// readScanRow returns the batch of a file of `scans`, which the caller releases, and the file's SHA-256.
func readScanRow(ctx context.Context, s store.Store, name string) (arrow.RecordBatch, string, error) {
	content, err := store.ReadFile(ctx, s, name, maxScanFile)
	if err != nil {
		return nil, "", err
	}
	batch, err := readFirstBatch(ctx, content, Format(strings.TrimPrefix(path.Ext(name), ".")))
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	return batch, digestOf(content), nil
}

// scanOf reads the row of a scan.
func scanOf(batch arrow.RecordBatch) (storedScan, error) {
	column := func(name string) arrow.Array {
		if i := batch.Schema().FieldIndices(name); len(i) == 1 && batch.NumRows() == 1 {
			return batch.Column(i[0])
		}
		return nil
	}
	id, ok0 := column("scan_id").(*array.String)
	digest, ok1 := column("input_xxh3").(*array.String)
	complete, ok2 := column("complete").(*array.Boolean)
	read, ok3 := column("rows_read").(*array.Uint64)
	kept, ok4 := column("rows_kept").(*array.Uint64)
	rejected, ok5 := column("rows_rejected").(*array.Uint64)
	list, ok6 := column("files").(*array.List)
	if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 {
		return storedScan{}, errors.New("not a file of the table scans, as this version writes it")
	}
	files, err := readFiles(list, 0)
	return storedScan{
		id: id.Value(0), inputXXH3: digest.Value(0), complete: complete.Value(0),
		rowsRead: read.Value(0), rowsKept: kept.Value(0), rowsRejected: rejected.Value(0), files: files,
	}, err
}

// readFiles reads the value of the column `files` in a row.
func readFiles(list *array.List, row int) ([]File, error) {
	entries, ok := list.ListValues().(*array.Struct)
	if !ok || entries.NumField() != 4 {
		return nil, errors.New("column files is not a list of path, rows, bytes and sha256")
	}
	paths, ok1 := entries.Field(0).(*array.String)
	rows, ok2 := entries.Field(1).(*array.Uint64)
	sizes, ok3 := entries.Field(2).(*array.Uint64)
	sums, ok4 := entries.Field(3).(*array.String)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, errors.New("column files is not a list of path, rows, bytes and sha256")
	}
	var files []File
	start, end := list.ValueOffsets(row)
	for i := int(start); i < int(end); i++ {
		files = append(files, File{paths.Value(i), rows.Value(i), sizes.Value(i), sums.Value(i)})
	}
	return files, nil
}

// readFirstBatch returns a file's first batch, which the caller releases.
func readFirstBatch(ctx context.Context, content []byte, format Format) (arrow.RecordBatch, error) {
	if format == Arrow {
		in, err := ipc.NewFileReader(bytes.NewReader(content))
		if err != nil {
			return nil, err
		}
		defer in.Close()
		return in.RecordBatchAt(0)
	}
	in, err := file.NewParquetReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	columns, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	batches, err := columns.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	defer batches.Release()
	batch, err := batches.Read()
	if err != nil {
		return nil, err
	}
	schema, err := columns.Schema() // the batch's own is without metadata
	if err != nil {
		return nil, err
	}
	return array.NewRecordBatch(schema, batch.Columns(), batch.NumRows()), nil
}

// findScan returns what the dataset has of a scan, whatever its date and format.
func (d *Dataset) findScan(ctx context.Context, key ScanKey) ([]storedScan, error) {
	var found []storedScan
	for info, err := range d.store.List(ctx, ScansTable) {
		if err != nil {
			return nil, err
		}
		file := path.Base(info.Name)
		if strings.TrimSuffix(file, path.Ext(file)) != key.ID {
			continue
		}
		scan, err := readScan(ctx, d.store, info.Name)
		if err != nil {
			return nil, err
		}
		found = append(found, scan)
	}
	return found, nil
}
