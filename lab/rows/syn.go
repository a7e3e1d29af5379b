package rows

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// SYN is a probe as the module sends it: with the options of a Linux client, then MP_CAPABLE.
type SYN struct {
	Source, Target         netip.Addr
	SourcePort, TargetPort uint16
	Seq                    uint32
	TSValue                uint32
	HopLimit               uint8  // or TTL
	Label                  uint32 // IPv4 identification (16 bits) or IPv6 flow label (20 bits)
	Probe                  string // V0, V1 or Plain
	Key                    uint64 // of V0
}

// Flags of the MP_CAPABLE that the module sends, and an Apple or Linux host answers with: RFC 6824 §3.1,
// RFC 8684 §3.1.
const (
	flagsV0 = 0x81
	flagsV1 = 0x01
)

// Lengths of headers: RFC 791 §3.1, RFC 8200 §3, RFC 9293 §3.1.
const (
	ipv4Bytes = 20
	ipv6Bytes = 40
	tcpBytes  = 20
)

// AppendTo adds the SYN, from its IP header on.
func (s *SYN) AppendTo(b []byte) []byte {
	start := len(b)
	if s.Target.Is4() { // RFC 791 §3.1
		b = append(b, 0x45, 0, 0, 0, byte(s.Label>>8), byte(s.Label), 0x40, 0, s.HopLimit, 6, 0, 0)
		source, target := s.Source.As4(), s.Target.As4()
		b = append(append(b, source[:]...), target[:]...)
	} else { // RFC 8200 §3
		b = append(b, 0x60, byte(s.Label>>16&0xf), byte(s.Label>>8), byte(s.Label), 0, 0, 6, s.HopLimit)
		source, target := s.Source.As16(), s.Target.As16()
		b = append(append(b, source[:]...), target[:]...)
	}
	tcp := len(b)
	b = s.appendTCP(b)

	ip, segment := b[start:tcp], b[tcp:]
	addresses := ip[ipv6Bytes-32:]
	if s.Target.Is4() {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(segment)))
		binary.BigEndian.PutUint16(ip[10:], checksum(0, ip))
		addresses = ip[ipv4Bytes-8:]
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(segment)))
	}
	pseudo := uint32(6+len(segment)) + wordSum(addresses)
	binary.BigEndian.PutUint16(segment[16:], checksum(pseudo, segment))
	return b
}

// appendTCP adds the TCP header, without its checksum: RFC 9293 §3.1.
func (s *SYN) appendTCP(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, s.SourcePort)
	b = binary.BigEndian.AppendUint16(b, s.TargetPort)
	b = binary.BigEndian.AppendUint32(b, s.Seq)
	b = append(b, 0, 0, 0, 0, 0, 2)
	b = binary.BigEndian.AppendUint16(b, 64240)
	b = append(b, 0, 0, 0, 0)
	b = appendOurOptions(b, s.Target, s.TSValue)
	switch s.Probe {
	case V0:
		b = appendCapable(b, &MPTCP{Length: 12, Flags: flagsV0, HasKey: true, Key: s.Key})
	case V1:
		b = appendCapable(b, &MPTCP{Length: 4, Version: 1, Flags: flagsV1})
	}
	b[start+12] = byte(len(b)-start) / 4 << 4
	return b
}

// appendOurOptions adds what the module's SYN has, but for MP_CAPABLE: the options of a Linux client.
func appendOurOptions(options []byte, target netip.Addr, tsValue uint32) []byte {
	values := optionValues{mss: 1460, scale: 10, tsValue: tsValue}
	if target.Is6() {
		values.mss -= headerGap
	}
	for _, name := range []string{"mss", "sok", "ts", "nop", "ws"} {
		options = appendOption(options, name, &values)
	}
	return options
}

// appendCapable adds a legal MP_CAPABLE: RFC 6824 §3.1, RFC 8684 §3.1.
func appendCapable(options []byte, m *MPTCP) []byte {
	options = append(options, 30, m.Length, m.Version, m.Flags)
	if m.HasKey {
		options = binary.BigEndian.AppendUint64(options, m.Key)
	}
	return options
}

// Weight16 is a key with 16 bits set, as the module sends to each target its own.
func Weight16(random *rand.Rand) (key uint64) {
	const positionBits = 6
	for weight := 0; ; {
		bits := random.Uint64()
		for range 64 / positionBits {
			bit := uint64(1) << (bits % 64)
			bits >>= positionBits
			if key&bit != 0 {
				continue
			}
			key |= bit
			if weight++; weight == 16 {
				return key
			}
		}
	}
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
