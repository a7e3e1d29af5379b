package netlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/mpcensus/mpcensus/lab/chains"
	"github.com/mpcensus/mpcensus/lab/scenario"
)

// The interfaces of a router in a chain, where it has no others.
const (
	upLink   = "up"   // towards the scanner
	downLink = "down" // towards the host
)

// node is a namespace in a chain, with its addresses.
type node struct {
	*Namespace
	ipv4, ipv6 netip.Addr
	userspace  *chains.Router // nil: the kernel forwards
}

// hostileName is the namespace of all hostile servers.
const hostileName = "hostile"

// chainNetwork is what stands behind the internet:
//
//	internet ── trunk-2 ── trunk-3 ──┬── clean-4 ── clean-5 ── clean
//	                                 ├── strip-syn-4 ── … ── strip-syn
//	                                 ├── …
//	                                 └── hostile
//
// A router's name has its hop.
type chainNetwork struct {
	hosts   map[string]*Namespace // by scenario.Chain.Name
	hostile *Namespace
	nodes   []*Namespace // all of them, routers among them
	routers []node       // those that forward in userspace
}

// newNode makes a namespace with rules of nftables.
func (c *chainNetwork) newNode(name string, ipv4, ipv6 netip.Addr, rules string) (node, error) {
	ns, err := NewNamespace(name)
	if err != nil {
		return node{}, err
	}
	c.nodes = append(c.nodes, ns)
	return node{Namespace: ns, ipv4: ipv4, ipv6: ipv6}, ns.setUp(rules)
}

// newRouter makes a router of the kernel's.
func (c *chainNetwork) newRouter(name string, r scenario.ChainRouter, rules string) (node, error) {
	n, err := c.newNode(name, r.IPv4, r.IPv6, refuseTCP+rules)
	if err != nil {
		return n, err
	}
	return n, n.forward()
}

// joinChains makes the chains behind the internet.
func joinChains(internet *Namespace) (*chainNetwork, error) {
	c := &chainNetwork{hosts: make(map[string]*Namespace)}
	behind := []netip.Prefix{
		scenario.ChainRouters, scenario.ChainHosts, scenario.HostileServers,
		scenario.ChainRouters6, scenario.ChainHosts6, scenario.HostileServers6,
	}
	// All chains have the same trunk.
	routers := scenario.Chains[0].Routers
	above := node{Namespace: internet, ipv4: routers[0].IPv4, ipv6: routers[0].IPv6}
	at := "trunk"
	for hop := 2; hop <= scenario.TrunkHops; hop++ {
		below, err := c.newRouter(fmt.Sprintf("trunk-%d", hop), routers[hop-1], "")
		if err != nil {
			return nil, err
		}
		if err := attach(above, at, below, behind); err != nil {
			return nil, err
		}
		above, at = below, downLink
	}
	// What no chain has must not go round in circles. The hostile servers have all of
	// their prefixes.
	for _, prefix := range slices.DeleteFunc(behind, func(p netip.Prefix) bool {
		return p == scenario.HostileServers || p == scenario.HostileServers6
	}) {
		if err := above.blackhole(prefix); err != nil {
			return nil, err
		}
	}
	for _, chain := range scenario.Chains {
		if err := c.join(chain, above); err != nil {
			return nil, fmt.Errorf("make the chain %s: %w", chain.Name, err)
		}
	}
	return c, c.joinHostile(above)
}

// join makes one chain behind the trunk.
func (c *chainNetwork) join(chain scenario.Chain, above node) error {
	at := chain.Name // the trunk's interface
	var other node   // of two parallel routers
	beyond := append(routerPrefixes(chain.Routers[scenario.TrunkHops:]), host(chain.IPv4), host(chain.IPv6))
	for i := scenario.TrunkHops; i < len(chain.Routers); i++ {
		hop, r := i+1, chain.Routers[i]
		below, err := c.equip(chain, hop)
		if err != nil {
			return err
		}
		beyond = beyond[2:] // all but this router
		if err := attach(above, at, below, beyond); err != nil {
			return err
		}
		if r.Other != nil {
			if other, err = c.joinOther(chain, hop, above, beyond); err != nil {
				return err
			}
		}
		if chain.Routers[i-1].Other != nil {
			if err := joinAgain(other, below, beyond); err != nil {
				return err
			}
		}
		above, at = below, downLink
	}
	end, err := c.newNode(chain.Name, chain.IPv4, chain.IPv6, "")
	if err != nil {
		return err
	}
	c.hosts[chain.Name] = end.Namespace
	return attach(above, at, end, nil)
}

func routerPrefixes(routers []scenario.ChainRouter) (prefixes []netip.Prefix) {
	for _, r := range routers {
		prefixes = append(prefixes, host(r.IPv4), host(r.IPv6))
	}
	return prefixes
}

