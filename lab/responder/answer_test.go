package responder

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// Option sets of SYNs, in the order of a Linux client.
const (
	linuxOptions = "020405b4" + "0402" + "080a0102030400000000" + "01030307" // MSS, SACK, timestamps, window scale
	sentKey      = uint64(0x8001020408102041)
)

const canary = "fe084d43" + "0badcafe"

var optionsOf = [scenario.Probes]string{
	scenario.Plain:  linuxOptions,
	scenario.V0:     linuxOptions + "1e0c0081" + "8001020408102041",
	scenario.V1:     linuxOptions + "1e040101",
	scenario.Canary: linuxOptions + canary,
}

// What probes to each family come from and go to.
var (
	scannerOf = map[string]netip.Addr{
		"ipv4": netip.MustParseAddr("198.19.255.1"),
		"ipv6": netip.MustParseAddr("2001:db8:ffff::1"),
	}
	headerOf = map[string]string{ // Ethernet and IP, without the addresses
		"ipv4": "\x02\x00\x00\x13\xff\x02\x02\x00\x00\x13\xff\x01\x08\x00" + "\x45\x00\x00\x00\xd4\x31\x00\x00\xff\x06\x00\x00",
		"ipv6": "\x02\x00\x00\x13\xff\x02\x02\x00\x00\x13\xff\x01\x86\xdd" + "\x60\x0a\xbc\xde\x00\x00\x06\xff",
	}
	ipBytesOf = map[string]int{"ipv4": 20, "ipv6": 40}
)

// buildSYN is a SYN from the scanner with the given options, in hex.
func buildSYN(target netip.Addr, sourcePort, targetPort uint16, seq uint32, options string) []byte {
	return buildSYNWith(target, sourcePort, targetPort, seq, options, nil)
}

func buildSYNWith(target netip.Addr, sourcePort, targetPort uint16, seq uint32, options string, data []byte) []byte {
	family := scenario.FamilyOf(target)
	frame := []byte(headerOf[family])
	frame = append(frame, scannerOf[family].AsSlice()...)
	frame = append(frame, target.AsSlice()...)
	tcp := len(frame)
	frame = binary.BigEndian.AppendUint16(frame, sourcePort)
	frame = binary.BigEndian.AppendUint16(frame, targetPort)
	frame = binary.BigEndian.AppendUint32(frame, seq)
	frame = append(frame, "\x00\x00\x00\x00\x00\x02\xff\xff\x00\x00\x00\x00"...)
	optionBytes, err := hex.DecodeString(options)
	if err != nil {
		panic(err)
	}
	frame = append(frame, optionBytes...)
	frame[tcp+12] = byte((len(frame)-tcp)/4) << 4
	frame = append(frame, data...)
	finish(frame, len(frame)-tcp) // that it is right, tshark says below
	return frame
}

// hostsOf lists some targets of each behaviour on port 443, of one family.
func hostsOf(s *scenario.Scenario, family string, n int) map[scenario.Behaviour][]netip.Addr {
	hosts := make(map[scenario.Behaviour][]netip.Addr)
	for a := range s.Addresses {
		if b := s.Behaviour(a, 443); scenario.FamilyOf(a) == family && len(hosts[b]) < n {
			hosts[b] = append(hosts[b], a)
		}
	}
	return hosts
}

func newPopulation(s *scenario.Scenario) *Population { return newRun(s, 1) }

func newRun(s *scenario.Scenario, run uint64) *Population {
	return NewPopulation(s, run, func() time.Duration { return 0 })
}

// answerTo is what comes back to a SYN.
func answerTo(p *Population, s *syn) (reply []byte, copies int) {
	reply, copies, _ = p.answer(nil, s, p.scenario.Behaviour(s.target, s.targetPort))
	return reply, copies
}

// exchange is a SYN, what came back, and what tshark made of that.
type exchange struct {
	behaviour scenario.Behaviour
	family    string
	probe     scenario.Probe
	canary    bool
	target    netip.Addr
	traits    uint64
	path      scenario.Path
	port      uint16
	seq       uint32
	syn       []byte
	reply     []byte
	copies    int
	seen      map[string]string
}

func (e *exchange) String() string {
	return fmt.Sprintf("%s, probe %s (canary %t), target %s: reply %x", e.behaviour, e.probe, e.canary, e.target, e.reply)
}

