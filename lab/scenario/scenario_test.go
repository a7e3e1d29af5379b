package scenario

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

const good = "seed: 7\nranges: [198.18.0.0/24, 198.18.9.0/28]\nports: [443, 80]\nbehaviours:\n  tcp: 0.5\n  mirror: 8\n"

func TestParse(t *testing.T) {
	s, err := Parse("good.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if s.Seed != 7 || !slices.Equal(s.Ports, []uint16{80, 443}) || len(s.Ranges) != 2 {
		t.Errorf("seed %d, ports %v, ranges %v", s.Seed, s.Ports, s.Ranges)
	}
	for _, port := range s.Ports {
		if got := census(s, port); got[TCP] != 136 || got[Mirror] != 8 || got[Silent] != 272-136-8 {
			t.Errorf("port %d: %d tcp, %d mirror, %d silent of 272", port, got[TCP], got[Mirror], got[Silent])
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
		"field twice":         {good + "seed: 8\n", `s.yaml:7: "seed" stands twice`},
		"negative seed":       {replace("7", "-7"), `s.yaml:1: seed "-7" is not`},
		"not a prefix":        {replace("198.18.0.0/24", "198.18.0.0"), `s.yaml:2: range "198.18.0.0" is not a prefix`},
		"host bits":           {replace("198.18.9.0/28", "198.18.9.1/28"), "s.yaml:2: range 198.18.9.1/28 has host bits set: write 198.18.9.0/28"},
		"outside":             {replace("198.18.9.0/28", "198.19.0.0/24"), "s.yaml:2: range 198.19.0.0/24 is not inside 198.18.0.0/16"},
		"wider than space":    {replace("198.18.0.0/24", "198.18.0.0/15"), "s.yaml:2: range 198.18.0.0/15 is not inside"},
		"IPv6":                {replace("198.18.0.0/24", "2001:db8::/32"), "s.yaml:2: range 2001:db8::/32 is not inside"},
		"overlap":             {replace("198.18.9.0/28", "198.18.0.16/28"), "s.yaml:2: range 198.18.0.16/28 overlaps 198.18.0.0/24"},
		"no ranges":           {replace("ranges: [198.18.0.0/24, 198.18.9.0/28]\n", ""), "s.yaml:1: no ranges"},
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
		"shares above one":    {replace("8\n", "0.51\n"), "s.yaml:6: mirror and what stands before it need 275 addresses, the ranges have 272"},
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
func census(s *Scenario, port uint16) (counts [Behaviours]int) {
	for a := range s.Addresses {
		counts[s.Behaviour(a, port)]++
	}
	return counts
}

func TestDefaultHasEveryBehaviour(t *testing.T) {
	s := Default()
	for _, port := range s.Ports {
		counts := census(s, port)
		for b := Silent; b < KernelMPTCP; b++ {
			if counts[b] < 190 {
				t.Errorf("port %d: only %d hosts are %s", port, counts[b], b)
			}
		}
		if counts[Mirror] != 3932 { // 6 % of 65,536
			t.Errorf("port %d: %d mirrors, want 3932", port, counts[Mirror])
		}
	}
}

// The assignment must not follow the address, or a scan of a part of the range
// would see another population.
func TestPopulationIsMixed(t *testing.T) {
	s := Default()
	var halves [2]int
	both := 0
	for a := range s.Addresses {
		if s.Behaviour(a, 443) == TCP {
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
	if !slices.Equal(a.population[80], b.population[80]) {
		t.Error("the same seed gave another population")
	}
	if slices.Equal(a.population[80], c.population[80]) {
		t.Error("another seed gave the same population")
	}
}

func TestBehaviourOutsideScenario(t *testing.T) {
	s := Default()
	for _, c := range []struct {
		addr string
		port uint16
	}{{"198.18.0.1", 22}, {"198.19.0.1", 80}, {"192.0.2.1", 80}, {"2001:db8::1", 80}} {
		if b := s.Behaviour(netip.MustParseAddr(c.addr), c.port); b != Silent {
			t.Errorf("%s port %d is %s", c.addr, c.port, b)
		}
	}
}

func TestReplies(t *testing.T) {
	s := Default()
	var duplicates [5]int
	for a := range s.Addresses {
		n := s.Replies(a, 443)
		switch s.Behaviour(a, 443) {
		case Silent:
			if n != 0 {
				t.Fatalf("%s is silent, and sends %d replies", a, n)
			}
		case Duplicate:
			if n < 2 || n > 4 {
				t.Fatalf("%s sends %d duplicates", a, n)
			}
			duplicates[n]++
		default:
			if n != 1 {
				t.Fatalf("%s sends %d replies", a, n)
			}
		}
	}
	for n := 2; n <= 4; n++ {
		if duplicates[n] < 50 {
			t.Errorf("only %d hosts send %d replies", duplicates[n], n)
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
		if b == Silent {
			continue
		}
		for _, p := range []Probe{Plain, V0, V1} {
			if b.Verdict(p) == NoRow {
				t.Errorf("%s has no verdict for %s", b, p)
			}
		}
	}
}
