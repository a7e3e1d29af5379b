package history

import (
	"encoding/binary"
	"net/netip"

	"github.com/mpcensus/mpcensus/lab/rows"
)

// Lengths of headers, and where their fields are: RFC 791 §3.1, RFC 8200 §3, RFC 792, RFC 4443 §2.1, RFC 9293 §3.1.
const (
	etherBytes = 14
	ipv4Bytes  = 20
	ipv6Bytes  = 40
	icmpBytes  = 8
	tcpBytes   = 20

	protocolTCP = 6
	flagRST     = 0x04
)

// readReply reads the responder's answer to a SYN into its row. What the row has of target and port, the answer has
// too: where it is ICMP, in its quote.
func readReply(row *rows.Row, frame []byte) {
	ip := frame[etherBytes:]
	header, protocol := ipv4Bytes, ip[9]
	source := ip[12:16]
	row.TTL = ip[8]
	row.IPID = binary.BigEndian.Uint16(ip[4:])
	if ip[0]>>4 == 6 {
		header, protocol = ipv6Bytes, ip[6]
		source = ip[8:24]
		row.TTL = ip[7]
		row.IPID = 0
	}
	if protocol != protocolTCP {
		icmp := ip[header:]
		row.Kind, row.ICMPType, row.ICMPCode = rows.ICMP, icmp[0], icmp[1]
		row.Responder, _ = netip.AddrFromSlice(source)
		row.Quote = icmp[icmpBytes:]
		return
	}
	tcp := ip[header:]
	row.Seq, row.Ack = binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:])
	row.Flags = tcp[13]
	row.Window = binary.BigEndian.Uint16(tcp[14:])
	row.Options = tcp[tcpBytes:]
	row.MPTCP = readMPTCP(row.Options)
	if row.Flags&flagRST != 0 {
		row.Kind = rows.RST
	}
}

// Options: RFC 9293 §3.1, RFC 8684 §3.
const (
	optionEnd      = 0
	optionNOP      = 1
	optionMPTCP    = 30
	subtypeCapable = 0
)

// readMPTCP reads what the module prints about the first MPTCP option; the responder never adds a second one.
func readMPTCP(options []byte) rows.MPTCP {
	for len(options) > 0 && options[0] != optionEnd {
		if options[0] == optionNOP {
			options = options[1:]
			continue
		}
		if options[0] == optionMPTCP {
			return readOption(options)
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			break
		}
		options = options[options[1]:]
	}
	return rows.MPTCP{Presence: "none"}
}

// readOption reads the MPTCP option at the beginning of options. It may be cut, or of a length that no RFC has.
func readOption(options []byte) rows.MPTCP {
	malformed := rows.MPTCP{Presence: "malformed"}
	if len(options) < 4 || options[1] < 3 {
		return malformed
	}
	length := options[1]
	whole := int(length) <= len(options)
	switch {
	case options[2]>>4 != subtypeCapable && !whole:
		return malformed
	case options[2]>>4 != subtypeCapable:
		return rows.MPTCP{Presence: "other"}
	}
	m := rows.MPTCP{Presence: "malformed", Detailed: true, Version: options[2] & 0xf, Flags: options[3], Length: length}
	// RFC 6824 §3.1: always with a key; RFC 8684 §3.1: 4 bytes without one.
	if whole && (length == 12 || length == 4 && m.Version != 0) {
		m.Presence = "capable"
		if m.HasKey = length == 12; m.HasKey {
			m.Key = binary.BigEndian.Uint64(options[4:])
		}
	}
	return m
}
