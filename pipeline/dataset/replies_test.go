package dataset

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// randomRow has random values, and NULLs, in all columns.
func randomRow(random *rand.Rand) *zmap.Row {
	bytes := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	address := func() netip.Addr {
		switch random.IntN(4) {
		case 0:
			return netip.AddrFrom16([16]byte(bytes(16)))
		default:
			return netip.AddrFrom4([4]byte(bytes(4)))
		}
	}
	there := func() bool { return random.IntN(4) > 0 }
	u8 := func() sql.Null[uint8] { return sql.Null[uint8]{V: uint8(random.Uint32()), Valid: there()} }
	u16 := func() sql.Null[uint16] { return sql.Null[uint16]{V: uint16(random.Uint32()), Valid: there()} }
	u32 := func() sql.Null[uint32] { return sql.Null[uint32]{V: random.Uint32(), Valid: there()} }
	u64 := func() sql.Null[uint64] { return sql.Null[uint64]{V: random.Uint64(), Valid: there()} }
	boolean := func() sql.Null[bool] { return sql.Null[bool]{V: random.IntN(2) > 0, Valid: there()} }
	presence := []mptcp.Presence{"", mptcp.None, mptcp.Capable, mptcp.Capable, mptcp.Malformed, mptcp.Other}
	canary := []mptcp.Canary{"", mptcp.CanaryNone, mptcp.CanaryMirrored, mptcp.CanaryAltered}

	version := sql.Null[uint8]{V: uint8(random.IntN(3)), Valid: there()}
	row := &zmap.Row{
		Saddr: address(), Sport: u16(), Dport: u16(), TTL: u8(), IPID: u16(), Seqnum: u32(), Acknum: u32(), Window: u16(), TCPFlags: u8(),
		Classification: []string{zmap.SYNACK, zmap.RST, zmap.ICMP}[random.IntN(3)], Success: random.IntN(2) > 0, Repeat: boolean(), Cooldown: boolean(),
		MPCapable: mptcp.MPCapable{Presence: presence[random.IntN(len(presence))], Version: version, Flags: u8(), Length: u8(), Key: u64()},
		SentKey:   u64(), SentCanary: u32(), Canary: canary[random.IntN(len(canary))], ICMPType: u8(), ICMPCode: u8(),
	}
	if random.IntN(4) == 0 {
		row.SentKey = row.MPCapable.Key
	}
	if there() {
		row.Time = time.UnixMicro(random.Int64N(1 << 50)).UTC()
	}
	if there() {
		row.Daddr = address()
	}
	if there() {
		row.Responder = address()
	}
	if there() {
		row.Quote = bytes(random.IntN(60))
	}
	if there() {
		row.TCPOptions = bytes(random.IntN(41))
		row.Options = mptcp.Options{
			MSS: u16(), WindowScale: u8(), SACKPermitted: random.IntN(2) > 0, TSValue: u32(), TSEcho: u32(), Order: fmt.Sprint(random.IntN(100)),
		}
	}
	return row
}

func weight(n uint64) uint8 { return uint8(strings.Count(fmt.Sprintf("%b", n), "1")) }

