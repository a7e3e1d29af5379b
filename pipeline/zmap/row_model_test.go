package zmap

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
	"github.com/mpcensus/mpcensus/schemas"
)

// modelDecode is the decoder as one would write it without a thought of speed: the line's tokens from
// encoding/json, each value judged by schemas/row.schema.json, and then what its fields say of each other.
// It shares no code with the decoder. The reason is empty if the line is a row.
func modelDecode(line []byte) (Row, Reason) {
	if strings.Trim(string(line), " \t\r\n") == "" {
		return Row{}, ErrBlank
	}
	if !utf8.Valid(line) || !json.Valid(line) {
		return Row{}, ErrNotJSON
	}
	tokens := json.NewDecoder(bytes.NewReader(line))
	tokens.UseNumber()
	if first, err := tokens.Token(); err != nil || first != json.Delim('{') {
		return Row{}, ErrType
	}
	schema := rowSchema()
	row := modelRow{}
	names := map[string]bool{}
	for tokens.More() {
		token, err := tokens.Token()
		if err != nil {
			panic(err)
		}
		var value any
		if err := tokens.Decode(&value); err != nil {
			panic(err)
		}
		property, known := schema.Properties[token.(string)]
		name := token.(string)
		if known {
			name = strings.ReplaceAll(name, "-", "_")
		}
		if names[name] {
			return Row{}, ErrDuplicate
		}
		names[name] = true
		if value == nil || !known {
			continue
		}
		if !slices.Contains(property.types(), jsonType(value)) {
			return Row{}, ErrType
		}
		if !property.allows(value) {
			return Row{}, ErrRange
		}
		// A pattern cannot limit a number.
		if text, isText := value.(string); isText && (name == "seqnum" || name == "acknum") {
			if _, err := strconv.ParseUint(text, 10, 32); err != nil {
				return Row{}, ErrRange
			}
		}
		row[name] = value
	}
	for _, name := range schema.Required {
		if !row.has(name) {
			return Row{}, ErrMissing
		}
	}
	return row.read()
}

// modelRow has the fields of a row that are not null.
type modelRow map[string]any

func (m modelRow) has(name string) bool { return m[name] != nil }

func (m modelRow) hasAny(names ...string) bool { return slices.ContainsFunc(names, m.has) }

func (m modelRow) text(name string) string {
	text, _ := m[name].(string)
	return text
}

func (m modelRow) number(name string) int64 {
	switch value := m[name].(type) {
	case json.Number:
		return must(strconv.ParseInt(string(value), 10, 64))
	case string:
		return must(strconv.ParseInt(value, 10, 64))
	}
	return 0
}

func modelInteger[T uint8 | uint16 | uint32](m modelRow, name string) sql.Null[T] {
	return sql.Null[T]{V: T(m.number(name)), Valid: m.has(name)}
}

func (m modelRow) truth(name string) sql.Null[bool] {
	return sql.Null[bool]{V: m[name] == true || m[name] == json.Number("1"), Valid: m.has(name)}
}

func (m modelRow) address(name string) netip.Addr {
	if !m.has(name) {
		return netip.Addr{}
	}
	return netip.MustParseAddr(m.text(name))
}

func (m modelRow) octets(name string) []byte {
	if !m.has(name) {
		return nil
	}
	return must(hex.DecodeString(m.text(name)))
}

func (m modelRow) hexNumber(name string) (n uint64) {
	if m.has(name) {
		n = must(strconv.ParseUint(m.text(name), 16, 64))
	}
	return n
}

