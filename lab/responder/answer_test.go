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
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// Option sets of SYNs, in the order of a Linux client.
const (
	linuxOptions = "020405b4" + "0402" + "080a0102030400000000" + "01030307" // MSS, SACK, timestamps, window scale
	sentKey      = uint64(0x8001020408102041)
)

var optionsOf = [scenario.Probes]string{
	scenario.Plain: linuxOptions,
	scenario.V0:    linuxOptions + "1e0c0081" + "8001020408102041",
	scenario.V1:    linuxOptions + "1e040101",
}

// buildSYN is a SYN from 198.19.255.1 with the given options, in hex.
func buildSYN(target netip.Addr, sourcePort, targetPort uint16, seq uint32, options string) []byte {
	frame := []byte("\x02\x00\x00\x13\xff\x02\x02\x00\x00\x13\xff\x01\x08\x00")
	frame = append(frame, "\x45\x00\x00\x00\xd4\x31\x00\x00\xff\x06\x00\x00\xc6\x13\xff\x01"...)
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
	finishTCP(frame, len(frame)-tcp) // that it is right, tshark says below
	return frame
}

// hostsOf lists some targets of each behaviour on port 443.
func hostsOf(s *scenario.Scenario, n int) map[scenario.Behaviour][]netip.Addr {
	hosts := make(map[scenario.Behaviour][]netip.Addr)
	for a := range s.Addresses {
		if b := s.Behaviour(a, 443); len(hosts[b]) < n {
			hosts[b] = append(hosts[b], a)
		}
	}
	return hosts
}

// exchange is a SYN, what came back, and what tshark made of that.
type exchange struct {
	behaviour scenario.Behaviour
	probe     scenario.Probe
	target    netip.Addr
	traits    uint64
	port      uint16
	seq       uint32
	syn       []byte
	reply     []byte
	copies    int
	seen      map[string]string
}

func (e *exchange) String() string {
	return fmt.Sprintf("%s, probe %s, target %s: reply %x", e.behaviour, e.probe, e.target, e.reply)
}

// exchanges probes 24 hosts of each behaviour with each kind of SYN.
func exchanges(t *testing.T) []*exchange {
	s := scenario.Default()
	p := newPopulation(s)
	var all []*exchange
	for b, hosts := range hostsOf(s, 24) {
		for _, a := range hosts {
			for _, probe := range []scenario.Probe{scenario.Plain, scenario.V0, scenario.V1} {
				e := &exchange{behaviour: b, probe: probe, target: a, traits: s.Traits(a, 443),
					port: uint16(32768 + len(all)), seq: 0xfffffff0 + uint32(len(all))}
				e.syn = buildSYN(a, e.port, 443, e.seq, optionsOf[probe])
				parsed, err := parseSYN(e.syn)
				if err != nil || parsed.probe != probe {
					t.Fatalf("SYN %x read as %s, %v: want %s", e.syn, parsed.probe, err, probe)
				}
				e.reply, e.copies = p.answer(nil, &parsed)
				all = append(all, e)
			}
		}
	}
	return all
}

// Fields that tshark prints of each packet. Where a packet has several (a
// quoted header), the first counts, but every expert message does.
var fields = []string{
	"frame.number", "ip.src", "ip.dst", "ip.checksum.status", "tcp.checksum.status", "icmp.checksum.status",
	"tcp.srcport", "tcp.dstport", "tcp.flags", "tcp.seq_raw", "tcp.ack_raw", "tcp.options.timestamp.tsecr", "tcp.options.mss_val",
	"tcp.options.sack_perm", "tcp.options.wscale.shift", "tcp.options.mptcp.subtype", "tcp.options.mptcp.version", "tcp.options.mptcp.sendkey",
	"tcp.options.mptcp.echo", "icmp.type", "icmp.code", "_ws.expert.message", "_ws.malformed",
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
	for _, e := range all {
		if p := packets[0]; p["ip.checksum.status"] != "1" || p["tcp.checksum.status"] != "1" || p["_ws.expert.message"] != "Connection establish request (SYN): server port 443" {
			t.Fatalf("tshark complains about our SYN %x: %v", e.syn, p)
		}
		packets = packets[1:]
		if want := scenario.Default().Replies(e.target, 443); e.copies != want || (want == 0) != (e.reply == nil) {
			t.Errorf("%s: sent %d times, want %d", e, e.copies, want)
		}
		if e.reply == nil {
			continue
		}
		e.seen, packets = packets[0], packets[1:]
		if e.seen["ip.checksum.status"] != "1" {
			t.Errorf("%s: wrong IP checksum", e)
		}
		switch e.behaviour {
		case scenario.ICMP:
			checkICMP(t, e)
		case scenario.RST:
			checkHeader(t, e, "0x0014")
		default:
			checkHeader(t, e, "0x0012")
			checkSYNACK(t, e)
		}
	}
	checkVariety(t, all)
}

func expect(t *testing.T, e *exchange, field, want string) {
	t.Helper()
	if got := e.seen[field]; got != want {
		t.Errorf("%s: tshark reads %s as %q, want %q", e, field, got, want)
	}
}

func checkHeader(t *testing.T, e *exchange, flags string) {
	expect(t, e, "ip.src", e.target.String())
	expect(t, e, "ip.dst", "198.19.255.1")
	expect(t, e, "tcp.checksum.status", "1")
	expect(t, e, "tcp.srcport", "443")
	expect(t, e, "tcp.dstport", fmt.Sprint(e.port))
	expect(t, e, "tcp.flags", flags)
	expect(t, e, "tcp.ack_raw", fmt.Sprint(e.seq+1))
}

