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

// Population answers SYNs as the scenario's targets would. It keeps no state
// of connections, only the generator that keys and sequence numbers come from.
type Population struct {
	scenario *scenario.Scenario
	random   *rand.Rand
	clock    func() time.Duration // of the hosts' timestamps

	// The seed's, so the same in every run.
	constant  uint64 // the key that all constant-key hosts share
	half      uint32 // what the keys of all constant-half hosts share …
	halfShift int    // … and where in them: 32 is the first half
	static    uint64 // with a target's traits it determines a static key

	small uint64 // the last key of the low-entropy hosts that count
	count uint64 // the last key of the counter-key hosts
}

// NewPopulation makes the hosts of a run. Runs of one scenario differ in what
// hosts draw at random, as a host draws other keys after it was started again.
func NewPopulation(s *scenario.Scenario, run uint64, clock func() time.Duration) *Population {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], s.Seed)
	fixed := rand.New(rand.NewChaCha8(seed))
	binary.BigEndian.PutUint64(seed[8:], run)
	seed[16] = 1 // no run has the stream of what is fixed
	random := rand.New(rand.NewChaCha8(seed))
	return &Population{
		scenario:  s,
		random:    random,
		clock:     clock,
		constant:  fixed.Uint64(),
		half:      fixed.Uint32(),
		halfShift: 32 * fixed.IntN(2),
		static:    fixed.Uint64(),
		count:     random.Uint64(),
	}
}

// Answer appends to reply the Ethernet frame that a target of behaviour b sends
// back to the SYN in frame, and says how many times it sends it. The error says
// why a frame is no SYN to answer.
func (p *Population) Answer(reply, frame []byte, b scenario.Behaviour) ([]byte, int, error) {
	s, err := parseSYN(frame)
	if err != nil {
		return nil, 0, err
	}
	reply, copies := p.answerAs(b, reply, &s)
	return reply, copies, nil
}

// answerAs appends to frame the packet that the target sends back, and says how
// many times it sends it: zero for a target that stays silent.
func (p *Population) answerAs(b scenario.Behaviour, frame []byte, s *syn) ([]byte, int) {
	traits := p.scenario.Traits(s.target, s.targetPort)
	copies := b.Replies(s.probe, traits)
	switch {
	case copies == 0 || drops(b, s):
		return frame, 0
	case b == scenario.RST || b == scenario.ResetMPTCP && s.mptcp != nil:
		return appendRST(frame, s, traits), copies
	case b == scenario.ICMP && s.target.Is4():
		return appendUnreachable(frame, s, traits), copies
	case b == scenario.ICMP:
		return appendUnreachable6(frame, s, traits), copies
	}
	options := slices.Concat(p.option(b, s, traits), p.experiment(b, s))
	return p.appendSYNACK(frame, s, s.seq+1, traits, options), copies
}

// drops tells whether the target is behind something that drops the SYN for its
// options, also where they are of no kind of probe.
func drops(b scenario.Behaviour, s *syn) bool {
	switch b {
	case scenario.DropMPTCP:
		return s.mptcp != nil
	case scenario.DropUnknown:
		return s.mptcp != nil || s.experimental != nil
	}
	return false
}

// forgeries is how many forged packets a forger sends for each SYN.
const forgeries = 64

// forge calls send with SYN-ACKs that a scanner must not take for answers to s:
// they look right, but acknowledge what was not sent, go to another port of
// ours, or come from the target's neighbour. send says whether to go on.
func (p *Population) forge(s *syn, send func(frame []byte) bool) {
	traits := p.scenario.Traits(s.target, s.targetPort)
	for i := range forgeries {
		forged, ack := *s, s.seq+1
		switch i % 4 {
		case 0:
			ack ^= 1 << p.random.IntN(32)
		case 1:
			ack = p.random.Uint32()
			if ack == s.seq+1 {
				ack = s.seq
			}
		case 2: // in the upper half, as the scanner's ports are
			forged.sourcePort = 0x8000 | s.sourcePort ^ uint16(1+p.random.IntN(0x7fff))
		case 3:
			forged.target = neighbour(s.target)
		}
		options := capable(byte(i&1), traits, p.key())
		if !send(p.appendSYNACK(make([]byte, 0, frameRoom), &forged, ack, traits, options)) {
			return
		}
	}
}

