package trace

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

var testTarget = netip.MustParseAddr("198.51.100.7")

func router(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}) }

// evidenceOf reads what came back at TTL 1, 2, …, a word each, of which a letter is an answer:
//
//	.  nothing                               h  SYN-ACK           R  RST
//	r  Time Exceeded, 8 bytes quoted         u  unreachable, 8 bytes quoted
//	k  Time Exceeded, the option as sent     U  unreachable, the option as sent
//	c  Time Exceeded, the option changed     X  unreachable, the option removed
//	x  Time Exceeded, the option removed     o  another ICMP message
//
// The router at a TTL is its own, but for digits before the letter, which name one.
func evidenceOf(t *testing.T, text, probe string) *evidence {
	t.Helper()
	e := new(evidence)
	e.clear(testTarget)
	field, _ := tracked(probe)
	for i, word := range strings.Fields(text) {
		named := 0
		for _, letter := range word {
			if letter >= '0' && letter <= '9' {
				named = named*10 + int(letter-'0')
				continue
			}
			h := hop{target: testTarget, ttl: uint8(i + 1), responder: router(100 + i)}
			if named > 0 {
				h.responder = router(named)
			}
			named = 0
			state, complete := NotQuoted, letter != 'r' && letter != 'u'
			switch letter {
			case '.':
				continue
			case 'r':
			case 'k':
				state = Kept
			case 'c':
				state = Changed
			case 'x':
				state = Removed
			case 'u', 'U', 'X':
				h.answer = unreachable
				state = map[rune]State{'u': NotQuoted, 'U': Kept, 'X': Removed}[letter]
			case 'h':
				h.answer, h.responder, h.mptcp = synack, testTarget, mptcp.Capable
			case 'R':
				h.answer, h.responder = rst, testTarget
			case 'o':
				h.answer = otherICMP
			default:
				t.Fatalf("%q", letter)
			}
			h.Complete = complete
			h.States[field] = state
			e.add(&h, probe)
		}
	}
	return e
}

// Runs of which one packet in ten thousand is lost, and one in ten.
var (
	quiet = loss{probes: 100_000, missing: 10}
	lossy = loss{probes: 100_000, missing: 10_000}
)

