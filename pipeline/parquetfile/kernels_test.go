package parquetfile

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// The models here read bit by bit what the kernels write by words.

// bitReader reads bits, the least significant of a byte first.
type bitReader struct {
	data []byte
	at   int // in bits
}

func (r *bitReader) bits(width int) uint64 {
	var v uint64
	for i := range width {
		v |= uint64(r.data[r.at/8]>>(r.at%8)&1) << i
		r.at++
	}
	return v
}

// uvarint, varint: at a byte's begin.
func (r *bitReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data[r.at/8:])
	r.at += 8 * n
	return v
}

func (r *bitReader) varint() int64 {
	v, n := binary.Varint(r.data[r.at/8:])
	r.at += 8 * n
	return v
}

// readHybrid reads n values of the hybrid of runs and groups, which have to end with the data.
func readHybrid(t testing.TB, data []byte, width, n int) []uint16 {
	t.Helper()
	r := bitReader{data: data}
	var out []uint16
	for len(out) < n {
		head := r.uvarint()
		if head&1 == 0 {
			v := uint16(r.bits((width + 7) / 8 * 8))
			for range head >> 1 {
				out = append(out, v)
			}
			if len(out) > n {
				t.Fatalf("a run goes to value %d of %d", len(out), n)
			}
			continue
		}
		for range head >> 1 * 8 {
			v := uint16(r.bits(width))
			if len(out) < n {
				out = append(out, v)
			} else if v != 0 {
				t.Fatal("padding that is not 0")
			}
		}
	}
	if r.at != 8*len(data) {
		t.Fatalf("%d bits read of %d bytes", r.at, len(data))
	}
	return out
}

// readDelta reads DELTA_BINARY_PACKED values of 32 or 64 bits, and returns what is behind them.
func readDelta(t testing.TB, data []byte, size int) (values []uint64, rest []byte) {
	t.Helper()
	r := bitReader{data: data}
	block, minis, n, v := int(r.uvarint()), int(r.uvarint()), int(r.uvarint()), uint64(r.varint())
	mask := ^uint64(0) >> (64 - size)
	if n > 0 {
		values = append(values, v&mask)
	}
	for len(values) < n {
		least := uint64(r.varint())
		widths := make([]int, minis)
		for i := range widths {
			widths[i] = int(r.bits(8))
		}
		for _, width := range widths {
			if len(values) == n {
				if width != 0 {
					t.Fatal("a miniblock without values has a width")
				}
				continue
			}
			for range block / minis {
				delta := r.bits(width)
				if len(values) < n {
					v += least + delta
					values = append(values, v&mask)
				}
			}
		}
	}
	return values, data[r.at/8:]
}

var kernelSizes = []int{0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 71, 72, 127, 128, 129, 130, 191, 192, 193, 1000, 70000}

func TestHybrid(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for width := 1; width <= 16; width++ {
		for _, n := range kernelSizes {
			for _, longest := range []int{1, 20, 300} { // of runs
				values := make([]uint16, n)
				for i := 0; i < n; {
					v := uint16(r.Uint32()) & (1<<width - 1)
					for range 1 + r.IntN(longest) {
						if i < n {
							values[i] = v
							i++
						}
					}
				}
				if got := readHybrid(t, appendHybrid(nil, values, width), width, n); !slices.Equal(got, values) {
					t.Errorf("width %d, %d values in runs up to %d: others read", width, n, longest)
				}
			}
		}
	}
}

// Indices take the bits that the last entry's needs, but at least one.
func TestIndexWidth(t *testing.T) {
	for entries, want := range map[int]byte{1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 256: 8, 257: 9, 65535: 16} {
		if got := appendIndices(nil, []uint16{0}, entries)[0]; got != want {
			t.Errorf("%d entries: %d bits", entries, got)
		}
	}
}

// Long runs are runs, not bits.
func TestHybridRuns(t *testing.T) {
	for width := 1; width <= 16; width++ {
		if got := appendHybrid(nil, make([]uint16, 65536), width); len(got) > 5 {
			t.Errorf("width %d: %d bytes for one run", width, len(got))
		}
	}
}

