package zmap

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
)

// Reason is why a line is not a row. Every error of DecodeRow and every Line.Err wraps one of
// them; its text names the reason in a rejects file.
type Reason string

func (r Reason) Error() string { return string(r) }

const (
	ErrBlank         Reason = "blank"         // the line holds nothing
	ErrTooLong       Reason = "too-long"      // the line is longer than MaxLine
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
	Success        bool // if the row does not say: the classification is SYNACK
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
}

// DecodeRow reads one line, without its line end, as a row. It is strict: names are matched
// exactly, a member must not occur twice, and values must be of the type and in the range of
// schemas/row.schema.json. JSON's null is a missing field; unknown fields are ignored.
//
// What the row says of MPTCP and of the canary and what package mptcp reads in its tcp_options must
// agree; the two are implementations in two languages. A row without these fields, such as one of ZMap's own
// tcp_synscan, gets them from tcp_options or leaves them NULL.
//
// The error wraps a Reason.
func DecodeRow(line []byte) (*Row, error) {
	if len(skipSpace(line)) == 0 {
		return nil, ErrBlank
	}
	if !utf8.Valid(line) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrNotJSON)
	}
	if !json.Valid(line) {
		return nil, fmt.Errorf("%w: %v", ErrNotJSON, json.Unmarshal(line, new(json.RawMessage)))
	}
	d := decoder{seen: make(map[string]bool, 32)}
	if err := d.object(line); err != nil {
		return nil, err
	}
	if err := d.finish(); err != nil {
		return nil, err
	}
	return &d.row, nil
}

// decoder holds a row in the making.
type decoder struct {
	row  Row
	seen map[string]bool

	seconds, microseconds sql.Null[int64]
	success               sql.Null[bool]
	printed               mptcp.MPCapable
	printedCanary         mptcp.Canary
}

// object reads the members of a line. The line is known to be valid JSON, so that only the ends of
// names and values have to be found.
func (d *decoder) object(line []byte) error {
	rest := skipSpace(line)
	if rest[0] != '{' {
		return fmt.Errorf("%w: not a JSON object", ErrType)
	}
	for rest = skipSpace(rest[1:]); rest[0] != '}'; {
		n := valueLength(rest)
		name, err := text(rest[:n])
		if err != nil {
			return err
		}
		rest = skipSpace(skipSpace(rest[n:])[1:]) // the colon
		n = valueLength(rest)
		value := rest[:n]
		if rest = skipSpace(rest[n:]); rest[0] == ',' {
			rest = skipSpace(rest[1:])
		}

		switch name { // ZMap 2.1.1's spelling
		case "timestamp-ts":
			name = "timestamp_ts"
		case "timestamp-us":
			name = "timestamp_us"
		}
		if d.seen[name] {
			return fmt.Errorf("%w: %.40q", ErrDuplicate, name)
		}
		d.seen[name] = true
		if string(value) == "null" {
			continue
		}
		if err := d.member(name, value); err != nil {
			return fmt.Errorf("%w: %s is %.60s", err, name, value)
		}
	}
	return nil
}

// jsonSpace is the white space between tokens, RFC 8259 §2.
const jsonSpace = " \t\r\n"

func skipSpace(text []byte) []byte { return bytes.TrimLeft(text, jsonSpace) }

// valueLength returns the length of the value that valid JSON text begins with.
func valueLength(text []byte) int {
	if text[0] != '"' && text[0] != '{' && text[0] != '[' {
		if end := bytes.IndexAny(text, jsonSpace+",]}"); end >= 0 {
			return end
		}
		return len(text)
	}
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++ // what is escaped ends nothing
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		if depth == 0 && !inString {
			return i + 1
		}
	}
	return len(text)
}

