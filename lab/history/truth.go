package history

import (
	"context"
	"io"
	"math/bits"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/mpcensus/mpcensus/lab/truth"
)

// A row a family, port and target that was there in at least one month.
var schema = arrow.NewSchema([]arrow.Field{
	{Name: "family", Type: arrow.BinaryTypes.String},
	{Name: "port", Type: arrow.PrimitiveTypes.Uint16},
	{Name: "target", Type: arrow.BinaryTypes.String},
	{Name: "behaviour", Type: arrow.BinaryTypes.String},
	{Name: "first_month", Type: arrow.BinaryTypes.String}, // date of its scans
	{Name: "last_month", Type: arrow.BinaryTypes.String},
	{Name: "months", Type: arrow.PrimitiveTypes.Uint8},                 // in which it was there
	{Name: "presence", Type: arrow.BinaryTypes.String},                 // over the months of this history
	{Name: "present", Type: arrow.PrimitiveTypes.Uint64},               // bit 0 is the first month
	{Name: "upgraded", Type: arrow.BinaryTypes.String, Nullable: true}, // first month with this behaviour; true-v0 before
}, nil)

// rowGroup is fixed, so that the same history gives the same bytes.
const rowGroup = 1 << 16

// truth writes who was there when.
func (w *writer) truth(ctx context.Context, path string) error {
	return truth.Whole(path, func(out io.Writer) error { return w.encodeTruth(ctx, out) })
}

func (w *writer) encodeTruth(ctx context.Context, out io.Writer) error {
	properties := parquet.NewWriterProperties(
		parquet.WithCompression(compress.Codecs.Zstd),
		parquet.WithMaxRowGroupLength(rowGroup),
		parquet.WithDictionaryFor("target", false), // would overflow, and not always in the same order
	)
	file, err := pqarrow.NewFileWriter(schema, out, properties, pqarrow.DefaultWriterProps())
	if err != nil {
		return err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	flush := func() error {
		batch := b.NewRecordBatch()
		defer batch.Release()
		w.add(0, 0, uint64(batch.NumRows()))
		return file.Write(batch)
	}
	pending := 0
	for _, family := range w.params.Families {
		for _, port := range w.params.Ports {
			for target := range w.population.addresses(family) {
				l := w.population.life(target, port)
				if l.present == 0 {
					continue
				}
				w.appendTruth(b, lot{family, port}, target.String(), l)
				if pending++; pending%rowGroup != 0 {
					continue
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	// Parquet's writer closes no file: out is a plain writer.
	return file.Close()
}

func (w *writer) appendTruth(b *array.RecordBuilder, of lot, target string, l life) {
	text := func(column int, value string) { b.Field(column).(*array.StringBuilder).Append(value) }
	month := func(m int) string { return w.params.date(m).Format(time.DateOnly) }
	text(0, of.family)
	b.Field(1).(*array.Uint16Builder).Append(of.port)
	text(2, target)
	text(3, l.behaviour.String())
	text(4, month(bits.TrailingZeros64(l.present)))
	text(5, month(bits.Len64(l.present)-1))
	b.Field(6).(*array.Uint8Builder).Append(uint8(bits.OnesCount64(l.present)))
	text(7, string(l.presence(w.params.Months)))
	b.Field(8).(*array.Uint64Builder).Append(l.present)
	if l.upgraded == 0 {
		b.Field(9).AppendNull()
		return
	}
	text(9, month(l.upgraded))
}
