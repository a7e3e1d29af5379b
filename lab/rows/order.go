package rows

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
)

// ZMap walks the multiplicative group of integers modulo the first prime above 2^32, of which 3 is a
// primitive root (Durumeric et al., "ZMap: Fast Internet-wide Scanning", USENIX Security 2013, §4.1).
const (
	groupPrime    = 1<<32 + 15
	groupOrder    = groupPrime - 1
	primitiveRoot = 3
)

// Permutation yields each 32-bit number once.
type Permutation struct{ element, generator uint64 }

// NewPermutation draws a permutation.
func NewPermutation(random *rand.Rand) *Permutation {
	// A power of a primitive root is one if the exponent and the group's order have no common divisor.
	exponent := random.Uint64N(groupOrder)
	for greatestCommonDivisor(exponent, groupOrder) != 1 {
		exponent = random.Uint64N(groupOrder)
	}
	return &Permutation{
		element:   1 + random.Uint64N(groupOrder),
		generator: power(primitiveRoot, exponent),
	}
}

// Next is the next number.
func (p *Permutation) Next() uint32 {
	for {
		p.element = multiply(p.element, p.generator)
		if n := p.element - 1; n < 1<<32 {
			return uint32(n)
		}
	}
}

func multiply(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return bits.Rem64(high, low, groupPrime)
}

func power(base, exponent uint64) uint64 {
	result := uint64(1)
	for ; exponent > 0; exponent >>= 1 {
		if exponent&1 == 1 {
			result = multiply(result, base)
		}
		base = multiply(base, base)
	}
	return result
}

func greatestCommonDivisor(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Address is the target of a number: other numbers have other addresses, and what an IPv6 address has beside the
// number is random.
func Address(family string, n uint32, random *rand.Rand) netip.Addr {
	if family == IPv4 {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
	}
	var a [16]byte
	// A provider's /32, one of a thousand in 2a00::/12; below it the number, so that nothing occurs twice.
	binary.BigEndian.PutUint32(a[:], 0x2a000000|random.Uint32N(1000)<<8)
	binary.BigEndian.PutUint32(a[4:], n)
	switch random.UintN(4) {
	case 0: // a server, numbered by hand
		a[15] = byte(1 + random.UintN(255))
	case 1: // from a MAC address: RFC 4291 appendix A
		binary.BigEndian.PutUint64(a[8:], random.Uint64())
		a[8] |= 2
		a[11], a[12] = 0xff, 0xfe
	default: // opaque: RFC 7217
		binary.BigEndian.PutUint64(a[8:], random.Uint64())
	}
	return netip.AddrFrom16(a)
}
