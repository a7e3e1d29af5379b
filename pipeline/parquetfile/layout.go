// Package parquetfile writes Arrow batches as Parquet row groups.
//
// The pages are made here, from the raw buffers of Arrow's arrays; page headers, metadata and footer
// are arrow-go's. Its own writer takes values one by one, which for the 38 columns of `replies` was
// most of the time of an ingest.
//
// Encoders make row groups, each in its own goroutine; a Writer puts them into a file in the order
// that it is given them. The bytes depend on the batches and the layout alone.
package parquetfile

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/endian"
)

// Encoding says how the values of a column are written.
// Names and formats: https://parquet.apache.org/docs/file-format/data-pages/encodings/
type Encoding int

const (
	Plain       Encoding = iota // PLAIN: any type
	Dictionary                  // RLE_DICTIONARY: string, binary, uint8, uint16
	Delta                       // DELTA_BINARY_PACKED: unsigned integers and timestamps
	DeltaLength                 // DELTA_LENGTH_BYTE_ARRAY: string, binary
)

func (e Encoding) String() string {
	return [...]string{"plain", "dictionary", "delta", "delta of lengths"}[e]
}

// Compression says how pages are compressed. Readers see zstd in both.
type Compression int

const (
	Uncompressed Compression = iota
	Huffman                  // by the frequency of bytes alone: for values without repeated parts
	Zstd                     // by repeated parts too
)

// Column says how a column is stored.
//
// Dictionary is a wish: a chunk with more different values than half of all, or than 65,535, is
// written as Plain. So is Compress: a chunk that would not lose 3 % is not compressed.
type Column struct {
	Encoding Encoding
	Compress Compression
}

// column is a Column with what the schema says of it.
type column struct {
	Column
	name     string
	typ      arrow.DataType
	nullable bool
}

// layout pairs the fields of a schema with their columns.
func layout(schema *arrow.Schema, columns []Column) ([]column, error) {
	if endian.IsBigEndian {
		return nil, errors.New("only little-endian machines write Parquet")
	}
	if schema.NumFields() != len(columns) {
		return nil, fmt.Errorf("a layout of %d columns for a schema of %d", len(columns), schema.NumFields())
	}
	out := make([]column, len(columns))
	for i, field := range schema.Fields() {
		allowed, ok := encodings[field.Type.ID()]
		if !ok || field.Type.ID() == arrow.TIMESTAMP && !arrow.TypeEqual(field.Type, arrow.FixedWidthTypes.Timestamp_us) {
			return nil, fmt.Errorf("column %q: type %s cannot be written", field.Name, field.Type)
		}
		if !allowed[columns[i].Encoding] {
			return nil, fmt.Errorf("column %q: no %s encoding for type %s", field.Name, columns[i].Encoding, field.Type)
		}
		out[i] = column{columns[i], field.Name, field.Type, field.Nullable}
	}
	return out, nil
}

// encodings says which encodings a type can have.
var encodings = map[arrow.Type]map[Encoding]bool{
	arrow.BOOL:      {Plain: true},
	arrow.UINT8:     {Plain: true, Dictionary: true, Delta: true},
	arrow.UINT16:    {Plain: true, Dictionary: true, Delta: true},
	arrow.UINT32:    {Plain: true, Delta: true},
	arrow.UINT64:    {Plain: true, Delta: true},
	arrow.TIMESTAMP: {Plain: true, Delta: true},
	arrow.STRING:    {Plain: true, Dictionary: true, DeltaLength: true},
	arrow.BINARY:    {Plain: true, Dictionary: true, DeltaLength: true},
}
