package scenario

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// Every target has a path of 3 to 20 routers, whose addresses are nobody else's, and going back from any of
// them there is one way to the scanner.
func TestPathsAreATree(t *testing.T) {
	s := Default()
	spaces := map[string]netip.Prefix{"ipv4": netip.MustParsePrefix("198.19.128.0/17"), "ipv6": netip.MustParsePrefix("2001:db8:e000::/36")}
	hopOf, before := map[netip.Addr]int{}, map[netip.Addr]Router{}
	at := map[string]*[21]map[netip.Addr]bool{"ipv4": {}, "ipv6": {}}
	lengths := map[string]*[22]int{"ipv4": {}, "ipv6": {}}
	for a := range s.Addresses {
		family := FamilyOf(a)
		path := s.Path(a, 443)
		if path.Hops < 3 || path.Hops > 20 {
			t.Fatalf("%s is %d hops away", a, path.Hops)
		}
		lengths[family][path.Hops]++
		last := Router{}
		for hop := 1; hop <= path.Hops; hop++ {
			r := path.Router(hop)
			addrs := []netip.Addr{r.Addr}
			if r.Other.IsValid() {
				addrs = append(addrs, r.Other)
			}
			for _, router := range addrs {
				if !spaces[family].Contains(router) || netip.MustParsePrefix("198.19.255.0/24").Contains(router) {
					t.Fatalf("router %s of %s", router, a)
				}
				if h, ok := hopOf[router]; ok && (h != hop || !last.Flows && !before[router].Flows && before[router] != last) {
					t.Fatalf("router %s is at hop %d behind %v and at hop %d behind %v", router, h, before[router], hop, last)
				}
				hopOf[router], before[router] = hop, last
				if at[family][hop] == nil {
					at[family][hop] = map[netip.Addr]bool{}
				}
				at[family][hop][router] = true
			}
			last = r
		}
	}
	for family, hops := range at {
		for hop, most := range map[int]int{1: 1, 2: 8, 3: 32, 4: 128, 5: 512} { // twice where routers are doubled
			if n := len(hops[hop]); n > most || n < most/8 {
				t.Errorf("%s: %d routers at hop %d", family, n, hop)
			}
		}
		targets := map[string]int{"ipv4": 65536, "ipv6": 16384}[family]
		for length := 3; length <= 20; length++ { // evenly: 3,641, sigma 59; 910, sigma 29
			if n := lengths[family][length]; n < targets/18*85/100 || n > targets/18*115/100 {
				t.Errorf("%s: %d paths of length %d", family, n, length)
			}
		}
	}
}

// The same seed, address and port give the same path; of the port only the box depends, and which flows
// share a router.
func TestPathFollowsSeed(t *testing.T) {
	again, err := Parse("", DefaultYAML)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Parse("", []byte(strings.Replace(string(DefaultYAML), "seed: 1\n", "seed: 2\n", 1)))
	if err != nil {
		t.Fatal(err)
	}
	s := Default()
	same, sameBox, addresses := 0, 0, 0
	for i := range 4096 {
		a := netip.AddrFrom4([4]byte{198, 18, byte(i), byte(i >> 8)})
		p := s.Path(a, 443)
		if p != again.Path(a, 443) {
			t.Fatalf("%s has another path in the same scenario", a)
		}
		if p.Hops == other.Path(a, 443).Hops {
			same++
		}
		p80 := s.Path(a, 80)
		if p.Box == p80.Box {
			sameBox++
		}
		if p.Hops != p80.Hops {
			t.Fatalf("%s is %d hops away on one port, %d on another", a, p.Hops, p80.Hops)
		}
		for hop := 1; hop <= p.Hops; hop++ {
			r, r80 := p.Router(hop), p80.Router(hop)
			if !r.Flows && r != r80 {
				t.Fatalf("%s: hop %d is %v on one port, %v on another", a, hop, r, r80)
			}
			if r.Addr != r80.Addr {
				addresses++
			}
		}
	}
	// By chance one in 18.
	if same > 400 || sameBox > 3500 || addresses == 0 {
		t.Errorf("%d of 4096 paths are as long with another seed; %d have the same box on both ports; %d routers differ by flow", same, sameBox, addresses)
	}
}

