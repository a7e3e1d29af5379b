package trace

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/mptcp"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Kind is what the rows of one ZMap run share, however many runs a file has.
type Kind struct {
	Family string // dataset.IPv4 or IPv6
	Port   uint16
	Probe  string
}

// ErrForeign is why a row of a trace is none of this one. Other reasons are package zmap's.
const ErrForeign zmap.Reason = "foreign"

// maxSent is the longest SYN without data: an IP and a TCP header with all their options.
const maxSent = 120

// Filter says which rows are of a trace: those of a kind, of which what is zero may be anything.
type Filter struct {
	Kind
	Controls bool // plain probes too, whatever Kind.Probe is
}

// checkRow says why a row is no answer to a probe of a trace.
func checkRow(row *zmap.Row, want Filter) error {
	switch {
	case !row.ProbeTTL.Valid:
		return fmt.Errorf("%w: probe_ttl and sent: a row of a scan is for mpcensus ingest", zmap.ErrMissing)
	case row.Probe == "":
		return fmt.Errorf("%w: probe", zmap.ErrMissing)
	case !row.Sport.Valid:
		return fmt.Errorf("%w: sport", zmap.ErrMissing)
	case row.Classification == zmap.ICMP && !(row.Responder.IsValid() && row.ICMPType.Valid && row.ICMPCode.Valid):
		return fmt.Errorf("%w: responder, icmp_type or icmp_code", zmap.ErrMissing)
	case row.ProbeTTL.V < 1 || row.ProbeTTL.V > zmap.MaxTTL:
		return fmt.Errorf("%w: probe_ttl %d, it is 1 to %d", zmap.ErrRange, row.ProbeTTL.V, zmap.MaxTTL)
	case want.Family != "" && want.Family != familyOf(row.Saddr):
		return fmt.Errorf("%w: saddr is %s, the trace is of %s", ErrForeign, row.Saddr, want.Family)
	case want.Port != 0 && want.Port != row.Sport.V:
		return fmt.Errorf("%w: sport is %d, the trace is of port %d", ErrForeign, row.Sport.V, want.Port)
	case want.Probe != "" && want.Probe != row.Probe && !(want.Controls && row.Probe == zmap.ProbePlain):
		return fmt.Errorf("%w: probe is %s, the trace is of %s", ErrForeign, row.Probe, want.Probe)
	}
	return checkSent(row)
}

// checkSent says why the packet that a row was sent for is none that went to its target.
func checkSent(row *zmap.Row) error {
	p := parse(row.Sent)
	if len(row.Sent) > maxSent || p.tcp == 0 || !p.options().known {
		return fmt.Errorf("%w: sent is no whole SYN", zmap.ErrRange)
	}
	to, _ := p.place(IPDestination)
	port, _ := p.place(TCPDestinationPort)
	var b [16]byte
	if a, _ := netip.AddrFromSlice(p.read(to, b[:0])); a != row.Saddr {
		return fmt.Errorf("%w: sent went to %s, saddr is %s", zmap.ErrContradiction, a, row.Saddr)
	}
	if n := binary.BigEndian.Uint16(p.read(port, b[:0])); n != row.Sport.V {
		return fmt.Errorf("%w: sent went to port %d, sport is %d", zmap.ErrContradiction, n, row.Sport.V)
	}
	return nil
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return dataset.IPv4
	}
	return dataset.IPv6
}

// A record is a row as it is sorted. It begins with its key, whose order as bytes is that of the tables: all rows of a
// kind, by address, then TTL, then time; last the row's place in the input, so that no two are equal.
//
//	1  family, 4 or 6
//	2  port
//	1  index in probes
//	4  address, or 16
//	1  TTL
//	8  time, µs; 0: not known
//	8  place in the input
const (
	lengthKind   = 4
	lengthPlaces = 1 + 8 + 8
)

// probes are the values of Kind.Probe in their order in keys: the control first.
var probes = []string{zmap.ProbePlain, zmap.ProbeV0, zmap.ProbeV1, zmap.ProbeCanary}

// Bits of a record's second part, which say what it has.
const (
	hasReplyTTL = 1 << iota
	hasOptions
	hasSenderKey
)

// answers are the values of `hops`.answer.
type answer uint8

const (
	timeExceeded answer = iota
	unreachable
	otherICMP
	synack
	rst
)

func (a answer) String() string {
	return [...]string{"time-exceeded", "unreachable", "other-icmp", "synack", "rst"}[a]
}

