package zmap

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
)

// checkDecode compares what a decoder reads in a line with what the model reads, and returns the reason.
func checkDecode(t *testing.T, d *Decoder, line []byte) Reason {
	t.Helper()
	before := bytes.Clone(line)
	want, reason := modelDecode(line)
	var row Row
	err := d.Decode(line, &row)
	if !bytes.Equal(line, before) {
		t.Fatalf("%q was changed", before)
	}
	var got Reason
	if err != nil && !errors.As(err, &got) {
		t.Fatalf("%q: %v has no reason", line, err)
	}
	if got != reason {
		t.Fatalf("%q: got %v, want %q", line, err, reason)
	}
	if err == nil && !reflect.DeepEqual(row, want) {
		t.Fatalf("%q:\n got %+v\nwant %+v", line, row, want)
	}
	return reason
}

// isKnown says whether a decoder takes its short way with a line.
func isKnown(d *Decoder, line []byte) bool {
	d.begin(new(Row))
	return d.readKnown(line)
}

func TestModelReadsVectors(t *testing.T) {
	want := validRows(t)
	for _, path := range vectorPaths(t, "*.json") {
		line := readVector(t, path)
		if line.CheckLength() != nil {
			continue
		}
		expected, valid := want[vectorName(path)]
		got, reason := modelDecode(line.Raw)
		got.Options, expected.Options = mptcp.Options{}, mptcp.Options{}
		if valid && (reason != "" || !reflect.DeepEqual(got, expected)) {
			t.Errorf("%s: %s\n got %+v\nwant %+v", path, reason, got, expected)
		}
		if !valid && !strings.HasPrefix(vectorName(path), "invalid-"+string(reason)+"-") {
			t.Errorf("%s: the model says %q", path, reason)
		}
	}
}

// printedMember is a member of a line as it is printed.
type printedMember struct {
	name  string // without quotation marks
	value string // JSON
}

// randomRows draws rows, as ZMap prints them and otherwise.
type randomRows struct{ *rand.Rand }

func pick[T any](r randomRows, values ...T) T { return values[r.IntN(len(values))] }

func (r randomRows) octets(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return hex.EncodeToString(b)
}

func (r randomRows) number(limit int64) string { return strconv.FormatInt(r.Int64N(limit), 10) }

func (r randomRows) address() string {
	var a [16]byte
	for i := range a {
		if r.IntN(2) == 0 {
			a[i] = byte(r.Uint32())
		}
	}
	if r.IntN(2) == 0 {
		return netip.AddrFrom16(a).String()
	}
	return netip.AddrFrom4([4]byte(a[:4])).String()
}

func (r randomRows) options(nonce string) string {
	var b strings.Builder
	for range r.IntN(7) {
		b.WriteString(pick(r, "01", "01", "020405b4", "0402", "030307", "080a"+r.octets(8), "1e0c0081"+r.octets(8),
			"1e0c0101"+r.octets(8), "1e040101", "1e0800ff"+r.octets(4), "1e0400ff", "1e0310", "1e02", "00", "fe084d43"+nonce,
			"fe064d43ffff", "fe04ffff", r.octets(r.IntN(6))))
	}
	return b.String()[:min(80, b.Len())]
}

