package verify

import (
	"context"
	"errors"
	"net"
	"time"
)

// tlsOverhead is what a connection may bring beside the response: handshake messages have at most 64 KiB
// each (zcrypto's limit), and records some bytes.
const tlsOverhead = 256 << 10

var errFlood = errors.New("more bytes than handshake and response may have together")

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

func newWire(ctx context.Context, conn *net.TCPConn, response int64) *wire {
	return &wire{
		conn: conn, limit: uint64(2*response) + tlsOverhead,
		stop: context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) }),
	}
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if w.received >= w.limit {
		return 0, w.note(errFlood)
	}
	n, err := w.conn.Read(p)
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