// exchanges probes 24 hosts of each behaviour and family with each kind of SYN, v0 and v1 also with a
// canary.
func exchanges(t *testing.T) []*exchange {
	s := scenario.All()
	p := newPopulation(s)
	var all []*exchange
	ask := func(b scenario.Behaviour, a netip.Addr, probe scenario.Probe, options string) {
		e := &exchange{behaviour: b, family: scenario.FamilyOf(a), probe: probe, canary: strings.HasSuffix(options, canary),
			target: a, traits: s.Traits(a, 443), path: s.Path(a, 443), port: uint16(32768 + len(all)%32768), seq: 0xfffffff0 + uint32(len(all))}
		e.syn = buildSYN(a, e.port, 443, e.seq, options)
		parsed, err := parseSYN(e.syn)
		if err != nil || parsed.probe != probe {
			t.Fatalf("SYN %x read as %s, %v: want %s", e.syn, parsed.probe, err, probe)
		}
		e.reply, e.copies = answerTo(p, &parsed)
		all = append(all, e)
	}
	for _, family := range scenario.Families {
		for b, hosts := range hostsOf(s, family, 24) {
			for _, a := range hosts {
				for probe, options := range optionsOf {
					ask(b, a, scenario.Probe(probe), options)
				}
				ask(b, a, scenario.V0, optionsOf[scenario.V0]+canary)
				ask(b, a, scenario.V1, optionsOf[scenario.V1]+canary)
			}
		}
	}
	return all
}

// Fields that tshark prints of each packet. Where a packet has several (a
// quoted header), the first counts, but every expert message does.
var fields = []string{
	"frame.number", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "ipv6.hlim", "ip.checksum.status", "tcp.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status",
	"tcp.srcport", "tcp.dstport", "tcp.flags", "tcp.seq_raw", "tcp.ack_raw", "tcp.options.timestamp.tsecr", "tcp.options.mss_val",
	"tcp.options.sack_perm", "tcp.options.wscale.shift", "tcp.options.mptcp.subtype", "tcp.options.mptcp.version", "tcp.options.mptcp.sendkey",
	"tcp.options.mptcp.echo", "tcp.options.experimental.exid", "tcp.options.experimental.data",
	"icmp.type", "icmp.code", "icmpv6.type", "icmpv6.code", "_ws.expert.message", "_ws.malformed",
}

// dissect lets tshark read the frames, with every checksum checked.
func dissect(t *testing.T, frames [][]byte) []map[string]string {
	if _, err := exec.LookPath("tshark"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("tshark is missing: install it")
		}
		t.Skip("tshark is missing: no independent judge of the packets")
	}
	path := filepath.Join(t.TempDir(), "frames.pcap")
	if err := os.WriteFile(path, pcap(frames), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"-r", path, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=|", "-E", "separator=/t",
		"-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-o", "tcp.analyze_sequence_numbers:FALSE"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	var stderr bytes.Buffer
	cmd := exec.Command("tshark", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, stderr.String())
	}
	var seen []map[string]string
	for line := range strings.Lines(string(out)) {
		packet := make(map[string]string)
		for i, value := range strings.Split(strings.TrimSuffix(line, "\n"), "\t") {
			if fields[i] != "_ws.expert.message" {
				value, _, _ = strings.Cut(value, "|")
			}
			packet[fields[i]] = value
		}
		seen = append(seen, packet)
	}
	if len(seen) != len(frames) {
		t.Fatalf("tshark read %d of %d frames", len(seen), len(frames))
	}
	return seen
}

// pcap is a capture file (the format of pcap-savefile(5)) of Ethernet frames.
func pcap(frames [][]byte) []byte {
	file := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	file = append(file, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0)
	for i, frame := range frames {
		for _, v := range []int{i, 0, len(frame), len(frame)} {
			file = binary.LittleEndian.AppendUint32(file, uint32(v))
		}
		file = append(file, frame...)
	}
	return file
}

func TestRepliesAsTsharkReadsThem(t *testing.T) {
	all := exchanges(t)
	var frames [][]byte
	for _, e := range all {
		frames = append(frames, e.syn)
		if e.reply != nil {
			frames = append(frames, e.reply)
		}
	}
	packets := dissect(t, frames)
	s := scenario.All()
	for _, e := range all {
		p := packets[0]
		// IPv6 has no header checksum.
		if p["tcp.checksum.status"] != "1" || e.family == "ipv4" && p["ip.checksum.status"] != "1" || p["_ws.expert.message"] != "Connection establish request (SYN): server port 443" {
			t.Fatalf("tshark complains about our SYN %x: %v", e.syn, p)
		}
		packets = packets[1:]
		if want := s.Replies(e.target, 443, e.probe); e.copies != want || (want == 0) != (e.reply == nil) {
			t.Errorf("%s: sent %d times, want %d", e, e.copies, want)
		}
		if e.reply == nil {
			continue
		}
		e.seen, packets = packets[0], packets[1:]
		if e.family == "ipv4" {
			expect(t, e, "ip.checksum.status", "1")
		}
		checkSums(t, e)
		switch {
		case e.behaviour == scenario.ICMP:
			checkICMP(t, e)
		case e.behaviour == scenario.RST, e.behaviour == scenario.ResetMPTCP && (e.probe == scenario.V0 || e.probe == scenario.V1):
			checkHeader(t, e, "0x0014")
		default:
			checkHeader(t, e, "0x0012")
			checkSYNACK(t, e)
		}
	}
	checkVariety(t, all)
}

