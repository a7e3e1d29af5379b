package chains

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
)

// Box is what a router does to packets that it forwards, after the check of
// their TTL, so that its own quotes do not show it.
type Box interface {
	// forward treats a packet on its way to the host, backward one on its way to
	// the scanner. Both may change it; ok false drops it. A box that answers returns
	// the answer, to go where the packet came from.
	forward(p packet) (onward packet, answer packet, ok bool)
	backward(p packet) (onward packet, ok bool)
}

// flow is one direction of a TCP connection.
type flow struct{ from, to netip.AddrPort }

func (p packet) flow() flow {
	return flow{
		netip.AddrPortFrom(p.source(), binary.BigEndian.Uint16(p.tcp())),
		netip.AddrPortFrom(p.destination(), binary.BigEndian.Uint16(p.tcp()[2:])),
	}
}

func (f flow) reverse() flow { return flow{f.to, f.from} }

// maxFlows bounds what a box remembers; it forgets all when there are more.
const maxFlows = 1 << 16

// Mirror keeps MP_CAPABLE of SYNs from the host and gives it back in the SYN-ACK,
// as the papers found middleboxes to do.
type Mirror struct{ seen map[flow][]byte }

func (m *Mirror) forward(p packet) (onward, answer packet, ok bool) {
	option := []byte(nil)
	if p.is(flagSYN) {
		option = p.mpCapable()
	}
	if option == nil {
		return p, packet{}, true
	}
	if m.seen == nil || len(m.seen) >= maxFlows {
		m.seen = make(map[flow][]byte)
	}
	m.seen[p.flow()] = append([]byte(nil), option...)
	for i := range option {
		option[i] = optionNOP
	}
	return p, packet{}, true
}

func (m *Mirror) backward(p packet) (onward packet, ok bool) {
	if p.is(flagSYN | flagACK) {
		if option := m.seen[p.flow().reverse()]; option != nil {
			p = p.addOption(option)
		}
	}
	return p, true
}

// Answer answers SYNs with MP_CAPABLE in the host's place, with a random key, and
// resets the connection when data follows. The host sees nothing of it.
type Answer struct{ answered map[flow]bool }

func (a *Answer) forward(p packet) (onward, answer packet, ok bool) {
	if !p.isTCP() {
		return p, packet{}, true
	}
	if p.is(flagSYN) {
		delete(a.answered, p.flow())
		if p.mpCapable() == nil {
			return p, packet{}, true
		}
		if a.answered == nil || len(a.answered) >= maxFlows {
			a.answered = make(map[flow]bool)
		}
		a.answered[p.flow()] = true
		return packet{}, p.synACK(), false
	}
	if !a.answered[p.flow()] {
		return p, packet{}, true
	}
	if len(p.tcp()) > p.headerBytes() {
		answer = p.reset()
	}
	return packet{}, answer, false
}

func (*Answer) backward(p packet) (onward packet, ok bool) { return p, true }

// reset answers a segment with an RST that its acknowledgement makes valid (RFC 9293
// §3.5.2).
func (p packet) reset() packet {
	segment := p.answerHeader()
	copy(segment[4:8], p.tcp()[8:12])
	segment[12], segment[13] = tcpBytes/4<<4, flagRST
	return newPacket(p.destination(), p.source(), protocolTCP, segment)
}

// answerHeader is a TCP header with the ports the other way round.
func (p packet) answerHeader() []byte {
	header := make([]byte, tcpBytes, tcpMaxBytes)
	copy(header[0:2], p.tcp()[2:4])
	copy(header[2:4], p.tcp()[0:2])
	return header
}

// synACK answers a SYN with MP_CAPABLE of its version and a random key.
func (p packet) synACK() packet {
	option := [...]byte{optionMPTCP, 12, p.mpCapable()[2]&0xf | mpCapable<<4, hostSpeaksIt, 11: 0}
	rand.Read(option[4:])
	segment := p.answerHeader()
	rand.Read(segment[4:8])
	binary.BigEndian.PutUint32(segment[8:], binary.BigEndian.Uint32(p.tcp()[4:])+1)
	segment[12], segment[13] = (tcpBytes+4+12)/4<<4, flagSYN|flagACK
	binary.BigEndian.PutUint16(segment[14:], 65535)
	segment = append(segment, optionMSS, 4, 1200>>8, 1200&0xff)
	return newPacket(p.destination(), p.source(), protocolTCP, append(segment, option[:]...))
}

// ShiftSequence adds to the sequence numbers that the host sees, as firewalls do
// that choose them anew.
type ShiftSequence struct{ By uint32 }

func (s ShiftSequence) forward(p packet) (onward, answer packet, ok bool) {
	if p.isTCP() {
		shift(p.tcp()[4:], s.By)
	}
	return p, packet{}, true
}

func (s ShiftSequence) backward(p packet) (onward packet, ok bool) {
	if p.isTCP() && p.tcp()[13]&flagACK != 0 {
		shift(p.tcp()[8:], -s.By)
		if blocks := p.findOption(optionSACK); blocks != nil {
			for edges := blocks[2:]; len(edges) >= 4; edges = edges[4:] {
				shift(edges, -s.By)
			}
		}
	}
	return p, true
}

func shift(number []byte, by uint32) {
	binary.BigEndian.PutUint32(number, binary.BigEndian.Uint32(number)+by)
}

// TranslateSource gives packets the box' own address as their source and keeps
// the port. Other than Linux it does not translate back what ICMP quotes.
type TranslateSource struct {
	IPv4, IPv6 netip.Addr
	sources    map[flow]netip.Addr // by what the host sees
}

func (t *TranslateSource) own(p packet) netip.Addr {
	if p.is4() {
		return t.IPv4
	}
	return t.IPv6
}

func (t *TranslateSource) forward(p packet) (onward, answer packet, ok bool) {
	if !p.isTCP() {
		return p, packet{}, true
	}
	original := p.source()
	source, _ := p.addresses()
	copy(source, t.own(p).AsSlice())
	if t.sources == nil || len(t.sources) >= maxFlows {
		t.sources = make(map[flow]netip.Addr)
	}
	t.sources[p.flow()] = original
	return p, packet{}, true
}

func (t *TranslateSource) backward(p packet) (onward packet, ok bool) {
	if p.destination() != t.own(p) {
		return p, true
	}
	var sent flow
	switch {
	case p.isTCP():
		sent = p.flow().reverse()
	case len(p.ip) < p.payload+icmpBytes:
		return p, true
	default:
		quoted, ok := parseQuote(p.ip[p.payload+icmpBytes:])
		if !ok {
			return p, true
		}
		sent = quoted.flow()
	}
	if original, ok := t.sources[sent]; ok {
		_, destination := p.addresses()
		copy(destination, original.AsSlice())
	}
	return p, true
}

// parseQuote reads as much of a quoted TCP segment as flow needs.
func parseQuote(b []byte) (packet, bool) {
	var p packet
	switch {
	case len(b) >= ipv4Bytes && b[0]>>4 == 4:
		p = packet{b, int(b[0]&0xf) * 4, b[9]}
	case len(b) >= ipv6Bytes && b[0]>>4 == 6:
		p = packet{b, ipv6Bytes, b[6]}
	default:
		return p, false
	}
	return p, p.isTCP() && p.payload >= ipv4Bytes && len(b) >= p.payload+portsAndSeq
}
