package scenario

import (
	"net/netip"
	"slices"
)

// Chain is a real kernel that listens with MPTCP at the end of a chain of real
// routers, one of which may treat TCP options, addresses or quotes in its own
// way: the box. Chains are no part of the population: its truth and counts are
// without them.
//
// Hops are numbered from 1, the first router. A box behind hop k changes what
// the hops above k quote, and not what hop k and those before it quote.
type Chain struct {
	Name    string // of the host; its certificate's is Name.lab.example
	Wire    string // what happens on the way
	IPv4    netip.Addr
	IPv6    netip.Addr
	Routers []ChainRouter // in order, from hop 1

	truth    ChainTruth
	ipv4Only bool // in IPv6 the chain is clean
}

// ChainRouter is one hop of a chain. Where packets are spread over two parallel
// routers, Other is the second.
type ChainRouter struct {
	IPv4, IPv6 netip.Addr
	Errors     ErrorManner
	Other      *ChainRouter
}

// ErrorManner is how a router sends Time Exceeded.
type ErrorManner string

// A Linux kernel quotes a SYN whole, but 8 bytes of it are all that RFC 792 asks for.
const (
	QuotesAll   ErrorManner = "quotes all"
	QuotesShort ErrorManner = "quotes 8 bytes"
	SaysNothing ErrorManner = "silent"
	Limited     ErrorManner = "limited" // to six, then one a second, for each address that it sends to
)

// Addrs are the router's addresses of a family: two where there are two routers.
func (r ChainRouter) Addrs(family string) []netip.Addr {
	address := r.IPv4
	if family == Families[1] {
		address = r.IPv6
	}
	if r.Other == nil {
		return []netip.Addr{address}
	}
	return append([]netip.Addr{address}, r.Other.Addrs(family)...)
}

// Direction is which packets a box looks at.
type Direction string

// Forward is from the scanner to the host.
const (
	Nowhere  Direction = ""
	Forward  Direction = "forward"
	Backward Direction = "backward"
	Both     Direction = "both"
)

// ChainTruth is what stands on the way to a chain's host, and what a census with
// v1 should conclude where no packet is lost.
type ChainTruth struct {
	BoxHop  int // the box acts behind this hop; 0: there is none
	Acts    Direction
	Verdict Verdict // of the scan
	// Finding is what became of MP_CAPABLE, as the table paths names it, between
	// the hops After and By, both 0 where it names no place.
	Finding   string
	After, By int
	Connected Connection
	// Final is hosts.final_verdict once the host is scanned, traced and connected to;
	// empty where nothing is concluded, or where the scan has no row.
	Final Verdict
}

// Connection is what becomes of a real connection that asks for MPTCP. A plain
// one is served on every chain.
type Connection string

// The ends of an MPTCP connection.
const (
	Proven               Connection = "proven"                 // MPTCP after data
	FallbackAtConnect    Connection = "fallback-at-connect"    // served over TCP, known at connect
	FallbackAfterConnect Connection = "fallback-after-connect" // MPTCP at connect, served over TCP
	Broken               Connection = "broken"                 // MPTCP at connect, reset when data follows
	Refused              Connection = "refused"                // reset at connect
)

// What classify adds to the verdicts of a scan.
const (
	finalNone     Verdict = ""
	finalTrue     Verdict = "true"
	finalAffected Verdict = "middlebox-affected"
)

// TrunkHops is how many routers all chains share: the internet's end of the
// scanner's link and two more.
const TrunkHops = 3

// The prefixes of what lies behind the trunk.
var (
	ChainRouters  = netip.MustParsePrefix("198.19.1.0/24")
	ChainRouters6 = netip.MustParsePrefix("2001:db8:ffff:b::/64")
	ChainHosts    = netip.MustParsePrefix("198.19.2.0/24")
	ChainHosts6   = netip.MustParsePrefix("2001:db8:ffff:c::/64")
)

