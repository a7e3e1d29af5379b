package verify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/zmap/zgrab2"
	"github.com/zmap/zgrab2/lib/http"
)

// Protocols, as in the column `protocol`.
const (
	HTTP = "http"
	TLS  = "tls" // HTTP over it
)

// maxHeader bounds what comes before the body of a response, 1xx responses included.
const maxHeader = 64 << 10

// maxInterim bounds 1xx responses before the final one.
const maxInterim = 5

var (
	errHeader = errors.New("the response's header is larger than the limit")
	errBody   = errors.New("the response is larger than the limit")
)

// scanner is a module of zgrab2: one GET of "/", over plain TCP or TLS as its dialers decide. The body is
// read and dropped. Nothing is followed (redirects, Alt-Svc) and nothing is unpacked.
//
// It is in place of zgrab2's own modules/http, which needs a connection of its own kind for TLS, hides the
// first byte of a response behind TLS session tickets, and takes a body that broke off for a whole one.
type scanner struct {
	zgrab2.BaseFlags
	connector *connector
}

var _ zgrab2.Scanner = (*scanner)(nil)

// Init implements zgrab2.Scanner.
func (s *scanner) Init(zgrab2.ScanFlags) error { return nil }

// InitPerSender implements zgrab2.Scanner.
func (s *scanner) InitPerSender(int) error { return nil }

// GetTrigger implements zgrab2.Scanner.
func (s *scanner) GetTrigger() string { return "" }

// Protocol implements zgrab2.Scanner.
func (s *scanner) Protocol() string { return s.connector.grab.Protocol }

// GetDialerGroupConfig implements zgrab2.Scanner. zgrab2's framework, which would ask, is not used.
func (s *scanner) GetDialerGroupConfig() *zgrab2.DialerGroupConfig { return nil }

// GetScanMetadata implements zgrab2.Scanner.
func (s *scanner) GetScanMetadata() any { return nil }

// Scan implements zgrab2.Scanner. What it sees goes into the connector's grab; the outcome there is finer
// than zgrab2's status.
func (s *scanner) Scan(ctx context.Context, dialers *zgrab2.DialerGroup, target *zgrab2.ScanTarget) (zgrab2.ScanStatus, any, error) {
	conn, err := dialers.Dial(ctx, target)
	if err != nil {
		return zgrab2.SCAN_CONNECTION_CLOSED, nil, err
	}
	if err := s.get(conn, target); err != nil {
		return zgrab2.SCAN_APPLICATION_ERROR, nil, err
	}
	return zgrab2.SCAN_SUCCESS, nil, nil
}

func (s *scanner) get(conn net.Conn, target *zgrab2.ScanTarget) error {
	c := s.connector
	c.stage = requesting
	request, err := request(target, c.grab.Protocol)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := request.Write(conn); err != nil {
		return err
	}
	in := &boundedReader{
		in: conn, left: min(maxHeader, c.limits.response), exceeded: errHeader,
		firstByte: func() { c.grab.FirstByte = since(begun) },
	}
	response, err := readHeader(bufio.NewReader(in), request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	c.stage = receiving
	c.grab.Status, c.grab.Server = uint16(response.StatusCode), clean(response.Header.Get("Server"), maxText)
	in.left, in.exceeded = c.limits.response-in.read, errBody
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// readHeader reads the first response that is not an interim one (RFC 9110 §15.2).
func readHeader(lines *bufio.Reader, request *http.Request) (*http.Response, error) {
	for range maxInterim + 1 {
		response, err := http.ReadResponse(lines, request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode/100 != 1 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
	return nil, fmt.Errorf("more than %d responses 1xx before the final one", maxInterim)
}

// request asks for "/" of an address, which is the only name that the host has here.
func request(target *zgrab2.ScanTarget, protocol string) (*http.Request, error) {
	host := net.JoinHostPort(target.Host(), strconv.Itoa(int(target.Port)))
	if protocol == HTTP && target.Port == 80 || protocol == TLS && target.Port == 443 {
		host = target.Host()
		if target.IP.To4() == nil {
			host = "[" + host + "]"
		}
	}
	r, err := http.NewRequest("GET", "http://"+host+"/", nil)
	if err != nil {
		return nil, err
	}
	r.Close = true // so that the host ends the connection, and with it a body of no told length
	r.Header.Set("User-Agent", "mpcensus")
	r.Header.Set("Accept", "*/*")
	return r, nil
}

// boundedReader reads up to a limit, which may be set anew.
type boundedReader struct {
	in         io.Reader
	read, left int64
	exceeded   error // of who asks for more
	firstByte  func()
}

// Read implements io.Reader.
func (r *boundedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, r.exceeded
	}
	n, err := r.in.Read(p[:min(int64(len(p)), r.left)])
	if n > 0 && r.read == 0 {
		r.firstByte()
	}
	r.read += int64(n)
	r.left -= int64(n)
	return n, err
}
