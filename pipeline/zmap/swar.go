package zmap

import (
	"encoding/binary"
	"math/bits"
)

// The functions below look at eight bytes at once, as one word whose lowest byte is the first ("SIMD within a
// register"; Lamport, "Multiple byte processing with full-word instructions", CACM 18(8), 1975): most of the
// time of reading a row is in them.

const (
	ones = 0x0101010101010101 // times a byte: a word of that byte
	high = 0x80 * ones
)

// word is the first eight bytes of text, with zeros behind a shorter one.
func word(text []byte) uint64 {
	if len(text) >= 8 {
		return binary.LittleEndian.Uint64(text)
	}
	return shortWord(text)
}

// It is rarely needed, and word is small enough to be inlined without it.
//
//go:noinline
func shortWord(text []byte) uint64 {
	var b [8]byte
	copy(b[:], text)
	return binary.LittleEndian.Uint64(b[:])
}

// literal is a text to compare with: most are of 8 to 16 bytes, which two words hold.
type literal struct {
	text       string
	head, tail uint64 // its first and last eight bytes
}

func newLiteral(text string) literal {
	l := literal{text: text}
	if len(text) >= 8 {
		l.head, l.tail = word([]byte(text)), word([]byte(text[len(text)-8:]))
	}
	return l
}

// begins says whether a line begins with the literal.
func (l *literal) begins(line []byte) bool {
	n := len(l.text)
	if n < 8 || n > 16 {
		return len(line) >= n && string(line[:n]) == l.text
	}
	return len(line) >= n &&
		binary.LittleEndian.Uint64(line) == l.head && binary.LittleEndian.Uint64(line[n-8:]) == l.tail
}

// marked returns how many bytes come before the first one that is marked by its highest bit.
func marked(word uint64) int { return bits.TrailingZeros64(word) / 8 }

// skipDigits returns the number of up to 15 decimal digits that text begins with, 0 if there are more.
func skipDigits(text []byte) int {
	length := digitBytes(word(text))
	if length < 8 {
		return length
	}
	if length += digitBytes(word(text[8:])); length > 15 {
		return 0
	}
	return length
}

// digitBytes returns how many of a word's first bytes are decimal digits.
func digitBytes(w uint64) int {
	w ^= '0' * ones
	// A byte above 9 gets its highest bit, and may spoil those behind it.
	return marked((w + (0x80-10)*ones | w) & high)
}

// digits reads up to 15 decimal digits, and returns their number. It reads none of a longer text.
func digits(text []byte) (n int64, length int) {
	value, length := digits8(word(text))
	if length < 8 {
		return int64(value), length
	}
	low, width := digits8(word(text[8:]))
	if width == 8 {
		return 0, 0
	}
	return int64(value*powersOf10[width] + low), 8 + width
}

var powersOf10 = [8]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7}

// digits8 reads the decimal digits that a word begins with.
func digits8(w uint64) (n uint64, length int) {
	length = digitBytes(w)
	w ^= '0' * ones
	w <<= 64 - 8*length // as if zeros came before them
	// Digits become pairs, pairs groups of four, groups one number.
	w = (w*10 + w>>8) & 0x00ff00ff00ff00ff
	w = (w*100 + w>>16) & 0x0000ffff0000ffff
	return (w*10000 + w>>32) & 0xffffffff, length
}

// hexDigits reads pairs of lower-case hex digits into bytes until one of both ends, and returns the number of
// pairs.
func hexDigits(text, bytes []byte) (n int) {
	for ; len(text) >= 8 && len(bytes)-n >= 4; n += 4 {
		w := binary.LittleEndian.Uint64(text)
		letter := w >> 6 & ones
		digit := w & (0x0f * ones)
		// '0'–'9' are 0x30–0x39, 'a'–'f' 0x61–0x66. Of each byte: the high digit; a low one above 9 or,
		// of letters, above 6; a letter's 0.
		wrong := w&(0xf0*ones) ^ (0x30*ones + 0x30*letter)
		wrong |= (digit + 6*ones + 3*letter) & (0x10 * ones)
		wrong |= letter << 4 &^ (digit + 0x0f*ones)
		if wrong != 0 {
			break
		}
		digit += 9 * letter
		digit = (digit<<4 | digit>>8) & 0x00ff00ff00ff00ff
		digit = (digit | digit>>8) & 0x0000ffff0000ffff
		binary.LittleEndian.PutUint32(bytes[n:], uint32(digit|digit>>16))
		text = text[8:]
	}
	for ; len(text) >= 2 && n < len(bytes); n++ {
		first, second := hexDigit[text[0]], hexDigit[text[1]]
		if first|second > 15 {
			break
		}
		bytes[n] = first<<4 | second
		text = text[2:]
	}
	return n
}

// hexDigit is the value of a lower-case hex digit, and above 15 for any other byte.
var hexDigit = func() (table [256]uint8) {
	for c := range table {
		table[c] = 0xff
	}
	for value, c := range []byte("0123456789abcdef") {
		table[c] = uint8(value)
	}
	return table
}()

// plainText returns how many bytes of printable ASCII that are neither quotation mark nor backslash text
// begins with.
func plainText(text []byte) (n int) {
	for {
		w := word(text[n:])
		// Bytes below the subtrahend borrow, and may spoil those behind them.
		stop := (w - ' '*ones) | w | (w + ones)
		stop |= (w ^ '"'*ones) - ones
		stop |= (w ^ '\\'*ones) - ones
		if stop &= high; stop != 0 {
			return n + marked(stop)
		}
		n += 8
	}
}
