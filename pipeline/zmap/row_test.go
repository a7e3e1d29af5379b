package zmap

import (
	"database/sql"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
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
		"valid-trace": {
			Time:  time.Date(2026, 11, 23, 8, 15, 1, 0, time.UTC),
			Saddr: netip.MustParseAddr("198.18.0.9"), Daddr: netip.MustParseAddr("192.0.2.1"),
			Sport: null(uint16(443)), Dport: null(uint16(40001)), TTL: null(uint8(250)), IPID: null(uint16(1)),
			Probe: ProbeV1, Classification: ICMP, Success: true, ICMPType: null(uint8(11)), ICMPCode: null(uint8(0)),
			Responder: netip.MustParseAddr("198.18.255.1"),
			Quote:     unhex(t, "4500002c1234400001060000c0000201c61200099c4101bb01020304"),
			ProbeTTL:  null(uint8(3)),
			Sent:      unhex(t, "4500002c1234400003060000c0000201c61200099c4101bb01020304000000006002faf0000000001e040101"),
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
	var block Block
	if err := NewBlockReader(file, MaxLine).Read(&block); err != nil {
		t.Fatal(err)
	}
	if n := block.CountLines(); n != 1 {
		t.Fatalf("%s has %d lines", path, n)
	}
	for line := range block.Lines() {
		return line
	}
	panic("no line")
}

// decode reads a line with a decoder that has read nothing before.
func decode(line Line) (Row, error) {
	var row Row
	if err := line.CheckLength(); err != nil {
		return row, err
	}
	return row, new(Decoder).Decode(line.Raw, &row)
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
			row, err := decode(readVector(t, path))
			if err != nil {
				t.Fatal(err)
			}
			if expected.TCPOptions != nil {
				expected.Options = mptcp.Parse(expected.TCPOptions)
			}
			if !reflect.DeepEqual(row, expected) {
				t.Errorf("\n got %+v\nwant %+v", row, expected)
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
		row, err := decode(readVector(t, path))
		if !errors.Is(err, reasons[i]) {
			t.Errorf("%s: row %+v, error %v, want %q", path, row, err, reasons[i])
		} else if strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 500 {
			t.Errorf("%s: %q is not one short line", path, err)
		}
	}
	for _, r := range reasons {
		if !seen[r] {
			t.Errorf("no vector for %q", r)
		}
	}
}
