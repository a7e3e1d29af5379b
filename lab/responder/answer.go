package responder

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// population answers SYNs as the scenario's targets would. It keeps no state
// of connections, only the generator that keys and sequence numbers come from.
type population struct {
	scenario *scenario.Scenario
	random   *rand.Rand
	constant uint64 // the key that all constant-key hosts share
	counter  uint64 // the last key of the low-entropy hosts that count
	start    time.Time
}

func newPopulation(s *scenario.Scenario) *population {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], s.Seed)
	random := rand.New(rand.NewChaCha8(seed))
	return &population{scenario: s, random: random, constant: random.Uint64(), start: time.Now()}
}

// answer appends to frame the packet that the target sends back, and says how
// many times it sends it: zero for a target that stays silent.
func (p *population) answer(frame []byte, s *syn) ([]byte, int) {
	b := p.scenario.Behaviour(s.target, s.targetPort)
	copies := p.scenario.Replies(s.target, s.targetPort)
	traits := p.scenario.Traits(s.target, s.targetPort)
	switch {
	case copies == 0:
		return frame, 0
	case b == scenario.RST:
		return appendRST(frame, s, traits), copies
	case b == scenario.ICMP:
		return appendUnreachable(frame, s, traits), copies
	}
	return p.appendSYNACK(frame, s, traits, p.option(b, s, traits)), copies
}

// option is the MPTCP option of the target's SYN-ACK, nil without. It may be
// malformed on purpose.
func (p *population) option(b scenario.Behaviour, s *syn, traits uint64) []byte {
	echoes := slices.Contains([]scenario.Behaviour{
		scenario.Mirror, scenario.TamperBits, scenario.TamperByte, scenario.TamperHalf, scenario.TamperSwap,
	}, b)
	switch {
	case echoes && s.probe == scenario.V0:
		option := slices.Clone(s.mptcp)
		p.tamper(b, option[4:])
		return option
	case echoes:
		return s.mptcp // nothing in it to tamper with
	case s.probe == scenario.Plain:
		return nil
	}

	version := byte(0)
	if s.probe == scenario.V1 {
		version = 1
	}
	switch b {
	case scenario.TrueV0:
		if s.probe == scenario.V0 {
			return capable(0, traits, p.key())
		}
	case scenario.TrueV1, scenario.Duplicate:
		if s.probe == scenario.V1 {
			return capable(1, traits, p.key())
		}
	case scenario.ConstantKey:
		return capable(version, traits, p.constant)
	case scenario.LowEntropy:
		return capable(version, traits, p.lowEntropyKey(traits))
	case scenario.ZeroKey:
		return capable(version, traits, 0)
	case scenario.WrongVersion:
		return capable(version+1, traits, p.key())
	case scenario.MalformedLength:
		option := append(capable(version, traits, p.key()), 0, 0, 0, 0)
		option[1] = []byte{8, 10, 16}[traits%3]
		return option[:option[1]]
	case scenario.MalformedShort:
		return capable(version, traits, 0)[:4]
	case scenario.MalformedZero:
		option := capable(version, traits, p.key())
		option[1] = 0
		return option
	case scenario.OtherSubtype:
		if traits&1 == 0 {
			return []byte{optionMPTCP, 3, subtypePrio << 4} // RFC 8684 §3.3.8
		}
		// ADD_ADDR, echo flag set, for address 1: the one form that is
		// well-formed at 8 bytes (RFC 8684 §3.4.1).
		a := s.target.As4()
		return []byte{optionMPTCP, 8, subtypeAddAddr<<4 | 1, 1, a[0], a[1], a[2], a[3]}
	}
	return nil
}

// capable is the MP_CAPABLE of a SYN-ACK, 12 bytes in both versions (RFC 6824
// and RFC 8684, figure 4 of each). Flag H says HMAC with SHA; one host in eight
// also asks for DSS checksums (flag A), as kernels can be configured to.
func capable(version byte, traits, key uint64) []byte {
	flags := byte(0x01)
	if traits>>8&7 == 0 {
		flags |= 0x80
	}
	return binary.BigEndian.AppendUint64([]byte{optionMPTCP, 12, subtypeCapable<<4 | version, flags}, key)
}

