package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// handshakeMessage is one of RFC 5246 §7.4, in records.
func handshakeMessage(kind byte, body []byte) []byte {
	message := append([]byte{kind, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
	var records []byte
	for part := range slices.Chunk(message, 1<<14) {
		records = binary.BigEndian.AppendUint16(append(records, 22, 3, 3), uint16(len(part)))
		records = append(records, part...)
	}
	return records
}

// vector is what its length in so many bytes goes before.
func vector(lengthBytes int, content []byte) []byte {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
	return append(length[4-lengthBytes:], content...)
}

// serverHello chooses a cipher suite of TLS 1.2 (RFC 5246 §7.4.1.3).
func serverHello(suite uint16) []byte {
	hello := append([]byte{3, 3}, bytes.Repeat([]byte{7}, 32)...)
	hello = append(hello, vector(1, nil)...) // no session
	return handshakeMessage(2, append(binary.BigEndian.AppendUint16(hello, suite), 0))
}

// TestArithmetic: no host makes this machine calculate for long.
func TestArithmetic(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	der := certificate(t).Certificates[0].Certificate[0]
	chain := handshakeMessage(11, vector(3, vector(3, der)))
	// With a prime of 8 KiB two powers take minutes (RFC 5246 §7.4.3). Suites with DHE are not offered.
	prime := bytes.Repeat([]byte{0xff}, 8<<10)
	parameters := slices.Concat(vector(2, prime), vector(2, []byte{2}), vector(2, []byte{3}), []byte{4, 1}, vector(2, make([]byte, 256)))
	const dheRSA, ecdheECDSA = 0x0067, 0xc02b
	for _, c := range []struct {
		name   string
		answer []byte
		read   uint64 // at most
	}{
		{"long prime of DHE", slices.Concat(serverHello(dheRSA), chain, handshakeMessage(12, parameters), handshakeMessage(14, nil)), maxHandshake},
		{"long certificate", slices.Concat(serverHello(ecdheECDSA), handshakeMessage(11, vector(3, vector(3, make([]byte, 60<<10))))), maxHandshake},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := listen(t, "127.0.0.1:0", true)
			go func() {
				if conn, err := l.Accept(); err == nil {
					conn.Read(make([]byte, 4096))
					conn.Write(c.answer)
					io.Copy(io.Discard, conn)
					conn.Close()
				}
			}()
			done := make(chan Grab, 1)
			go func() {
				done <- grab(context.Background(), netip.MustParseAddrPort(l.Addr().String()), TLS, MPTCP, 1, limits{5 * time.Second, 5 * time.Second, 1024})
			}()
			select {
			case g := <-done:
				if g.Outcome != OutcomeTLSError || g.BytesReceived.V > c.read || g.Fallback != "" {
					t.Errorf("%+v", g)
				}
			case <-time.After(10 * time.Second):
				t.Error("it goes on and on")
			}
		})
	}
}
