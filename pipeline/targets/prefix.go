package targets

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// Family is an address family, as target files number them.
type Family uint8

const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String is the family's name in flags and in the dataset.
func (f Family) String() string {
	if f == IPv4 {
		return "ipv4"
	}
	return "ipv6"
}

// size is the length of the family's addresses in bytes.
func (f Family) size() int {
	if f == IPv4 {
		return 4
	}
	return 16
}

func familyOf(addr netip.Addr) Family {
	if addr.Is4() {
		return IPv4
	}
	return IPv6
}

// address is an address as a number; one of IPv4 is in the lower 32 bits. Unlike netip.Addr it has
// neither zone nor pointer, so ten million of them are small and nothing to the garbage collector.
type address struct{ high, low uint64 }

func addressOf(addr netip.Addr) address {
	if addr.Is4() {
		b := addr.As4()
		return addressFrom(b[:])
	}
	b := addr.As16()
	return addressFrom(b[:])
}

func (a address) addr(f Family) netip.Addr {
	b := a.append(nil, f)
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// append adds the address in network order.
func (a address) append(b []byte, f Family) []byte {
	if f == IPv4 {
		return binary.BigEndian.AppendUint32(b, uint32(a.low))
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, a.high), a.low)
}

func (a address) compare(b address) int {
	if c := cmp.Compare(a.high, b.high); c != 0 {
		return c
	}
	return cmp.Compare(a.low, b.low)
}

// next is the address after a; that of the last one is 0.
func (a address) next() address {
	low, carry := bits.Add64(a.low, 1, 0)
	return address{a.high + carry, low}
}

// previous is the address before a, which is not 0.
func (a address) previous() address {
	low, borrow := bits.Sub64(a.low, 1, 0)
	return address{a.high - borrow, low}
}

// addressFrom reads an address of 4 or 16 bytes in network order.
func addressFrom(b []byte) address {
	if len(b) == 4 {
		return address{0, uint64(binary.BigEndian.Uint32(b))}
	}
	return address{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// prefix is a block of 2^hostBits addresses; an address alone is a prefix without host bits. Two
// prefixes of one family are disjoint, or one is in the other.
type prefix struct {
	first    address
	hostBits uint8
}

// prefixOf masks the host bits.
func prefixOf(p netip.Prefix) prefix {
	p = p.Masked()
	return prefix{addressOf(p.Addr()), uint8(p.Addr().BitLen() - p.Bits())}
}

func (p prefix) last() address {
	if p.hostBits >= 64 {
		return address{p.first.high | (1<<(p.hostBits-64) - 1), ^uint64(0)}
	}
	return address{p.first.high, p.first.low | (1<<p.hostBits - 1)}
}

// size is the number of addresses; p must have less than 64 host bits.
func (p prefix) size() uint64 { return 1 << p.hostBits }

// compare orders prefixes by their first addresses, and a prefix before those in it.
func (p prefix) compare(q prefix) int {
	if c := p.first.compare(q.first); c != 0 {
		return c
	}
	return cmp.Compare(q.hostBits, p.hostBits)
}

// disjoint sorts prefixes and removes those that are in another.
func disjoint(prefixes []prefix) []prefix {
	slices.SortFunc(prefixes, prefix.compare)
	kept := prefixes[:0]
	for _, p := range prefixes {
		if len(kept) == 0 || kept[len(kept)-1].last().compare(p.first) < 0 {
			kept = append(kept, p)
		}
	}
	return kept
}
