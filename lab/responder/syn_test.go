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

var (
	target  = netip.MustParseAddr("198.18.0.1")
	target6 = netip.MustParseAddr("2001:db8::1")
)

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
		{"canary", canary, scenario.Canary},
		{"canary beside v0", "1e0c00810102030405060708" + canary, scenario.V0},
		{"canary before v1", canary + "1e040101", scenario.V1},
		{"canary beside MP_JOIN", "1e0c10000102030405060708" + canary, scenario.Canary},
		{"canary without nonce", "fe044d43", scenario.Plain},
		{"canary of another experiment", "fe08f9890badcafe", scenario.Plain},
		{"canary as kind 253", "fd084d430badcafe", scenario.Plain},
		{"experiment cut short", "fe03" + "4d" + "01", scenario.Plain},
		{"the first of two experiments", "fe04f989" + canary, scenario.Plain},
		{"the first of two", "1e040101" + "1e0c00810102030405060708", scenario.V1},
	} {
		for _, a := range []netip.Addr{target, target6} {
			syn, err := parseSYN(buildSYN(a, 40000, 443, 1, c.options))
			if err != nil || syn.probe != c.want || syn.target != a || syn.targetPort != 443 {
				t.Errorf("%s: read %s to %s, %v: want %s", c.what, syn.probe, syn.target, err, c.want)
			}
		}
	}
}

func TestParseSYNRefuses(t *testing.T) {
	const ip, tcp = etherBytes, etherBytes + ipv4MinBytes
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
	const tcp6 = etherBytes + ipv6Bytes
	good6 := buildSYN(target6, 40000, 443, 1, linuxOptions)
	for name, c := range map[string]struct {
		change func(frame []byte) []byte
		want   error
	}{
		"cut in the header":  {func(f []byte) []byte { return f[:tcp6+19] }, errNotSYN},
		"cut in options":     {func(f []byte) []byte { return f[:len(f)-1] }, errCut},
		"IP version 4":       {func(f []byte) []byte { f[ip] = 0x45; return f }, errNotSYN},
		"IPv4":               {func(f []byte) []byte { f[12], f[13] = 8, 0; return f }, errNotSYN},
		"payload length 19":  {func(f []byte) []byte { f[ip+5] = 19; return f }, errCut},
		"payload length 0":   {func(f []byte) []byte { f[ip+5] = 0; return f }, errCut},
		"more payload":       {func(f []byte) []byte { f[ip+4] = 1; return f }, errCut},
		"UDP":                {func(f []byte) []byte { f[ip+6] = 17; return f }, errNotSYN},
		"hop-by-hop options": {func(f []byte) []byte { f[ip+6] = 0; return f }, errNotSYN},
		"fragment":           {func(f []byte) []byte { f[ip+6] = 44; return f }, errNotSYN},
		"SYN-ACK":            {func(f []byte) []byte { f[tcp6+13] = 0x12; return f }, errNotSYN},
		"offset of 16":       {func(f []byte) []byte { f[tcp6+12] = 0x40; return f }, errCut},
		"TCP checksum":       {func(f []byte) []byte { f[tcp6+16] ^= 1; return f }, errChecksum},
		"another source":     {func(f []byte) []byte { f[ip+8] ^= 1; return f }, errChecksum},
		"another target":     {func(f []byte) []byte { f[ip+39] ^= 1; return f }, errChecksum},
	} {
		if _, err := parseSYN(c.change(bytes.Clone(good6))); !errors.Is(err, c.want) {
			t.Errorf("IPv6, %s: got %v, want %v", name, err, c.want)
		}
	}
	padded := append(bytes.Clone(good), 0xff, 0xff) // as Ethernet pads short frames
	if _, err := parseSYN(padded); err != nil {
		t.Errorf("padded: %v", err)
	}
}

// Any frame is either refused or answered with a well-formed packet.
func FuzzSYN(f *testing.F) {
	for _, a := range []netip.Addr{target, target6} {
		for _, options := range optionsOf {
			f.Add(buildSYN(a, 40000, 443, 1, options))
		}
		f.Add(buildSYN(a, 40000, 443, 1, "1e281100"+strings.Repeat("00", 36)))
	}
	s := scenario.Default()
	hosts := map[string]map[scenario.Behaviour][]netip.Addr{}
	for _, family := range scenario.Families {
		hosts[family] = hostsOf(s, family, 1)
	}
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
		family := scenario.FamilyOf(syn.target)
		for b, h := range hosts[family] { // whatever the target was, each behaviour answers
			syn.target, syn.targetPort = h[0], 443
			reply, copies := answerTo(p, &syn)
			if (copies == 0) != (reply == nil) {
				t.Fatalf("%s: %d copies of %x", b, copies, reply)
			}
			if reply == nil {
				continue
			}
			limit := map[string]int{"ipv4": 576, "ipv6": 1280}[family]
			if ip := reply[etherBytes:]; len(ip) > limit {
				t.Fatalf("%s: %d bytes: %x", b, len(ip), reply)
			}
			e := &exchange{behaviour: b, family: family, reply: reply}
			checkSums(t, e)
			if tcp := reply[etherBytes+ipBytesOf[family]:]; b != scenario.ICMP && int(tcp[12]>>4)*4 != len(tcp) {
				t.Fatalf("%s: wrong data offset: %x", b, reply)
			}
		}
	})
}

// complete sets right checksums where the headers allow it, so that fuzzing
// gets behind them.
func complete(frame []byte) {
	if len(frame) < etherBytes {
		return
	}
	ip := bytes.Clone(frame[etherBytes:])
	var s syn
	if addresses, err := s.readIPv6(ip); err == nil {
		putTCPChecksum(frame[etherBytes+ipv6Bytes:][:len(s.packet)-ipv6Bytes], addresses)
		return
	}
	if len(ip) < ipv4MinBytes {
		return
	}
	ipBytes := int(ip[0]&0xf) * 4
	if ipBytes < ipv4MinBytes || ipBytes > len(ip) {
		return
	}
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], checksum(0, ip[:ipBytes]))
	copy(frame[etherBytes:], ip)
	if addresses, err := s.readIPv4(ip); err == nil {
		putTCPChecksum(frame[etherBytes+ipBytes:][:len(s.packet)-ipBytes], addresses)
	}
}

func putTCPChecksum(tcp, addresses []byte) {
	tcp[16], tcp[17] = 0, 0
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudoHeader(addresses, protocolTCP, len(tcp)), tcp))
}
