package verify

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// A hostile server's connection, after the request was read unless it is to be left unread.
type hostile struct {
	name  string
	deaf  bool // begins before anything is read, TLS included
	serve func(net.Conn)
	want  Outcome
	tls   Outcome // over TLS, if that differs
}

func send(text string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, text) }
}

// flood sends a beginning, then the same over and over until that fails.
func flood(begin, more string) func(net.Conn) {
	return func(c net.Conn) {
		chunk := []byte(strings.Repeat(more, 1+64<<10/len(more)))
		for _, err := io.WriteString(c, begin); err == nil; _, err = c.Write(chunk) {
		}
	}
}

// drip is slow.
func drip(begin string) func(net.Conn) {
	return func(c net.Conn) {
		for _, err := io.WriteString(c, begin); err == nil; _, err = io.WriteString(c, "x") {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// stall keeps the connection open, and reads until the other side gives up.
func stall(begin string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, begin)
		io.Copy(io.Discard, c)
	}
}

// reset ends with an RST.
func reset(begin string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, begin)
		if secured, ok := c.(*tls.Conn); ok {
			c = secured.NetConn()
		}
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

var bomb = func() string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	w.Write(make([]byte, 30<<20)) // a thousandth of that is sent
	w.Close()
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", b.Len(), b.Bytes())
}()

const ok = "HTTP/1.1 200 OK\r\n"

