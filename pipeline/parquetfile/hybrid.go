package parquetfile

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
)

// The hybrid of runs and bit-packed groups of 8 that levels and dictionary indices are written in.
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE

// appendRun appends a run of one value of width bits.
func appendRun(dst []byte, length int, value uint16, width int) []byte {
	if length == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(length)<<1)
	if width <= 8 {
		return append(dst, byte(value))
	}
	return append(dst, byte(value), byte(value>>8))
}

// appendHybrid appends values of width bits, 1 to 16.
func appendHybrid(dst []byte, values []uint16, width int) []byte {
	// A run between groups costs up to five bytes more than its groups do, as another head is needed
	// after it: it has to save more than that.
	least := 8 * (1 + 8/width)
	raw := arrow.GetBytes(values)
	begin, at := 0, 0 // of the values not appended yet; at-begin is a multiple of 8
	for at+8 <= len(values) {
		low, high := binary.LittleEndian.Uint64(raw[2*at:]), binary.LittleEndian.Uint64(raw[2*at+8:])
		if low != high || low != bits.RotateLeft64(low, 16) {
			at += 8
			continue
		}
		end := at + 8
		for end < len(values) && values[end] == values[at] {
			end++
		}
		if end-at < least {
			at += (end - at) &^ 7
			continue
		}
		dst = appendGroups(dst, values[begin:at], width)
		dst = appendRun(dst, end-at, values[at], width)
		begin, at = end, end
	}
	return appendGroups(dst, values[begin:], width)
}

// appendGroups appends values bit-packed, the last group filled up with zeros.
func appendGroups(dst []byte, values []uint16, width int) []byte {
	if len(values) == 0 {
		return dst
	}
	groups := (len(values) + 7) / 8
	dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
	for ; len(values) >= 8; values = values[8:] {
		dst = appendGroup(dst, (*[8]uint16)(values), width)
	}
	if len(values) > 0 {
		var last [8]uint16
		copy(last[:], values)
		dst = appendGroup(dst, &last, width)
	}
	return dst
}

// appendGroup appends 8 values of at most 16 bits, which take as many bytes as one of them has bits.
func appendGroup(dst []byte, v *[8]uint16, width int) []byte {
	w := uint(width) & 31
	low := uint64(v[0]) | uint64(v[1])<<w | uint64(v[2])<<(2*w) | uint64(v[3])<<(3*w)
	high := uint64(v[4]) | uint64(v[5])<<w | uint64(v[6])<<(2*w) | uint64(v[7])<<(3*w)
	end := len(dst) + width
	dst = binary.LittleEndian.AppendUint64(dst, low|high<<(4*w))
	dst = binary.LittleEndian.AppendUint64(dst, high>>(64-4*w))
	return dst[:end]
}
