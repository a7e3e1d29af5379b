package zmap

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"
)

// Each of the functions that look at eight bytes at once, against a regular expression: over random texts,
// with every byte in some place.
func TestWordsAgainstRegexp(t *testing.T) {
	decimal, plain := regexp.MustCompile(`^[0-9]*`), regexp.MustCompile(`^[ !#-\[\]-~]*`)
	pairs := regexp.MustCompile(`^([0-9a-f]{2})*`)
	check := func(text []byte) {
		t.Helper()
		want := decimal.Find(text)
		if len(want) > 15 {
			want = nil
		}
		value, _ := strconv.ParseInt(string(want), 10, 64)
		if n, length := digits(text); length != len(want) || n != value {
			t.Fatalf("%q: digits are %d, %d bytes, want %q", text, n, length, want)
		}
		if n, want := plainText(text), plain.Find(text); n != len(want) {
			t.Fatalf("%q: %d plain bytes, want %q", text, n, want)
		}
		buffer := make([]byte, len(text)/2)
		octets := must(hex.DecodeString(string(pairs.Find(text))))
		if n := hexDigits(text, buffer); !bytes.Equal(buffer[:n], octets) {
			t.Fatalf("%q: hex digits are %x, want %x", text, buffer[:n], octets)
		}
	}
	random := rand.New(rand.NewPCG(11, 12))
	for range 300 {
		text := make([]byte, random.IntN(40))
		alphabet := []string{"0123456789", "0123456789abcdef", " ~azAZ09!"}[random.IntN(3)]
		for i := range text {
			text[i] = alphabet[random.IntN(len(alphabet))]
		}
		check(text)
		if len(text) == 0 {
			continue
		}
		i := random.IntN(len(text))
		for c := range 256 {
			text[i] = byte(c)
			check(text)
		}
	}
}
