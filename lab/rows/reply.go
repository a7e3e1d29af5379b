package rows

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// reply is one row.
type reply struct {
	kind     kind
	target   netip.Addr
	ourPort  uint16
	ttl      uint8
	ipid     uint16
	seq, ack uint32
	window   uint16
	flags    uint8
	options  [40]byte
	length   int // of options
	mptcp    MPTCP
	sentKey  uint64

	repeat, cooldown bool
	time             time.Duration // since scanStart

	responder          netip.Addr
	icmpType, icmpCode uint8
	quote              [quoteRoom]byte
	quoteLength        int
}

// TCP flags: RFC 9293 §3.1.
const (
	flagsSYNACK = 0x12
	flagsRSTACK = 0x14
)

// scanStart is when the first reply can come.
var scanStart = time.Date(2026, 11, 23, 8, 15, 0, 0, time.UTC)

// meanGap is the mean time between replies: 10,000 a second.
const meanGap = 100 * time.Microsecond

// next draws the reply of row i.
func (s *scan) next(i uint64) reply {
	var r reply
	if len(s.recent) > 0 && s.random.Float64() < repeatShare {
		r = s.repeat()
	} else {
		r = s.first()
	}
	s.now += time.Duration(s.random.Int64N(int64(2*meanGap/time.Microsecond)+1)) * time.Microsecond
	r.time = s.now
	r.cooldown = float64(i) >= float64(s.params.Rows)*(1-cooldownShare)
	return r
}

// recentReplies is how far back a repeated SYN-ACK may be.
const recentReplies = 256

// repeat is a SYN-ACK of a target that sent one before.
func (s *scan) repeat() reply {
	r := s.recent[s.random.IntN(len(s.recent))]
	r.repeat = true
	return r
}

// first is the first reply of a target.
func (s *scan) first() reply {
	r := reply{
		kind:    kind(draw(s.random, kindShares[:], kindTotal)),
		target:  Address(s.params.Family, s.targets.Next(), s.random),
		ourPort: 1<<15 | uint16(s.random.Uint32()),
		ack:     s.random.Uint32(),
		flags:   flagsSYNACK,
		mptcp:   MPTCP{Presence: "none"},
	}
	if s.params.Probe == V0 {
		r.sentKey = Weight16(s.random)
	}
	switch r.kind {
	case rst:
		s.fillRST(&r)
	case icmp:
		s.fillICMP(&r)
	default:
		s.fillSYNACK(&r)
		s.remember(&r)
	}
	return r
}

func (s *scan) remember(r *reply) {
	if len(s.recent) < recentReplies {
		s.recent = append(s.recent, *r)
		return
	}
	s.recent[s.random.IntN(recentReplies)] = *r
}

var kindTotal = sum(kindShares[:])

// hops is the length of the way from a host: 5 to 27.
func (s *scan) hops() uint8 { return uint8(5 + s.random.UintN(12) + s.random.UintN(12)) }

func (s *scan) fillRST(r *reply) {
	r.ttl = []uint8{64, 64, 128, 255}[s.random.UintN(4)] - s.hops()
	r.flags = flagsRSTACK
	if s.random.UintN(8) == 0 {
		r.seq = s.random.Uint32() // of a firewall; a host has 0: RFC 9293 §3.5.2
	}
	if s.random.UintN(2) == 0 {
		r.ipid = uint16(s.random.Uint32())
	}
}

func (s *scan) fillSYNACK(r *reply) {
	n := draw(s.random, stackShares, stackTotal)
	stack := &stacks[n]
	r.ttl = stack.ttl - s.hops()
	r.seq = s.random.Uint32()
	r.window = pick(s.random, stack.windows)
	if stack.randomID {
		r.ipid = uint16(s.random.Uint32())
	}
	values := optionValues{
		mss:     pick(s.random, stack.mss),
		scale:   pick(s.random, stack.scales),
		tsValue: s.random.Uint32(),
		tsEcho:  s.tsValue,
	}
	if s.params.Family == IPv6 && values.mss > headerGap {
		values.mss -= headerGap
	}
	options := r.options[:0]
	for _, name := range layouts[n] {
		options = appendOption(options, name, &values)
	}
	options = pad(s.appendMPTCP(options, r))
	r.length = len(options)
}

// headerGap is how much longer the header of IPv6 is than that of IPv4.
const headerGap = 20

// appendMPTCP adds the reply's MPTCP option, as its kind has it, to the options of a stack.
func (s *scan) appendMPTCP(options []byte, r *reply) []byte {
	version, flags := uint8(0), uint8(flagsV0)
	if s.params.Probe == V1 {
		version, flags = 1, flagsV1
	}
	capable := func(flags uint8) { r.mptcp = MPTCP{"capable", true, version, flags, 4, false, 0} }
	withKey := func(key uint64) { r.mptcp = MPTCP{"capable", true, version, flags, 12, true, key} }
	switch r.kind {
	case noMPTCP:
		return options
	case otherMPTCP: // MP_JOIN in a SYN-ACK: RFC 8684 §3.2, figure 6
		r.mptcp = MPTCP{Presence: "other"}
		options = append(options, 30, 16, 0x10, 0)
		options = binary.BigEndian.AppendUint64(options, s.random.Uint64())
		return binary.BigEndian.AppendUint32(options, s.random.Uint32())
	case malformed: // half a key
		r.mptcp = MPTCP{"malformed", true, version, flags, 8, false, 0}
		options = append(options, 30, 8, version, flags)
		return binary.BigEndian.AppendUint32(options, s.random.Uint32())
	case genuine:
		withKey(s.random.Uint64())
	case mirrored:
		if s.random.UintN(2) == 0 { // not the MP_CAPABLE alone, but all that we sent
			options = appendOurOptions(options[:0], r.target, s.tsValue)
		}
		if s.params.Probe == V0 {
			withKey(r.sentKey)
		} else {
			capable(flags)
		}
	case tampered:
		if s.params.Probe == V0 { // one byte of the key
			withKey(r.sentKey ^ (1+s.random.Uint64N(255))<<(8*s.random.UintN(8)))
		} else { // a flag that we did not set
			capable(flags | 0x80)
		}
	}
	return appendCapable(options, &r.mptcp)
}

// row is the reply as the printer wants it.
func (r *reply) row(s *scan) Row {
	row := Row{
		Target: r.target, Scanner: s.scanner, IPID: r.ipid, TTL: r.ttl,
		TargetPort: s.params.Port, ScannerPort: r.ourPort,
		Seq: r.seq, Ack: r.ack, Window: r.window, Flags: r.flags,
		Probe: s.params.Probe, Options: r.options[:r.length], MPTCP: r.mptcp, SentKey: r.sentKey,
		ICMPType: r.icmpType, ICMPCode: r.icmpCode, Responder: r.responder, Quote: r.quote[:r.quoteLength],
		Repeat: r.repeat, Cooldown: r.cooldown, Time: scanStart.Add(r.time),
	}
	switch r.kind {
	case rst:
		row.Kind = RST
	case icmp:
		row.Kind = ICMP
	}
	return row
}