// Chains are the lab's chains, in the order of their addresses.
var Chains = numbered([]Chain{
	newChain("clean", 2, "nothing happens on the way",
		ChainTruth{0, Nowhere, Potential, "kept", 0, 0, Proven, finalTrue}),
	newChain("strip-syn", 3, "MP_CAPABLE of SYNs is overwritten with NOPs",
		ChainTruth{4, Forward, NoMPTCP, "removed", 4, 5, FallbackAtConnect, finalAffected}),
	// 12 NOPs in a row in the SYN-ACK tell.
	newChain("strip-synack", 3, "MP_CAPABLE of SYN-ACKs is overwritten with NOPs",
		ChainTruth{5, Backward, NoMPTCP, "kept", 0, 0, FallbackAtConnect, finalAffected}),
	newChain("strip-both", 3, "option 30 of every packet is overwritten with NOPs",
		ChainTruth{5, Both, NoMPTCP, "removed", 5, 6, FallbackAtConnect, finalAffected}),
	newChain("strip-data", 3, "option 30 of all but SYNs and SYN-ACKs is overwritten with NOPs",
		ChainTruth{4, Both, Potential, "kept", 0, 0, FallbackAfterConnect, finalAffected}),
	// Without the flag H a v1 kernel answers plain TCP.
	newChain("rewrite-flags", 3, "MP_CAPABLE of SYNs gets version 1 and no flags",
		ChainTruth{4, Forward, NoMPTCP, "changed", 4, 5, FallbackAtConnect, finalAffected}),
	// A v1 kernel answers a higher version with its own (RFC 8684 §3.1).
	newChain("rewrite-version", 3, "MP_CAPABLE of SYNs gets version 2",
		ChainTruth{5, Forward, Potential, "changed", 5, 6, Proven, finalTrue}),
	newChain("mirror", 3, "MP_CAPABLE of SYNs is overwritten with NOPs, and copied into the SYN-ACK",
		ChainTruth{4, Both, Mirrored, "removed", 4, 5, FallbackAtConnect, finalAffected}),
	newChain("answer", 3, "the box answers SYNs that have MP_CAPABLE, in the host's place and with a random key, and resets the connection when data follows",
		ChainTruth{5, Forward, Potential, "answered-nearer", 5, 6, Broken, finalAffected}),
	// The one silence of hop 6 may be loss; that of the host, at every TTL from 7 on, is none.
	newChain("drop", 3, "SYNs that have MP_CAPABLE are dropped",
		ChainTruth{5, Forward, NoRow, "dropped", 5, 7, FallbackAtConnect, finalNone}),
	newChain("reset", 3, "SYNs that have MP_CAPABLE are answered by a RST in the host's name",
		ChainTruth{4, Forward, Closed, "answered-nearer", 4, 5, Refused, finalAffected}),
	// It answers every SYN, so that a plain probe is answered from as near.
	newChain("synproxy", 3, "IPv4: every SYN is answered at the box, which connects to the host without MPTCP",
		ChainTruth{5, Both, NoMPTCP, "kept", 0, 0, FallbackAtConnect, finalNone}),
	newChain("nat", 3, "the source address is the box' own; Linux translates it back in quotes",
		ChainTruth{4, Both, Potential, "kept", 0, 0, Proven, finalTrue}),
	newChain("nat-quoted", 3, "the source address is the box' own, and stays so in quotes",
		ChainTruth{4, Both, Potential, "kept", 0, 0, Proven, finalTrue}),
	newChain("seq-rewrite", 3, "sequence numbers are shifted, and shifted back in acknowledgements, but not in quotes",
		ChainTruth{4, Both, Potential, "kept", 0, 0, Proven, finalTrue}),
	newChain("mss-clamp", 3, "the MSS of SYNs and SYN-ACKs becomes 1000",
		ChainTruth{4, Both, Potential, "kept", 0, 0, Proven, finalTrue}),
	newChain("short-quotes", 3, "the routers from hop 4 on quote 8 bytes",
		ChainTruth{0, Nowhere, Potential, "kept", 0, 0, Proven, finalTrue}),
	newChain("strip-gap", 4, "as strip-syn; the router at hop 6 quotes 8 bytes, that at hop 5 is silent",
		ChainTruth{4, Forward, NoMPTCP, "removed", 4, 7, FallbackAtConnect, finalAffected}),
	newChain("strip-unseen", 3, "as strip-syn; the routers behind the box quote 8 bytes",
		ChainTruth{4, Forward, NoMPTCP, "kept", 0, 0, FallbackAtConnect, finalNone}),
	newChain("silent", 4, "the router at hop 5 sends no Time Exceeded",
		ChainTruth{0, Nowhere, Potential, "kept", 0, 0, Proven, finalTrue}),
	newChain("rate-limited", 3, "the router at hop 5 sends one Time Exceeded a second to whom it has sent six",
		ChainTruth{0, Nowhere, Potential, "kept", 0, 0, Proven, finalTrue}),
	newChain("load-balanced", 3, "packets take one of two routers at hop 5, at random",
		ChainTruth{0, Nowhere, Potential, "kept", 0, 0, Proven, finalTrue}),
})