// checkSums verifies the checksums a second way, as RFC 1071 §1 states the property: the one's
// complement sum of all words, which is their sum modulo 65535, is zero, over the pseudo-headers as
// RFC 9293 §3.1 and RFC 8200 §8.1 draw them.
func checkSums(t *testing.T, e *exchange) {
	ip := e.reply[etherBytes:]
	last := ip[ipBytesOf[e.family]:]
	var pseudo []byte
	if e.family == "ipv4" {
		if sum := onesSum(ip[:20]); sum != 0 {
			t.Errorf("%s: the IP header sums to %#x", e, sum)
		}
		pseudo = slices.Concat(ip[12:20], []byte{0, ip[9], byte(len(last) >> 8), byte(len(last))})
		if ip[9] == protocolICMP { // RFC 792 has none
			pseudo = nil
		}
		if int(binary.BigEndian.Uint16(ip[2:])) != len(ip) {
			t.Errorf("%s: wrong total length", e)
		}
	} else {
		pseudo = slices.Concat(ip[8:40], []byte{0, 0, byte(len(last) >> 8), byte(len(last)), 0, 0, 0, ip[6]})
		if int(binary.BigEndian.Uint16(ip[4:])) != len(last) {
			t.Errorf("%s: wrong payload length", e)
		}
	}
	if sum := onesSum(append(pseudo, last...)); sum != 0 {
		t.Errorf("%s: sums to %#x", e, sum)
	}
}

func onesSum(data []byte) uint64 {
	if len(data)%2 == 1 {
		data = append(bytes.Clone(data), 0)
	}
	sum := uint64(0)
	for i := 0; i < len(data); i += 2 {
		sum += uint64(binary.BigEndian.Uint16(data[i:]))
	}
	return sum % 0xffff
}

func expect(t *testing.T, e *exchange, field, want string) {
	t.Helper()
	if got := e.seen[field]; got != want {
		t.Errorf("%s: tshark reads %s as %q, want %q", e, field, got, want)
	}
}

func checkHeader(t *testing.T, e *exchange, flags string) {
	prefix := map[string]string{"ipv4": "ip", "ipv6": "ipv6"}[e.family]
	expect(t, e, prefix+".src", e.target.String())
	expect(t, e, prefix+".dst", scannerOf[e.family].String())
	expect(t, e, "tcp.checksum.status", "1")
	expect(t, e, "tcp.srcport", "443")
	expect(t, e, "tcp.dstport", fmt.Sprint(e.port))
	expect(t, e, "tcp.flags", flags)
	expect(t, e, "tcp.ack_raw", fmt.Sprint(e.seq+1))
}

// checkCanary: only mirrors know option 254, and only what we sent comes back.
func checkCanary(t *testing.T, e *exchange) {
	exid, nonce := e.seen["tcp.options.experimental.exid"], e.seen["tcp.options.experimental.data"]
	switch e.behaviour {
	case scenario.MirrorAll, scenario.MirrorKeyed, scenario.MirrorStripped:
		if e.canary {
			if exid != "0x4d43" || nonce != "0badcafe" {
				t.Errorf("%s: canary came back as %q, %q", e, exid, nonce)
			}
			return
		}
	case scenario.AlterCanary:
		if e.canary {
			if exid != "0x4d43" || len(nonce) != 8 || nonce == "0badcafe" {
				t.Errorf("%s: want another nonce, got %q, %q", e, exid, nonce)
			}
			return
		}
	}
	if exid != "" || nonce != "" {
		t.Errorf("%s: has an experimental option %q, %q", e, exid, nonce)
	}
}

