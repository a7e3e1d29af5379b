package trace

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
)

// Field is a header field or option of our SYN that is compared with what a router quotes. TTL, lengths and
// checksums are none: routers change the first and the last, and some quote lengths in their own byte order.
type Field uint8

// The fields, in the order of the columns of `hops`.
const (
	IPTOS Field = iota
	IPID        // IPv6: flow label
	IPSource
	IPDestination
	TCPSourcePort
	TCPDestinationPort
	TCPSeq
	TCPFlags
	TCPWindow
	OptMSS
	OptWindowScale
	OptSACKPermitted
	OptTimestamps
	OptMPTCP
	OptCanary
	numFields = iota

	firstTCP    = TCPSourcePort
	firstOption = OptMSS
)

// String is the name of the field's column in `hops`.
func (f Field) String() string {
	return [numFields]string{
		"ip_tos", "ip_id", "ip_source", "ip_destination",
		"tcp_source_port", "tcp_destination_port", "tcp_seq", "tcp_flags", "tcp_window",
		"opt_mss", "opt_window_scale", "opt_sack_permitted", "opt_timestamps", "opt_mptcp", "opt_canary",
	}[f]
}

// place is where a field is in its header. Its first bytes may have bits of others, which mask leaves out.
type place struct {
	at, length int
	mask       [2]byte
}

var (
	whole = [2]byte{0xff, 0xff}

	// RFC 791 §3.1
	placesIPv4 = [...]place{IPTOS: {1, 1, whole}, IPID: {4, 2, whole}, IPSource: {12, 4, whole}, IPDestination: {16, 4, whole}}
	// RFC 8200 §3
	placesIPv6 = [...]place{
		IPTOS: {0, 2, [2]byte{0x0f, 0xf0}}, IPID: {1, 3, [2]byte{0x0f, 0xff}},
		IPSource: {8, 16, whole}, IPDestination: {24, 16, whole},
	}
	// RFC 9293 §3.1
	placesTCP = [...]place{
		TCPSourcePort: {0, 2, whole}, TCPDestinationPort: {2, 2, whole}, TCPSeq: {4, 4, whole},
		TCPFlags: {12, 2, [2]byte{0x0f, 0xff}}, TCPWindow: {14, 2, whole},
	}
)

const (
	leastIPv4  = 20 // bytes of an IPv4 header without options
	lengthIPv6 = 40
	leastTCP   = 20
	offsetAt   = 12 // of the data offset in a TCP header
	protocol   = 6  // TCP's number (RFC 9293 §3.1)
)

// packet is a SYN, or the part of one that somebody quotes: bytes that may end anywhere.
type packet struct {
	data []byte
	ipv6 bool
	tcp  int // where the TCP header begins; 0: not known

	// padding is where zeros begin that go on to the end: behind it nothing proves a difference. A router that
	// appends ICMP extensions fills what it quotes with zeros to 128 bytes (RFC 4884 §4).
	padding int
}

// parse finds the headers. It accepts any bytes.
func parse(data []byte) packet {
	p := packet{data: data, padding: len(data)}
	if len(data) == 0 {
		return p
	}
	// Of a fragment's offset nothing is believed: a SYN is too short to be cut (RFC 791 §3.2), and some quote that field
	// in their own byte order, in which "don't fragment" looks like an offset.
	if p.ipv6 = data[0]>>4 == 6; p.ipv6 {
		if len(data) > lengthIPv6 && data[6] == protocol {
			p.tcp = lengthIPv6
		}
		return p
	}
	header := int(data[0]&0x0f) * 4
	if header >= leastIPv4 && len(data) > header && data[9] == protocol {
		p.tcp = header
	}
	return p
}

// place is where a header field is in the packet; not ok if it is not wholly there.
func (p *packet) place(f Field) (where place, ok bool) {
	switch {
	case f >= firstTCP:
		where = placesTCP[f]
		where.at += p.tcp
		ok = p.tcp > 0
	case p.ipv6:
		where, ok = placesIPv6[f], true
	default:
		where, ok = placesIPv4[f], true
	}
	return where, ok && where.at+where.length <= len(p.data)
}

