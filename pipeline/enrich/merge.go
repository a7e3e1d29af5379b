package enrich

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// span is a range as a source has it: spans may overlap.
type span struct {
	first, last netip.Addr // of one family
	known       uint32     // place in the list of networks
}

// flatten makes Networks of spans. Where several hold, the one that starts last decides, among them the
// narrowest, among equals the first. Of nested prefixes this is the longest. It sorts spans.
func flatten(spans []span, known []Network) *Networks {
	// Of those that hold at an address, the one that decides is then the last to begin.
	slices.SortStableFunc(spans, func(a, b span) int {
		return cmp.Or(a.first.Compare(b.first), b.last.Compare(a.last))
	})

	n := &Networks{known: known}
	var open []span // those that have begun; at the end the one that decides
	closeBefore := func(a netip.Addr) {
		for len(open) > 0 && open[len(open)-1].last.Less(a) {
			last := open[len(open)-1].last
			for len(open) > 0 && open[len(open)-1].last.Compare(last) <= 0 {
				open = open[:len(open)-1]
			}
			n.step(last.Next(), deciding(open))
		}
	}
	for _, s := range spans {
		if n := len(open); n > 0 && open[n-1].first == s.first && open[n-1].last == s.last {
			continue
		}
		closeBefore(s.first)
		open = append(open, s)
		n.step(s.first, s.known)
	}
	closeBefore(lastIPv6)
	return n.done()
}

func deciding(open []span) uint32 {
	if len(open) == 0 {
		return 0
	}
	return open[len(open)-1].known
}

// step says what is known from an address on. Addresses come in order; the one after a family's last is
// not valid, and nothing is known of it.
func (n *Networks) step(a netip.Addr, known uint32) {
	switch {
	case a.Is4():
		n.ipv4.add(numberOf(a), known)
	case a.Is6():
		n.ipv6.add(numberOf(a), known)
	}
}

func (n *Networks) done() *Networks {
	n.ipv4.done()
	n.ipv6.done()
	return n
}

// Merge makes one of what several sources say. What an address's AS or country is, the first says that knows it.
func Merge(sources []*Source) *Networks {
	merged := flatten(nil, []Network{{}})
	for _, s := range sources {
		merged = merged.over(s.Networks)
	}
	return merged
}

// over is n, with what m knows where n does not.
func (n *Networks) over(m *Networks) *Networks {
	list := newNetworkList()
	places := make(map[[2]uint32]uint32) // by those in n and m
	both := func(of [2]uint32) uint32 {
		place, ok := places[of]
		if !ok {
			place = list.place(n.known[of[0]].over(m.known[of[1]]))
			places[of] = place
		}
		return place
	}
	merged := &Networks{ipv4: combine(&n.ipv4, &m.ipv4, both), ipv6: combine(&n.ipv6, &m.ipv6, both)}
	merged.known = list.networks
	return merged.done()
}

// over is n, with what m knows where n does not. The name of an AS belongs to its number.
func (n Network) over(m Network) Network {
	if n.ASN == 0 {
		n.ASN, n.ASName = m.ASN, m.ASName
	}
	if n.Country == "" {
		n.Country = m.Country
	}
	return n
}

// combine is the step function of what both say of the values of a and b.
func combine(a, b *steps, both func([2]uint32) uint32) steps {
	var out steps
	var now [2]uint32
	for i, j := 0, 0; i < len(a.starts) || j < len(b.starts); {
		fromA := j == len(b.starts) || i < len(a.starts) && !a.starts[i].above(b.starts[j])
		fromB := i == len(a.starts) || j < len(b.starts) && !b.starts[j].above(a.starts[i])
		var start number
		if fromA {
			start, now[0] = a.starts[i], a.known[i]
			i++
		}
		if fromB {
			start, now[1] = b.starts[j], b.known[j]
			j++
		}
		out.add(start, both(now))
	}
	return out
}

// networkList has each network once; the first is the one of which nothing is known.
type networkList struct {
	networks []Network
	places   map[Network]uint32
}

func newNetworkList() *networkList {
	return &networkList{[]Network{{}}, map[Network]uint32{{}: 0}}
}

func (l *networkList) place(n Network) uint32 {
	place, ok := l.places[n]
	if !ok {
		// The texts may be part of a line, or of a batch of rows.
		n.ASName, n.Country = strings.Clone(n.ASName), strings.Clone(n.Country)
		place = uint32(len(l.networks))
		l.networks = append(l.networks, n)
		l.places[n] = place
	}
	return place
}
