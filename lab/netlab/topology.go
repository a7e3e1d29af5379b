package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/responder"
	"github.com/mpcensus/mpcensus/lab/scenario"
)

// The scanner's side of the lab. The addresses outside the population are the
// second half of Space and Space6, so that a scan of the first meets only
// targets.
const (
	ScannerInterface  = "scan0"
	ScannerInterface6 = "scan6" // a second way to the same hosts, without IPv4
	gatewayInterface  = "net0"
	gatewayInterface6 = "net6"
)

// Scanner is a place in the lab to scan from.
type Scanner struct {
	Interface   string     `json:"interface"`
	Source      netip.Addr `json:"source"`
	SourceIPv6  netip.Addr `json:"source_ipv6"`
	Gateway     netip.Addr `json:"gateway"`
	GatewayIPv6 netip.Addr `json:"gateway_ipv6"`
	GatewayMAC  string     `json:"gateway_mac"`
}

var (
	ScannerAddr = netip.MustParseAddr("198.19.255.1")
	GatewayAddr = netip.MustParseAddr("198.19.255.2")
	GatewayMAC  = net.HardwareAddr{0x02, 0, 0, 0x13, 0xff, 0x02}

	scannerLink = netip.MustParsePrefix("198.19.255.0/30")
	routerAddr  = netip.MustParseAddr("198.19.1.1")
	routerAddr6 = netip.MustParseAddr("2001:db8:ffff:b::1")

	// What hosts and routers call their routers by in IPv6, each on its own
	// link. (A kernel that forwards asks for neighbours from a link-local address
	// only.)
	upstream   = netip.MustParseAddr("fe80::1")
	downstream = netip.MustParseAddr("fe80::2")
)

// scanners are the two ends that a scanner has, on links of /64 in IPv6.
var scanners = []Scanner{
	{
		Interface: ScannerInterface, GatewayMAC: GatewayMAC.String(),
		Source: ScannerAddr, Gateway: GatewayAddr,
		SourceIPv6: netip.MustParseAddr("2001:db8:ffff::1"), GatewayIPv6: netip.MustParseAddr("2001:db8:ffff::2"),
	},
	{
		Interface: ScannerInterface6, GatewayMAC: "02:00:00:13:ff:06",
		SourceIPv6: netip.MustParseAddr("2001:db8:ffff:6::1"), GatewayIPv6: netip.MustParseAddr("2001:db8:ffff:6::2"),
	},
}

// scannerLink6 is the prefix length of the scanner's links.
const scannerLink6 = 64

// network is the lab's namespaces:
//
//	scanner ══ internet ──┬── mptcp1, mptcp2, tcp
//	                      ├── router ── stripped
//	                      └── chains
//
// The population lives on the internet's ends of both links to the scanner.
type network struct {
	scanner, internet, router *Namespace
	hosts                     map[string]*Namespace // by scenario.Host.Name
	chains                    *chainNetwork
}

func (n *network) all() []*Namespace {
	all := []*Namespace{n.scanner, n.internet, n.router}
	for _, h := range scenario.Hosts {
		all = append(all, n.hosts[h.Name])
	}
	return append(all, n.chains.nodes...)
}

// newNetwork makes the namespaces and joins them. The calling process' own is
// the scanner's, which lets others enter it by the process' number.
func newNetwork() (*network, error) {
	n := &network{hosts: make(map[string]*Namespace)}
	var err error
	if n.scanner, err = OpenNamespace(ScannerNamespace, "/proc/self/ns/net"); err != nil {
		return nil, err
	}
	if n.internet, err = NewNamespace("internet"); err != nil {
		return nil, err
	}
	if n.router, err = NewNamespace("router"); err != nil {
		return nil, err
	}
	for _, h := range scenario.Hosts {
		if n.hosts[h.Name], err = NewNamespace(h.Name); err != nil {
			return nil, err
		}
	}
	for _, ns := range slices.AppendSeq([]*Namespace{n.scanner}, maps.Values(n.hosts)) {
		if err := ns.setUp(""); err != nil {
			return nil, err
		}
	}
	for _, ns := range []*Namespace{n.internet, n.router} {
		if err := ns.setUp(refuseTCP); err != nil {
			return nil, err
		}
	}
	return n, n.join()
}

