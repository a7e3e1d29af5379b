package dataset

import (
	"database/sql"
	"net/netip"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// The types below are columns in the making. Each holds its values as Arrow lays them out, one a row,
// in memory that is used again for the next batch: a value costs a nanosecond or two, where Arrow's
// builders take ten. Which of them are NULL is not kept here but in rowBits: append returns the column's
// bit if its value is there, else 0.

type columnBuilder interface {
	// place says which bit is the column's.
	place(k int)
	// pad appends NULLs up to a number of rows; names repeat their first value, which need not be NULL.
	pad(rows int)
	// array is the column, padded, as an array of the given type, or as a dictionary of it, valid until reset.
	array(typ arrow.DataType, rows int, valid bitmap) arrow.Array
	reset()
}

// placed is a column's place among the others, and so its bit in a row's word.
type placed struct{ k int }

func (p *placed) place(k int) { p.k = k }

// bit is the column's bit if it is set, else 0.
func (p *placed) bit(set bool) uint64 {
	var one uint64
	if set {
		one = 1
	}
	return one << (p.k & 63)
}

// makeArray makes an array of buffers.
func makeArray(typ arrow.DataType, rows int, valid bitmap, buffers ...[]byte) arrow.Array {
	all := []*memory.Buffer{nil}
	if valid.zeros > 0 {
		all[0] = memory.NewBufferBytes(valid.bits)
	}
	for _, b := range buffers {
		all = append(all, memory.NewBufferBytes(b))
	}
	data := array.NewData(typ, rows, all, nil, valid.zeros, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// numbers is a column of integers or times.
type numbers[T uint8 | uint16 | uint32 | uint64 | arrow.Timestamp] struct {
	placed
	values []T
}

func (c *numbers[T]) append(v T, valid bool) uint64 {
	c.values = append(c.values, v)
	return c.bit(valid)
}

func (c *numbers[T]) appendNull(v sql.Null[T]) uint64 { return c.append(v.V, v.Valid) }

func (c *numbers[T]) pad(rows int) { c.values = append(c.values, make([]T, rows-len(c.values))...) }

func (c *numbers[T]) array(typ arrow.DataType, rows int, valid bitmap) arrow.Array {
	return makeArray(typ, rows, valid, arrow.GetBytes(c.values))
}

func (c *numbers[T]) reset() { c.values = c.values[:0] }

// truths is a column of truth values. They, too, are in rowBits.
type truths struct {
	placed
	values bitmap
}

func (c *truths) pad(int) {}

func (c *truths) array(typ arrow.DataType, rows int, valid bitmap) arrow.Array {
	return makeArray(typ, rows, valid, c.values.bits)
}

func (c *truths) reset() {}

// texts is a column of text or bytes.
type texts struct {
	placed
	data []byte
	ends []int32 // of the values in data, behind a zero; a batch has fewer bytes than an int32 counts
}

func (c *texts) append(v []byte, valid bool) uint64 {
	c.data = append(c.data, v...)
	return c.end(valid)
}

// end ends a value whose bytes have been appended to data.
func (c *texts) end(valid bool) uint64 {
	c.pad(0)
	c.ends = append(c.ends, int32(len(c.data)))
	return c.bit(valid)
}

// appendAddress adds an address in its canonical form, or NULL if it is not valid.
func (c *texts) appendAddress(a netip.Addr) uint64 {
	switch {
	case a.Is4():
		for _, b := range a.As4() {
			c.data = append(c.data, decimals[b]...)
		}
		c.data = c.data[:len(c.data)-1]
	case a.IsValid():
		c.data = a.AppendTo(c.data)
	}
	return c.end(a.IsValid())
}

// decimals are the parts of IPv4 addresses: "0." to "255.".
var decimals = func() (text [256]string) {
	for i := range text {
		text[i] = strconv.Itoa(i) + "."
	}
	return text
}()

func (c *texts) pad(rows int) {
	if len(c.ends) == 0 {
		c.ends = append(c.ends, 0)
	}
	for len(c.ends) <= rows {
		c.ends = append(c.ends, int32(len(c.data)))
	}
}

func (c *texts) array(typ arrow.DataType, rows int, valid bitmap) arrow.Array {
	return makeArray(typ, rows, valid, arrow.GetBytes(c.ends), c.data)
}

func (c *texts) reset() { c.data, c.ends = c.data[:0], c.ends[:0] }

// maxNames bounds the different values of names, by the type of its indices.
const maxNames = 1 << 16

// names is a column of text that repeats few values.
type names struct {
	placed
	indices []uint16

	values texts // the different values, in order of appearance
	index  map[string]uint16
	recent [64]nameIndex // of values met lately, by slot

	// overflow has all values once there are more than maxNames different ones.
	overflow *texts
}

type nameIndex struct {
	name  string
	index uint16
	set   bool
}

// append adds a value, or NULL, for which v is any text.
func (c *names) append(v string, valid bool) uint64 {
	slot := len(v)
	if slot > 0 {
		slot += int(v[0]) + 5*int(v[slot-1]) + 11*int(v[slot/2])
	}
	recent := &c.recent[slot%len(c.recent)]
	if c.overflow == nil && (!recent.set || recent.name != v) {
		if at, ok := c.lookUp(v); ok {
			*recent = nameIndex{v, at, true}
		}
	}
	if c.overflow != nil {
		c.overflow.append([]byte(v), true)
	} else {
		c.indices = append(c.indices, recent.index)
	}
	return c.bit(valid)
}

// lookUp returns the index of a value, unless there are too many.
func (c *names) lookUp(v string) (uint16, bool) {
	if at, known := c.index[v]; known {
		return at, true
	}
	if len(c.index) == maxNames {
		c.spill()
		return 0, false
	}
	if c.index == nil {
		c.index = map[string]uint16{}
	}
	at := uint16(len(c.index))
	c.index[v] = at
	c.values.append([]byte(v), true)
	return at, true
}

// spill copies the column to overflow.
func (c *names) spill() {
	c.overflow = &texts{}
	for _, at := range c.indices {
		c.overflow.append(c.values.data[c.values.ends[at]:c.values.ends[int(at)+1]], true)
	}
}

func (c *names) pad(rows int) {
	if c.overflow != nil {
		c.overflow.pad(rows)
		return
	}
	c.indices = append(c.indices, make([]uint16, rows-len(c.indices))...)
}

func (c *names) array(typ arrow.DataType, rows int, valid bitmap) arrow.Array {
	if c.overflow != nil {
		return c.overflow.array(typ, rows, valid)
	}
	c.values.pad(len(c.index)) // there may be none
	indices := makeArray(arrow.PrimitiveTypes.Uint16, rows, valid, arrow.GetBytes(c.indices))
	defer indices.Release()
	values := c.values.array(typ, len(c.index), bitmap{})
	defer values.Release()
	return array.NewDictionaryArray(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint16, ValueType: typ}, indices, values)
}

func (c *names) reset() {
	c.indices = c.indices[:0]
	c.values.reset()
	clear(c.index)
	clear(c.recent[:])
	c.overflow = nil
}
