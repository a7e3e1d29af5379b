package parquetfile

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

var allocator = memory.DefaultAllocator

// A nullPattern says whether value i is there.
type nullPattern func(r *rand.Rand, i int) bool

var nullPatterns = map[string]nullPattern{
	"none":   func(*rand.Rand, int) bool { return true },
	"all":    func(*rand.Rand, int) bool { return false },
	"random": func(r *rand.Rand, _ int) bool { return r.IntN(3) > 0 },
	"rare":   func(r *rand.Rand, _ int) bool { return r.IntN(200) > 0 },
	"runs":   func(_ *rand.Rand, i int) bool { return i/100%2 == 0 },
}

// A valuePattern draws numbers of a kind; those of smaller types are their low bits.
type valuePattern func(r *rand.Rand, i int) uint64

var valuePatterns = map[string]valuePattern{
	"constant":    func(*rand.Rand, int) uint64 { return 7 },
	"few":         func(r *rand.Rand, _ int) uint64 { return uint64(r.IntN(5)) },
	"random":      func(r *rand.Rand, _ int) uint64 { return r.Uint64() },
	"extremes":    func(_ *rand.Rand, i int) uint64 { return -uint64(i & 1) },
	"signs":       func(_ *rand.Rand, i int) uint64 { return math.MaxInt64 + uint64(i&1) },
	"runs":        func(_ *rand.Rand, i int) uint64 { return uint64(i / 77) },
	"ascending":   func(r *rand.Rand, i int) uint64 { return uint64(1000*i + r.IntN(999)) },
	"alternating": func(_ *rand.Rand, i int) uint64 { return uint64(i & 1) },
}

// appendValue appends a value made of a number.
func appendValue(t testing.TB, b array.Builder, v uint64) {
	// Lengths 0 to 20, and now and then a long one; equal numbers give equal strings.
	text := func() string { return fmt.Sprintf("%020d", v)[:v%21] }
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v&1 == 1)
	case *array.Uint8Builder:
		b.Append(uint8(v))
	case *array.Uint16Builder:
		b.Append(uint16(v))
	case *array.Uint32Builder:
		b.Append(uint32(v))
	case *array.Uint64Builder:
		b.Append(v)
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v))
	case *array.StringBuilder:
		b.Append(text())
	case *array.BinaryBuilder:
		b.Append(append([]byte(text()), 0, byte(v), 0xff))
	default:
		t.Fatalf("no values for %T", b)
	}
}

func buildColumn(t testing.TB, r *rand.Rand, typ arrow.DataType, n int, values valuePattern, there nullPattern) arrow.Array {
	b := array.NewBuilder(allocator, typ)
	defer b.Release()
	for i := range n {
		if there(r, i) {
			appendValue(t, b, values(r, i))
		} else {
			b.AppendNull()
		}
	}
	return b.NewArray()
}

// asDictionary makes the same column of indices, with unused entries before and after the used ones.
func asDictionary(t testing.TB, column arrow.Array, index arrow.DataType) arrow.Array {
	entries := array.NewBuilder(allocator, column.DataType())
	entries.AppendEmptyValue()
	places := map[string]uint64{}
	indices := array.NewBuilder(allocator, index)
	for i := range column.Len() {
		if column.IsNull(i) {
			indices.AppendNull()
			continue
		}
		text := column.ValueStr(i)
		if _, ok := places[text]; !ok {
			places[text] = uint64(entries.Len())
			if err := entries.AppendValueFromString(text); err != nil {
				t.Fatal(err)
			}
		}
		appendValue(t, indices, places[text])
	}
	entries.AppendNull()
	typ := &arrow.DictionaryType{IndexType: index, ValueType: column.DataType()}
	return array.NewDictionaryArray(typ, indices.NewArray(), entries.NewArray())
}

// write returns a file of the batches, a row group each.
func write(t testing.TB, schema *arrow.Schema, columns []Column, batches ...arrow.RecordBatch) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, schema, columns)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEncoder(schema, columns)
	if err != nil {
		t.Fatal(err)
	}
	var group RowGroup
	for _, batch := range batches {
		if err := e.Encode(batch, &group); err != nil {
			t.Fatal(err)
		}
		if err := w.Append(&group); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// read returns arrow-go's idea of a file, a row group a batch.
func read(t testing.TB, data []byte) (*file.Reader, []arrow.RecordBatch) {
	t.Helper()
	f, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, allocator)
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for i := range f.MetaData().Schema.NumColumns() {
		all = append(all, i)
	}
	var batches []arrow.RecordBatch
	for i := range f.NumRowGroups() {
		table, err := reader.ReadRowGroups(t.Context(), all, []int{i})
		if err != nil {
			t.Fatalf("row group %d: %v", i, err)
		}
		columns := make([]arrow.Array, table.NumCols())
		for j := range columns {
			if columns[j], err = array.Concatenate(table.Column(j).Data().Chunks(), allocator); err != nil {
				t.Fatal(err)
			}
		}
		batches = append(batches, array.NewRecordBatch(table.Schema(), columns, table.NumRows()))
	}
	return f, batches
}

// same says whether the arrays have the same values and NULLs.
func same(a, b arrow.Array) error {
	if !arrow.TypeEqual(a.DataType(), b.DataType()) {
		return fmt.Errorf("types %s and %s", a.DataType(), b.DataType())
	}
	if a.Len() != b.Len() || a.NullN() != b.NullN() {
		return fmt.Errorf("%d values with %d NULLs, and %d with %d", a.Len(), a.NullN(), b.Len(), b.NullN())
	}
	if array.Equal(a, b) {
		return nil
	}
	for i := range a.Len() {
		if !array.SliceEqual(a, int64(i), int64(i+1), b, int64(i), int64(i+1)) {
			return fmt.Errorf("value %d: %s and %s", i, a.ValueStr(i), b.ValueStr(i))
		}
	}
	return nil
}