func TestRouterTraitsOccur(t *testing.T) {
	for _, s := range []*Scenario{Default(), All()} {
		quotes, seen := map[Quote]int{}, map[netip.Addr]bool{}
		packets, flows := 0, 0
		for a := range s.Addresses {
			path := s.Path(a, 80)
			for hop := 1; hop <= path.Hops; hop++ {
				r := path.Router(hop)
				if seen[r.Addr] {
					continue
				}
				seen[r.Addr] = true
				quotes[r.Quote]++
				if r.Other.IsValid() {
					packets++
				}
				if r.Flows {
					flows++
				}
				if hop == 1 && (r.Quote != QuoteWhole || r.Other.IsValid() || r.Flows) {
					t.Errorf("everybody's first hop is %+v", r)
				}
			}
		}
		n := len(seen)
		for quote, percent := range map[Quote]int{QuoteNone: 8, QuoteLimited: 8, QuoteEight: 20, QuoteExtended: 10, QuoteWhole: 54} {
			if got := quotes[quote] * 100 / n; got < percent-3 || got > percent+3 {
				t.Errorf("%d of %d routers quote %s: want %d %%", quotes[quote], n, quote, percent)
			}
		}
		if packets*100/n < 4 || flows*100/n < 7 { // flows show both routers
			t.Errorf("of %d routers %d are balanced by packet, %d by flow", n, packets, flows)
		}
	}
}

// A box must leave the verdict as the behaviour's line has it, whether a scan meets it or not.
func TestBoxesSuitBehaviours(t *testing.T) {
	s := All()
	seen := map[string]map[Box]int{"ipv4": {}, "ipv6": {}}
	for a := range s.Addresses {
		b, path := s.Behaviour(a, 443), s.Path(a, 443)
		seen[FamilyOf(a)][path.Box]++
		answersMPTCP := b.Verdict(V0) != NoMPTCP || b.Verdict(V1) != NoMPTCP
		ok, last := false, path.Hops
		switch path.Box {
		case NoBox, NATBox, SeqBox, MSSBox:
			ok = true
		case StripOtherBox: // groups of implausible keys are told by their options
			ok = b.Verdict(V0) != Implausible
		case StripBox: // the host never sees MP_CAPABLE
			ok = !answersMPTCP && b != OtherSubtype || slices.Contains([]Verdict{NoRow, Closed}, b.Verdict(Plain))
		case RewriteBox:
			ok = !answersMPTCP && b != OtherSubtype && b != MirrorStripped || slices.Contains([]Verdict{NoRow, Closed}, b.Verdict(Plain))
		case StripCanaryBox:
			ok = slices.Contains([]Behaviour{TCP, RST, Silent}, b)
		case TTLBox:
			ok = b != ICMP && path.BoxHop > 0
		case MirrorBox:
			ok, last = slices.Contains([]Verdict{Mirrored, Tampered}, b.Verdict(V0)), path.Hops-1
		case KeyBox:
			ok, last = slices.Contains([]Verdict{Potential, Implausible}, b.Verdict(V0)) || b.Verdict(V1) == Potential, path.Hops-1
		case DropBox:
			ok = b == DropMPTCP || b == DropUnknown
		case ResetBox:
			ok, last = b == ResetMPTCP, path.Hops-1
		}
		if !ok || path.BoxHop < 0 || path.BoxHop > last {
			t.Errorf("%s, %s: box %s behind hop %d of %d", a, b, path.Box, path.BoxHop, path.Hops)
		}
		if b == DropMPTCP && path.Box != DropBox || b == ResetMPTCP && path.Box != ResetBox || b == ICMP && path.Box != NoBox {
			t.Errorf("%s, %s: box %s", a, b, path.Box)
		}
	}
	for family, boxes := range seen {
		for b := Box(0); int(b) < Boxes; b++ {
			if boxes[b] < 50 {
				t.Errorf("%s: only %d boxes of kind %s", family, boxes[b], b)
			}
		}
		if n := map[string]int{"ipv4": 65536, "ipv6": 16384}[family]; boxes[NoBox] < n/2 {
			t.Errorf("%s: only %d paths without a box", family, boxes[NoBox])
		}
	}
}

func TestBoxesAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	for b := Box(0); int(b) < Boxes; b++ {
		if b.String() == "" || b.Effect() == "" || seen[b.String()] {
			t.Errorf("box %d is %q, %q", b, b, b.Effect())
		}
		seen[b.String()] = true
	}
	// A scan's SYN has 64 to begin with.
	if GuardTTL > 64-MaxHops || GuardTTL <= 24 {
		t.Errorf("a guard of %d lets no scan pass, or traces of 24 hops", GuardTTL)
	}
}
