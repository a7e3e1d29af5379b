package dataset

import (
	"encoding/binary"
	"math/bits"
)

// rowBits has a word a row, whose bit k belongs to column k. A row's word costs next to nothing to make,
// and all words together are turned into bitmaps of columns; 38 bitmaps that grew with each row took a
// fifth of an ingest.
type rowBits []uint64

// bitmap is a bit a row, least significant first, as Arrow has it.
type bitmap struct {
	bits  []byte
	zeros int
}

// columns makes the bitmaps of the first columns, reusing their memory.
func (r rowBits) columns(into []bitmap) {
	for k := range into {
		into[k] = bitmap{bits: into[k].bits[:0]}
	}
	for start := 0; start < len(r); start += 64 {
		var square [64]uint64
		rows := copy(square[:], r[start:])
		transpose(&square)
		for k := range into {
			into[k].bits = binary.LittleEndian.AppendUint64(into[k].bits, square[k])
			into[k].zeros += rows - bits.OnesCount64(square[k])
		}
	}
}

// transpose exchanges the rows and columns of a square of bits, by exchanging ever smaller quarters:
// Warren, Hacker's Delight, section 7-3.
func transpose(square *[64]uint64) {
	mask := uint64(0x00000000ffffffff)
	for size := 32; size != 0; size, mask = size/2, mask^mask<<(size/2) {
		for k := 0; k < 64; k = (k + size + 1) &^ size {
			swap := (square[k]>>size ^ square[k+size]) & mask
			square[k] ^= swap << size
			square[k+size] ^= swap
		}
	}
}
