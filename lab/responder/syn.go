package responder

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

const (
	etherBytes    = 14
	ipv4MinBytes  = 20 // RFC 791 §3.1
	ipv6Bytes     = 40 // RFC 8200 §3
	tcpMinBytes   = 20 // RFC 9293 §3.1
	tcpMaxBytes   = 60
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86dd

	protocolICMP   = 1
	protocolTCP    = 6
	protocolICMPv6 = 58

	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10

	optionEnd          = 0
	optionNOP          = 1
	optionMSS          = 2
	optionWScale       = 3
	optionSACK         = 4
	optionTimestamp    = 8
	optionMPTCP        = 30  // RFC 8684 §3
	optionExperimental = 254 // RFC 4727 §7

	subtypeCapable = 0
	subtypeAddAddr = 3
	subtypePrio    = 5

	capableV0Bytes = 12 // RFC 6824 §3.1: with the sender's key
	capableV1Bytes = 4  // RFC 8684 §3.1: a SYN carries no key
	canaryExID     = 0x4d43
	canaryBytes    = 8 // kind, length, ExID (RFC 6994 §3), nonce
)

// Why a frame is not answered.
var (
	errNotSYN   = errors.New("not a SYN straight after an IP header")
	errCut      = errors.New("frame shorter than its headers say")
	errChecksum = errors.New("checksum is wrong")
)

// syn is a probe as it arrived. Its slices point into the frame.
type syn struct {
	ether      []byte // destination and source MAC, EtherType
	packet     []byte // from the IP header to the end of the datagram
	ipBytes    int    // length of the IP header
	ttl        byte   // or hop limit
	source     netip.Addr
	target     netip.Addr
	sourcePort uint16
	targetPort uint16
	seq        uint32

	wscale, sack, timestamp bool
	tsval                   uint32
	mptcp                   []byte // the first MPTCP option, whole; nil without
	experimental            []byte // the first option of kind 254, whole; nil without
	probe                   scenario.Probe
}

// parseSYN reads a probe. Like a real host it drops what has a wrong checksum,
// and reads options up to the first one that makes no sense.
func parseSYN(frame []byte) (syn, error) {
	if len(frame) < etherBytes {
		return syn{}, errNotSYN
	}
	s := syn{ether: frame[:etherBytes]}
	var addresses []byte
	var err error
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeIPv4:
		addresses, err = s.readIPv4(frame[etherBytes:])
	case etherTypeIPv6:
		addresses, err = s.readIPv6(frame[etherBytes:])
	default:
		err = errNotSYN
	}
	if err != nil {
		return syn{}, err
	}
	tcp := s.packet[s.ipBytes:]
	tcpBytes := int(tcp[12]>>4) * 4
	if tcp[13]&(flagSYN|flagACK|flagRST) != flagSYN {
		return syn{}, errNotSYN
	}
	if tcpBytes < tcpMinBytes || tcpBytes > len(tcp) {
		return syn{}, errCut
	}
	if checksum(pseudoHeader(addresses, protocolTCP, len(tcp)), tcp) != 0 {
		return syn{}, errChecksum
	}
	half := len(addresses) / 2
	s.source, _ = netip.AddrFromSlice(addresses[:half])
	s.target, _ = netip.AddrFromSlice(addresses[half:])
	s.sourcePort = binary.BigEndian.Uint16(tcp)
	s.targetPort = binary.BigEndian.Uint16(tcp[2:])
	s.seq = binary.BigEndian.Uint32(tcp[4:])
	s.readOptions(tcp[tcpMinBytes:tcpBytes])
	return s, nil
}

// readIPv4 fills packet and ipBytes, and returns both addresses, source first.
// It leaves room for a TCP header.
func (s *syn) readIPv4(ip []byte) (addresses []byte, err error) {
	if len(ip) < ipv4MinBytes+tcpMinBytes {
		return nil, errNotSYN
	}
	ipBytes, total := int(ip[0]&0xf)*4, int(binary.BigEndian.Uint16(ip[2:]))
	fragment := binary.BigEndian.Uint16(ip[6:]) & 0x3fff // more-fragments bit and offset
	switch {
	case ip[0]>>4 != 4 || ip[9] != protocolTCP || fragment != 0:
		return nil, errNotSYN
	case ipBytes < ipv4MinBytes || total > len(ip) || total < ipBytes+tcpMinBytes:
		return nil, errCut
	case checksum(0, ip[:ipBytes]) != 0:
		return nil, errChecksum
	}
	s.packet, s.ipBytes, s.ttl = ip[:total], ipBytes, ip[8] // what follows is Ethernet padding
	return ip[12:20], nil
}

// readIPv6 is readIPv4 for IPv6. Probes have no extension headers, and the
// population does not look behind any.
func (s *syn) readIPv6(ip []byte) (addresses []byte, err error) {
	if len(ip) < ipv6Bytes+tcpMinBytes || ip[0]>>4 != 6 || ip[6] != protocolTCP {
		return nil, errNotSYN
	}
	payload := int(binary.BigEndian.Uint16(ip[4:]))
	if payload > len(ip)-ipv6Bytes || payload < tcpMinBytes {
		return nil, errCut
	}
	s.packet, s.ipBytes, s.ttl = ip[:ipv6Bytes+payload], ipv6Bytes, ip[7]
	return ip[8:40], nil
}

func (s *syn) readOptions(options []byte) {
	for len(options) > 0 && options[0] != optionEnd {
		if options[0] == optionNOP {
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			break
		}
		option := options[:options[1]]
		options = options[options[1]:]
		switch {
		case option[0] == optionWScale && len(option) == 3:
			s.wscale = true
		case option[0] == optionSACK && len(option) == 2:
			s.sack = true
		case option[0] == optionTimestamp && len(option) == 10:
			s.timestamp, s.tsval = true, binary.BigEndian.Uint32(option[2:])
		case option[0] == optionMPTCP && len(option) >= 3 && s.mptcp == nil:
			s.mptcp = option
		case option[0] == optionExperimental && s.experimental == nil:
			s.experimental = option
		}
	}
	s.probe = s.probeKind()
}

// probeKind: MP_CAPABLE decides, since a SYN that has it may carry the canary too.
func (s *syn) probeKind() scenario.Probe {
	if s.mptcp != nil && s.mptcp[2]>>4 == subtypeCapable {
		switch version := s.mptcp[2] & 0xf; {
		case version == 0 && len(s.mptcp) == capableV0Bytes:
			return scenario.V0
		case version == 1 && len(s.mptcp) == capableV1Bytes:
			return scenario.V1
		}
	}
	if len(s.experimental) == canaryBytes && binary.BigEndian.Uint16(s.experimental[2:]) == canaryExID {
		return scenario.Canary
	}
	return scenario.Plain
}

// pseudoHeader sums what the checksums of TCP and ICMPv6 cover of the IP header
// (RFC 9293 §3.1, RFC 8200 §8.1): both addresses, the protocol, the length of
// what follows. Zero bytes aside, it is the same for both families.
func pseudoHeader(addresses []byte, protocol byte, length int) uint32 {
	sum := uint32(protocol) + uint32(length)
	for i := 0; i < len(addresses); i += 2 {
		sum += uint32(addresses[i])<<8 | uint32(addresses[i+1])
	}
	return sum
}

// checksum is RFC 1071's: zero over data that holds its right checksum.
func checksum(sum uint32, data []byte) uint16 {
	for ; len(data) >= 2; data = data[2:] {
		sum += uint32(data[0])<<8 | uint32(data[1])
	}
	if len(data) == 1 {
		sum += uint32(data[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
