package enrich

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// said is a range that a source gives, as the models below see it.
type said struct {
	first, last netip.Addr
	network     Network
}

// modelOf looks an address up the slow way, from what is written of overlapping ranges: the range that starts
// last decides, among them the narrowest, among equals the first.
func modelOf(ranges []said, a netip.Addr) Network {
	var best *said
	for i, r := range ranges {
		if a.Less(r.first) || r.last.Less(a) || a.Is4() != r.first.Is4() {
			continue
		}
		if best == nil || best.first.Less(r.first) || best.first == r.first && r.last.Less(best.last) {
			best = &ranges[i]
		}
	}
	if best == nil {
		return Network{}
	}
	return best.network
}

// small makes addresses of which random ranges overlap often, at both ends of both families and across the
// borders of what begin counts by (/16) and of the two halves of an IPv6 address (/64).
func small(r *rand.Rand) netip.Addr {
	low := byte(r.IntN(40))
	switch r.IntN(6) {
	case 0:
		return netip.AddrFrom4([4]byte{0, 0, 0, low})
	case 1:
		return netip.AddrFrom4([4]byte{255, 255, 255, 255 - low})
	case 2:
		return netip.AddrFrom4([4]byte{192, 0 + low/20, (low % 20) * 13, 0})
	case 3:
		return netip.AddrFrom16([16]byte{15: low})
	case 4:
		b := lastIPv6.As16()
		b[15] -= low
		return netip.AddrFrom16(b)
	default:
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 7: low / 20, 8: (low % 20) * 13})
	}
}

func randomRanges(r *rand.Rand) []said {
	ranges := make([]said, r.IntN(30))
	for i := range ranges {
		a, b := small(r), small(r)
		for a.Is4() != b.Is4() {
			b = small(r)
		}
		if b.Less(a) {
			a, b = b, a
		}
		ranges[i] = said{a, b, Network{ASN: uint32(r.IntN(5)) * 64496 / 4}}
		if r.IntN(2) == 0 {
			ranges[i].network.Country = []string{"", "BE", "AQ"}[r.IntN(3)]
		}
	}
	return ranges
}

func networksOf(ranges []said) *Networks {
	list := newNetworkList()
	var spans []span
	for _, s := range ranges {
		spans = append(spans, span{s.first, s.last, list.place(s.network)})
	}
	return flatten(spans, list.networks)
}

func TestLookupAgainstModel(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		ranges := randomRanges(r)
		n := networksOf(ranges)
		for range 200 {
			a := small(r)
			if want, got := modelOf(ranges, a), n.Lookup(a); got != want {
				t.Fatalf("seed %d: %v: %+v, the model says %+v of %v", seed, a, got, want, ranges)
			}
		}
		checkRanges(t, n)
	}
}

// checkRanges says whether Ranges keeps what it promises, and holds what Lookup finds.
func checkRanges(t *testing.T, n *Networks) {
	t.Helper()
	before := Range{}
	var ranges []said
	for r := range n.Ranges() {
		switch {
		case r.Last.Less(r.First) || r.First.Is4() != r.Last.Is4() || r.Network == Network{}:
			t.Fatalf("range %+v", r)
		case before.First.IsValid() && r.First.Compare(before.Last) <= 0:
			t.Fatalf("%+v is not behind %+v", r, before)
		case before.First.IsValid() && before.Last.Next() == r.First && before.Network == r.Network:
			t.Fatalf("%+v and %+v are one range", before, r)
		}
		before = r
		ranges = append(ranges, said{r.First, r.Last, r.Network})
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		if a := small(r); modelOf(ranges, a) != n.Lookup(a) {
			t.Fatalf("%v: %+v in Ranges, %+v by Lookup", a, modelOf(ranges, a), n.Lookup(a))
		}
	}
}

func TestMergeAgainstModel(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		var sources [][]said
		var all []*Source
		for range r.IntN(5) {
			ranges := randomRanges(r)
			sources, all = append(sources, ranges), append(all, &Source{Networks: networksOf(ranges)})
		}
		merged := Merge(all)
		for range 200 {
			a := small(r)
			var want Network
			for _, ranges := range slices.Backward(sources) {
				said := modelOf(ranges, a)
				if said.ASN != 0 {
					want.ASN = said.ASN
				}
				if said.Country != "" {
					want.Country = said.Country
				}
			}
			if got := merged.Lookup(a); got != want {
				t.Fatalf("seed %d: %v: %+v, the model says %+v", seed, a, got, want)
			}
		}
		checkRanges(t, merged)
	}
}

func TestLookupOfNothing(t *testing.T) {
	n := networksOf([]said{{netip.MustParseAddr("192.0.2.0"), netip.MustParseAddr("192.0.2.255"), Network{ASN: 64496}}})
	for a, want := range map[string]uint32{
		"192.0.2.7": 64496, "::ffff:192.0.2.7": 64496, "192.0.3.0": 0, "::": 0, "192.0.1.255": 0,
	} {
		if got := n.Lookup(netip.MustParseAddr(a)).ASN; got != want {
			t.Errorf("%s: AS %d, want %d", a, got, want)
		}
	}
	for _, empty := range []*Networks{nil, Merge(nil)} {
		if got := empty.Lookup(netip.MustParseAddr("192.0.2.7")); got != (Network{}) {
			t.Errorf("no networks: %+v", got)
		}
	}
	if got := n.Lookup(netip.Addr{}); got != (Network{}) {
		t.Errorf("no address: %+v", got)
	}
}
