package zmap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
)

// ErrNoNextHop says that no single next hop leads to the target.
var ErrNoNextHop = errors.New("no next hop")

// Route is how packets to a target leave this machine.
type Route struct {
	Interface  string
	Source     netip.Addr
	GatewayMAC string // the next hop's
}

// neighborWait bounds how long the kernel may take to resolve the next hop: it asks three times,
// a second apart (mcast_solicit in Linux's ip-sysctl.rst).
const neighborWait = 3500 * time.Millisecond

// FindRoute asks the kernel for the interface, source address and next hop towards target: on the named
// interface, or on the best one if iface is empty. It sends no packet to target; an unknown next hop is
// resolved by the kernel's own ARP or neighbour discovery. With ErrNoNextHop, the rest is known.
func FindRoute(target netip.Addr, iface string) (Route, error) {
	routes, err := netlink.RouteGetWithOptions(net.IP(target.AsSlice()), &netlink.RouteGetOptions{Oif: iface})
	if err == nil && len(routes) == 0 {
		err = errors.New("the kernel names none")
	}
	if err != nil {
		on := ""
		if iface != "" {
			on = " on " + iface
		}
		return Route{}, fmt.Errorf("no route to %s%s (%w): name --interface, --source-ip and --gateway-mac", target, on, err)
	}
	route := routes[0]
	link, err := netlink.LinkByIndex(route.LinkIndex)
	if err != nil {
		return Route{}, fmt.Errorf("interface towards %s: %w", target, err)
	}
	found := Route{Interface: link.Attrs().Name}
	source, ok := netip.AddrFromSlice(route.Src)
	// Answers to a link-local address would not find the way back.
	if found.Source = source.Unmap(); !ok || !found.Source.IsGlobalUnicast() || found.Source.Is4() != target.Is4() {
		return Route{}, fmt.Errorf("%s has no source address towards %s: give it one, or name --source-ip, --interface and --gateway-mac",
			found.Interface, target)
	}
	if route.Gw == nil {
		return found, fmt.Errorf("%w towards %s on %s, as it is on the same link: name --gateway-mac", ErrNoNextHop, target, found.Interface)
	}
	mac, err := resolveNeighbor(link.Attrs(), route.Gw)
	if err != nil {
		return found, fmt.Errorf("%w: %w", ErrNoNextHop, err)
	}
	found.GatewayMAC = mac.String()
	return found, nil
}

// resolveNeighbor returns the link-layer address of the neighbour ip. The kernel resolves neighbours
// only for packets that it sends itself, so an empty datagram to the neighbour's discard port
// (RFC 863) starts it.
func resolveNeighbor(link *netlink.LinkAttrs, ip net.IP) (net.HardwareAddr, error) {
	deadline := time.Now().Add(neighborWait)
	asked := false
	for {
		neighbors, err := netlink.NeighList(link.Index, netlink.FAMILY_ALL)
		if err != nil {
			return nil, fmt.Errorf("reading neighbours: %w", err)
		}
		for _, n := range neighbors {
			usable := n.State&(netlink.NUD_REACHABLE|netlink.NUD_STALE|netlink.NUD_DELAY|netlink.NUD_PROBE|netlink.NUD_PERMANENT) != 0
			if usable && n.IP.Equal(ip) && len(n.HardwareAddr) == 6 {
				return n.HardwareAddr, nil
			}
		}
		if !asked {
			asked = true
			discard := &net.UDPAddr{IP: ip, Port: 9}
			if ip.IsLinkLocalUnicast() {
				discard.Zone = link.Name // as IPv6 routers often are: RFC 4861 §4.2
			}
			conn, err := net.DialUDP("udp", nil, discard)
			if err != nil {
				return nil, fmt.Errorf("resolving %s on %s: %w: name --gateway-mac", ip, link.Name, err)
			}
			_, err = conn.Write(nil)
			conn.Close()
			if err != nil {
				return nil, fmt.Errorf("resolving %s on %s: %w: name --gateway-mac", ip, link.Name, err)
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s on %s does not answer: name --gateway-mac", ip, link.Name)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