// setUp undoes what a new namespace inherits from its machine's settings, and
// keeps the kernel from talking by itself. It adds rules of nftables to the tables
// lab of both families. (One run of nft, as there are a hundred namespaces.)
func (n *Namespace) setUp(rules string) error {
	var settings []setting
	for _, conf := range []string{"all", "default"} {
		settings = append(settings,
			setting{"ipv4/conf/" + conf + "/rp_filter", "0"},
			setting{"ipv6/conf/" + conf + "/disable_ipv6", "0"},
			// Only the addresses that the lab gives, and without asking anybody.
			setting{"ipv6/conf/" + conf + "/addr_gen_mode", "1"},
			setting{"ipv6/conf/" + conf + "/autoconf", "0"},
			setting{"ipv6/conf/" + conf + "/accept_ra", "0"},
			setting{"ipv6/conf/" + conf + "/accept_dad", "0"},
			setting{"ipv6/conf/" + conf + "/dad_transmits", "0"},
			setting{"ipv6/conf/" + conf + "/router_solicitations", "0"},
			setting{"ipv6/conf/" + conf + "/accept_redirects", "0"},
		)
	}
	if err := n.sysctl(settings...); err != nil {
		return err
	}
	h, err := n.netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo in %s: %w", n.Name, err)
	}
	if err := h.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring up lo in %s: %w", n.Name, err)
	}
	// No switch here learns from reports of multicast listeners (RFC 3810), and
	// among the packets they would only be noise.
	return n.nft(`
add table ip lab
add table ip6 lab
add chain ip6 lab output { type filter hook output priority 0; }
add rule ip6 lab output icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } drop
` + rules)
}

func (n *network) join() error {
	for _, router := range []*Namespace{n.internet, n.router} {
		if err := router.forward(); err != nil {
			return err
		}
	}
	// One silent target would otherwise turn MPTCP off for the scanner's
	// connections to all others, for an hour.
	if err := n.scanner.sysctlIfKnown("mptcp/blackhole_timeout", "0"); err != nil {
		return err
	}
	// The TTL tells a scan's SYNs from those of the kernel's own connections.
	for _, name := range []string{"ipv4/ip_default_ttl", "ipv6/conf/all/hop_limit", "ipv6/conf/default/hop_limit"} {
		if err := n.scanner.sysctl(setting{name, strconv.Itoa(responder.ScanTTL - 1)}); err != nil {
			return err
		}
	}
	if err := n.joinScanner(); err != nil {
		return err
	}
	if err := n.internet.nft(countReplies()); err != nil {
		return err
	}
	// What the population leaves unanswered the kernel must not answer.
	for _, space := range spaces {
		if err := n.internet.blackhole(space); err != nil {
			return err
		}
	}
	err := n.joinRouter()
	if err != nil {
		return err
	}
	for _, h := range scenario.Hosts {
		if err := n.joinHost(h); err != nil {
			return err
		}
	}
	n.chains, err = joinChains(n.internet)
	return err
}

// forward makes a router, without the kernel's limits on ICMP errors: a trace of many
// targets gets 6 to 9 answers of 300 from a router that has them.
func (n *Namespace) forward() error {
	err := n.sysctl(
		setting{"ipv4/ip_forward", "1"},
		setting{"ipv6/conf/all/forwarding", "1"},
		setting{"ipv4/icmp_ratelimit", "0"},
		setting{"ipv6/icmp/ratelimit", "0"},
	)
	if err != nil {
		return err
	}
	// These count for both families, and before Linux 6.12 for the whole machine.
	for _, name := range []string{"ipv4/icmp_msgs_per_sec", "ipv4/icmp_msgs_burst"} {
		if err := n.sysctlIfKnown(name, "1000000"); err != nil {
			return err
		}
	}
	return nil
}

// refuseTCP keeps a router's own stack from answering TCP: it is no target.
const refuseTCP = `
add chain ip lab input { type filter hook input priority 0; }
add rule ip lab input meta l4proto tcp drop
add chain ip6 lab input { type filter hook input priority 0; }
add rule ip6 lab input meta l4proto tcp drop
`

// limitErrors brings back the kernel's limit: after six errors to an address one a
// second. (In IPv6 the time is divided by 8 where the route back is a /32.)
func (n *Namespace) limitErrors() error {
	return n.sysctl(setting{"ipv4/icmp_ratelimit", "1000"}, setting{"ipv6/icmp/ratelimit", "8000"})
}

