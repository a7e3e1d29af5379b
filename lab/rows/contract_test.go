package rows

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"math/bits"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/zmap"
	"github.com/mpcensus/mpcensus/schemas"
)

// zmapFields is what ZMap 4.3.4 prints with -f '*': src/probe_modules/probe_modules.c (ip_fields,
// sys_fields) around the module's row_fields (zmap-module/row/row.c).
var zmapFields = []string{
	"saddr", "saddr_raw", "daddr", "daddr_raw", "ipid", "ttl",
	"sport", "dport", "seqnum", "acknum", "window", "tcp_flags", "probe", "tcp_options", "mptcp", "mptcp_version",
	"mptcp_flags", "mptcp_length", "mptcp_key", "sent_key", "canary", "sent_canary", "classification", "success",
	"icmp_type", "icmp_code", "responder", "quote", "probe_ttl", "sent",
	"repeat", "cooldown", "timestamp_str", "timestamp_ts", "timestamp_us",
}

// property is what these rows need of JSON Schema.
type property struct {
	Type, Pattern, Format string
	Enum                  []string
	Minimum, Maximum      *float64
	AnyOf, OneOf          []property
}

// allows is the obvious reading of the schema.
func (p property) allows(value any) bool {
	one := func(p property) bool { return p.allows(value) }
	text, isText := value.(string)
	number, isNumber := value.(float64)
	_, isBool := value.(bool)
	switch {
	case p.Type == "string" && !isText,
		p.Type == "integer" && (!isNumber || number != math.Trunc(number)),
		p.Type == "boolean" && !isBool,
		p.Enum != nil && !slices.Contains(p.Enum, text),
		p.Pattern != "" && isText && !pattern(p.Pattern).MatchString(text),
		isNumber && p.Minimum != nil && number < *p.Minimum,
		isNumber && p.Maximum != nil && number > *p.Maximum,
		p.AnyOf != nil && !slices.ContainsFunc(p.AnyOf, one),
		p.OneOf != nil && !slices.ContainsFunc(p.OneOf, one):
		return false
	}
	if p.Format != "" {
		address, err := netip.ParseAddr(text)
		return err == nil && address.Is4() == (p.Format == "ipv4")
	}
	return true
}

var patterns = map[string]*regexp.Regexp{}

func pattern(text string) *regexp.Regexp {
	if patterns[text] == nil {
		patterns[text] = regexp.MustCompile(text)
	}
	return patterns[text]
}

// row is a line as any JSON reader sees it.
type row map[string]any

func parse(t *testing.T, line []byte) row {
	t.Helper()
	var r row
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return r
}

func (r row) text(name string) string { text, _ := r[name].(string); return text }

func (r row) number(name string) float64 { number, _ := r[name].(float64); return number }

// Every row is one by the contract, by the decoder, and in ZMap's spelling.
func TestRowsAreRows(t *testing.T) {
	var contract struct {
		Required   []string
		Properties map[string]property
	}
	if err := json.Unmarshal(schemas.Row, &contract); err != nil {
		t.Fatal(err)
	}
	for _, p := range scans {
		for _, line := range lines(write(t, p)) {
			r := parse(t, line)
			for _, name := range contract.Required {
				if r[name] == nil {
					t.Fatalf("%s: no %s", line, name)
				}
			}
			for name, value := range r {
				if property, ok := contract.Properties[name]; ok && !property.allows(value) {
					t.Fatalf("%s: %s is against the contract", line, name)
				}
			}
			if _, err := zmap.DecodeRow(line); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			checkSpelling(t, line)
			checkAddresses(t, r, p)
			checkTime(t, r)
		}
	}
}

// checkSpelling: fields in ZMap's order, and no space between tokens.
func checkSpelling(t *testing.T, line []byte) {
	t.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, line); err != nil || !bytes.Equal(compact.Bytes(), line) {
		t.Fatalf("%s: not as JSON_C_TO_STRING_PLAIN has it", line)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	next := 0
	for i := -1; ; i++ {
		token, err := d.Token()
		if err != nil {
			break
		}
		if name, ok := token.(string); ok && i%2 == 0 {
			at := slices.Index(zmapFields, name)
			if at < next {
				t.Fatalf("%s: %s is not in ZMap's order", line, name)
			}
			next = at + 1
		}
	}
}

