package scenario

// Box is a middlebox on the path to a simulated target.
type Box uint8

// The kinds of box, in the order of the table below.
const (
	NoBox Box = iota
	StripBox
	RewriteBox
	NATBox
	SeqBox
	MSSBox
	StripOtherBox
	StripCanaryBox
	MirrorBox
	KeyBox
	DropBox
	ResetBox
	TTLBox

	Boxes int = iota
)

// GuardTTL is the least TTL that a ttl-guard lets pass. A scan's SYNs, sent with 64, have more left after
// MaxHops, a trace's have less from the start.
const GuardTTL = 32

// boxes lists each kind with what it does to the SYNs that pass it, and where it may stand: behind router
// first at the earliest, and as many as before in front of the last router at the latest.
var boxes = [Boxes]struct {
	name          string
	effect        string
	first, before int
}{
	NoBox:          {"none", "nothing", 0, 0},
	StripBox:       {"strip", "takes MP_CAPABLE out, or overwrites it with NOPs", 0, 0},
	RewriteBox:     {"rewrite", "changes version, flags or key of MP_CAPABLE; a v1 SYN has no key, so its flags", 0, 0},
	NATBox:         {"nat", "changes source address and port, and does not change them back in quotes", 0, 0},
	SeqBox:         {"seq-rewrite", "shifts the sequence number, and the acknowledgement back, but not quotes", 0, 0},
	MSSBox:         {"mss-clamp", "lowers the maximum segment size", 0, 0},
	StripOtherBox:  {"strip-other", "overwrites timestamps or SACK-permitted with NOPs", 0, 0},
	StripCanaryBox: {"strip-canary", "takes the canary out, or overwrites it with NOPs", 0, 0},
	MirrorBox:      {"mirror", "answers MP_CAPABLE, and where the target mirrors it the canary, in the host's place: as the behaviour says", 0, 1},
	KeyBox:         {"answer-in-place", "answers MP_CAPABLE in the host's place with 12 bytes: as the behaviour says", 0, 1},
	DropBox:        {"drop", "drops SYNs with the options that the behaviour says", 0, 0},
	ResetBox:       {"reset", "answers RST+ACK to SYNs with option 30", 0, 1},
	TTLBox:         {"ttl-guard", "drops what arrives with a TTL below GuardTTL: scans and connections pass, traces do not", 1, 0},
}

func (b Box) String() string { return boxes[b].name }

// Effect says in one line what b does.
func (b Box) Effect() string { return boxes[b].effect }

// share is of the targets of one behaviour, in percent.
type share struct {
	box     Box
	percent int
}

// Boxes that hosts of any behaviour may stand behind: they leave MP_CAPABLE alone, and what a host answers
// to a scan is judged the same.
var harmless = []share{{NATBox, 4}, {SeqBox, 4}, {MSSBox, 4}, {StripOtherBox, 4}}

var (
	genuine     = append([]share{{KeyBox, 6}, {TTLBox, 6}}, harmless...)
	deaf        = append([]share{{StripBox, 8}, {RewriteBox, 8}, {StripCanaryBox, 3}, {TTLBox, 3}}, harmless...)
	implausible = []share{{KeyBox, 30}, {NATBox, 4}, {SeqBox, 4}, {MSSBox, 4}} // their other options are part of a group's fingerprint
	mirrors     = append([]share{{MirrorBox, 50}}, harmless...)
)

// boxShares says which boxes stand before targets of a behaviour, so that a scan's verdict is that of the
// behaviour's line, with the box or without. No box stands before the others.
//
// Senders of unreachable messages have none: what a box changed would stand in their quotes, in scans too.
var boxShares = [Behaviours][]share{
	Silent:          deaf,
	RST:             deaf,
	TCP:             deaf,
	AlterCanary:     append([]share{{StripBox, 8}, {RewriteBox, 8}}, harmless...),
	MirrorStripped:  append([]share{{StripBox, 70}}, harmless...),
	TrueV0:          genuine,
	TrueV1:          genuine,
	Duplicate:       genuine,
	Mirror:          mirrors,
	MirrorAll:       mirrors,
	TamperBits:      mirrors,
	TamperByte:      mirrors,
	TamperHalf:      mirrors,
	TamperSwap:      mirrors,
	TamperShift:     mirrors,
	MirrorKeyed:     append([]share{{KeyBox, 50}}, harmless...),
	ConstantKey:     implausible,
	ConstantHalf:    implausible,
	LowEntropy:      implausible,
	CounterKey:      implausible,
	BiasedKey:       implausible,
	StaticKey:       implausible,
	ZeroKey:         implausible,
	MalformedLength: implausible,
	MalformedShort:  implausible,
	MalformedZero:   implausible,
	WrongVersion:    implausible,
	OtherSubtype:    harmless,
	DropMPTCP:       {{DropBox, 100}},
	DropUnknown:     {{DropBox, 100}},
	ResetMPTCP:      {{ResetBox, 100}},
}

// boxFor is the box before a target of a behaviour; lot is from 0 to 99.
func boxFor(b Behaviour, lot int) Box {
	for _, s := range boxShares[b] {
		if lot -= s.percent; lot < 0 {
			return s.box
		}
	}
	return NoBox
}
