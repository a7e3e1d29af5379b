package parquetfile

import (
	"bytes"
	"hash/maphash"
	"math"
	"math/bits"
)

// maxEntries is how many entries a dictionary can have: places in it are 16 bits, and 0 is taken.
const maxEntries = math.MaxUint16

// A dictionary has the different values of a chunk in the order in which they first appear.
type dictionary struct {
	indices []uint16    // an entry's place for each value
	entries []uint16    // of numbers: the values; of an Arrow dictionary: places in that
	strings byteStrings // of strings: the values

	place [1 << 16]uint16 // of a number among the entries, plus 1
	slots []uint16        // hash table of places of strings, plus 1
	seed  maphash.Seed    // random: no input can make all its strings collide. It does not show in the bytes
}

func newDictionary() *dictionary {
	return &dictionary{seed: maphash.MakeSeed()}
}

// indexNumbers makes the dictionary of values, unless it gets more than limit entries.
func indexNumbers[T uint8 | uint16](d *dictionary, values []T, limit int) bool {
	d.entries = d.entries[:0]
	d.indices = resized(d.indices, len(values))
	fits := true
	for i, v := range values {
		place := d.place[v]
		if place == 0 {
			if fits = len(d.entries) < limit; !fits {
				break
			}
			d.entries = append(d.entries, uint16(v))
			place = uint16(len(d.entries))
			d.place[v] = place
		}
		d.indices[i] = place - 1
	}
	for _, v := range d.entries {
		d.place[v] = 0
	}
	return fits
}

// indexStrings makes the dictionary of values, unless it gets more than limit entries.
func (d *dictionary) indexStrings(values byteStrings, limit int) bool {
	n := len(values.lengths)
	d.strings = byteStrings{values.bytes, d.strings.starts[:0], d.strings.lengths[:0]}
	d.indices = resized(d.indices, n)
	d.slots = resized(d.slots, 2<<bits.Len(uint(limit)))
	clear(d.slots)
	last := uint16(0)
	for i := range n {
		v := values.at(i)
		if i == 0 || !bytes.Equal(v, d.strings.at(int(last))) {
			slot := d.slot(v)
			if *slot == 0 {
				if len(d.strings.lengths) == limit {
					return false
				}
				d.strings.starts = append(d.strings.starts, values.starts[i])
				d.strings.lengths = append(d.strings.lengths, values.lengths[i])
				*slot = uint16(len(d.strings.lengths))
			}
			last = *slot - 1
		}
		d.indices[i] = last
	}
	return true
}

// slot finds the slot of a value: its own or an empty one. At most half of them are taken.
func (d *dictionary) slot(value []byte) *uint16 {
	for at := maphash.Bytes(d.seed, value); ; at++ {
		slot := &d.slots[at&uint64(len(d.slots)-1)]
		if *slot == 0 || bytes.Equal(d.strings.at(int(*slot)-1), value) {
			return slot
		}
	}
}

// appendIndices appends the indices of a chunk whose dictionary has so many entries: their width in
// bits, then the hybrid.
func appendIndices(dst []byte, indices []uint16, entries int) []byte {
	// One entry needs no bits, but some readers do not take a width of 0.
	width := max(1, bits.Len(uint(entries-1)))
	return appendHybrid(append(dst, byte(width)), indices, width)
}

// resized returns a slice of n values, of which the first may be old ones.
func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