func (m modelRow) read() (Row, Reason) {
	if m.has("timestamp_us") && !m.has("timestamp_ts") || m.has("sent") != m.has("probe_ttl") {
		return Row{}, ErrMissing
	}
	row := Row{
		Saddr: m.address("saddr"), Daddr: m.address("daddr"), Responder: m.address("responder"),
		Sport: modelInteger[uint16](m, "sport"), Dport: modelInteger[uint16](m, "dport"),
		TTL: modelInteger[uint8](m, "ttl"), IPID: modelInteger[uint16](m, "ipid"),
		Seqnum: modelInteger[uint32](m, "seqnum"), Acknum: modelInteger[uint32](m, "acknum"),
		Window: modelInteger[uint16](m, "window"), TCPFlags: modelInteger[uint8](m, "tcp_flags"),
		Probe: m.text("probe"), Classification: m.text("classification"),
		Success: m["classification"] == "synack",
		Repeat:  m.truth("repeat"), Cooldown: m.truth("cooldown"),
		TCPOptions: m.octets("tcp_options"), Quote: m.octets("quote"),
		ProbeTTL: modelInteger[uint8](m, "probe_ttl"), Sent: m.octets("sent"),
		SentKey:    sql.Null[uint64]{V: m.hexNumber("sent_key"), Valid: m.has("sent_key")},
		SentCanary: sql.Null[uint32]{V: uint32(m.hexNumber("sent_canary")), Valid: m.has("sent_canary")},
		Canary:     mptcp.Canary(m.text("canary")),
		ICMPType:   modelInteger[uint8](m, "icmp_type"), ICMPCode: modelInteger[uint8](m, "icmp_code"),
		MPCapable: mptcp.MPCapable{
			Presence: mptcp.Presence(m.text("mptcp")),
			Version:  modelInteger[uint8](m, "mptcp_version"),
			Flags:    modelInteger[uint8](m, "mptcp_flags"),
			Length:   modelInteger[uint8](m, "mptcp_length"),
			Key:      sql.Null[uint64]{V: m.hexNumber("mptcp_key"), Valid: m.has("mptcp_key")},
		},
	}
	if m.has("success") {
		row.Success = m.truth("success").V
	}
	if m.has("timestamp_ts") {
		row.Time = time.Unix(m.number("timestamp_ts"), 1000*m.number("timestamp_us")).UTC()
	}
	if strings.Contains(m.text("saddr"), ":") {
		row.IPID = sql.Null[uint16]{}
	}

	switch {
	case !m.has("mptcp") && m.hasAny("mptcp_version", "mptcp_flags", "mptcp_length", "mptcp_key"):
		return Row{}, ErrMissing
	case m.has("tcp_options"):
		row.Options = modelOptions(row.TCPOptions)
		if m.has("mptcp") && row.MPCapable != row.Options.MPCapable {
			return Row{}, ErrContradiction
		}
		row.MPCapable = row.Options.MPCapable
	case m.has("mptcp") && !m.canBeMPTCP():
		return Row{}, ErrContradiction
	}
	switch {
	case m.has("sent_canary") && m["probe"] == "plain":
		return Row{}, ErrContradiction
	case m.has("canary") && !m.has("sent_canary"):
		return Row{}, ErrMissing
	case m.has("sent_canary") && m.has("tcp_options"):
		found := modelCanary(row.TCPOptions, m.text("sent_canary"))
		if m.has("canary") && row.Canary != found {
			return Row{}, ErrContradiction
		}
		row.Canary = found
	}
	tcp := m.hasAny("seqnum", "acknum", "window", "tcp_flags", "tcp_options", "mptcp", "canary")
	icmp := m.hasAny("responder", "icmp_type", "icmp_code", "quote")
	if m["classification"] == "icmp" && tcp || m["classification"] != "icmp" && icmp {
		return Row{}, ErrContradiction
	}
	return row, ""
}

// canBeMPTCP says whether some options can be what the mptcp fields say: see the comments on
// mptcp.MPCapable and RFC 8684 §3.1.
func (m modelRow) canBeMPTCP() bool {
	version, flags, length, key := m.has("mptcp_version"), m.has("mptcp_flags"), m.has("mptcp_length"), m.has("mptcp_key")
	switch m["mptcp"] {
	case "capable":
		if !version || !flags || !length {
			return false
		}
		return m.number("mptcp_length") == 12 && key || m.number("mptcp_length") == 4 && !key && m.number("mptcp_version") != 0
	case "malformed":
		// The length byte comes before the version, the version before the flags; all three from the subtype on.
		return !key && version == length && (version || !flags)
	default:
		return !version && !flags && !length && !key
	}
}

// modelOption is an option that was taken off a list.
type modelOption struct {
	octets []byte // what is there of it
	whole  bool
}

func modelSplit(area []byte) (options []modelOption) {
	for len(area) > 0 {
		switch {
		case area[0] == 0:
			return append(options, modelOption{area[:1], true})
		case area[0] == 1:
			options = append(options, modelOption{area[:1], true})
			area = area[1:]
		case len(area) == 1 || area[1] < 2:
			return append(options, modelOption{area[:min(2, len(area))], false})
		case int(area[1]) > len(area):
			return append(options, modelOption{area, false})
		default:
			options = append(options, modelOption{area[:area[1]], true})
			area = area[area[1]:]
		}
	}
	return options
}

// modelOptions reads options as hex text, one pattern an option.
func modelOptions(area []byte) mptcp.Options {
	options := modelSplit(area)
	var order []string
	for _, option := range options {
		order = append(order, strconv.Itoa(int(option.octets[0])))
		if !option.whole {
			order = append(order, "!")
		}
	}
	found := func(pattern string) []string {
		for _, option := range options {
			if m := modelPattern("^" + pattern + "$").FindStringSubmatch(hex.EncodeToString(option.octets)); option.whole && m != nil {
				return m
			}
		}
		return nil
	}
	number := func(digits string) uint64 { return must(strconv.ParseUint(digits, 16, 64)) }
	o := mptcp.Options{Order: strings.Join(order, "-"), SACKPermitted: found("0402") != nil, MPCapable: modelMPCapable(options)}
	if m := found("0204(....)"); m != nil {
		o.MSS = null(uint16(number(m[1])))
	}
	if m := found("0303(..)"); m != nil {
		o.WindowScale = null(uint8(number(m[1])))
	}
	if m := found("080a(.{8})(.{8})"); m != nil {
		o.TSValue, o.TSEcho = null(uint32(number(m[1]))), null(uint32(number(m[2])))
	}
	return o
}

