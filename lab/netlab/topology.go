package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// The scanner's side of the lab. The addresses outside the population are the
// second half of Space, so that a scan of the first half meets only targets.
const (
	ScannerInterface = "scan0"
	gatewayInterface = "net0"
)

var (
	ScannerAddr = netip.MustParseAddr("198.19.255.1")
	GatewayAddr = netip.MustParseAddr("198.19.255.2")
	GatewayMAC  = net.HardwareAddr{0x02, 0, 0, 0x13, 0xff, 0x02}

	scannerLink = netip.MustParsePrefix("198.19.255.0/30")
	routerAddr  = netip.MustParseAddr("198.19.1.1")
)

// network is the lab's namespaces:
//
//	scanner ── internet ──┬── mptcp1, mptcp2, tcp
//	                      └── router ── stripped
//
// The population lives on the internet's end of the link to the scanner.
type network struct {
	scanner, internet, router *Namespace
	hosts                     map[string]*Namespace // by scenario.Host.Name
}

func (n *network) all() []*Namespace {
	all := []*Namespace{n.scanner, n.internet, n.router}
	for _, h := range scenario.Hosts {
		all = append(all, n.hosts[h.Name])
	}
	return all
}

// newNetwork makes the namespaces and joins them. The calling process' own is
// the scanner's, which lets others enter it by the process' number.
func newNetwork() (*network, error) {
	n := &network{hosts: make(map[string]*Namespace)}
	var err error
	if n.scanner, err = OpenNamespace("scanner", "/proc/self/ns/net"); err != nil {
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
	for _, ns := range n.all() {
		if err := ns.setUp(); err != nil {
			return nil, err
		}
	}
	return n, n.join()
}

// setUp undoes what a new namespace inherits from its machine's settings, and
// keeps the kernel from talking by itself.
func (n *Namespace) setUp() error {
	for _, conf := range []string{"all", "default"} {
		if err := n.sysctl("ipv4/conf/"+conf+"/rp_filter", "0"); err != nil {
			return err
		}
		// No router solicitations or listener reports among the packets.
		if err := n.sysctlIfKnown("ipv6/conf/"+conf+"/disable_ipv6", "1"); err != nil {
			return err
		}
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
	return h.LinkSetUp(lo)
}

func (n *network) join() error {
	for _, router := range []*Namespace{n.internet, n.router} {
		if err := router.sysctl("ipv4/ip_forward", "1"); err != nil {
			return err
		}
		// The routers are no targets: their own stack answers no TCP.
		err := router.nft(`
add table ip lab
add chain ip lab input { type filter hook input priority 0; }
add rule ip lab input meta l4proto tcp drop`)
		if err != nil {
			return err
		}
	}
	// One silent target would otherwise turn MPTCP off for the scanner's
	// connections to all others, for an hour.
	if err := n.scanner.sysctlIfKnown("mptcp/blackhole_timeout", "0"); err != nil {
		return err
	}

	if err := connect(n.scanner, ScannerInterface, n.internet, gatewayInterface, GatewayMAC); err != nil {
		return err
	}
	err := n.scanner.configure(ScannerInterface, netip.PrefixFrom(ScannerAddr, scannerLink.Bits()), route{Space, GatewayAddr})
	if err != nil {
		return err
	}
	err = n.internet.configure(gatewayInterface, netip.PrefixFrom(GatewayAddr, scannerLink.Bits()))
	if err != nil {
		return err
	}
	if err := n.scanner.knowGateway(); err != nil {
		return err
	}
	if err := n.internet.nft(countReplies); err != nil {
		return err
	}
	// What the population leaves unanswered the kernel must not answer.
	if err := n.internet.blackhole(Space); err != nil {
		return err
	}

	if err := connect(n.internet, "router", n.router, "up", nil); err != nil {
		return err
	}
	err = n.internet.configure("router", netip.Prefix{}, route{host(routerAddr), netip.Addr{}})
	if err != nil {
		return err
	}
	err = n.router.configure("up", host(routerAddr), route{Space, GatewayAddr})
	if err != nil {
		return err
	}
	err = n.router.nft(`
add chain ip lab forward { type filter hook forward priority 0; }
add rule ip lab forward reset tcp option mptcp`)
	if err != nil {
		return err
	}

	for _, h := range scenario.Hosts {
		at, gateway := n.internet, GatewayAddr
		if h.Behaviour == scenario.KernelStripped {
			at, gateway = n.router, routerAddr
			if err := n.internet.configure("router", netip.Prefix{}, route{host(h.Addr), routerAddr}); err != nil {
				return err
			}
		}
		ns := n.hosts[h.Name]
		if err := connect(at, h.Name, ns, "eth0", nil); err != nil {
			return err
		}
		if err := at.configure(h.Name, netip.Prefix{}, route{host(h.Addr), netip.Addr{}}); err != nil {
			return err
		}
		if err := ns.configure("eth0", host(h.Addr), route{Space, gateway}); err != nil {
			return err
		}
	}
	return nil
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
	to netip.Prefix
	by netip.Addr
}

// configure brings an interface up, with an address where one is given, and
// adds routes through it.
func (n *Namespace) configure(name string, address netip.Prefix, routes ...route) error {
	h, err := n.netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s in %s: %w", name, n.Name, err)
	}
	if err := n.checksumInSoftware(name); err != nil {
		return err
	}
	if address.IsValid() {
		if err := h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(address)}); err != nil {
			return fmt.Errorf("give %s in %s the address %s: %w", name, n.Name, address, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s in %s: %w", name, n.Name, err)
	}
	for _, r := range routes {
		add := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(r.to)}
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
func (n *Namespace) knowGateway() error {
	h, err := n.netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(ScannerInterface)
	if err != nil {
		return fmt.Errorf("find %s: %w", ScannerInterface, err)
	}
	err = h.NeighAdd(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT,
		IP: GatewayAddr.AsSlice(), HardwareAddr: GatewayMAC,
	})
	if err != nil {
		return fmt.Errorf("enter the gateway's MAC address: %w", err)
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