func checkSYNACK(t *testing.T, e *exchange) {
	expect(t, e, "tcp.options.mss_val", "1460")
	expect(t, e, "tcp.options.timestamp.tsecr", fmt.Sprint(0x01020304))
	if e.seen["tcp.options.wscale.shift"] == "" || e.seen["tcp.options.sack_perm"] == "" {
		t.Errorf("%s: window scale %q, SACK permitted %q", e, e.seen["tcp.options.wscale.shift"], e.seen["tcp.options.sack_perm"])
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
	case e.probe == scenario.Plain, b == scenario.TCP,
		b == scenario.TrueV0 && e.probe == scenario.V1, (b == scenario.TrueV1 || b == scenario.Duplicate) && e.probe == scenario.V0:
		if subtype != "" {
			t.Errorf("%s: has MPTCP option of subtype %s", e, subtype)
		}
	case b == scenario.TrueV0, b == scenario.TrueV1, b == scenario.Duplicate:
		capable(ours)
		if d := bits.OnesCount64(number(t, key) ^ sentKey); d < 8 || d > 56 { // 6 sigma
			t.Errorf("%s: key %s is %d bits from ours: not random", e, key, d)
		}
	case b == scenario.Mirror, e.probe == scenario.V1 && b >= scenario.TamperBits && b <= scenario.TamperSwap:
		capable(ours)
		want, _ := hex.DecodeString(strings.TrimPrefix(optionsOf[e.probe], linuxOptions))
		if !bytes.HasSuffix(e.reply, want) {
			t.Errorf("%s: does not end in our option %x", e, want)
		}
	case b >= scenario.TamperBits && b <= scenario.TamperSwap:
		capable(0)
		checkTampered(t, e, number(t, key))
	case b == scenario.ConstantKey, b == scenario.LowEntropy:
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
	}
	if !ok {
		t.Errorf("%s: key %016x is not what this tampering makes of %016x", e, key, sentKey)
	}
}

func checkICMP(t *testing.T, e *exchange) {
	expect(t, e, "icmp.type", "3")
	expect(t, e, "icmp.checksum.status", "1")
	quote := e.reply[etherBytes+ipMinBytes+8:]
	if whole := e.syn[etherBytes:]; !bytes.Equal(quote, whole) && !bytes.Equal(quote, whole[:28]) {
		t.Errorf("%s: quotes %x, neither the SYN nor its first 28 bytes", e, quote)
	}
}

// checkVariety looks across hosts: what must differ and what must not.
func checkVariety(t *testing.T, all []*exchange) {
	values := func(b scenario.Behaviour, p scenario.Probe, field string) map[string]int {
		seen := make(map[string]int)
		for _, e := range all {
			if e.behaviour == b && e.probe == p {
				seen[e.seen[field]]++
			}
		}
		return seen
	}
	const key = "tcp.options.mptcp.sendkey"
	if k := values(scenario.ConstantKey, scenario.V0, key); len(k) != 1 {
		t.Errorf("%d constant keys: %v", len(k), k)
	}
	if k := values(scenario.TrueV1, scenario.V1, key); len(k) != 24 {
		t.Errorf("24 true hosts share keys: %v", k)
	}
	if c := values(scenario.ICMP, scenario.V0, "icmp.code"); len(c) != 3 || c["1"] == 0 || c["3"] == 0 || c["13"] == 0 {
		t.Errorf("ICMP codes %v, want 1, 3 and 13", c)
	}
	if w := values(scenario.TCP, scenario.V0, "tcp.options.wscale.shift"); len(w) < 2 {
		t.Errorf("all stacks have window scale %v", w)
	}
}

// A host that answers twice draws another key.
func TestKeyIsFresh(t *testing.T) {
	s := scenario.Default()
	p := newPopulation(s)
	syn, err := parseSYN(buildSYN(hostsOf(s, 1)[scenario.TrueV0][0], 40000, 443, 1, optionsOf[scenario.V0]))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := p.answer(nil, &syn)
	b, _ := p.answer(nil, &syn)
	if bytes.Equal(a[len(a)-8:], b[len(b)-8:]) {
		t.Errorf("the key %x came twice", a[len(a)-8:])
	}
}

// A mirror must not answer with a longer header than TCP has, whatever option
// it is sent.
func TestMirrorOfLongOption(t *testing.T) {
	s := scenario.Default()
	mirror := hostsOf(s, 1)[scenario.Mirror][0]
	for length := 4; length <= 40; length += 4 {
		option := fmt.Sprintf("1e%02x01", length) + strings.Repeat("00", length-3)
		syn, err := parseSYN(buildSYN(mirror, 40000, 443, 1, option))
		if err != nil || len(syn.mptcp) != length {
			t.Fatalf("option of %d bytes: read %x, %v", length, syn.mptcp, err)
		}
		reply, _ := newPopulation(s).answer(nil, &syn)
		if want := min(len(reply)-etherBytes-ipMinBytes, 60); int(reply[etherBytes+ipMinBytes+12]>>4)*4 != want {
			t.Errorf("option of %d bytes: reply %x", length, reply)
		}
	}
}

// Options are answered as offered: a bare SYN gets no timestamps.
func TestBareSYN(t *testing.T) {
	s := scenario.Default()
	for _, host := range hostsOf(s, 24)[scenario.TCP] {
		syn, err := parseSYN(buildSYN(host, 40000, 443, 1, ""))
		if err != nil {
			t.Fatal(err)
		}
		reply, _ := newPopulation(s).answer(nil, &syn)
		if options := hex.EncodeToString(reply[etherBytes+ipMinBytes+tcpMinBytes:]); options != "020405b4" {
			t.Errorf("a SYN without options was answered with %s, want MSS alone", options)
		}
	}
}