func TestFindings(t *testing.T) {
	const clear = "r r r r h h h h h h h h" // a control over four routers
	checkFindings(t, findings{
		"kept":                         {clear, "k k k k h h h h h h h h", "kept"},
		"not quoted":                   {clear, "r r r r h h h h h h h h", "not-quoted"},
		"no router":                    {". . . . h h h h h h h h", ". . . . h h h h h h h h", "not-quoted"},
		"nothing":                      {clear[:0], "", "no-answer"},
		"other ICMP alone":             {"", "o o o", "no-answer"},
		"one quote":                    {clear, "r r k r h h h h h h h h", "kept"},
		"removed":                      {clear, "k k x x h h h h h h h h", "removed 2-3"},
		"removed before the first hop": {clear, "x x x x h h h h h h h h", "removed 0-1"},
		"removed, 8 bytes and silence": {clear, "k r . x h h h h h h h h", "removed 1-4"},
		"changed":                      {clear, "k k k c h h h h h h h h", "changed 3-4"},
		"changed, then removed":        {clear, "k c x x h h h h h h h h", "changed 1-2"},
		"removed, no answer":           {". . . . . . . . . . . .", "k x . . . . . . . . . .", "removed 1-2"},
		// Packets that take different paths.
		"kept behind removed":               {clear, "k x k k h h h h h h h h", "inconsistent"},
		"both at one hop":                   {clear, "k kx x x h h h h h h h h", "inconsistent"},
		"other routers, same length":        {"r 7r r r h h h h h h h h", "k 8k x x h h h h h h h h", "removed 2-3"},
		"the path of the control is longer": {"r r r r r h h h h h h h", "k k k k h h h h h h h h", "answered-nearer 4-5"},
		// Silence is no change.
		"silent routers":       {". r . . h h h h h h h h", ". k . . h h h h h h h h", "kept"},
		"rate-limited routers": {"r . r . h h h h h h h h", ". k . k h h h h h h h h", "kept"},
		// Who sends unreachable messages sends them for all greater TTLs, with the same quote.
		"unreachable, kept":             {"r r u u u u", "k k U U U U", "kept"},
		"unreachable, removed":          {"r r u u u u", "k k X X X X", "removed 2-3"},
		"unreachable, kept, then a hop": {"r r u r h h h h h h h h", "k k U x h h h h h h h h", "removed 2-4"},
		// A box answers in the host's place.
		"answered nearer":                     {clear, "k k h h h h h h h h h h", "answered-nearer 2-3"},
		"answered nearer by RST":              {clear, "k k R R R R R R R R R R", "answered-nearer 2-3"},
		"answered before the first hop":       {clear, "h h h h h h h h h h h h", "answered-nearer 0-1"},
		"answered nearer, silent hop":         {clear, "k . h h h h h h h h h h", "answered-nearer 1-3"},
		"a lost answer of the control":        {"r r r r . h h h h h h h", "k k k k h h h h h h h h", "kept"},
		"two missing where few are lost":      {"r r r r . . h h h h h h", "k k k k h h h h h h h h", "answered-nearer 4-5"},
		"too many missing to be lost":         {"r r r r . . . . . h h h h h h h h", "k k k k h h h h h h h h h h h h h", "answered-nearer 4-5"},
		"half of the answers lost":            {"r r r r . . . h . h . . h . h . .", "k k k k h h . h h h h . h h . h h", "kept"},
		"control with a longer path at times": {"r r r r 9r h r h h h h h", "k k k k h h h h h h h h", "kept"},
		"probe with a longer path at times":   {"r r r r r h h h h h h h", "k k k k h k h h h h h h", "kept"},
		"a router at two TTLs":                {"1r 2r 3r 4r 3r h h h h h h h", "1k 2k 3k 4k h h h h h h h h", "kept"},
		"further than the control":            {"r r h h h h h h h h h h", "k k k k h h h h h h h h", "kept"},
		"the control was not answered":        {"r r r r . . . . . . . .", "k k h h h h h h h h h h", "kept"},
		"answered nearer although removed":    {clear, "k x h h h h h h h h h h", "answered-nearer 2-3"},
		// A box drops.
		"dropped":                          {"r r r r r r r r h h h h h h h h", "k k . . . . . . . . . . . . . .", "dropped 2-5"},
		"dropped, host the next":           {clear, "k k k k . . . . . . . .", "dropped 4-5"},
		"dropped before the first hop":     {clear, ". . . . . . . . . . . .", "dropped 0-4"},
		"dropped, a lost router":           {"r r r r r r r r h h h h h h h h", "k k . k . . . . . . . . . . . .", "dropped 4-8"},
		"dropped, four answers":            {"r r r r h h h h", "k k k . . . . .", "dropped 3-5"},
		"an answer could be lost":          {"r r r r h", "k k k k .", "kept"},
		"a host that loses most":           {"r r r r . h . . . h . .", "k k k k . . . . . . . .", "kept"},
		"a router beyond the host":         {clear, "k k . . k . . . . . . .", "kept"},
		"the control was not answered too": {"r r r r . . . . . . . .", "k k . . . . . . . . . .", "kept"},
		"a box says that it drops":         {clear, "k k u u u u u u u u u u", "dropped 2-3"},
		"another path's box says so":       {clear, "k k ku k . . . . . . . .", "dropped 4-5"},
		"the host says so":                 {clear, "k k k k u u u u u u u u", "kept"},
		"removed, then dropped":            {clear, "k x . . . . . . . . . .", "removed 1-2"},
	}, quiet)
}

// findings are what is to be found, by name of the case: what came back of the control, of the probe, and the
// finding with its hops.
type findings map[string]struct{ control, probe, want string }

func checkFindings(t *testing.T, cases findings, l loss) {
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			ttls := span{1, uint8(max(len(strings.Fields(test.control)), len(strings.Fields(test.probe)), 1))}
			p := judge(evidenceOf(t, test.probe, zmap.ProbeV1), evidenceOf(t, test.control, zmap.ProbePlain), zmap.ProbeV1, ttls, ttls, l)
			got := p.finding
			if p.placed {
				got += fmt.Sprintf(" %d-%d", p.after, p.by)
			}
			if got != test.want {
				t.Errorf("got %s, not %s", got, test.want)
			}
		})
	}
}