// attach connects a node below another and gives it its addresses and the way
// up. beyond is what else the upper one reaches by it.
func attach(above node, at string, below node, beyond []netip.Prefix) error {
	if err := connect(above.Namespace, at, below.Namespace, upLink, nil); err != nil {
		return err
	}
	routes := append([]route{{to: host(below.ipv4)}}, routesBy(below, slices.Concat([]netip.Prefix{host(below.ipv6)}, beyond))...)
	err := above.configure(interfaceConfig{
		name: at, addresses: []netip.Prefix{netip.PrefixFrom(upstream, 64)}, routes: routes,
	})
	if err != nil {
		return err
	}
	err = below.configure(interfaceConfig{
		name:      upLink,
		addresses: []netip.Prefix{host(below.ipv4), host(below.ipv6), netip.PrefixFrom(downstream, 64)},
		routes:    []route{{to: Space, by: above.ipv4}, {to: Space6, by: upstream}},
	})
	if err != nil {
		return err
	}
	return introduce(above, at, below)
}

// introduce tells the userspace routers at the ends of a link their interface and
// the other's link address.
func introduce(above node, at string, below node) error {
	if above.userspace == nil && below.userspace == nil {
		return nil
	}
	upper, upperMAC, err := above.link(at)
	if err != nil {
		return err
	}
	lower, lowerMAC, err := below.link(upLink)
	if err != nil {
		return err
	}
	if r := above.userspace; r != nil {
		r.Down = chains.Side{Index: upper, Neighbour: lowerMAC}
	}
	if r := below.userspace; r != nil {
		r.Up = chains.Side{Index: lower, Neighbour: upperMAC}
	}
	return nil
}

// routesBy lead to prefixes by a node below.
func routesBy(below node, to []netip.Prefix) (routes []route) {
	for _, p := range to {
		if p.Addr().Is4() {
			routes = append(routes, route{to: p, by: below.ipv4})
		} else {
			routes = append(routes, route{to: p, by: downstream})
		}
	}
	return routes
}

// equip makes the router at a hop.
func (c *chainNetwork) equip(chain scenario.Chain, hop int) (n node, err error) {
	name, router := fmt.Sprintf("%s-%d", chain.Name, hop), chain.Routers[hop-1]
	if r := userspace(chain, hop); r != nil {
		if n, err = c.newNode(name, router.IPv4, router.IPv6, refuseTCP); err != nil {
			return n, err
		}
		r.Name, r.IPv4, r.IPv6 = name, router.IPv4, router.IPv6
		n.userspace = r
		c.routers = append(c.routers, n)
		return n, nil
	}
	if n, err = c.newRouter(name, router, forBoth(rulesAt(chain, hop))); err != nil {
		return n, err
	}
	box := hop == chain.Truth("ipv4").BoxHop
	switch {
	case router.Errors == scenario.Limited:
		return n, n.limitErrors()
	case (chain.Name == "nat" || chain.Name == "synproxy") && box:
		return n, n.trackStrictly()
	}
	return n, nil
}

// rulesAt are what nftables does at a hop, for each FAMILY that they speak of.
func rulesAt(chain scenario.Chain, hop int) string {
	router := chain.Routers[hop-1]
	box := hop == chain.Truth("ipv4").BoxHop // IPv6 has the same box, or none
	switch {
	case chain.Name == "nat" && box:
		return fmt.Sprintf(`
add chain FAMILY lab nat { type nat hook postrouting priority 100; }
add rule ip lab nat oifname down snat to %s
add rule ip6 lab nat oifname down snat to %s`, router.IPv4, router.IPv6)
	case router.Errors == scenario.SaysNothing:
		return `
add chain ip lab output { type filter hook output priority 0; }
add rule ip lab output icmp type time-exceeded drop
add rule ip6 lab output icmpv6 type time-exceeded drop`
	case hop < len(chain.Routers) && chain.Routers[hop].Other != nil: // the next hop
		return `
add chain FAMILY lab spread { type filter hook prerouting priority -150; }
add rule FAMILY lab spread iifname up meta mark set numgen random mod 2`
	case box:
		return "add chain FAMILY lab forward { type filter hook forward priority 0; }\n" + boxRules[chain.Name]
	}
	return ""
}

// userspace is the router at a hop that Linux cannot be; nil if it can.
func userspace(chain scenario.Chain, hop int) *chains.Router {
	router := chain.Routers[hop-1]
	switch {
	case router.Errors == scenario.QuotesShort:
		return &chains.Router{ShortQuote: true}
	case hop != chain.Truth("ipv4").BoxHop:
		return nil
	}
	switch chain.Name {
	case "mirror":
		return &chains.Router{Box: new(chains.Mirror)}
	case "answer":
		return &chains.Router{Box: new(chains.Answer)}
	case "seq-rewrite":
		return &chains.Router{Box: chains.ShiftSequence{By: 0x5eed1234}}
	case "nat-quoted":
		return &chains.Router{Box: &chains.TranslateSource{IPv4: router.IPv4, IPv6: router.IPv6}}
	}
	return nil
}