func randomBitmap(r *rand.Rand, n int, pattern nullPattern) []byte {
	bitmap := make([]byte, n/8+9)
	for i := range 8 * len(bitmap) {
		if pattern(r, i) {
			bitmap[i/8] |= 1 << (i % 8)
		}
	}
	return bitmap
}

// Levels, what NULLs leave of values, and booleans, from every offset into a byte.
func TestValidity(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for name, pattern := range nullPatterns {
		for _, n := range kernelSizes {
			for offset := range 10 {
				bitmap, truths := randomBitmap(r, n+offset, pattern), randomBitmap(r, n+offset, nullPatterns["random"])
				valid := loadValidity(nil, bitmap, offset, n)

				values := make([]uint32, n)
				var levels []uint16
				var present []uint32
				var bits []bool
				for i := range n {
					values[i] = r.Uint32()
					at := i + offset
					level := bitmap[at/8] >> (at % 8) & 1
					levels = append(levels, uint16(level))
					if level == 1 {
						present = append(present, values[i])
						bits = append(bits, truths[at/8]>>(at%8)&1 == 1)
					}
				}
				if got := squeeze(nil, values, valid); !slices.Equal(got, present) {
					t.Errorf("%s, %d values from bit %d: other values are present", name, n, offset)
				}
				page := appendLevels([]byte("page"), valid, n)[4:]
				if length := binary.LittleEndian.Uint32(page); int(length) != len(page)-4 {
					t.Errorf("%s, %d values: levels of %d bytes say %d", name, n, len(page)-4, length)
				}
				if got := readHybrid(t, page[4:], 1, n); !slices.Equal(got, levels) {
					t.Errorf("%s, %d values from bit %d: other levels", name, n, offset)
				}
				packed, count := appendBits(nil, truths, offset, n, valid)
				reader := bitReader{data: packed}
				trues := 0
				for i, want := range bits {
					if got := reader.bits(1) == 1; got != want {
						t.Fatalf("%s, %d values from bit %d: boolean %d is %t", name, n, offset, i, got)
					}
					if want {
						trues++
					}
				}
				if len(packed) != (len(bits)+7)/8 || count != trues {
					t.Errorf("%s: %d bytes for %d booleans, %d of %d true", name, len(packed), len(bits), count, trues)
				}
			}
		}
	}
}

func TestLevelsWithoutNULL(t *testing.T) {
	for _, n := range kernelSizes[1:] {
		for _, v := range readHybrid(t, appendLevels(nil, nil, n)[4:], 1, n) {
			if v != 1 {
				t.Fatalf("%d values: level %d", n, v)
			}
		}
	}
}

func TestDelta(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for name, pattern := range valuePatterns {
		for _, n := range kernelSizes {
			for shift := range 64 { // every width
				var wide []uint64
				var narrow []uint32
				for i := range n {
					if n > 1000 && shift > 0 {
						break
					}
					v := pattern(r, i) >> shift
					wide, narrow = append(wide, v), append(narrow, uint32(v))
				}
				got, rest := readDelta(t, appendDelta(nil, wide), 64)
				if !slices.Equal(got, wide) || len(rest) > 0 {
					t.Errorf("%s, %d values of 64 bits >> %d: others read", name, n, shift)
				}
				got, rest = readDelta(t, appendDelta(nil, narrow), 32)
				same := slices.EqualFunc(got, narrow, func(a uint64, b uint32) bool { return a == uint64(b) })
				if !same || len(rest) > 0 {
					t.Errorf("%s, %d values of 32 bits >> %d: others read", name, n, shift)
				}
			}
		}
	}
}