// member takes one member that is not null. Its error is a bare Reason.
func (d *decoder) member(name string, value []byte) error {
	r := &d.row
	switch name {
	case "saddr":
		return address(value, &r.Saddr)
	case "daddr":
		return address(value, &r.Daddr)
	case "sport":
		return integer(value, &r.Sport, 0, 1<<16-1)
	case "dport":
		return integer(value, &r.Dport, 0, 1<<16-1)
	case "ipid":
		return integer(value, &r.IPID, 0, 1<<16-1)
	case "ttl":
		return integer(value, &r.TTL, 0, 1<<8-1)
	case "window":
		return integer(value, &r.Window, 0, 1<<16-1)
	case "tcp_flags":
		return integer(value, &r.TCPFlags, 0, 1<<8-1)
	case "seqnum":
		return sequence(value, &r.Seqnum)
	case "acknum":
		return sequence(value, &r.Acknum)
	case "probe":
		return oneOf(value, &r.Probe, Probes...)
	case "classification":
		return oneOf(value, &r.Classification, SYNACK, RST, ICMP)
	case "success":
		return boolean(value, &d.success)
	case "repeat":
		return boolean(value, &r.Repeat)
	case "cooldown":
		return boolean(value, &r.Cooldown)
	case "timestamp_ts":
		// The last second of the year 9999, beyond which dates have no common text form (RFC 3339 §1).
		return integer(value, &d.seconds, 0, 253402300799)
	case "timestamp_us":
		return integer(value, &d.microseconds, 0, 999999)
	case "tcp_options":
		return hexBytes(value, &r.TCPOptions, maxTCPOptions)
	case "mptcp":
		return oneOf(value, &d.printed.Presence, mptcp.None, mptcp.Capable, mptcp.Malformed, mptcp.Other)
	case "mptcp_version":
		return integer(value, &d.printed.Version, 0, 15)
	case "mptcp_flags":
		return integer(value, &d.printed.Flags, 0, 1<<8-1)
	case "mptcp_length":
		return integer(value, &d.printed.Length, 0, 1<<8-1)
	case "mptcp_key":
		return key(value, &d.printed.Key)
	case "sent_key":
		return key(value, &r.SentKey)
	case "sent_canary":
		return nonce(value, &r.SentCanary)
	case "canary":
		return oneOf(value, &d.printedCanary, mptcp.CanaryNone, mptcp.CanaryMirrored, mptcp.CanaryAltered)
	case "responder":
		return address(value, &r.Responder)
	case "icmp_type":
		return integer(value, &r.ICMPType, 0, 1<<8-1)
	case "icmp_code":
		return integer(value, &r.ICMPCode, 0, 1<<8-1)
	case "quote":
		return hexBytes(value, &r.Quote, MaxLine)
	}
	return nil
}

// finish checks what fields say of each other, and derives what the row left out.
func (d *decoder) finish() error {
	r := &d.row
	switch {
	case !r.Saddr.IsValid():
		return fmt.Errorf("%w: saddr", ErrMissing)
	case r.Classification == "":
		return fmt.Errorf("%w: classification", ErrMissing)
	case d.microseconds.Valid && !d.seconds.Valid:
		return fmt.Errorf("%w: timestamp_ts beside timestamp_us", ErrMissing)
	}
	if d.seconds.Valid {
		r.Time = time.Unix(d.seconds.V, d.microseconds.V*int64(time.Microsecond)).UTC()
	}
	r.Success = r.Classification == SYNACK
	if d.success.Valid {
		r.Success = d.success.V
	}
	if r.Saddr.Is6() {
		// ZMap fills the field from where IPv4 has it.
		r.IPID = sql.Null[uint16]{}
	}
	if err := d.finishMPTCP(); err != nil {
		return err
	}
	if err := d.finishCanary(); err != nil {
		return err
	}
	tcp := r.Seqnum.Valid || r.Acknum.Valid || r.Window.Valid || r.TCPFlags.Valid ||
		r.TCPOptions != nil || r.MPCapable.Presence != "" || r.Canary != ""
	icmp := r.Responder.IsValid() || r.ICMPType.Valid || r.ICMPCode.Valid || r.Quote != nil
	switch {
	case r.Classification == ICMP && tcp:
		return fmt.Errorf("%w: TCP fields in a row classified as icmp", ErrContradiction)
	case r.Classification != ICMP && icmp:
		return fmt.Errorf("%w: ICMP fields in a row classified as %s", ErrContradiction, r.Classification)
	}
	return nil
}

func (d *decoder) finishMPTCP() error {
	r := &d.row
	if d.printed.Presence == "" && d.printed != (mptcp.MPCapable{}) {
		return fmt.Errorf("%w: mptcp beside mptcp_version, mptcp_flags, mptcp_length or mptcp_key", ErrMissing)
	}
	r.MPCapable = d.printed
	if r.TCPOptions == nil {
		if d.printed.Presence != "" && !d.printed.Consistent() {
			return fmt.Errorf("%w: mptcp fields say %s", ErrContradiction, describe(d.printed))
		}
		return nil
	}
	r.Options = mptcp.Parse(r.TCPOptions)
	r.MPCapable = r.Options.MPCapable
	if d.printed.Presence != "" && d.printed != r.MPCapable {
		return fmt.Errorf("%w: mptcp fields say %s, tcp_options say %s",
			ErrContradiction, describe(d.printed), describe(r.MPCapable))
	}
	return nil
}

