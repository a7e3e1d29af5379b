package parquetfile

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

var testTypes = []arrow.DataType{
	arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16,
	arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64, arrow.FixedWidthTypes.Timestamp_us,
	arrow.BinaryTypes.String, arrow.BinaryTypes.Binary,
}

// A variant is a way to store a type, and to hand its values in.
type variant struct {
	field arrow.Field
	Column
	index arrow.DataType // of the Arrow dictionary that the values come as; nil: they come as they are
}

// variants are all columns that there can be.
func variants() []variant {
	var out []variant
	for _, typ := range testTypes {
		for encoding := range DeltaLength + 1 {
			if !encodings[typ.ID()][encoding] {
				continue
			}
			for i := range 6 {
				nullable, compress := i%2 == 1, Compression(i/2)
				v := variant{field: arrow.Field{Type: typ, Nullable: nullable}, Column: Column{encoding, compress}}
				out = append(out, v)
				if encoding == Dictionary && (typ.ID() == arrow.STRING || typ.ID() == arrow.BINARY) {
					for _, index := range []arrow.DataType{arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16} {
						v.index = index
						out = append(out, v)
					}
				}
			}
		}
	}
	for i := range out {
		v := &out[i]
		v.field.Name = fmt.Sprintf("%d %s %s", i, v.field.Type, v.Encoding)
	}
	return out
}

func schemaOf(variants []variant) (*arrow.Schema, []Column) {
	fields, columns := make([]arrow.Field, len(variants)), make([]Column, len(variants))
	for i, v := range variants {
		fields[i], columns[i] = v.field, v.Column
	}
	return arrow.NewSchema(fields, nil), columns
}

// build returns the columns of a batch as they are to be read, and as they are handed in.
func build(t testing.TB, r *rand.Rand, variants []variant, n int, values valuePattern, there nullPattern) (want, in []arrow.Array) {
	for _, v := range variants {
		of := values
		if v.index == arrow.PrimitiveTypes.Uint8 { // it has room for no more
			of = func(r *rand.Rand, i int) uint64 { return values(r, i) % 250 }
		}
		notNull := there
		if !v.field.Nullable {
			notNull = nullPatterns["none"]
		}
		column := buildColumn(t, r, v.field.Type, n, of, notNull)
		want = append(want, column)
		if v.index != nil {
			column = asDictionary(t, column, v.index)
		}
		in = append(in, column)
	}
	return want, in
}

func batchOf(columns []arrow.Array) arrow.RecordBatch {
	fields := make([]arrow.Field, len(columns))
	for i, column := range columns {
		fields[i] = arrow.Field{Name: fmt.Sprint(i), Type: column.DataType(), Nullable: true}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(columns[0].Len()))
}

var testSizes = []int{1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 130, 1000}

// What is written is read, whatever the type, encoding, NULLs, values and their number.
func TestRoundTrip(t *testing.T) {
	all := variants()
	schema, columns := schemaOf(all)
	for values, pattern := range valuePatterns {
		for nulls, there := range nullPatterns {
			t.Run(values+" values, NULL "+nulls, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				var want [][]arrow.Array
				var batches []arrow.RecordBatch
				for _, n := range testSizes {
					expected, in := build(t, r, all, n, pattern, there)
					want = append(want, expected)
					batches = append(batches, batchOf(in))
				}
				_, got := read(t, write(t, schema, columns, batches...))
				for i, batch := range got {
					for j := range all {
						if err := same(want[i][j], batch.Column(j)); err != nil {
							t.Errorf("%d rows, column %q: %v", testSizes[i], all[j].field.Name, err)
						}
					}
				}
			})
		}
	}
}