// The same silence says less in a run that loses more.
func TestFindingsOfLossyRun(t *testing.T) {
	checkFindings(t, findings{
		"two missing":                 {"r r r r . . h h h h h h", "k k k k h h h h h h h h", "kept"},
		"four missing":                {"r r r r . . . . h h h h", "k k k k h h h h h h h h", "kept"},
		"a host at the end":           {"r r r r h h h h", "k k k . . . . .", "kept"},
		"a host that is always there": {"r r r r h h h h h h h h", "k k k . . . . . . . . .", "dropped 3-5"},
		"a quote tells all the same":  {"r r r r h h h h", "k x x . . . . .", "removed 1-2"},
	}, lossy)
}

// What a run shows of loss: of hosts that answered, from their first answer on.
func TestLoss(t *testing.T) {
	var l loss
	l.add(evidenceOf(t, "r . r h . h h", zmap.ProbePlain), span{1, 8})
	l.add(evidenceOf(t, "r . r . . . .", zmap.ProbePlain), span{1, 8})
	if want := (loss{probes: 5, missing: 2}); l != want {
		t.Errorf("got %+v, want %+v", l, want)
	}
}

// No loss of a control's answer may make a box of nothing.
func TestLossInventsNothing(t *testing.T) {
	clear := strings.Fields("r r r r r r h h h h h h h h h h h h")
	// Up to three packets of 18, in a run that loses as many.
	for lost := range len(clear) * len(clear) * len(clear) {
		control := slices.Clone(clear)
		for range 3 {
			control[lost%len(clear)] = "."
			lost /= len(clear)
		}
		ttls := span{1, uint8(len(clear))}
		answered := judge(evidenceOf(t, "k k k k k k h h h h h h h h h h h h", zmap.ProbeV1), evidenceOf(t, strings.Join(control, " "), zmap.ProbePlain), zmap.ProbeV1, ttls, ttls, lossy)
		if answered.placed {
			t.Fatalf("control %v: %s", control, answered.finding)
		}
		for i := range control {
			if clear[i] == "r" && control[i] != "." {
				control[i] = "k"
			}
		}
		disturbed := judge(evidenceOf(t, strings.Join(control, " "), zmap.ProbeV1), evidenceOf(t, strings.Join(clear, " "), zmap.ProbePlain), zmap.ProbeV1, ttls, ttls, lossy)
		if disturbed.placed {
			t.Fatalf("probe %v: %s", control, disturbed.finding)
		}
	}
}

