package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
)

// Slices of batches are batches.
func TestSlices(t *testing.T) {
	all := variants()
	schema, columns := schemaOf(all)
	r := rand.New(rand.NewPCG(15, 16))
	want, in := build(t, r, all, 300, valuePatterns["few"], nullPatterns["random"])
	for _, cut := range [][2]int64{{0, 300}, {1, 300}, {7, 8}, {63, 129}, {64, 192}, {299, 300}, {13, 280}} {
		batch := batchOf(in)
		slice := batch.NewSlice(cut[0], cut[1])
		_, got := read(t, write(t, schema, columns, slice))
		for i := range all {
			if err := same(array.NewSlice(want[i], cut[0], cut[1]), got[0].Column(i)); err != nil {
				t.Errorf("rows %d, column %q: %v", cut, all[i].field.Name, err)
			}
		}
	}
}

// What is under a NULL does not matter, though it have bytes.
func TestBytesUnderNULL(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 28))
	values, validity := make([]byte, 4096), make([]byte, 512)
	for i := range values {
		values[i], validity[i%len(validity)] = byte(r.Uint32()), byte(r.Uint32())
	}
	for _, v := range variants() {
		in := arrayOf(v.field, values, validity, 3)
		schema := arrow.NewSchema([]arrow.Field{v.field}, nil)
		if v.index == nil {
			_, got := read(t, write(t, schema, []Column{v.Column}, batchOf([]arrow.Array{in})))
			if err := same(in, got[0].Column(0)); err != nil {
				t.Errorf("%s, %s: %v", v.field, v.Encoding, err)
			}
		}
	}
}

// A whole row group: more different values than a dictionary is for, and exactly that many.
func TestFallback(t *testing.T) {
	text := arrow.Field{Name: "text", Type: arrow.BinaryTypes.String}
	for _, c := range []struct {
		field            arrow.Field
		index            arrow.DataType
		n, different     int
		wantedDictionary bool
	}{
		{text, nil, 131072, 65535, true},
		{text, nil, 131072, 65536, false},
		{text, nil, 200000, 65536, false},
		{text, nil, 1000, 500, true},
		{text, nil, 1000, 501, false},
		{text, nil, 1, 1, false},
		{text, arrow.PrimitiveTypes.Uint16, 131072, 65534, true}, // its two unused entries need places too
		{text, arrow.PrimitiveTypes.Uint16, 1000, 501, false},
		{text, arrow.PrimitiveTypes.Uint8, 200, 100, true},
		{text, arrow.PrimitiveTypes.Uint8, 200, 101, false},
		{arrow.Field{Name: "number", Type: arrow.PrimitiveTypes.Uint16}, nil, 131072, 65535, true},
		{arrow.Field{Name: "number", Type: arrow.PrimitiveTypes.Uint16}, nil, 131072, 65536, false},
		{arrow.Field{Name: "number", Type: arrow.PrimitiveTypes.Uint8}, nil, 512, 256, true},
		{arrow.Field{Name: "number", Type: arrow.PrimitiveTypes.Uint8}, nil, 511, 256, false},
	} {
		t.Run(fmt.Sprint(c.field.Name, c.index, c.different), func(t *testing.T) {
			b := array.NewBuilder(allocator, c.field.Type)
			for i := range c.n {
				if s, ok := b.(*array.StringBuilder); ok {
					s.Append(fmt.Sprint(i % c.different))
				} else {
					appendValue(t, b, uint64(i%c.different))
				}
			}
			want := b.NewArray()
			in := want
			if c.index != nil {
				in = asDictionary(t, want, c.index)
			}
			schema := arrow.NewSchema([]arrow.Field{c.field}, nil)
			f, got := read(t, write(t, schema, []Column{{Dictionary, Uncompressed}}, batchOf([]arrow.Array{in})))
			if err := same(want, got[0].Column(0)); err != nil {
				t.Error(err)
			}
			chunk, err := f.MetaData().RowGroup(0).ColumnChunk(0)
			if err != nil {
				t.Fatal(err)
			}
			if chunk.HasDictionaryPage() != c.wantedDictionary {
				t.Errorf("dictionary: %t", chunk.HasDictionaryPage())
			}
			if got := chunk.Encodings()[0]; (got == parquet.Encodings.RLEDict) != c.wantedDictionary {
				t.Errorf("encoding %s", got)
			}
			if c.wantedDictionary && chunk.DictionaryPageOffset() >= chunk.DataPageOffset() {
				t.Errorf("dictionary at %d, data at %d", chunk.DictionaryPageOffset(), chunk.DataPageOffset())
			}
		})
	}
}