// documented is what schemas/tables.yaml says of a row; nil is NULL.
func documented(scan ScanKey, r *zmap.Row) map[string]any {
	m := &r.MPCapable
	want := map[string]any{
		"scan_id": scan.ID, "saddr": r.Saddr.String(), "classification": r.Classification, "success": r.Success,
		"sport": scan.Port, "dport": orNULL(r.Dport), "ttl": orNULL(r.TTL), "ipid": orNULL(r.IPID),
		"seqnum": orNULL(r.Seqnum), "acknum": orNULL(r.Acknum), "window": orNULL(r.Window), "tcp_flags": orNULL(r.TCPFlags),
		"repeat": orNULL(r.Repeat), "cooldown": orNULL(r.Cooldown),
		"mss": orNULL(r.Options.MSS), "window_scale": orNULL(r.Options.WindowScale),
		"ts_value": orNULL(r.Options.TSValue), "ts_echo": orNULL(r.Options.TSEcho),
		"mptcp_version": orNULL(m.Version), "mptcp_flags": orNULL(m.Flags), "mptcp_length": orNULL(m.Length),
		"sender_key": orNULL(m.Key), "sent_key": orNULL(r.SentKey), "sent_canary": orNULL(r.SentCanary),
		"icmp_type": orNULL(r.ICMPType), "icmp_code": orNULL(r.ICMPCode),
	}
	if r.Sport.Valid {
		want["sport"] = r.Sport.V
	}
	if !r.Time.IsZero() {
		want["time"] = arrow.Timestamp(r.Time.UnixMicro())
	}
	if r.Daddr.IsValid() {
		want["daddr"] = r.Daddr.String()
	}
	if r.Responder.IsValid() {
		want["responder"] = r.Responder.String()
	}
	if r.Quote != nil {
		want["quote"] = r.Quote
	}
	if r.TCPOptions != nil {
		want["tcp_options"], want["sack_permitted"], want["option_order"] = r.TCPOptions, r.Options.SACKPermitted, r.Options.Order
	}
	if m.Presence != "" {
		want["mptcp"] = string(m.Presence)
	}
	if r.Canary != "" {
		want["canary"] = string(r.Canary)
	}
	if m.Key.Valid {
		want["key_weight"] = weight(m.Key.V)
	}
	if m.Key.Valid && r.SentKey.Valid {
		want["key_distance"] = weight(m.Key.V ^ r.SentKey.V)
	}
	if m.Presence == mptcp.Capable {
		switch {
		case scan.Probe == zmap.ProbeV1:
			want["echo"] = m.Version.V == 1 && !m.Key.Valid
		case scan.Probe != zmap.ProbeV0:
			want["echo"] = false
		case r.SentKey.Valid:
			want["echo"] = m.Key.Valid && want["key_distance"] == uint8(0)
		}
	}
	return want
}

func orNULL[T any](v sql.Null[T]) any {
	if !v.Valid {
		return nil
	}
	return v.V
}

func appendValue(t *testing.T, b array.Builder, value any) {
	t.Helper()
	switch b := b.(type) {
	default:
		t.Fatalf("no such builder: %T", b)
	case interface{ Append(string) }:
		b.Append(value.(string))
	case interface{ Append([]byte) }:
		b.Append(value.([]byte))
	case interface{ Append(bool) }:
		b.Append(value.(bool))
	case interface{ Append(uint8) }:
		b.Append(value.(uint8))
	case interface{ Append(uint16) }:
		b.Append(value.(uint16))
	case interface{ Append(uint32) }:
		b.Append(value.(uint32))
	case interface{ Append(uint64) }:
		b.Append(value.(uint64))
	case interface{ Append(arrow.Timestamp) }:
		b.Append(value.(arrow.Timestamp))
	}
}

// Batches hold what the documentation says of their rows, whatever was in the same memory before.
func TestReplies(t *testing.T) {
	replies, err := NewReplies()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := Schema(RepliesTable)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(6824, 8684))
	for round, rows := range []int{3000, 500, 0, 64, 65, 500, 1, 500} {
		scan := ScanKey{fmt.Sprintf("scan %d", round), Partition{Port: 443, Probe: zmap.Probes[round%len(zmap.Probes)]}}
		model := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for range rows {
			row := randomRow(random)
			replies.Append(&scan, row)
			values := documented(scan, row)
			for k, field := range schema.Fields() {
				if value := values[field.Name]; value != nil {
					appendValue(t, model.Field(k), value)
				} else {
					model.Field(k).AppendNull()
				}
				delete(values, field.Name)
			}
			if len(values) > 0 {
				t.Fatalf("columns that there are not: %v", values)
			}
		}
		want := model.NewRecordBatch()
		got := plainBatch(schema, replies.Batch())
		if replies.Rows() != rows || got.NumRows() != int64(rows) {
			t.Errorf("%d and %d rows, want %d", replies.Rows(), got.NumRows(), rows)
		}
		for k, field := range schema.Fields() {
			if got, want := got.Column(k), want.Column(k); !array.Equal(got, want) {
				t.Errorf("round %d, %s: got %.200v, want %.200v", round, field.Name, got, want)
			}
		}
		replies.Reset()
	}
}