func newChain(name string, branch int, wire string, truth ChainTruth) Chain {
	return Chain{
		Name: name, Wire: wire, Routers: make([]ChainRouter, TrunkHops+branch), truth: truth,
		// nft takes the rule for IPv6 too, but then no SYN is answered (Linux 6.18).
		ipv4Only: name == "synproxy",
	}
}

// Truth is what stands on the way in a family, and what to conclude.
func (c Chain) Truth(family string) ChainTruth {
	if c.ipv4Only && family != Families[0] {
		return Chains[0].truth
	}
	return c.truth
}

// manners are those of chains' hops, where a router does not quote all.
var manners = map[string]map[int]ErrorManner{
	"short-quotes": {4: QuotesShort, 5: QuotesShort, 6: QuotesShort},
	"strip-gap":    {5: SaysNothing, 6: QuotesShort},
	"strip-unseen": {5: QuotesShort, 6: QuotesShort},
	"silent":       {5: SaysNothing},
	"rate-limited": {5: Limited},
}

// numbered gives chains and routers what their tables do not say. Addresses: the trunk's are 198.19.1.2
// and .3, those of chain number c are 198.19.1.8c and above, and its host's is
// 198.19.2.c; in IPv6 2001:db8:ffff:b::R and 2001:db8:ffff:c::C with the same
// last byte.
func numbered(chains []Chain) []Chain {
	for i := range chains {
		c := &chains[i]
		c.IPv4, c.IPv6 = nth(ChainHosts, 1+i), nth(ChainHosts6, 1+i)
		// The lab's end of the scanner's link, as netlab has it.
		c.Routers[0] = ChainRouter{IPv4: netip.MustParseAddr("198.19.255.2"), IPv6: netip.MustParseAddr("2001:db8:ffff::2")}
		for hop := 1; hop < len(c.Routers); hop++ {
			if hop < TrunkHops {
				c.Routers[hop] = chainRouter(1 + hop)
			} else {
				c.Routers[hop] = chainRouter(8*(1+i) + hop - TrunkHops)
			}
		}
		for hop := range c.Routers {
			c.Routers[hop].Errors = QuotesAll
		}
		for hop, manner := range manners[c.Name] {
			c.Routers[hop-1].Errors = manner
		}
		if c.Name == "load-balanced" {
			other := chainRouter(8*(1+i) + 7)
			other.Errors = QuotesAll
			c.Routers[TrunkHops+1].Other = &other
		}
	}
	return chains
}

func chainRouter(n int) ChainRouter {
	return ChainRouter{IPv4: nth(ChainRouters, n), IPv6: nth(ChainRouters6, n)}
}

