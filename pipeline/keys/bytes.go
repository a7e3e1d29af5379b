package keys

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	// MinBytesKept is the number of bytes kept in place from which on a key was made from ours. A
	// genuine key keeps each byte with chance 1/256, hence 4 or more of 8 with chance 1.6e-8.
	MinBytesKept = 4

	// MinBytesShifted is the length of a run of our bytes from which on a key that has it at another
	// place was made from ours. The run has 20 ways to lie (at distance 1 to 4, in either direction,
	// from 4 to 1 places to start), each with chance 2^-32: a genuine key has one with chance at most
	// 4.7e-9, whatever we sent.
	MinBytesShifted = 4

	// MaxLowEntropy is the largest number of distinct byte values of a key that is not random. A
	// genuine key has 3 or fewer among its 8 bytes with chance 16025652736/2^64 = 8.7e-10. The zero
	// key (2^-64) and those of one repeated byte are cases of it.
	MaxLowEntropy = 3
)

// BytesKept counts the bytes of key that equal the byte of sent at the same place: a box that
// rewrites half a key leaves the other half.
func BytesKept(key, sent uint64) int {
	n := 0
	for shift := 0; shift < Bits; shift += 8 {
		if (key^sent)>>shift&0xff == 0 {
			n++
		}
	}
	return n
}

// Shifted finds the longest run of bytes of sent that stands in key at another place: how many bytes,
// and by how many places they moved (positive: towards the end). Of runs as long as each other it is
// the one that moved least, towards the end first. It is 0, 0 if no run has [MinBytesShifted] bytes.
//
// A box that writes our key at a wrong offset does this; what fills the gap may be anything.
func Shifted(key, sent uint64) (count, by int) {
	for distance := 1; distance <= 8-MinBytesShifted; distance++ {
		if n := longestRun(key<<(8*distance), sent, 8-distance); n >= MinBytesShifted && n > count {
			count, by = n, distance
		}
		if n := longestRun(key, sent<<(8*distance), 8-distance); n >= MinBytesShifted && n > count {
			count, by = n, -distance
		}
	}
	return count, by
}

// longestRun is the largest number of neighbours among the first bytes of a and b that are equal.
func longestRun(a, b uint64, first int) (longest int) {
	run := 0
	for i := range first {
		if (a^b)>>(Bits-8-8*i)&0xff != 0 {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}

// rearrangements are the ways in which a key suffers from a confusion of byte orders.
var rearrangements = []struct {
	name  string
	apply func(uint64) uint64
}{
	{"reversed", bits.ReverseBytes64},
	{"32-bit halves swapped", func(k uint64) uint64 { return bits.RotateLeft64(k, 32) }},
	{"16-bit neighbours swapped", func(k uint64) uint64 {
		return k&0xffff0000_ffff0000>>16 | k&0x0000ffff_0000ffff<<16
	}},
	{"bytes of 16-bit words swapped", func(k uint64) uint64 {
		return k&0xff00ff00_ff00ff00>>8 | k&0x00ff00ff_00ff00ff<<8
	}},
}

// Rearranged names how the bytes of sent were put into another order to give key; it is empty when
// they were not. A genuine key is one of the at most 8! orders of our bytes with a chance of at most
// 40320/2^64 = 2.2e-15.
func Rearranged(key, sent uint64) string {
	if key == sent || sortedBytes(key) != sortedBytes(sent) {
		return ""
	}
	for _, r := range rearrangements {
		if r.apply(sent) == key {
			return r.name
		}
	}
	return "bytes in another order"
}

// ByteValues counts the distinct byte values of a key.
func ByteValues(key uint64) int {
	b := sortedBytes(key)
	return len(slices.Compact(b[:]))
}

func sortedBytes(key uint64) (b [8]byte) {
	binary.BigEndian.PutUint64(b[:], key)
	slices.Sort(b[:])
	return b
}