func TestPathFields(t *testing.T) {
	ttls := span{1, 12}
	control := evidenceOf(t, "r r r r h h h h h h h h", zmap.ProbePlain)
	p := judge(evidenceOf(t, "1k . 2k3x . R h . h u . . .", zmap.ProbeV1), control, zmap.ProbeV1, ttls, ttls, quiet)
	if p.answered != 2 || p.quoted != 2 || p.furthest != 3 || !p.reached || p.answer != "synack" || p.answerTTL != 6 ||
		p.answerMPTCP != mptcp.Capable || p.controlTTL != 5 || p.last != 12 || !p.loadBalanced {
		t.Errorf("%+v", p)
	}
	if want := []string{"10.0.0.1", "*", "10.0.0.2,10.0.0.3"}; !slices.Equal(p.routers, want) {
		t.Errorf("routers %v, not %v", p.routers, want)
	}

	p = judge(evidenceOf(t, "1k 2k 3x", zmap.ProbeV1), evidenceOf(t, "1r 2r 3r", zmap.ProbePlain), zmap.ProbeV1, span{1, 3}, span{1, 3}, quiet)
	if p.afterRouter != router(2) || p.byRouter != router(3) || p.loadBalanced || p.reached || p.answer != "" || p.answerTTL != none {
		t.Errorf("%+v", p)
	}
	// Who answers in the host's place is not known, but which router the plain probe met there.
	p = judge(evidenceOf(t, "1k 2k h h h", zmap.ProbeV1), evidenceOf(t, "1r 2r 3r 4r h h h", zmap.ProbePlain), zmap.ProbeV1, span{1, 7}, span{1, 7}, quiet)
	if p.finding != FindingAnsweredNearer || p.byRouter != router(3) {
		t.Errorf("%+v", p)
	}
	p = judge(evidenceOf(t, "1r 2r u u", zmap.ProbePlain), nil, zmap.ProbePlain, span{1, 4}, span{}, quiet)
	if p.finding != FindingControl || p.answer != "unreachable" || p.answerTTL != 3 || p.controlTTL != none || p.reached {
		t.Errorf("%+v", p)
	}
	// The canary's fate is that of a canary trace.
	p = judge(evidenceOf(t, "k x", zmap.ProbeCanary), nil, zmap.ProbeCanary, span{1, 2}, span{}, quiet)
	if p.finding != FindingRemoved || p.after != 1 || p.by != 2 {
		t.Errorf("%+v", p)
	}
	if p = judge(evidenceOf(t, "1r 8r", zmap.ProbeV1), evidenceOf(t, "1r 9r", zmap.ProbePlain), zmap.ProbeV1, span{1, 2}, span{1, 2}, quiet); !p.loadBalanced {
		t.Error("another router than the control's is not seen")
	}
}

// What quotes show beside the option: NAT, rewritten sequence numbers and the like are changes, and no finding.
func TestChanges(t *testing.T) {
	for name, test := range map[string]struct {
		change   func(s *synPacket)
		nat, seq bool
		want     []string
	}{
		"none": {func(s *synPacket) {}, false, false, nil},
		"NAT": {func(s *synPacket) { s.source, s.sport = []byte{203, 0, 113, 9}, 1024 }, true, false,
			[]string{"ip_source: 192.0.2.1 → 203.0.113.9, hops 3–4", "tcp_source_port: 40000 → 1024, hops 3–4"}},
		"sequence number": {func(s *synPacket) { s.seq += 0x1000 }, false, true, []string{"tcp_seq: 0xa1b2c3d7 → 0xa1b2d3d7, hops 3–4"}},
		"MSS":             {func(s *synPacket) { s.options[0] = []byte{2, 4, 0x05, 0x64} }, false, false, []string{"opt_mss: 1460 → 1380, hops 3–4"}},
		"class":           {func(s *synPacket) { s.tos = 0x28 }, false, false, []string{"ip_tos: 0x00 → 0x28, hops 3–4"}},
		"window":          {func(s *synPacket) { s.window = 512 }, false, false, []string{"tcp_window: 65535 → 512, hops 3–4"}},
		"timestamps":      {func(s *synPacket) { s.options[2] = bytes.Repeat(nop, 10) }, false, false, []string{"opt_timestamps: 0x080a1234567800000000 → removed, hops 3–4"}},
		"added":           {func(s *synPacket) { s.options = append(s.options, []byte{19, 2}) }, false, false, []string{"opt_added: none → 19, hops 3–4"}},
	} {
		e := new(evidence)
		e.clear(testTarget)
		for ttl := uint8(1); ttl <= 4; ttl++ {
			sent := newSYN(false)
			sent.ttl, sent.seq, sent.options = ttl, sent.seq+uint32(ttl), slices.Clone(linux)
			box := sent
			box.options = slices.Clone(linux)
			if ttl > 2 {
				test.change(&box)
			}
			h := hop{target: testTarget, ttl: ttl, responder: router(int(ttl)), sent: sent.bytes(), quote: box.bytes()}
			compare(h.sent, h.quote, &h.Comparison, nil)
			e.add(&h, zmap.ProbeV1)
		}
		p := judge(e, nil, zmap.ProbeV1, span{1, 4}, span{}, quiet)
		if p.nat != test.nat || p.seqRewritten != test.seq || p.finding != FindingKept || !slices.Equal(p.changes, test.want) {
			t.Errorf("%s: %s, nat %v, seq %v, %q", name, p.finding, p.nat, p.seqRewritten, p.changes)
		}
	}
	one := change{field: OptMPTCP, removed: true, from: capableV1, first: 7, last: 7}
	if got := one.text(false); got != "opt_mptcp: 0x1e040101 → removed, hop 7" {
		t.Error(got)
	}
}

