// Package enrich says which autonomous system (AS) and which country an address belongs to, from files
// that the user names, and writes it into the dataset.
//
// A [Source] is one such file. [Merge] makes one map of several, [Networks], which is the dataset's table
// `networks` ([Write], [Read]). [Networks.Register] gives SQL the look-up, [Hosts] writes what it
// finds into the table `hosts`.
package enrich

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"sort"
)

// Network is what is known of the network that an address is in. A field that has its zero value is not
// known: AS 0 is nobody's (RFC 7607).
type Network struct {
	ASN     uint32 // number of the AS that announces it
	ASName  string
	Country string // ISO 3166-1 alpha-2, upper case
}

// Networks says which network an address is in. Nil knows of none. Safe for concurrent use.
type Networks struct {
	known      []Network // each once; the first is that of addresses of which nothing is known
	ipv4, ipv6 steps
}

// Lookup returns the network of an address; an IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) is one of IPv4.
func (n *Networks) Lookup(a netip.Addr) Network {
	if n == nil {
		return Network{}
	}
	return n.known[n.index(a)]
}

// index is the place in known of an address's network.
func (n *Networks) index(a netip.Addr) uint32 {
	a = a.Unmap()
	switch {
	case a.Is4():
		return n.ipv4.at(numberOf(a))
	case a.Is6():
		return n.ipv6.at(numberOf(a))
	}
	return 0
}

// Range is the addresses from First to Last, which are of one family.
type Range struct {
	First, Last netip.Addr
	Network
}

// Ranges yields the ranges of which something is known: disjoint, those of IPv4 first, in the order of
// their addresses. What adjoins and is the same is one range.
func (n *Networks) Ranges() iter.Seq[Range] {
	return func(yield func(Range) bool) {
		if n == nil {
			return
		}
		for _, family := range []struct {
			steps
			last netip.Addr
		}{{n.ipv4, lastIPv4}, {n.ipv6, lastIPv6}} {
			for i, known := range family.known {
				if known == 0 {
					continue
				}
				last := family.last
				if i+1 < len(family.known) {
					last = family.starts[i+1].addr(last.Is4()).Prev()
				}
				if !yield(Range{family.starts[i].addr(last.Is4()), last, n.known[known]}) {
					return
				}
			}
		}
	}
}

var (
	lastIPv4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	lastIPv6 = netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
)

// steps is a step function over the addresses of a family: known[i] is what holds from starts[i] on.
type steps struct {
	starts []number
	known  []uint32 // places in Networks.known
	// begin[t] is the number of starts below those whose top 16 bits are t. Within them a search has a few
	// steps to do: for IPv4 that is twice as fast as one over all starts.
	begin []uint32
}

const topBits = 16

// number is an address as a number whose top bits are the address's first ones: half of a netip.Addr, and
// nothing to the garbage collector.
type number struct{ high, low uint64 }

func numberOf(a netip.Addr) number {
	if a.Is4() {
		b := a.As4()
		return number{high: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := a.As16()
	return number{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (x number) addr(is4 bool) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], x.high)
	binary.BigEndian.PutUint64(b[8:], x.low)
	if is4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

func (x number) above(y number) bool { return x.high > y.high || x.high == y.high && x.low > y.low }

func (x number) top() uint64 { return x.high >> (64 - topBits) }

// add says what is known from start on, which is not below the one before. If it is the same, this replaces
// it.
func (s *steps) add(start number, known uint32) {
	n := len(s.starts)
	if n > 0 && s.starts[n-1] == start {
		n--
		s.starts, s.known = s.starts[:n], s.known[:n]
	}
	before := uint32(0)
	if n > 0 {
		before = s.known[n-1]
	}
	if known != before {
		s.starts, s.known = append(s.starts, start), append(s.known, known)
	}
}

// done makes the steps ready for look-ups.
func (s *steps) done() {
	s.begin = make([]uint32, 1<<topBits+1)
	for _, start := range s.starts {
		s.begin[start.top()+1]++
	}
	for t := range s.begin[1:] {
		s.begin[t+1] += s.begin[t]
	}
}

func (s *steps) at(x number) uint32 {
	t := x.top()
	low, high := s.begin[t], s.begin[t+1]
	low += uint32(sort.Search(int(high-low), func(i int) bool { return s.starts[low+uint32(i)].above(x) }))
	if low == 0 {
		return 0
	}
	return s.known[low-1]
}
