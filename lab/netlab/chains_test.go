package netlab

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

func TestChains(t *testing.T) {
	dir, _ := up(t)
	t.Run("hops", func(t *testing.T) { testHops(t, dir) })
	t.Run("servers", func(t *testing.T) { testServers(t, dir) })
	t.Run("kernels", func(t *testing.T) { testKernels(t, dir) })
	t.Run("hostile", func(t *testing.T) { testHostile(t, dir) })
	s := status(t, dir)
	if p := s.Population; s.Problem != "" || p.Chains == 0 || p.Strangers != 0 {
		t.Errorf("%d SYNs to chains, %d to strangers; %s", p.Chains, p.Strangers, s.Problem)
	}
	// A chain is watched like the rest of the lab.
	at(t, dir, "seq-rewrite-5", "ip", "link", "add", "leak", "type", "bridge")
	if _, err := Command(dir, ScannerNamespace, "true"); err == nil || !strings.Contains(err.Error(), "namespace seq-rewrite-5: interface leak is a bridge") {
		t.Errorf("a foreign interface in a chain: %v", err)
	}
}

// hopAnswer is what came back to a SYN of a certain TTL.
type hopAnswer struct {
	Target netip.Addr
	Probe  scenario.Probe
	TTL    int
	From   netip.Addr
	TCP    []byte // the target's segment
	Quote  []byte // what Time Exceeded quotes, from its IP header on
}

// traceRounds is how often every hop is asked: more often than a limit of six errors
// lets pass.
const traceRounds = 8

// A test's source port tells TTL, probe and round.
const traceBase = 20000

func tracePort(ttl int, p scenario.Probe, round int) uint16 {
	return uint16(traceBase + ttl + 16*(int(p)+scenario.Probes*round))
}

// traceSYN is a SYN of buildSYN from another port, its checksum mended (RFC 1624).
func traceSYN(target netip.Addr, ttl int, p scenario.Probe, round int) ([]byte, error) {
	source := scanners[0].Source
	if target.Is6() {
		source = scanners[0].SourceIPv6
	}
	syn, err := buildSYN(source, target, 80, p)
	if err != nil {
		return nil, err
	}
	port := tracePort(ttl, p, round)
	sum := uint32(^binary.BigEndian.Uint16(syn[16:])) + uint32(^binary.BigEndian.Uint16(syn)) + uint32(port)
	binary.BigEndian.PutUint16(syn[16:], ^uint16(sum%0xffff))
	binary.BigEndian.PutUint16(syn, port)
	return syn, nil
}

