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

// FindRoute asks the kernel for the interface, source address and next hop towards target. It sends
// no packet to target; an unknown next hop is resolved by the kernel's own ARP or neighbour discovery.
func FindRoute(target netip.Addr) (Route, error) {
	routes, err := netlink.RouteGet(net.IP(target.AsSlice()))
	if err == nil && len(routes) == 0 {
		err = errors.New("the kernel names none")
	}
	if err != nil {
		return Route{}, fmt.Errorf("no route to %s (%w): name --interface, --source-ip and --gateway-mac", target, err)
	}
	route := routes[0]
	link, err := netlink.LinkByIndex(route.LinkIndex)
	if err != nil {
		return Route{}, fmt.Errorf("interface towards %s: %w", target, err)
	}
	source, ok := netip.AddrFromSlice(route.Src)
	if !ok {
		return Route{}, fmt.Errorf("no source address towards %s: name --source-ip", target)
	}
	found := Route{Interface: link.Attrs().Name, Source: source.Unmap()}
	if route.Gw == nil {
		return found, fmt.Errorf("%w towards %s on %s, as it is on the same link: name --gateway-mac", ErrNoNextHop, target, found.Interface)
	}
	mac, err := resolveNeighbor(route.LinkIndex, route.Gw)
	if err != nil {
		return found, err
	}
	found.GatewayMAC = mac.String()
	return found, nil
}

// resolveNeighbor returns the link-layer address of the neighbour ip. The kernel resolves neighbours
// only for packets that it sends itself, so an empty datagram to the neighbour's discard port
// (RFC 863) starts it.
func resolveNeighbor(linkIndex int, ip net.IP) (net.HardwareAddr, error) {
	deadline := time.Now().Add(neighborWait)
	asked := false
	for {
		neighbors, err := netlink.NeighList(linkIndex, netlink.FAMILY_ALL)
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
			conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: ip, Port: 9})
			if err != nil {
				return nil, fmt.Errorf("resolving next hop %s: %w", ip, err)
			}
			_, err = conn.Write(nil)
			conn.Close()
			if err != nil {
				return nil, fmt.Errorf("resolving next hop %s: %w", ip, err)
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("next hop %s does not answer: name --gateway-mac", ip)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
