package verify

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// A path between scanner and host, by the number of the host in its network. rules are nft's, for the
// router; HOST and IP stand for the host's address and family there.
type path struct {
	number int
	name   string
	server string // "mptcp", "tcp" or "": no server
	rules  []string
	want   row // of the MPTCP connection
	tcp    row // of the plain one
}

// Expectations: RFC 8684 §3.1 (MP_CAPABLE in all three packets of the handshake, or plain TCP) and §3.7
// (fallback when the options are missing later); of the kernel, that it drops MP_CAPABLE from SYNs that
// nobody answers (net.mptcp.syn_retrans_before_tcp_fallback).
var (
	got      = row{outcome: "ok", atConnect: "NULL", afterData: "NULL", fallback: "NULL", status: "200", server: "test server/1.0"}
	proven   = row{outcome: "ok", atConnect: "true", afterData: "true", fallback: "NULL", status: "200", server: "test server/1.0"}
	fellAt   = row{outcome: "ok", atConnect: "false", afterData: "false", fallback: "at-connect", status: "200", server: "test server/1.0"}
	fellThen = row{outcome: "ok", atConnect: "true", afterData: "false", fallback: "after-connect", status: "200", server: "test server/1.0"}
)

func failed(outcome string) row {
	return row{outcome: outcome, atConnect: "NULL", afterData: "NULL", fallback: "NULL", status: "NULL", server: "NULL"}
}

const (
	stripSYN    = "IP daddr HOST tcp flags & (syn|ack) == syn reset tcp option mptcp"
	stripSYNACK = "IP saddr HOST tcp flags & (syn|ack) == (syn|ack) reset tcp option mptcp"
)

var paths = []path{
	{1, "nothing between", "mptcp", nil, proven, got},
	{2, "host without MPTCP", "tcp", nil, fellAt, got},
	{3, "SYN stripped", "mptcp", []string{stripSYN}, fellAt, got},
	{4, "SYN-ACK stripped", "mptcp", []string{stripSYNACK}, fellAt, got},
	{5, "SYN and SYN-ACK stripped", "mptcp", []string{stripSYN, stripSYNACK}, fellAt, got},
	{6, "all but SYN and SYN-ACK stripped", "mptcp", []string{
		"IP daddr HOST tcp flags & syn == 0 reset tcp option mptcp",
		"IP saddr HOST tcp flags & syn == 0 reset tcp option mptcp"}, fellThen, got},
	{7, "SYN with MPTCP dropped", "mptcp", []string{"IP daddr HOST tcp flags & (syn|ack) == syn tcp option mptcp exists drop"}, fellAt, got},
	{8, "all dropped", "mptcp", []string{"IP daddr HOST drop"}, failed("connect-timeout"), failed("connect-timeout")},
	{9, "port closed", "", nil, failed("refused"), failed("refused")},
	{10, "rejected by the router", "mptcp", []string{"IP daddr HOST reject with icmpx host-unreachable"}, failed("unreachable"), failed("unreachable")},
	{11, "reset by the router", "mptcp", []string{"IP daddr HOST meta l4proto tcp reject with tcp reset"}, failed("refused"), failed("refused")},
	{12, "SYN with MPTCP reset", "mptcp", []string{"IP daddr HOST tcp flags & (syn|ack) == syn tcp option mptcp exists reject with tcp reset"}, failed("refused"), got},
	// It does not go on by TCP, so that it is no fallback, though the RST has no option of MPTCP.
	{13, "data reset by the router", "mptcp", []string{"IP daddr HOST tcp flags psh reject with tcp reset"},
		row{outcome: "reset", atConnect: "true", afterData: "NULL", fallback: "NULL", status: "NULL", server: "NULL"}, failed("reset")},
}

// address of the path's host.
func (p path) address(family string) string {
	if family == "ipv4" {
		return fmt.Sprintf("198.18.2.%d", p.number)
	}
	return fmt.Sprintf("2001:db8:2::%d", p.number)
}

// TestPaths connects through a router with nft rules, by HTTP and TLS, IPv4 and IPv6.
func TestPaths(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	buildPaths(t)
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, protocol := range []string{HTTP, TLS} {
			t.Run(family+" "+protocol, func(t *testing.T) {
				t.Parallel() // for the sake of those that time out
				checkPaths(t, family, protocol)
			})
		}
	}
}

