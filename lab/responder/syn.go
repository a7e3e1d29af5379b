package responder

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

const (
	etherBytes      = 14
	ipMinBytes      = 20 // RFC 791 §3.1
	tcpMinBytes     = 20 // RFC 9293 §3.1
	tcpMaxBytes     = 60
	quoteMaxBytes   = 576 - 28 // RFC 1812 §4.3.2.3: the message stays within 576
	etherTypeIPv4   = 0x0800
	protocolICMP    = 1
	protocolTCP     = 6
	flagSYN         = 0x02
	flagRST         = 0x04
	flagACK         = 0x10
	optionEnd       = 0
	optionNOP       = 1
	optionMSS       = 2
	optionWScale    = 3
	optionSACK      = 4
	optionTimestamp = 8
	optionMPTCP     = 30 // RFC 8684 §3

	subtypeCapable = 0
	subtypeAddAddr = 3
	subtypePrio    = 5

	capableV0Bytes = 12 // RFC 6824 §3.1: with the sender's key
	capableV1Bytes = 4  // RFC 8684 §3.1: a SYN carries no key
)

// Why a frame is not answered.
var (
	errNotSYN   = errors.New("not a SYN over IPv4")
	errCut      = errors.New("frame shorter than its headers say")
	errChecksum = errors.New("checksum is wrong")
)

// syn is a probe as it arrived. Its slices point into the frame.
type syn struct {
	ether      []byte // destination and source MAC, EtherType
	packet     []byte // from the IP header to the end of the datagram
	ipBytes    int    // length of the IP header
	source     netip.Addr
	target     netip.Addr
	sourcePort uint16
	targetPort uint16
	seq        uint32

	wscale, sack, timestamp bool
	tsval                   uint32
	mptcp                   []byte // the first MPTCP option, whole; nil without
	probe                   scenario.Probe
}

// parseSYN reads a probe. Like a real host it drops what has a wrong checksum,
// and reads options up to the first one that makes no sense.
func parseSYN(frame []byte) (syn, error) {
	if len(frame) < etherBytes+ipMinBytes+tcpMinBytes || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv4 {
		return syn{}, errNotSYN
	}
	ip := frame[etherBytes:]
	ipBytes, total := int(ip[0]&0xf)*4, int(binary.BigEndian.Uint16(ip[2:]))
	fragment := binary.BigEndian.Uint16(ip[6:]) & 0x3fff // more-fragments bit and offset
	if ip[0]>>4 != 4 || ip[9] != protocolTCP || fragment != 0 {
		return syn{}, errNotSYN
	}
	if ipBytes < ipMinBytes || total > len(ip) || total < ipBytes+tcpMinBytes {
		return syn{}, errCut
	}
	ip = ip[:total] // what follows is Ethernet padding
	tcp := ip[ipBytes:]
	tcpBytes := int(tcp[12]>>4) * 4
	if tcp[13]&(flagSYN|flagACK|flagRST) != flagSYN {
		return syn{}, errNotSYN
	}
	if tcpBytes < tcpMinBytes || tcpBytes > len(tcp) {
		return syn{}, errCut
	}
	if checksum(0, ip[:ipBytes]) != 0 || checksum(pseudoHeader(ip[12:20], len(tcp)), tcp) != 0 {
		return syn{}, errChecksum
	}
	s := syn{
		ether:      frame[:etherBytes],
		packet:     ip,
		ipBytes:    ipBytes,
		source:     netip.AddrFrom4([4]byte(ip[12:16])),
		target:     netip.AddrFrom4([4]byte(ip[16:20])),
		sourcePort: binary.BigEndian.Uint16(tcp),
		targetPort: binary.BigEndian.Uint16(tcp[2:]),
		seq:        binary.BigEndian.Uint32(tcp[4:]),
	}
	s.readOptions(tcp[tcpMinBytes:tcpBytes])
	return s, nil
}

func (s *syn) readOptions(options []byte) {
	for len(options) > 0 && options[0] != optionEnd {
		if options[0] == optionNOP {
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return
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
			s.probe = probeOf(option)
		}
	}
}

func probeOf(option []byte) scenario.Probe {
	subtype, version := option[2]>>4, option[2]&0xf
	switch {
	case subtype == subtypeCapable && version == 0 && len(option) == capableV0Bytes:
		return scenario.V0
	case subtype == subtypeCapable && version == 1 && len(option) == capableV1Bytes:
		return scenario.V1
	}
	return scenario.Plain
}

// pseudoHeader sums what TCP's checksum covers of the IP header (RFC 9293
// §3.1): both addresses, the protocol, the segment's length.
func pseudoHeader(addresses []byte, tcpBytes int) uint32 {
	sum := uint32(protocolTCP + tcpBytes)
	for i := 0; i < 8; i += 2 {
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
