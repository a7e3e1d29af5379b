package zmap

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
	"github.com/mpcensus/mpcensus/schemas"
)

const rowVectors = "../../testdata/rows"

var reasons = []Reason{ErrBlank, ErrTooLong, ErrNotJSON, ErrDuplicate, ErrType, ErrRange, ErrMissing, ErrContradiction}

func null[T any](v T) sql.Null[T] { return sql.Null[T]{V: v, Valid: true} }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// validRows says what must be read in testdata/rows/valid-*.json, but for Options, which package
// mptcp tests.
func validRows(t testing.TB) map[string]Row {
	linux := unhex(t, "020405b40402080a0000000100000002010303071e0c01018000000000000001")
	v1 := Row{
		Time:  time.Date(2026, 11, 23, 8, 15, 0, 123456000, time.UTC),
		Saddr: netip.MustParseAddr("198.18.0.7"), Daddr: netip.MustParseAddr("192.0.2.1"),
		Sport: null(uint16(443)), Dport: null(uint16(40001)),
		TTL: null(uint8(64)), IPID: null(uint16(4711)),
		Seqnum: null(uint32(4294967295)), Acknum: null(uint32(305419896)),
		Window: null(uint16(65160)), TCPFlags: null(uint8(18)),
		Probe: ProbeV1, Classification: SYNACK, Success: true, Repeat: null(false), Cooldown: null(false),
		TCPOptions: linux,
		MPCapable: mptcp.MPCapable{
			Presence: mptcp.Capable, Version: null(uint8(1)), Flags: null(uint8(1)), Length: null(uint8(12)),
			Key: null(uint64(0x8000000000000001)),
		},
	}
	change := func(row Row, f func(*Row)) Row { f(&row); return row }
	canary := change(v1, func(r *Row) {
		r.Probe, r.SentCanary, r.Canary = ProbeCanary, null(uint32(0x89abcdef)), mptcp.CanaryMirrored
		r.TCPOptions, r.MPCapable = unhex(t, "020405b4fe084d4389abcdef"), mptcp.MPCapable{Presence: mptcp.None}
	})
	return map[string]Row{
		"valid-v1":             v1,
		"valid-crlf":           v1,
		"valid-zmap4-spelling": v1,
		"valid-v0-echo": change(v1, func(r *Row) {
			r.Probe = ProbeV0
			r.TCPOptions = unhex(t, "020405b41e0c008100000000ffff0000")
			r.MPCapable.Version, r.MPCapable.Flags = null(uint8(0)), null(uint8(0x81))
			r.MPCapable.Key, r.SentKey = null(uint64(0xffff0000)), null(uint64(0xffff0000))
		}),
		"valid-v1-echo": change(v1, func(r *Row) {
			r.TCPOptions = unhex(t, "1e040101")
			r.MPCapable.Length, r.MPCapable.Key = null(uint8(4)), sql.Null[uint64]{}
		}),
		"valid-ipv6": change(v1, func(r *Row) {
			r.Saddr, r.Daddr = netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("2001:db8::1")
			r.IPID = sql.Null[uint16]{}
		}),
		"valid-icmpv6": {
			Time:  time.Date(2026, 11, 23, 8, 15, 1, 0, time.UTC),
			Saddr: netip.MustParseAddr("2001:db8:7::9"), Daddr: netip.MustParseAddr("2001:db8::1"),
			Sport: null(uint16(443)), Dport: null(uint16(40001)), TTL: null(uint8(60)),
			Probe: ProbeCanary, SentCanary: null(uint32(0x89abcdef)), Repeat: null(false), Cooldown: null(false),
			Classification: ICMP, ICMPType: null(uint8(1)), ICMPCode: null(uint8(4)),
			Responder: netip.MustParseAddr("2001:db8:ff::1"), Quote: unhex(t, "6000000000180640"),
		},
		"valid-canary":                       canary,
		"valid-canary-derived":               canary,
		"valid-canary-facts-without-options": change(canary, func(r *Row) { r.TCPOptions = nil }),
		"valid-canary-altered": change(v1, func(r *Row) {
			r.TCPOptions = unhex(t, "1e040101fe064d4389ab")
			r.MPCapable.Length, r.MPCapable.Key = null(uint8(4)), sql.Null[uint64]{}
			r.SentCanary, r.Canary = null(uint32(0x89abcdef)), mptcp.CanaryAltered
		}),
		"valid-rst": change(v1, func(r *Row) {
			r.Classification, r.Success, r.TCPFlags = RST, false, null(uint8(20))
			r.TCPOptions, r.MPCapable = []byte{}, mptcp.MPCapable{Presence: mptcp.None}
		}),
		"valid-icmp": {
			Time:  time.Date(2026, 11, 23, 8, 15, 1, 0, time.UTC),
			Saddr: netip.MustParseAddr("198.18.0.9"), Daddr: netip.MustParseAddr("192.0.2.1"),
			Sport: null(uint16(443)), Dport: null(uint16(40001)), TTL: null(uint8(250)), IPID: null(uint16(1)),
			Probe: ProbeV1, Classification: ICMP, ICMPType: null(uint8(3)), ICMPCode: null(uint8(13)),
			Responder: netip.MustParseAddr("198.18.255.1"),
			Quote:     unhex(t, "450000280001000001060000c0000201c61200099c4101bb"),
		},
		"valid-malformed-option": change(v1, func(r *Row) {
			r.TCPOptions = unhex(t, "1e080181ffffffff")
			r.MPCapable = mptcp.MPCapable{
				Presence: mptcp.Malformed, Version: null(uint8(1)), Flags: null(uint8(0x81)), Length: null(uint8(8)),
			}
		}),
		"valid-stock-synscan-211": change(v1, func(r *Row) {
			r.IPID, r.Window, r.TCPFlags, r.Probe = null(uint16(0)), null(uint16(64240)), sql.Null[uint8]{}, ""
			r.Seqnum, r.Acknum = null(uint32(1<<32-1)), null(uint32(1<<31))
			r.TCPOptions, r.MPCapable = nil, mptcp.MPCapable{}
		}),
		"valid-derived-from-options":  v1,
		"valid-facts-without-options": change(v1, func(r *Row) { r.TCPOptions = nil }),
		"valid-escapes":               {Saddr: netip.MustParseAddr("198.18.0.7"), Classification: RST},
		"valid-least":                 {Saddr: netip.MustParseAddr("198.18.0.7"), Classification: RST},
		"valid-nulls-and-unknown":     {Saddr: netip.MustParseAddr("198.18.0.7"), Classification: SYNACK, Success: true},
	}
}

