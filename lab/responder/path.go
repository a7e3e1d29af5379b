package responder

import (
	"encoding/binary"
	"slices"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// AnswerOnPath appends to reply the Ethernet frame that comes back to the SYN in frame on the way to its
// target, one of behaviour b: from a router, a box or the target itself. It says how many times that is
// sent. The error says why a frame is no SYN to answer.
func (p *Population) AnswerOnPath(reply, frame []byte, b scenario.Behaviour) ([]byte, int, error) {
	s, err := parseSYN(frame)
	if err != nil {
		return nil, 0, err
	}
	reply, copies, _ := p.answer(reply, &s, b)
	return reply, copies, nil
}

// answer appends to frame the packet that comes back, and says how many times it is sent: zero where
// nothing comes. exceeded tells that it is a router's Time Exceeded.
//
// A box that answers in the target's place says what its behaviour says, so only for a SYN that would not
// arrive it matters where the box stands.
func (p *Population) answer(frame []byte, s *syn, b scenario.Behaviour) (_ []byte, copies int, exceeded bool) {
	path := p.scenario.PathTo(s.target, s.targetPort, b)
	ttl := int(s.ttl)
	behindBox := ttl > path.BoxHop
	switch {
	case path.Box == scenario.TTLBox && behindBox && ttl-path.BoxHop < scenario.GuardTTL:
		return frame, 0, false
	case ttl > path.Hops:
		arrived := *s
		if path.Box == scenario.StripOtherBox {
			arrived.lose(lostOption(path))
		}
		frame, copies = p.answerAs(b, frame, &arrived)
		return frame, copies, false
	case behindBox && p.keeps(path.Box, b, s):
		frame, copies = p.answerAs(b, frame, s)
		return frame, copies, false
	}
	router := path.Router(ttl)
	if router.Quote == scenario.QuoteNone || router.Quote == scenario.QuoteLimited && p.random.Uint64()&1 == 0 {
		return frame, 0, false
	}
	if router.Other.IsValid() && p.random.Uint64()&1 == 0 {
		router.Addr = router.Other
	}
	return appendExceeded(frame, s, path, router), 1, true
}

// keeps tells whether a SYN ends at a box, which answers or drops it.
func (p *Population) keeps(box scenario.Box, b scenario.Behaviour, s *syn) bool {
	switch box {
	case scenario.DropBox:
		return drops(b, s)
	case scenario.ResetBox:
		return s.mptcp != nil
	case scenario.MirrorBox, scenario.KeyBox:
		return s.probe != scenario.Canary && b.Verdict(s.probe) != scenario.NoMPTCP || p.experiment(b, s) != nil
	}
	return false
}

// lose forgets an option that was taken out of the SYN.
func (s *syn) lose(kind byte) {
	switch kind {
	case optionTimestamp:
		s.timestamp = false
	case optionSACK:
		s.sack = false
	}
}

// lostOption is what a box of kind strip-other takes out.
func lostOption(path scenario.Path) byte {
	if path.Variant&1 == 0 {
		return optionTimestamp
	}
	return optionSACK
}

const (
	extendedQuoteBytes = 128 // RFC 4884 §5.1, §5.2: the quote is padded to that
	icmpTimeExceeded   = 11  // RFC 792
	icmp6TimeExceeded  = 3   // RFC 4443 §3.3
)

// appendExceeded answers that the TTL of s ended at a router of its path.
func appendExceeded(frame []byte, s *syn, path scenario.Path, router scenario.Router) []byte {
	start := len(frame)
	kind, protocol := byte(icmpTimeExceeded), byte(protocolICMP)
	if router.Addr.Is6() {
		kind, protocol = icmp6TimeExceeded, protocolICMPv6
	}
	// The way back may be longer than the way there.
	frame = appendIP(frame, s, router.Addr, path.Variant, 255-s.ttl-byte(path.Variant>>8&3), protocol)
	icmp := len(frame)
	frame = append(frame, kind, 0, 0, 0, 0, 0, 0, 0)
	quoteStart := len(frame)
	frame = append(frame, s.packet...)
	frame = frame[:quoteStart+len(expired(frame[quoteStart:], s, path))]
	switch router.Quote {
	case scenario.QuoteEight:
		frame = frame[:quoteStart+s.ipBytes+quotedTCP]
	case scenario.QuoteExtended:
		frame = appendExtension(frame, icmp, router.Addr.Is4())
	default:
		room := icmpMaxBytes
		if router.Addr.Is6() {
			room = icmp6MaxBytes
		}
		frame = frame[:min(len(frame), icmp+room)]
	}
	finish(frame[start:], len(frame)-icmp)
	return frame
}

// appendExtension pads or cuts the quote of the ICMP message at icmp and appends an MPLS label. The quote's
// length stands in the header: in words of 4 bytes in the sixth byte for IPv4, of 8 bytes in the fifth for
// IPv6 (RFC 4884 §4.2, §4.4).
func appendExtension(frame []byte, icmp int, ipv4 bool) []byte {
	quoteStart := icmp + icmpBytes
	frame = frame[:min(len(frame), quoteStart+extendedQuoteBytes)]
	for len(frame) < quoteStart+extendedQuoteBytes {
		frame = append(frame, 0)
	}
	if ipv4 {
		frame[icmp+5] = extendedQuoteBytes / 4
	} else {
		frame[icmp+4] = extendedQuoteBytes / 8
	}
	extension := len(frame)
	frame = append(frame,
		2<<4, 0, 0, 0, // version 2, checksum (RFC 4884 §7)
		0, 8, 1, 1, // object of 8 bytes: MPLS label stack (RFC 4950 §3)
		0x01, 0x2c, 0x01, 1) // label 4800, bottom of the stack, TTL 1
	binary.BigEndian.PutUint16(frame[extension+2:], checksum(0, frame[extension:]))
	return frame
}

// expired turns packet, a copy of the one in s, into what arrives at the router where its TTL ends: changed
// by a box before it. Odd routers quote the TTL as it arrived, even ones as they lowered it.
func expired(packet []byte, s *syn, path scenario.Path) []byte {
	if int(s.ttl) > path.BoxHop {
		packet = change(packet, s.ipBytes, path)
	}
	left := s.ttl & 1
	if s.target.Is4() {
		packet[8] = left
	} else {
		packet[7] = left
	}
	renew(packet, s.ipBytes)
	return packet
}

// change does to a SYN what the box on its path does. Checksums and lengths are not mended.
func change(packet []byte, ipBytes int, path scenario.Path) []byte {
	tcp := packet[ipBytes:]
	switch random := path.Variant; path.Box {
	case scenario.StripBox:
		return remove(packet, ipBytes, optionMPTCP, random&1 == 0)
	case scenario.StripCanaryBox:
		return remove(packet, ipBytes, optionExperimental, random&1 == 0)
	case scenario.StripOtherBox:
		return remove(packet, ipBytes, lostOption(path), true)
	case scenario.RewriteBox:
		rewrite(findOption(tcp, optionMPTCP), random)
	case scenario.MSSBox:
		if option := findOption(tcp, optionMSS); len(option) == 4 {
			binary.BigEndian.PutUint16(option[2:], uint16(1000+random%400)) // below what any probe says
		}
	case scenario.SeqBox:
		binary.BigEndian.PutUint32(tcp[4:], binary.BigEndian.Uint32(tcp[4:])+uint32(random)|1)
	case scenario.NATBox:
		address := path.Router(max(path.BoxHop, 1)).Addr.AsSlice() // masquerading, as the router before it
		if packet[0]>>4 == 4 {
			copy(packet[12:], address)
		} else {
			copy(packet[8:], address)
		}
		binary.BigEndian.PutUint16(tcp, uint16(1024+random%31000)) // below a scanner's ports
	}
	return packet
}

// rewrite changes version, flag A or key of an MP_CAPABLE.
func rewrite(capable []byte, random uint64) {
	switch {
	case len(capable) < capableV1Bytes:
	case random%3 == 0:
		capable[2] ^= 3 // version 0 becomes 3, version 1 becomes 2
	case random%3 == 1 && len(capable) == capableV0Bytes:
		for i := range capable[4:] {
			capable[4+i] ^= byte(random>>8) | 1
		}
	default:
		capable[3] ^= 0x80
	}
}

// remove takes the first option of a kind out of a packet, or overwrites it with NOPs: as told, and where
// the header would not end on a word without it.
func remove(packet []byte, ipBytes int, kind byte, overwrite bool) []byte {
	tcp := packet[ipBytes:]
	option := findOption(tcp, kind)
	if option == nil {
		return packet
	}
	if overwrite || len(option)%4 != 0 {
		for i := range option {
			option[i] = optionNOP
		}
		return packet
	}
	n := len(option)
	at := len(packet) - cap(option)
	tcp[12] -= byte(n/4) << 4
	return slices.Delete(packet, at, at+n)
}

// findOption is the first whole option of a kind in a TCP header, nil without. Its capacity ends where tcp
// ends.
func findOption(tcp []byte, kind byte) []byte {
	tcp = tcp[:len(tcp):len(tcp)]
	rest := tcp[tcpMinBytes : int(tcp[12]>>4)*4]
	for len(rest) > 0 && rest[0] != optionEnd {
		if rest[0] == optionNOP {
			rest = rest[1:]
			continue
		}
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			break
		}
		if rest[0] == kind {
			return rest[:rest[1]]
		}
		rest = rest[rest[1]:]
	}
	return nil
}

// renew mends length and checksums of a TCP packet after a change.
func renew(packet []byte, ipBytes int) {
	tcp := packet[ipBytes:]
	addresses := packet[8:40]
	if packet[0]>>4 == 4 {
		addresses = packet[12:20]
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
		packet[10], packet[11] = 0, 0
		binary.BigEndian.PutUint16(packet[10:], checksum(0, packet[:ipBytes]))
	} else {
		binary.BigEndian.PutUint16(packet[4:], uint16(len(tcp)))
	}
	tcp[16], tcp[17] = 0, 0
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudoHeader(addresses, protocolTCP, len(tcp)), tcp))
}
