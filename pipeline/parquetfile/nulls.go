package parquetfile

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
)

// A validity says which of n values there are: bit i of word i/64 is set where value i is not NULL.
// The bits after the n-th are 0. nil: there is no NULL.
type validity []uint64

// loadValidity reads Arrow's bitmap, of which the first offset bits are not the array's.
func loadValidity(words validity, bitmap []byte, offset, n int) validity {
	words = words[:0]
	for done := 0; done < n; done += 64 {
		words = append(words, bitsAt(bitmap, offset+done, min(64, n-done)))
	}
	return words
}

// bitsAt returns n ≤ 64 bits of a bitmap.
func bitsAt(bitmap []byte, at, n int) uint64 {
	from, shift := bitmap[at/8:], at%8
	var word uint64
	if len(from) > 8 {
		word = binary.LittleEndian.Uint64(from)>>shift | uint64(from[8])<<(64-shift)
	} else {
		var last [8]byte
		copy(last[:], from)
		word = binary.LittleEndian.Uint64(last[:]) >> shift
	}
	return word & ones(n)
}

// ones returns a word whose low n ≤ 64 bits are set.
func ones(n int) uint64 { return 1<<n - 1 }

// appendLevels appends the definition levels of a data page of version 1 for n values: 4 bytes of
// length and a hybrid of runs and bits. As the greatest level is 1, the bits are the validity.
func appendLevels(dst []byte, valid validity, n int) []byte {
	head := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if valid == nil {
		dst = appendRun(dst, n, 1, 1)
	}
	for i := 0; i < len(valid); {
		begin := i
		if valid.uniform(i, n) {
			for i < len(valid) && valid.uniform(i, n) && valid[i]&1 == valid[begin]&1 {
				i++
			}
			dst = appendRun(dst, min(n, 64*i)-64*begin, uint16(valid[begin]&1), 1)
			continue
		}
		for i < len(valid) && !valid.uniform(i, n) {
			i++
		}
		groups := (min(n, 64*i) - 64*begin + 7) / 8
		dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
		end := len(dst) + groups
		for _, word := range valid[begin:i] {
			dst = binary.LittleEndian.AppendUint64(dst, word)
		}
		dst = dst[:end]
	}
	binary.LittleEndian.PutUint32(dst[head:], uint32(len(dst)-head-4))
	return dst
}

// uniform says whether the values of a word are all there or all NULL.
func (v validity) uniform(word, n int) bool {
	return v[word] == 0 || v[word] == ones(min(64, n-64*word))
}

// squeeze appends the values that are not NULL.
func squeeze[T arrow.FixedWidthType](dst, values []T, valid validity) []T {
	for i, word := range valid {
		switch of := values[64*i : min(64*i+64, len(values))]; word {
		case 0:
		case ones(len(of)):
			dst = append(dst, of...)
		default:
			for ; word != 0; word &= word - 1 {
				dst = append(dst, of[bits.TrailingZeros64(word)])
			}
		}
	}
	return dst
}

// appendBits appends n booleans of a bitmap, of which the first offset bits are others', as PLAIN
// has them: a bit each, without the NULLs. It returns how many are true.
func appendBits(dst []byte, bitmap []byte, offset, n int, valid validity) (_ []byte, count int) {
	var pending uint64 // bits that do not fill a word yet
	var used int
	for done := 0; done < n; done += 64 {
		word, width := bitsAt(bitmap, offset+done, min(64, n-done)), min(64, n-done)
		if valid != nil {
			word, width = extract(word, valid[done/64]), bits.OnesCount64(valid[done/64])
		}
		count += bits.OnesCount64(word)
		pending |= word << used
		if used += width; used >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, pending)
			used -= 64
			pending = word >> (width - used)
		}
	}
	for ; used > 0; used -= 8 {
		dst = append(dst, byte(pending))
		pending >>= 8
	}
	return dst, count
}

// extract moves the bits of word that mask selects to its low end (PEXT).
func extract(word, mask uint64) uint64 {
	if mask == ^uint64(0) {
		return word
	}
	var out uint64
	for at := 0; mask != 0; {
		skip := bits.TrailingZeros64(mask)
		mask >>= skip
		word >>= skip
		length := bits.TrailingZeros64(^mask) // mask is not all ones here
		out |= word & ones(length) << at
		at += length
		mask >>= length
		word >>= length
	}
	return out
}