// traceChains runs inside the lab: it sends SYNs of growing TTL to the hosts of all
// chains by raw sockets, and prints what came back, one JSON object a line.
func traceChains() error {
	targets := make(map[netip.Addr]bool)
	var sends []func() error
	sockets := make(map[string]int)
	for _, family := range scenario.Families {
		domain := map[string]int{"ipv4": unix.AF_INET, "ipv6": unix.AF_INET6}[family]
		for name, protocol := range map[string]int{"tcp": unix.IPPROTO_TCP, "icmp": map[string]int{"ipv4": unix.IPPROTO_ICMP, "ipv6": unix.IPPROTO_ICMPV6}[family]} {
			fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_NONBLOCK, protocol)
			if err != nil {
				return err
			}
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20); err != nil {
				unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
			}
			sockets[name+family] = fd
		}
	}
	for round := range traceRounds {
		for _, c := range scenario.Chains {
			for _, target := range c.Addrs() {
				targets[target] = true
				for _, p := range []scenario.Probe{scenario.Plain, scenario.V1} {
					for ttl := 1; ttl <= len(c.Routers)+2; ttl++ {
						sends = append(sends, func() error { return sendSYN(sockets["tcp"+scenario.FamilyOf(target)], target, ttl, p, round) })
					}
				}
			}
		}
	}
	out := json.NewEncoder(os.Stdout)
	collect := func() error {
		for name, fd := range sockets {
			for {
				a, err := readAnswer(fd, strings.HasPrefix(name, "icmp"))
				if err == unix.EAGAIN {
					break
				}
				if err == nil && targets[a.Target] {
					err = out.Encode(a)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	}
	for i, send := range sends {
		if err := send(); err != nil {
			return err
		}
		if i%20 == 0 { // below 20,000 a second
			time.Sleep(time.Millisecond)
			if err := collect(); err != nil {
				return err
			}
		}
	}
	time.Sleep(time.Second)
	return collect()
}

func sendSYN(fd int, target netip.Addr, ttl int, p scenario.Probe, round int) error {
	level, option, address := unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.Sockaddr(&unix.SockaddrInet6{Addr: target.As16()})
	if target.Is4() {
		level, option, address = unix.IPPROTO_IP, unix.IP_TTL, &unix.SockaddrInet4{Addr: target.As4()}
	}
	syn, err := traceSYN(target, ttl, p, round)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, level, option, ttl); err != nil {
		return err
	}
	return unix.Sendto(fd, syn, 0, address)
}

// readAnswer reads one packet; an answer without Target for one that is none.
func readAnswer(fd int, icmp bool) (a hopAnswer, err error) {
	packet := make([]byte, 1500)
	n, peer, err := unix.Recvfrom(fd, packet, 0)
	for err == unix.EINTR {
		n, peer, err = unix.Recvfrom(fd, packet, 0)
	}
	if err != nil {
		return a, err
	}
	body, timeExceeded, quotedDestination, quotedHeader := packet[:n], byte(3), 24, 40
	switch peer := peer.(type) {
	case *unix.SockaddrInet4:
		a.From, body = netip.AddrFrom4(peer.Addr), body[20:]
		timeExceeded, quotedDestination, quotedHeader = 11, 16, 20
	case *unix.SockaddrInet6:
		a.From = netip.AddrFrom16(peer.Addr)
	}
	var port uint16
	switch {
	case icmp && body[0] == timeExceeded:
		a.Quote = body[8:]
		a.Target, _ = netip.AddrFromSlice(a.Quote[quotedDestination:quotedHeader])
		port = binary.BigEndian.Uint16(a.Quote[quotedHeader:])
	case !icmp:
		a.TCP, a.Target = body, a.From
		port = binary.BigEndian.Uint16(body[2:])
	default:
		return hopAnswer{}, nil
	}
	a.TTL, a.Probe = int(port-traceBase)%16, scenario.Probe(int(port-traceBase)/16%scenario.Probes)
	return a, nil
}

// quoteAt is what a router at a hop of a chain should quote of a SYN: what the box says,
// applied to the bytes that were sent.
func quoteAt(t *testing.T, c scenario.Chain, a hopAnswer) (segment []byte, source netip.Addr) {
	t.Helper()
	round := int(binary.BigEndian.Uint16(quotedSegment(a.Quote))-traceBase) / 16 / scenario.Probes
	syn, err := traceSYN(a.Target, a.TTL, a.Probe, round)
	must(t, err)
	source = scanners[0].Source
	if a.Target.Is6() {
		source = scanners[0].SourceIPv6
	}
	family := scenario.FamilyOf(a.Target)
	box := c.Truth(family).BoxHop
	if box == 0 || a.TTL <= box {
		return syn, source
	}
	replace := func(old, by string) { syn = bytes.ReplaceAll(syn, []byte(old), []byte(by)) }
	switch c.Name {
	case "strip-syn", "strip-both", "strip-gap", "strip-unseen", "mirror":
		replace("\x1e\x04\x01\x01", "\x01\x01\x01\x01")
	case "rewrite-flags":
		replace("\x1e\x04\x01\x01", "\x1e\x04\x01\x00")
	case "rewrite-version":
		replace("\x1e\x04\x01\x01", "\x1e\x04\x02\x01")
	case "mss-clamp":
		replace("\x02\x04\x05\xb4", "\x02\x04\x03\xe8")
	case "seq-rewrite":
		binary.BigEndian.PutUint32(syn[4:], binary.BigEndian.Uint32(syn[4:])+0x5eed1234)
	case "nat-quoted":
		source = c.Routers[box-1].Addrs(family)[0]
	}
	return syn, source
}

func quotedSegment(quote []byte) []byte {
	if quote[0]>>4 == 4 {
		return quote[20:]
	}
	return quote[40:]
}

func quotedSource(quote []byte) netip.Addr {
	b := quote[12:16]
	if quote[0]>>4 == 6 {
		b = quote[8:24]
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Every hop of every chain answers with its address, and quotes what a box before it has left of the
// SYN; the host, or the box in its place, answers where it should.
func testHops(t *testing.T, dir string) {
	type hop struct {
		target netip.Addr
		probe  scenario.Probe
		ttl    int
	}
	answers := make(map[hop][]hopAnswer)
	for line := range strings.Lines(insideSelf(t, dir, "chains")) {
		var a hopAnswer
		must(t, json.Unmarshal([]byte(line), &a))
		h := hop{a.Target, a.Probe, a.TTL}
		answers[h] = append(answers[h], a)
	}
	for _, c := range scenario.Chains {
		for i, target := range c.Addrs() {
			family := scenario.Families[i]
			truth := c.Truth(family)
			for _, p := range []scenario.Probe{scenario.Plain, scenario.V1} {
				end, flags, capable := endOf(c, family, p)
				for ttl := 1; ttl <= len(c.Routers)+2; ttl++ {
					got := answers[hop{target, p, ttl}]
					manner := scenario.QuotesAll
					if ttl < end {
						manner = c.Routers[ttl-1].Errors
					}
					fail := func(format string, args ...any) {
						t.Helper()
						t.Errorf("%s, %s, %s, TTL %d: "+format, append([]any{c.Name, family, p, ttl}, args...)...)
					}
					switch {
					case ttl >= end && flags == 0, manner == scenario.SaysNothing:
						if len(got) != 0 {
							fail("%d answers: %+v", len(got), got)
						}
						continue
					case manner == scenario.Limited:
						// Both probes come at once and share the limit.
						if n := len(answers[hop{target, scenario.Plain, ttl}]) + len(answers[hop{target, scenario.V1, ttl}]); n < 6 || n > 12 {
							fail("%d answers of %d: want 6 and few more", n, 2*traceRounds)
						}
					case len(got) != traceRounds:
						fail("%d answers, want %d", len(got), traceRounds)
					}
					from := make(map[netip.Addr]bool)
					for _, a := range got {
						from[a.From] = true
						if ttl >= end {
							if a.TCP == nil || a.TCP[13] != flags || bytes.Contains(a.TCP[20:], []byte{0x1e, 0x0c}) != capable {
								fail("answer %x, want flags %02x, MP_CAPABLE of 12 bytes %t", a.TCP, flags, capable)
							}
							continue
						}
						if a.Quote == nil {
							fail("a TCP segment: %x", a.TCP)
							continue
						}
						want, source := quoteAt(t, c, a)
						if manner == scenario.QuotesShort {
							want = want[:8]
						}
						// Boxes mend the checksum; who mends it wrongly gets no answer from the host.
						quoted := slices.Clone(quotedSegment(a.Quote))
						if len(quoted) > 18 && ttl > truth.BoxHop {
							copy(quoted[16:18], want[16:18])
						}
						if !bytes.Equal(quoted, want) || quotedSource(a.Quote) != source {
							fail("quotes %x from %s, want %x from %s", quoted, quotedSource(a.Quote), want, source)
						}
					}
					want := []netip.Addr{target}
					if ttl < end {
						want = c.Routers[ttl-1].Addrs(family)
					}
					if p == scenario.V1 && len(want) > 1 { // at random: ask the other probe, too
						for _, a := range answers[hop{target, scenario.Plain, ttl}] {
							from[a.From] = true
						}
					}
					if len(want) > 1 && p == scenario.Plain {
						continue
					}
					if got := slices.SortedFunc(maps.Keys(from), netip.Addr.Compare); !slices.Equal(got, want) {
						fail("answered by %v, want %v", got, want)
					}
				}
			}
		}
	}
}

// endOf is the TTL from which on a SYN is answered in the host's name, the
// answer's TCP flags (0: none comes) and whether it has a key.
func endOf(c scenario.Chain, family string, p scenario.Probe) (ttl int, flags byte, capable bool) {
	truth := c.Truth(family)
	ttl, flags = len(c.Routers)+1, 0x12
	if c.Name == "synproxy" && truth.BoxHop > 0 {
		return truth.BoxHop + 1, flags, false
	}
	if p == scenario.Plain {
		return ttl, flags, false
	}
	switch c.Name {
	case "answer":
		return truth.BoxHop + 1, flags, true
	case "reset":
		return truth.BoxHop + 1, 0x14, false
	case "drop":
		return truth.BoxHop + 1, 0, false
	}
	return ttl, flags, truth.Verdict == scenario.Potential
}

// fetched is one request to a server of the lab.
type fetched struct {
	Name      string
	To        netip.AddrPort
	MPTCP     bool // asked for
	AtConnect bool
	AfterData bool
	Status    int
	Bytes     int
	Server    string
	Names     []string // of the certificate
	Error     string
}

// fetchAll runs inside the lab: it fetches the page of every well-behaved server
// over MPTCP and over plain TCP, and prints what came, one JSON object a line.
func fetchAll() error {
	type server struct {
		name  string
		addrs []netip.Addr
	}
	var servers []server
	for _, h := range scenario.Hosts {
		servers = append(servers, server{h.Name, h.Addrs()})
	}
	for _, c := range scenario.Chains {
		servers = append(servers, server{c.Name, c.Addrs()})
	}
	results := make(chan fetched)
	count := 0
	for _, s := range servers {
		for _, a := range s.addrs {
			for _, port := range scenario.HostPorts {
				for _, mptcp := range []bool{true, false} {
					count++
					go func() { results <- fetch(s.name, netip.AddrPortFrom(a, port), mptcp) }()
				}
			}
		}
	}
	for range count {
		if err := json.NewEncoder(os.Stdout).Encode(<-results); err != nil {
			return err
		}
	}
	return nil
}

// connectTo opens a connection by hand: Go's dialer takes any failure of MPTCP for a
// reason to try again without.
func connectTo(to netip.AddrPort, mptcp bool) (*net.TCPConn, error) {
	domain, address := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())})
	if to.Addr().Is4() {
		domain, address = unix.AF_INET, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
	}
	protocol := unix.IPPROTO_TCP
	if mptcp {
		protocol = unix.IPPROTO_MPTCP
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), to.String())
	defer file.Close()
	// Beyond the 3 s after which Linux tries without MPTCP by itself. (SO_SNDTIMEO would
	// do, but that a signal of Go's runtime then ends connect: signal(7).)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, address); err != nil && err != unix.EINPROGRESS {
		return nil, err
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for deadline := time.Now().Add(10 * time.Second); ; {
		n, err := unix.Poll(poll, int(time.Until(deadline).Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return nil, errors.Join(err, os.ErrDeadlineExceeded)
		}
		break
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || code != 0 {
		return nil, errors.Join(err, syscall.Errno(code))
	}
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// fetch makes a connection of its own for one request.
func fetch(name string, to netip.AddrPort, mptcp bool) (f fetched) {
	f = fetched{Name: name, To: to, MPTCP: mptcp}
	fail := func(err error) fetched {
		f.Error = err.Error()
		return f
	}
	conn, err := connectTo(to, mptcp)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if f.AtConnect, err = conn.MultipathTCP(); err != nil {
		return fail(err)
	}
	stream := net.Conn(conn)
	if to.Port() == 443 {
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		if err := secure.Handshake(); err != nil {
			return fail(err)
		}
		f.Names = secure.ConnectionState().PeerCertificates[0].DNSNames
		stream = secure
	}
	if _, err := io.WriteString(stream, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return fail(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(stream), nil)
	if err != nil {
		return fail(err)
	}
	f.Status, f.Server = response.StatusCode, response.Header.Get("Server")
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fail(err)
	}
	f.Bytes = len(body)
	if f.AfterData, err = conn.MultipathTCP(); err != nil {
		return fail(err)
	}
	return f
}

// Every server serves over plain TCP, and over MPTCP as its chain lets it.
func testServers(t *testing.T, dir string) {
	seen := 0
	for line := range strings.Lines(insideSelf(t, dir, "fetch")) {
		seen++
		var f fetched
		must(t, json.Unmarshal([]byte(line), &f))
		end := scenario.FallbackAtConnect // the hosts tcp and stripped
		kind := "kernel-tcp"
		for _, h := range scenario.Hosts {
			if h.Name != f.Name {
				continue
			}
			kind = h.Behaviour.String()
			if h.Behaviour == scenario.KernelMPTCP {
				end = scenario.Proven
			}
		}
		for _, c := range scenario.Chains {
			if c.Name == f.Name {
				end, kind = c.Truth(scenario.FamilyOf(f.To.Addr())).Connected, "chain"
			}
		}
		broken := f.MPTCP && (end == scenario.Broken || end == scenario.Refused)
		served := f.Error == "" && f.Status == 200 && f.Bytes == 100_000 && f.Server == f.Name+" ("+kind+")"
		if f.To.Port() == 443 {
			served = served && slices.Equal(f.Names, []string{f.Name + ".lab.example"})
		}
		atConnect := f.MPTCP && end != scenario.FallbackAtConnect && end != scenario.Refused
		afterData := f.MPTCP && end == scenario.Proven
		if served == broken || f.AtConnect != atConnect || !broken && f.AfterData != afterData {
			t.Errorf("want %s, got %+v", end, f)
		}
		if broken && !strings.Contains(f.Error, map[scenario.Connection]string{
			scenario.Broken: "connection reset", scenario.Refused: "connection refused"}[end]) {
			t.Errorf("want %s, got %+v", end, f)
		}
	}
	if want := 2 * 2 * 2 * (len(scenario.Hosts) + len(scenario.Chains)); seen != want {
		t.Errorf("%d requests, want %d", seen, want)
	}
}

// at runs a command in a namespace of the lab.
func at(t *testing.T, dir, namespace string, argv ...string) string {
	t.Helper()
	line, err := Command(dir, namespace, argv...)
	must(t, err)
	out, err := exec.Command(line[0], line[1:]...).Output()
	if err != nil {
		t.Fatalf("%v in %s: %v", argv, namespace, err)
	}
	return string(out)
}

// The hosts' own kernels count the MP_CAPABLE that they have seen in SYNs, and what
// became of it (after the other tests).
func testKernels(t *testing.T, dir string) {
	// A kernel takes no MP_CAPABLE without the flag H for one.
	hidden := []string{"rewrite-flags", "strip-syn", "strip-both", "mirror", "answer", "drop", "reset", "strip-gap", "strip-unseen"}
	for _, c := range scenario.Chains {
		counters := make(map[string]string)
		var names []string
		for line := range strings.Lines(at(t, dir, c.Name, "cat", "/proc/net/netstat")) {
			words := strings.Fields(line)
			switch {
			case words[0] != "MPTcpExt:":
			case names == nil:
				names = words
			default:
				for i, word := range words {
					counters[names[i]] = word
				}
			}
		}
		if seen := counters["MPCapableSYNRX"] != "0"; seen == slices.Contains(hidden, c.Name) {
			t.Errorf("%s saw %s SYNs with MP_CAPABLE", c.Name, counters["MPCapableSYNRX"])
		}
		// (In IPv6 synproxy is a clean chain.)
		joined := c.Truth("ipv6").Connected == scenario.Proven
		if got := counters["MPCapableACKRX"] != "0"; got != joined {
			t.Errorf("%s saw %s third ACKs with MP_CAPABLE", c.Name, counters["MPCapableACKRX"])
		}
	}
}

// met is a connection to a hostile server.
type met struct {
	Kind scenario.Hostility
	End  netip.AddrPort
	What string
}

// meetHostile runs inside the lab: it says hello to one server of each kind and
// prints how it behaves, one JSON object a line.
func meetHostile() error {
	results := make(chan met)
	count := 0
	for _, family := range scenario.Families {
		seen := make(map[scenario.Hostility]bool)
		for _, s := range scenario.Hostile(family) {
			if seen[s.Kind] {
				continue
			}
			seen[s.Kind] = true
			for _, port := range scenario.HostPorts {
				count++
				go func() {
					end := netip.AddrPortFrom(s.Addr, port)
					results <- met{s.Kind, end, meet(end)}
				}()
			}
		}
	}
	for range count {
		if err := json.NewEncoder(os.Stdout).Encode(<-results); err != nil {
			return err
		}
	}
	return nil
}

// meet describes a server: what a patient but not endlessly patient client finds.
func meet(end netip.AddrPort) string {
	const patience = 2 * time.Second
	dialer := net.Dialer{Timeout: patience}
	dialer.SetMultipathTCP(end.Addr().As16()[15]%2 == 0) // both
	conn, err := dialer.Dial("tcp", end.String())
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case err != nil && err.(net.Error).Timeout():
		return "connect-timeout"
	case err != nil:
		return err.Error()
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	stream := conn
	if end.Port() == 443 {
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		if err := secure.Handshake(); err != nil {
			return "handshake: " + ended(err)
		}
		stream = secure
	}
	if _, err := io.WriteString(stream, "GET / HTTP/1.1\r\nHost: lab.example\r\n\r\n"); err != nil {
		return "write: " + ended(err)
	}
	text, err := io.ReadAll(io.LimitReader(stream, 300_000))
	head, body, whole := strings.Cut(string(text), "\r\n\r\n")
	status, _, _ := strings.Cut(head, "\r\n")
	switch {
	case len(text) == 300_000 && whole && strings.HasPrefix(status, "HTTP/1.1 200"):
		return "endless body"
	case len(text) == 300_000 && strings.HasPrefix(status, "HTTP/1.1 200"):
		return "endless headers"
	case strings.HasPrefix("HTTP/1.1 200 OK", string(text)) && len(text) > 0 && err != nil:
		return "part of a status line, then " + ended(err)
	case strings.HasPrefix(status, "HTTP/1.1 200") && len(body) == 1024:
		return "page, then " + ended(err)
	case strings.HasPrefix(status, "HTTP/1.1 302") && strings.Contains(head, "\r\nLocation: http://192.0.2.1/"):
		return "redirect, then " + ended(err)
	case len(text) > 0:
		return "no HTTP, then " + ended(err)
	}
	return "nothing, then " + ended(err)
}

func ended(err error) string {
	var timeout net.Error
	var record tls.RecordHeaderError
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "end"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.As(err, &record):
		return "no TLS"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "silence"
	}
	return err.Error()
}

func testHostile(t *testing.T, dir string) {
	// What happens on port 80, and on 443.
	want := map[scenario.Hostility][2]string{
		scenario.Well:            {"page, then end", "page, then end"},
		scenario.StallAccept:     {"nothing, then silence", "handshake: silence"},
		scenario.Mute:            {"nothing, then silence", "handshake: silence"},
		scenario.StallHandshake:  {"part of a status line, then silence", "handshake: silence"},
		scenario.Drip:            {"part of a status line, then silence", "part of a status line, then silence"},
		scenario.InfiniteBody:    {"endless body", "endless body"},
		scenario.InfiniteHeaders: {"endless headers", "endless headers"},
		scenario.CloseAtOnce:     {"nothing, then end", "handshake: end"},
		scenario.ResetAtData:     {"nothing, then reset", "handshake: reset"},
		scenario.Garbage:         {"no HTTP, then end", "handshake: no TLS"},
		scenario.Redirect:        {"redirect, then end", "redirect, then end"},
		scenario.NeverAccepts:    {"connect-timeout", "connect-timeout"},
		scenario.RefusesAll:      {"refused", "refused"},
	}
	seen := 0
	for line := range strings.Lines(insideSelf(t, dir, "hostile")) {
		seen++
		var m met
		must(t, json.Unmarshal([]byte(line), &m))
		expected := want[m.Kind][0]
		if m.End.Port() == 443 {
			expected = want[m.Kind][1]
		}
		if m.What != expected {
			t.Errorf("%s at %s: %s, want %s", m.Kind, m.End, m.What, expected)
		}
	}
	if seen != 2*2*len(want) {
		t.Errorf("met %d, want %d", seen, 2*2*len(want))
	}
}
