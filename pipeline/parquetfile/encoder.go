package parquetfile

import (
	"fmt"

	"github.com/DataDog/zstd"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
)

// Encoder makes row groups. It keeps a few MiB of memory and is not safe for concurrent use.
type Encoder struct {
	columns  []column
	zstd     zstd.Ctx // of the C library: it takes half the time of Go's
	literals literals

	valid      validity
	values8    []uint8 // values that are not NULL, by size
	values16   []uint16
	values32   []uint32
	values64   []uint64
	strings    byteStrings
	lengths    []uint32 // of strings, NULLs included
	dictionary *dictionary

	body, packedBody       []byte // of the data page; compressed
	entries, packedEntries []byte // body of the dictionary page; compressed
}

// NewEncoder returns an encoder for batches of the schema, whose fields are stored as columns says.
func NewEncoder(schema *arrow.Schema, columns []Column) (*Encoder, error) {
	of, err := layout(schema, columns)
	if err != nil {
		return nil, err
	}
	return &Encoder{columns: of, zstd: zstd.NewCtx(), dictionary: newDictionary()}, nil
}

// Encode makes a row group of the batch, whose columns are of the schema's types and in its order. A
// string or binary column may come as a dictionary with indices of type uint8 or uint16, if Dictionary
// is its encoding: the bytes are the same, in less time. Encode writes over what is in the row group,
// and keeps nothing of the batch.
func (e *Encoder) Encode(batch arrow.RecordBatch, into *RowGroup) error {
	if int(batch.NumCols()) != len(e.columns) {
		return fmt.Errorf("a batch of %d columns for a file of %d", batch.NumCols(), len(e.columns))
	}
	into.reset(int(batch.NumRows()), len(e.columns))
	for i := range e.columns {
		if err := e.encode(&e.columns[i], batch.Column(i), into, &into.chunks[i]); err != nil {
			return fmt.Errorf("column %q: %w", e.columns[i].name, err)
		}
	}
	return nil
}

func (e *Encoder) encode(c *column, values arrow.Array, into *RowGroup, out *chunk) error {
	if values.Len() != into.rows {
		return fmt.Errorf("%d values in a batch of %d rows", values.Len(), into.rows)
	}
	if !c.takes(values.DataType()) {
		return fmt.Errorf("values of type %s for %s in %s encoding", values.DataType(), c.typ, c.Encoding)
	}
	out.nulls = values.NullN()
	if out.nulls > 0 && !c.nullable {
		return fmt.Errorf("%d NULLs, which the schema does not allow", out.nulls)
	}
	var valid validity
	if out.nulls > 0 {
		data := values.Data()
		e.valid = loadValidity(e.valid, data.Buffers()[0].Bytes(), data.Offset(), data.Len())
		valid = e.valid
	}
	e.body, e.entries = e.body[:0], e.entries[:0]
	if c.nullable {
		e.body = appendLevels(e.body, valid, values.Len())
	}
	out.encoding = parquet.Encodings.Plain
	if out.nulls < values.Len() {
		if err := e.encodeValues(c, values, valid, out); err != nil {
			return err
		}
	}
	return e.writePages(c, into, out)
}

// takes says whether values of a type can be the column's.
func (c *column) takes(typ arrow.DataType) bool {
	if d, ok := typ.(*arrow.DictionaryType); ok && c.Encoding == Dictionary {
		index := d.IndexType.ID()
		return (index == arrow.UINT8 || index == arrow.UINT16) && isText(c.typ) && arrow.TypeEqual(d.ValueType, c.typ)
	}
	return arrow.TypeEqual(typ, c.typ)
}

func isText(typ arrow.DataType) bool { return typ.ID() == arrow.STRING || typ.ID() == arrow.BINARY }

// encodeValues makes the values' part of the data page, and the dictionary page if there is to be
// one. At least one value is not NULL.
func (e *Encoder) encodeValues(c *column, values arrow.Array, valid validity, out *chunk) error {
	switch a := values.(type) {
	case *array.Dictionary:
		return e.encodeDictionary(a, valid, out)
	case *array.Boolean:
		e.encodeBooleans(a, valid, out)
	case *array.Uint8:
		encodeSmall(e, c, present(&e.values8, a.Uint8Values(), valid), out)
	case *array.Uint16:
		encodeSmall(e, c, present(&e.values16, a.Uint16Values(), valid), out)
	case *array.Uint32:
		v := present(&e.values32, a.Uint32Values(), valid)
		out.setRange32(leastAndGreatest(v))
		encodeIntegers(e, c, v, out)
	case *array.Uint64:
		v := present(&e.values64, a.Uint64Values(), valid)
		out.setRange64(leastAndGreatest(v))
		encodeIntegers(e, c, v, out)
	case *array.Timestamp:
		v := present(&e.values64, arrow.GetValues[uint64](a.Data(), 1), valid)
		least, greatest := leastAndGreatest(arrow.GetData[int64](arrow.GetBytes(v)))
		out.setRange64(uint64(least), uint64(greatest))
		encodeIntegers(e, c, v, out)
	case *array.String:
		e.encodeStrings(c, e.presentStrings(a.ValueOffsets(), a.Data(), valid), out)
	case *array.Binary:
		e.encodeStrings(c, e.presentStrings(a.ValueOffsets(), a.Data(), valid), out)
	}
	return nil
}

func (e *Encoder) encodeBooleans(a *array.Boolean, valid validity, out *chunk) {
	data := a.Data()
	var count int
	e.body, count = appendBits(e.body, data.Buffers()[1].Bytes(), data.Offset(), data.Len(), valid)
	least, greatest := byte(1), byte(0)
	if count > 0 {
		greatest = 1
	}
	if count < a.Len()-out.nulls {
		least = 0
	}
	out.setRange([]byte{least}, []byte{greatest})
}