// key is random, and not zero: real stacks draw again.
func (p *population) key() uint64 {
	for {
		if key := p.random.Uint64(); key != 0 {
			return key
		}
	}
}

func (p *population) lowEntropyKey(traits uint64) uint64 {
	value := 1 + p.random.Uint64N(255)
	switch traits % 3 {
	case 0:
		return value << (8 * p.random.IntN(8))
	case 1:
		return value * 0x0101010101010101
	}
	p.counter++
	return p.counter
}

// tamper changes the 8 bytes of an echoed key. Where our key is symmetric, a
// swap leaves it as it was.
func (p *population) tamper(b scenario.Behaviour, key []byte) {
	value := binary.BigEndian.Uint64(key)
	switch b {
	case scenario.TamperBits:
		for _, bit := range p.random.Perm(64)[:1+p.random.IntN(4)] {
			value ^= 1 << bit
		}
	case scenario.TamperByte:
		value ^= (1 + p.random.Uint64N(255)) << (8 * p.random.IntN(8))
	case scenario.TamperHalf:
		// The xor is not zero, so at least one bit of the lost half changes.
		value ^= (1 + p.random.Uint64N(1<<32-1)) << (32 * p.random.IntN(2))
	case scenario.TamperSwap:
		if p.random.IntN(2) == 0 {
			value = bits.ReverseBytes64(value)
		} else {
			value = bits.RotateLeft64(value, 32)
		}
	}
	binary.BigEndian.PutUint64(key, value)
}

// stack is how an operating system dresses its SYN-ACK.
type stack struct {
	ttl    byte
	window uint16
	wscale byte
	// layout is the order of the options; those that the SYN did not offer
	// are left out with their padding.
	layout []byte
}

// In the manner of Linux, FreeBSD and Windows.
var stacks = []stack{
	{64, 65160, 7, []byte{optionMSS, optionSACK, optionTimestamp, optionWScale}},
	{64, 65535, 6, []byte{optionMSS, optionWScale, optionSACK, optionTimestamp}},
	{128, 65535, 8, []byte{optionMSS, optionWScale, optionSACK, optionTimestamp}},
}

func (p *population) appendSYNACK(frame []byte, s *syn, traits uint64, mptcp []byte) []byte {
	stack := stacks[traits>>16%uint64(len(stacks))]
	start := len(frame)
	frame = appendIPv4(frame, s, s.target, stack.ttl-hops(traits), protocolTCP)
	tcp := len(frame)
	frame = binary.BigEndian.AppendUint16(frame, s.targetPort)
	frame = binary.BigEndian.AppendUint16(frame, s.sourcePort)
	frame = binary.BigEndian.AppendUint32(frame, p.random.Uint32())
	frame = binary.BigEndian.AppendUint32(frame, s.seq+1)
	frame = append(frame, 0, flagSYN|flagACK) // data offset: below
	frame = binary.BigEndian.AppendUint16(frame, stack.window)
	frame = append(frame, 0, 0, 0, 0) // checksum: below; urgent pointer

	for _, kind := range stack.layout {
		switch {
		case kind == optionMSS:
			frame = append(frame, optionMSS, 4, 1460>>8, 1460&0xff)
		case kind == optionWScale && s.wscale:
			frame = append(frame, optionNOP, optionWScale, 3, stack.wscale)
		case kind == optionSACK && s.sack && s.timestamp:
			frame = append(frame, optionSACK, 2) // timestamps complete the word
		case kind == optionSACK && s.sack:
			frame = append(frame, optionNOP, optionNOP, optionSACK, 2)
		case kind == optionTimestamp && s.timestamp:
			if !s.sack {
				frame = append(frame, optionNOP, optionNOP)
			}
			frame = append(frame, optionTimestamp, 10)
			now := uint32(traits>>32) + uint32(time.Since(p.start).Milliseconds())
			frame = binary.BigEndian.AppendUint32(frame, now)
			frame = binary.BigEndian.AppendUint32(frame, s.tsval)
		}
	}
	// Whatever stands before is whole words, so an option of 4 bytes ends the
	// header: a length that runs past its end does so here.
	if len(frame)-tcp+len(mptcp) <= tcpMaxBytes { // an echo may be longer than what is left
		frame = append(frame, mptcp...)
	}
	for (len(frame)-tcp)%4 != 0 {
		frame = append(frame, optionEnd)
	}
	frame[tcp+12] = byte((len(frame)-tcp)/4) << 4
	finishTCP(frame[start:], len(frame)-tcp)
	return frame
}

