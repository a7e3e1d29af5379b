package scenario

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// populate gives every address its behaviour, port by port: the counts laid
// out in order, then shuffled by a generator that the seed and the port
// determine. So each behaviour has exactly its share, and an address behaves
// the same in every run.
func (s *Scenario) populate(counts [Behaviours]int) {
	s.population = make(map[uint16][]Behaviour, len(s.Ports))
	for _, port := range s.Ports {
		all := make([]Behaviour, 0, s.size)
		for b, n := range counts {
			all = append(all, slices.Repeat([]Behaviour{Behaviour(b)}, n)...)
		}
		all = all[:s.size] // the rest is zero: Silent
		// Fisher-Yates on raw PCG output, whose stream is fixed; rand.Shuffle
		// may draw differently in another Go release. The modulo's bias is
		// below 2^-47 here.
		source := rand.NewPCG(s.Seed, uint64(port))
		for i := len(all) - 1; i > 0; i-- {
			j := source.Uint64() % uint64(i+1)
			all[i], all[j] = all[j], all[i]
		}
		s.population[port] = all
	}
}

// Addresses calls yield with every address, in numerical order.
func (s *Scenario) Addresses(yield func(netip.Addr) bool) {
	for _, p := range s.Ranges {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			if !yield(a) {
				return
			}
		}
	}
}

// Behaviour is what the simulated target does; Silent for addresses and ports
// that the scenario does not have.
func (s *Scenario) Behaviour(a netip.Addr, port uint16) Behaviour {
	of := s.population[port]
	if of == nil || !a.Is4() {
		return Silent
	}
	index := 0
	for _, p := range s.Ranges {
		if p.Contains(a) {
			return of[index+int(number(a)-number(p.Addr()))]
		}
		index += 1 << (32 - p.Bits())
	}
	return Silent
}

func number(a netip.Addr) uint32 { b := a.As4(); return binary.BigEndian.Uint32(b[:]) }

// Traits is 64 bits, fixed for a target, that choose among the variants of its
// behaviour: stack, distance, ICMP code. (The finaliser of SplitMix64.)
func (s *Scenario) Traits(a netip.Addr, port uint16) uint64 {
	x := s.Seed ^ uint64(number(a))<<16 ^ uint64(port)
	for range 2 {
		x += 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}

// Replies is how many packets the target sends for each SYN.
func (s *Scenario) Replies(a netip.Addr, port uint16) int {
	switch s.Behaviour(a, port) {
	case Silent:
		return 0
	case Duplicate:
		return 2 + int(s.Traits(a, port)>>60)%3
	}
	return 1
}

// Host is a real kernel that the lab runs beside the simulated population.
type Host struct {
	Name      string
	Addr      netip.Addr
	Behaviour Behaviour
}

// Hosts are the lab's real kernels, by address. All listen on HostPorts,
// whatever the scenario.
var Hosts = []Host{
	{"mptcp1", netip.MustParseAddr("198.19.0.1"), KernelMPTCP},
	{"mptcp2", netip.MustParseAddr("198.19.0.2"), KernelMPTCP},
	{"tcp", netip.MustParseAddr("198.19.0.3"), KernelTCP},
	{"stripped", netip.MustParseAddr("198.19.0.4"), KernelStripped},
}

// HostPorts are the ports that the real kernels listen on: one answers HTTP,
// the other is only there to be connected to.
var HostPorts = []uint16{80, 443}