// boxRules are what nftables does to packets that a box forwards.
var boxRules = map[string]string{
	"strip-syn":       stripSYN,
	"strip-gap":       stripSYN,
	"strip-unseen":    stripSYN,
	"strip-synack":    "add rule FAMILY lab forward oifname up tcp flags & (syn | ack) == (syn | ack) reset tcp option mptcp",
	"strip-both":      "add rule FAMILY lab forward reset tcp option mptcp",
	"strip-data":      "add rule FAMILY lab forward tcp flags & syn == 0 reset tcp option mptcp",
	"rewrite-flags":   "add rule FAMILY lab forward iifname up tcp flags & (syn | ack) == syn tcp option @30,16,16 set 0x0100",
	"rewrite-version": "add rule FAMILY lab forward iifname up tcp flags & (syn | ack) == syn tcp option @30,16,16 set 0x0201",
	"drop":            "add rule FAMILY lab forward iifname up tcp flags & (syn | ack) == syn tcp option mptcp exists drop",
	"reset":           "add rule FAMILY lab forward iifname up tcp flags & (syn | ack) == syn tcp option mptcp exists reject with tcp reset",
	"mss-clamp":       "add rule FAMILY lab forward tcp flags & syn == syn tcp option maxseg size set 1000",
	"synproxy": `
add chain ip lab untracked { type filter hook prerouting priority -300; }
add rule ip lab untracked iifname up tcp flags & (syn | ack) == syn notrack
add rule ip lab forward iifname up tcp dport { 80, 443 } ct state { invalid, untracked } synproxy mss 1460 wscale 7 timestamp sack-perm
add rule ip lab forward ct state invalid drop`,
}

const stripSYN = "add rule FAMILY lab forward iifname up tcp flags & (syn | ack) == syn reset tcp option mptcp"

// forBoth repeats each rule that speaks of a FAMILY for IPv4 and IPv6.
func forBoth(rules string) string {
	var b strings.Builder
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line) + "\n"
		if strings.Contains(line, "FAMILY") {
			b.WriteString(strings.ReplaceAll(line, "FAMILY", "ip6"))
		}
		b.WriteString(strings.ReplaceAll(line, "FAMILY", "ip"))
	}
	return b.String()
}

// trackStrictly is what a synproxy needs: it must not take over connections that
// it has not seen begin. And repeated SYNs of one flow, as a trace has them, are not
// to go untranslated as invalid.
func (n *Namespace) trackStrictly() error {
	return n.sysctl(setting{"netfilter/nf_conntrack_tcp_loose", "0"}, setting{"netfilter/nf_conntrack_tcp_be_liberal", "1"})
}

// secondTable routes what is marked at the router before the load-balanced hop.
const secondTable = 101

// joinOther puts a second router beside the one at a hop, for the marked packets.
func (c *chainNetwork) joinOther(chain scenario.Chain, hop int, above node, beyond []netip.Prefix) (other node, err error) {
	other, err = c.newRouter(fmt.Sprintf("%s-%d-other", chain.Name, hop), *chain.Routers[hop-1].Other, "")
	if err != nil {
		return other, err
	}
	const at = "other"
	if err := attach(above, at, other, nil); err != nil {
		return other, err
	}
	routes := routesBy(other, beyond)
	for i := range routes {
		routes[i].table = secondTable
	}
	if err := above.configure(interfaceConfig{name: at, routes: routes}); err != nil {
		return other, err
	}
	h, err := above.netlink()
	if err != nil {
		return other, err
	}
	defer h.Close()
	for _, family := range families {
		rule := netlink.NewRule()
		rule.Family, rule.Mark, rule.Table = family, 1, secondTable
		if err := h.RuleAdd(rule); err != nil {
			return other, fmt.Errorf("route marked packets in %s: %w", above.Name, err)
		}
	}
	return other, nil
}

// joinAgain joins a second router to where both ways meet. The way back is by the
// first.
func joinAgain(other, below node, beyond []netip.Prefix) error {
	const by = "up-other"
	if err := connect(other.Namespace, downLink, below.Namespace, by, nil); err != nil {
		return err
	}
	err := other.configure(interfaceConfig{
		name: downLink, addresses: []netip.Prefix{netip.PrefixFrom(upstream, 64)},
		routes: append([]route{{to: host(below.ipv4)}}, routesBy(below, append([]netip.Prefix{host(below.ipv6)}, beyond...))...),
	})
	if err != nil {
		return err
	}
	return below.configure(interfaceConfig{name: by, addresses: []netip.Prefix{netip.PrefixFrom(downstream, 64)}})
}

// link finds an interface.
func (n *Namespace) link(name string) (index int, mac net.HardwareAddr, err error) {
	h, err := n.netlink()
	if err != nil {
		return 0, nil, err
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	if err != nil {
		return 0, nil, fmt.Errorf("find %s in %s: %w", name, n.Name, err)
	}
	return link.Attrs().Index, link.Attrs().HardwareAddr, nil
}

// start lets the userspace routers forward until ctx ends.
func (c *chainNetwork) start(ctx context.Context) error {
	for _, r := range c.routers {
		if err := r.Do(func() error { return r.userspace.Start(ctx) }); err != nil {
			return err
		}
	}
	return nil
}