func (n *network) joinScanner() error {
	for i, s := range scanners {
		mac, err := net.ParseMAC(s.GatewayMAC)
		if err != nil {
			return err
		}
		at := []string{gatewayInterface, gatewayInterface6}[i]
		if err := connect(n.scanner, s.Interface, n.internet, at, mac); err != nil {
			return err
		}
		ours, theirs := interfaceConfig{name: s.Interface}, interfaceConfig{name: at}
		ours.addresses = append(ours.addresses, netip.PrefixFrom(s.SourceIPv6, scannerLink6))
		theirs.addresses = append(theirs.addresses, netip.PrefixFrom(s.GatewayIPv6, scannerLink6), netip.PrefixFrom(upstream, 64))
		// The first interface is the kernel's choice, the others are there for who names them.
		ours.routes = append(ours.routes, route{to: Space6, by: s.GatewayIPv6, metric: 1024 * (i + 1)})
		if s.Source.IsValid() {
			ours.addresses = append(ours.addresses, netip.PrefixFrom(s.Source, scannerLink.Bits()))
			theirs.addresses = append(theirs.addresses, netip.PrefixFrom(s.Gateway, scannerLink.Bits()))
			ours.routes = append(ours.routes, route{to: Space, by: s.Gateway})
		}
		if err := n.scanner.configure(ours); err != nil {
			return err
		}
		if err := n.internet.configure(theirs); err != nil {
			return err
		}
		if err := n.scanner.knowGateway(s); err != nil {
			return err
		}
	}
	return nil
}

// joinRouter joins the router that strips MPTCP.
func (n *network) joinRouter() error {
	if err := connect(n.internet, "router", n.router, "up", nil); err != nil {
		return err
	}
	err := n.internet.configure(interfaceConfig{
		name:      "router",
		addresses: []netip.Prefix{netip.PrefixFrom(upstream, 64)},
		routes:    []route{{to: host(routerAddr)}, {to: host(routerAddr6), by: downstream}},
	})
	if err != nil {
		return err
	}
	err = n.router.configure(interfaceConfig{
		name:      "up",
		addresses: []netip.Prefix{host(routerAddr), host(routerAddr6), netip.PrefixFrom(downstream, 64)},
		routes:    []route{{to: Space, by: GatewayAddr}, {to: Space6, by: upstream}},
	})
	if err != nil {
		return err
	}
	return n.router.nft(`
add chain ip lab forward { type filter hook forward priority 0; }
add rule ip lab forward reset tcp option mptcp
add chain ip6 lab forward { type filter hook forward priority 0; }
add rule ip6 lab forward reset tcp option mptcp`)
}

func (n *network) joinHost(h scenario.Host) error {
	at, gateway := n.internet, GatewayAddr
	if h.Behaviour == scenario.KernelStripped {
		at, gateway = n.router, routerAddr
		err := n.internet.configure(interfaceConfig{
			name:   "router",
			routes: []route{{to: host(h.IPv4), by: routerAddr}, {to: host(h.IPv6), by: downstream}},
		})
		if err != nil {
			return err
		}
	}
	ns := n.hosts[h.Name]
	if err := connect(at, h.Name, ns, "eth0", nil); err != nil {
		return err
	}
	err := at.configure(interfaceConfig{
		name:      h.Name,
		addresses: []netip.Prefix{netip.PrefixFrom(upstream, 64)},
		routes:    []route{{to: host(h.IPv4)}, {to: host(h.IPv6)}},
	})
	if err != nil {
		return err
	}
	return ns.configure(interfaceConfig{
		name:      "eth0",
		addresses: []netip.Prefix{host(h.IPv4), host(h.IPv6)},
		routes:    []route{{to: Space, by: gateway}, {to: Space6, by: upstream}},
	})
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// connect makes a veth pair between two namespaces.
func connect(a *Namespace, nameA string, b *Namespace, nameB string, macB net.HardwareAddr) error {
	h, err := a.netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nameA
	err = h.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: nameB, PeerHardwareAddr: macB,
		PeerNamespace: netlink.NsFd(b.file.Fd()),
	})
	if err != nil {
		return fmt.Errorf("connect %s to %s: %w", a.Name, b.Name, err)
	}
	return nil
}

