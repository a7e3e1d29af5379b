package responder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

var target = netip.MustParseAddr("198.18.0.1")

func TestProbeOf(t *testing.T) {
	for _, c := range []struct {
		what, options string
		want          scenario.Probe
	}{
		{"no options", "", scenario.Plain},
		{"Linux options", linuxOptions, scenario.Plain},
		{"v0, 12 bytes", "1e0c00810102030405060708", scenario.V0},
		{"v1, 4 bytes", "1e040101", scenario.V1},
		{"after NOPs", "010101" + "1e040101" + "01", scenario.V1},
		{"v0 without key", "1e040081", scenario.Plain},
		{"v1 with key", "1e0c01010102030405060708", scenario.Plain},
		{"v2", "1e040201", scenario.Plain},
		{"MP_JOIN", "1e0c10000102030405060708", scenario.Plain},
		{"v1 after end of options", "00000000" + "1e040101", scenario.Plain},
		{"v1 after length zero", "fe000000" + "1e040101", scenario.Plain},
		{"v1 after length one", "fe010000" + "1e040101", scenario.Plain},
		{"v1 inside another option", "fe08" + "1e0401010000", scenario.Plain},
		{"length beyond the header", "1e0c0081", scenario.Plain},
		{"kind at the very end", "0101011e", scenario.Plain},
		{"the first of two", "1e040101" + "1e0c00810102030405060708", scenario.V1},
	} {
		syn, err := parseSYN(buildSYN(target, 40000, 443, 1, c.options))
		if err != nil || syn.probe != c.want {
			t.Errorf("%s: read %s, %v: want %s", c.what, syn.probe, err, c.want)
		}
	}
}

func TestParseSYNRefuses(t *testing.T) {
	const ip, tcp = etherBytes, etherBytes + ipMinBytes
	good := buildSYN(target, 40000, 443, 1, linuxOptions)
	for name, c := range map[string]struct {
		change func(frame []byte) []byte
		want   error
	}{
		"empty":             {func(f []byte) []byte { return nil }, errNotSYN},
		"cut in the header": {func(f []byte) []byte { return f[:tcp+19] }, errNotSYN},
		"cut in options":    {func(f []byte) []byte { return f[:len(f)-1] }, errCut},
		"IPv6":              {func(f []byte) []byte { f[12], f[13] = 0x86, 0xdd; return f }, errNotSYN},
		"IP version 6":      {func(f []byte) []byte { f[ip] = 0x65; return f }, errNotSYN},
		"IP header of 16":   {func(f []byte) []byte { f[ip] = 0x44; return f }, errCut},
		"IP header of 60":   {func(f []byte) []byte { f[ip] = 0x4f; return f }, errCut},
		"total length 0":    {func(f []byte) []byte { f[ip+3] = 0; return f }, errCut},
		"total length more": {func(f []byte) []byte { f[ip+2] = 1; return f }, errCut},
		"UDP":               {func(f []byte) []byte { f[ip+9] = 17; return f }, errNotSYN},
		"fragment":          {func(f []byte) []byte { f[ip+6] = 0x20; return f }, errNotSYN},
		"later fragment":    {func(f []byte) []byte { f[ip+7] = 1; return f }, errNotSYN},
		"SYN-ACK":           {func(f []byte) []byte { f[tcp+13] = 0x12; return f }, errNotSYN},
		"RST":               {func(f []byte) []byte { f[tcp+13] = 0x04; return f }, errNotSYN},
		"SYN and RST":       {func(f []byte) []byte { f[tcp+13] = 0x06; return f }, errNotSYN},
		"offset of 16":      {func(f []byte) []byte { f[tcp+12] = 0x40; return f }, errCut},
		"offset of 60":      {func(f []byte) []byte { f[tcp+12] = 0xf0; return f }, errCut},
		"IP checksum":       {func(f []byte) []byte { f[ip+10] ^= 1; return f }, errChecksum},
		"TCP checksum":      {func(f []byte) []byte { f[tcp+16] ^= 1; return f }, errChecksum},
		"damaged option":    {func(f []byte) []byte { f[len(f)-1] ^= 1; return f }, errChecksum},
	} {
		if _, err := parseSYN(c.change(bytes.Clone(good))); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	padded := append(bytes.Clone(good), 0xff, 0xff) // as Ethernet pads short frames
	if _, err := parseSYN(padded); err != nil {
		t.Errorf("padded: %v", err)
	}
}

// Any frame is either refused or answered with a well-formed packet.
func FuzzSYN(f *testing.F) {
	for _, options := range optionsOf {
		f.Add(buildSYN(target, 40000, 443, 1, options))
	}
	f.Add(buildSYN(target, 40000, 443, 1, "1e281100"+strings.Repeat("00", 36)))
	s := scenario.Default()
	hosts := hostsOf(s, 1)
	p := newPopulation(s)
	f.Fuzz(func(t *testing.T, frame []byte) {
		complete(frame)
		syn, err := parseSYN(frame)
		if err != nil {
			if syn.packet != nil {
				t.Fatalf("refused (%v) and read", err)
			}
			return
		}
		for b, h := range hosts { // whatever the target was, each behaviour answers
			syn.target, syn.targetPort = h[0], 443
			reply, copies := p.answer(nil, &syn)
			if (copies == 0) != (reply == nil) {
				t.Fatalf("%s: %d copies of %x", b, copies, reply)
			}
			if reply == nil {
				continue
			}
			ip := reply[etherBytes:]
			if len(ip) > 576 || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) || checksum(0, ip[:ipMinBytes]) != 0 {
				t.Fatalf("%s: wrong IP header: %x", b, reply)
			}
			if tcp := ip[ipMinBytes:]; ip[9] == protocolTCP && int(tcp[12]>>4)*4 != len(tcp) {
				t.Fatalf("%s: wrong data offset: %x", b, reply)
			}
		}
	})
}

// complete sets right checksums where the headers allow it, so that fuzzing
// gets behind them.
func complete(frame []byte) {
	if len(frame) < etherBytes+ipMinBytes {
		return
	}
	ip := frame[etherBytes:]
	ipBytes, total := int(ip[0]&0xf)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if ipBytes < ipMinBytes || total > len(ip) || total < ipBytes+tcpMinBytes {
		return
	}
	tcp := ip[ipBytes:total]
	ip[10], ip[11], tcp[16], tcp[17] = 0, 0, 0, 0
	binary.BigEndian.PutUint16(ip[10:], checksum(0, ip[:ipBytes]))
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudoHeader(ip[12:20], len(tcp)), tcp))
}
