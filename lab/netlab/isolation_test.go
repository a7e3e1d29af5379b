package netlab

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// withoutNamespaces skips a test that the machine does not allow; in CI that
// would hide it.
func withoutNamespaces(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("network namespaces are not allowed here: %v", err)
	}
	t.Skipf("network namespaces are not allowed here: %v", err)
}

// asRoot runs the test in a user namespace, where anyone may make network
// namespaces, unless root runs it. It returns false in the outer process.
func asRoot(t *testing.T) bool {
	if os.Geteuid() == 0 {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		withoutNamespaces(t, err)
	}
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}

// pair is two namespaces joined by a veth, and a third that is no part of the
// lab.
type pair struct{ a, b, outside *Namespace }

func newPair(t *testing.T) pair {
	t.Helper()
	var p pair
	for name, n := range map[string]**Namespace{"a": &p.a, "b": &p.b, "outside": &p.outside} {
		var err error
		if *n, err = NewNamespace(name); err != nil {
			withoutNamespaces(t, err)
		}
		t.Cleanup((*n).Close)
	}
	must(t, p.a.setUp(""))
	must(t, p.b.setUp(""))
	must(t, connect(p.a, "to-b", p.b, "to-a", nil))
	addresses := func(texts ...string) (all []netip.Prefix) {
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	must(t, p.a.configure(interfaceConfig{name: "to-b", addresses: addresses("198.19.9.1/30", "2001:db8:ffff:9::1/64", "fe80::1/64")}))
	must(t, p.b.configure(interfaceConfig{name: "to-a", addresses: addresses("198.19.9.2/30", "2001:db8:ffff:9::2/64", "fe80::2/64")}))
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p pair) check(t *testing.T) error {
	outside, err := OutsideInode()
	must(t, err)
	return CheckIsolated(outside, []*Namespace{p.a, p.b})
}

func addRoute(t *testing.T, n *Namespace, device, to string) {
	t.Helper()
	h, err := n.netlink()
	must(t, err)
	defer h.Close()
	link, err := h.LinkByName(device)
	must(t, err)
	_, dst, err := net.ParseCIDR(to)
	must(t, err)
	must(t, h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}))
}

func addAddress(t *testing.T, n *Namespace, device, address string) {
	t.Helper()
	h, err := n.netlink()
	must(t, err)
	defer h.Close()
	link, err := h.LinkByName(device)
	must(t, err)
	must(t, h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(address)), Flags: unix.IFA_F_NODAD}))
}

