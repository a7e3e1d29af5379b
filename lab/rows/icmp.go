package rows

import "net/netip"

// quoteRoom is the length of our longest SYN: IPv6 and TCP header, the options of a Linux client, and an
// MP_CAPABLE with a key.
const quoteRoom = 40 + 20 + 20 + 12

// leastQuote is what a router must quote beyond the IP header: RFC 792.
const leastQuote = 8

// Types and codes that answer a SYN: RFC 792, RFC 1812 §5.2.7.1, RFC 4443 §3.1 and §3.3.
var (
	errorsIPv4 = [][2]uint8{{3, 1}, {3, 1}, {3, 1}, {3, 0}, {3, 3}, {3, 10}, {3, 13}, {3, 13}, {11, 0}}
	errorsIPv6 = [][2]uint8{{1, 0}, {1, 1}, {1, 3}, {1, 3}, {1, 4}, {3, 0}}
)

// fillICMP makes r the message of a router on the way to the target.
func (s *scan) fillICMP(r *reply) {
	errors := errorsIPv4
	if s.params.Family == IPv6 {
		errors = errorsIPv6
	}
	code := pick(s.random, errors)
	r.icmpType, r.icmpCode = code[0], code[1]
	r.ttl = []uint8{64, 255}[s.random.UintN(2)] - s.hops()
	r.ipid = uint16(s.random.Uint32())
	r.responder = s.router(r.target)

	syn := s.syn(r)
	r.quoteLength = len(syn.AppendTo(r.quote[:0]))
	if s.params.Family == IPv4 && s.random.UintN(4) == 0 {
		r.quoteLength = 20 + leastQuote
	}
}

// router is an address in the target's neighbourhood.
func (s *scan) router(target netip.Addr) netip.Addr {
	bytes := target.AsSlice()
	bytes[len(bytes)-1] = byte(1 + s.random.UintN(4))
	router, _ := netip.AddrFromSlice(bytes)
	return router
}

// syn is our SYN as the router got it.
func (s *scan) syn(r *reply) SYN {
	return SYN{
		Source: s.scanner, Target: r.target, SourcePort: r.ourPort, TargetPort: s.params.Port,
		Seq: r.ack - 1, TSValue: s.tsValue, HopLimit: 1 + byte(s.random.UintN(50)),
		Probe: s.params.Probe, Key: r.sentKey,
	}
}
