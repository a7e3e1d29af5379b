package enrich

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
)

// decimal says whether s is a decimal number.
func decimal(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// parseNumbers reads a range whose addresses are numbers. They are of IPv4 when the last is below 2^32: no
// assigned IPv6 address is.
func parseNumbers(from, to string) (first, last netip.Addr, err error) {
	firstHigh, firstLow, ok1 := parse128(from)
	lastHigh, lastLow, ok2 := parse128(to)
	if !ok1 || !ok2 {
		return first, last, fmt.Errorf("%s to %s are no addresses", quote(from), quote(to))
	}
	if lastHigh == 0 && lastLow>>32 == 0 && firstHigh == 0 && firstLow>>32 == 0 {
		return ordered(addressOf4(uint32(firstLow)), addressOf4(uint32(lastLow)))
	}
	return ordered(number{firstHigh, firstLow}.addr(false), number{lastHigh, lastLow}.addr(false))
}

func addressOf4(x uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, x)))
}

// parse128 reads decimal digits; not ok when their number has more than 128 bits.
func parse128(s string) (high, low uint64, ok bool) {
	for i := range len(s) {
		overflow, h := bits.Mul64(high, 10)
		carried, l := bits.Mul64(low, 10)
		l, carry := bits.Add64(l, uint64(s[i]-'0'), 0)
		h, over := bits.Add64(h, carried, carry)
		if overflow != 0 || over != 0 {
			return 0, 0, false
		}
		high, low = h, l
	}
	return high, low, true
}
