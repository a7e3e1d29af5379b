package scenario

import "fmt"

// Behaviour is what a target does when a SYN arrives.
type Behaviour uint8

// The simulated behaviours, in the order of the table below, and the real
// kernels that stand beside them.
const (
	Silent Behaviour = iota
	RST
	TCP
	TrueV0
	TrueV1
	Mirror
	TamperBits
	TamperByte
	TamperHalf
	TamperSwap
	TamperShift
	ConstantKey
	ConstantHalf
	LowEntropy
	CounterKey
	BiasedKey
	StaticKey
	ZeroKey
	MalformedLength
	MalformedShort
	MalformedZero
	WrongVersion
	OtherSubtype
	Duplicate
	ICMP
	DropMPTCP
	DropUnknown
	ResetMPTCP
	MirrorAll
	MirrorKeyed
	MirrorStripped
	AlterCanary
	Forger
	KernelMPTCP
	KernelTCP
	KernelStripped

	Behaviours int = iota
)

// Probe is the kind of SYN that arrives, told by its MP_CAPABLE, and without
// one by the canary: an experimental option (kind 254) that no host knows. SYNs
// of every kind but plain may carry the canary.
type Probe uint8

// A plain SYN has no MP_CAPABLE of a form that a host could answer.
const (
	Plain  Probe = iota
	V0           // 12 bytes: version 0 and the sender's key (RFC 6824 §3.1)
	V1           // 4 bytes: version 1 and no key (RFC 8684 §3.1)
	Canary       // an experimental option of 8 bytes with the census' ExID (RFC 6994)

	Probes int = iota
)

func (p Probe) String() string { return [...]string{"plain", "v0", "v1", "canary"}[p] }

// Verdict is what a census should conclude about a target; empty where the
// target sends nothing and so has no row to judge.
type Verdict string

// The verdicts that one scan alone can reach.
const (
	NoRow       Verdict = ""
	Closed      Verdict = "closed"
	Unreachable Verdict = "unreachable"
	NoMPTCP     Verdict = "no-mptcp"
	Mirrored    Verdict = "mirrored"
	Tampered    Verdict = "tampered"
	Implausible Verdict = "implausible"
	Potential   Verdict = "potential"
)

// Certain tells whether the verdict follows from the bytes of the reply, so
// that a single exception is an error. Tampered and implausible keys are
// judged by chance: a key that kept half of ours may look random.
func (v Verdict) Certain() bool { return v != Tampered && v != Implausible }

// Treatment is what a paired campaign (the same targets asked with plain, v0,
// v1 and canary) should conclude about what becomes of MP_CAPABLE on the way
// to a target; empty where nothing answers at all.
type Treatment string

// The treatments, each of one version of MP_CAPABLE.
const (
	NoTreatment    Treatment = ""
	Supports       Treatment = "supports"    // MP_CAPABLE of the version, as a host answers
	Mirrors        Treatment = "mirrors"     // our option, or MP_CAPABLE from who also mirrors the canary
	Tampers        Treatment = "tampers"     // as the verdict tampered
	ImplausibleKey Treatment = "implausible" // as the verdict implausible
	Strips         Treatment = "strips"      // the canary comes back, MP_CAPABLE does not
	Ignores        Treatment = "ignores"     // SYN-ACK without MP_CAPABLE
	Resets         Treatment = "resets"      // RST, where a plain SYN gets a SYN-ACK
	Drops          Treatment = "drops"       // nothing, where a plain SYN gets a SYN-ACK
	AlwaysClosed   Treatment = "closed"      // no SYN-ACK to any SYN
)

// Certain is as for verdicts.
func (t Treatment) Certain() bool { return t != Tampers && t != ImplausibleKey }

type (
	verdicts   [Probes]Verdict // of plain, v0, v1, canary
	treatments [2]Treatment    // of v0, v1
)