func checkSYNACK(t *testing.T, e *exchange) {
	checkCanary(t, e)
	expect(t, e, "tcp.options.mss_val", map[string]string{"ipv4": "1460", "ipv6": "1440"}[e.family])
	// A host does not answer what a box took out of the SYN (RFC 2018 §2, RFC 7323 §2.2, §3.2).
	sack, echo := e.seen["tcp.options.sack_perm"] != "", e.seen["tcp.options.timestamp.tsecr"]
	if lost := e.path.Box == scenario.StripOtherBox; e.seen["tcp.options.wscale.shift"] == "" ||
		lost == (sack && echo == fmt.Sprint(0x01020304)) || lost && !sack && echo == "" {
		t.Errorf("%s: window scale %q, SACK permitted %t, timestamp echo %q, behind a box that strips one of them %t",
			e, e.seen["tcp.options.wscale.shift"], sack, echo, lost)
	}

	subtype, version, key := e.seen["tcp.options.mptcp.subtype"], e.seen["tcp.options.mptcp.version"], e.seen["tcp.options.mptcp.sendkey"]
	capable := func(wantVersion int) {
		t.Helper()
		expect(t, e, "tcp.options.mptcp.subtype", "0")
		expect(t, e, "tcp.options.mptcp.version", fmt.Sprint(wantVersion))
	}
	complains := e.seen["_ws.malformed"] != "" || e.seen["_ws.expert.message"] != "Connection establish acknowledge (SYN+ACK): server port 443"
	wrong := false // on purpose, and tshark sees it
	ours := 0      // the version of the probe
	if e.probe == scenario.V1 {
		ours = 1
	}
	switch b := e.behaviour; {
	case e.probe == scenario.Plain, e.probe == scenario.Canary, b == scenario.TCP, b == scenario.MirrorStripped, b == scenario.AlterCanary,
		b == scenario.TrueV0 && e.probe == scenario.V1, (b == scenario.TrueV1 || b == scenario.Duplicate) && e.probe == scenario.V0:
		if subtype != "" {
			t.Errorf("%s: has MPTCP option of subtype %s", e, subtype)
		}
	case b == scenario.TrueV0, b == scenario.TrueV1, b == scenario.Duplicate, b == scenario.MirrorKeyed:
		capable(ours)
		if d := bits.OnesCount64(number(t, key) ^ sentKey); d < 8 || d > 56 { // 6 sigma
			t.Errorf("%s: key %s is %d bits from ours: not random", e, key, d)
		}
	case b == scenario.Mirror, b == scenario.MirrorAll, e.probe == scenario.V1 && b >= scenario.TamperBits && b <= scenario.TamperShift:
		capable(ours)
		want, _ := hex.DecodeString(strings.TrimPrefix(optionsOf[e.probe], linuxOptions))
		if !bytes.Contains(e.reply, want) {
			t.Errorf("%s: does not have our option %x", e, want)
		}
	case b >= scenario.TamperBits && b <= scenario.TamperShift:
		capable(0)
		checkTampered(t, e, number(t, key))
	case b == scenario.ConstantKey, b == scenario.ConstantHalf, b == scenario.LowEntropy, b == scenario.CounterKey,
		b == scenario.BiasedKey, b == scenario.StaticKey:
		capable(ours)
		if number(t, key) == 0 {
			t.Errorf("%s: key is zero", e)
		}
	case b == scenario.ZeroKey:
		capable(ours)
		expect(t, e, "tcp.options.mptcp.sendkey", "0")
	case b == scenario.WrongVersion:
		capable(ours + 1)
	case b == scenario.OtherSubtype:
		if subtype != "3" && subtype != "5" {
			t.Errorf("%s: subtype %q, want 3 (ADD_ADDR) or 5 (MP_PRIO)", e, subtype)
		}
		if subtype == "3" {
			expect(t, e, "tcp.options.mptcp.echo", "1")
		}
	case b == scenario.MalformedLength:
		capable(ours) // of a length at which tshark sees no key
		expect(t, e, "tcp.options.mptcp.sendkey", "")
	case b == scenario.MalformedShort, b == scenario.MalformedZero:
		wrong = true
		if subtype != "" || version != "" {
			t.Errorf("%s: tshark could read it", e)
		}
	default:
		t.Errorf("%s: not checked", e)
	}
	if complains != wrong {
		t.Errorf("%s: tshark complains: %t, want %t: %v", e, complains, wrong, e.seen)
	}
}

// number reads a key as tshark prints it, in decimal.
func number(t *testing.T, key string) (n uint64) {
	t.Helper()
	if _, err := fmt.Sscan(key, &n); err != nil {
		t.Errorf("key %q is no number: %v", key, err)
	}
	return n
}

