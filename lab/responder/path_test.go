package responder

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// withTTL is a SYN with another TTL.
func withTTL(frame []byte, ttl int) []byte {
	frame = bytes.Clone(frame)
	ip := frame[etherBytes:]
	if ip[0]>>4 == 6 {
		ip[7] = byte(ttl)
		return frame
	}
	ip[8] = byte(ttl)
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], uint16(0xffff-onesSum(ip[:20])))
	return frame
}

// traced is one SYN of a trace and what came back.
type traced struct {
	box      scenario.Box
	path     scenario.Path
	b        scenario.Behaviour
	probe    scenario.Probe
	target   netip.Addr
	ttl      int
	options  string
	syn      []byte
	reply    []byte
	copies   int
	exceeded bool
}

func (e *traced) String() string {
	return fmt.Sprintf("%s, box %s behind hop %d of %d, %s to %s, TTL %d", e.b, e.box, e.path.BoxHop, e.path.Hops, e.probe, e.target, e.ttl)
}

// optionsOfTrace are the options of probes; those with MP_CAPABLE have the canary too.
var optionsOfTrace = map[scenario.Probe]string{
	scenario.Plain:  optionsOf[scenario.Plain],
	scenario.V0:     linuxOptions + canary + "1e0c0081" + "8001020408102041",
	scenario.V1:     linuxOptions + "1e040101" + canary,
	scenario.Canary: optionsOf[scenario.Canary],
}

// trace probes n paths of each kind of box and family with every probe and TTL.
func trace(t *testing.T, n int) (all []*traced) {
	t.Helper()
	s := scenario.All()
	p := newPopulation(s)
	type kind struct {
		box scenario.Box
		b   scenario.Behaviour
	}
	for _, family := range scenario.Families {
		count := map[kind]int{}
		for a := range s.Addresses {
			path, b := s.Path(a, 443), s.Behaviour(a, 443)
			if k := (kind{path.Box, b}); scenario.FamilyOf(a) == family && count[k] < n {
				count[k]++
				for probe, options := range optionsOfTrace {
					for ttl := 1; ttl <= path.Hops+2; ttl++ {
						e := &traced{box: path.Box, path: path, b: b, probe: probe, target: a, ttl: ttl, options: options}
						e.syn = withTTL(buildSYN(a, 40000, 443, 0xfffffff0, options), ttl)
						parsed, err := parseSYN(e.syn)
						if err != nil {
							t.Fatalf("%s: %v", e, err)
						}
						e.reply, e.copies, e.exceeded = p.answer(nil, &parsed, b)
						all = append(all, e)
					}
				}
			}
		}
	}
	return all
}

// answers says what may come back: "router", "target" or "" for nothing. It is the model that the
// descriptions of boxes and behaviours give.
func (e *traced) answers() []string {
	behindBox, silent := e.ttl > e.path.BoxHop, e.b.Verdict(e.probe) == scenario.NoRow
	mptcp := e.probe == scenario.V0 || e.probe == scenario.V1
	mirrorsCanary := e.probe != scenario.Plain && slices.Contains([]scenario.Behaviour{scenario.MirrorAll, scenario.MirrorKeyed}, e.b)
	switch {
	case e.box == scenario.TTLBox && behindBox,
		e.box == scenario.DropBox && behindBox && silent:
		return []string{""}
	case e.box == scenario.ResetBox && behindBox && mptcp,
		(e.box == scenario.MirrorBox || e.box == scenario.KeyBox) && behindBox && (mptcp && e.b.Verdict(e.probe) != scenario.NoMPTCP || mirrorsCanary):
		return []string{"target"}
	case e.ttl > e.path.Hops && silent:
		return []string{""}
	case e.ttl > e.path.Hops:
		return []string{"target"}
	}
	switch e.path.Router(e.ttl).Quote {
	case scenario.QuoteNone:
		return []string{""}
	case scenario.QuoteLimited:
		return []string{"", "router"}
	}
	return []string{"router"}
}

