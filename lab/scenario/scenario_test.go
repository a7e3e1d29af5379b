package scenario

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

const good = "seed: 7\nranges: [198.18.0.0/24, 198.18.9.0/28]\nports: [443, 80]\nbehaviours:\n  tcp: 0.5\n  mirror: 8\nipv6: {addresses: 500}\n"

func TestParse(t *testing.T) {
	s, err := Parse("good.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if s.Seed != 7 || !slices.Equal(s.Ports, []uint16{80, 443}) || len(s.Ranges) != 2 {
		t.Errorf("seed %d, ports %v, ranges %v", s.Seed, s.Ports, s.Ranges)
	}
	for _, port := range s.Ports {
		if got := census(s, "ipv4", port); got[TCP] != 136 || got[Mirror] != 8 || got[Silent] != 272-136-8 {
			t.Errorf("port %d: %d tcp, %d mirror, %d silent of 272", port, got[TCP], got[Mirror], got[Silent])
		}
		if got := census(s, "ipv6", port); got[TCP] != 250 || got[Mirror] != 8 || got[Silent] != 500-250-8 {
			t.Errorf("IPv6, port %d: %d tcp, %d mirror, %d silent of 500", port, got[TCP], got[Mirror], got[Silent])
		}
	}
}

func TestParseRefuses(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the good scenario", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"unknown field":       {replace("seed", "sead"), `s.yaml:1: unknown field "sead"`},
		"field twice":         {good + "seed: 8\n", `s.yaml:8: "seed" stands twice`},
		"negative seed":       {replace("7", "-7"), `s.yaml:1: seed "-7" is not`},
		"not a prefix":        {replace("198.18.0.0/24", "198.18.0.0"), `s.yaml:2: range "198.18.0.0" is not a prefix`},
		"host bits":           {replace("198.18.9.0/28", "198.18.9.1/28"), "s.yaml:2: range 198.18.9.1/28 has host bits set: write 198.18.9.0/28"},
		"outside":             {replace("198.18.9.0/28", "198.19.0.0/24"), "s.yaml:2: range 198.19.0.0/24 is not inside 198.18.0.0/16"},
		"wider than space":    {replace("198.18.0.0/24", "198.18.0.0/15"), "s.yaml:2: range 198.18.0.0/15 is not inside"},
		"IPv6":                {replace("198.18.0.0/24", "2001:db8::/32"), "s.yaml:2: range 2001:db8::/32 is not inside"},
		"overlap":             {replace("198.18.9.0/28", "198.18.0.16/28"), "s.yaml:2: range 198.18.0.16/28 overlaps 198.18.0.0/24"},
		"no addresses":        {"seed: 1\nports: [80]\nbehaviours: {tcp: 0.5}\n", "s.yaml:1: no addresses"},
		"ipv6 as number":      {replace("{addresses: 500}", "500"), "s.yaml:7: want fields"},
		"ipv6 unknown":        {replace("addresses", "adresses"), `s.yaml:7: unknown field "adresses" of ipv6`},
		"ipv6 negative":       {replace("500", "-1"), `s.yaml:7: addresses "-1" is not a number up to`},
		"ipv6 too many":       {replace("500", "1048577"), `s.yaml:7: addresses "1048577" is not`},
		"ipv6 too few":        {replace("500", "15"), "s.yaml:6: mirror and what stands before it need 16 addresses, a family has 15"},
		"too many ranges":     {replace("198.18.9.0/28", strings.Repeat("198.18.9.0/28,", 64)), "s.yaml:2: ranges is not a list of at most 64"},
		"port zero":           {replace("443", "0"), `s.yaml:3: port "0" is not between`},
		"port twice":          {replace("443", "80"), "s.yaml:3: port 80 stands twice"},
		"unknown behaviour":   {replace("tcp", "tpc"), `s.yaml:5: unknown behaviour "tpc"`},
		"kernel as simulated": {replace("tcp", "kernel-tcp"), `s.yaml:5: unknown behaviour "kernel-tcp"`},
		"silent":              {replace("tcp", "silent"), "s.yaml:5: silent takes no share"},
		"share above one":     {replace("0.5", "1.5"), `s.yaml:5: share "1.5" of tcp is not between`},
		"share not a number":  {replace("0.5", ".nan"), `s.yaml:5: share ".nan" of tcp is not between`},
		"negative count":      {replace("8\n", "-8\n"), `s.yaml:6: count "-8" of mirror`},
		"word":                {replace("0.5", "half"), `s.yaml:5: "half" of tcp is neither`},
		"shares above one":    {replace("8\n", "0.51\n"), "s.yaml:6: mirror and what stands before it need 275 addresses, a family has 272"},
		"counts above all":    {replace("8\n", "137\n"), "s.yaml:6: mirror and what stands before it need 273"},
		"no behaviours":       {"seed: 1\nranges: [198.18.0.0/24]\nports: [80]\n", "s.yaml:1: no behaviours"},
		"list":                {"- seed\n", "s.yaml:1: want fields"},
		"empty":               {"", "s.yaml: EOF"},
		"no YAML":             {"seed: [\n", "s.yaml: yaml:"},
		"second document":     {good + "---\nseed: 1\n", "s.yaml: a second document"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse("s.yaml", []byte(c.text))
			if s != nil || !errors.Is(err, ErrScenario) {
				t.Fatalf("got %v, %v: want only an ErrScenario", s, err)
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %q\nwant %q in one line", err, c.want)
			}
		})
	}
}