func TestCheckIsolated(t *testing.T) {
	if !asRoot(t) {
		return
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, p pair)
		want   string // empty: isolated
	}{
		"joined pair": {func(*testing.T, pair) {}, ""},
		"pair within one namespace": {func(t *testing.T, p pair) {
			must(t, connect(p.a, "x", p.a, "y", nil))
		}, ""},
		"veth to the outside": {func(t *testing.T, p pair) {
			must(t, connect(p.a, "leak", p.outside, "leak", nil))
		}, "namespace a: the other end of leak is outside"},
		"veth from the outside": {func(t *testing.T, p pair) {
			must(t, connect(p.outside, "leak", p.b, "eth0", nil))
		}, "namespace b: the other end of eth0 is outside"},
		"dummy": {func(t *testing.T, p pair) {
			addLink(t, p.a, &netlink.Dummy{LinkAttrs: named("dummy0")})
		}, "namespace a: interface dummy0 is a dummy, not a veth"},
		"TUN device": {func(t *testing.T, p pair) {
			addLink(t, p.b, &netlink.Tuntap{LinkAttrs: named("tun0"), Mode: netlink.TUNTAP_MODE_TUN})
		}, "namespace b: interface tun0 is a tuntap, not a veth"},
		"bridge": {func(t *testing.T, p pair) {
			addLink(t, p.b, &netlink.Bridge{LinkAttrs: named("br0")})
		}, "namespace b: interface br0 is a bridge, not a veth"},
		"default route": {func(t *testing.T, p pair) {
			addRoute(t, p.a, "to-b", "0.0.0.0/0")
		}, "namespace a: there is a route to 0.0.0.0/0, beyond 198.18.0.0/15"},
		"half of a default route": {func(t *testing.T, p pair) {
			addRoute(t, p.a, "to-b", "128.0.0.0/1")
		}, "namespace a: there is a route to 128.0.0.0/1, beyond"},
		"one foreign address": {func(t *testing.T, p pair) {
			addRoute(t, p.b, "to-a", "192.0.2.1/32")
		}, "namespace b: there is a route to 192.0.2.1/32, beyond"},
		"wider than the lab": {func(t *testing.T, p pair) {
			addRoute(t, p.b, "to-a", "198.16.0.0/12")
		}, "namespace b: there is a route to 198.16.0.0/12, beyond"},
		"IPv6 default route": {func(t *testing.T, p pair) {
			addRoute(t, p.b, "to-a", "::/0")
		}, "namespace b: there is a route to ::/0, beyond"},
		"all global IPv6 addresses": {func(t *testing.T, p pair) {
			addRoute(t, p.a, "to-b", "2000::/3")
		}, "namespace a: there is a route to 2000::/3, beyond"},
		"wider than the documentation prefix": {func(t *testing.T, p pair) {
			addRoute(t, p.a, "to-b", "2001:db8::/31")
		}, "namespace a: there is a route to 2001:db8::/31, beyond"},
		"one foreign IPv6 address": {func(t *testing.T, p pair) {
			addRoute(t, p.b, "to-a", "2001:db9::1/128")
		}, "namespace b: there is a route to 2001:db9::1/128, beyond"},
		"unique local IPv6 addresses": {func(t *testing.T, p pair) {
			addRoute(t, p.b, "to-a", "fd00::/8")
		}, "namespace b: there is a route to fd00::/8, beyond"},
		"IPv6 route within the lab": {func(t *testing.T, p pair) {
			addRoute(t, p.b, "to-a", "2001:db8::/32")
		}, ""},
		"foreign address": {func(t *testing.T, p pair) {
			addAddress(t, p.a, "to-b", "192.0.2.1/32")
		}, "namespace a: there is an address 192.0.2.1, beyond"},
		"foreign IPv6 address": {func(t *testing.T, p pair) {
			addAddress(t, p.b, "to-a", "2001:db9::1/128")
		}, "namespace b: there is an address 2001:db9::1, beyond"},
		"foreign IPv6 address on loopback": {func(t *testing.T, p pair) {
			addAddress(t, p.b, "lo", "fd00::1/128")
		}, "namespace b: there is an address fd00::1, beyond"},
		"IPv6 tunnel": {func(t *testing.T, p pair) {
			addLink(t, p.a, &netlink.Ip6tnl{LinkAttrs: named("tunnel"), Local: net.ParseIP("2001:db8:ffff:9::1"), Remote: net.ParseIP("2001:db8:ffff:9::2")})
		}, "namespace a: interface tunnel is a ip6tnl, not a veth"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			c.change(t, p)
			err := p.check(t)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (!errors.Is(err, ErrNotIsolated) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
	t.Run("the outside itself", func(t *testing.T) {
		p := newPair(t)
		inode, err := p.b.inode()
		must(t, err)
		err = CheckIsolated(inode, []*Namespace{p.a, p.b})
		if !errors.Is(err, ErrNotIsolated) || !strings.Contains(err.Error(), "namespace b: it is the one") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("peer not named", func(t *testing.T) {
		p := newPair(t)
		outside, err := OutsideInode()
		must(t, err)
		if err := CheckIsolated(outside, []*Namespace{p.a}); !errors.Is(err, ErrNotIsolated) {
			t.Errorf("got %v", err)
		}
	})
}

func named(name string) netlink.LinkAttrs {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return attrs
}

// The first thread must never change its namespace: /proc/PID/ns/net, by which
// commands enter the lab, would change with it.
func TestDoSparesFirstThread(t *testing.T) {
	if !asRoot(t) {
		return
	}
	before, err := OutsideInode()
	must(t, err)
	p := newPair(t)
	for range 100 {
		must(t, p.a.Do(func() error { return nil }))
	}
	if after, err := OutsideInode(); err != nil || after != before {
		t.Errorf("the process is in namespace %d, was in %d: %v", after, before, err)
	}
}

// addLink makes the device in a thread there: not all kinds can be made from
// another namespace.
func addLink(t *testing.T, n *Namespace, link netlink.Link) {
	t.Helper()
	err := n.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		return h.LinkAdd(link)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES) {
		t.Skipf("cannot make a %s here: %v", link.Type(), err)
	}
	must(t, err)
}

func TestBlocklist(t *testing.T) {
	var blocked []netip.Prefix
	for line := range strings.Lines(blocklist()) {
		if !strings.HasPrefix(line, "#") {
			blocked = append(blocked, netip.MustParsePrefix(strings.TrimSpace(line)))
		}
	}
	addresses, part6 := uint64(0), 0.0 // IPv6 as a part of the whole
	for _, p := range blocked {
		if p.Overlaps(Space) || p.Overlaps(Space6) {
			t.Errorf("%s blocks the lab", p)
		}
		if p.Addr().Is4() {
			addresses += 1 << (32 - p.Bits())
		} else {
			part6 += math.Ldexp(1, -p.Bits())
		}
	}
	// Disjoint prefixes, or the sums would be larger.
	if want := uint64(1<<32 - 1<<17); addresses != want {
		t.Errorf("%d addresses blocked, want %d", addresses, want)
	}
	if want := 1 - math.Ldexp(1, -32); part6 != want {
		t.Errorf("of IPv6 %v is blocked, want %v", part6, want)
	}
}

func TestParseReplies(t *testing.T) {
	// As nft 1.0.6 prints a set with counters.
	const text = `{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}, {"set": {"family": "ip", "name": "replies", "table": "lab", "type": ["ipv4_addr", "inet_service", "mark"], "flags": ["dynamic"], "elem": [` +
		`{"elem": {"val": {"concat": ["198.19.0.2", 443, 1]}, "counter": {"packets": 7, "bytes": 420}}}, ` +
		`{"elem": {"val": {"concat": ["198.19.0.1", 80, 0]}, "counter": {"packets": 3, "bytes": 180}}}], "stmt": [{"counter": null}]}}]}`
	counts, err := parseReplies([]byte(text))
	if err != nil || len(counts) != 2 {
		t.Fatalf("%v, %v", counts, err)
	}
	want := hostReply{scenario.Hosts[0], "ipv4", scenario.Plain, 80, 3}
	if counts[1] != want {
		t.Errorf("got %v, want %v", counts[1], want)
	}
	text6 := strings.NewReplacer(`"ip"`, `"ip6"`, "ipv4_addr", "ipv6_addr", "198.19.0.1", "2001:db8:ffff:a::1", "198.19.0.2", "2001:db8:ffff:a::2").Replace(text)
	if counts, err = parseReplies([]byte(text6)); err != nil || len(counts) != 2 || counts[0] != (hostReply{scenario.Hosts[1], "ipv6", scenario.V0, 443, 7}) {
		t.Errorf("IPv6: %v, %v", counts, err)
	}
	for _, bad := range []string{"", "{}}", strings.Replace(text, "198.19.0.2", "192.0.2.1", 1), strings.Replace(text, "443, 1]", "443, 9]", 1), strings.Replace(text, "443", "-1", 1)} {
		if counts, err := parseReplies([]byte(bad)); err == nil || counts != nil {
			t.Errorf("%.40q: %v, %v", bad, counts, err)
		}
	}
}
