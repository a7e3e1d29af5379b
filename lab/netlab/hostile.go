package netlab

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// hostilePatience ends a connection that its client does not end: longer than any
// client should wait.
const hostilePatience = 2 * time.Minute

// elsewhere is where redirects lead: out of the lab, so that nobody can follow
// (RFC 5737).
const elsewhere = "http://192.0.2.1/"

// joinHostile makes the namespace of the hostile servers, which has all of their
// addresses.
func (c *chainNetwork) joinHostile(above node) error {
	end, err := c.newNode(hostileName, scenario.HostileHost.IPv4, scenario.HostileHost.IPv6, hostileRules())
	if err != nil {
		return err
	}
	c.hostile = end.Namespace
	if err := attach(above, hostileName, end, []netip.Prefix{scenario.HostileServers, scenario.HostileServers6}); err != nil {
		return err
	}
	h, err := end.netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo in %s: %w", end.Name, err)
	}
	for _, family := range scenario.Families {
		for _, s := range scenario.Hostile(family) {
			// A route of this type gives the address to the namespace.
			err := h.RouteAdd(&netlink.Route{
				LinkIndex: lo.Attrs().Index, Dst: ipNet(host(s.Addr)),
				Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST,
			})
			if err != nil {
				return fmt.Errorf("give %s the address %s: %w", end.Name, s.Addr, err)
			}
		}
	}
	return nil
}

// hostileRules are for the servers that accept nothing.
func hostileRules() string {
	action := map[scenario.Hostility]string{scenario.NeverAccepts: "drop", scenario.RefusesAll: "reject with tcp reset"}
	var rules strings.Builder
	for i, family := range scenario.Families {
		ip := []string{"ip", "ip6"}[i]
		fmt.Fprintf(&rules, "add chain %s lab input { type filter hook input priority 0; }\n", ip)
		for _, s := range scenario.Hostile(family) {
			if action, ok := action[s.Kind]; ok {
				fmt.Fprintf(&rules, "add rule %[1]s lab input %[1]s daddr %[2]s tcp flags syn %[3]s\n", ip, s.Addr, action)
			}
		}
	}
	return rules.String()
}

// serveHostile runs the hostile servers: one MPTCP listener a port, which does to
// each connection as the address says that it came to.
func (n *Namespace) serveHostile() error {
	config, err := selfSigned(hostileName)
	if err != nil {
		return err
	}
	var listen net.ListenConfig
	listen.SetMultipathTCP(true)
	return n.Do(func() error {
		for _, port := range scenario.HostPorts {
			l, err := listen.Listen(context.Background(), "tcp", fmt.Sprintf(":%d", port))
			if err != nil {
				return fmt.Errorf("listen in %s: %w", n.Name, err)
			}
			go acceptHostile(l, port == tlsPort, config)
		}
		return nil
	})
}

func acceptHostile(l net.Listener, secure bool, config *tls.Config) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		local := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		kind, ok := scenario.HostileAt(local)
		if !ok {
			conn.Close()
			continue
		}
		go func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(hostilePatience))
			maltreat(conn.(*net.TCPConn), kind, secure, config)
		}()
	}
}

// maltreat does to a connection what a kind of server does.
func maltreat(conn *net.TCPConn, kind scenario.Hostility, secure bool, config *tls.Config) {
	switch kind {
	case scenario.StallAccept:
		time.Sleep(hostilePatience)
	case scenario.Mute:
		io.Copy(io.Discard, conn)
	case scenario.StallHandshake:
		if secure {
			conn.Write([]byte("\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")) // of a ServerHello (RFC 8446 §4.1.3)
		} else {
			io.WriteString(conn, "HTTP/1.1 2")
		}
		io.Copy(io.Discard, conn)
	case scenario.CloseAtOnce:
		conn.CloseWrite()
		io.Copy(io.Discard, conn) // what is unread when a socket closes makes a RST of it
	case scenario.ResetAtData:
		conn.Read(make([]byte, 1))
		conn.SetLinger(0) // Close now resets
	case scenario.Garbage:
		io.CopyN(conn, rand.Reader, 4096)
		conn.CloseWrite()
		io.Copy(io.Discard, conn)
	default:
		if secure {
			answerBadly(tls.Server(conn, config), kind)
		} else {
			answerBadly(conn, kind)
		}
	}
}

// answerBadly reads a request and answers it as a kind of server does.
func answerBadly(conn net.Conn, kind scenario.Hostility) {
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	const head = "HTTP/1.1 200 OK\r\nServer: hostile\r\n"
	filler := strings.Repeat("0123456789abcdef", 64)
	switch kind {
	case scenario.Drip:
		for _, b := range []byte(head + "Content-Length: 1000\r\n\r\n") {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	case scenario.InfiniteBody:
		_, err := io.WriteString(conn, head+"\r\n")
		for err == nil {
			_, err = io.WriteString(conn, filler)
		}
	case scenario.InfiniteHeaders:
		_, err := io.WriteString(conn, head)
		for i := 0; err == nil; i++ {
			_, err = fmt.Fprintf(conn, "X-%d: %s\r\n", i, filler)
		}
	case scenario.Redirect:
		fmt.Fprintf(conn, "HTTP/1.1 302 Found\r\nServer: hostile\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", elsewhere)
	case scenario.Well:
		fmt.Fprintf(conn, "%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", head, len(filler), filler)
	}
	request.Body.Close()
	conn.Close()
}
