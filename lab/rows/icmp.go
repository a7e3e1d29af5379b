package rows

import (
	"encoding/binary"
	"net/netip"
)

// quoteRoom is the length of our longest SYN: IPv6 and TCP header, the options of a Linux client, and an
// MP_CAPABLE with a key.
const quoteRoom = 40 + 20 + 20 + 12

// leastQuote is what a router must quote beyond the IP header: RFC 792.
const leastQuote = 8

// Types and codes that answer a SYN: RFC 792, RFC 1812 §5.2.7.1, RFC 4443 §3.1 and §3.3.
var (
	errorsIPv4 = [][2]uint8{{3, 1}, {3, 1}, {3, 1}, {3, 0}, {3, 3}, {3, 10}, {3, 13}, {3, 13}, {11, 0}}
	errorsIPv6 = [][2]uint8{{1, 0}, {1, 1}, {1, 3}, {1, 3}, {1, 4}, {3, 0}}
)

// fillICMP makes r the message of a router on the way to the target.
func (s *scan) fillICMP(r *reply) {
	errors := errorsIPv4
	if s.params.Family == IPv6 {
		errors = errorsIPv6
	}
	code := pick(s.random, errors)
	r.icmpType, r.icmpCode = code[0], code[1]
	r.ttl = []uint8{64, 255}[s.random.UintN(2)] - s.hops()
	r.ipid = uint16(s.random.Uint32())
	r.responder = s.router(r.target)

	packet := s.appendSYN(r.quote[:0], r)
	r.quoteLength = len(packet)
	if s.params.Family == IPv4 && s.random.UintN(4) == 0 {
		r.quoteLength = 20 + leastQuote
	}
}

// router is an address in the target's neighbourhood.
func (s *scan) router(target netip.Addr) netip.Addr {
	bytes := target.AsSlice()
	bytes[len(bytes)-1] = byte(1 + s.random.UintN(4))
	router, _ := netip.AddrFromSlice(bytes)
	return router
}

// appendSYN adds our SYN as the router got it.
func (s *scan) appendSYN(b []byte, r *reply) []byte {
	var options []byte
	options = s.appendOurOptions(options)
	if s.params.Probe == V0 {
		options = appendCapable(options, &mptcp{length: 12, flags: flagsV0, hasKey: true, key: r.sentKey})
	} else {
		options = appendCapable(options, &mptcp{length: 4, version: 1, flags: flagsV1})
	}
	tcp := 20 + len(options)
	hopsLeft := 1 + byte(s.random.UintN(50))
	if s.params.Family == IPv4 { // RFC 791 §3.1
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(20+tcp))
		b = append(b, 0, 0, 0x40, 0, hopsLeft, 6, 0, 0)
		b = append(append(b, s.scanner.AsSlice()...), r.target.AsSlice()...)
		binary.BigEndian.PutUint16(b[10:], checksum(0, b))
	} else { // RFC 8200 §3
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(tcp))
		b = append(b, 6, hopsLeft)
		b = append(append(b, s.scanner.AsSlice()...), r.target.AsSlice()...)
	}
	return s.appendTCP(b, r, options)
}

// appendTCP adds the TCP header of our SYN to its IP header: RFC 9293 §3.1.
func (s *scan) appendTCP(b []byte, r *reply, options []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, r.ourPort)
	b = binary.BigEndian.AppendUint16(b, s.params.Port)
	b = binary.BigEndian.AppendUint32(b, r.ack-1)
	b = append(b, 0, 0, 0, 0, byte(20+len(options))/4<<4, 2)
	b = binary.BigEndian.AppendUint16(b, 64240)
	b = append(b, 0, 0, 0, 0)
	b = append(b, options...)
	addresses := append(s.scanner.AsSlice(), r.target.AsSlice()...)
	pseudo := uint32(6+len(b)-start) + wordSum(addresses)
	binary.BigEndian.PutUint16(b[start+16:], checksum(pseudo, b[start:]))
	return b
}

// checksum is that of RFC 1071, over bytes of an even number.
func checksum(sum uint32, bytes []byte) uint16 {
	sum += wordSum(bytes)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func wordSum(bytes []byte) (sum uint32) {
	for i := 0; i < len(bytes); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(bytes[i:]))
	}
	return sum
}
