package scenario

import (
	"encoding/binary"
	"net/netip"
)

// RouterSpace and RouterSpace6 number the simulated routers, apart from targets, real hosts and links.
var (
	RouterSpace  = netip.MustParsePrefix("198.19.128.0/18")
	RouterSpace6 = netip.MustParsePrefix("2001:db8:e000::/36")
)

// A path has from MinHops to MaxHops routers, any number with the same chance.
const (
	MinHops = 3
	MaxHops = 20
)

// Path is the way that SYNs take from the scanner to a simulated target. The seed fixes it. Routers are
// numbered from 1; the target itself answers SYNs with a TTL above Hops.
type Path struct {
	Hops    int
	Box     Box
	BoxHop  int    // the box stands behind this router; 0: before the first
	Variant uint64 // random bits, fixed, that choose among what a kind of box does

	ipv6 bool
	tree uint64 // determines the routers of a family
	leaf byte   // the network that the target is in
	flow uint64 // what routers that balance by flow choose by
}

// Path is the way to a target.
func (s *Scenario) Path(a netip.Addr, port uint16) Path {
	return s.PathTo(a, port, s.Behaviour(a, port))
}

// PathTo is the way to a target, were it of behaviour b: as one was in the past of lab/history. Routers
// depend on the address alone, the box on port and behaviour too.
func (s *Scenario) PathTo(a netip.Addr, port uint16, b Behaviour) Path {
	way, flow := mix(s.Traits(a, 0)), mix(s.Traits(a, port))
	p := Path{
		Hops:    MinHops + int(way%(MaxHops-MinHops+1)),
		Variant: mix(flow),
		ipv6:    a.Is6(),
		tree:    mix(s.Seed),
		leaf:    leafOf(a),
		flow:    flow,
	}
	if p.ipv6 {
		p.tree = mix(p.tree)
	}
	p.Box = boxFor(b, int(p.Variant>>32%100))
	p.BoxHop = boxes[p.Box].first + int(p.Variant>>40)%(p.Hops+1-boxes[p.Box].first-boxes[p.Box].before)
	return p
}

// leafOf numbers the network of a target: what of its address differs first in Space and Space6.
func leafOf(a netip.Addr) byte {
	if a.Is4() {
		return a.As4()[2]
	}
	b := a.As16()
	return b[4]<<1 | b[5]>>7
}

// Quote is what a router tells of a packet whose TTL ended there.
type Quote uint8

// The ways to quote.
const (
	QuoteWhole    Quote = iota // as much as fits: more than a SYN (RFC 1812 §4.3.2.3, RFC 4443 §3.3)
	QuoteEight                 // the IP header and 8 bytes (RFC 792)
	QuoteExtended              // the whole SYN, padded, and an MPLS label behind it (RFC 4884, RFC 4950)
	QuoteLimited               // as QuoteWhole, but half of the packets get no answer, at random
	QuoteNone                  // nothing: a silent router
)

func (q Quote) String() string {
	return [...]string{"whole", "eight", "extended", "limited", "none"}[q]
}

// Router is what stands at one hop of a path.
type Router struct {
	Addr  netip.Addr
	Other netip.Addr // another router that takes each packet with the same chance; invalid where there is none
	Quote Quote      // of both
	Flows bool       // routers share the flows here: other targets' flows may meet another one
}

// Shares of routers in percent; the others quote the whole packet, and stand alone at their hop.
const (
	silentRouters   = 8
	limitedRouters  = 8
	eightRouters    = 20
	extendedRouters = 10
	packetBalanced  = 6
	flowBalanced    = 6
)

// Router is the one at a hop, from 1 to Hops. Routers form a tree: the first is everybody's, and at each
// further hop four times as many share the networks, until each network has its own.
//
// The first router answers always, or a silent one would leave every path without its first hop.
func (p Path) Router(hop int) Router {
	networkBits := min(2*(hop-1), 8)
	node := uint64(hop)<<8 | uint64(p.leaf>>(8-networkBits)<<(8-networkBits))
	traits := mix(p.tree ^ mix(node))
	r := Router{Addr: p.routerAddr(node, 0)}
	if hop == 1 {
		return r
	}
	switch share := traits % 100; {
	case share < silentRouters:
		r.Quote = QuoteNone
	case share < silentRouters+limitedRouters:
		r.Quote = QuoteLimited
	case share < silentRouters+limitedRouters+eightRouters:
		r.Quote = QuoteEight
	case share < silentRouters+limitedRouters+eightRouters+extendedRouters:
		r.Quote = QuoteExtended
	}
	switch share := traits >> 32 % 100; {
	case share < packetBalanced:
		r.Other = p.routerAddr(node, 1)
	case share < packetBalanced+flowBalanced:
		r.Flows = true
		r.Addr = p.routerAddr(node, p.flow>>uint(hop)&1)
	}
	return r
}

// routerAddr is the address of one of the two routers that a node of the tree may have: a number in
// RouterSpace, a /64 in RouterSpace6.
func (p Path) routerAddr(node, which uint64) netip.Addr {
	index := node<<1 | which
	if !p.ipv6 {
		b := RouterSpace.Addr().As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(index))
		return netip.AddrFrom4(b)
	}
	b := RouterSpace6.Addr().As16()
	binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])|index)
	b[15] = 1
	return netip.AddrFrom16(b)
}