func checkTampered(t *testing.T, e *exchange, key uint64) {
	difference := key ^ sentKey
	ok := false
	switch e.behaviour {
	case scenario.TamperBits:
		n := bits.OnesCount64(difference)
		ok = n >= 1 && n <= 4
	case scenario.TamperByte:
		changed := 0
		for shift := 0; shift < 64; shift += 8 {
			if difference>>shift&0xff != 0 {
				changed++
			}
		}
		ok = changed == 1
	case scenario.TamperHalf:
		ok = (difference>>32 == 0) != (difference&0xffffffff == 0)
	case scenario.TamperSwap:
		ok = key == 0x4120100804020180 || key == 0x0810204180010204
	case scenario.TamperShift:
		// sentKey is 80 01 02 04 08 10 20 41: its first or last 4 to 7 bytes stand at the other end.
		text := fmt.Sprintf("%016x", key)
		for _, kept := range []string{"80010204", "8001020408", "800102040810", "80010204081020"} {
			ok = ok || strings.HasSuffix(text, kept)
		}
		for _, kept := range []string{"08102041", "0408102041", "020408102041", "01020408102041"} {
			ok = ok || strings.HasPrefix(text, kept)
		}
	}
	if !ok {
		t.Errorf("%s: key %016x is not what this tampering makes of %016x", e, key, sentKey)
	}
}

func checkICMP(t *testing.T, e *exchange) {
	ipBytes := ipBytesOf[e.family]
	if e.family == "ipv4" {
		expect(t, e, "icmp.type", "3")
		expect(t, e, "icmp.checksum.status", "1")
	} else {
		expect(t, e, "icmpv6.type", "1") // RFC 4443 §3.1
		expect(t, e, "icmpv6.checksum.status", "1")
	}
	quote := e.reply[etherBytes+ipBytes+8:]
	if whole := e.syn[etherBytes:]; !bytes.Equal(quote, whole) && !bytes.Equal(quote, whole[:ipBytes+8]) {
		t.Errorf("%s: quotes %x, neither the SYN nor its IP header and 8 bytes", e, quote)
	}
	if unused := e.reply[etherBytes+ipBytes+4:][:4]; !bytes.Equal(unused, make([]byte, 4)) {
		t.Errorf("%s: unused bytes are %x", e, unused)
	}
	// The port is unreachable on the host itself, all else says a router.
	port := e.seen["icmp.code"] == "3"
	source := e.seen["ip.src"]
	if e.family == "ipv6" {
		port, source = e.seen["icmpv6.code"] == "4", e.seen["ipv6.src"]
	}
	if port != (source == e.target.String()) {
		t.Errorf("%s: %s says so", e, source)
	}
}

// checkVariety looks across hosts: what must differ and what must not.
func checkVariety(t *testing.T, all []*exchange) {
	for _, family := range scenario.Families {
		values := func(b scenario.Behaviour, p scenario.Probe, field string) map[string]int {
			seen := make(map[string]int)
			for _, e := range all {
				if e.behaviour == b && e.family == family && e.probe == p && e.canary == (p == scenario.Canary) {
					seen[e.seen[field]]++
				}
			}
			return seen
		}
		const key = "tcp.options.mptcp.sendkey"
		if k := values(scenario.ConstantKey, scenario.V0, key); len(k) != 1 {
			t.Errorf("%s: %d constant keys: %v", family, len(k), k)
		}
		if k := values(scenario.TrueV1, scenario.V1, key); len(k) != 24 {
			t.Errorf("%s: 24 true hosts share keys: %v", family, k)
		}
		codes, field := []string{"1", "3", "13"}, "icmp.code"
		if family == "ipv6" {
			codes, field = []string{"0", "1", "3", "4"}, "icmpv6.code"
		}
		c := values(scenario.ICMP, scenario.V0, field)
		for _, code := range codes {
			if c[code] == 0 || len(c) != len(codes) {
				t.Errorf("%s: ICMP codes %v, want %v", family, c, codes)
			}
		}
		if w := values(scenario.TCP, scenario.V0, "tcp.options.wscale.shift"); len(w) < 2 {
			t.Errorf("%s: all stacks have window scale %v", family, w)
		}
		if n := values(scenario.AlterCanary, scenario.Canary, "tcp.options.experimental.data"); len(n) != 24 {
			t.Errorf("%s: altered nonces %v", family, n)
		}
		if h := values(scenario.TCP, scenario.V0, "ipv6.hlim"); family == "ipv6" && len(h) < 12 {
			t.Errorf("hop limits %v: want them varied", h)
		}
	}
}

// A host that answers twice draws another key.
func TestKeyIsFresh(t *testing.T) {
	s := scenario.All()
	p := newPopulation(s)
	syn, err := parseSYN(buildSYN(hostsOf(s, "ipv4", 1)[scenario.TrueV0][0], 40000, 443, 1, optionsOf[scenario.V0]))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := answerTo(p, &syn)
	b, _ := answerTo(p, &syn)
	if bytes.Equal(a[len(a)-8:], b[len(b)-8:]) {
		t.Errorf("the key %x came twice", a[len(a)-8:])
	}
}

