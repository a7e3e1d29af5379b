package chains

import (
	"encoding/binary"
	"net/netip"
)

// Numbers from IANA's registries.
const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolICMPv6 = 58

	optionEnd    = 0
	optionNOP    = 1
	optionMSS    = 2
	optionSACK   = 5
	optionMPTCP  = 30
	flagSYN      = 0x02
	flagRST      = 0x04
	flagACK      = 0x10
	ipv4Bytes    = 20
	ipv6Bytes    = 40
	tcpBytes     = 20
	tcpMaxBytes  = 60
	icmpBytes    = 8
	portsAndSeq  = 8 // what RFC 792 lets a router quote of TCP
	ownHopLimit  = 64
	mpCapable    = 0 // subtype, upper half of an option's third byte
	hostSpeaksIt = 1 // flag H of MP_CAPABLE: HMAC-SHA1 or, in v1, HMAC-SHA256
)

// packet is an IP packet, cut at the length that its header tells.
type packet struct {
	ip       []byte
	payload  int // where what IP carries begins
	protocol byte
}

// parse reads an IPv4 or IPv6 header. It refuses what a router here need not
// forward: damaged packets, fragments and extension headers.
func parse(b []byte) (p packet, ok bool) {
	if len(b) < ipv4Bytes {
		return p, false
	}
	var length int
	switch b[0] >> 4 {
	case 4:
		p.payload, p.protocol = int(b[0]&0xf)*4, b[9]
		length = int(binary.BigEndian.Uint16(b[2:]))
		if p.payload < ipv4Bytes || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return p, false
		}
	case 6:
		if len(b) < ipv6Bytes {
			return p, false
		}
		p.payload, p.protocol = ipv6Bytes, b[6]
		length = ipv6Bytes + int(binary.BigEndian.Uint16(b[4:]))
	default:
		return p, false
	}
	if length < p.payload || length > len(b) {
		return p, false
	}
	p.ip = b[:length]
	switch p.protocol {
	case protocolTCP:
		if t := p.ip[p.payload:]; len(t) < tcpBytes || p.headerBytes() < tcpBytes || p.headerBytes() > len(t) {
			return p, false
		}
	case protocolICMP, protocolICMPv6:
		return p, length >= p.payload+icmpBytes
	}
	return p, true
}

func (p packet) is4() bool { return p.ip[0]>>4 == 4 }

// addresses are where the header has the source and then the destination.
func (p packet) addresses() (source, destination []byte) {
	if p.is4() {
		return p.ip[12:16], p.ip[16:20]
	}
	return p.ip[8:24], p.ip[24:40]
}

func (p packet) source() netip.Addr {
	b, _ := p.addresses()
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (p packet) destination() netip.Addr {
	_, b := p.addresses()
	a, _ := netip.AddrFromSlice(b)
	return a
}

// hopLimit is where the header has the TTL or hop limit.
func (p packet) hopLimit() *byte {
	if p.is4() {
		return &p.ip[8]
	}
	return &p.ip[7]
}

func (p packet) isTCP() bool      { return p.protocol == protocolTCP }
func (p packet) tcp() []byte      { return p.ip[p.payload:] }
func (p packet) headerBytes() int { return int(p.ip[p.payload+12]>>4) * 4 }
func (p packet) options() []byte  { return p.tcp()[tcpBytes:p.headerBytes()] }
func (p packet) is(flags byte) bool {
	return p.isTCP() && p.tcp()[13]&(flagSYN|flagACK) == flags
}

// findOption is an option of a kind with its two first bytes, in place; nil if there is
// none or the options are damaged.
func (p packet) findOption(kind byte) []byte {
	options := p.options()
	for len(options) > 0 {
		switch {
		case options[0] == optionEnd:
			return nil
		case options[0] == optionNOP:
			options = options[1:]
			continue
		case len(options) < 2 || options[1] < 2 || int(options[1]) > len(options):
			return nil
		case options[0] == kind:
			return options[:options[1]]
		}
		options = options[options[1]:]
	}
	return nil
}

// mpCapable is the packet's MP_CAPABLE, in place.
func (p packet) mpCapable() []byte {
	option := p.findOption(optionMPTCP)
	if len(option) < 4 || option[2]>>4 != mpCapable {
		return nil
	}
	return option
}

// addOption is the packet with one more option, padded by NOPs; as it was where there
// is no room.
func (p packet) addOption(option []byte) packet {
	end, grown := p.payload+p.headerBytes(), (len(option)+3)/4*4
	if p.headerBytes()+grown > tcpMaxBytes {
		return p
	}
	b := append([]byte(nil), p.ip[:end]...)
	for range grown - len(option) {
		b = append(b, optionNOP)
	}
	b = append(append(b, option...), p.ip[end:]...)
	b[p.payload+12] += byte(grown / 4 << 4)
	at := 2 // IPv4's total length, as IPv6's payload length is at 4
	if !p.is4() {
		at = 4
	}
	binary.BigEndian.PutUint16(b[at:], binary.BigEndian.Uint16(b[at:])+uint16(grown))
	return packet{b, p.payload, p.protocol}
}

// finish sets all checksums.
func (p packet) finish() {
	if p.is4() {
		checksum(p.ip[:p.payload], 10, 0)
	}
	body := p.ip[p.payload:]
	source, destination := p.addresses()
	pseudo := add(add(0, source), destination) + uint32(p.protocol) + uint32(len(body))
	switch p.protocol {
	case protocolTCP:
		checksum(body, 16, pseudo)
	case protocolICMP:
		checksum(body, 2, 0)
	case protocolICMPv6:
		checksum(body, 2, pseudo)
	}
}

// checksum sets the checksum at a place in b (RFC 1071 §1).
func checksum(b []byte, at int, pseudo uint32) {
	b[at], b[at+1] = 0, 0
	s := add(pseudo, b)
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	binary.BigEndian.PutUint16(b[at:], ^uint16(s))
}

// add adds 16-bit words.
func add(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}