// route leads to a prefix, by a gateway or, without one, on the link.
type route struct {
	to     netip.Prefix
	by     netip.Addr
	metric int // zero: the kernel's default
	table  int // zero: the main one
}

// interfaceConfig is what an interface has when it is up.
type interfaceConfig struct {
	name      string
	addresses []netip.Prefix
	routes    []route
}

// configure brings an interface up.
func (n *Namespace) configure(c interfaceConfig) error {
	h, err := n.netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(c.name)
	if err != nil {
		return fmt.Errorf("find %s in %s: %w", c.name, n.Name, err)
	}
	if err := n.checksumInSoftware(c.name); err != nil {
		return err
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s in %s: %w", c.name, n.Name, err)
	}
	for _, address := range c.addresses {
		add := &netlink.Addr{IPNet: ipNet(address)}
		if address.Addr().Is6() {
			add.Flags = unix.IFA_F_NODAD // in use at once
		}
		if err := h.AddrAdd(link, add); err != nil {
			return fmt.Errorf("give %s in %s the address %s: %w", c.name, n.Name, address, err)
		}
	}
	for _, r := range c.routes {
		add := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(r.to), Priority: r.metric, Table: r.table}
		if r.by.IsValid() {
			// The gateway's address is on its end of this link alone.
			add.Gw, add.Flags = r.by.AsSlice(), int(netlink.FLAG_ONLINK)
		} else {
			add.Scope = netlink.SCOPE_LINK
		}
		if err := h.RouteAdd(add); err != nil {
			return fmt.Errorf("add route to %s in %s: %w", r.to, n.Name, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func (n *Namespace) blackhole(p netip.Prefix) error {
	h, err := n.netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.RouteAdd(&netlink.Route{Dst: ipNet(p), Type: unix.RTN_BLACKHOLE}); err != nil {
		return fmt.Errorf("add blackhole route to %s in %s: %w", p, n.Name, err)
	}
	return nil
}

// knowGateway enters the gateway's MAC address for good: scanners read it from
// the neighbour table.
func (n *Namespace) knowGateway(s Scanner) error {
	h, err := n.netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(s.Interface)
	if err != nil {
		return fmt.Errorf("find %s: %w", s.Interface, err)
	}
	mac, err := net.ParseMAC(s.GatewayMAC)
	if err != nil {
		return err
	}
	for _, gateway := range []netip.Addr{s.Gateway, s.GatewayIPv6} {
		if !gateway.IsValid() {
			continue
		}
		err = h.NeighAdd(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT,
			IP: gateway.AsSlice(), HardwareAddr: mac,
		})
		if err != nil {
			return fmt.Errorf("enter the gateway's MAC address: %w", err)
		}
	}
	return nil
}

// checksumInSoftware makes the kernel complete TCP checksums before a packet
// enters the veth. Offloaded, they would be missing in every capture.
func (n *Namespace) checksumInSoftware(name string) error {
	return n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open socket in %s: %w", n.Name, err)
		}
		defer unix.Close(fd)
		value := struct{ command, data uint32 }{unix.ETHTOOL_STXCSUM, 0}
		request := struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [24 - unsafe.Sizeof(uintptr(0))]byte // struct ifreq's union
		}{data: unsafe.Pointer(&value)}
		copy(request.name[:], name)
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
		if errno != 0 {
			return fmt.Errorf("turn off checksum offload of %s in %s: %w", name, n.Name, errno)
		}
		return nil
	})
}

// nft runs commands of nftables in the namespace.
func (n *Namespace) nft(commands string) error {
	_, err := n.runNft(commands, "-f", "-")
	return err
}

func (n *Namespace) runNft(stdin string, args ...string) (out []byte, err error) {
	path, err := exec.LookPath("nft")
	if err != nil {
		path = "/usr/sbin/nft" // not in every user's PATH
	}
	var stderr strings.Builder
	nft := exec.Command(path, args...)
	nft.Stdin, nft.Stderr = strings.NewReader(stdin), &stderr
	err = n.Do(func() (err error) {
		out, err = nft.Output()
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("run nft: %w: install nftables", err)
	case err != nil:
		return nil, fmt.Errorf("run nft in %s: %w: %s", n.Name, err, firstLine(stderr.String()))
	}
	return out, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