// census counts behaviours the slow way, address by address.
func census(s *Scenario, family string, port uint16) (counts [Behaviours]int) {
	for a := range s.Addresses {
		if FamilyOf(a) == family {
			counts[s.Behaviour(a, port)]++
		}
	}
	return counts
}

func TestAllHasEveryBehaviour(t *testing.T) {
	s := All()
	for family, least := range map[string]int{"ipv4": 190, "ipv6": 49} {
		for _, port := range s.Ports {
			counts := census(s, family, port)
			for b := Silent; b < KernelMPTCP; b++ {
				if counts[b] < least {
					t.Errorf("%s, port %d: only %d hosts are %s", family, port, counts[b], b)
				}
			}
			// 6 % of 65,536 and 16,384.
			if want := map[string]int{"ipv4": 3932, "ipv6": 983}[family]; counts[Mirror] != want {
				t.Errorf("%s, port %d: %d mirrors, want %d", family, port, counts[Mirror], want)
			}
		}
	}
}

// A scanner must not find IPv6 targets by going from one to the next.
func TestIPv6IsSparse(t *testing.T) {
	s := Default()
	if len(s.IPv6) != 16384 || !slices.IsSortedFunc(s.IPv6, netip.Addr.Compare) || len(slices.Compact(slices.Clone(s.IPv6))) != 16384 {
		t.Fatalf("%d addresses, sorted or not, want 16,384 in order and without repetition", len(s.IPv6))
	}
	space := netip.MustParsePrefix("2001:db8::/33")
	subnets := make(map[netip.Prefix]bool)
	var eighths [8]int
	small := 0
	for i, a := range s.IPv6 {
		if !space.Contains(a) {
			t.Fatalf("%s is outside %s", a, space)
		}
		subnets[netip.PrefixFrom(a, 64).Masked()] = true
		eighths[a.As16()[4]>>4]++ // bits 33 to 35: the first is zero
		if b := a.As16(); b[8] == 0 && b[9] == 0 && b[10] == 0 {
			small++
		}
		if index, ok := s.Index(a); !ok || index != 65536+i {
			t.Errorf("index of %s is %d, %t", a, index, ok)
		}
	}
	// By chance one pair in 2^31 subnets: 16,384² / 2^32 = 0.06.
	if len(subnets) < 16384-2 {
		t.Errorf("only %d subnets", len(subnets))
	}
	for _, n := range eighths { // 2,048 each, sigma 42
		if n < 1800 || n > 2300 {
			t.Errorf("addresses are not spread evenly: %v", eighths)
		}
	}
	if small < 3800 || small > 4400 { // 4,096, sigma 55
		t.Errorf("%d small interface identifiers, want one in four", small)
	}
	if _, ok := s.Index(s.IPv6[0].Next()); ok {
		t.Errorf("%s has a neighbour", s.IPv6[0])
	}
}

// The assignment must not follow the address, or a scan of a part of the range
// would see another population.
func TestPopulationIsMixed(t *testing.T) {
	s := Default()
	var halves [2]int
	both := 0
	for a := range s.Addresses {
		if a.Is4() && s.Behaviour(a, 443) == TCP {
			halves[a.As4()[2]>>7]++
			if s.Behaviour(a, 80) == TCP {
				both++
			}
		}
	}
	// 14,418 hosts over two halves: sigma 60. By chance 22 % of them are also
	// TCP on port 80: 3,172, sigma 50.
	if d := halves[0] - halves[1]; d < -600 || d > 600 {
		t.Errorf("%d TCP hosts in the lower half, %d in the upper", halves[0], halves[1])
	}
	if both < 2900 || both > 3450 {
		t.Errorf("%d hosts are TCP on both ports: the ports are not independent", both)
	}
}

