package verify

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/zmap/zgrab2"
)

// answered is a connection on which a response is read that is known before, and the request is lost.
type answered struct {
	net.Conn
	response io.Reader
}

func (a answered) Read(p []byte) (int, error)  { return a.response.Read(p) }
func (a answered) Write(p []byte) (int, error) { return len(p), nil }

// get reads a response, and returns what is known of it.
func get(response string, limit int64) (Grab, *strings.Reader, error) {
	g := Grab{Protocol: HTTP}
	c := &connector{grab: &g, limits: limits{response: limit}}
	in := strings.NewReader(response)
	err := (&scanner{connector: c}).get(answered{response: in}, &zgrab2.ScanTarget{IP: net.IPv4(198, 18, 0, 1), Port: 80})
	return g, in, err
}

func TestResponse(t *testing.T) {
	for _, c := range []struct {
		name, response string
		limit          int64
		status         uint16
		server         string
		want           error
	}{
		{"without a length", "HTTP/1.0 200 OK\r\nServer: a\r\n\r\nbody", 1 << 20, 200, "a", nil},
		{"interim before the final", "HTTP/1.1 103 Early Hints\r\nServer: no\r\n\r\nHTTP/1.1 404 Not Found\r\nServer: b\r\nContent-Length: 0\r\n\r\n", 1 << 20, 404, "b", nil},
		{"101 is final", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 1 << 20, 101, "", nil},
		{"no body for 204", "HTTP/1.1 204 No Content\r\n\r\n", 1 << 20, 204, "", nil},
		{"at the limit", "HTTP/1.1 200 OK\r\nContent-Length: 962\r\n\r\n" + strings.Repeat("x", 962), 1024, 200, "", nil},
		{"beyond the limit", "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + strings.Repeat("x", 2000), 1024, 200, "", errBody},
		{"long Server", "HTTP/1.1 200 OK\r\nServer: " + strings.Repeat("é", 1000) + "\r\nContent-Length: 0\r\n\r\n", 1 << 20, 200, strings.Repeat("é", maxText) + "…", nil},
		{"long Server of long characters", "HTTP/1.1 200 OK\r\nServer: " + strings.Repeat("\U0001d11e", 1000) + "\r\nContent-Length: 0\r\n\r\n", 1 << 20, 200, strings.Repeat("\U0001d11e", maxText) + "…", nil},
		{"turned around", "HTTP/1.1 200 OK\r\nServer: a\u202eb\xff\r\nContent-Length: 0\r\n\r\n", 1 << 20, 200, "a\uFFFDb\uFFFD", nil},
		{"header beyond the limit", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHeader), 1 << 20, 0, "", errHeader},
	} {
		g, _, err := get(c.response, c.limit)
		if !errors.Is(err, c.want) || g.Status != c.status || g.Server != c.server {
			t.Errorf("%s: status %d, server %q, error %v", c.name, g.Status, g.Server, err)
		}
	}
}

// TestRequest: the host is the address (RFC 9110 §7.2), with the port unless it is the scheme's own.
func TestRequest(t *testing.T) {
	for _, c := range []struct {
		address  string
		port     uint
		protocol string
		host     string
	}{
		{"198.18.0.1", 80, HTTP, "198.18.0.1"},
		{"198.18.0.1", 443, TLS, "198.18.0.1"},
		{"198.18.0.1", 443, HTTP, "198.18.0.1:443"},
		{"2001:db8::1", 80, HTTP, "[2001:db8::1]"},
		{"2001:db8::1", 8443, TLS, "[2001:db8::1]:8443"},
	} {
		r, err := request(&zgrab2.ScanTarget{IP: net.ParseIP(c.address), Port: c.port}, c.protocol)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		if want := "GET / HTTP/1.1\r\nHost: " + c.host + "\r\nUser-Agent: mpcensus\r\n"; !strings.HasPrefix(b.String(), want) {
			t.Errorf("got %q, want %q…", b.String(), want)
		}
	}
}

// FuzzResponse: whatever a host sends, no more than the limit is read of it, and its text is printable.
func FuzzResponse(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 5\r\n\r\nhello")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n")
	f.Add("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 302 Found\r\nLocation: http://a/\r\nServer: \u202e\r\n\r\n")
	f.Fuzz(func(t *testing.T, response string) {
		const limit = 2048
		g, rest, _ := get(response, limit)
		if read := len(response) - rest.Len(); read > limit {
			t.Errorf("%d bytes were read", read)
		}
		if !utf8.ValidString(g.Server) || clean(g.Server, maxText+1) != g.Server {
			t.Errorf("server %q", g.Server)
		}
	})
}
