package verify

import (
	"context"
	"errors"
	"net"
	"time"
)

// tlsOverhead is what a connection may bring beside the response: the handshake, what follows it (tickets,
// RFC 8446 §4.6.1), and some bytes a record.
const tlsOverhead = 256 << 10

// maxHandshake bounds what is read of a TLS handshake. A key in a certificate costs arithmetic that no deadline
// ends, and that grows with the square of its length: with 64 KiB, zcrypto's own limit, some ten seconds, with
// this some two. (crypto/tls takes no key beyond 8192 bits, CVE-2023-29409.) Chains of certificates have some
// kilobytes.
const maxHandshake = 32 << 10

// wire bounds the bytes of a connection.
func (l limits) wire() uint64 { return uint64(2*l.response) + tlsOverhead }

var errFlood = errors.New("more bytes than the limit of handshake or response allows")

// wire is a connection as the network sees it. It counts bytes, bounds them, and keeps the first error
// that the network gave, which decoders above may hide. Its deadline is absolute, and for its maker to set:
// zgrab2's own are too easily pushed on by a host that drips.
type wire struct {
	conn           *net.TCPConn
	stop           func() bool // of watching the context
	sent, received uint64
	limit          uint64 // of received
	failed         error
}

func newWire(ctx context.Context, conn *net.TCPConn, limit uint64) *wire {
	return &wire{
		conn: conn, limit: limit,
		stop: context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) }),
	}
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if w.received >= w.limit {
		return 0, w.note(errFlood)
	}
	n, err := w.conn.Read(p[:min(uint64(len(p)), w.limit-w.received)])
	w.received += uint64(n)
	return n, w.note(err)
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.conn.Write(p)
	w.sent += uint64(n)
	return n, w.note(err)
}

func (w *wire) note(err error) error {
	if w.failed == nil {
		w.failed = err
	}
	return err
}

// Close implements net.Conn.
func (w *wire) Close() error {
	w.stop()
	return w.conn.Close()
}

// LocalAddr implements net.Conn.
func (w *wire) LocalAddr() net.Addr { return w.conn.LocalAddr() }

// RemoteAddr implements net.Conn.
func (w *wire) RemoteAddr() net.Addr { return w.conn.RemoteAddr() }

// SetDeadline implements net.Conn, and does nothing: see wire.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn, and does nothing: see wire.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn, and does nothing: see wire.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
