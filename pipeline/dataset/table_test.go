package dataset

import (
	"database/sql"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Every table has a schema, and a column can be NULL if and only if tables.yaml says when.
func TestSchema(t *testing.T) {
	c, err := readContract()
	if err != nil {
		t.Fatal(err)
	}
	for table, contract := range c.Tables {
		schema, err := Schema(table)
		if err != nil {
			t.Error(err)
			continue
		}
		nullable := 0
		for i, column := range contract.Columns {
			field := schema.Field(i)
			if field.Name != column.Name || field.Nullable != (column.NullWhen != "") {
				t.Errorf("%s: %v, want %+v", table, field, column)
			}
			if meaning, ok := field.Metadata.GetValue("meaning"); !ok || meaning == "" {
				t.Errorf("%s.%s has no meaning", table, field.Name)
			}
			if field.Nullable {
				nullable++
			}
		}
		if nullable == 0 || nullable == len(contract.Columns) {
			t.Errorf("%s: %d of %d columns can be NULL", table, nullable, len(contract.Columns))
		}
	}
	if _, err := Schema("nonsense"); err == nil {
		t.Error("a schema for a table that there is not")
	}
}

// A schema that is not what the program fills is an error, not a wrong column.
func TestSchemaMismatch(t *testing.T) {
	schema, err := Schema(RepliesTable)
	if err != nil {
		t.Fatal(err)
	}
	fields := schema.Fields()
	renamed := append([]arrow.Field{}, fields...)
	renamed[3].Name = "source_port"
	retyped := append([]arrow.Field{}, fields...)
	retyped[3].Type = arrow.PrimitiveTypes.Uint32
	for what, fields := range map[string][]arrow.Field{
		"renamed": renamed, "retyped": retyped, "one less": fields[1:],
		"one more": append([]arrow.Field{{Name: "new", Type: arrow.PrimitiveTypes.Uint8}}, fields...),
		"twice":    append([]arrow.Field{fields[0]}, fields...),
	} {
		batch := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
		if _, err := bindReplies(batch); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	batch := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	if _, err := bindReplies(batch); err != nil {
		t.Error(err)
	}
	for column := range encodings {
		if !schema.HasField(column) {
			t.Errorf("an encoding for the column %q, which there is not", column)
		}
	}
}

func TestNullRefused(t *testing.T) {
	f, err := createReplies(t.TempDir(), Parquet)
	if err != nil {
		t.Fatal(err)
	}
	defer f.table.file.Discard()
	if err := f.append(&zmap.Row{Classification: zmap.RST}); err != nil {
		t.Fatal(err)
	}
	if err := f.table.flush(); err == nil || !strings.Contains(err.Error(), `"saddr"`) {
		t.Errorf("a row without saddr: %v", err)
	}
}

// hostileRow has random, and so incompressible, values in all columns that can be filled at once.
func hostileRow(random *rand.Rand, quote int) *zmap.Row {
	bytes := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	address := func() netip.Addr { return netip.AddrFrom16([16]byte(bytes(16))) }
	u8 := func() sql.Null[uint8] { return sql.Null[uint8]{V: uint8(random.Uint32()), Valid: random.IntN(8) > 0} }
	u16 := func() sql.Null[uint16] {
		return sql.Null[uint16]{V: uint16(random.Uint32()), Valid: random.IntN(8) > 0}
	}
	u32 := func() sql.Null[uint32] { return sql.Null[uint32]{V: random.Uint32(), Valid: random.IntN(8) > 0} }
	u64 := func() sql.Null[uint64] { return sql.Null[uint64]{V: random.Uint64(), Valid: random.IntN(8) > 0} }
	boolean := func() sql.Null[bool] {
		return sql.Null[bool]{V: random.IntN(2) > 0, Valid: random.IntN(8) > 0}
	}
	order := make([]byte, 84) // longer than 40 bytes of options allow
	for i := range order {
		order[i] = "0123456789-"[random.IntN(11)]
	}
	return &zmap.Row{
		Time:  time.UnixMicro(random.Int64N(1 << 50)),
		Saddr: address(), Daddr: address(), Responder: address(),
		Sport: u16(), Dport: u16(), TTL: u8(), IPID: u16(), Seqnum: u32(), Acknum: u32(), Window: u16(), TCPFlags: u8(),
		Classification: zmap.SYNACK, Repeat: boolean(), Cooldown: boolean(),
		TCPOptions: bytes(40),
		Options: mptcp.Options{
			MSS: u16(), WindowScale: u8(), TSValue: u32(), TSEcho: u32(), Order: string(order),
		},
		MPCapable: mptcp.MPCapable{Presence: mptcp.Capable, Version: u8(), Flags: u8(), Length: u8(), Key: u64()},
		SentKey:   u64(), SentCanary: u32(), Canary: mptcp.CanaryMirrored, ICMPType: u8(), ICMPCode: u8(), Quote: bytes(quote),
	}
}

// However hostile the rows, what reserve asks for is enough: for each batch, and for the whole file.
func TestBounds(t *testing.T) {
	for _, format := range []Format{Parquet, Arrow} {
		for _, test := range []struct{ rows, quote int }{{0, 0}, {1, 0}, {1, zmap.MaxLine / 2}, {3, 1200}, {1000, 0}, {1500, zmap.MaxLine / 2}, {batchRows + 1, 20}} {
			random := rand.New(rand.NewPCG(uint64(test.rows), uint64(test.quote)))
			dir := t.TempDir()
			f, err := createReplies(dir, format)
			if err != nil {
				t.Fatal(err)
			}
			f.scanID = strings.Repeat("s", 50)
			var bound, tightest int64
			for range test.rows {
				bound = f.table.file.written + f.table.bound(maxRow)
				if err := f.append(hostileRow(random, test.quote)); err != nil {
					t.Fatal(err)
				}
				if f.table.file.written > bound {
					t.Fatalf("%s, %+v: wrote %d bytes, reserved %d", format, test, f.table.file.written, bound)
				}
				if f.table.rows == 0 {
					tightest = bound - f.table.file.written
				}
			}
			bound = f.table.file.written + f.table.bound(0)
			path := filepath.Join(dir, "x")
			if err := f.table.commit(path); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > bound {
				t.Errorf("%s, %+v: wrote %d bytes, reserved %d", format, test, info.Size(), bound)
			}
			t.Logf("%s, %+v: %d bytes, reserved %d; %d to spare at a batch's end", format, test, info.Size(), bound, tightest)
		}
	}
}