// Blocks take as many bits as their deltas need, and padding none.
func TestDeltaSize(t *testing.T) {
	alternating := make([]uint32, 129)
	for i := range alternating {
		alternating[i] = uint32(4 + i&1)
	}
	const header, blockHeader = 2 + 1 + 2 + 1, 1 + 4
	if got := len(appendDelta(nil, alternating)); got != header+blockHeader+128*2/8 {
		t.Errorf("%d bytes for deltas of 1 and -1", got)
	}
	if got := appendDelta(nil, []uint32{0, 1000000}); len(got) != 2+1+1+1+3+4 {
		t.Errorf("%d bytes for one delta", len(got))
	}
}

// INT32 has no deltas of more than 32 bits.
func TestDeltaWidth(t *testing.T) {
	page := appendDelta(nil, []uint32{1 << 31, 0, 1<<32 - 1, 1 << 31, 1<<31 - 1})
	r := bitReader{data: page}
	for range 3 {
		r.uvarint()
	}
	r.varint()
	r.varint()
	for range 4 {
		if width := r.bits(8); width > 32 {
			t.Errorf("a miniblock of %d bits", width)
		}
	}
}

// Any zstd decoder reads frames of literals.
func TestLiterals(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	var l literals
	for _, n := range []int{0, 1, 255, 256, 257, 1000, literalBlock - 1, literalBlock, literalBlock + 1, 3*literalBlock + 77} {
		for _, symbols := range []int{1, 2, 10, 256} {
			src := make([]byte, n)
			for i := range src {
				src[i] = byte(7 + r.IntN(symbols))
			}
			frame := l.appendFrame([]byte("before"), src)
			got, err := decoder.DecodeAll(frame[6:], nil)
			if err != nil || !bytes.Equal(got, src) {
				t.Errorf("%d bytes of %d symbols: %v, or other bytes", n, symbols, err)
			}
			if len(frame)-6 > n+9+3*(n/literalBlock+1) {
				t.Errorf("%d bytes of %d symbols: a frame of %d", n, symbols, len(frame)-6)
			}
			if symbols == 10 && n > 1000 && len(frame) > n/2 {
				t.Errorf("%d bytes of 10 symbols: a frame of %d", n, len(frame)-6)
			}
			var fresh literals
			if !bytes.Equal(fresh.appendFrame(nil, src), frame[6:]) {
				t.Errorf("%d bytes of %d symbols: what was before shows", n, symbols)
			}
		}
	}
}

// A block whose codes save less than their header takes is stored as it is: no block may be longer
// than its bytes.
func TestLiteralsHeader(t *testing.T) {
	r := rand.New(rand.NewPCG(29, 30))
	var l literals
	for try := range 20000 {
		src := make([]byte, leastBlock+r.IntN(200))
		for i := range src {
			src[i] = byte(r.IntN(80 + try%80))
		}
		if frame := l.appendFrame(nil, src); len(frame) > 9+3+len(src) {
			t.Fatalf("%d bytes: a frame of %d", len(src), len(frame))
		}
	}
}

// least and greatest against sorting.
func TestLeastAndGreatest(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 2000 {
		var s byteStrings
		var all []string
		for range 1 + r.IntN(20) {
			v := bytes.Repeat([]byte{'a'}, r.IntN(12))
			for range r.IntN(3) {
				v = append(v, []byte{0, 'a', 0xff}[r.IntN(3)])
			}
			for range min(len(v), r.IntN(3)) {
				v[r.IntN(len(v))] = byte(r.Uint32())
			}
			s.starts = append(s.starts, int32(len(s.bytes)))
			s.lengths = append(s.lengths, uint32(len(v)))
			s.bytes = append(s.bytes, v...)
			all = append(all, string(v))
		}
		numbers := make([]int64, len(all))
		for i := range numbers {
			numbers[i] = r.Int64() - r.Int64()
		}
		if low, high := leastAndGreatest(numbers); low != slices.Min(numbers) || high != slices.Max(numbers) {
			t.Fatalf("%d: %d and %d", numbers, low, high)
		}
		least, greatest := s.leastAndGreatest()
		if string(least) != slices.Min(all) || string(greatest) != slices.Max(all) {
			t.Fatalf("%q: %q and %q", all, least, greatest)
		}
	}
}
