package zmap

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
)

// Decoder reads lines as rows. The zero value is ready for use. It is not safe for concurrent use: each
// worker has its own.
//
// A program prints its rows in few shapes: the same members in the same order with the same spacing. A
// line of a shape that was met before is read without looking for names. All other lines are read as
// any JSON is, and only there is it decided why a line is no row: what was read before never changes
// what a line says.
type Decoder struct {
	shapes  shapes
	options mptcp.Parser
	members []member        // of the last line that was read as any JSON
	seen    map[string]bool // their names

	tcpOptions [maxTCPOptions]byte // of Row.TCPOptions
	daddr      lastAddress         // our own, which seldom changes
	quote      []byte              // of Row.Quote
	sent       [maxSent]byte       // of Row.Sent

	// What the line being read says beyond its row.
	row                   *Row
	seconds, microseconds sql.Null[int64]
	printed               mptcp.MPCapable // without its Presence, which is in common
	common                common
}

// Decode reads one line, without its line end, into row, whose slices are valid until the next call. It
// is strict: names are matched exactly, a member must not occur twice, and values must be of the type and
// in the range of schemas/row.schema.json. JSON's null is a missing field; unknown fields are ignored.
//
// What the row says of MPTCP and of the canary and what package mptcp reads in its tcp_options must
// agree; the two are implementations in two languages. A row without these fields, such as one of ZMap's own
// tcp_synscan, gets them from tcp_options or leaves them NULL.
//
// The error wraps a Reason; row is then of no use.
func (d *Decoder) Decode(line []byte, row *Row) error {
	d.begin(row)
	if !d.readKnown(line) {
		d.begin(row)
		if err := d.readAny(line); err != nil {
			return err
		}
	}
	return d.finish()
}

// DecodeRow reads one line as Decoder.Decode does.
func DecodeRow(line []byte) (*Row, error) {
	row := new(Row)
	if err := new(Decoder).Decode(line, row); err != nil {
		return nil, err
	}
	return row, nil
}

func (d *Decoder) begin(row *Row) {
	*row = Row{}
	d.row = row
	d.seconds, d.microseconds = sql.Null[int64]{}, sql.Null[int64]{}
	d.printed, d.common = mptcp.MPCapable{}, common{}
}

// member is where a line has the value of a field.
type member struct {
	field      field
	start, end int
}

// readAny reads the members of a line in whatever legal form, and learns its shape.
func (d *Decoder) readAny(line []byte) error {
	if len(skipSpace(line)) == 0 {
		return ErrBlank
	}
	if !utf8.Valid(line) {
		return fmt.Errorf("%w: not UTF-8", ErrNotJSON)
	}
	if !json.Valid(line) {
		return fmt.Errorf("%w: %v", ErrNotJSON, json.Unmarshal(line, new(json.RawMessage)))
	}
	if err := d.readObject(line); err != nil {
		return err
	}
	d.shapes.learn(line, d.members, d.common)
	return nil
}

// readObject reads the members of a line that is valid JSON, so that only the ends of names and values have
// to be found.
func (d *Decoder) readObject(line []byte) error {
	d.members = d.members[:0]
	if d.seen == nil {
		d.seen = make(map[string]bool, 32)
	}
	clear(d.seen)
	rest := skipSpace(line)
	if rest[0] != '{' {
		return fmt.Errorf("%w: not a JSON object", ErrType)
	}
	for rest = skipSpace(rest[1:]); rest[0] != '}'; {
		n := valueLength(rest)
		name := unquote(rest[:n])
		rest = skipSpace(skipSpace(rest[n:])[1:]) // the colon
		n = valueLength(rest)
		value, start := rest[:n], len(line)-len(rest)
		if rest = skipSpace(rest[n:]); rest[0] == ',' {
			rest = skipSpace(rest[1:])
		}

		f, known := fields[name]
		if known {
			name = f.name()
		}
		if d.seen[name] {
			return fmt.Errorf("%w: %.40q", ErrDuplicate, name)
		}
		d.seen[name] = true
		if string(value) == "null" {
			continue
		}
		d.members = append(d.members, member{f, start, start + n})
		if !known {
			continue
		}
		if reason := d.readValue(f, value); reason != "" {
			return fmt.Errorf("%w: %s is %.60s", reason, name, value)
		}
	}
	return nil
}

// readValue reads a valid JSON value of a known field. The reason is empty if the field can have it.
func (d *Decoder) readValue(f field, value []byte) Reason {
	if !f.hasType(value) {
		return ErrType
	}
	if value[0] == '"' && bytes.IndexByte(value, '\\') >= 0 {
		value = []byte(`"` + unquote(value) + `"`)
	}
	if d.take(f, value) != len(value) {
		return ErrRange
	}
	return ""
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

// unquote returns the text that a valid JSON string stands for.
func unquote(value []byte) string {
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1])
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		panic(err) // not valid JSON: readAny has checked
	}
	return s
}

// finish checks what fields say of each other, and derives what the row left out.
func (d *Decoder) finish() error {
	r := d.row
	r.Probe, r.Classification = d.common.probe, d.common.classification
	r.Repeat, r.Cooldown = d.common.repeat, d.common.cooldown
	d.printed.Presence = d.common.presence
	switch {
	case !r.Saddr.IsValid():
		return fmt.Errorf("%w: saddr", ErrMissing)
	case r.Classification == "":
		return fmt.Errorf("%w: classification", ErrMissing)
	case d.microseconds.Valid && !d.seconds.Valid:
		return fmt.Errorf("%w: timestamp_ts beside timestamp_us", ErrMissing)
	case r.Sent != nil && !r.ProbeTTL.Valid:
		return fmt.Errorf("%w: probe_ttl beside sent", ErrMissing)
	case r.ProbeTTL.Valid && r.Sent == nil:
		return fmt.Errorf("%w: sent beside probe_ttl", ErrMissing)
	}
	if d.seconds.Valid {
		r.Time = time.Unix(d.seconds.V, d.microseconds.V*int64(time.Microsecond)).UTC()
	}
	r.Success = r.Classification == SYNACK
	if d.common.success.Valid {
		r.Success = d.common.success.V
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

func (d *Decoder) finishMPTCP() error {
	r := d.row
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
	d.options.Parse(r.TCPOptions, &r.Options)
	r.MPCapable = r.Options.MPCapable
	if d.printed.Presence != "" && d.printed != r.MPCapable {
		return fmt.Errorf("%w: mptcp fields say %s, tcp_options say %s",
			ErrContradiction, describe(d.printed), describe(r.MPCapable))
	}
	return nil
}

// finishCanary does for the canary what finishMPTCP does for MP_CAPABLE.
func (d *Decoder) finishCanary() error {
	r := d.row
	switch {
	case r.SentCanary.Valid && r.Probe == ProbePlain:
		return fmt.Errorf("%w: sent_canary beside probe plain", ErrContradiction)
	case !r.SentCanary.Valid && d.common.canary != "":
		return fmt.Errorf("%w: sent_canary beside canary", ErrMissing)
	}
	r.Canary = d.common.canary
	if !r.SentCanary.Valid || r.TCPOptions == nil {
		return nil
	}
	r.Canary = mptcp.FindCanary(r.TCPOptions, r.SentCanary.V)
	if d.common.canary != "" && d.common.canary != r.Canary {
		return fmt.Errorf("%w: canary is %s, tcp_options say %s", ErrContradiction, d.common.canary, r.Canary)
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