// Text as it is and as a dictionary gives the same bytes, as does the same batch by another encoder
// and into another row group.
func TestSameBytes(t *testing.T) {
	all := variants()
	schema, columns := schemaOf(all)
	for values, pattern := range valuePatterns {
		r := rand.New(rand.NewPCG(17, 18))
		plain, in := build(t, r, all, 3000, pattern, nullPatterns["random"])
		first := write(t, schema, columns, batchOf(in))
		if !bytes.Equal(first, write(t, schema, columns, batchOf(plain))) {
			t.Errorf("%s: other bytes for dictionaries", values)
		}
		twice := write(t, schema, columns, batchOf(in), batchOf(in))
		group := first[4:bytes.LastIndex(first, []byte("ARROW:schema"))]
		if !bytes.HasPrefix(twice[4:], group[:len(group)/2]) {
			t.Errorf("%s: other bytes by another encoder", values)
		}
	}
	other, _ := build(t, rand.New(rand.NewPCG(1, 1)), all, 5000, valuePatterns["random"], nullPatterns["rare"])
	again, _ := build(t, rand.New(rand.NewPCG(2, 2)), all, 700, valuePatterns["few"], nullPatterns["rare"])
	encoder, err := NewEncoder(schema, columns)
	if err != nil {
		t.Fatal(err)
	}
	var used, fresh RowGroup
	for _, batch := range [][]arrow.Array{other, again} {
		if err := encoder.Encode(batchOf(batch), &used); err != nil {
			t.Fatal(err)
		}
	}
	if encoder, err = NewEncoder(schema, columns); err != nil {
		t.Fatal(err)
	}
	if err := encoder.Encode(batchOf(again), &fresh); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(used.data, fresh.data) {
		t.Error("what was encoded before shows in the bytes")
	}
}

// Long values, and what the statistics have of them.
func TestLongValues(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	field := arrow.Field{Name: "long", Type: arrow.BinaryTypes.Binary, Nullable: true}
	schema := arrow.NewSchema([]arrow.Field{field}, nil)
	for _, encoding := range []Encoding{Plain, Dictionary, DeltaLength} {
		for _, values := range [][]string{{long, "", long + "y", ""}, {long, long, long, long}, {strings.Repeat("a", 64), "b"}, {strings.Repeat("a", 65), "b"}} {
			b := array.NewBinaryBuilder(allocator, arrow.BinaryTypes.Binary)
			for _, v := range values {
				b.AppendString(v)
			}
			b.AppendNull()
			want := b.NewArray()
			f, got := read(t, write(t, schema, []Column{{encoding, Zstd}}, batchOf([]arrow.Array{want})))
			if err := same(want, got[0].Column(0)); err != nil {
				t.Errorf("%s: %v", encoding, err)
			}
			chunk, err := f.MetaData().RowGroup(0).ColumnChunk(0)
			if err != nil {
				t.Fatal(err)
			}
			if got := chunk.Encodings()[0]; (got == parquet.Encodings.DeltaLengthByteArray) != (encoding == DeltaLength) {
				t.Errorf("%s: encoding %s", encoding, got)
			}
			statistics, err := chunk.Statistics()
			if err != nil {
				t.Fatal(err)
			}
			if statistics.HasMinMax() != (len(values[0]) <= 64) {
				t.Errorf("%s, %d bytes: statistics: %t", encoding, len(values[0]), statistics.HasMinMax())
			}
			if statistics.NullCount() != 1 {
				t.Errorf("%d NULLs", statistics.NullCount())
			}
		}
	}
}

// Each row group keeps its own statistics, though the memory of the row group is used again.
func TestStatistics(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "number", Type: arrow.PrimitiveTypes.Uint64}}, nil)
	var batches []arrow.RecordBatch
	for _, value := range []uint64{1, 1 << 63} {
		in := buildColumn(t, nil, schema.Field(0).Type, 10, func(_ *rand.Rand, i int) uint64 { return value + uint64(i) }, nullPatterns["none"])
		batches = append(batches, batchOf([]arrow.Array{in}))
	}
	f, _ := read(t, write(t, schema, []Column{{Plain, Uncompressed}}, batches...))
	for i, least := range []uint64{1, 1 << 63} {
		chunk, err := f.MetaData().RowGroup(i).ColumnChunk(0)
		if err != nil {
			t.Fatal(err)
		}
		statistics, err := chunk.Statistics()
		if err != nil {
			t.Fatal(err)
		}
		low, high := binary.LittleEndian.Uint64(statistics.EncodeMin()), binary.LittleEndian.Uint64(statistics.EncodeMax())
		if low != least || high != least+9 {
			t.Errorf("row group %d: %d to %d", i, low, high)
		}
	}
}