// nth is the address with that last byte in a prefix.
func nth(p netip.Prefix, n int) netip.Addr {
	b := p.Addr().AsSlice()
	b[len(b)-1] = byte(n)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Addrs are the host's addresses, in the order of Families.
func (c Chain) Addrs() []netip.Addr { return []netip.Addr{c.IPv4, c.IPv6} }

// ChainAt finds the chain that ends at an address.
func ChainAt(a netip.Addr) (Chain, bool) {
	i := slices.IndexFunc(Chains, func(c Chain) bool { return slices.Contains(c.Addrs(), a) })
	if i < 0 {
		return Chain{}, false
	}
	return Chains[i], true
}

// BehindTrunk tells whether an address is in the prefixes of the chains' hosts or
// of the hostile servers.
func BehindTrunk(a netip.Addr) bool {
	return slices.ContainsFunc([]netip.Prefix{ChainHosts, ChainHosts6, HostileServers, HostileServers6},
		func(p netip.Prefix) bool { return p.Contains(a) })
}

// Hostility is what a server does to whoever connects.
type Hostility string

// The hostile servers. HTTP is asked for on port 80, HTTP over TLS on 443; what
// does not speak of TLS happens to both alike.
const (
	Well            Hostility = "ok"               // answers as others do
	StallAccept     Hostility = "stall"            // accepts, reads nothing and sends nothing
	Mute            Hostility = "mute"             // reads everything, sends nothing
	StallHandshake  Hostility = "stall-handshake"  // sends half of its first TLS record, or half a status line
	Drip            Hostility = "drip"             // answers a byte a second, inside TLS on 443
	InfiniteBody    Hostility = "infinite-body"    // never ends the body, inside TLS on 443
	InfiniteHeaders Hostility = "infinite-headers" // never ends the headers, inside TLS on 443
	CloseAtOnce     Hostility = "close"            // accepts and ends its half of the connection
	ResetAtData     Hostility = "reset"            // resets the connection when it has got a byte
	Garbage         Hostility = "garbage"          // answers random bytes
	Redirect        Hostility = "redirect"         // sends to an address outside of the lab, inside TLS on 443
	NeverAccepts    Hostility = "dropped"          // SYNs are dropped
	RefusesAll      Hostility = "refused"          // SYNs are answered by a RST
)

// hostilities lists what verify may conclude: grabs.outcome over HTTP and over TLS.
var hostilities = []struct {
	Hostility
	http, tls []string
}{
	{Well, []string{"ok"}, []string{"ok"}},
	{StallAccept, []string{"timeout"}, []string{"timeout"}},
	{Mute, []string{"timeout"}, []string{"timeout"}},
	{StallHandshake, []string{"timeout"}, []string{"timeout"}},
	{Drip, []string{"timeout"}, []string{"timeout"}},
	{InfiniteBody, []string{"truncated"}, []string{"truncated"}},
	// Whichever of its limits a client reaches first.
	{InfiniteHeaders, []string{"protocol-error", "truncated"}, []string{"protocol-error", "truncated"}},
	{CloseAtOnce, []string{"closed-early"}, []string{"closed-early"}},
	{ResetAtData, []string{"reset"}, []string{"reset"}},
	{Garbage, []string{"protocol-error"}, []string{"tls-error"}},
	{Redirect, []string{"ok"}, []string{"ok"}},
	{NeverAccepts, []string{"connect-timeout"}, []string{"connect-timeout"}},
	{RefusesAll, []string{"refused"}, []string{"refused"}},
}

// HostileServers and HostileServers6 hold the hostile servers' addresses.
var (
	HostileServers  = netip.MustParsePrefix("198.19.3.0/24")
	HostileServers6 = netip.MustParsePrefix("2001:db8:ffff:d::/64")
)

// HostileHost is what the routers before the hostile servers call it by.
var HostileHost = chainRouter(4)

// Hostile servers behind the trunk: 200 with IPv4, of which the first 65 have
// IPv6 too, so that each kind is there five times.
const (
	HostileCount  = 200
	HostileCount6 = 65
)

// HostileServer is an address where a server behaves badly on HostPorts.
type HostileServer struct {
	Addr netip.Addr
	Kind Hostility
	HTTP []string // the outcomes that verify may find on port 80
	TLS  []string // and on 443
}

// Hostile lists the hostile servers of a family: the kinds in turn, from the last
// byte 1 on.
func Hostile(family string) []HostileServer {
	prefix, count := HostileServers, HostileCount
	if family == Families[1] {
		prefix, count = HostileServers6, HostileCount6
	}
	servers := make([]HostileServer, count)
	for i := range servers {
		kind := hostilities[i%len(hostilities)]
		servers[i] = HostileServer{nth(prefix, 1+i), kind.Hostility, kind.http, kind.tls}
	}
	return servers
}

// HostileAt is what the hostile server at an address does; false where there is
// none.
func HostileAt(a netip.Addr) (Hostility, bool) {
	prefix, count := HostileServers, HostileCount
	if a.Is6() {
		prefix, count = HostileServers6, HostileCount6
	}
	b := a.AsSlice()
	n := int(b[len(b)-1])
	if !prefix.Contains(a) || nth(prefix, n) != a || n < 1 || n > count {
		return "", false
	}
	return hostilities[(n-1)%len(hostilities)].Hostility, true
}
