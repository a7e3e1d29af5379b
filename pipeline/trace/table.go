package trace

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// batchRows is how many rows of a table are encoded at once.
const batchRows = 16 << 10

// table writes a file of a table with few rows, or rows that are costly anyway.
type table struct {
	file    *os.File
	builder *array.RecordBuilder
	writer  *pqarrow.FileWriter
	rows    uint64
}

func createTable(path, name string) (*table, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	schema := schemaOf(name)
	// A dictionary must hold all values of a row group: when it does not, arrow-go's bytes differ from run to run.
	properties := parquet.NewWriterProperties(
		parquet.WithRootRepetition(parquet.Repetitions.Required),
		parquet.WithCompression(compress.Codecs.Zstd),
		parquet.WithDictionaryPageSizeLimit(1<<30))
	writer, err := pqarrow.NewFileWriter(schema, struct{ io.Writer }{file}, properties, pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &table{file: file, builder: array.NewRecordBuilder(memory.DefaultAllocator, schema), writer: writer}, nil
}

// append adds a row: a value for each column, nil for NULL.
func (t *table) append(row map[string]any) error {
	schema := t.builder.Schema()
	if len(row) != schema.NumFields() {
		return fmt.Errorf("schemas/tables.yaml: %d columns, of which the program fills %d", schema.NumFields(), len(row))
	}
	for i, field := range schema.Fields() {
		v, ok := row[field.Name]
		if !ok || v == nil && !field.Nullable {
			return fmt.Errorf("schemas/tables.yaml: column %s has no value", field.Name)
		}
		if err := appendValue(t.builder.Field(i), v); err != nil {
			return fmt.Errorf("schemas/tables.yaml: column %s: %w", field.Name, err)
		}
	}
	if t.rows++; t.rows%batchRows == 0 {
		return t.flush()
	}
	return nil
}

func appendValue(to array.Builder, v any) error {
	switch b := to.(type) {
	case *array.StringBuilder:
		return appendTyped(b, v)
	case *array.BooleanBuilder:
		return appendTyped(b, v)
	case *array.Uint8Builder:
		return appendTyped(b, v)
	case *array.Uint64Builder:
		return appendTyped(b, v)
	case *array.TimestampBuilder:
		return appendTyped(b, v)
	case *array.ListBuilder:
		return appendList(b, v)
	}
	return fmt.Errorf("type %s", to.Type())
}

func appendTyped[T any](b interface {
	Append(T)
	AppendNull()
}, v any) error {
	if v == nil {
		b.AppendNull()
		return nil
	}
	typed, ok := v.(T)
	if !ok {
		return fmt.Errorf("a value of type %T", v)
	}
	b.Append(typed)
	return nil
}

func appendList(b *array.ListBuilder, v any) error {
	b.Append(v != nil)
	switch v := v.(type) {
	case nil:
	case []string:
		for _, s := range v {
			b.ValueBuilder().(*array.StringBuilder).Append(s)
		}
	case []dataset.File:
		for _, f := range v {
			file := b.ValueBuilder().(*array.StructBuilder)
			file.Append(true)
			file.FieldBuilder(0).(*array.StringBuilder).Append(f.Path)
			file.FieldBuilder(1).(*array.Uint64Builder).Append(f.Rows)
			file.FieldBuilder(2).(*array.Uint64Builder).Append(f.Bytes)
			file.FieldBuilder(3).(*array.StringBuilder).Append(f.SHA256)
		}
	default:
		return fmt.Errorf("a value of type %T", v)
	}
	return nil
}

func (t *table) flush() error {
	batch := t.builder.NewRecordBatch()
	defer batch.Release()
	return t.writer.Write(batch)
}

// close ends the file.
func (t *table) close() error {
	var err error
	if t.rows%batchRows != 0 {
		err = t.flush()
	}
	return errors.Join(err, t.writer.Close(), t.file.Close())
}

// orNull is nil for a zero value.
func orNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

func addressOrNull(a netip.Addr) any {
	if !a.IsValid() {
		return nil
	}
	return a.String()
}

func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return arrow.Timestamp(t.UnixMicro())
}