func TestPopulationFollowsSeed(t *testing.T) {
	parse := func(seed string) *Scenario {
		s, err := Parse("", []byte(strings.Replace(good, "seed: 7", "seed: "+seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b, c := parse("7"), parse("7"), parse("8")
	for _, family := range Families {
		of := lot{family, 80}
		if !slices.Equal(a.population[of], b.population[of]) {
			t.Errorf("%s: the same seed gave another population", family)
		}
		if slices.Equal(a.population[of], c.population[of]) {
			t.Errorf("%s: another seed gave the same population", family)
		}
	}
	if !slices.Equal(a.IPv6, b.IPv6) || slices.Equal(a.IPv6, c.IPv6) {
		t.Error("IPv6 addresses do not follow the seed")
	}
}

func TestBehaviourOutsideScenario(t *testing.T) {
	s := Default()
	for _, c := range []struct {
		addr string
		port uint16
	}{{"198.18.0.1", 22}, {"198.19.0.1", 80}, {"192.0.2.1", 80}, {"2001:db8::1", 80}, {s.IPv6[0].String(), 22}, {"::ffff:198.18.0.1", 80}} {
		if b := s.Behaviour(netip.MustParseAddr(c.addr), c.port); b != Silent {
			t.Errorf("%s port %d is %s", c.addr, c.port, b)
		}
	}
}

func TestReplies(t *testing.T) {
	s := Default()
	var duplicates [5]int
	for a := range s.Addresses {
		for p := Plain; int(p) < Probes; p++ {
			n := s.Replies(a, 443, p)
			switch b := s.Behaviour(a, 443); {
			case b == Silent, b == Forger, b == DropMPTCP && (p == V0 || p == V1), b == DropUnknown && p != Plain:
				if n != 0 {
					t.Fatalf("%s is %s, and sends %d replies to %s", a, b, n, p)
				}
			case b == Duplicate:
				if n < 2 || n > 4 {
					t.Fatalf("%s sends %d duplicates", a, n)
				}
				duplicates[n]++
			case n != 1:
				t.Fatalf("%s is %s, and sends %d replies to %s", a, b, n, p)
			}
		}
	}
	for n := 2; n <= 4; n++ {
		if duplicates[n] < 200 {
			t.Errorf("only %d hosts send %d replies", duplicates[n]/Probes, n)
		}
	}
}

func TestBehavioursAreDescribed(t *testing.T) {
	seen := make(map[string]bool)
	for b := Behaviour(0); int(b) < Behaviours; b++ {
		if b.String() == "" || b.Wire() == "" || seen[b.String()] {
			t.Errorf("behaviour %d is %q, %q", b, b, b.Wire())
		}
		seen[b.String()] = true
		// Treatments compare with the plain probe; what is to be seen of one in
		// the other's verdict is the same conclusion in other words.
		for _, p := range []Probe{V0, V1} {
			verdict, treatment := b.Verdict(p), b.Treatment(p)
			want := map[Verdict][]Treatment{
				NoRow:       {Drops},
				Closed:      {AlwaysClosed, Resets},
				Unreachable: {AlwaysClosed},
				NoMPTCP:     {Ignores, Strips},
				Mirrored:    {Mirrors},
				Tampered:    {Tampers},
				Implausible: {ImplausibleKey},
				Potential:   {Supports, Mirrors},
			}[verdict]
			if b.Verdict(Plain) == NoRow {
				want = []Treatment{NoTreatment}
			}
			if !slices.Contains(want, treatment) {
				t.Errorf("%s, %s: verdict %q, treatment %q", b, p, verdict, treatment)
			}
			if verdict.Certain() != treatment.Certain() {
				t.Errorf("%s, %s: verdict is certain %t, treatment %t", b, p, verdict.Certain(), treatment.Certain())
			}
		}
		if b.Treatment(Plain) != NoTreatment || b.Treatment(Canary) != NoTreatment {
			t.Errorf("%s has a treatment of what carries no MP_CAPABLE", b)
		}
		// A canary is judged like a plain SYN, where it gets an answer.
		if v := b.Verdict(Canary); v != b.Verdict(Plain) && b != DropUnknown {
			t.Errorf("%s: verdict %q for a canary", b, v)
		}
	}
}
