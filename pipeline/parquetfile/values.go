package parquetfile

import (
	"bytes"
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
)

// byteStrings are byte strings within one buffer, as string and binary columns have them.
type byteStrings struct {
	bytes   []byte
	starts  []int32
	lengths []uint32
}

func (s *byteStrings) at(i int) []byte {
	return s.bytes[s.starts[i]:][:s.lengths[i]]
}

// appendPlain appends the strings as PLAIN has them: each after 4 bytes of length.
func (s *byteStrings) appendPlain(dst []byte) []byte {
	for i, length := range s.lengths {
		dst = binary.LittleEndian.AppendUint32(dst, length)
		dst = append(dst, s.at(i)...)
	}
	return dst
}

// appendBytes appends the strings without anything between them.
func (s *byteStrings) appendBytes(dst []byte) []byte {
	var total int
	for _, length := range s.lengths {
		total += int(length)
	}
	if n := len(s.lengths) - 1; n >= 0 {
		// What NULLs left out seldom had bytes: the strings follow one another.
		if all := s.bytes[s.starts[0] : int(s.starts[n])+int(s.lengths[n])]; len(all) == total {
			return append(dst, all...)
		}
	}
	for i := range s.lengths {
		dst = append(dst, s.at(i)...)
	}
	return dst
}

// leastAndGreatest compares byte by byte, as Parquet orders strings and binaries.
func (s *byteStrings) leastAndGreatest() (least, greatest []byte) {
	least, greatest = s.at(0), s.at(0)
	low, high := prefix(least), prefix(greatest)
	for i := range s.lengths {
		// Nearly always eight bytes tell.
		v := s.at(i)
		p := prefix(v)
		if p <= low && (p < low || bytes.Compare(v, least) < 0) {
			least, low = v, p
		}
		if p >= high && (p > high || bytes.Compare(v, greatest) > 0) {
			greatest, high = v, p
		}
	}
	return least, greatest
}

// prefix returns the first 8 bytes as a number, which orders strings unless they share it.
func prefix(s []byte) uint64 {
	if len(s) >= 8 {
		return binary.BigEndian.Uint64(s)
	}
	var p [8]byte
	copy(p[:], s)
	return binary.BigEndian.Uint64(p[:])
}

// widen makes INT32s, Parquet's least integers, of smaller ones.
func widen[T uint8 | uint16](dst []uint32, values []T) []uint32 {
	dst = resized(dst, len(values))
	for i, v := range values {
		dst[i] = uint32(v)
	}
	return dst
}

// appendPlain appends integers as PLAIN has them, which is how they are in memory.
func appendPlain[T uint32 | uint64](dst []byte, values []T) []byte {
	return append(dst, arrow.GetBytes(values)...)
}

// leastAndGreatest are those of at least one value.
func leastAndGreatest[T uint8 | uint16 | uint32 | uint64 | int64](values []T) (least, greatest T) {
	least, greatest = values[0], values[0]
	for _, v := range values {
		least, greatest = min(least, v), max(greatest, v)
	}
	return least, greatest
}
