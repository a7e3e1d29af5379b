package trace

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Options as they stand in their RFCs.
var (
	mss       = []byte{2, 4, 0x05, 0xb4}                           // RFC 9293 §3.7.1
	windowScl = []byte{3, 3, 7}                                    // RFC 7323 §2
	sackOK    = []byte{4, 2}                                       // RFC 2018 §2
	tstamps   = []byte{8, 10, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0}  // RFC 7323 §3
	capableV1 = []byte{30, 4, 0x01, 0x01}                          // RFC 8684 §3.1
	capableV0 = []byte{30, 12, 0x00, 0x81, 1, 2, 3, 4, 5, 6, 7, 8} // RFC 6824 §3.1
	canary    = []byte{254, 8, 0x4d, 0x43, 0xde, 0xad, 0xbe, 0xef} // RFC 6994 §3
	nop       = []byte{1}
)

// linux is a Linux client's order of options, with MP_CAPABLE behind them.
var linux = [][]byte{mss, sackOK, tstamps, nop, windowScl, capableV1}

// synPacket is a SYN in the making: its parts as RFC 791, 8200 and 9293 have them.
type synPacket struct {
	ipv6      bool
	ipOptions []byte // of IPv4, of a multiple of 4 bytes
	tos       byte
	id        uint32 // IPv6: flow label
	ttl       byte
	source    []byte
	to        []byte
	sport     uint16
	dport     uint16
	seq       uint32
	flags     uint16
	window    uint16
	options   [][]byte
}

func newSYN(ipv6 bool) synPacket {
	s := synPacket{ipv6: ipv6, id: 0x1234, ttl: 7, sport: 40000, dport: 443, seq: 0xa1b2c3d4, flags: 0x002, window: 65535,
		source: []byte{192, 0, 2, 1}, to: []byte{198, 51, 100, 7}, options: slices.Clone(linux)}
	if ipv6 {
		s.id = 0x51234
		s.source = []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
		s.to = []byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}
	}
	return s
}

// area is the options area, padded with zeros to words.
func (s *synPacket) area() []byte {
	area := slices.Concat(s.options...)
	for len(area)%4 != 0 {
		area = append(area, 0)
	}
	return area
}

func (s *synPacket) headerLength() int {
	if s.ipv6 {
		return 40
	}
	return 20 + len(s.ipOptions)
}

func (s *synPacket) bytes() []byte {
	area := s.area()
	length := 20 + len(area)
	var b []byte
	if s.ipv6 {
		b = binary.BigEndian.AppendUint32(b, 6<<28|uint32(s.tos)<<20|s.id)
		b = binary.BigEndian.AppendUint16(b, uint16(length))
		b = append(b, 6, s.ttl)
	} else {
		header := 20 + len(s.ipOptions)
		b = append(b, 0x40|byte(header/4), s.tos)
		b = binary.BigEndian.AppendUint16(b, uint16(header+length))
		b = binary.BigEndian.AppendUint16(b, uint16(s.id))
		b = append(b, 0x40, 0, s.ttl, 6, 0xbe, 0xef)
	}
	b = append(append(b, s.source...), s.to...)
	b = append(b, s.ipOptions...)
	b = binary.BigEndian.AppendUint16(b, s.sport)
	b = binary.BigEndian.AppendUint16(b, s.dport)
	b = binary.BigEndian.AppendUint32(b, s.seq)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16((20+len(area))/4)<<12|s.flags)
	b = binary.BigEndian.AppendUint16(b, s.window)
	b = append(b, 0xca, 0xfe, 0, 0)
	return append(b, area...)
}

// summary is a comparison as text, without what was kept: "opt_mptcp removed; added none".
func summary(c Comparison) string {
	var parts []string
	for f, s := range c.States {
		if s != Kept && s != Absent {
			parts = append(parts, fmt.Sprintf("%s %s", Field(f), s))
		}
	}
	if added := c.Added(); added != "none" {
		parts = append(parts, "added "+added)
	}
	if !c.Complete {
		parts = append(parts, "incomplete")
	}
	return strings.Join(parts, "; ")
}