// What answers a trace, and how it quotes, as RFC 792, RFC 4443 §3.3, RFC 4884 and RFC 4950 have it.
func TestTrace(t *testing.T) {
	all := trace(t, 1)
	var frames [][]byte
	var quoted []*traced
	for _, e := range all {
		got := ""
		switch {
		case e.copies == 0:
		case e.exceeded:
			got = "router"
			frames, quoted = append(frames, e.reply), append(quoted, e)
			checkQuote(t, e)
		default:
			got = "target"
		}
		if !slices.Contains(e.answers(), got) {
			t.Errorf("%s: answered by %q, want %q", e, got, e.answers())
		}
		if e.exceeded && e.copies != 1 || e.copies > 0 && (e.reply == nil) {
			t.Errorf("%s: %d copies of %x", e, e.copies, e.reply)
		}
	}
	for i, p := range dissect(t, frames) {
		e := quoted[i]
		family := scenario.FamilyOf(e.target)
		want := map[string]string{"icmp.type": "11", "icmp.code": "0", "icmp.checksum.status": "1", "ip.checksum.status": "1"}
		source := p["ip.src"]
		if family == "ipv6" {
			want, source = map[string]string{"icmpv6.type": "3", "icmpv6.code": "0", "icmpv6.checksum.status": "1"}, p["ipv6.src"]
		}
		for field, value := range want {
			if p[field] != value {
				t.Errorf("%s: tshark reads %s as %q, want %q: %x", e, field, p[field], value, e.reply)
			}
		}
		router := e.path.Router(e.ttl)
		if source != router.Addr.String() && source != router.Other.String() || p["_ws.malformed"] != "" {
			t.Errorf("%s: from %s, want %v; malformed %q", e, source, router, p["_ws.malformed"])
		}
	}
}

// checkQuote compares the quote with the SYN, as far as a box may have changed it.
func checkQuote(t *testing.T, e *traced) {
	t.Helper()
	family := scenario.FamilyOf(e.target)
	ipBytes := ipBytesOf[family]
	checkSums(t, &exchange{family: family, reply: e.reply})
	icmp := e.reply[etherBytes+ipBytes:]
	if len(e.reply)-etherBytes > map[string]int{"ipv4": 576, "ipv6": 1280}[family] {
		t.Errorf("%s: %d bytes", e, len(e.reply))
	}
	quote, unused := icmp[8:], bytes.Clone(icmp[4:8])
	whole := true
	switch e.path.Router(e.ttl).Quote {
	case scenario.QuoteEight:
		whole = false
		if len(quote) != ipBytes+8 {
			t.Errorf("%s: quotes %d bytes", e, len(quote))
			return
		}
	case scenario.QuoteExtended:
		extension := quote[128:]
		if onesSum(extension) != 0 || extension[0] != 0x20 || !bytes.Equal(extension[4:8], []byte{0, 8, 1, 1}) || len(extension) != 12 {
			t.Errorf("%s: extension %x", e, extension)
		}
		at, words := 1, byte(128/4)
		if family == "ipv6" {
			at, words = 0, 128/8
		}
		if unused[at] != words {
			t.Errorf("%s: header %x: the quote has %d bytes", e, icmp[:8], 128)
		}
		unused[at] = 0
		length := int(binary.BigEndian.Uint16(quote[2:]))
		if family == "ipv6" {
			length = ipBytes + int(binary.BigEndian.Uint16(quote[4:]))
		}
		if padding := quote[length:128]; !bytes.Equal(padding, make([]byte, len(padding))) {
			t.Errorf("%s: padding %x", e, padding)
		}
		quote = quote[:length]
	}
	if !bytes.Equal(unused, []byte{0, 0, 0, 0}) {
		t.Errorf("%s: unused bytes %x", e, unused)
	}
	if family == "ipv4" && (onesSum(quote[:20]) != 0 || quote[8] > 1) || family == "ipv6" && quote[7] > 1 {
		t.Errorf("%s: quoted IP header %x", e, quote[:ipBytes])
	}
	if whole {
		tcp := quote[ipBytes:]
		pseudo := append(bytes.Clone(quote[ipBytes-2*e.target.BitLen()/8:ipBytes]), 0, 6, 0, byte(len(tcp)))
		if onesSum(append(pseudo, tcp...)) != 0 || int(tcp[12]>>4)*4 != len(tcp) {
			t.Errorf("%s: quoted TCP %x", e, tcp)
		}
	}
	if want := e.arrivals(quote); !slices.ContainsFunc(want, func(w []byte) bool { return bytes.Equal(neutral(w, len(quote)), neutral(quote, len(quote))) }) {
		t.Errorf("%s: quotes\n%x, want one of\n%x", e, quote, want)
	}
}

// neutral is a packet, cut, without what routers change or what follows from a change.
func neutral(packet []byte, length int) []byte {
	packet = bytes.Clone(packet[:min(len(packet), length)])
	tcp := packet[20:]
	if packet[0]>>4 == 4 {
		packet[8], packet[10], packet[11] = 0, 0, 0
	} else {
		packet[7] = 0
		tcp = packet[40:]
	}
	if len(tcp) > 17 {
		tcp[16], tcp[17] = 0, 0
	}
	return packet
}

