// Package truth writes what each target of a lab really is, so that verdicts
// can be joined with it. It needs no running lab.
package truth

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// Row is what one probe of one target should find.
type Row struct {
	Target    netip.Addr
	Port      uint16
	Probe     scenario.Probe
	Behaviour scenario.Behaviour
	Verdict   scenario.Verdict // NoRow where nothing answers
	Replies   int              // packets for each SYN
}

// probes in the order of their names, which is the file's.
var probes = []scenario.Probe{scenario.Plain, scenario.V0, scenario.V1}

// Rows are the simulated targets and the real hosts, sorted by target, port
// and probe.
func Rows(s *scenario.Scenario) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for a := range s.Addresses {
			for _, port := range s.Ports {
				b := s.Behaviour(a, port)
				for _, p := range probes {
					if !yield(Row{a, port, p, b, b.Verdict(p), s.Replies(a, port)}) {
						return
					}
				}
			}
		}
		// Their addresses are above those of every scenario.
		for _, h := range scenario.Hosts {
			for _, port := range scenario.HostPorts {
				for _, p := range probes {
					if !yield(Row{h.Addr, port, p, h.Behaviour, h.Behaviour.Verdict(p), 1}) {
						return
					}
				}
			}
		}
	}
}

var schema = arrow.NewSchema([]arrow.Field{
	{Name: "target", Type: arrow.BinaryTypes.String},
	{Name: "port", Type: arrow.PrimitiveTypes.Uint16},
	{Name: "probe", Type: arrow.BinaryTypes.String},
	{Name: "behaviour", Type: arrow.BinaryTypes.String},
	{Name: "verdict", Type: arrow.BinaryTypes.String, Nullable: true}, // NULL: nothing answers
	{Name: "certain", Type: arrow.FixedWidthTypes.Boolean},
	{Name: "replies", Type: arrow.PrimitiveTypes.Uint8},
}, nil)

// rowGroup is fixed, so that the same scenario gives the same bytes.
const rowGroup = 1 << 16

// Write writes the truth about a scenario as a Parquet file, which appears
// whole or not at all, and says how many rows it has.
func Write(path string, s *scenario.Scenario) (rows int, err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return 0, fmt.Errorf("write truth: %w", err)
	}
	defer os.Remove(temporary.Name()) // gone already after the rename
	defer temporary.Close()
	if rows, err = encode(temporary, s); err != nil {
		return 0, fmt.Errorf("write truth to %s: %w", path, err)
	}
	if err := temporary.Chmod(0o644); err != nil {
		return 0, fmt.Errorf("write truth: %w", err)
	}
	if err := temporary.Sync(); err != nil {
		return 0, fmt.Errorf("write truth: %w", err)
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return 0, fmt.Errorf("write truth: %w", err)
	}
	return rows, nil
}

func encode(file io.Writer, s *scenario.Scenario) (rows int, err error) {
	// A plain writer: Parquet's would close the file before it is synced.
	out := bufio.NewWriter(file)
	properties := parquet.NewWriterProperties(
		parquet.WithCompression(compress.Codecs.Zstd),
		parquet.WithMaxRowGroupLength(rowGroup),
		parquet.WithDictionaryFor("target", false), // would overflow, and not always in the same order
	)
	w, err := pqarrow.NewFileWriter(schema, out, properties, pqarrow.DefaultWriterProps())
	if err != nil {
		return 0, err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	flush := func() error {
		batch := b.NewRecordBatch()
		defer batch.Release()
		return w.Write(batch)
	}
	for row := range Rows(s) {
		appendRow(b, row)
		if rows++; rows%rowGroup == 0 {
			if err := flush(); err != nil {
				return 0, err
			}
		}
	}
	if err := flush(); err != nil {
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	return rows, out.Flush()
}

func appendRow(b *array.RecordBuilder, row Row) {
	b.Field(0).(*array.StringBuilder).Append(row.Target.String())
	b.Field(1).(*array.Uint16Builder).Append(row.Port)
	b.Field(2).(*array.StringBuilder).Append(row.Probe.String())
	b.Field(3).(*array.StringBuilder).Append(row.Behaviour.String())
	if row.Verdict == scenario.NoRow {
		b.Field(4).AppendNull()
	} else {
		b.Field(4).(*array.StringBuilder).Append(string(row.Verdict))
	}
	b.Field(5).(*array.BooleanBuilder).Append(row.Verdict.Certain())
	b.Field(6).(*array.Uint8Builder).Append(uint8(row.Replies))
}