// finishCanary does for the canary what finishMPTCP does for MP_CAPABLE.
func (d *decoder) finishCanary() error {
	r := &d.row
	switch {
	case r.SentCanary.Valid && r.Probe == ProbePlain:
		return fmt.Errorf("%w: sent_canary beside probe plain", ErrContradiction)
	case !r.SentCanary.Valid && d.printedCanary != "":
		return fmt.Errorf("%w: sent_canary beside canary", ErrMissing)
	}
	r.Canary = d.printedCanary
	if !r.SentCanary.Valid || r.TCPOptions == nil {
		return nil
	}
	r.Canary = mptcp.FindCanary(r.TCPOptions, r.SentCanary.V)
	if d.printedCanary != "" && d.printedCanary != r.Canary {
		return fmt.Errorf("%w: canary is %s, tcp_options say %s", ErrContradiction, d.printedCanary, r.Canary)
	}
	return nil
}

func describe(m mptcp.MPCapable) string {
	var b strings.Builder
	b.WriteString(string(m.Presence))
	if m.Version.Valid {
		fmt.Fprintf(&b, " version %d", m.Version.V)
	}
	if m.Flags.Valid {
		fmt.Fprintf(&b, " flags %#02x", m.Flags.V)
	}
	if m.Length.Valid {
		fmt.Fprintf(&b, " length %d", m.Length.V)
	}
	if m.Key.Valid {
		fmt.Fprintf(&b, " key %016x", m.Key.V)
	}
	return b.String()
}

// The functions below each read one JSON value into a field, and return a bare Reason.

func integer[T uint8 | uint16 | int64](value []byte, field *sql.Null[T], low, high int64) error {
	if value[0] != '-' && (value[0] < '0' || value[0] > '9') || bytes.ContainsAny(value, ".eE") {
		return ErrType
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < low || n > high {
		return ErrRange
	}
	*field = sql.Null[T]{V: T(n), Valid: true}
	return nil
}

// sequence reads a 32-bit TCP sequence number. Our modules print it as text. ZMap's integers are
// signed: 2.1.1's tcp_synscan prints the upper half of the range as negative numbers.
func sequence(value []byte, field *sql.Null[uint32]) error {
	if value[0] != '"' {
		var n sql.Null[int64]
		if err := integer(value, &n, -1<<31, 1<<32-1); err != nil {
			return err
		}
		*field = sql.Null[uint32]{V: uint32(n.V), Valid: true}
		return nil
	}
	s, err := text(value)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || len(s) > len("4294967295") {
		return ErrRange
	}
	*field = sql.Null[uint32]{V: uint32(n), Valid: true}
	return nil
}

// boolean reads a truth value, which ZMap 2.1.1 prints as 0 or 1.
func boolean(value []byte, field *sql.Null[bool]) error {
	switch string(value) {
	case "true":
		*field = sql.Null[bool]{V: true, Valid: true}
	case "false":
		*field = sql.Null[bool]{V: false, Valid: true}
	default:
		var n sql.Null[uint8]
		if err := integer(value, &n, 0, 1); err != nil {
			return err
		}
		*field = sql.Null[bool]{V: n.V == 1, Valid: true}
	}
	return nil
}

func text(value []byte) (string, error) {
	if value[0] != '"' {
		return "", ErrType
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return "", ErrType
	}
	return s, nil
}

func oneOf[T ~string](value []byte, field *T, allowed ...T) error {
	s, err := text(value)
	if err != nil {
		return err
	}
	for _, a := range allowed {
		if s == string(a) {
			*field = a
			return nil
		}
	}
	return ErrRange
}

func address(value []byte, field *netip.Addr) error {
	s, err := text(value)
	if err != nil {
		return err
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return ErrRange
	}
	*field = a
	return nil
}

func hexBytes(value []byte, field *[]byte, limit int) error {
	s, err := text(value)
	if err != nil {
		return err
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) > limit || strings.ContainsAny(s, "ABCDEF") {
		return ErrRange
	}
	*field = b
	return nil
}

func key(value []byte, field *sql.Null[uint64]) error {
	b, err := exactBytes(value, 8)
	if err == nil {
		*field = sql.Null[uint64]{V: binary.BigEndian.Uint64(b), Valid: true}
	}
	return err
}

func nonce(value []byte, field *sql.Null[uint32]) error {
	b, err := exactBytes(value, 4)
	if err == nil {
		*field = sql.Null[uint32]{V: binary.BigEndian.Uint32(b), Valid: true}
	}
	return err
}

func exactBytes(value []byte, n int) (b []byte, err error) {
	if err := hexBytes(value, &b, n); err != nil {
		return nil, err
	}
	if len(b) != n {
		return nil, ErrRange
	}
	return b, nil
}