// behindSeq is what a quote of 8 bytes of TCP (RFC 792) does not have, of linux.
const behindSeq = "tcp_flags not-quoted; tcp_window not-quoted; opt_mss not-quoted; opt_window_scale not-quoted; " +
	"opt_sack_permitted not-quoted; opt_timestamps not-quoted; opt_mptcp not-quoted; added not-quoted; incomplete"

func TestCompare(t *testing.T) {
	with := func(change func(*synPacket)) func(*synPacket) []byte {
		return func(s *synPacket) []byte { change(s); return s.bytes() }
	}
	options := func(o ...[]byte) func(*synPacket) []byte { return with(func(s *synPacket) { s.options = o }) }
	cut := func(n int) func(*synPacket) []byte {
		return func(s *synPacket) []byte { return s.bytes()[:s.headerLength()+n] }
	}
	for name, test := range map[string]struct {
		quote func(*synPacket) []byte
		want  string
	}{
		"whole":                      {with(func(*synPacket) {}), ""},
		"8 bytes":                    {cut(8), behindSeq},
		"7 bytes":                    {cut(7), "tcp_seq not-quoted; " + behindSeq},
		"nothing":                    {func(*synPacket) []byte { return nil }, "ip_tos not-quoted; ip_id not-quoted; ip_source not-quoted; ip_destination not-quoted; tcp_source_port not-quoted; tcp_destination_port not-quoted; tcp_seq not-quoted; " + behindSeq},
		"20 bytes":                   {cut(20), "opt_mss not-quoted; opt_window_scale not-quoted; opt_sack_permitted not-quoted; opt_timestamps not-quoted; opt_mptcp not-quoted; added not-quoted; incomplete"},
		"MSS":                        {cut(24), "opt_window_scale not-quoted; opt_sack_permitted not-quoted; opt_timestamps not-quoted; opt_mptcp not-quoted; added not-quoted; incomplete"},
		"3 of 4 bytes of MP_CAPABLE": {cut(20 + 23), "opt_mptcp not-quoted; added not-quoted; incomplete"},
		"NAT":                        {with(func(s *synPacket) { s.source = bytes.Repeat([]byte{10}, len(s.source)); s.sport = 1 }), "ip_source changed; tcp_source_port changed"},
		"NAT of the destination":     {with(func(s *synPacket) { s.to = bytes.Repeat([]byte{10}, len(s.to)); s.dport = 8443 }), "ip_destination changed; tcp_destination_port changed"},
		"sequence number":            {with(func(s *synPacket) { s.seq++ }), "tcp_seq changed"},
		"ECN bits of IP":             {with(func(s *synPacket) { s.tos = 0x03 }), "ip_tos changed"},
		"ECE and CWR":                {with(func(s *synPacket) { s.flags |= 0x0c0 }), "tcp_flags changed"},
		"reserved bits":              {with(func(s *synPacket) { s.flags |= 0x800 }), "tcp_flags changed"},
		"window":                     {with(func(s *synPacket) { s.window = 1024 }), "tcp_window changed"},
		"identification, flow label": {with(func(s *synPacket) { s.id ^= 0x0f01 }), "ip_id changed"},
		"TTL, checksums, length": {func(s *synPacket) []byte {
			s.ttl = 1
			b := s.bytes()
			if !s.ipv6 {
				b[2], b[3], b[10], b[11] = b[3], b[2], 0, 0 // in the router's byte order
				b[6], b[7] = b[7], b[6]
			} else {
				b[4], b[5] = b[5], b[4]
			}
			b[s.headerLength()+16] ^= 0xff
			return b
		}, ""},
		"options in another order":        {options(capableV1, windowScl, nop, tstamps, sackOK, mss), ""},
		"padding of another kind":         {options(mss, sackOK, tstamps, nop, windowScl, capableV1, nop, nop, nop, nop), ""},
		"ends early, zeros behind":        {options(mss, sackOK, tstamps, windowScl, capableV1, []byte{0, 0, 0, 0, 0}), ""},
		"MP_CAPABLE taken out":            {options(mss, sackOK, tstamps, nop, windowScl), "opt_mptcp removed"},
		"MP_CAPABLE overwritten by NOPs":  {options(mss, sackOK, tstamps, nop, windowScl, []byte{1, 1, 1, 1}), "opt_mptcp removed"},
		"MP_CAPABLE overwritten by zeros": {options(mss, sackOK, tstamps, nop, windowScl, []byte{0, 0, 0, 0}), "opt_mptcp removed"},
		"all options taken out":           {options(), "opt_mss removed; opt_window_scale removed; opt_sack_permitted removed; opt_timestamps removed; opt_mptcp removed"},
		"MSS clamped":                     {options([]byte{2, 4, 0x05, 0x64}, sackOK, tstamps, nop, windowScl, capableV1), "opt_mss changed"},
		"version changed":                 {options(mss, sackOK, tstamps, nop, windowScl, []byte{30, 4, 0x02, 0x01}), "opt_mptcp changed"},
		"longer":                          {options(mss, sackOK, tstamps, nop, windowScl, capableV0), "opt_mptcp changed"},
		"another kind":                    {options(mss, sackOK, tstamps, nop, windowScl, []byte{253, 4, 0x01, 0x01}), "opt_mptcp removed; added 253"},
		"options added":                   {options(append(slices.Clone(linux), []byte{19, 4, 0, 0}, []byte{34, 2})...), "added 19-34"},
		"second MSS":                      {options(append(slices.Clone(linux), mss)...), "added 2"},
		// RFC 9293 §3.1: no length is below 2. What stands behind cannot be read.
		"length 0 of MP_CAPABLE": {options(mss, sackOK, tstamps, nop, windowScl, []byte{30, 0, 1, 1}), "opt_mptcp changed"},
		"length 0 before it":     {options([]byte{2, 0, 5, 0xb4}, capableV1), "opt_mss changed; opt_window_scale removed; opt_sack_permitted removed; opt_timestamps removed; opt_mptcp removed"},
		"length beyond the area": {options(mss, sackOK, tstamps, nop, windowScl, []byte{30, 8, 1, 1}), "opt_mptcp changed"},
		"kind alone at the end":  {options(mss, sackOK, tstamps, nop, windowScl, []byte{1, 1, 1, 30}), "opt_mptcp changed"},
		"data offset 5": {func(s *synPacket) []byte {
			b := s.bytes()
			b[s.headerLength()+12] = 0x50
			return b
		}, "opt_mss removed; opt_window_scale removed; opt_sack_permitted removed; opt_timestamps removed; opt_mptcp removed"},
		"data offset 15": {func(s *synPacket) []byte {
			b := s.bytes()
			b[s.headerLength()+12] = 0xf0
			return b
		}, "added not-quoted; incomplete"},
		// RFC 4884 §4: the quote is filled with zeros to 128 bytes; RFC 4950: a label behind it.
		"padded": {func(s *synPacket) []byte { return padTo(s.bytes(), 128) }, ""},
		"padded, and a label": {func(s *synPacket) []byte {
			return append(padTo(s.bytes(), 128), 0x20, 0, 0, 0, 0, 8, 1, 1, 0x12, 0x34, 0x51, 1)
		}, ""},
		"8 bytes, padded": {func(s *synPacket) []byte { return padTo(s.bytes()[:s.headerLength()+8], 128) }, behindSeq},
		"8 bytes, padded, and a label of which the message does not say": {func(s *synPacket) []byte {
			return append(padTo(s.bytes()[:s.headerLength()+8], 128), 0x20, 0, 0, 0, 0, 8, 1, 1, 0x12, 0x34, 0x51, 1)
		}, behindSeq},
		"20 bytes, padded":    {func(s *synPacket) []byte { return padTo(s.bytes()[:s.headerLength()+20], 128) }, "opt_mss not-quoted; opt_window_scale not-quoted; opt_sack_permitted not-quoted; opt_timestamps not-quoted; opt_mptcp not-quoted; added not-quoted; incomplete"},
		"half an MSS, padded": {func(s *synPacket) []byte { return padTo(s.bytes()[:s.headerLength()+22], 128) }, "opt_mss not-quoted; opt_window_scale not-quoted; opt_sack_permitted not-quoted; opt_timestamps not-quoted; opt_mptcp not-quoted; added not-quoted; incomplete"},
		"removed, padded":     {func(s *synPacket) []byte { s.options = s.options[:5]; return padTo(s.bytes(), 128) }, "opt_mptcp removed"},
		"changed, padded":     {func(s *synPacket) []byte { s.options[0] = []byte{2, 4, 1, 1}; return padTo(s.bytes(), 128) }, "opt_mss changed"},
		"another IP version":  {func(s *synPacket) []byte { other := newSYN(!s.ipv6); return other.bytes() }, "ip_tos not-quoted; ip_id not-quoted; ip_source not-quoted; ip_destination not-quoted; tcp_source_port not-quoted; tcp_destination_port not-quoted; tcp_seq not-quoted; " + behindSeq},
	} {
		for _, ipv6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, IPv6 %v", name, ipv6), func(t *testing.T) {
				sent, box := newSYN(ipv6), newSYN(ipv6)
				if got := summary(Compare(sent.bytes(), test.quote(&box))); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			})
		}
	}
}