// row draws the members of a row that keeps, mostly, to what its classification can have, in the order in
// which our module prints them.
func (r randomRows) row() []printedMember {
	quoted := func(s string) string { return `"` + s + `"` }
	sequence := func() string {
		n := r.Uint32()
		return pick(r, quoted(fmt.Sprint(n)), quoted(fmt.Sprint(n)), quoted(fmt.Sprintf("%010d", n)), fmt.Sprint(int32(n)), fmt.Sprint(n))
	}
	separator, truths := "_", []string{"true", "false", "false", "false"}
	if r.IntN(2) == 0 { // ZMap 2.1.1
		separator, truths = "-", []string{"1", "0", "0", "0"}
	}
	truth := func() string { return pick(r, truths...) }
	kind := pick(r, SYNACK, SYNACK, SYNACK, RST, ICMP)
	members := []printedMember{
		{"saddr", quoted(r.address())}, {"saddr" + separator + "raw", r.number(1 << 32)},
		{"daddr", quoted(r.address())}, {"ipid", r.number(1 << 16)}, {"ttl", r.number(1 << 8)},
		{"sport", r.number(1 << 16)}, {"dport", r.number(1 << 16)},
	}
	add := func(name, value string) { members = append(members, printedMember{name, value}) }
	nonce := r.octets(4)
	probe := pick(r, Probes...)
	if kind != ICMP {
		options := r.options(nonce)
		add("seqnum", sequence())
		add("acknum", sequence())
		add("window", r.number(1<<16))
		add("tcp_flags", r.number(1<<8))
		add("probe", quoted(probe))
		if r.IntN(8) > 0 {
			add("tcp_options", quoted(options))
		}
		m := modelMPCapable(modelSplit(must(hex.DecodeString(options[:len(options)&^1]))))
		add("mptcp", quoted(string(m.Presence)))
		if m.Version.Valid {
			add("mptcp_version", fmt.Sprint(m.Version.V))
		}
		if m.Flags.Valid {
			add("mptcp_flags", fmt.Sprint(m.Flags.V))
		}
		if m.Length.Valid {
			add("mptcp_length", fmt.Sprint(m.Length.V))
		}
		if m.Key.Valid {
			add("mptcp_key", fmt.Sprintf(`"%016x"`, m.Key.V))
		}
		if probe != ProbePlain && r.IntN(2) == 0 {
			add("canary", quoted(string(modelCanary(must(hex.DecodeString(options[:len(options)&^1])), nonce))))
			add("sent_canary", quoted(nonce))
		}
	} else {
		add("probe", quoted(probe))
		add("icmp_type", r.number(1<<8))
		add("icmp_code", r.number(1<<8))
		add("responder", quoted(r.address()))
		add("quote", quoted(r.octets(r.IntN(100))))
	}
	if probe == ProbeV0 {
		add("sent_key", quoted(r.octets(8)))
	}
	if r.IntN(3) == 0 { // of a trace
		add("probe_ttl", r.number(1<<8))
		add("sent", quoted(r.octets(r.IntN(101))))
	}
	add("classification", quoted(kind))
	add("success", truth())
	add("repeat", truth())
	add("cooldown", truth())
	add("timestamp"+separator+"str", quoted("2026-11-23T08:15:00."+r.number(900)+"+0000"))
	add("timestamp"+separator+"ts", r.number(1<<33))
	add("timestamp"+separator+"us", r.number(1e6))
	return members
}

// vary makes a row unlike what ZMap prints, but mostly still one.
func (r randomRows) vary(members []printedMember) []printedMember {
	for range r.IntN(4) {
		i := r.IntN(len(members))
		m := &members[i]
		switch r.IntN(9) {
		case 0:
			r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		case 1:
			m.value = "null"
		case 2:
			members = slices.Delete(members, i, i+1)
		case 3:
			members = append(members, members[i])
		case 4:
			m.value = pick(r, "true", `""`, `"x"`, `"ABCDEF"`, "-1", "-0", "65536", "1.0", "1e0", "1E3", "99999999999999999999", "123456789012345",
				"1234567890123456", "[]", `{"a":null}`, `"-1"`, `"4294967296"`, `"0000000001"`, `"00000000001"`, "-2147483648", "-2147483649",
				"4294967296", `"1.2.3.04"`, `"256.1.1.1"`, `"1.2.3"`, `"1.2.3.4.5"`, `"::"`, `"::1.2.3.4"`, `"::ffff:1.2.3.4"`, `"1:2:3:4:5:6:7:8"`,
				`"1:2:3:4:5:6:7::"`, `"::2:3:4:5:6:7:8"`, `"1::3:4:5:6:7:8:9"`, `"1:2:3:4:5:6:7:8::"`, `"1:"`, `":1"`, `"1:::2"`, `"1::2::3"`, `"FE80::1"`,
				`"fe80::1%eth0"`, `"12345::"`, `"none"`, `"v1"`, `"icmp"`, "253402300799", "253402300800", "01")
		case 5:
			members = slices.Insert(members, i, printedMember{pick(r, "x", "é", "Saddr", "timestamp-str", ""),
				pick(r, "1e400", `"a\"},{\\"`, `[{"\"":"]"}]`, "null", "-12.5", `"ü"`, `"\ud800"`, "{}", `"~ plain"`, "true", "-7", "0")})
		case 6:
			m.name = r.escape(m.name)
		case 7:
			if strings.HasPrefix(m.value, `"`) {
				m.value = `"` + r.escape(strings.Trim(m.value, `"`)) + `"`
			}
		case 8:
			if other := &members[r.IntN(len(members))]; r.IntN(4) == 0 {
				m.value, other.value = other.value, m.value
			}
		}
	}
	return members
}

