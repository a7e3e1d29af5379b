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
	ConstantKey
	LowEntropy
	ZeroKey
	MalformedLength
	MalformedShort
	MalformedZero
	WrongVersion
	OtherSubtype
	Duplicate
	ICMP
	KernelMPTCP
	KernelTCP
	KernelStripped

	Behaviours int = iota
)

// Probe is the kind of SYN that arrives, told by its MP_CAPABLE.
type Probe uint8

// A plain SYN has no MP_CAPABLE of a form that a host could answer.
const (
	Plain Probe = iota
	V0          // 12 bytes: version 0 and the sender's key (RFC 6824 §3.1)
	V1          // 4 bytes: version 1 and no key (RFC 8684 §3.1)

	Probes int = iota
)

func (p Probe) String() string { return [...]string{"plain", "v0", "v1"}[p] }

// Verdict is what a census should conclude about a target; empty where the
// target sends nothing and so has no row to judge.
type Verdict string

// The verdicts that key tests alone can reach.
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

// behaviours lists each behaviour with what it does on the wire, and the
// verdict expected for each probe.
var behaviours = [Behaviours]struct {
	name     string
	wire     string
	verdicts [Probes]Verdict
}{
	Silent:          {"silent", "answers nothing", [...]Verdict{Plain: NoRow, V0: NoRow, V1: NoRow}},
	RST:             {"rst", "answers RST+ACK to every SYN", [...]Verdict{Plain: Closed, V0: Closed, V1: Closed}},
	TCP:             {"tcp", "answers a SYN-ACK without MPTCP to every SYN", [...]Verdict{Plain: NoMPTCP, V0: NoMPTCP, V1: NoMPTCP}},
	TrueV0:          {"true-v0", "v0: 12 bytes of version 0 with a fresh random key; v1, plain: SYN-ACK without MPTCP", [...]Verdict{Plain: NoMPTCP, V0: Potential, V1: NoMPTCP}},
	TrueV1:          {"true-v1", "v1: 12 bytes of version 1 with a fresh random key; v0, plain: SYN-ACK without MPTCP", [...]Verdict{Plain: NoMPTCP, V0: NoMPTCP, V1: Potential}},
	Mirror:          {"mirror", "v0, v1: the SYN's MPTCP option back, byte by byte; plain: SYN-ACK without MPTCP", [...]Verdict{Plain: NoMPTCP, V0: Mirrored, V1: Mirrored}},
	TamperBits:      {"tamper-bits", "v0: the SYN's option with 1 to 4 bits of the key flipped; else as mirror", [...]Verdict{Plain: NoMPTCP, V0: Tampered, V1: Mirrored}},
	TamperByte:      {"tamper-byte", "v0: the SYN's option with one byte of the key replaced; else as mirror", [...]Verdict{Plain: NoMPTCP, V0: Tampered, V1: Mirrored}},
	TamperHalf:      {"tamper-half", "v0: the SYN's option with the first or last 4 bytes of the key kept, the rest random; else as mirror", [...]Verdict{Plain: NoMPTCP, V0: Tampered, V1: Mirrored}},
	TamperSwap:      {"tamper-swap", "v0: the SYN's option with the key's bytes reversed or its halves swapped; else as mirror", [...]Verdict{Plain: NoMPTCP, V0: Tampered, V1: Mirrored}},
	ConstantKey:     {"constant-key", "v0, v1: 12 bytes of that version with one key shared by all such hosts; plain: SYN-ACK without MPTCP", [...]Verdict{Plain: NoMPTCP, V0: Implausible, V1: Implausible}},
	LowEntropy:      {"low-entropy", "v0, v1: 12 bytes of that version, key with one byte set, one byte repeated, or a small counter; plain: SYN-ACK without MPTCP", [...]Verdict{Plain: NoMPTCP, V0: Implausible, V1: Implausible}},
	ZeroKey:         {"zero-key", "v0, v1: 12 bytes of that version, key all zero; plain: SYN-ACK without MPTCP", [...]Verdict{Plain: NoMPTCP, V0: Implausible, V1: Implausible}},
	MalformedLength: {"malformed-length", "v0, v1: MP_CAPABLE of that version, 8, 10 or 16 bytes long; plain: SYN-ACK without MPTCP", [...]Verdict{Plain: NoMPTCP, V0: Implausible, V1: Implausible}},
	MalformedShort:  {"malformed-short", "v0, v1: MP_CAPABLE that says 12 bytes where the header ends after 4; plain: SYN-ACK without MPTCP", [...]Verdict{Plain: NoMPTCP, V0: Implausible, V1: Implausible}},
	MalformedZero:   {"malformed-zero", "v0, v1: MP_CAPABLE whose length byte is 0; plain: SYN-ACK without MPTCP", [...]Verdict{Plain: NoMPTCP, V0: Implausible, V1: Implausible}},
	WrongVersion:    {"wrong-version", "v0: 12 bytes of version 1, v1: 12 bytes of version 2, random key; plain: SYN-ACK without MPTCP", [...]Verdict{Plain: NoMPTCP, V0: Implausible, V1: Implausible}},
	OtherSubtype:    {"other-subtype", "v0, v1: MP_PRIO or ADD_ADDR, no MP_CAPABLE; plain: SYN-ACK without MPTCP", [...]Verdict{Plain: NoMPTCP, V0: NoMPTCP, V1: NoMPTCP}},
	Duplicate:       {"duplicate", "as true-v1, each SYN-ACK sent 2 to 4 times", [...]Verdict{Plain: NoMPTCP, V0: NoMPTCP, V1: Potential}},
	ICMP:            {"icmp", "answers destination unreachable, code 1, 3 or 13, quoting IP header + 8 bytes or the whole SYN", [...]Verdict{Plain: Unreachable, V0: Unreachable, V1: Unreachable}},

	// A v1 kernel answers plain TCP to v0 (RFC 8684 §3.1).
	KernelMPTCP:    {"kernel-mptcp", "a Linux MPTCP listener", [...]Verdict{Plain: NoMPTCP, V0: NoMPTCP, V1: Potential}},
	KernelTCP:      {"kernel-tcp", "a Linux TCP listener", [...]Verdict{Plain: NoMPTCP, V0: NoMPTCP, V1: NoMPTCP}},
	KernelStripped: {"kernel-stripped", "a Linux MPTCP listener behind a router that strips option 30", [...]Verdict{Plain: NoMPTCP, V0: NoMPTCP, V1: NoMPTCP}},
}

func (b Behaviour) String() string { return behaviours[b].name }

// Wire says in one line what b sends to a v0, a v1 and a plain SYN.
func (b Behaviour) Wire() string { return behaviours[b].wire }

// Verdict is what a census should conclude from b's answer to p.
func (b Behaviour) Verdict(p Probe) Verdict { return behaviours[b].verdicts[p] }

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