// modelMPCapable searches the options three times: for a legal MP_CAPABLE, a malformed option, any other.
func modelMPCapable(options []modelOption) mptcp.MPCapable {
	options = slices.DeleteFunc(slices.Clone(options), func(o modelOption) bool { return o.octets[0] != 30 })
	octet := func(o modelOption, i int) sql.Null[uint8] {
		if i >= len(o.octets) {
			return sql.Null[uint8]{}
		}
		return null(o.octets[i])
	}
	facts := func(p mptcp.Presence, o modelOption) mptcp.MPCapable {
		m := mptcp.MPCapable{Presence: p, Length: octet(o, 1), Version: octet(o, 2), Flags: octet(o, 3)}
		m.Version.V %= 16
		return m
	}
	isCapable := func(o modelOption) bool { return len(o.octets) > 2 && o.octets[2] < 16 }
	for _, o := range options {
		if o.whole && isCapable(o) && (len(o.octets) == 12 || len(o.octets) == 4 && o.octets[2] != 0) {
			m := facts(mptcp.Capable, o)
			if len(o.octets) == 12 {
				m.Key = null(must(strconv.ParseUint(hex.EncodeToString(o.octets[4:]), 16, 64)))
			}
			return m
		}
	}
	for _, o := range options {
		if isCapable(o) {
			return facts(mptcp.Malformed, o)
		}
		if !o.whole || len(o.octets) < 3 {
			return mptcp.MPCapable{Presence: mptcp.Malformed}
		}
	}
	if len(options) > 0 {
		return mptcp.MPCapable{Presence: mptcp.Other}
	}
	return mptcp.MPCapable{Presence: mptcp.None}
}

// modelCanary compares what begins like our canary, kind 254 and "MC", with the one that we sent.
func modelCanary(area []byte, nonce string) mptcp.Canary {
	for _, option := range modelSplit(area) {
		text := hex.EncodeToString(option.octets)
		if modelPattern("^fe..4d43").MatchString(text) && option.octets[1] >= 4 {
			if text == "fe084d43"+nonce {
				return mptcp.CanaryMirrored
			}
			return mptcp.CanaryAltered
		}
	}
	return mptcp.CanaryNone
}

// contract is what the model understands of JSON Schema.
type contract struct {
	Required   []string
	Properties map[string]property
}

type property struct {
	Type             string
	Enum             []string
	Pattern          string
	Format           string
	Minimum, Maximum *json.Number
	AnyOf, OneOf     []property
}

var rowSchema = sync.OnceValue(func() (c contract) {
	if err := json.Unmarshal(schemas.Row, &c); err != nil {
		panic(err)
	}
	return c
})

var modelPatterns sync.Map

func modelPattern(expression string) *regexp.Regexp {
	if compiled, ok := modelPatterns.Load(expression); ok {
		return compiled.(*regexp.Regexp)
	}
	compiled := regexp.MustCompile(expression)
	modelPatterns.Store(expression, compiled)
	return compiled
}

// jsonType is JSON Schema's name of a value's type, but for 1.0 and 1e0, which are no integers here.
func jsonType(value any) string {
	switch value := value.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case json.Number:
		if modelPattern(`^-?[0-9]+$`).MatchString(string(value)) {
			return "integer"
		}
		return "number"
	case nil:
		return "null"
	}
	return "object or array"
}

func (p property) types() []string {
	types := []string{p.Type}
	if p.Enum != nil {
		types = append(types, "string")
	}
	for _, choice := range p.OneOf {
		types = append(types, choice.types()...)
	}
	return types
}

// allows is the obvious reading of the schema, for a value of map[string]any.
func (p property) allows(value any) bool {
	any := func(ps []property) bool {
		return slices.ContainsFunc(ps, func(p property) bool { return p.allows(value) })
	}
	text, isText := value.(string)
	number, isNumber := value.(json.Number)
	if p.Type != "" && p.Type != jsonType(value) {
		return false
	}
	compare := func(limit *json.Number, sign float64) bool {
		a, err1 := number.Float64()
		b, err2 := limit.Float64()
		return errors.Join(err1, err2) == nil && sign*(a-b) >= 0
	}
	if isNumber && (p.Minimum != nil && !compare(p.Minimum, 1) || p.Maximum != nil && !compare(p.Maximum, -1)) {
		return false
	}
	if p.Enum != nil && !(isText && slices.Contains(p.Enum, text)) {
		return false
	}
	if p.Pattern != "" && isText && !modelPattern(p.Pattern).MatchString(text) {
		return false
	}
	if p.Format != "" {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" || a.Is4() != (p.Format == "ipv4") {
			return false
		}
	}
	return (p.AnyOf == nil || any(p.AnyOf)) && (p.OneOf == nil || any(p.OneOf))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