// encodeSmall encodes integers that can have a dictionary.
func encodeSmall[T uint8 | uint16](e *Encoder, c *column, values []T, out *chunk) {
	least, greatest := leastAndGreatest(values)
	out.setRange32(uint32(least), uint32(greatest))
	if c.Encoding == Dictionary && indexNumbers(e.dictionary, values, worthwhile(len(values))) {
		e.values32 = widen(e.values32, e.dictionary.entries)
		e.entries = appendPlain(e.entries, e.values32)
		e.appendIndices(len(e.dictionary.entries), out)
		return
	}
	e.values32 = widen(e.values32, values)
	encodeIntegers(e, c, e.values32, out)
}

// worthwhile is how many entries a dictionary of n values can have to be smaller than they are.
func worthwhile(n int) int { return min(n/2, maxEntries) }

func encodeIntegers[T uint32 | uint64](e *Encoder, c *column, values []T, out *chunk) {
	if c.Encoding == Delta {
		out.encoding = parquet.Encodings.DeltaBinaryPacked
		e.body = appendDelta(e.body, values)
		return
	}
	e.body = appendPlain(e.body, values)
}

func (e *Encoder) encodeStrings(c *column, values byteStrings, out *chunk) {
	if c.Encoding == Dictionary && e.dictionary.indexStrings(values, worthwhile(len(values.lengths))) {
		e.encodeEntries(e.dictionary.strings, out)
		return
	}
	out.setRange(values.leastAndGreatest())
	if c.Encoding == DeltaLength {
		out.encoding = parquet.Encodings.DeltaLengthByteArray
		e.body = appendDelta(e.body, values.lengths)
		e.body = values.appendBytes(e.body)
		return
	}
	e.body = values.appendPlain(e.body)
}

// encodeEntries encodes the values of a chunk by its dictionary, whose indices are there already.
func (e *Encoder) encodeEntries(entries byteStrings, out *chunk) {
	out.setRange(entries.leastAndGreatest())
	e.entries = entries.appendPlain(e.entries)
	e.appendIndices(len(entries.lengths), out)
}

func (e *Encoder) appendIndices(entries int, out *chunk) {
	out.encoding = parquet.Encodings.RLEDict
	out.entries = entries
	e.body = appendIndices(e.body, e.dictionary.indices, entries)
}

// encodeDictionary encodes strings that come as an Arrow dictionary, as if they came as they are.
func (e *Encoder) encodeDictionary(a *array.Dictionary, valid validity, out *chunk) error {
	if indices, ok := a.Indices().(*array.Uint8); ok {
		return encodeIndexed(e, a.Dictionary(), present(&e.values8, indices.Uint8Values(), valid), out)
	}
	return encodeIndexed(e, a.Dictionary(), present(&e.values16, a.Indices().(*array.Uint16).Uint16Values(), valid), out)
}

func encodeIndexed[T uint8 | uint16](e *Encoder, dictionary arrow.Array, indices []T, out *chunk) error {
	if indexNumbers(e.dictionary, indices, worthwhile(len(indices))) {
		entries, err := pick(e, dictionary, e.dictionary.entries)
		if err == nil {
			e.encodeEntries(entries, out)
		}
		return err
	}
	values, err := pick(e, dictionary, indices)
	if err == nil {
		out.setRange(values.leastAndGreatest())
		e.body = values.appendPlain(e.body)
	}
	return err
}

// pick returns the strings at the given places of an array.
func pick[T uint8 | uint16](e *Encoder, from arrow.Array, places []T) (byteStrings, error) {
	out := byteStrings{starts: e.strings.starts[:0], lengths: e.strings.lengths[:0]}
	var offsets []int32
	switch from := from.(type) {
	case *array.String:
		offsets, out.bytes = from.ValueOffsets(), bytesOf(from.Data())
	case *array.Binary:
		offsets, out.bytes = from.ValueOffsets(), bytesOf(from.Data())
	}
	for _, place := range places {
		if int(place) >= from.Len() || from.IsNull(int(place)) {
			return out, fmt.Errorf("a dictionary without an entry %d, which a value has", place)
		}
		out.starts = append(out.starts, offsets[place])
		out.lengths = append(out.lengths, uint32(offsets[place+1]-offsets[place]))
	}
	e.strings = out
	return out, nil
}

// present returns the values that are not NULL: the values themselves if none is.
func present[T arrow.FixedWidthType](scratch *[]T, values []T, valid validity) []T {
	if valid == nil {
		return values
	}
	*scratch = squeeze((*scratch)[:0], values, valid)
	return *scratch
}

// presentStrings returns the strings of an array that are not NULL.
func (e *Encoder) presentStrings(offsets []int32, data arrow.ArrayData, valid validity) byteStrings {
	starts := offsets[:data.Len()]
	e.lengths = resized(e.lengths, len(starts))
	for i := range starts {
		e.lengths[i] = uint32(offsets[i+1] - offsets[i])
	}
	return byteStrings{
		bytesOf(data),
		present(&e.strings.starts, starts, valid),
		present(&e.strings.lengths, e.lengths, valid),
	}
}

// bytesOf returns the buffer that the offsets of a string or binary array point into.
func bytesOf(data arrow.ArrayData) []byte {
	if data.Buffers()[2] == nil { // all are empty
		return nil
	}
	return data.Buffers()[2].Bytes()
}