// What does not shrink is not compressed.
func TestIncompressible(t *testing.T) {
	field := arrow.Field{Name: "random", Type: arrow.PrimitiveTypes.Uint64}
	schema := arrow.NewSchema([]arrow.Field{field}, nil)
	for _, c := range []struct {
		values string
		codec  string
	}{{"random", "UNCOMPRESSED"}, {"few", "ZSTD"}} {
		for _, by := range []Compression{Huffman, Zstd} {
			in := buildColumn(t, rand.New(rand.NewPCG(19, 20)), field.Type, 5000, valuePatterns[c.values], nullPatterns["none"])
			f, _ := read(t, write(t, schema, []Column{{Plain, by}}, batchOf([]arrow.Array{in})))
			chunk, err := f.MetaData().RowGroup(0).ColumnChunk(0)
			if err != nil {
				t.Fatal(err)
			}
			if got := chunk.Compression().String(); got != c.codec {
				t.Errorf("%s values: codec %s", c.values, got)
			}
			const header = 15 // at least
			if chunk.TotalUncompressedSize() < 40000+header || chunk.TotalUncompressedSize() > 40100 {
				t.Errorf("%s values: %d bytes uncompressed", c.values, chunk.TotalUncompressedSize())
			}
		}
	}
}

// Every error says which column it is about.
func TestErrors(t *testing.T) {
	number := arrow.Field{Name: "number", Type: arrow.PrimitiveTypes.Uint32}
	maybe := arrow.Field{Name: "maybe", Type: number.Type, Nullable: true}
	text := arrow.Field{Name: "text", Type: arrow.BinaryTypes.String}
	for _, c := range []struct {
		field  arrow.Field
		column Column
		want   string
	}{
		{number, Column{Dictionary, Zstd}, `column "number": no dictionary encoding for type uint32`},
		{number, Column{DeltaLength, Zstd}, `column "number": no delta of lengths encoding for type uint32`},
		{text, Column{Delta, Zstd}, `column "text": no delta encoding for type utf8`},
		{arrow.Field{Name: "list", Type: arrow.ListOf(text.Type)}, Column{}, `column "list": type list<item: utf8, nullable> cannot be written`},
		{arrow.Field{Name: "time", Type: arrow.FixedWidthTypes.Timestamp_ns}, Column{}, `column "time": type timestamp[ns, tz=UTC] cannot be written`},
	} {
		schema := arrow.NewSchema([]arrow.Field{c.field}, nil)
		if _, err := NewEncoder(schema, []Column{c.column}); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
		if _, err := NewWriter(&bytes.Buffer{}, schema, []Column{c.column}); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}

	r := rand.New(rand.NewPCG(21, 22))
	column := func(typ arrow.DataType, nulls string) arrow.Array {
		return buildColumn(t, r, typ, 100, valuePatterns["few"], nullPatterns[nulls])
	}
	indices := buildColumn(t, r, arrow.PrimitiveTypes.Uint8, 100, valuePatterns["few"], nullPatterns["none"])
	short := array.NewDictionaryArray(&arrow.DictionaryType{IndexType: indices.DataType(), ValueType: text.Type},
		indices, buildColumn(t, r, text.Type, 2, valuePatterns["few"], nullPatterns["none"]))
	null := array.NewDictionaryArray(&arrow.DictionaryType{IndexType: indices.DataType(), ValueType: text.Type},
		indices, buildColumn(t, r, text.Type, 5, valuePatterns["few"], nullPatterns["all"]))
	for _, c := range []struct {
		field  arrow.Field
		column Column
		in     arrow.Array
		want   string
	}{
		{number, Column{}, column(number.Type, "random"), "NULLs, which the schema does not allow"},
		{number, Column{}, column(arrow.PrimitiveTypes.Uint64, "none"), "values of type uint64 for uint32"},
		{text, Column{}, asDictionary(t, column(text.Type, "none"), arrow.PrimitiveTypes.Uint8), "in plain encoding"},
		{text, Column{Encoding: Dictionary}, asDictionary(t, column(text.Type, "none"), arrow.PrimitiveTypes.Uint32), "indices=uint32"},
		{maybe, Column{}, column(arrow.PrimitiveTypes.Uint64, "all"), "values of type uint64 for uint32"},
		{arrow.Field{Name: "small", Type: arrow.PrimitiveTypes.Uint8}, Column{Encoding: Dictionary},
			asDictionary(t, column(arrow.PrimitiveTypes.Uint8, "none"), arrow.PrimitiveTypes.Uint8), "for uint8"},
		{text, Column{Encoding: Dictionary}, asDictionary(t, column(arrow.BinaryTypes.Binary, "none"), arrow.PrimitiveTypes.Uint8), "for utf8"},
		{text, Column{Encoding: Dictionary}, short, "a dictionary without an entry"},
		{text, Column{Encoding: Dictionary}, null, "a dictionary without an entry"},
	} {
		schema := arrow.NewSchema([]arrow.Field{c.field}, nil)
		e, err := NewEncoder(schema, []Column{c.column})
		if err != nil {
			t.Fatal(err)
		}
		err = e.Encode(batchOf([]arrow.Array{c.in}), &RowGroup{})
		if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("column %q: ", c.field.Name)) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// failing takes so many writes.
type failing struct{ writes int }

var errFull = errors.New("disk full")

func (f *failing) Write(p []byte) (int, error) {
	if f.writes--; f.writes < 0 {
		return len(p) / 2, errFull
	}
	return len(p), nil
}

// The sink's error comes back, wherever it happens.
func TestSinkFails(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "number", Type: arrow.PrimitiveTypes.Uint32}}, nil)
	columns := []Column{{Plain, Zstd}}
	e, err := NewEncoder(schema, columns)
	if err != nil {
		t.Fatal(err)
	}
	var group RowGroup
	in := buildColumn(t, rand.New(rand.NewPCG(23, 24)), schema.Field(0).Type, 100, valuePatterns["few"], nullPatterns["none"])
	if err := e.Encode(batchOf([]arrow.Array{in}), &group); err != nil {
		t.Fatal(err)
	}
	for writes := range 4 {
		w, err := NewWriter(&failing{writes}, schema, columns)
		if err == nil {
			err = w.Append(&group)
		}
		if err == nil {
			err = w.Close()
		}
		if (writes < 3) != errors.Is(err, errFull) {
			t.Errorf("after %d writes: %v", writes, err)
		}
	}
}