func (a answer) icmp() bool { return a <= otherICMP }

// ICMP types: RFC 792, RFC 4443.
const (
	unreachable4, timeExceeded4 = 3, 11
	unreachable6, timeExceeded6 = 1, 3
	inTransit                   = 0 // the code of a TTL that ran out; fragments that did not arrive have another
)

func answerOf(row *zmap.Row) answer {
	exceeded, unreached := uint8(timeExceeded4), uint8(unreachable4)
	if row.Saddr.Is6() {
		exceeded, unreached = timeExceeded6, unreachable6
	}
	switch {
	case row.Classification == zmap.SYNACK:
		return synack
	case row.Classification == zmap.RST:
		return rst
	case row.ICMPType.V == exceeded && row.ICMPCode.V == inTransit:
		return timeExceeded
	case row.ICMPType.V == unreached:
		return unreachable
	default:
		return otherICMP
	}
}

// presences are the values of the column mptcp.
var presences = []mptcp.Presence{"", mptcp.None, mptcp.Capable, mptcp.Malformed, mptcp.Other}

// appendRecord appends a row that checkRow let pass.
func appendRecord(b []byte, row *zmap.Row, at uint64) []byte {
	address := row.Saddr.AsSlice()
	family := byte(4)
	if len(address) == 16 {
		family = 6
	}
	b = append(b, family)
	b = binary.BigEndian.AppendUint16(b, row.Sport.V)
	b = append(b, byte(slices.Index(probes, row.Probe)))
	b = append(b, address...)
	b = append(b, row.ProbeTTL.V)
	micros := int64(0)
	if !row.Time.IsZero() {
		micros = row.Time.UnixMicro()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(micros))
	b = binary.BigEndian.AppendUint64(b, at)

	has := byte(0)
	if row.TTL.Valid {
		has |= hasReplyTTL
	}
	if row.TCPOptions != nil {
		has |= hasOptions
	}
	if row.MPCapable.Key.Valid {
		has |= hasSenderKey
	}
	b = append(b, has, byte(answerOf(row)), row.ICMPType.V, row.ICMPCode.V, row.TTL.V,
		byte(max(slices.Index(presences, row.MPCapable.Presence), 0)))
	b = binary.BigEndian.AppendUint64(b, row.MPCapable.Key.V)
	responder := row.Saddr
	if row.Classification == zmap.ICMP {
		responder = row.Responder
	}
	b = appendSized(b, responder.AsSlice())
	b = appendSized(b, row.Sent)
	b = appendSized(b, row.TCPOptions)
	return appendSized(b, row.Quote)
}

func appendSized(b, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(value))) // a line's 64 KiB of hex are half as many bytes
	return append(b, value...)
}

// hop is a row of `hops`, of a record whose bytes it refers to.
type hop struct {
	target    netip.Addr
	ttl       uint8
	micros    int64 // 0: not known
	has       byte
	answer    answer
	icmpType  uint8
	icmpCode  uint8
	replyTTL  uint8
	mptcp     mptcp.Presence
	key       uint64
	responder netip.Addr
	sent      []byte
	options   []byte
	quote     []byte

	Comparison // of an ICMP message's quote
}

// kindOf is the kind that a record is of.
func kindOf(record []byte) Kind {
	k := Kind{dataset.IPv4, binary.BigEndian.Uint16(record[1:]), probes[record[3]]}
	if record[0] == 6 {
		k.Family = dataset.IPv6
	}
	return k
}

// read takes a record, which appendRecord made.
func (h *hop) read(record []byte) {
	address := 4
	if record[0] == 6 {
		address = 16
	}
	rest := record[lengthKind:]
	h.target, _ = netip.AddrFromSlice(rest[:address])
	rest = rest[address:]
	h.ttl, h.micros = rest[0], int64(binary.BigEndian.Uint64(rest[1:]))
	rest = rest[lengthPlaces:]
	h.has, h.answer, h.icmpType, h.icmpCode, h.replyTTL = rest[0], answer(rest[1]), rest[2], rest[3], rest[4]
	h.mptcp, h.key = presences[rest[5]], binary.BigEndian.Uint64(rest[6:])
	var responder []byte
	responder, rest = takeSized(rest[14:])
	h.responder, _ = netip.AddrFromSlice(responder)
	h.sent, rest = takeSized(rest)
	h.options, rest = takeSized(rest)
	h.quote, _ = takeSized(rest)
}

func takeSized(b []byte) (value, rest []byte) {
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:]
}
