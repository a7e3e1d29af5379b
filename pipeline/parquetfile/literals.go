package parquetfile

import (
	"encoding/binary"
	"errors"

	"github.com/klauspost/compress/huff0"
)

// literals makes zstd frames (RFC 8878) that have Huffman codes of the bytes and nothing else: no
// byte is a copy of earlier ones. Any zstd decoder reads them. For addresses as text this is four
// times as fast as the search for copies and 7 % smaller, as what is found is not worth its reference.
type literals struct {
	huffman huff0.Scratch
}

const (
	literalBlock = 128 << 10 // the greatest block that there can be
	leastBlock   = 256       // a smaller one is not compressed: the code table would take most of it
)

// appendFrame appends a frame of src.
func (l *literals) appendFrame(dst, src []byte) []byte {
	// Each block has its own table: what earlier frames left must not show in the bytes.
	l.huffman.Reuse = huff0.ReusePolicyNone
	const magic, singleSegmentAndFourBytesOfSize = 0xfd2fb528, 0b10100000
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	dst = append(dst, singleSegmentAndFourBytesOfSize)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(src)))
	for {
		n := min(len(src), literalBlock)
		dst = l.appendBlock(dst, src[:n], n == len(src))
		if src = src[n:]; len(src) == 0 {
			return dst
		}
	}
}

// appendBlock appends a block (RFC 8878 §3.1.1.2).
func (l *literals) appendBlock(dst, src []byte, last bool) []byte {
	const raw, run, compressed = 0, 1, 2
	if len(src) < leastBlock {
		return append(appendBlockHeader(dst, last, raw, len(src)), src...)
	}
	codes, _, err := huff0.Compress4X(src, &l.huffman)
	switch {
	case errors.Is(err, huff0.ErrUseRLE):
		return append(appendBlockHeader(dst, last, run, len(src)), src[0])
	case err != nil, len(codes)+6 >= len(src): // nearly always huff0.ErrIncompressible
		return append(appendBlockHeader(dst, last, raw, len(src)), src...)
	}
	dst = appendBlockHeader(dst, last, compressed, 5+len(codes)+1)
	// §3.1.1.3.1.1: Compressed_Literals_Block in 4 streams, both sizes in 18 bits.
	header := 2 | 3<<2 | uint64(len(src))<<4 | uint64(len(codes))<<22
	dst = append(binary.LittleEndian.AppendUint32(dst, uint32(header)), byte(header>>32))
	dst = append(dst, codes...)
	return append(dst, 0) // §3.1.1.3.2.1: no sequences
}

// appendBlockHeader appends a Block_Header (RFC 8878 §3.1.1.2): 24 bits.
func appendBlockHeader(dst []byte, last bool, kind, size int) []byte {
	header := kind<<1 | size<<3
	if last {
		header |= 1
	}
	return append(dst, byte(header), byte(header>>8), byte(header>>16))
}