// readVector returns the only line of a file of testdata/rows.
func readVector(t testing.TB, path string) Line {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	line, err := NewRowReader(file).Read()
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func vectorPaths(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(rowVectors, pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no %s in %s", pattern, rowVectors)
	}
	return paths
}

func vectorName(path string) string { return strings.TrimSuffix(filepath.Base(path), ".json") }

func TestValidRows(t *testing.T) {
	want := validRows(t)
	for _, path := range vectorPaths(t, "valid-*.json") {
		name := vectorName(path)
		t.Run(name, func(t *testing.T) {
			expected, ok := want[name]
			if !ok {
				t.Fatal("nothing says what must be read in this file")
			}
			line := readVector(t, path)
			if line.Err != nil {
				t.Fatal(line.Err)
			}
			if expected.TCPOptions != nil {
				expected.Options = mptcp.Parse(expected.TCPOptions)
			}
			if !reflect.DeepEqual(*line.Row, expected) {
				t.Errorf("\n got %+v\nwant %+v", *line.Row, expected)
			}
		})
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s: no such file", name)
	}
}

// The name of an invalid row begins with the reason to reject it.
func TestInvalidRows(t *testing.T) {
	seen := map[Reason]bool{}
	for _, path := range vectorPaths(t, "invalid-*.json") {
		name := strings.TrimPrefix(vectorName(path), "invalid-")
		i := slices.IndexFunc(reasons, func(r Reason) bool { return strings.HasPrefix(name, string(r)+"-") })
		if i < 0 {
			t.Errorf("%s names no reason", path)
			continue
		}
		seen[reasons[i]] = true
		line := readVector(t, path)
		if !errors.Is(line.Err, reasons[i]) || line.Row != nil {
			t.Errorf("%s: row %+v, error %v, want %q", path, line.Row, line.Err, reasons[i])
		} else if strings.ContainsAny(line.Err.Error(), "\n\r") || len(line.Err.Error()) > 500 {
			t.Errorf("%s: %q is not one short line", path, line.Err)
		}
	}
	for _, r := range reasons {
		if !seen[r] {
			t.Errorf("no vector for %q", r)
		}
	}
}

// contract is what TestAgainstContract understands of JSON Schema.
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

var wholeNumber = regexp.MustCompile(`^-?[0-9]+$`)

// allows is the obvious reading of the schema, for a value of map[string]any.
func (p property) allows(t *testing.T, value any) bool {
	any := func(ps []property) bool {
		return slices.ContainsFunc(ps, func(p property) bool { return p.allows(t, value) })
	}
	text, isText := value.(string)
	number, isNumber := value.(json.Number)
	_, isBool := value.(bool)
	switch p.Type {
	case "string":
		if !isText {
			return false
		}
	case "integer":
		if !isNumber || !wholeNumber.MatchString(number.String()) {
			return false
		}
	case "boolean":
		if !isBool {
			return false
		}
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
	if p.Pattern != "" && isText && !regexp.MustCompile(p.Pattern).MatchString(text) {
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

// printed is a field of a row as the value that JSON had for it.
func printed(r *Row, name string) any {
	decimal := func(valid bool, n int64) any {
		if !valid {
			return nil
		}
		return json.Number(strconv.FormatInt(n, 10))
	}
	text := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	octets := func(b []byte) any {
		if b == nil {
			return nil
		}
		return hex.EncodeToString(b)
	}
	key := func(k sql.Null[uint64]) any {
		if !k.Valid {
			return nil
		}
		return fmt.Sprintf("%016x", k.V)
	}
	address := func(a netip.Addr) any {
		if !a.IsValid() {
			return nil
		}
		return a.String()
	}
	switch name {
	case "saddr":
		return address(r.Saddr)
	case "daddr":
		return address(r.Daddr)
	case "responder":
		return address(r.Responder)
	case "sport":
		return decimal(r.Sport.Valid, int64(r.Sport.V))
	case "dport":
		return decimal(r.Dport.Valid, int64(r.Dport.V))
	case "ipid":
		return decimal(r.IPID.Valid, int64(r.IPID.V))
	case "ttl":
		return decimal(r.TTL.Valid, int64(r.TTL.V))
	case "window":
		return decimal(r.Window.Valid, int64(r.Window.V))
	case "tcp_flags":
		return decimal(r.TCPFlags.Valid, int64(r.TCPFlags.V))
	case "seqnum":
		return decimal(r.Seqnum.Valid, int64(r.Seqnum.V))
	case "acknum":
		return decimal(r.Acknum.Valid, int64(r.Acknum.V))
	case "probe":
		return text(r.Probe)
	case "classification":
		return text(r.Classification)
	case "success":
		return r.Success
	case "repeat":
		return r.Repeat.V
	case "cooldown":
		return r.Cooldown.V
	case "tcp_options":
		return octets(r.TCPOptions)
	case "quote":
		return octets(r.Quote)
	case "mptcp":
		return text(string(r.MPCapable.Presence))
	case "mptcp_version":
		return decimal(r.MPCapable.Version.Valid, int64(r.MPCapable.Version.V))
	case "mptcp_flags":
		return decimal(r.MPCapable.Flags.Valid, int64(r.MPCapable.Flags.V))
	case "mptcp_length":
		return decimal(r.MPCapable.Length.Valid, int64(r.MPCapable.Length.V))
	case "mptcp_key":
		return key(r.MPCapable.Key)
	case "sent_key":
		return key(r.SentKey)
	case "sent_canary":
		if !r.SentCanary.Valid {
			return nil
		}
		return fmt.Sprintf("%08x", r.SentCanary.V)
	case "canary":
		return text(string(r.Canary))
	case "icmp_type":
		return decimal(r.ICMPType.Valid, int64(r.ICMPType.V))
	case "icmp_code":
		return decimal(r.ICMPCode.Valid, int64(r.ICMPCode.V))
	case "timestamp_ts", "timestamp-ts":
		return decimal(!r.Time.IsZero(), r.Time.Unix())
	case "timestamp_us", "timestamp-us":
		return decimal(!r.Time.IsZero(), int64(r.Time.Nanosecond()/1000))
	}
	return nil
}

// canonical brings what may be spelt in several ways to printed's spelling.
func canonical(name string, value any) any {
	switch name {
	case "success", "repeat", "cooldown":
		return value == true || value == json.Number("1")
	case "seqnum", "acknum":
		n, _ := strconv.ParseInt(fmt.Sprint(value), 10, 64)
		return json.Number(strconv.FormatInt((n+1<<32)%(1<<32), 10))
	}
	return value
}

// randomRow is a row with one field in three left out and, often, a bad value.
func randomRow(random *rand.Rand) map[string]any {
	pick := func(values ...any) any { return values[random.IntN(len(values))] }
	number := func(limit int64) any { return json.Number(strconv.FormatInt(random.Int64N(limit), 10)) }
	octets := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return hex.EncodeToString(b)
	}
	address := func() any {
		var a [16]byte
		for i := range a {
			a[i] = byte(random.Uint32())
		}
		if random.IntN(2) == 0 {
			return netip.AddrFrom16(a).String()
		}
		return netip.AddrFrom4([4]byte(a[:4])).String()
	}
	sequence := func() any {
		n := random.Uint32()
		return pick(json.Number(strconv.FormatInt(int64(int32(n)), 10)), json.Number(fmt.Sprint(n)), fmt.Sprint(n), fmt.Sprintf("%010d", n))
	}
	truth := func() any { return pick(true, false, json.Number("0"), json.Number("1")) }
	options := octets(random.IntN(41))
	nonce := octets(4)
	canary := pick("none", "none", "none", "mirrored", "altered")
	switch random.IntN(8) {
	case 0:
		options, canary = options[:2*random.IntN(1+min(len(options)/2, 8))]+"00", "none"
	case 1:
		options, canary = "01fe084d43"+nonce, pick("mirrored", "mirrored", "mirrored", "none", "altered")
	case 2:
		options, canary = "01fe044d43", pick("altered", "altered", "altered", "none", "mirrored")
	}
	m := mptcp.Parse(must(hex.DecodeString(options))).MPCapable
	all := map[string]any{
		"saddr": address(), "daddr": address(), "sport": number(65536), "dport": number(65536), "ipid": number(65536),
		"ttl": number(256), "window": number(65536), "tcp_flags": number(256), "seqnum": sequence(), "acknum": sequence(),
		"probe": pick("v0", "v1", "plain", "canary"), "tcp_options": options,
		"sent_canary": nonce, "canary": canary,
		"mptcp":         string(m.Presence),
		"mptcp_version": number(16), "mptcp_flags": number(256), "mptcp_length": number(256),
		"mptcp_key": octets(8), "sent_key": octets(8), "classification": pick("synack", "rst", "icmp"),
		"success": truth(), "repeat": truth(), "cooldown": truth(),
		"icmp_type": number(256), "icmp_code": number(256), "responder": address(), "quote": octets(random.IntN(200)),
		pick("timestamp_ts", "timestamp-ts").(string): number(1 << 33), pick("timestamp_us", "timestamp-us").(string): number(1000000),
		"unknown": pick(json.Number("1e400"), `a"},{\\`, []any{map[string]any{"\"": "]"}}, nil),
	}
	tcp := []string{"seqnum", "acknum", "window", "tcp_flags", "tcp_options", "mptcp", "mptcp_version", "mptcp_flags", "mptcp_length", "mptcp_key", "canary"}
	icmp := []string{"icmp_type", "icmp_code", "responder", "quote"}
	row := map[string]any{}
	for name, value := range all {
		// Most rows keep to what their classification can have.
		other := all["classification"] == "icmp" && slices.Contains(tcp, name) ||
			all["classification"] != "icmp" && slices.Contains(icmp, name) ||
			strings.HasPrefix(name, "mptcp_")
		if random.IntN(3) > 0 && (!other || random.IntN(50) == 0) || name == "saddr" || name == "classification" {
			row[name] = value
		}
	}
	for name := range row {
		if random.IntN(60) == 0 {
			row[name] = pick(nil, true, "", "x", "ABCDEF", json.Number("-1"), json.Number("65536"), json.Number("1.5"),
				json.Number("1e3"), json.Number("99999999999999999999"), []any{}, map[string]any{"a": nil}, "-1", "4294967296")
		}
	}
	return row
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Random rows are judged by schemas/row.schema.json, read naively: the decoder takes a row if and
// only if the schema does, unless fields contradict each other, and gives every value unchanged.
func TestAgainstContract(t *testing.T) {
	var c contract
	if err := json.Unmarshal(schemas.Row, &c); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	kept, rejected := 0, map[Reason]int{}
	for range 10_000 {
		text := must(json.Marshal(randomRow(random)))

		row := map[string]any{}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
		allowed := true
		for name, value := range row {
			if value == nil {
				delete(row, name)
			} else if p, ok := c.Properties[name]; ok && !p.allows(t, value) {
				allowed = false
			}
		}
		// The schema sets no limit for seconds, and a pattern cannot limit numbers in text.
		for name, beyond := range map[string]any{
			"timestamp_ts": json.Number("99999999999999999999"), "timestamp-ts": json.Number("99999999999999999999"),
			"seqnum": "4294967296", "acknum": "4294967296",
		} {
			allowed = allowed && row[name] != beyond
		}
		for _, name := range c.Required {
			allowed = allowed && row[name] != nil
		}

		got, err := DecodeRow(text)
		if err != nil {
			var reason Reason
			if !errors.As(err, &reason) {
				t.Fatalf("%s: %v has no reason", text, err)
			}
			rejected[reason]++
			// The schema does not know of fields that need or exclude each other.
			if allowed && reason != ErrContradiction && reason != ErrMissing || reason == ErrNotJSON {
				t.Fatalf("%s: %v, but the schema allows it", text, err)
			}
			continue
		}
		kept++
		if !allowed {
			t.Fatalf("%s: accepted, but the schema does not allow it", text)
		}
		for name := range c.Properties {
			value, there := row[name]
			want := canonical(name, value)
			switch {
			case name == "ipid" && got.Saddr.Is6():
				want = nil
			case !there && (strings.HasPrefix(name, "mptcp") || name == "canary" || strings.HasPrefix(name, "timestamp") || name == "success"):
				continue // derived, or there in the other spelling
			case !there:
				want = canonical(name, nil)
				if want == json.Number("0") { // of seqnum and acknum
					want = nil
				}
			}
			if have := printed(got, name); have != want {
				t.Fatalf("%s: %s is %v, want %v", text, name, have, want)
			}
		}
	}
	if kept < 1000 || rejected[ErrType] < 200 || rejected[ErrRange] < 200 || rejected[ErrContradiction] < 200 {
		t.Errorf("the random rows are too poor: %d kept, rejected %v", kept, rejected)
	}
}

func FuzzDecodeRow(f *testing.F) {
	for _, path := range vectorPaths(f, "*.json") {
		if line := readVector(f, path); len(line.Raw) < 4096 {
			f.Add(bytes.Clone(line.Raw))
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		row, err := DecodeRow(line)
		if (row == nil) == (err == nil) {
			t.Fatalf("row %v and error %v", row, err)
		}
		if err != nil {
			if !slices.ContainsFunc(reasons, func(r Reason) bool { return errors.Is(err, r) }) {
				t.Errorf("%v has no reason", err)
			}
			return
		}
		if !row.Saddr.IsValid() || row.Classification == "" || !json.Valid(line) {
			t.Errorf("not a row: %+v", row)
		}
		if row.TCPOptions != nil && row.MPCapable != mptcp.Parse(row.TCPOptions).MPCapable {
			t.Errorf("MPTCP facts are not those of the options: %+v", row)
		}
		if row.TCPOptions != nil && row.SentCanary.Valid && row.Canary != mptcp.FindCanary(row.TCPOptions, row.SentCanary.V) {
			t.Errorf("the canary is not that of the options: %+v", row)
		}
	})
}

func BenchmarkDecodeRow(b *testing.B) {
	line := readVector(b, filepath.Join(rowVectors, "valid-v1.json")).Raw
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRow(line); err != nil {
			b.Fatal(err)
		}
	}
}
