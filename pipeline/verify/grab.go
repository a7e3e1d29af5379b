package verify

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/zmap/zgrab2"
	"golang.org/x/sys/unix"
)

// Transports, as in the column `transport`.
const (
	MPTCP = "mptcp"
	TCP   = "tcp"
)

// Values of the column `fallback`.
const (
	AtConnect    = "at-connect"
	AfterConnect = "after-connect"
)

// Grab is a row of `grabs`: one connection. Of what is no Null, empty text is NULL.
type Grab struct {
	Target    netip.Addr
	Protocol  string
	Transport string
	Round     int // from 1
	Began     time.Time
	Total     time.Duration

	Outcome Outcome
	Error   string

	MPTCPAtConnect sql.Null[bool]
	MPTCPAfterData sql.Null[bool]
	Fallback       string
	info           sql.Null[info]

	cause error  // of Error
	place uint32 // of the target in the file

	Connect   sql.Null[time.Duration]
	TLS       sql.Null[time.Duration]
	FirstByte sql.Null[time.Duration]

	BytesSent        sql.Null[uint64]
	BytesReceived    sql.Null[uint64]
	Status           uint16 // of HTTP; 0: there was no response
	Server           string
	TLSVersion       string
	CertificateNames []string
}

// limits bound one connection.
type limits struct {
	connect, total time.Duration // from its begin
	response       int64         // bytes, header included
}

// grab makes one connection and says what came of it, no later than its time limit. A panic in the
// decoding of what a host sends is that connection's error: zcrypto, which zgrab2 takes for TLS, is built
// to read what others refuse.
func grab(ctx context.Context, host netip.AddrPort, protocol, transport string, round int, l limits) (g Grab) {
	g = Grab{Target: host.Addr(), Protocol: protocol, Transport: transport, Round: round, Began: time.Now()}
	c := &connector{grab: &g, host: host, limits: l}
	defer func() {
		if broken := recover(); broken != nil {
			g.fail(OutcomeError, fmt.Errorf("decoding what the host sent: %v", broken))
		}
		c.finish()
		g.Total = time.Since(g.Began)
	}()
	scanner := &scanner{connector: c}
	target := &zgrab2.ScanTarget{IP: host.Addr().AsSlice(), Port: uint(host.Port())}
	_, _, err := scanner.Scan(ctx, c.dialers(protocol), target)
	g.Outcome = OutcomeOK
	if err != nil {
		g.fail(c.outcomeOf(err), err)
	}
	return g
}

func (g *Grab) fail(o Outcome, err error) {
	g.Outcome, g.cause, g.Error = o, err, clean(err.Error(), maxText)
}

// connector makes the connection of one grab, and notes what it sees of it.
type connector struct {
	grab   *Grab
	host   netip.AddrPort
	limits limits
	stage  stage
	wire   *wire // nil: not connected
}

// dialers are what zgrab2 calls to connect: the one transport to the one host, whatever is asked for.
func (c *connector) dialers(protocol string) *zgrab2.DialerGroup {
	connect := func(ctx context.Context, _ *zgrab2.ScanTarget) (net.Conn, error) { return c.connect(ctx) }
	if protocol == TLS {
		connect = c.connectTLS
	}
	return &zgrab2.DialerGroup{TransportAgnosticDialer: connect}
}

func (c *connector) connect(ctx context.Context) (net.Conn, error) {
	conn, err := dial(ctx, c.grab.Transport, c.host, min(c.limits.connect, c.limits.total))
	if err != nil {
		return nil, err
	}
	c.grab.Connect = since(c.grab.Began)
	if err := conn.SetDeadline(c.grab.Began.Add(c.limits.total)); err != nil {
		conn.Close()
		return nil, err
	}
	c.wire = newWire(ctx, conn, c.limits.wire())
	if c.grab.Transport == MPTCP {
		if _, err := readInfo(conn); err != nil && !errors.Is(err, errFellBack) {
			return nil, err
		} else if c.grab.MPTCPAtConnect = known(err == nil); err != nil {
			c.grab.Fallback = AtConnect
		}
	}
	return c.wire, nil
}

// connectTLS lets zgrab2 do the handshake. The host's certificate is not verified: this is a census.
func (c *connector) connectTLS(ctx context.Context, target *zgrab2.ScanTarget) (net.Conn, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	c.stage = handshaking
	begun := time.Now()
	c.wire.limit = maxHandshake
	secured, err := zgrab2.GetDefaultTLSWrapper(&zgrab2.TLSFlags{NextProtos: "http/1.1"})(ctx, target, conn)
	c.wire.limit = c.limits.wire()
	if secured != nil {
		c.grab.CertificateNames = certificateNames(secured.GetLog().HandshakeLog)
	}
	if err != nil {
		return nil, err
	}
	c.grab.TLS = since(begun)
	c.grab.TLSVersion = tls.VersionName(uint16(secured.ConnectionState().Version))
	return secured, nil
}

// finish notes what the kernel says of the connection in the end, and closes it.
func (c *connector) finish() {
	if c.wire == nil {
		return
	}
	g := c.grab
	g.BytesSent, g.BytesReceived = known(c.wire.sent), known(c.wire.received)
	if g.Transport == MPTCP {
		c.proof()
	}
	c.wire.Close()
}

// proof says whether it is still MPTCP. Only response bytes prove it: a SYN-ACK with a made-up key looks
// the same at connect.
func (c *connector) proof() {
	g := c.grab
	i, err := readInfo(c.wire.conn)
	switch {
	case err == nil:
		g.info = known(i)
	case !errors.Is(err, errFellBack):
		return
	case g.Fallback == "" && !c.resetUnanswered():
		g.Fallback = AfterConnect
	}
	if g.FirstByte.Valid {
		g.MPTCPAfterData = known(err == nil && i.received > 0)
	}
}

// resetUnanswered says whether the connection was reset before any byte came. To the kernel that is a
// fallback, if the RST is the first segment after the handshake and has no option of MPTCP
// (check_fully_established in net/mptcp/options.c); but nothing went on by TCP.
func (c *connector) resetUnanswered() bool {
	return c.wire.received == 0 && (errors.Is(c.wire.failed, unix.ECONNRESET) || errors.Is(c.wire.failed, unix.EPIPE))
}

func known[T any](v T) sql.Null[T] { return sql.Null[T]{V: v, Valid: true} }

func since(t time.Time) sql.Null[time.Duration] { return known(time.Since(t)) }