// read appends the value of a field to b.
func (p *packet) read(where place, b []byte) []byte {
	start := len(b)
	b = append(b, p.data[where.at:where.at+where.length]...)
	for i, mask := range where.mask[:min(where.length, 2)] {
		b[start+i] &= mask
	}
	return b
}

// option is a TCP option's place in a packet.
type option struct{ at, end int }

// maxOptions is how many options other than padding 40 bytes can have.
const maxOptions = 20

// optionList is what the options area of a packet holds, padding apart.
type optionList struct {
	options [maxOptions]option
	count   int
	broken  option // the option at which the list cannot be walked further (RFC 9293 §3.1); empty: there is none
	// known says that all of the area is there. If not, options may follow the last of the list.
	known bool
}

// Option kinds that end or pad a list (RFC 9293 §3.1).
const (
	kindEOL = 0
	kindNOP = 1
)

// options walks the options area as far as it is there.
func (p *packet) options() (l optionList) {
	if p.tcp == 0 || p.tcp+offsetAt >= len(p.data) {
		return l
	}
	header := int(p.data[p.tcp+offsetAt]>>4) * 4
	if header < leastTCP {
		return l // no TCP header looks so: what is quoted ended before it
	}
	end := p.tcp + header
	l.known = end <= len(p.data)
	quoted := min(end, len(p.data))
	for at := p.tcp + leastTCP; at < quoted; {
		switch kind := p.data[at]; {
		case kind == kindNOP:
			at++
			continue
		case kind == kindEOL:
			// The zeros behind a quote are no end of the list that was sent.
			l.known = l.known && (at < p.padding || p.padding == len(p.data))
			return l
		}
		next := end // of an option that is not whole
		if at+1 < quoted && p.data[at+1] >= 2 {
			next = at + int(p.data[at+1])
		} else if at+1 < quoted || l.known {
			next = end + 1
		}
		switch {
		case next > end:
			l.broken = option{at, quoted}
			return l
		case next > quoted:
			return l
		}
		l.options[l.count] = option{at, next}
		l.count++
		at = next
	}
	return l
}

// identity tells options apart: by their kind and, if experimental, by their identifier (RFC 6994 §3).
func (p *packet) identity(o option) uint32 {
	kind := uint32(p.data[o.at])
	if kind >= 253 && o.end-o.at >= 4 {
		return kind<<16 | uint32(binary.BigEndian.Uint16(p.data[o.at+2:]))
	}
	return kind
}

// fieldOf is the field that an option is; not ok for others.
func fieldOf(identity uint32) (Field, bool) {
	switch identity {
	case 2: // RFC 9293 §3.7.1
		return OptMSS, true
	case 3: // RFC 7323 §2
		return OptWindowScale, true
	case 4: // RFC 2018 §2
		return OptSACKPermitted, true
	case 8: // RFC 7323 §3
		return OptTimestamps, true
	case 30: // RFC 8684 §3
		return OptMPTCP, true
	case 254<<16 | 0x4d43: // ours: package mptcp
		return OptCanary, true
	}
	return 0, false
}

// text is a field's value as people read it: addresses, ports and sizes as such, all else in hex.
func (f Field) text(value []byte, ipv6 bool) string {
	switch f {
	case IPSource, IPDestination:
		a, _ := netip.AddrFromSlice(value)
		return a.String()
	case TCPSourcePort, TCPDestinationPort, TCPWindow:
		return strconv.Itoa(int(binary.BigEndian.Uint16(value)))
	case IPTOS:
		if ipv6 {
			return fmt.Sprintf("0x%02x", binary.BigEndian.Uint16(value)>>4)
		}
	case OptMSS:
		if len(value) == 4 {
			return strconv.Itoa(int(binary.BigEndian.Uint16(value[2:])))
		}
	case OptWindowScale:
		if len(value) == 3 {
			return strconv.Itoa(int(value[2]))
		}
	}
	return "0x" + hex.EncodeToString(value)
}
