package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNotIsolated says that a packet could leave the lab.
var ErrNotIsolated = errors.New("the lab is not isolated")

// Space and Space6 hold every address of a lab: the benchmarking range of RFC
// 2544 and the documentation prefix of RFC 3849, which no network on the Internet
// has.
var (
	Space  = netip.MustParsePrefix("198.18.0.0/15")
	Space6 = netip.MustParsePrefix("2001:db8::/32")

	spaces = []netip.Prefix{Space, Space6}
)

// OutsideInode identifies the network namespace of the calling process, for
// CheckIsolated.
func OutsideInode() (uint64, error) {
	n, err := OpenNamespace("outside", "/proc/self/ns/net")
	if err != nil {
		return 0, err
	}
	defer n.Close()
	return n.inode()
}

// CheckIsolated refuses a lab that a packet could leave. Each namespace must
// be another than the outside, have no interfaces but loopback and veth pairs
// whose other end is in one of the namespaces, and no address and no route beyond
// Space and Space6 but what stays on such a link.
func CheckIsolated(outside uint64, namespaces []*Namespace) error {
	for _, n := range namespaces {
		if err := checkNamespace(outside, n, namespaces); err != nil {
			return fmt.Errorf("%w: namespace %s: %w", ErrNotIsolated, n.Name, err)
		}
	}
	return nil
}

func checkNamespace(outside uint64, n *Namespace, all []*Namespace) error {
	inode, err := n.inode()
	if err != nil {
		return err
	}
	if inode == outside {
		return errors.New("it is the one that the lab was started from")
	}
	h, err := n.netlink()
	if err != nil {
		return err
	}
	defer h.Close()

	links, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	inside, err := insideOf(h, links, nearest(n, all))
	if err != nil {
		return err
	}
	for _, link := range links {
		a := link.Attrs()
		switch {
		case a.Flags&net.FlagLoopback != 0 && link.Type() == "device":
		case link.Type() == "veth" && inside[a.NetNsID]:
		case fallbackTunnels[a.Name] && a.Flags&net.FlagUp == 0:
		case link.Type() == "veth":
			return fmt.Errorf("the other end of %s is outside", a.Name)
		default:
			return fmt.Errorf("interface %s is a %s, not a veth", a.Name, link.Type())
		}
	}
	if err := checkAddresses(h); err != nil {
		return err
	}
	return checkRoutes(h)
}

// insideOf has the numbers of those namespaces that links lead to. The kernel names the
// other end's namespace by a number that only means something here; -1 (none) is
// this namespace itself.
func insideOf(h *netlink.Handle, links []netlink.Link, all []*Namespace) (map[int]bool, error) {
	inside, open := map[int]bool{-1: true}, make(map[int]bool)
	for _, link := range links {
		open[link.Attrs().NetNsID] = true
	}
	delete(open, -1)
	for _, other := range all {
		if len(open) == 0 {
			break
		}
		id, err := h.GetNetNsIdByFd(int(other.file.Fd()))
		if err != nil {
			return nil, fmt.Errorf("resolve namespace %s: %w", other.Name, err)
		}
		inside[id] = true
		delete(open, id)
	}
	return inside, nil
}

// nearest has those first that were made shortly before or after n: most links lead to
// them, so that not all of a hundred need be asked for.
func nearest(n *Namespace, all []*Namespace) []*Namespace {
	place := make(map[*Namespace]int)
	for i, other := range all {
		place[other] = i
	}
	distance := func(other *Namespace) int { return max(place[other]-place[n], place[n]-place[other]) }
	return slices.SortedStableFunc(slices.Values(all), func(a, b *Namespace) int { return distance(a) - distance(b) })
}

// fallbackTunnels appear, down, in every new namespace where their kernel
// module is loaded (net.core.fb_tunnels_only_for_init_net).
var fallbackTunnels = map[string]bool{
	"tunl0": true, "gre0": true, "gretap0": true, "erspan0": true, "ip_vti0": true,
	"sit0": true, "ip6tnl0": true, "ip6gre0": true, "ip6_vti0": true,
}

// local prefixes need no interface, or stay on the link.
var local = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

var families = []int{unix.AF_INET, unix.AF_INET6}

func checkAddresses(h *netlink.Handle) error {
	for _, family := range families {
		addresses, err := h.AddrList(nil, family)
		if err != nil {
			return fmt.Errorf("list addresses: %w", err)
		}
		for _, a := range addresses {
			if single := (&net.IPNet{IP: a.IP, Mask: net.CIDRMask(8*len(a.IP), 8*len(a.IP))}); !contained(single) {
				return fmt.Errorf("there is an address %s, beyond %s and %s", a.IP, Space, Space6)
			}
		}
	}
	return nil
}

func checkRoutes(h *netlink.Handle) error {
	for _, family := range families {
		// Table 0 asks for the routes of every table.
		routes, err := h.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for _, route := range routes {
			if !contained(route.Dst) {
				return fmt.Errorf("there is a route to %s, beyond %s and %s", destination(route.Dst), Space, Space6)
			}
		}
	}
	return nil
}

func contained(dst *net.IPNet) bool {
	if dst == nil {
		return false
	}
	a, _ := netip.AddrFromSlice(dst.IP)
	bits, _ := dst.Mask.Size()
	for _, p := range slices.Concat(local, spaces) {
		if p.Contains(a.Unmap()) && bits >= p.Bits() {
			return true
		}
	}
	return false
}

func destination(dst *net.IPNet) string {
	if dst == nil {
		return "default"
	}
	return dst.String()
}