// appendRST answers as a closed port does (RFC 9293 §3.5.2).
func appendRST(frame []byte, s *syn, traits uint64) []byte {
	start := len(frame)
	frame = appendIPv4(frame, s, s.target, 64-hops(traits), protocolTCP)
	frame = binary.BigEndian.AppendUint16(frame, s.targetPort)
	frame = binary.BigEndian.AppendUint16(frame, s.sourcePort)
	frame = binary.BigEndian.AppendUint32(frame, 0)
	frame = binary.BigEndian.AppendUint32(frame, s.seq+1)
	frame = append(frame, tcpMinBytes/4<<4, flagRST|flagACK, 0, 0, 0, 0, 0, 0)
	finishTCP(frame[start:], tcpMinBytes)
	return frame
}

// appendUnreachable answers destination unreachable (RFC 792): port (3) from
// the target itself, host (1) and administratively prohibited (13, RFC 1812
// §5.2.7.1) from the first address of its /24, as its router would.
func appendUnreachable(frame []byte, s *syn, traits uint64) []byte {
	code := []byte{1, 3, 13}[traits%3]
	from, quoted := s.target, s.packet
	if code != 3 {
		a := s.target.As4()
		a[3] = 1
		from = netip.AddrFrom4(a)
	}
	if traits>>8&1 == 0 {
		quoted = quoted[:s.ipBytes+8] // all that RFC 792 asks for
	}
	quoted = quoted[:min(len(quoted), quoteMaxBytes)]
	start := len(frame)
	frame = appendIPv4(frame, s, from, 255-hops(traits), protocolICMP)
	icmp := len(frame)
	frame = append(frame, 3, code, 0, 0, 0, 0, 0, 0)
	frame = append(frame, quoted...)
	binary.BigEndian.PutUint16(frame[icmp+2:], checksum(0, frame[icmp:]))
	finishIPv4(frame[start:])
	return frame
}

// hops is how far the target seems to be away.
func hops(traits uint64) byte { return 5 + byte(traits>>24%20) }

// appendIPv4 appends the Ethernet and IP headers of a reply to s; finishIPv4
// fills in the length and checksum.
func appendIPv4(frame []byte, s *syn, from netip.Addr, ttl, protocol byte) []byte {
	frame = append(frame, s.ether[6:12]...)
	frame = append(frame, s.ether[0:6]...)
	frame = binary.BigEndian.AppendUint16(frame, etherTypeIPv4)
	frame = append(frame, 0x45, 0, 0, 0, 0, 0, 0x40, 0, ttl, protocol, 0, 0) // don't fragment
	frame = append(frame, from.AsSlice()...)
	return append(frame, s.source.AsSlice()...)
}

func finishIPv4(frame []byte) {
	ip := frame[etherBytes:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[10:], checksum(0, ip[:ipMinBytes]))
}

func finishTCP(frame []byte, tcpBytes int) {
	finishIPv4(frame)
	ip, tcp := frame[etherBytes:], frame[len(frame)-tcpBytes:]
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudoHeader(ip[12:20], tcpBytes), tcp))
}
