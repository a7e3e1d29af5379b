package parquetfile

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// benchColumns are like those of `replies`, in number and kind.
var benchColumns = []struct {
	name   string
	typ    arrow.DataType
	column Column
	// value draws a value as text, "" for NULL; a column of index is an Arrow dictionary.
	value func(r *rand.Rand, i int) string
	index bool
}{
	{"scan_id", arrow.BinaryTypes.String, Column{Encoding: Dictionary}, constant("20261123T081500.123456Z-ipv4-443-v0"), true},
	{"time", arrow.PrimitiveTypes.Uint64, Column{Encoding: Delta}, func(r *rand.Rand, i int) string { return fmt.Sprint(1795421700123456 + 100*i + r.IntN(100)) }, false},
	{"saddr", arrow.BinaryTypes.String, Column{DeltaLength, Huffman}, address, false},
	{"daddr", arrow.BinaryTypes.String, Column{Encoding: Dictionary}, constant("192.0.2.1"), true},
	{"dport", arrow.PrimitiveTypes.Uint16, Column{Encoding: Delta}, below(28232), false},
	{"ttl", arrow.PrimitiveTypes.Uint8, Column{Dictionary, Huffman}, below(40), false},
	{"ipid", arrow.PrimitiveTypes.Uint16, Column{Plain, Huffman}, mostly("0", below(65536)), false},
	{"seqnum", arrow.PrimitiveTypes.Uint32, Column{}, below(1 << 32), false},
	{"acknum", arrow.PrimitiveTypes.Uint32, Column{}, below(1 << 32), false},
	{"window", arrow.PrimitiveTypes.Uint16, Column{Dictionary, Zstd}, below(20), false},
	{"classification", arrow.BinaryTypes.String, Column{Dictionary, Huffman}, mostly("synack", constant("rst")), true},
	{"success", arrow.FixedWidthTypes.Boolean, Column{Plain, Huffman}, mostly("true", constant("false")), false},
	{"tcp_options", arrow.BinaryTypes.String, Column{DeltaLength, Zstd}, options, false},
	{"mss", arrow.PrimitiveTypes.Uint16, Column{Dictionary, Huffman}, mostly("1460", below(1460)), false},
	{"sack_permitted", arrow.FixedWidthTypes.Boolean, Column{Plain, Huffman}, mostly("true", mostly("false", constant(""))), false},
	{"ts_value", arrow.PrimitiveTypes.Uint32, Column{}, mostly("", below(1<<32)), false},
	{"option_order", arrow.BinaryTypes.String, Column{Dictionary, Zstd}, func(r *rand.Rand, _ int) string { return fmt.Sprint("2-4-8-1-3-", r.IntN(25)) }, true},
	{"mptcp_version", arrow.PrimitiveTypes.Uint8, Column{Dictionary, Huffman}, rarely(below(2)), false},
	{"mptcp_flags", arrow.PrimitiveTypes.Uint8, Column{Dictionary, Huffman}, rarely(below(2)), false},
	{"sender_key", arrow.PrimitiveTypes.Uint64, Column{Plain, Huffman}, rarely(below(1 << 62)), false},
	{"sent_key", arrow.PrimitiveTypes.Uint64, Column{}, below(1 << 62), false},
	{"key_weight", arrow.PrimitiveTypes.Uint8, Column{Dictionary, Huffman}, rarely(below(64)), false},
	{"canary", arrow.BinaryTypes.String, Column{Dictionary, Huffman}, constant(""), true},
	{"responder", arrow.BinaryTypes.String, Column{DeltaLength, Zstd}, rarely(address), false},
	{"quote", arrow.BinaryTypes.String, Column{DeltaLength, Zstd}, rarely(options), false},
}

type draw = func(r *rand.Rand, i int) string

func constant(s string) draw { return func(*rand.Rand, int) string { return s } }

func below(n uint64) draw {
	return func(r *rand.Rand, _ int) string { return fmt.Sprint(r.Uint64N(n)) }
}

func either(percent int, a, b draw) draw {
	return func(r *rand.Rand, i int) string {
		if r.IntN(100) < percent {
			return a(r, i)
		}
		return b(r, i)
	}
}

func mostly(s string, other draw) draw { return either(60, constant(s), other) }
func rarely(other draw) draw           { return either(97, constant(""), other) }

func address(r *rand.Rand, _ int) string {
	return netip.AddrFrom4([4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}).String()
}

func options(r *rand.Rand, _ int) string {
	return "\x02\x04\x05\xb4\x04\x02\x08\x0a" + string(appendPlain(nil, []uint32{r.Uint32(), 1})) + "\x01\x03\x03\x07"
}

// benchBatch returns a row group's rows: as an ingest has them, and without dictionaries.
func benchBatch(b *testing.B) (schema *arrow.Schema, columns []Column, in, plain arrow.RecordBatch) {
	r := rand.New(rand.NewPCG(25, 26))
	var fields []arrow.Field
	var with, without []arrow.Array
	for _, c := range benchColumns {
		builder := array.NewBuilder(allocator, c.typ)
		for i := range 65536 {
			v := c.value(r, i)
			if v == "" {
				builder.AppendNull()
			} else if err := builder.AppendValueFromString(v); err != nil {
				b.Fatal(err)
			}
		}
		values := builder.NewArray()
		without = append(without, values)
		if c.index {
			values = asDictionary(b, values, arrow.PrimitiveTypes.Uint16)
		}
		with = append(with, values)
		columns = append(columns, c.column)
		fields = append(fields, arrow.Field{Name: c.name, Type: c.typ, Nullable: true})
	}
	schema = arrow.NewSchema(fields, nil)
	return schema, columns, batchOf(with), array.NewRecordBatch(schema, without, 65536)
}

// Time and size of a row, beside those of arrow-go's own writer on one core each.
func BenchmarkEncode(b *testing.B) {
	schema, columns, in, plain := benchBatch(b)
	perRow := func(b *testing.B, bytes int) {
		rows := float64(b.N) * float64(in.NumRows())
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/rows, "ns/row")
		b.ReportMetric(float64(bytes)/rows, "B/row")
	}
	b.Run("parquetfile", func(b *testing.B) {
		e, err := NewEncoder(schema, columns)
		if err != nil {
			b.Fatal(err)
		}
		var group RowGroup
		size := 0
		for b.Loop() {
			if err := e.Encode(in, &group); err != nil {
				b.Fatal(err)
			}
			size += group.Size()
		}
		perRow(b, size)
	})
	b.Run("pqarrow", func(b *testing.B) {
		w, err := pqarrow.NewFileWriter(schema, struct{ io.Writer }{io.Discard},
			parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCompressionLevel(1)),
			pqarrow.DefaultWriterProps())
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := w.Write(plain); err != nil {
				b.Fatal(err)
			}
		}
		perRow(b, int(w.TotalCompressedBytes()))
	})
}