func checkAddresses(t *testing.T, r row, p Params) {
	t.Helper()
	saddr := netip.MustParseAddr(r.text("saddr"))
	if saddr.Is4() != (p.Family == IPv4) || saddr.String() != r.text("saddr") {
		t.Fatalf("saddr %s", r.text("saddr"))
	}
	_, hasRaw := r["saddr_raw"]
	_, hasID := r["ipid"]
	if hasRaw != saddr.Is4() || hasID != saddr.Is4() {
		t.Fatalf("%v: fields of IPv4 in a row of %s", r, p.Family)
	}
	if saddr.Is4() {
		bytes := saddr.As4()
		if raw := uint32(r.number("saddr_raw")); bits.ReverseBytes32(raw) != binary.BigEndian.Uint32(bytes[:]) {
			t.Fatalf("%s with saddr_raw %d", saddr, raw)
		}
	}
	if r.number("sport") != float64(p.Port) || r.number("dport") < 32768 {
		t.Fatalf("%v: ports", r)
	}
}

func checkTime(t *testing.T, r row) {
	t.Helper()
	whole, fraction := r.number("timestamp_ts"), r.number("timestamp_us")
	milliseconds := strconv.Itoa(int(fraction/1000) + 1000)[1:]
	// 1795421700 is 08:15, as date -u -d @1795421700 says.
	second := int(whole) - 1795421700
	clock := "2026-11-23T08:15:" + strconv.Itoa(second + 100)[1:] + "." + milliseconds + "+0000"
	if second > 59 || r.text("timestamp_str") != clock {
		t.Fatalf("%v: timestamp_str is not %s", r, clock)
	}
}

func TestRejectsAreNoRows(t *testing.T) {
	for _, line := range rejects {
		if _, err := zmap.DecodeRow([]byte(line)); err == nil {
			t.Errorf("%q is a row", line)
		}
	}
}

// A quote is our SYN to the target, with right checksums, in a reading of its own.
func TestQuotes(t *testing.T) {
	for _, p := range scans {
		whole := 0
		for _, line := range lines(write(t, p)) {
			r := parse(t, line)
			if r.text("classification") != "icmp" {
				continue
			}
			quote, err := hex.DecodeString(r.text("quote"))
			if err != nil {
				t.Fatal(err)
			}
			header, addresses := 20, 12
			if p.Family == IPv6 {
				header, addresses = 40, 8
			}
			if target, _ := netip.AddrFromSlice(quote[(header+addresses)/2 : header]); target.String() != r.text("saddr") {
				t.Fatalf("%s: the quote is of a SYN to %s", line, target)
			}
			if p.Family == IPv4 && onesComplement(quote[:header]) != 0xffff {
				t.Fatalf("%s: the quoted header's checksum", line)
			}
			tcp := quote[header:]
			if source := binary.BigEndian.Uint16(tcp); float64(source) != r.number("dport") {
				t.Fatalf("%s: the quote is of a SYN from port %d", line, source)
			}
			if len(tcp) == 8 {
				continue
			}
			whole++
			pseudo := append(slices.Clone(quote[addresses:header]), 0, 6, 0, byte(len(tcp)))
			if onesComplement(append(pseudo, tcp...)) != 0xffff {
				t.Fatalf("%s: the quoted TCP checksum", line)
			}
			if key := r.text("sent_key"); key != "" && hex.EncodeToString(tcp[len(tcp)-8:]) != key {
				t.Fatalf("%s: the quoted SYN has another key", line)
			}
		}
		if whole < 100 {
			t.Errorf("%s: only %d whole quotes", p.name(), whole)
		}
	}
}

// onesComplement is the sum of RFC 1071 §1, which with its checksum is all ones.
func onesComplement(b []byte) (sum int) {
	for i := range b {
		sum += int(b[i]) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return sum
}