// behaviours lists each behaviour with what it does on the wire, and what is to
// be concluded from that. Where a line does not speak of a kind of SYN, the
// answer is a SYN-ACK without MPTCP and without the canary.
var behaviours = [Behaviours]struct {
	name string
	wire string
	verdicts
	treatments
}{
	Silent: {"silent", "answers nothing",
		verdicts{NoRow, NoRow, NoRow, NoRow}, treatments{NoTreatment, NoTreatment}},
	RST: {"rst", "answers RST+ACK to every SYN",
		verdicts{Closed, Closed, Closed, Closed}, treatments{AlwaysClosed, AlwaysClosed}},
	TCP: {"tcp", "answers a SYN-ACK without MPTCP to every SYN",
		verdicts{NoMPTCP, NoMPTCP, NoMPTCP, NoMPTCP}, treatments{Ignores, Ignores}},
	TrueV0: {"true-v0", "v0: 12 bytes of version 0 with a fresh random key",
		verdicts{NoMPTCP, Potential, NoMPTCP, NoMPTCP}, treatments{Supports, Ignores}},
	TrueV1: {"true-v1", "v1: 12 bytes of version 1 with a fresh random key",
		verdicts{NoMPTCP, NoMPTCP, Potential, NoMPTCP}, treatments{Ignores, Supports}},
	Mirror: {"mirror", "v0, v1: the SYN's MP_CAPABLE back, byte by byte",
		verdicts{NoMPTCP, Mirrored, Mirrored, NoMPTCP}, treatments{Mirrors, Mirrors}},
	TamperBits: {"tamper-bits", "v0: the SYN's MP_CAPABLE with 1 to 4 bits of the key flipped; v1: as mirror",
		verdicts{NoMPTCP, Tampered, Mirrored, NoMPTCP}, treatments{Tampers, Mirrors}},
	TamperByte: {"tamper-byte", "v0: the SYN's MP_CAPABLE with one byte of the key replaced; v1: as mirror",
		verdicts{NoMPTCP, Tampered, Mirrored, NoMPTCP}, treatments{Tampers, Mirrors}},
	TamperHalf: {"tamper-half", "v0: the SYN's MP_CAPABLE with the first or last 4 bytes of the key kept, the rest random; v1: as mirror",
		verdicts{NoMPTCP, Tampered, Mirrored, NoMPTCP}, treatments{Tampers, Mirrors}},
	TamperSwap: {"tamper-swap", "v0: the SYN's MP_CAPABLE with the key's bytes reversed or its halves swapped; v1: as mirror",
		verdicts{NoMPTCP, Tampered, Mirrored, NoMPTCP}, treatments{Tampers, Mirrors}},
	TamperShift: {"tamper-shift", "v0: the SYN's MP_CAPABLE with the key shifted by 1 to 4 bytes towards its end or start, the gap random; v1: as mirror",
		verdicts{NoMPTCP, Tampered, Mirrored, NoMPTCP}, treatments{Tampers, Mirrors}},
	ConstantKey: {"constant-key", "v0, v1: 12 bytes of that version with one key shared by all such hosts",
		verdicts{NoMPTCP, Implausible, Implausible, NoMPTCP}, treatments{ImplausibleKey, ImplausibleKey}},
	ConstantHalf: {"constant-half", "v0, v1: 12 bytes of that version, key with 4 bytes shared by all such hosts, first or last as the seed says, and 4 random ones",
		verdicts{NoMPTCP, Implausible, Implausible, NoMPTCP}, treatments{ImplausibleKey, ImplausibleKey}},
	LowEntropy: {"low-entropy", "v0, v1: 12 bytes of that version, key with one byte set, one byte repeated, or a small counter",
		verdicts{NoMPTCP, Implausible, Implausible, NoMPTCP}, treatments{ImplausibleKey, ImplausibleKey}},
	CounterKey: {"counter-key", "v0, v1: 12 bytes of that version, key one above the last of all such hosts, from a random one on",
		verdicts{NoMPTCP, Implausible, Implausible, NoMPTCP}, treatments{ImplausibleKey, ImplausibleKey}},
	BiasedKey: {"biased-key", "v0, v1: 12 bytes of that version, each bit of the key set with chance 1/4",
		verdicts{NoMPTCP, Implausible, Implausible, NoMPTCP}, treatments{ImplausibleKey, ImplausibleKey}},
	// Each key by itself is as random as a genuine one: only a second answer tells.
	StaticKey: {"static-key", "v0, v1: 12 bytes of that version, each host its own random key, the same in every answer",
		verdicts{NoMPTCP, Implausible, Implausible, NoMPTCP}, treatments{ImplausibleKey, ImplausibleKey}},
	ZeroKey: {"zero-key", "v0, v1: 12 bytes of that version, key all zero",
		verdicts{NoMPTCP, Implausible, Implausible, NoMPTCP}, treatments{ImplausibleKey, ImplausibleKey}},
	MalformedLength: {"malformed-length", "v0, v1: MP_CAPABLE of that version, 8, 10 or 16 bytes long",
		verdicts{NoMPTCP, Implausible, Implausible, NoMPTCP}, treatments{ImplausibleKey, ImplausibleKey}},
	MalformedShort: {"malformed-short", "v0, v1: MP_CAPABLE that says 12 bytes where the header ends after 4",
		verdicts{NoMPTCP, Implausible, Implausible, NoMPTCP}, treatments{ImplausibleKey, ImplausibleKey}},
	MalformedZero: {"malformed-zero", "v0, v1: MP_CAPABLE whose length byte is 0",
		verdicts{NoMPTCP, Implausible, Implausible, NoMPTCP}, treatments{ImplausibleKey, ImplausibleKey}},
	WrongVersion: {"wrong-version", "v0: 12 bytes of version 1, v1: 12 bytes of version 2, random key",
		verdicts{NoMPTCP, Implausible, Implausible, NoMPTCP}, treatments{ImplausibleKey, ImplausibleKey}},
	OtherSubtype: {"other-subtype", "v0, v1: MP_PRIO or ADD_ADDR, no MP_CAPABLE",
		verdicts{NoMPTCP, NoMPTCP, NoMPTCP, NoMPTCP}, treatments{Ignores, Ignores}},
	Duplicate: {"duplicate", "as true-v1, each SYN-ACK sent 2 to 4 times",
		verdicts{NoMPTCP, NoMPTCP, Potential, NoMPTCP}, treatments{Ignores, Supports}},
	ICMP: {"icmp", "answers destination unreachable, of ICMP code 1, 3 or 13 or ICMPv6 code 0, 1, 3 or 4, quoting IP header + 8 bytes or the whole SYN",
		verdicts{Unreachable, Unreachable, Unreachable, Unreachable}, treatments{AlwaysClosed, AlwaysClosed}},
	DropMPTCP: {"drop-mptcp", "nothing to a SYN with option 30",
		verdicts{NoMPTCP, NoRow, NoRow, NoMPTCP}, treatments{Drops, Drops}},
	DropUnknown: {"drop-unknown", "nothing to a SYN with option 30 or 254",
		verdicts{NoMPTCP, NoRow, NoRow, NoRow}, treatments{Drops, Drops}},
	ResetMPTCP: {"reset-mptcp", "RST+ACK to a SYN with option 30",
		verdicts{NoMPTCP, Closed, Closed, NoMPTCP}, treatments{Resets, Resets}},
	MirrorAll: {"mirror-all", "the SYN's options 30 and 254 back, byte by byte",
		verdicts{NoMPTCP, Mirrored, Mirrored, NoMPTCP}, treatments{Mirrors, Mirrors}},
	MirrorKeyed: {"mirror-keyed", "v0, v1: 12 bytes of that version with a fresh random key; option 254 back, byte by byte",
		verdicts{NoMPTCP, Potential, Potential, NoMPTCP}, treatments{Mirrors, Mirrors}},
	MirrorStripped: {"mirror-stripped", "option 254 back, byte by byte",
		verdicts{NoMPTCP, NoMPTCP, NoMPTCP, NoMPTCP}, treatments{Strips, Strips}},
	AlterCanary: {"alter-canary", "option 254 back with another nonce",
		verdicts{NoMPTCP, NoMPTCP, NoMPTCP, NoMPTCP}, treatments{Ignores, Ignores}},
	Forger: {"forger", "forged SYN-ACKs that answer no SYN: wrong acknowledgement, wrong port, or a neighbour's address",
		verdicts{NoRow, NoRow, NoRow, NoRow}, treatments{NoTreatment, NoTreatment}},

	// A v1 kernel answers plain TCP to v0 (RFC 8684 §3.1).
	KernelMPTCP: {"kernel-mptcp", "a Linux MPTCP listener",
		verdicts{NoMPTCP, NoMPTCP, Potential, NoMPTCP}, treatments{Ignores, Supports}},
	KernelTCP: {"kernel-tcp", "a Linux TCP listener",
		verdicts{NoMPTCP, NoMPTCP, NoMPTCP, NoMPTCP}, treatments{Ignores, Ignores}},
	KernelStripped: {"kernel-stripped", "a Linux MPTCP listener behind a router that strips option 30",
		verdicts{NoMPTCP, NoMPTCP, NoMPTCP, NoMPTCP}, treatments{Ignores, Ignores}},
}