// arrivals are the packets that may have arrived at the router. What a box chooses at random is taken from
// the quote, and checked by itself.
func (e *traced) arrivals(quote []byte) [][]byte {
	sent := e.syn[etherBytes:]
	if e.ttl <= e.path.BoxHop {
		return [][]byte{sent}
	}
	ipBytes := ipBytesOf[scenario.FamilyOf(e.target)]
	withOptions := func(replacements ...[2]string) (all [][]byte) {
		for _, r := range replacements {
			options, _ := hex.DecodeString(string(bytes.Replace([]byte(e.options), []byte(r[0]), []byte(r[1]), 1)))
			packet := append(bytes.Clone(sent[:ipBytes+20]), options...)
			packet[ipBytes+12] = byte(20+len(options)) / 4 << 4
			if ipBytes == 20 {
				binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
			} else {
				binary.BigEndian.PutUint16(packet[4:], uint16(len(packet)-ipBytes))
			}
			all = append(all, packet)
		}
		return all
	}
	changed := bytes.Clone(sent)
	const v0, v1 = "1e0c00818001020408102041", "1e040101"
	const nops = "0101010101010101"
	switch e.box {
	case scenario.StripBox:
		return withOptions([2]string{v0, nops + "01010101"}, [2]string{v0, ""}, [2]string{v1, "01010101"}, [2]string{v1, ""})[2*boolInt(e.probe == scenario.V1):][:2]
	case scenario.StripCanaryBox:
		return withOptions([2]string{canary, nops}, [2]string{canary, ""})
	case scenario.StripOtherBox:
		return withOptions([2]string{"0402080a", "0101080a"}, [2]string{"080a01020304" + "00000000", nops + "0101"})
	case scenario.MSSBox:
		if len(quote) > ipBytes+24 {
			mss := binary.BigEndian.Uint16(quote[ipBytes+22:])
			if mss >= 1460 || mss < 536 { // RFC 9293 §3.7.1: the least that every host takes
				return nil
			}
			copy(changed[ipBytes+22:], quote[ipBytes+22:][:2])
		}
	case scenario.RewriteBox:
		if len(quote) <= ipBytes+8 {
			break
		}
		all := withOptions([2]string{v0, "1e0c03818001020408102041"}, [2]string{v0, "1e0c00018001020408102041"}, [2]string{v1, "1e040201"}, [2]string{v1, "1e040181"})[2*boolInt(e.probe == scenario.V1):][:2]
		if e.probe == scenario.V0 {
			// The key: all of its bytes.
			at := bytes.Index(quote, []byte{0x1e, 0x0c, 0x00, 0x81})
			if at < 0 {
				return all
			}
			for i, b := range quote[at+4:][:8] {
				if b == byte(sentKey>>(56-8*i)) {
					return nil
				}
			}
			copy(changed[at:], quote[at:][:12])
			return append(all, changed)
		}
		if e.probe == scenario.V1 {
			return all
		}
	case scenario.SeqBox:
		if bytes.Equal(quote[ipBytes+4:][:4], changed[ipBytes+4:][:4]) {
			return nil
		}
		copy(changed[ipBytes+4:], quote[ipBytes+4:][:4])
	case scenario.NATBox:
		address := e.target.BitLen() / 8
		from, _ := netip.AddrFromSlice(quote[ipBytes-2*address:][:address])
		routers := []netip.Addr{e.path.Router(max(1, e.path.BoxHop)).Addr}
		port := binary.BigEndian.Uint16(quote[ipBytes:])
		if !slices.Contains(routers, from) || port == 40000 || port < 1024 {
			return nil
		}
		copy(changed[ipBytes-2*address:], quote[ipBytes-2*address:][:address])
		copy(changed[ipBytes:], quote[ipBytes:][:2])
	}
	return [][]byte{changed}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A box or a host far away: what targets answer is the same at every TTL that arrives, and the same as to
// a scan, as far as it is not random.
func TestAnswerDoesNotDependOnTTL(t *testing.T) {
	p := newPopulation(scenario.All())
	for _, e := range trace(t, 1) {
		if e.copies == 0 || e.exceeded {
			continue
		}
		s, err := parseSYN(withTTL(e.syn, 64))
		if err != nil {
			t.Fatal(err)
		}
		scan, copies, exceeded := p.answer(nil, &s, e.b)
		if exceeded || copies != e.copies || len(scan) != len(e.reply) {
			t.Errorf("%s: %d copies of %x, to a scan %d of %x", e, e.copies, e.reply, copies, scan)
		}
	}
}

// A router that limits its answers gives half of them, one that shares packets with another sends half.
func TestRandomRouters(t *testing.T) {
	s := scenario.All()
	p := newPopulation(s)
	limited, balanced := 0, 0
	for a := range s.Addresses {
		path := s.Path(a, 443)
		if path.Box != scenario.NoBox {
			continue
		}
		for hop := 1; hop <= path.Hops; hop++ {
			router := path.Router(hop)
			if (router.Quote != scenario.QuoteLimited || limited > 4) && (!router.Other.IsValid() || router.Quote != scenario.QuoteWhole || balanced > 4) {
				continue
			}
			syn, err := parseSYN(withTTL(buildSYN(a, 40000, 443, 1, linuxOptions), hop))
			if err != nil {
				t.Fatal(err)
			}
			answers, others := 0, 0
			for range 400 {
				reply, copies, _ := p.answer(nil, &syn, s.Behaviour(a, 443))
				answers += copies
				if copies > 0 && bytes.Contains(reply[:etherBytes+ipv6Bytes], router.Other.AsSlice()) && router.Other.IsValid() {
					others++
				}
			}
			// 200 of 400, sigma 10.
			if router.Quote == scenario.QuoteLimited {
				limited++
				if answers < 140 || answers > 260 {
					t.Errorf("%v answers %d of 400", router, answers)
				}
			} else if answers != 400 {
				t.Errorf("%v answers %d of 400", router, answers)
			}
			if router.Other.IsValid() {
				balanced++
				if others < answers/2-60 || others > answers/2+60 {
					t.Errorf("%v: the other one sent %d of %d", router, others, answers)
				}
			}
		}
	}
	if limited == 0 || balanced == 0 {
		t.Errorf("%d routers limit their answers, %d share packets", limited, balanced)
	}
}

// A SYN longer than what may be quoted is cut: at 128 bytes before an extension (RFC 4884 §5.1).
func TestLongSYNExpires(t *testing.T) {
	s := scenario.All()
	p := newPopulation(s)
	lengths := map[int]int{}
	for i := range 64 {
		a := netip.AddrFrom4([4]byte{198, 18, byte(i), 7})
		path := s.Path(a, 443)
		for hop := path.BoxHop + 1; hop <= path.Hops; hop++ {
			syn, err := parseSYN(withTTL(buildSYNWith(a, 40000, 443, 1, linuxOptions, make([]byte, 1300)), hop))
			if err != nil {
				t.Fatal(err)
			}
			reply, copies, exceeded := p.answer(nil, &syn, s.Behaviour(a, 443))
			if copies > 0 && exceeded {
				checkSums(t, &exchange{family: "ipv4", reply: reply})
				lengths[len(reply)-etherBytes]++
			}
		}
	}
	if len(lengths) != 3 || lengths[576] == 0 || lengths[20+8+20+8] == 0 || lengths[20+8+128+12] == 0 {
		t.Errorf("messages of %v bytes", lengths)
	}
}

// What a trace sends counts for itself, and so do kernels' connections.
func TestTracedIsCountedApart(t *testing.T) {
	s := scenario.All()
	r := &Responder{
		population: newPopulation(s), targets: make(map[kind]*Count), asked: make(map[question]uint64),
		batch: batch{names: make(map[link]*unix.RawSockaddrLinklayer)},
	}
	hosts := hostsOf(s, "ipv4", 60)
	ask := func(a netip.Addr, ttl int) {
		r.handle(withTTL(buildSYN(a, 40000, 443, 1, optionsOf[scenario.Plain]), ttl), 2)
	}
	i := slices.IndexFunc(hosts[scenario.TCP], func(a netip.Addr) bool { return s.Path(a, 443).Box == scenario.NoBox })
	tcp := hosts[scenario.TCP][i]
	ask(tcp, 1)
	ask(tcp, 24)
	ask(tcp, 63)
	ask(tcp, 64)
	ask(tcp, 255)
	ask(hosts[scenario.Forger][0], 63)
	ask(netip.MustParseAddr("198.19.0.1"), 2)
	ask(netip.MustParseAddr("198.19.7.7"), 2)
	got := r.Counts()
	if want := (Traced{SYNs: 5}); got.Traced != want || got.SYNs != 2 || got.Strangers != 1 || len(got.Targets) != 1 {
		t.Errorf("counted %+v", got)
	}
	for _, counter := range r.batch.counters { // as flush does
		*counter++
	}
	got = r.Counts()
	targets := got.Targets
	got.Targets = nil
	if want := (Counts{SYNs: 2, Repeated: 1, Replies: 2, Strangers: 1, Traced: Traced{SYNs: 5, Exceeded: 1, Replies: 2}}); !reflect.DeepEqual(got, want) || targets[0].Replies != 2 {
		t.Errorf("counted %+v, %+v", got, targets)
	}
}