func padTo(b []byte, n int) []byte { return append(slices.Clone(b), make([]byte, n-len(b))...) }

// An IPv4 header may be longer than 20 bytes (RFC 791 §3.1: record route), in the quote only; and of an IPv4
// identification that is quoted in the router's byte order nothing is known.
func TestCompareIPv4Headers(t *testing.T) {
	sent, box := newSYN(false), newSYN(false)
	box.ipOptions = []byte{7, 7, 4, 0, 0, 0, 0, 0}
	if got := summary(Compare(sent.bytes(), box.bytes())); got != "" {
		t.Errorf("record route: %s", got)
	}
	box = newSYN(false)
	box.id = 0x3412
	if got := summary(Compare(sent.bytes(), box.bytes())); got != "" {
		t.Errorf("identification in another byte order: %s", got)
	}
	for _, header := range []byte{0x40, 0x44, 0x4f} { // lengths below 20, and one that leaves no room for TCP
		quote := sent.bytes()[:60]
		quote[0] = header
		c := Compare(sent.bytes(), quote)
		for f := firstTCP; f < numFields; f++ {
			if c.States[f] != NotQuoted && c.States[f] != Absent {
				t.Errorf("header %#x: %s", header, summary(c))
			}
		}
	}
}

// The options that probes can carry, each as the column that it belongs to.
func TestCompareProbes(t *testing.T) {
	for name, test := range map[string]struct {
		options [][]byte
		fields  []Field
	}{
		"plain":  {linux[:5], []Field{OptMSS, OptWindowScale, OptSACKPermitted, OptTimestamps}},
		"v0":     {append(slices.Clone(linux[:5]), capableV0), []Field{OptMSS, OptWindowScale, OptSACKPermitted, OptTimestamps, OptMPTCP}},
		"canary": {append(slices.Clone(linux[:5]), canary), []Field{OptMSS, OptWindowScale, OptSACKPermitted, OptTimestamps, OptCanary}},
		"bare":   {nil, nil},
	} {
		s := newSYN(false)
		s.options = test.options
		whole, without := Compare(s.bytes(), s.bytes()), s
		without.options = nil
		gone := Compare(s.bytes(), without.bytes())
		for f := firstOption; f < numFields; f++ {
			want, wantGone := Absent, Absent
			if slices.Contains(test.fields, f) {
				want, wantGone = Kept, Removed
			}
			if whole.States[f] != want || gone.States[f] != wantGone {
				t.Errorf("%s: %s is %v, without options %v", name, f, whole.States[f], gone.States[f])
			}
		}
	}
	altered := newSYN(false)
	altered.options = [][]byte{canary}
	sent := altered.bytes()
	altered.options = [][]byte{{254, 8, 0x4d, 0x43, 0, 0, 0, 0}}
	if c := Compare(sent, altered.bytes()); c.States[OptCanary] != Changed {
		t.Errorf("another nonce: %s", summary(c))
	}
	altered.options = [][]byte{{254, 8, 0x4d, 0x44, 0xde, 0xad, 0xbe, 0xef}} // another experiment's
	if c := Compare(sent, altered.bytes()); summary(c) != "opt_canary removed; added 254" {
		t.Errorf("another identifier: %s", summary(c))
	}
}