// escape writes some letters of a text as escapes (RFC 8259 §7).
func (r randomRows) escape(text string) string {
	var b strings.Builder
	for _, c := range text {
		if c != '\\' && r.IntN(4) == 0 {
			fmt.Fprintf(&b, pick(r, `\u%04x`, `\u%04X`), c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// print prints a row as ZMap 4 and 2.1.1 do (json-c's plain and spaced form), or, if wild, with any white space.
func (r randomRows) print(members []printedMember, wild bool) []byte {
	colon, comma, begin, end := ":", ",", "{", "}"
	if r.IntN(2) == 0 {
		colon, comma, begin, end = ": ", ", ", "{ ", " }"
	}
	if wild && r.IntN(3) == 0 {
		space := func() string { return pick(r, "", "", " ", "\t", "\r", "\n", "  ") }
		colon, comma = space()+":"+space(), space()+","+space()
		begin, end = space()+"{"+space(), space()+"}"+space()
	}
	var b bytes.Buffer
	b.WriteString(begin)
	for i, m := range members {
		if i > 0 {
			b.WriteString(comma)
		}
		b.WriteString(`"` + m.name + `"` + colon + m.value)
	}
	b.WriteString(end)
	return b.Bytes()
}

// damage flips, cuts, inserts or doubles some bytes.
func (r randomRows) damage(line []byte) []byte {
	for range 1 + r.IntN(3) {
		if len(line) == 0 {
			break
		}
		i := r.IntN(len(line))
		switch r.IntN(6) {
		case 0:
			line[i] ^= 1 << r.IntN(8)
		case 1:
			line = slices.Delete(line, i, min(len(line), i+1+r.IntN(3)))
		case 2:
			line = slices.Insert(line, i, pick(r, []byte(`"\{}[],:0123456789abfAEe-+. `+"\t\n\r\x00\x1f\x7f\xff")...))
		case 3:
			line[i] = pick(r, []byte(`"\{}[],:0123456789abfAEe-+. `+"\t\n\r\x00\x1f\x7f\xff")...)
		case 4:
			line = line[:i]
		case 5:
			line = append(line, pick(r, []byte(" }\r0,x")...))
		}
	}
	return line
}

// The model is the judge of random lines, all of which one decoder reads: what it learned from one must
// not change what another says.
func TestDecodeAgainstModel(t *testing.T) {
	random := randomRows{rand.New(rand.NewPCG(8259, 1))}
	var d Decoder
	count := map[Reason]int{}
	known, knownRows := 0, 0
	for i := range 6000 {
		members := random.row()
		wild := i/1500%2 > 0 || i%16 == 0 // else lines are as ZMap prints them, and their shapes stay known
		if wild && i%3 > 0 {
			members = random.vary(members)
		}
		line := random.print(members, wild)
		if wild && i%4 == 0 || i%9 == 0 {
			line = random.damage(line)
		}
		isKnown := isKnown(&d, line)
		reason := checkDecode(t, &d, line)
		checkDecode(t, new(Decoder), line)
		checkDecode(t, &d, line) // what was learned from it
		count[reason]++
		if isKnown {
			known++
			if reason == "" {
				knownRows++
			}
		}
	}
	t.Logf("%v, %d lines of known shapes, %d of them rows", count, known, knownRows)
	for _, reason := range []Reason{"", ErrNotJSON, ErrDuplicate, ErrType, ErrRange, ErrMissing, ErrContradiction} {
		if count[reason] < 25 {
			t.Errorf("only %d lines are %q: the random rows are too poor", count[reason], reason)
		}
	}
	if knownRows < 400 {
		t.Errorf("only %d rows had a known shape", knownRows)
	}
}

// Lines that are one byte away from a known shape, everywhere.
func TestDecodeDamaged(t *testing.T) {
	random := randomRows{rand.New(rand.NewPCG(8259, 3))}
	lines := benchmarkLines(t)
	var d Decoder
	for _, name := range []string{"synack of ZMap 4", "canary of ZMap 2.1.1", "icmp of ZMap 4", "ipv6 of ZMap 2.1.1"} {
		line := lines[name]
		checkDecode(t, &d, line)
		for i := range len(line) + 1 {
			letter := pick(random, []byte(`"\{}[],:019afAEe-+. `+"\t\n\r\x00\x7f\xff")...)
			damaged := [][]byte{
				slices.Insert(slices.Clone(line), i, '0'),
				slices.Insert(slices.Clone(line), i, letter),
				line[:i],
			}
			if i < len(line) {
				damaged = append(damaged, slices.Delete(slices.Clone(line), i, i+1), slices.Replace(slices.Clone(line), i, i+1, letter))
			}
			for _, text := range damaged {
				checkDecode(t, &d, text)
			}
			if !isKnown(&d, line) {
				checkDecode(t, &d, line)
			}
		}
	}
}

// A hostile input can neither make a decoder's memory grow nor make it forget for good.
func TestShapesAreBounded(t *testing.T) {
	steps := func(s *step) (n, size int) {
		n, size = 1, len(s.before.text)
		if len(s.next) > maxNext {
			t.Fatalf("%d steps behind one", len(s.next))
		}
		for stack := slices.Clone(s.next); len(stack) > 0; n++ {
			top := stack[len(stack)-1]
			stack = append(stack[:len(stack)-1], top.next...)
			size += len(top.before.text)
		}
		return n, size
	}
	const row = `{"saddr":"198.18.0.7","classification":"rst"}`
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"x%d":%d,`, i, i)
		}
		return b.String()
	}
	random := rand.New(rand.NewPCG(5, 6))
	for name, hostile := range map[string]func() string{
		"names":  func() string { return fmt.Sprintf(`{"x%d":1,%s`, random.Uint64(), row[1:]) },
		"tails":  func() string { return fmt.Sprintf(`%s,"x%d":1}`, row[:len(row)-1], random.Uint64()) },
		"spaces": func() string { return row + strings.Repeat(" ", random.IntN(maxShape)) },
		"huge":   func() string { return row + strings.Repeat(" ", MaxLine-len(row)-random.IntN(100)) },
		"tree": func() string {
			return fmt.Sprintf(`{"a%d":1,"b%d":1,"c%0800d":1,%s`, random.IntN(30), random.IntN(30), random.IntN(30), row[1:])
		},
		"members": func() string { return "{" + members(random.IntN(1000)) + row[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			for range 400 {
				if reason := d.Decode([]byte(hostile()), new(Row)); reason != nil {
					t.Fatal(reason)
				}
			}
			if n, size := steps(&d.shapes.root); size > maxShapes || n > maxShapes/4 {
				t.Errorf("%d steps of %d bytes were kept", n, size)
			}
			if err := d.Decode([]byte(row), new(Row)); err != nil || !isKnown(&d, []byte(row)) {
				t.Errorf("nothing is learned any more (%v)", err)
			}
			for range 3 {
				d.Decode([]byte(row+strings.Repeat(" ", MaxLine-len(row))), new(Row))
			}
			if !isKnown(&d, []byte(row)) {
				t.Error("three huge lines made it forget all others")
			}
		})
	}
}

// Rows as ZMap prints them are read without allocating memory.
func TestDecodeAllocatesNothing(t *testing.T) {
	for name, line := range benchmarkLines(t) {
		var d Decoder
		var row Row
		if n := testing.AllocsPerRun(100, func() {
			if err := d.Decode(line, &row); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// benchmarkLines are rows as ZMap 4 and 2.1.1 print them: json-c's plain and spaced form.
func benchmarkLines(t testing.TB) map[string][]byte {
	lines := map[string][]byte{}
	for name, file := range map[string]string{
		"synack": "valid-v0-echo", "rst": "valid-rst", "icmp": "valid-icmp", "icmpv6": "valid-icmpv6", "ipv6": "valid-ipv6",
		"canary": "valid-canary",
	} {
		line := bytes.Clone(readVector(t, filepath.Join(rowVectors, file+".json")).Raw)
		line = bytes.ReplaceAll(line, []byte("2001:DB8"), []byte("2001:db8"))
		zmap4 := regexp.MustCompile(`("(?:success|repeat|cooldown)": )([01])`).ReplaceAllFunc(line, func(member []byte) []byte {
			return bytes.Replace(bytes.Replace(member, []byte(" 0"), []byte(" false"), 1), []byte(" 1"), []byte(" true"), 1)
		})
		zmap4 = bytes.ReplaceAll(zmap4, []byte(`"timestamp-`), []byte(`"timestamp_`))
		zmap4 = bytes.ReplaceAll(bytes.ReplaceAll(zmap4, []byte(`": `), []byte(`":`)), []byte(`, "`), []byte(`,"`))
		lines[name+" of ZMap 4"] = zmap4
		lines[name+" of ZMap 2.1.1"] = slices.Concat([]byte("{ "), line[1:len(line)-1], []byte(" }"))
	}
	return lines
}

func BenchmarkDecode(b *testing.B) {
	for name, line := range benchmarkLines(b) {
		b.Run(name, func(b *testing.B) {
			var d Decoder
			var row Row
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(line, &row); err != nil {
					b.Fatal(err)
				}
			}
			ours := float64(b.Elapsed()) / float64(b.N)
			b.StopTimer()
			const times = 1000
			begin := time.Now()
			for range times {
				if err := json.Unmarshal(line, &map[string]any{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(time.Since(begin))/times/ours, "x-encoding/json")
		})
	}
}

// Whatever a decoder read before, a line says what the model reads in it.
func FuzzDecode(f *testing.F) {
	var lines [][]byte
	for _, path := range vectorPaths(f, "*.json") {
		if line := readVector(f, path); len(line.Raw) < 4096 {
			lines = append(lines, bytes.Clone(line.Raw))
		}
	}
	random := randomRows{rand.New(rand.NewPCG(8259, 2))}
	for range 50 {
		lines = append(lines, random.print(random.row(), false))
	}
	for i, line := range lines {
		f.Add(line, lines[(i+1)%len(lines)])
		f.Add(line, line)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var d Decoder
		for _, line := range [][]byte{first, second, first, second} {
			checkDecode(t, &d, line)
		}
	})
}