// keysOf are the keys that hosts of a behaviour answer probes with, host by host, v0 before v1. In these
// SYN-ACKs the key stands last.
func keysOf(t *testing.T, p *Population, hosts []netip.Addr) (keys []uint64) {
	t.Helper()
	for _, a := range hosts {
		for _, probe := range []scenario.Probe{scenario.V0, scenario.V1} {
			frame, copies, err := p.Answer(nil, buildSYN(a, 40000, 443, 1, optionsOf[probe]), p.scenario.Behaviour(a, 443))
			if err != nil || copies != 1 {
				t.Fatalf("%s: %d copies, %v", a, copies, err)
			}
			keys = append(keys, binary.BigEndian.Uint64(frame[len(frame)-8:]))
		}
	}
	return keys
}

// Keys that are not random are wrong in the way that the table says, and not in another; what belongs to
// the seed is the same after a restart.
func TestImplausibleKeys(t *testing.T) {
	s := scenario.All()
	hosts := hostsOf(s, "ipv4", 200)
	keys := func(b scenario.Behaviour, run uint64) []uint64 { return keysOf(t, newRun(s, run), hosts[b]) }
	distinct := func(keys []uint64) int { return len(slices.Compact(slices.Sorted(slices.Values(keys)))) }
	const asked = 2 * 200

	halves := func(run uint64) (first, last []uint64) {
		for _, key := range keys(scenario.ConstantHalf, run) {
			first, last = append(first, key>>32), append(last, key&0xffffffff)
		}
		if distinct(first) != 1 {
			first, last = last, first
		}
		return first, last
	}
	constant, random := halves(1)
	again, others := halves(2)
	if distinct(constant) != 1 || distinct(random) != asked || constant[0] != again[0] || distinct(append(random, others...)) != 2*asked {
		t.Errorf("constant-half: %d constant halves, %d random ones of %d; %08x, and after a restart %08x",
			distinct(constant), distinct(random), asked, constant[0], again[0])
	}

	counted := keys(scenario.CounterKey, 1)
	for i, key := range counted {
		if key != counted[0]+uint64(i) {
			t.Fatalf("counter-key: %016x is number %d after %016x", key, i, counted[0])
		}
	}
	if counted[0]>>40 == 0 || keys(scenario.CounterKey, 2)[0]-counted[0]+1<<32 < 1<<33 {
		t.Errorf("counter-key: begins with %016x, after a restart with %016x", counted[0], keys(scenario.CounterKey, 2)[0])
	}

	var set [64]int
	biased := keys(scenario.BiasedKey, 1)
	for _, key := range biased {
		for bit := range set {
			set[bit] += int(key >> bit & 1)
		}
	}
	// 100 of 400, sigma 8.7.
	if slices.Min(set[:]) < 55 || slices.Max(set[:]) > 145 || distinct(biased) != asked {
		t.Errorf("biased-key: bits set in %v of %d keys, %d distinct", set, asked, distinct(biased))
	}

	static := keys(scenario.StaticKey, 1)
	for i := 0; i < len(static); i += 2 {
		if static[i] != static[i+1] {
			t.Errorf("static-key: a host answered with %016x and %016x", static[i], static[i+1])
		}
		if n := bits.OnesCount64(static[i]); n < 8 || n > 56 { // 6 sigma
			t.Errorf("static-key: %016x does not look random", static[i])
		}
	}
	if distinct(static) != len(hosts[scenario.StaticKey]) || !slices.Equal(static, keys(scenario.StaticKey, 2)) {
		t.Errorf("static-key: %d keys of %d hosts, or others after a restart", distinct(static), len(hosts[scenario.StaticKey]))
	}

	if c := append(keys(scenario.ConstantKey, 1), keys(scenario.ConstantKey, 2)...); distinct(c) != 1 {
		t.Errorf("constant-key: %d keys", distinct(c))
	}
	if k := append(keys(scenario.MirrorKeyed, 1), keys(scenario.MirrorKeyed, 2)...); distinct(k) != 2*asked {
		t.Errorf("mirror-keyed: keys come again after a restart: %d of %d", distinct(k), 2*asked)
	}
}

// Every way to shift occurs.
func TestTamperShiftVaries(t *testing.T) {
	s := scenario.All()
	p, seen := newPopulation(s), map[string]int{}
	for _, key := range keysOf(t, p, hostsOf(s, "ipv4", 300)[scenario.TamperShift]) {
		text, sent := fmt.Sprintf("%016x", key), fmt.Sprintf("%016x", sentKey)
		for bytes := 4; bytes < 8; bytes++ { // the most that fits comes last
			if strings.HasSuffix(text, sent[:2*bytes]) {
				seen[text] = bytes
			}
			if strings.HasPrefix(text, sent[16-2*bytes:]) {
				seen[text] = -bytes
			}
		}
	}
	count := map[int]int{}
	for _, kept := range seen {
		count[kept]++
	}
	for bytes := 4; bytes < 8; bytes++ { // 37 each
		if count[bytes] < 15 || count[-bytes] < 15 {
			t.Errorf("%d bytes kept at the end %d times, at the start %d times", bytes, count[bytes], count[-bytes])
		}
	}
}