// TestCompareBoxes builds what boxes make of SYNs, so that what must be found is known without reading it.
func TestCompareBoxes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		s := newSYN(random.IntN(2) == 0)
		s.options = nil
		for _, o := range [][]byte{mss, sackOK, tstamps, windowScl, capableV1, canary} {
			if random.IntN(4) > 0 {
				s.options = append(s.options, o)
			}
		}
		sent, box := s.bytes(), s
		states, added := map[Field]State{}, []string{}
		box.options = nil
		var places []Field // of box.options; numFields: none that is compared
		put := func(o []byte, f Field) { box.options, places = append(box.options, o), append(places, f) }
		for _, o := range s.options {
			f := optionField(o)
			switch random.IntN(5) {
			case 0:
				states[f] = Removed
			case 1:
				states[f] = Removed
				put(bytes.Repeat(nop, len(o)), numFields)
			case 2:
				if len(o) > 2 {
					changed := slices.Clone(o)
					changed[len(o)-1] ^= byte(1 + random.IntN(255))
					states[f] = Changed
					put(changed, f)
					continue
				}
				fallthrough
			default:
				states[f] = Kept
				put(o, f)
			}
		}
		random.Shuffle(len(places), func(i, j int) {
			places[i], places[j] = places[j], places[i]
			box.options[i], box.options[j] = box.options[j], box.options[i]
		})
		if len(box.area()) <= 36 && random.IntN(3) == 0 {
			put([]byte{19, 4, 1, 2}, numFields)
			added = append(added, "19")
		}
		quote := box.bytes()
		cut := random.IntN(len(quote) + 1)
		c := Compare(sent, quote[:cut])

		areaAt := box.headerLength() + 20
		whole := cut >= areaAt+len(box.area())
		for at, i := areaAt, 0; i < len(places); i++ {
			at += len(box.options[i])
			if places[i] != numFields && cut < at {
				states[places[i]] = NotQuoted
			}
			if len(box.options[i]) == 4 && box.options[i][0] == 19 && cut < at {
				added = nil
			}
		}
		for f, want := range states {
			if want == Removed && !whole {
				want = NotQuoted
			}
			if c.States[f] != want {
				t.Fatalf("%s is %v, not %v\nsent  %x\nquote %x", f, c.States[f], want, sent, quote[:cut])
			}
		}
		wantAdded := "none"
		switch {
		case len(added) > 0:
			wantAdded = strings.Join(added, "-")
		case !whole:
			wantAdded = "not-quoted"
		}
		if c.Added() != wantAdded || c.Complete != whole {
			t.Fatalf("added %s, complete %v, not %s, %v\nsent  %x\nquote %x", c.Added(), c.Complete, wantAdded, whole, sent, quote[:cut])
		}
	}
}