// The format counts row groups in 16 bits.
func TestTooManyRowGroups(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "number", Type: arrow.PrimitiveTypes.Uint8}}, nil)
	columns := []Column{{Plain, Uncompressed}}
	e, err := NewEncoder(schema, columns)
	if err != nil {
		t.Fatal(err)
	}
	var group, empty RowGroup
	in := buildColumn(t, nil, schema.Field(0).Type, 1, valuePatterns["constant"], nullPatterns["none"])
	for _, into := range []*RowGroup{&group, &empty} {
		if err := e.Encode(batchOf([]arrow.Array{in}), into); err != nil {
			t.Fatal(err)
		}
		in = array.NewSlice(in, 0, 0)
	}
	var out bytes.Buffer
	w, err := NewWriter(&out, schema, columns)
	if err != nil {
		t.Fatal(err)
	}
	for i := range math.MaxInt16 + 1 {
		for _, g := range []*RowGroup{&group, &empty} {
			if err := w.Append(g); err != nil {
				t.Fatalf("row group %d: %v", i, err)
			}
		}
	}
	if err := w.Append(&group); err == nil {
		t.Error("one row group too many was taken")
	}
	if w.Rows() != math.MaxInt16+1 {
		t.Errorf("%d rows", w.Rows())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if f, _ := read(t, out.Bytes()); f.NumRowGroups() != math.MaxInt16+1 {
		t.Errorf("%d row groups", f.NumRowGroups())
	}
}

// The file says what wrote it, and has what Arrow's schema has.
func TestFooter(t *testing.T) {
	of := arrow.NewMetadata([]string{"meaning"}, []string{"a number"})
	file := arrow.NewMetadata([]string{"table"}, []string{"numbers"})
	schema := arrow.NewSchema([]arrow.Field{{Name: "number", Type: arrow.PrimitiveTypes.Uint8, Metadata: of}}, &file)
	in := buildColumn(t, nil, schema.Field(0).Type, 1, valuePatterns["constant"], nullPatterns["none"])
	f, got := read(t, write(t, schema, []Column{{Plain, Uncompressed}}, batchOf([]arrow.Array{in})))
	if createdBy := f.MetaData().GetCreatedBy(); createdBy != "mpcensus version 1.0.0" {
		t.Errorf("created by %q", createdBy)
	}
	if v, _ := got[0].Schema().Field(0).Metadata.GetValue("meaning"); v != "a number" {
		t.Errorf("metadata of the field: %v", got[0].Schema().Field(0).Metadata)
	}
	if v := f.MetaData().KeyValueMetadata().FindValue("table"); v == nil || *v != "numbers" {
		t.Errorf("metadata of the file: %v", f.MetaData().KeyValueMetadata().Keys())
	}
	if f.MetaData().Schema.Column(0).LogicalType().String() != "Int(bitWidth=8, isSigned=false)" {
		t.Errorf("type %s", f.MetaData().Schema.Column(0).LogicalType())
	}
}