func checkPaths(t *testing.T, family, protocol string) {
	var hosts []string
	for _, p := range paths {
		hosts = append(hosts, p.address(family))
	}
	port := uint16(80)
	if protocol == TLS {
		port = 443
	}
	p := params(targetFile(t, hosts...), port, protocol)
	result, dir := verified(t, p)
	checkVerification(t, dir, p)
	if result.Stopped != nil || result.Skipped > 0 || result.Rows != uint64(2*len(paths)) {
		t.Errorf("result %+v", result)
	}
	rows := rowsOf(t, dir)
	for _, p := range paths {
		for transport, want := range map[string]row{MPTCP: p.want, TCP: p.tcp} {
			got := rows[key{netip.MustParseAddr(p.address(family)), transport, 1}]
			checkNumbers(t, p, protocol, transport, got)
			got = row{outcome: got.outcome, atConnect: got.atConnect, afterData: got.afterData, fallback: got.fallback, status: got.status, server: got.server}
			if got != want {
				t.Errorf("%s by %s: got %+v, want %+v", p.name, transport, got, want)
			}
		}
	}
}

// checkNumbers checks what a row has beside its outcome.
func checkNumbers(t *testing.T, p path, protocol, transport string, r row) {
	t.Helper()
	fault := func(format string, args ...any) {
		t.Errorf("%s by %s: %s: %+v", p.name, transport, fmt.Sprintf(format, args...), r)
	}
	if r.outcome == "reset" {
		if r.connect < 0 || r.received != 0 || r.problem == "NULL" {
			fault("not reset before any byte")
		}
		return
	}
	if r.outcome != "ok" {
		if r.connect >= 0 || r.received >= 0 || r.problem == "NULL" {
			fault("numbers of a connection that failed, or no error")
		}
		return
	}
	if r.problem != "NULL" || r.connect < 0 || r.firstByte < 0 || r.received < int64(len(page)) {
		fault("an error, or fewer bytes than the page's %d", len(page))
	}
	if r.afterData == "true" && r.mptcpReceived != r.received {
		fault("the kernel counts other bytes than we do")
	}
	if r.afterData != "true" && r.mptcpReceived != -1 {
		fault("MPTCP_INFO of what is no MPTCP")
	}
	if dropped := p.number == 7 && transport == MPTCP; dropped != (r.connect > 3_000_000) {
		fault("a connect time of %d µs", r.connect)
	}
	if protocol == TLS && (r.tls != "TLS 1.3" || r.names != "host.example|www.example|evil\uFFFD[31m.example|198.18.0.1") {
		fault("TLS")
	}
}

// buildPaths makes scanner ── router ── hosts, a namespace each; this process is the scanner.
func buildPaths(t *testing.T) {
	router, hosts := newNamespace(t), newNamespace(t)
	commandWith(t, fmt.Sprintf(`
link add out type veth peer name in netns %s
addr add 198.18.1.1/30 dev out
addr add 2001:db8:1::1/64 dev out nodad
link set out up
`, router.path()), "ip", "-batch", "-")
	router.do(t, func() {
		commandWith(t, fmt.Sprintf(`
link set lo up
addr add 198.18.1.2/30 dev in
addr add 2001:db8:1::2/64 dev in nodad
link set in up
link add out type veth peer name in netns %s
addr add 198.18.1.5/30 dev out
addr add 2001:db8:1:1::1/64 dev out nodad
link set out up
route add 198.18.2.0/24 via 198.18.1.6
route add 2001:db8:2::/64 via 2001:db8:1:1::2
`, hosts.path()), "ip", "-batch", "-")
		command(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
		commandWith(t, rules(), "nft", "-f", "-")
	})
	hosts.do(t, func() {
		commandWith(t, `
link set lo up
addr add 198.18.1.6/30 dev in
addr add 2001:db8:1:1::2/64 dev in nodad
link set in up
route add 198.18.1.0/30 via 198.18.1.5
route add 2001:db8:1::/64 via 2001:db8:1:1::1
route add local 198.18.2.0/24 dev lo
route add local 2001:db8:2::/64 dev lo
`, "ip", "-batch", "-")
		command(t, "sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1")
		serve(t)
	})
	commandWith(t, "route add 198.18.2.0/24 via 198.18.1.2\nroute add 2001:db8:2::/64 via 2001:db8:1::2\n", "ip", "-batch", "-")
}

func serve(t *testing.T) {
	secure := certificate(t)
	for _, p := range paths {
		if p.server == "" {
			continue
		}
		for _, family := range []string{"ipv4", "ipv6"} {
			address := "[" + p.address(family) + "]"
			servePage(listen(t, address+":80", p.server == "mptcp"), nil)
			servePage(listen(t, address+":443", p.server == "mptcp"), secure)
		}
	}
}

// rules are those of all paths, for both families.
func rules() string {
	var b strings.Builder
	b.WriteString("table inet paths {\nchain forward {\ntype filter hook forward priority 0\n")
	for _, p := range paths {
		for _, rule := range p.rules {
			for family, word := range map[string]string{"ipv4": "ip", "ipv6": "ip6"} {
				b.WriteString(strings.NewReplacer("IP", word, "HOST", p.address(family)).Replace(rule) + "\n")
			}
		}
	}
	b.WriteString("}\n}\n")
	return b.String()
}