// A mirror must not answer with a longer header than TCP has, whatever option
// it is sent.
func TestMirrorOfLongOption(t *testing.T) {
	s := scenario.All()
	mirror := hostsOf(s, "ipv4", 1)[scenario.MirrorAll][0]
	for length := 4; length <= 40; length += 4 {
		option := fmt.Sprintf("1e%02x01", length) + strings.Repeat("00", length-3)
		syn, err := parseSYN(buildSYN(mirror, 40000, 443, 1, option))
		if err != nil || len(syn.mptcp) != length {
			t.Fatalf("option of %d bytes: read %x, %v", length, syn.mptcp, err)
		}
		reply, _ := answerTo(newPopulation(s), &syn)
		if want := min(len(reply)-etherBytes-ipv4MinBytes, 60); int(reply[etherBytes+ipv4MinBytes+12]>>4)*4 != want {
			t.Errorf("option of %d bytes: reply %x", length, reply)
		}
	}
}

// SYNs with options that no probe has are answered as the table says of the options, or as plain ones.
func TestStrangeOptions(t *testing.T) {
	s := scenario.All()
	const join, foreign = "1e0c10000102030405060708", "fe08f9890badcafe" // MP_JOIN; another experiment
	for _, c := range []struct {
		behaviour       scenario.Behaviour
		options, answer string // what stands after the MSS option; "silence", "reset"
	}{
		{scenario.Mirror, join, ""},
		{scenario.TamperBits, join, ""},
		{scenario.ConstantKey, join, ""},
		{scenario.MirrorAll, join, join},
		{scenario.MirrorAll, foreign, foreign},
		{scenario.MirrorKeyed, join + foreign, foreign},
		{scenario.MirrorStripped, join + foreign, foreign},
		{scenario.DropMPTCP, join, "silence"},
		{scenario.DropMPTCP, foreign, ""},
		{scenario.DropUnknown, join, "silence"},
		{scenario.DropUnknown, foreign, "silence"},
		{scenario.ResetMPTCP, join, "reset"},
		{scenario.ResetMPTCP, foreign, ""},
		{scenario.AlterCanary, "fe044d43", ""},
		{scenario.TCP, join + foreign, ""},
	} {
		for _, family := range scenario.Families {
			host := hostsOf(s, family, 1)[c.behaviour][0]
			syn, err := parseSYN(buildSYN(host, 40000, 443, 1, c.options))
			if err != nil || syn.probe != scenario.Plain {
				t.Fatalf("%s read as %s, %v", c.options, syn.probe, err)
			}
			reply, copies := answerTo(newPopulation(s), &syn)
			got := "silence"
			if copies > 0 {
				tcp := reply[etherBytes+ipBytesOf[family]:]
				got = "reset"
				if tcp[13] == flagSYN|flagACK {
					got = hex.EncodeToString(tcp[tcpMinBytes+4:])
				}
			}
			if got != c.answer {
				t.Errorf("%s, %s, %s: got %q, want %q", c.behaviour, family, c.options, got, c.answer)
			}
		}
	}
}

// Forged packets look like answers, and none is one.
func TestForge(t *testing.T) {
	s := scenario.All()
	for _, family := range scenario.Families {
		host := hostsOf(s, family, 1)[scenario.Forger][0]
		syn, err := parseSYN(buildSYN(host, 40000, 443, 7, optionsOf[scenario.V1]))
		if err != nil {
			t.Fatal(err)
		}
		wrong := map[string]int{}
		sent := 0
		newPopulation(s).forge(&syn, func(frame []byte) bool {
			ip := frame[etherBytes:]
			source := ip[12:16]
			if family == "ipv6" {
				source = ip[8:24]
			}
			tcp := ip[ipBytesOf[family]:]
			from, _ := netip.AddrFromSlice(source)
			what := ""
			if from != host {
				what += "address"
			}
			if port := binary.BigEndian.Uint16(tcp[2:]); port != 40000 {
				what += "port"
				if port < 0x8000 {
					t.Errorf("port %d is none of the scanner's", port)
				}
			}
			if binary.BigEndian.Uint32(tcp[8:]) != 8 {
				what += "acknowledgement"
			}
			if binary.BigEndian.Uint16(tcp) != 443 || tcp[13] != flagSYN|flagACK {
				t.Errorf("%x does not look like a SYN-ACK of the target", frame)
			}
			checkSums(t, &exchange{family: family, reply: frame})
			wrong[what]++
			sent++
			return sent < 40
		})
		if sent != 40 || len(wrong) != 3 || wrong["address"] == 0 || wrong["port"] == 0 || wrong["acknowledgement"] == 0 {
			t.Errorf("%s: %d forged, with wrong %v", family, sent, wrong)
		}
	}
}