// An IPv6 probe has its TTL in its window: the change is one all the same.
func TestChangesOfWindowIPv6(t *testing.T) {
	e := new(evidence)
	e.clear(netip.MustParseAddr("2001:db8:1::7"))
	for ttl := uint8(1); ttl <= 6; ttl++ {
		sent := newSYN(true)
		sent.ttl, sent.window = ttl, 64736+uint16(ttl)
		box := sent
		switch {
		case ttl > 4:
			box.window = 2000
		case ttl > 2:
			box.window = 1000
		}
		h := hop{target: e.target, ttl: ttl, responder: e.target, sent: sent.bytes(), quote: box.bytes()}
		compare(h.sent, h.quote, &h.Comparison, nil)
		e.add(&h, zmap.ProbeV1)
	}
	p := judge(e, nil, zmap.ProbeV1, span{1, 6}, span{}, quiet)
	if want := []string{"tcp_window: 64739 → 1000, hops 3–6"}; !slices.Equal(p.changes, want) {
		t.Errorf("%q", p.changes)
	}
}

// Who sends unreachable messages is where the first of them came from: what it quotes is no news of hops behind it.
func TestChangesOfUnreachable(t *testing.T) {
	e := new(evidence)
	e.clear(testTarget)
	for ttl := uint8(3); ttl <= 9; ttl++ {
		sent, box := newSYN(false), newSYN(false)
		box.options = slices.Clone(linux[:5])
		h := hop{target: testTarget, ttl: ttl, responder: router(3), answer: unreachable, sent: sent.bytes(), quote: box.bytes()}
		compare(h.sent, h.quote, &h.Comparison, nil)
		e.add(&h, zmap.ProbeV1)
	}
	p := judge(e, nil, zmap.ProbeV1, span{1, 9}, span{}, quiet)
	if want := []string{"opt_mptcp: 0x1e040101 → removed, hop 3"}; !slices.Equal(p.changes, want) || p.by != 3 || p.after != 0 {
		t.Errorf("%q, behind %d, before %d", p.changes, p.after, p.by)
	}
}

// A target cannot make us keep more than a bounded amount.
func TestEvidenceIsBounded(t *testing.T) {
	e := new(evidence)
	e.clear(testTarget)
	for i := range 5000 {
		sent, box := newSYN(false), newSYN(false)
		box.sport = uint16(i)
		h := hop{target: testTarget, ttl: 3, responder: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), sent: sent.bytes(), quote: box.bytes()}
		compare(h.sent, h.quote, &h.Comparison, nil)
		e.add(&h, zmap.ProbeV1)
	}
	if len(e.hops[3].routers) != maxRouters || len(e.changes) != maxChanges {
		t.Errorf("%d routers, %d changes", len(e.hops[3].routers), len(e.changes))
	}
}

// Evidence comes out of its file as it went in.
func TestEvidenceFile(t *testing.T) {
	first := evidenceOf(t, "1k 2k3x . 4r h hR u o", zmap.ProbeV1)
	first.addChange(change{OptMSS, false, mss, []byte{2, 4, 1, 1}, 2, 5})
	first.addChange(change{OptMPTCP, true, capableV1, nil, 2, 2})
	second := evidenceOf(t, "", zmap.ProbeV1)
	second.target = netip.MustParseAddr("2001:db8::1")
	file := bytes.NewReader(second.appendTo(first.appendTo(nil)))
	var got evidence
	var buffer []byte
	for _, want := range []*evidence{first, second} {
		if err := got.readFrom(file, &buffer); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got.target, got.mptcp, got.hops, got.changes) != fmt.Sprint(want.target, want.mptcp, want.hops, want.changes) {
			t.Errorf("got  %+v\nwant %+v", got, *want)
		}
	}
	if err := got.readFrom(file, &buffer); err == nil || err.Error() != "EOF" {
		t.Error(err)
	}
}
