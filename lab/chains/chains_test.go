package chains

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var (
	scanner, scanner6 = netip.MustParseAddr("198.19.255.1"), netip.MustParseAddr("2001:db8:ffff::1")
	target, target6   = netip.MustParseAddr("198.19.2.9"), netip.MustParseAddr("2001:db8:ffff:c::9")
	own, own6         = netip.MustParseAddr("198.19.1.73"), netip.MustParseAddr("2001:db8:ffff:b::49")
)

// The interfaces of the routers tested.
const up, down = 1, 2

// segment is a TCP segment from hex, spaces left out. Its checksum is set by ipPacket.
func segment(t testing.TB, text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ipPacket puts a TCP segment behind an IP header, as RFC 791 and RFC 8200 draw it, with
// all checksums.
func ipPacket(from, to netip.Addr, ttl byte, carries []byte) []byte {
	carries = bytes.Clone(carries)
	pseudo := bytes.Join([][]byte{from.AsSlice(), to.AsSlice(), {0, 6, byte(len(carries) >> 8), byte(len(carries))}, carries}, nil)
	binary.BigEndian.PutUint16(carries[16:], complement(pseudo))
	if from.Is4() {
		header := []byte{0x45, 0, 0, 0, 0xab, 0xcd, 0x40, 0, ttl, 6, 0, 0}
		binary.BigEndian.PutUint16(header[2:], uint16(20+len(carries)))
		header = append(append(header, from.AsSlice()...), to.AsSlice()...)
		binary.BigEndian.PutUint16(header[10:], complement(header))
		return append(header, carries...)
	}
	header := []byte{0x60, 1, 0x23, 0x45, 0, 0, 6, ttl}
	binary.BigEndian.PutUint16(header[4:], uint16(len(carries)))
	return bytes.Join([][]byte{header, from.AsSlice(), to.AsSlice(), carries}, nil)
}

// complement is the checksum of RFC 1071 as a remainder.
func complement(b []byte) uint16 {
	sum := 0
	for i, octet := range b {
		sum += int(octet) << (8 * (1 - i%2))
	}
	return ^uint16(sum % 0xffff)
}

// Segments between port 40000 and 80: option 30 is MP_CAPABLE of version 1, without and
// with a key.
const (
	synText    = "9c40 0050 00000007 00000000 7002 ffff 0000 0000 0204 05b4 1e04 0101"
	plainText  = "9c40 0050 00000007 00000000 6002 ffff 0000 0000 0204 05b4"
	synackText = "0050 9c40 11223344 00000008 6012 ffff 0000 0000 0204 05b4"
	dataText   = "9c40 0050 00000008 11223345 5018 ffff 0000 0000 48656c6c6f21"
	sackText   = "0050 9c40 11223345 0000000e 8010 ffff 0000 0000 0101 050a 00000020 00000030"
)

type sent struct {
	packet
	to Side
}

// pass lets a router handle a packet from one side.
func pass(r *Router, b []byte, from int) (out []sent) {
	r.Up, r.Down = Side{Index: up}, Side{Index: down}
	r.handle(b, from, func(p packet, to Side) {
		out = append(out, sent{packet{bytes.Clone(p.ip), p.payload, p.protocol}, to})
	})
	return out
}

// through is the packet that a router passes on, its TCP part without the
// checksum, which tshark judges.
func through(t *testing.T, r *Router, b []byte, from int) string {
	t.Helper()
	out := pass(r, b, from)
	if len(out) != 1 || out[0].to.Index == from {
		t.Fatalf("%d packets: %+v", len(out), out)
	}
	judged = append(judged, out[0].ip)
	tcp := bytes.Clone(out[0].tcp())
	tcp[16], tcp[17] = 0, 0
	return hex.EncodeToString(tcp)
}

func compact(text string) string { return strings.ReplaceAll(text, " ", "") }

// judged are all packets that tests made, for tshark.
var judged [][]byte

func families(t *testing.T, test func(t *testing.T, from, to, router netip.Addr)) {
	t.Run("ipv4", func(t *testing.T) { test(t, scanner, target, own) })
	t.Run("ipv6", func(t *testing.T) { test(t, scanner6, target6, own6) })
}

func newRouter(box Box) *Router { return &Router{Name: "test", IPv4: own, IPv6: own6, Box: box} }

// RFC 792 and RFC 4443 §3.3; the quote is the packet as it came, and as long as RFC 1812
// §4.3.2.3 and RFC 4443 §2.4c let it be.
func TestTimeExceeded(t *testing.T) {
	families(t, func(t *testing.T, from, to, router netip.Addr) {
		header, kind, most := 20, byte(11), 576
		if from.Is6() {
			header, kind, most = 40, 3, 1280
		}
		long := append(segment(t, dataText), make([]byte, 1400)...)
		for name, c := range map[string]struct {
			carries []byte
			short   bool
			quoted  int
		}{
			"whole SYN": {segment(t, synText), false, header + 28},
			"8 bytes":   {segment(t, synText), true, header + 8},
			"the most":  {long, false, most - header - 8},
		} {
			for _, side := range []int{up, down} {
				for _, ttl := range []byte{0, 1} {
					r := newRouter(new(Mirror))
					r.ShortQuote = c.short
					b := ipPacket(from, to, ttl, c.carries)
					out := pass(r, bytes.Clone(b), side)
					if len(out) != 1 || out[0].to.Index != side {
						t.Fatalf("%s: %d packets: %+v", name, len(out), out)
					}
					p := out[0].packet
					judged = append(judged, p.ip)
					if p.source() != router || p.destination() != from || p.ip[p.payload] != kind || p.ip[p.payload+1] != 0 {
						t.Errorf("%s: from %s to %s: %x", name, p.source(), p.destination(), p.ip)
					}
					if quote := p.ip[p.payload+8:]; !bytes.Equal(quote, b[:c.quoted]) {
						t.Errorf("%s: %d bytes quoted, want %d: %x", name, len(quote), c.quoted, quote)
					}
				}
			}
		}
	})
}

func TestForward(t *testing.T) {
	families(t, func(t *testing.T, from, to, router netip.Addr) {
		out := pass(newRouter(nil), ipPacket(from, to, 2, segment(t, synText)), up)
		if len(out) != 1 || *out[0].hopLimit() != 1 || out[0].to.Index != down {
			t.Errorf("%+v", out)
		}
		for name, b := range map[string][]byte{
			"to the router":   ipPacket(from, router, 9, segment(t, synText)),
			"expired there":   ipPacket(from, router, 1, segment(t, synText)),
			"cut":             ipPacket(from, to, 9, segment(t, synText))[:45],
			"TCP header long": ipPacket(from, to, 9, segment(t, "9c40 0050 00000007 00000000 f002 ffff 0000 0000")),
			"nothing":         {},
		} {
			if out := pass(newRouter(nil), b, up); len(out) != 0 {
				t.Errorf("%s: %+v", name, out)
			}
		}
	})
}

func TestMirror(t *testing.T) {
	families(t, func(t *testing.T, from, to, router netip.Addr) {
		r := newRouter(new(Mirror))
		synack := func() []byte { return ipPacket(to, from, 60, segment(t, synackText)) }
		if got := through(t, r, synack(), down); got != compact(synackText) {
			t.Errorf("SYN-ACK of an unknown flow: %s", got)
		}
		if got, want := through(t, r, ipPacket(from, to, 60, segment(t, synText)), up), compact(strings.ReplaceAll(synText, "1e04 0101", "0101 0101")); got != want {
			t.Errorf("SYN\ngot  %s\nwant %s", got, want)
		}
		want := compact("0050 9c40 11223344 00000008 7012 ffff 0000 0000 0204 05b4 1e04 0101")
		if got := through(t, r, synack(), down); got != want {
			t.Errorf("SYN-ACK\ngot  %s\nwant %s", got, want)
		}
		if got := through(t, r, ipPacket(from, to, 60, segment(t, dataText)), up); got != compact(dataText) {
			t.Errorf("data: %s", got)
		}
	})
}

func TestAnswer(t *testing.T) {
	families(t, func(t *testing.T, from, to, router netip.Addr) {
		r := newRouter(new(Answer))
		if got := through(t, r, ipPacket(from, to, 60, segment(t, dataText)), up); got != compact(dataText) {
			t.Errorf("data of an unknown flow: %s", got)
		}
		keys := make(map[string]bool)
		for range 3 {
			out := pass(r, ipPacket(from, to, 60, segment(t, synText)), up)
			if len(out) != 1 || out[0].to.Index != up || out[0].source() != to || out[0].destination() != from {
				t.Fatalf("%+v", out)
			}
			judged = append(judged, out[0].ip)
			tcp := out[0].tcp()
			if fmt.Sprintf("%x %x %x", tcp[:4], tcp[8:14], tcp[20:28]) != "00509c40 000000089012 020404b01e0c0101" || len(tcp) != 36 {
				t.Errorf("SYN-ACK %x", tcp)
			}
			keys[string(tcp[28:])] = true
		}
		if len(keys) != 3 {
			t.Errorf("%d keys in 3 answers", len(keys))
		}
		out := pass(r, ipPacket(from, to, 60, segment(t, dataText)), up)
		if len(out) != 1 || out[0].to.Index != up || fmt.Sprintf("%x", out[0].tcp()[:14]) != "00509c4011223345000000005004" {
			t.Errorf("data: %+v", out)
		}
		if out := pass(r, ipPacket(from, to, 60, segment(t, strings.Replace(dataText[:len(dataText)-12], "5018", "5010", 1))), up); len(out) != 0 {
			t.Errorf("acknowledgement: %+v", out)
		}
		if got := through(t, r, ipPacket(from, to, 60, segment(t, plainText)), up); got != compact(plainText) {
			t.Errorf("plain SYN: %s", got)
		}
		if got := through(t, r, ipPacket(from, to, 60, segment(t, dataText)), up); got != compact(dataText) {
			t.Errorf("data after a plain SYN: %s", got)
		}
	})
}

func TestShiftSequence(t *testing.T) {
	families(t, func(t *testing.T, from, to, router netip.Addr) {
		r := newRouter(ShiftSequence{By: 0xffffffff}) // one back, over 0
		for _, c := range []struct {
			text, old, new string
			side           int
		}{
			{synText, "00000007", "00000006", up},
			{dataText, "00000008", "00000007", up},
			{synackText, "00000008", "00000009", down},
			{sackText, "0000000e 8010 ffff 0000 0000 0101 050a 00000020 00000030", "0000000f 8010 ffff 0000 0000 0101 050a 00000021 00000031", down},
		} {
			b := ipPacket(from, to, 60, segment(t, c.text))
			if c.side == down {
				b = ipPacket(to, from, 60, segment(t, c.text))
			}
			if got, want := through(t, r, b, c.side), compact(strings.Replace(c.text, c.old, c.new, 1)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	})
}

func TestTranslateSource(t *testing.T) {
	families(t, func(t *testing.T, from, to, router netip.Addr) {
		r := newRouter(&TranslateSource{IPv4: own, IPv6: own6})
		out := pass(r, ipPacket(from, to, 60, segment(t, synText)), up)
		if len(out) != 1 || out[0].source() != router || out[0].destination() != to {
			t.Fatalf("SYN: %+v", out)
		}
		judged = append(judged, out[0].ip)
		beyond := &Router{IPv4: netip.MustParseAddr("198.19.1.74"), IPv6: netip.MustParseAddr("2001:db8:ffff:b::4a"), ShortQuote: true}
		exceeded := pass(beyond, ipPacket(router, to, 1, out[0].tcp()), up)[0]
		back := pass(r, bytes.Clone(exceeded.ip), down)
		if len(back) != 1 || back[0].destination() != from || back[0].to.Index != up {
			t.Fatalf("Time Exceeded: %+v", back)
		}
		judged = append(judged, back[0].ip)
		if !bytes.Equal(back[0].ip[back[0].payload+8:], exceeded.ip[exceeded.payload+8:]) {
			t.Errorf("the quote was changed: %x", back[0].ip)
		}
		back = pass(r, ipPacket(to, router, 60, segment(t, synackText)), down)
		if len(back) != 1 || back[0].destination() != from {
			t.Errorf("SYN-ACK: %+v", back)
		}
		judged = append(judged, back[0].ip)
		if out := pass(r, ipPacket(to, router, 60, segment(t, "0051 9c40 11223344 00000008 5012 ffff 0000 0000")), down); len(out) != 0 {
			t.Errorf("SYN-ACK of an unknown flow: %+v", out)
		}
	})
}

// What tests before this one made has right lengths and checksums.
func TestTshark(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("tshark is missing: install it")
		}
		t.Skip("tshark is missing: no independent judge of the packets")
	}
	// A pcap file of LINKTYPE_RAW (draft-ietf-opsawg-pcap).
	file := segment(t, "a1b2c3d4 0002 0004 00000000 00000000 0000ffff 00000065")
	for _, b := range judged {
		for _, n := range []int{0, 0, len(b), len(b)} {
			file = binary.BigEndian.AppendUint32(file, uint32(n))
		}
		file = append(file, b...)
	}
	path := filepath.Join(t.TempDir(), "packets.pcap")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	// Of a quote that is cut tshark takes the TCP checksum for wrong.
	const bad = "ip.checksum.status==0 || (tcp.checksum.status==0 && !icmp && !icmpv6) || icmp.checksum.status==0 || icmpv6.checksum.status==0 || _ws.malformed || tcp.hdr_len < 20"
	for filter, want := range map[string]int{bad: 0, "frame": len(judged), "icmp.type==11 || icmpv6.type==3": 26} {
		out, err := exec.Command("tshark", "-r", path, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-Y", filter).CombinedOutput()
		lines := 0
		for line := range strings.Lines(string(out)) {
			if !strings.HasPrefix(line, "Running as user") {
				lines++
			}
		}
		if err != nil || lines != want {
			t.Errorf("%s: %d packets, want %d: %v\n%s", filter, lines, want, err, out)
		}
	}
}

// FuzzRouter sends any packet through each box, from both sides. What comes out is a
// packet that the router could read.
func FuzzRouter(f *testing.F) {
	for _, text := range []string{synText, synackText, dataText, sackText} {
		f.Add(ipPacket(scanner, target, 64, segment(f, text)), true)
		f.Add(ipPacket(target6, scanner6, 1, segment(f, text)), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, fromUp bool) {
		if len(b) > maxPacket {
			return
		}
		from := down
		if fromUp {
			from = up
		}
		for _, box := range []Box{nil, new(Mirror), new(Answer), ShiftSequence{1}, &TranslateSource{IPv4: own, IPv6: own6}} {
			r := newRouter(box)
			pass(r, ipPacket(scanner, target, 64, segment(t, synText)), up) // something to remember
			for _, out := range pass(r, bytes.Clone(b), from) {
				if p, ok := parse(bytes.Clone(out.ip)); !ok || len(p.ip) != len(out.ip) || p.payload != out.payload {
					t.Errorf("%T made %x of %x", box, out.ip, b)
				}
			}
		}
	})
}