func (b Behaviour) String() string { return behaviours[b].name }

// Wire says in one line what b sends.
func (b Behaviour) Wire() string { return behaviours[b].wire }

// Verdict is what a census should conclude from b's answer to p. Without a row
// to judge, b sends nothing that belongs to p.
func (b Behaviour) Verdict(p Probe) Verdict { return behaviours[b].verdicts[p] }

// Treatment is what a paired campaign should conclude about p: v0 or v1. The
// other probes are what it compares with.
func (b Behaviour) Treatment(p Probe) Treatment {
	switch p {
	case V0:
		return behaviours[b].treatments[0]
	case V1:
		return behaviours[b].treatments[1]
	}
	return NoTreatment
}

// Replies is how many packets a target of this behaviour and of those traits
// sends for each SYN of a kind, forged ones apart.
func (b Behaviour) Replies(p Probe, traits uint64) int {
	switch {
	case b.Verdict(p) == NoRow:
		return 0
	case b == Duplicate:
		return 2 + int(traits>>60)%3
	}
	return 1
}

// simulated finds a behaviour that a scenario may give a share to: all but
// silent, which is what remains, and the real kernels.
func simulated(name string) (Behaviour, error) {
	for b := RST; b < KernelMPTCP; b++ {
		if b.String() == name {
			return b, nil
		}
	}
	if name == Silent.String() {
		return 0, fmt.Errorf("silent takes no share: it is what the others leave")
	}
	return 0, fmt.Errorf("unknown behaviour %q: take one of the names in lab/scenario/behaviour.go", name)
}