var hostiles = []hostile{
	{name: "well-behaved", serve: send(ok + "Content-Length: 5\r\n\r\nhello"), want: OutcomeOK},
	{name: "accepts and stalls", deaf: true, serve: stall(""), want: OutcomeTimeout},
	{name: "closes at once", deaf: true, serve: func(c net.Conn) { c.(*net.TCPConn).CloseWrite(); io.Copy(io.Discard, c) }, want: OutcomeClosedEarly},
	{name: "closes after the request", serve: func(net.Conn) {}, want: OutcomeClosedEarly},
	{name: "resets at once", deaf: true, serve: reset(""), want: OutcomeReset},
	{name: "garbage before anything", deaf: true, serve: flood("", "\x00\xff\xfe no protocol \r\n"), want: OutcomeProtocolError, tls: OutcomeTLSError},
	{name: "drips before anything", deaf: true, serve: drip(""), want: OutcomeTimeout, tls: OutcomeTLSError},
	{name: "drips a TLS record", deaf: true, serve: drip("\x16\x03\x03\x3f\xff"), want: OutcomeTimeout},
	{name: "TLS records of a handshake without end", deaf: true, serve: flood("", "\x16\x03\x03\x00\x04\x00\x00\x00\x00"), want: OutcomeProtocolError, tls: OutcomeTLSError},
	{name: "warnings without end", deaf: true, serve: flood("", "\x15\x03\x03\x00\x02\x01\x5a"), want: OutcomeProtocolError, tls: OutcomeTLSError},
	{name: "stalls after the request", serve: stall(""), want: OutcomeTimeout},
	{name: "stalls in the body", serve: stall(ok + "Content-Length: 100\r\n\r\nhello"), want: OutcomeTimeout},
	{name: "body without end", serve: flood(ok+"\r\n", "body"), want: OutcomeTruncated},
	{name: "chunks without end", serve: flood(ok+"Transfer-Encoding: chunked\r\n\r\n", "4\r\nbody\r\n"), want: OutcomeTruncated},
	{name: "one header without end", serve: flood(ok+"X: ", "header"), want: OutcomeProtocolError},
	{name: "headers without end", serve: flood(ok, "X: header\r\n"), want: OutcomeProtocolError},
	{name: "status line without end", serve: flood("HTTP/1.1 200 ", "O"), want: OutcomeProtocolError},
	{name: "100 Continue without end", serve: flood("", "HTTP/1.1 100 Continue\r\n\r\n"), want: OutcomeProtocolError},
	{name: "drips the header", serve: drip(ok + "X: "), want: OutcomeTimeout},
	{name: "drips the body", serve: drip(ok + "\r\n"), want: OutcomeTimeout},
	{name: "closes in the header", serve: send(ok), want: OutcomeClosedEarly},
	{name: "closes in the body", serve: send(ok + "Content-Length: 100\r\n\r\nhello"), want: OutcomeClosedEarly},
	{name: "closes between chunks", serve: send(ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), want: OutcomeClosedEarly},
	{name: "resets in the body", serve: reset(ok + "Content-Length: 100\r\n\r\nhello"), want: OutcomeReset},
	{name: "garbage for a response", serve: flood("", "\x00\xff\xfe no protocol \r\n"), want: OutcomeProtocolError},
	{name: "status of too many digits", serve: send("HTTP/1.1 99999 Odd\r\n\r\n"), want: OutcomeProtocolError},
	{name: "negative length", serve: send(ok + "Content-Length: -1\r\n\r\n"), want: OutcomeProtocolError},
	{name: "chunk of impossible size", serve: send(ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"), want: OutcomeProtocolError},
	{name: "gzip bomb", serve: send(bomb), want: OutcomeOK}, // not unpacked, it is small
	{name: "redirect to elsewhere", serve: send("HTTP/1.1 302 Found\r\nLocation: http://198.18.3.254:81/\r\nContent-Length: 0\r\n\r\n"), want: OutcomeOK},
}

// TestHostile connects to 200 targets of which most are hostile: it ends in the bound that is printed, with
// a row for each, and the outcome of none depends on the others.
func TestHostile(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	command(t, "ip", "route", "add", "local", "198.18.3.0/24", "dev", "lo")
	elsewhere := listen(t, "198.18.3.254:81", true)
	go func() {
		if c, err := elsewhere.Accept(); err == nil {
			t.Errorf("a redirect was followed, by %v", c.RemoteAddr())
		}
	}()
	serveHostile(listen(t, "0.0.0.0:80", true), nil)
	serveHostile(listen(t, "0.0.0.0:443", true), certificate(t))
	all := func(hostile) bool { return true }
	t.Run("200 by http", func(t *testing.T) { checkHostile(t, HTTP, 80, 200, 3*time.Second, all) })
	// TLS takes arithmetic, so that a busy machine needs time for it; who is to run out of time needs none.
	silent := func(h hostile) bool { return h.want == OutcomeTimeout && h.tls == "" }
	t.Run("tls in time", func(t *testing.T) {
		checkHostile(t, TLS, 443, 2*len(hostiles), 30*time.Second, func(h hostile) bool { return !silent(h) })
	})
	t.Run("tls out of time", func(t *testing.T) { checkHostile(t, TLS, 443, 2*len(hostiles), time.Second, silent) })
}

// checkHostile connects to those of the first hosts that are meant.
func checkHostile(t *testing.T, protocol string, port uint16, hosts int, timeout time.Duration, meant func(hostile) bool) {
	var addresses []string
	for i := range hosts {
		if meant(hostiles[i%len(hostiles)]) {
			addresses = append(addresses, fmt.Sprintf("198.18.3.%d", i))
		}
	}
	count := len(addresses)
	p := params(targetFile(t, addresses...), port, protocol)
	p.ConnectTimeout, p.Timeout = timeout, timeout
	result, dir := verified(t, p)
	if result.Rows != uint64(2*count) || result.Skipped != 0 || result.Stopped != nil {
		t.Errorf("result %+v", result)
	}
	rows := rowsOf(t, dir)
	if len(rows) != 2*count {
		t.Errorf("%d rows, want %d", len(rows), 2*count)
	}
	for k, r := range rows {
		h := hostiles[int(k.target.As4()[3])%len(hostiles)]
		want := h.want
		if protocol == TLS && h.tls != "" {
			want = h.tls
		}
		if r.outcome != string(want) {
			t.Errorf("%s, %s: outcome %s (%s), want %s", h.name, k.transport, r.outcome, r.problem, want)
		}
		// Nothing is between: whatever they do, they do it by MPTCP.
		if r.fallback != "NULL" {
			t.Errorf("%s, %s: fallback %s", h.name, k.transport, r.fallback)
		}
		if limit := 2*p.MaxResponse + tlsOverhead; r.received > limit {
			t.Errorf("%s, %s: %d bytes were read", h.name, k.transport, r.received)
		}
	}
}

// serveHostile answers as the address that was connected to says.
func serveHostile(l net.Listener, secure *tls.Config) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(30 * time.Second))
				local := netip.MustParseAddrPort(c.LocalAddr().String()).Addr().Unmap()
				h := hostiles[int(local.As4()[3])%len(hostiles)]
				if !h.deaf {
					if secure != nil {
						c = tls.Server(c, secure)
					}
					c.Read(make([]byte, 4096)) // the request
				}
				h.serve(c)
				if secured, ok := c.(*tls.Conn); ok {
					secured.CloseWrite()
				}
			}()
		}
	}()
}