func optionField(o []byte) Field {
	return map[byte]Field{2: OptMSS, 3: OptWindowScale, 4: OptSACKPermitted, 8: OptTimestamps, 30: OptMPTCP, 254: OptCanary}[o[0]]
}

// FuzzCompare takes any quote: what a shorter quote says, a longer one with the same beginning does not take back, and
// nothing is removed unless all options can be read.
func FuzzCompare(f *testing.F) {
	for _, ipv6 := range []bool{false, true} {
		s := newSYN(ipv6)
		f.Add(s.bytes(), s.bytes(), 30)
		cut := s
		cut.options = [][]byte{{30, 0, 1, 1}, mss}
		f.Add(s.bytes(), cut.bytes(), 45)
	}
	f.Fuzz(func(t *testing.T, sent, quote []byte, cut int) {
		if len(sent) > 1<<10 || len(quote) > len(sent) || cut < 0 || cut > len(quote) {
			return
		}
		long, short := Compare(sent, quote), Compare(sent, quote[:cut])
		for field := range long.States {
			l, s := long.States[field], short.States[field]
			if s != l && s != NotQuoted && cut > 0 {
				t.Errorf("%s: %v in %s, but %v in %s", Field(field), s, hex.EncodeToString(quote[:cut]), l, hex.EncodeToString(quote))
			}
			if s == Removed && !short.Complete || l == Removed && !long.Complete {
				t.Errorf("%s removed, but not all options are quoted", Field(field))
			}
		}
		if short.Complete && summary(short) != summary(long) {
			t.Errorf("complete, but %s became %s", summary(short), summary(long))
		}
	})
}