// neighbour differs from a in the last bit.
func neighbour(a netip.Addr) netip.Addr {
	b := a.AsSlice()
	b[len(b)-1] ^= 1
	a, _ = netip.AddrFromSlice(b)
	return a
}

// experiment is what of option 254 the target's SYN-ACK carries.
func (p *Population) experiment(b scenario.Behaviour, s *syn) []byte {
	switch b {
	case scenario.MirrorAll, scenario.MirrorKeyed, scenario.MirrorStripped:
		return s.experimental
	case scenario.AlterCanary:
		if len(s.experimental) < canaryBytes {
			return nil
		}
		option := slices.Clone(s.experimental)
		nonce := option[4:8]
		binary.BigEndian.PutUint32(nonce, binary.BigEndian.Uint32(nonce)^(1+p.random.Uint32N(1<<32-1)))
		return option
	}
	return nil
}

// option is the MPTCP option of the target's SYN-ACK, nil without. It may be
// malformed on purpose.
func (p *Population) option(b scenario.Behaviour, s *syn, traits uint64) []byte {
	mirrors := slices.Contains([]scenario.Behaviour{
		scenario.Mirror, scenario.TamperBits, scenario.TamperByte, scenario.TamperHalf, scenario.TamperSwap,
		scenario.TamperShift,
	}, b)
	switch {
	case b == scenario.MirrorAll:
		return s.mptcp // of whatever subtype
	case s.probe != scenario.V0 && s.probe != scenario.V1:
		return nil
	case mirrors && s.probe == scenario.V0:
		option := slices.Clone(s.mptcp)
		p.tamper(b, option[4:])
		return option
	case mirrors:
		return s.mptcp // nothing in it to tamper with
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
	case scenario.MirrorKeyed:
		return capable(version, traits, p.key())
	case scenario.ConstantKey:
		return capable(version, traits, p.constant)
	case scenario.ConstantHalf:
		key := uint64(p.half)<<p.halfShift | uint64(p.random.Uint32())<<(32-p.halfShift)
		return capable(version, traits, key)
	case scenario.LowEntropy:
		return capable(version, traits, p.lowEntropyKey(traits))
	case scenario.CounterKey:
		p.count++
		return capable(version, traits, p.count)
	case scenario.BiasedKey:
		return capable(version, traits, p.random.Uint64()&p.random.Uint64())
	case scenario.StaticKey:
		return capable(version, traits, rand.NewPCG(p.static, traits).Uint64())
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
		// ADD_ADDR, echo flag set, for address 1: the form without an HMAC, 8
		// or 20 bytes (RFC 8684 §3.4.1).
		a := s.target.AsSlice()
		return append([]byte{optionMPTCP, byte(4 + len(a)), subtypeAddAddr<<4 | 1, 1}, a...)
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
func (p *Population) key() uint64 {
	for {
		if key := p.random.Uint64(); key != 0 {
			return key
		}
	}
}

func (p *Population) lowEntropyKey(traits uint64) uint64 {
	value := 1 + p.random.Uint64N(255)
	switch traits % 3 {
	case 0:
		return value << (8 * p.random.IntN(8))
	case 1:
		return value * 0x0101010101010101
	}
	p.small++
	return p.small
}

// tamper changes the 8 bytes of an echoed key. Where our key is symmetric, a
// swap leaves it as it was; where its bytes are alike, a shift may.
func (p *Population) tamper(b scenario.Behaviour, key []byte) {
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
	case scenario.TamperShift:
		shift := 8 * (1 + p.random.IntN(4))
		gap := p.random.Uint64()
		if p.random.IntN(2) == 0 {
			value = value>>shift | gap<<(64-shift)
		} else {
			value = value<<shift | gap>>(64-shift)
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

// mss is what fits into 1500 bytes beside the fixed headers (RFC 6691 §2, RFC
// 8200 §8.3).
func mss(a netip.Addr) uint16 {
	if a.Is4() {
		return 1500 - ipv4MinBytes - tcpMinBytes
	}
	return 1500 - ipv6Bytes - tcpMinBytes
}

// appendSYNACK answers s with the target's own options and then more.
func (p *Population) appendSYNACK(frame []byte, s *syn, ack uint32, traits uint64, more []byte) []byte {
	stack := stacks[traits>>16%uint64(len(stacks))]
	start := len(frame)
	frame = appendIP(frame, s, s.target, traits, stack.ttl-hops(traits), protocolTCP)
	tcp := len(frame)
	frame = binary.BigEndian.AppendUint16(frame, s.targetPort)
	frame = binary.BigEndian.AppendUint16(frame, s.sourcePort)
	frame = binary.BigEndian.AppendUint32(frame, p.random.Uint32())
	frame = binary.BigEndian.AppendUint32(frame, ack)
	frame = append(frame, 0, flagSYN|flagACK) // data offset: below
	frame = binary.BigEndian.AppendUint16(frame, stack.window)
	frame = append(frame, 0, 0, 0, 0) // checksum: below; urgent pointer

	for _, kind := range stack.layout {
		switch {
		case kind == optionMSS:
			frame = binary.BigEndian.AppendUint16(append(frame, optionMSS, 4), mss(s.target))
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
			now := uint32(traits>>32) + uint32(p.clock().Milliseconds())
			frame = binary.BigEndian.AppendUint32(frame, now)
			frame = binary.BigEndian.AppendUint32(frame, s.tsval)
		}
	}
	// Whatever stands before is whole words, so an option of 4 bytes ends the
	// header: a length that runs past its end does so here.
	if len(frame)-tcp+len(more) <= tcpMaxBytes { // an echo may be longer than what is left
		frame = append(frame, more...)
	}
	for (len(frame)-tcp)%4 != 0 {
		frame = append(frame, optionEnd)
	}
	frame[tcp+12] = byte((len(frame)-tcp)/4) << 4
	finish(frame[start:], len(frame)-tcp)
	return frame
}

// appendRST answers as a closed port does (RFC 9293 §3.5.2).
func appendRST(frame []byte, s *syn, traits uint64) []byte {
	start := len(frame)
	frame = appendIP(frame, s, s.target, traits, 64-hops(traits), protocolTCP)
	frame = binary.BigEndian.AppendUint16(frame, s.targetPort)
	frame = binary.BigEndian.AppendUint16(frame, s.sourcePort)
	frame = binary.BigEndian.AppendUint32(frame, 0)
	frame = binary.BigEndian.AppendUint32(frame, s.seq+1)
	frame = append(frame, tcpMinBytes/4<<4, flagRST|flagACK, 0, 0, 0, 0, 0, 0)
	finish(frame[start:], tcpMinBytes)
	return frame
}

const (
	icmpBytes     = 8
	icmpMaxBytes  = 576 - ipv4MinBytes // RFC 1812 §4.3.2.3: the message stays within 576
	icmp6MaxBytes = 1280 - ipv6Bytes   // RFC 4443 §2.4 (c): within the minimum MTU
	quotedTCP     = 8                  // all of TCP that RFC 792 asks for, and some IPv6 boxes quote
)

// appendUnreachable answers destination unreachable (RFC 792): port (3) from
// the target itself, host (1) and administratively prohibited (13, RFC 1812
// §5.2.7.1) from the first address of its /24, as its router would.
func appendUnreachable(frame []byte, s *syn, traits uint64) []byte {
	code, from := []byte{1, 3, 13}[traits%3], s.target
	if code != 3 {
		from = routerOf(s.target, 24)
	}
	start := len(frame)
	frame = appendIP(frame, s, from, traits, 255-hops(traits), protocolICMP)
	icmp := len(frame)
	frame = append(frame, 3, code, 0, 0, 0, 0, 0, 0)
	frame = append(frame, quote(s, traits, icmpMaxBytes)...)
	finish(frame[start:], len(frame)-icmp)
	return frame
}

// appendUnreachable6 answers destination unreachable (RFC 4443 §3.1): port (4)
// from the target itself, no route (0), administratively prohibited (1) and
// address (3) from the first address of its /48, as a router would.
func appendUnreachable6(frame []byte, s *syn, traits uint64) []byte {
	code, from := []byte{0, 1, 3, 4}[traits%4], s.target
	if code != 4 {
		from = routerOf(s.target, 48)
	}
	start := len(frame)
	frame = appendIP(frame, s, from, traits, 255-hops(traits), protocolICMPv6)
	icmp := len(frame)
	frame = append(frame, 1, code, 0, 0, 0, 0, 0, 0)
	frame = append(frame, quote(s, traits, icmp6MaxBytes)...)
	finish(frame[start:], len(frame)-icmp)
	return frame
}

// quote is what an ICMP message of at most room bytes has of s: some senders
// quote as much as fits, others 8 bytes after the IP header.
func quote(s *syn, traits uint64, room int) []byte {
	quoted := s.packet
	if traits>>8&1 == 0 {
		quoted = quoted[:s.ipBytes+quotedTCP]
	}
	return quoted[:min(len(quoted), room-icmpBytes)]
}

func routerOf(a netip.Addr, bits int) netip.Addr {
	return netip.PrefixFrom(a, bits).Masked().Addr().Next()
}

// hops is how far the target seems to be away.
func hops(traits uint64) byte { return 5 + byte(traits>>24%20) }

// appendIP appends the Ethernet and IP headers of a reply to s; finish fills in
// lengths and checksums.
func appendIP(frame []byte, s *syn, from netip.Addr, traits uint64, ttl, protocol byte) []byte {
	frame = append(frame, s.ether[6:12]...)
	frame = append(frame, s.ether[0:6]...)
	frame = append(frame, s.ether[12:14]...)
	if from.Is4() {
		frame = append(frame, 0x45, 0, 0, 0, 0, 0, 0x40, 0, ttl, protocol, 0, 0) // don't fragment
	} else {
		label := uint32(traits>>36) & 0xfffff // one a flow (RFC 6437 §3)
		frame = binary.BigEndian.AppendUint32(frame, 6<<28|label)
		frame = append(frame, 0, 0, protocol, ttl)
	}
	frame = append(frame, from.AsSlice()...)
	return append(frame, s.source.AsSlice()...)
}

// finish fills in the lengths and checksums of a frame whose last part is TCP,
// ICMP or ICMPv6.
func finish(frame []byte, lastBytes int) {
	ip, last := frame[etherBytes:], frame[len(frame)-lastBytes:]
	addresses, protocol := ip[8:40], ip[6]
	if ip[0]>>4 == 4 {
		addresses, protocol = ip[12:20], ip[9]
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[10:], checksum(0, ip[:ipv4MinBytes]))
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(lastBytes))
	}
	switch protocol {
	case protocolTCP:
		binary.BigEndian.PutUint16(last[16:], checksum(pseudoHeader(addresses, protocol, lastBytes), last))
	case protocolICMPv6: // RFC 4443 §2.3
		binary.BigEndian.PutUint16(last[2:], checksum(pseudoHeader(addresses, protocol, lastBytes), last))
	case protocolICMP:
		binary.BigEndian.PutUint16(last[2:], checksum(0, last))
	}
}
