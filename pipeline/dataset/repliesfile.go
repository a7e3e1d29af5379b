package dataset

import (
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/mpcensus/mpcensus/pipeline/parquetfile"
)

// RowGroup is a batch of replies, ready to be written.
type RowGroup struct {
	rows    int
	scan    ScanKey
	parquet parquetfile.RowGroup
	batch   arrow.RecordBatch // for Arrow IPC
}

// Encoder prepares batches of replies for a format. Each goroutine needs its own; the same batch gives
// the same bytes whichever prepared it.
type Encoder struct {
	schema  *arrow.Schema
	parquet *parquetfile.Encoder // nil for Arrow IPC
}

// NewEncoder makes an encoder for a format.
func NewEncoder(format Format) (*Encoder, error) {
	schema, err := Schema(RepliesTable)
	if err != nil {
		return nil, err
	}
	e := &Encoder{schema: schema}
	if format == Parquet {
		e.parquet, err = parquetfile.NewEncoder(schema, parquetColumns(schema))
	}
	return e, err
}

// Encode prepares replies. The row group's memory is used again; for Arrow IPC it is that of the
// replies, so that they must stay until the row group is written.
func (e *Encoder) Encode(replies *Replies, into *RowGroup) error {
	batch := replies.Batch()
	into.rows, into.scan = replies.Rows(), replies.scan
	if e.parquet == nil {
		into.batch = plainBatch(e.schema, batch)
		return nil
	}
	defer batch.Release()
	return e.parquet.Encode(batch, &into.parquet)
}

// encodeBatch prepares replies that were in a Parquet file.
func (e *Encoder) encodeBatch(batch arrow.RecordBatch, into *RowGroup) error {
	into.rows = int(batch.NumRows())
	return e.parquet.Encode(batch, &into.parquet)
}

// plainBatch is a batch of Replies with text in place of its dictionaries.
func plainBatch(schema *arrow.Schema, batch arrow.RecordBatch) arrow.RecordBatch {
	columns := make([]arrow.Array, batch.NumCols())
	for i, column := range batch.Columns() {
		dictionary, ok := column.(*array.Dictionary)
		if !ok {
			columns[i] = column
			continue
		}
		values := dictionary.Dictionary().(*array.String)
		var text texts
		for row := range dictionary.Len() {
			value := ""
			if dictionary.IsValid(row) {
				value = values.Value(dictionary.GetValueIndex(row))
			}
			text.append([]byte(value), true)
		}
		valid := bitmap{bits: dictionary.NullBitmapBytes(), zeros: dictionary.NullN()}
		columns[i] = text.array(schema.Field(i).Type, dictionary.Len(), valid)
	}
	return array.NewRecordBatch(schema, columns, batch.NumRows())
}

// RepliesWriter writes replies to a file or stream.
type RepliesWriter struct {
	out  groupWriter
	file *partFile // nil for a stream
	rows uint64
}

// groupWriter is what the formats have in common.
type groupWriter interface {
	append(*RowGroup) error
	Close() error
}

type parquetWriter struct{ *parquetfile.Writer }

func (w parquetWriter) append(g *RowGroup) error { return w.Append(&g.parquet) }

type ipcWriter struct {
	write func(arrow.RecordBatch) error
	io.Closer
}

func (w ipcWriter) append(g *RowGroup) error { return w.write(g.batch) }

// CreateReplies begins a part of the stage's replies.
func (s *Stage) CreateReplies(ctx context.Context, number int, format Format) (*RepliesWriter, error) {
	schema, err := Schema(RepliesTable)
	if err != nil {
		return nil, err
	}
	file, err := s.createPart(ctx, RepliesTable, number, string(format))
	if err != nil {
		return nil, err
	}
	w := &RepliesWriter{file: file}
	// The libraries close a writer that can be closed; this file has to be committed.
	out := struct{ io.Writer }{file}
	switch format {
	case Parquet:
		var p *parquetfile.Writer
		p, err = parquetfile.NewWriter(out, schema, parquetColumns(schema))
		w.out = parquetWriter{p}
	case Arrow:
		var i *ipc.FileWriter
		if i, err = ipc.NewFileWriter(out, ipc.WithSchema(schema)); err == nil {
			w.out = ipcWriter{i.Write, i}
		}
	default:
		err = fmt.Errorf("unknown format %q: %s or %s", format, Parquet, Arrow)
	}
	if err != nil {
		return nil, discard(err, file.file)
	}
	return w, nil
}

// StreamReplies writes replies to a pipe as an Arrow IPC stream, with the partition keys, which are no
// folder names here, as the last columns.
func StreamReplies(w io.Writer) (*RepliesWriter, error) {
	replies, err := Schema(RepliesTable)
	if err != nil {
		return nil, err
	}
	partition, err := partitionSchema()
	if err != nil {
		return nil, err
	}
	metadata := replies.Metadata()
	schema := arrow.NewSchema(append(replies.Fields(), partition.Fields()...), &metadata)
	out := ipc.NewWriter(struct{ io.Writer }{w}, ipc.WithSchema(schema))
	return &RepliesWriter{out: streamWriter{out, schema, partition}}, nil
}

type streamWriter struct {
	*ipc.Writer
	schema, partition *arrow.Schema
}

func (w streamWriter) append(g *RowGroup) error {
	keys := array.NewRecordBuilder(memory.DefaultAllocator, w.partition)
	defer keys.Release()
	f := &fields{batch: keys, taken: map[string]bool{}}
	date, family, probe := fieldOf[*array.StringBuilder](f, "date"), fieldOf[*array.StringBuilder](f, "family"), fieldOf[*array.StringBuilder](f, "probe")
	port := fieldOf[*array.Uint16Builder](f, "port")
	if err := f.done(); err != nil {
		return err
	}
	for range g.rows {
		date.Append(g.scan.Date)
		family.Append(g.scan.Family)
		port.Append(g.scan.Port)
		probe.Append(g.scan.Probe)
	}
	batch := keys.NewRecordBatch()
	defer batch.Release()
	return w.Write(array.NewRecordBatch(w.schema, append(g.batch.Columns(), batch.Columns()...), int64(g.rows)))
}

// Append writes a row group. One without rows leaves no trace.
func (w *RepliesWriter) Append(g *RowGroup) error {
	if g.rows == 0 {
		return nil
	}
	w.rows += uint64(g.rows)
	return w.out.append(g)
}

// Close ends a stream.
func (w *RepliesWriter) Close() error { return w.out.Close() }

// Commit ends a file, and makes it a part of the stage.
func (w *RepliesWriter) Commit(ctx context.Context) (Part, error) {
	if err := w.out.Close(); err != nil {
		return Part{}, err
	}
	w.file.part.Rows = w.rows
	return w.file.commit(ctx)
}

// Discard drops a file that was not committed.
func (w *RepliesWriter) Discard() error {
	return w.file.file.Discard()
}
