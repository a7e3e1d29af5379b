package scenario

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// Families are the address families, by the names that the dataset has for them.
var Families = []string{"ipv4", "ipv6"}

// FamilyOf names the family of an address.
func FamilyOf(a netip.Addr) string {
	if a.Is4() {
		return Families[0]
	}
	return Families[1]
}

// spread lays n addresses over Space6: random subnets of 64 bits each, and in
// them random interface identifiers, but for one address in four, which has a
// small one as servers often do (RFC 7707 §4.1.3).
func (s *Scenario) spread(n int) {
	random := rand.NewPCG(s.Seed, 6)
	subnetMask := ^uint64(0) >> Space6.Bits()
	prefix := Space6.Addr().As16()
	for len(s.index6) < n {
		a := prefix
		subnet, id := random.Uint64(), random.Uint64()
		if id%4 == 0 {
			id = 1 + id>>2%254
		}
		binary.BigEndian.PutUint64(a[:8], binary.BigEndian.Uint64(a[:8])|subnet&subnetMask)
		binary.BigEndian.PutUint64(a[8:], id)
		s.index6[netip.AddrFrom16(a)] = 0
	}
	for a := range s.index6 {
		s.IPv6 = append(s.IPv6, a)
	}
	slices.SortFunc(s.IPv6, netip.Addr.Compare)
	for i, a := range s.IPv6 {
		s.index6[a] = i
	}
}

// lot is one shuffle of behaviours over the addresses of a family.
type lot struct {
	family string
	port   uint16
}

// populate gives every address of a family its behaviour, port by port: the
// counts laid out in order, then shuffled by a generator that the seed, the port
// and the family determine. So each behaviour has exactly its share, and an
// address behaves the same in every run.
func (s *Scenario) populate(family string, size int, counts [Behaviours]int) {
	for _, port := range s.Ports {
		all := make([]Behaviour, 0, size)
		for b, n := range counts {
			all = append(all, slices.Repeat([]Behaviour{Behaviour(b)}, n)...)
		}
		all = all[:size] // the rest is zero: Silent
		// Fisher-Yates on raw PCG output, whose stream is fixed; rand.Shuffle
		// may draw differently in another Go release. The modulo's bias is
		// below 2^-47 here.
		stream := uint64(port)
		if family == Families[1] {
			stream |= 6 << 16
		}
		source := rand.NewPCG(s.Seed, stream)
		for i := len(all) - 1; i > 0; i-- {
			j := source.Uint64() % uint64(i+1)
			all[i], all[j] = all[j], all[i]
		}
		s.population[lot{family, port}] = all
	}
}

// Addresses calls yield with every address, in the order of netip.Addr.Compare:
// IPv4 before IPv6, each in numerical order.
func (s *Scenario) Addresses(yield func(netip.Addr) bool) {
	for _, p := range s.Ranges {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			if !yield(a) {
				return
			}
		}
	}
	for _, a := range s.IPv6 {
		if !yield(a) {
			return
		}
	}
}

// Size is how many addresses there are.
func (s *Scenario) Size() int { return s.size + len(s.IPv6) }

// Has tells whether there are addresses of a family.
func (s *Scenario) Has(family string) bool {
	if family == Families[0] {
		return s.size > 0
	}
	return len(s.IPv6) > 0
}

// Index is the place of an address among Addresses, counted from 0; false for an
// address that the scenario does not have.
func (s *Scenario) Index(a netip.Addr) (index int, ok bool) {
	if a.Is6() {
		index, ok = s.index6[a]
		return s.size + index, ok
	}
	for _, p := range s.Ranges {
		if p.Contains(a) {
			return index + int(number(a)-number(p.Addr())), true
		}
		index += 1 << (32 - p.Bits())
	}
	return 0, false
}

// Behaviour is what the simulated target does; Silent for addresses and ports
// that the scenario does not have.
func (s *Scenario) Behaviour(a netip.Addr, port uint16) Behaviour {
	index, ok := s.Index(a)
	of := s.population[lot{FamilyOf(a), port}]
	if !ok || of == nil {
		return Silent
	}
	if a.Is6() {
		index -= s.size
	}
	return of[index]
}

func number(a netip.Addr) uint32 { b := a.As4(); return binary.BigEndian.Uint32(b[:]) }

// Traits is 64 bits, fixed for a target, that choose among the variants of its
// behaviour: stack, distance, ICMP code. (The finaliser of SplitMix64.)
func (s *Scenario) Traits(a netip.Addr, port uint16) uint64 {
	x := s.Seed ^ uint64(port)
	if a.Is4() {
		x ^= uint64(number(a)) << 16
	} else {
		b := a.As16()
		x ^= mix(binary.BigEndian.Uint64(b[:8])) ^ binary.BigEndian.Uint64(b[8:])
	}
	return mix(mix(x))
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Replies is how many packets the target sends for each SYN of a kind, forged
// ones apart.
func (s *Scenario) Replies(a netip.Addr, port uint16, p Probe) int {
	return s.Behaviour(a, port).Replies(p, s.Traits(a, port))
}

// Host is a real kernel that the lab runs beside the simulated population, with
// an address of each family.
type Host struct {
	Name      string
	IPv4      netip.Addr
	IPv6      netip.Addr
	Behaviour Behaviour
}

// Addrs are the host's addresses, in the order of Families.
func (h Host) Addrs() []netip.Addr { return []netip.Addr{h.IPv4, h.IPv6} }

// Hosts are the lab's real kernels, by address. All listen on HostPorts,
// whatever the scenario.
var Hosts = []Host{
	host("mptcp1", "198.19.0.1", "2001:db8:ffff:a::1", KernelMPTCP),
	host("mptcp2", "198.19.0.2", "2001:db8:ffff:a::2", KernelMPTCP),
	host("tcp", "198.19.0.3", "2001:db8:ffff:a::3", KernelTCP),
	host("stripped", "198.19.0.4", "2001:db8:ffff:a::4", KernelStripped),
}

func host(name, ipv4, ipv6 string, b Behaviour) Host {
	return Host{name, netip.MustParseAddr(ipv4), netip.MustParseAddr(ipv6), b}
}

// HostAt finds the real kernel with an address.
func HostAt(a netip.Addr) (Host, bool) {
	i := slices.IndexFunc(Hosts, func(h Host) bool { return slices.Contains(h.Addrs(), a) })
	if i < 0 {
		return Host{}, false
	}
	return Hosts[i], true
}

// HostPorts are the ports that the real kernels listen on: HTTP, and HTTP over TLS.
var HostPorts = []uint16{80, 443}