// A SYN with data is quoted as far as RFC 1812 §4.3.2.3 (576 bytes in all) and RFC 4443 §2.4 (c) (1280) say,
// or in its first 8 bytes.
func TestLongSYNIsQuotedInPart(t *testing.T) {
	s := scenario.All()
	for family, most := range map[string]int{"ipv4": 576, "ipv6": 1280} {
		lengths := make(map[int]int)
		for _, host := range hostsOf(s, family, 24)[scenario.ICMP] {
			syn, err := parseSYN(buildSYNWith(host, 40000, 443, 1, linuxOptions, make([]byte, 1300)))
			if err != nil {
				t.Fatal(err)
			}
			reply, _ := answerTo(newPopulation(s), &syn)
			checkSums(t, &exchange{family: family, reply: reply})
			lengths[len(reply)-etherBytes]++
		}
		if short := 2*ipBytesOf[family] + 8 + 8; len(lengths) != 2 || lengths[most] == 0 || lengths[short] == 0 {
			t.Errorf("%s: messages of %v bytes, want %d and %d", family, lengths, most, short)
		}
	}
}

// What arrives is counted where it belongs, and floods end by themselves.
func TestCounts(t *testing.T) {
	s := scenario.All()
	r := &Responder{
		population: newPopulation(s), targets: make(map[kind]*Count), asked: make(map[question]uint64),
		batch: batch{names: make(map[link]*unix.RawSockaddrLinklayer)}, forged: maxForged - 100,
	}
	hosts := hostsOf(s, "ipv6", 2)
	ask := func(a netip.Addr, port uint16, probe scenario.Probe) {
		r.handle(buildSYN(a, 40000, port, 1, optionsOf[probe]), 2)
	}
	tcp := hosts[scenario.TCP]
	ask(tcp[0], 443, scenario.V1)
	ask(tcp[0], 443, scenario.V1)
	ask(tcp[1], 443, scenario.V1)
	ask(tcp[1], 443, scenario.V0)
	ask(tcp[0].Next(), 443, scenario.V1)
	ask(netip.MustParseAddr("198.19.7.7"), 443, scenario.V1)
	ask(tcp[0], 22, scenario.V1)
	ask(netip.MustParseAddr("2001:db8:ffff:a::1"), 80, scenario.V1)
	damaged := buildSYN(tcp[0], 40000, 443, 1, optionsOf[scenario.V1])
	damaged[len(damaged)-1] ^= 1
	r.handle(damaged, 2)
	for range 3 {
		ask(hosts[scenario.Forger][0], 443, scenario.Plain)
	}

	got := r.Counts()
	targets := got.Targets
	got.Targets = nil
	if want := (Counts{SYNs: 8, Repeated: 3, Strangers: 2, Ignored: 1, Invalid: 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want := []Count{
		{Behaviour: "kernel-mptcp", Family: "ipv6", Probe: "v1", Port: 80, SYNs: 1, Targets: 1, Most: 1},
		{Behaviour: "forger", Family: "ipv6", Probe: "plain", Port: 443, SYNs: 3, Targets: 1, Most: 3},
		{Behaviour: "tcp", Family: "ipv6", Probe: "v0", Port: 443, SYNs: 1, Targets: 1, Most: 1},
		{Behaviour: "tcp", Family: "ipv6", Probe: "v1", Port: 443, SYNs: 3, Targets: 2, Most: 2},
	}
	if !slices.Equal(targets, want) {
		t.Errorf("got %+v, want %+v", targets, want)
	}
	// Four SYNs were answered; of three floods of 64 packets, 100 were left.
	if n := len(r.batch.messages); n != 4+100 {
		t.Errorf("%d packets to send, want 104", n)
	}
}

// Options are answered as offered: a bare SYN gets no timestamps.
func TestBareSYN(t *testing.T) {
	s := scenario.All()
	for _, host := range hostsOf(s, "ipv4", 24)[scenario.TCP] {
		syn, err := parseSYN(buildSYN(host, 40000, 443, 1, ""))
		if err != nil {
			t.Fatal(err)
		}
		reply, _ := answerTo(newPopulation(s), &syn)
		if options := hex.EncodeToString(reply[etherBytes+ipv4MinBytes+tcpMinBytes:]); options != "020405b4" {
			t.Errorf("a SYN without options was answered with %s, want MSS alone", options)
		}
	}
}
