package zmap

import (
	"database/sql"
	"net/netip"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
)

// Reason is why a line is not a row. Every error of Decoder.Decode and Line.CheckLength wraps one of them;
// its text names the reason in a rejects file.
type Reason string

func (r Reason) Error() string { return string(r) }

const (
	ErrBlank         Reason = "blank"         // the line holds nothing
	ErrTooLong       Reason = "too-long"      // the line is longer than MaxLine, 65,536 bytes
	ErrNotJSON       Reason = "not-json"      // not one JSON text in UTF-8 (RFC 8259)
	ErrDuplicate     Reason = "duplicate"     // a member occurs twice
	ErrType          Reason = "type"          // a value of the wrong JSON type
	ErrRange         Reason = "range"         // a value that the field cannot have
	ErrMissing       Reason = "missing"       // a field without which the row says nothing
	ErrContradiction Reason = "contradiction" // fields that cannot both be right
)

// Values of Row.Classification.
const (
	SYNACK = "synack"
	RST    = "rst"
	ICMP   = "icmp"
)

// Values of Row.Probe: what the SYN carried besides the options of any TCP.
const (
	ProbeV0     = "v0"     // MP_CAPABLE of RFC 6824
	ProbeV1     = "v1"     // MP_CAPABLE of RFC 8684
	ProbePlain  = "plain"  // nothing
	ProbeCanary = "canary" // an experimental option that no stack knows: mptcp.Canary
)

// Probes are all values of Row.Probe.
var Probes = []string{ProbeV0, ProbeV1, ProbePlain, ProbeCanary}

// maxSent is the longest packet that a probe can be: IPv6 header, TCP header and as many options as it can hold
// (RFC 8200 §3, RFC 9293 §3.1).
const maxSent = 40 + 20 + maxTCPOptions

// maxTCPOptions is what a data offset of 15 words leaves for options (RFC 9293 §3.1).
const maxTCPOptions = 40

// Row is one reply as a probe module prints it: schemas/row.schema.json defines the fields. A
// field that the row does not have is NULL: not Valid, "", nil or zero, as its type has it.
type Row struct {
	Time           time.Time // UTC, to the microsecond
	Saddr          netip.Addr
	Daddr          netip.Addr
	Sport          sql.Null[uint16]
	Dport          sql.Null[uint16]
	TTL            sql.Null[uint8]
	IPID           sql.Null[uint16] // always NULL in IPv6, whose header has none
	Seqnum         sql.Null[uint32]
	Acknum         sql.Null[uint32]
	Window         sql.Null[uint16]
	TCPFlags       sql.Null[uint8]
	Probe          string
	Classification string
	Success        bool // an answer, as ZMap counts them: in a scan SYN-ACKs; if the row does not say, those
	Repeat         sql.Null[bool]
	Cooldown       sql.Null[bool]

	TCPOptions []byte
	Options    mptcp.Options   // of TCPOptions; zero without them
	MPCapable  mptcp.MPCapable // of TCPOptions or, without them, as printed; Presence "" if neither is there
	SentKey    sql.Null[uint64]
	SentCanary sql.Null[uint32] // the nonce; v0 and v1 probes can carry a canary too
	Canary     mptcp.Canary     // what became of it: from TCPOptions or, without them, as printed; "" if neither is there

	Responder netip.Addr
	ICMPType  sql.Null[uint8]
	ICMPCode  sql.Null[uint8]
	Quote     []byte

	// Of a trace; a row has both or none.
	ProbeTTL sql.Null[uint8] // that our packet had when it was sent; IPv6: hop limit
	Sent     []byte          // our packet as it was sent, from its IP header on, whole
}
