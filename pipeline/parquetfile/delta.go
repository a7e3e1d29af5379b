package parquetfile

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// DELTA_BINARY_PACKED in the blocks that parquet-mr writes.
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#DELTAENC
const (
	deltaBlock = 128 // values
	deltaMini  = 32  // values in a miniblock
)

// appendDelta appends values as differences, which wrap around as the values' type does.
func appendDelta[T uint32 | uint64](dst []byte, values []T) []byte {
	dst = binary.AppendUvarint(dst, deltaBlock)
	dst = binary.AppendUvarint(dst, deltaBlock/deltaMini)
	dst = binary.AppendUvarint(dst, uint64(len(values)))
	if len(values) == 0 {
		return append(dst, 0) // a first value is there even so
	}
	last := values[0]
	dst = binary.AppendVarint(dst, signed(last))
	for values = values[1:]; len(values) > 0; {
		n := min(deltaBlock, len(values))
		dst = appendDeltaBlock(dst, last, values[:n])
		last, values = values[n-1], values[n:]
	}
	return dst
}

func appendDeltaBlock[T uint32 | uint64](dst []byte, last T, values []T) []byte {
	var deltas [deltaBlock]T
	least := signed(values[0] - last)
	for i, v := range values {
		deltas[i] = v - last
		least = min(least, signed(deltas[i]))
		last = v
	}
	dst = binary.AppendVarint(dst, least)
	widths := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for begin := 0; begin < len(values); begin += deltaMini {
		mini := (*[deltaMini]T)(deltas[begin:])
		var all T
		for i := range mini[:min(deltaMini, len(values)-begin)] {
			mini[i] -= T(least)
			all |= mini[i]
		}
		width := bits.Len64(uint64(all))
		dst[widths+begin/deltaMini] = byte(width)
		dst = appendMini(dst, mini, width)
	}
	return dst
}

// appendMini appends the low width bits of each value.
func appendMini[T uint32 | uint64](dst []byte, values *[deltaMini]T, width int) []byte {
	if width == 0 {
		return dst
	}
	end := len(dst) + width*deltaMini/8
	var pending uint64 // bits that do not fill a word yet
	var used int
	for _, v := range values {
		pending |= uint64(v) << used
		if used += width; used >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, pending)
			used -= 64
			pending = uint64(v) >> (width - used)
		}
	}
	return binary.LittleEndian.AppendUint64(dst, pending)[:end]
}

// signed reads the bits of an integer as Parquet's INT32 or INT64.
func signed[T uint32 | uint64](v T) int64 {
	if uint64(^T(0)) == math.MaxUint64 {
		return int64(v)
	}
	return int64(int32(v))
}
