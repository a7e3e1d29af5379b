// Package truth writes what each target of a lab really is, so that verdicts
// can be joined with it. It needs no running lab.
package truth

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

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
	Replies   int // packets for each SYN
}

// probes in the order of their names, which is the file's.
var probes = []scenario.Probe{scenario.Canary, scenario.Plain, scenario.V0, scenario.V1}

// Rows are the simulated targets and the real hosts, sorted by target (IPv4
// first), port and probe.
func Rows(s *scenario.Scenario) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for _, a := range targets(s) {
			host, real := scenario.HostAt(a)
			ports := s.Ports
			if real {
				ports = scenario.HostPorts
			}
			for _, port := range ports {
				for _, p := range probes {
					row := Row{a, port, p, host.Behaviour, 1}
					if !real {
						row.Behaviour, row.Replies = s.Behaviour(a, port), s.Replies(a, port, p)
					}
					if !yield(row) {
						return
					}
				}
			}
		}
	}
}

// targets are all addresses, sorted.
func targets(s *scenario.Scenario) []netip.Addr {
	all := make([]netip.Addr, 0, s.Size()+2*len(scenario.Hosts))
	all = slices.AppendSeq(all, s.Addresses)
	for _, h := range scenario.Hosts {
		all = append(all, h.Addrs()...)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// WriteHitlist writes the IPv6 targets of a scenario, one a line, and says how
// many there are. The file appears whole or not at all.
func WriteHitlist(path string, s *scenario.Scenario) (written int, err error) {
	addresses := slices.DeleteFunc(targets(s), netip.Addr.Is4)
	return len(addresses), writeLines(path, addresses)
}

// WriteChains writes the addresses of the hosts behind chains of routers, and says
// how many there are. The file appears whole or not at all.
func WriteChains(path string) (written int, err error) {
	var addresses []netip.Addr
	for _, chain := range scenario.Chains {
		addresses = append(addresses, chain.Addrs()...)
	}
	return len(addresses), writeLines(path, addresses)
}

func writeLines(path string, addresses []netip.Addr) error {
	return Whole(path, func(out io.Writer) error {
		for _, a := range addresses {
			if _, err := fmt.Fprintln(out, a); err != nil {
				return err
			}
		}
		return nil
	})
}

var schema = arrow.NewSchema([]arrow.Field{
	{Name: "target", Type: arrow.BinaryTypes.String},
	{Name: "family", Type: arrow.BinaryTypes.String},
	{Name: "port", Type: arrow.PrimitiveTypes.Uint16},
	{Name: "probe", Type: arrow.BinaryTypes.String},
	{Name: "behaviour", Type: arrow.BinaryTypes.String},
	{Name: "verdict", Type: arrow.BinaryTypes.String, Nullable: true}, // NULL: nothing answers
	{Name: "certain", Type: arrow.FixedWidthTypes.Boolean},
	{Name: "treatment", Type: arrow.BinaryTypes.String, Nullable: true}, // NULL: nothing answers any probe, or neither v0 nor v1
	{Name: "treatment_certain", Type: arrow.FixedWidthTypes.Boolean},
	{Name: "replies", Type: arrow.PrimitiveTypes.Uint8},
}, nil)

// rowGroup is fixed, so that the same scenario gives the same bytes.
const rowGroup = 1 << 16

// Write writes the truth about a scenario as a Parquet file, which appears
// whole or not at all, and says how many rows it has.
func Write(path string, s *scenario.Scenario) (rows int, err error) {
	err = Whole(path, func(out io.Writer) (err error) {
		rows, err = encode(out, schema, Rows(s), appendRow)
		return err
	})
	return rows, err
}

// Whole makes a file appear only when all of it is written.
func Whole(path string, write func(out io.Writer) error) error {
	// The rename would replace a device or a link: for root, /dev/null of the whole machine.
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("write %s: it exists and is no regular file: name another", path)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(temporary.Name()) // gone already after the rename
	defer temporary.Close()
	out := bufio.NewWriter(temporary)
	if err := write(out); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = errors.Join(out.Flush(), temporary.Chmod(0o644), temporary.Sync())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func encode[T any](out io.Writer, schema *arrow.Schema, all iter.Seq[T], add func(*array.RecordBuilder, T)) (rows int, err error) {
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
	for row := range all {
		add(b, row)
		if rows++; rows%rowGroup == 0 {
			if err := flush(); err != nil {
				return 0, err
			}
		}
	}
	if err := flush(); err != nil {
		return 0, err
	}
	// Parquet's writer closes no file: out is a plain writer.
	return rows, w.Close()
}

func appendRow(b *array.RecordBuilder, row Row) {
	text := func(column int, value string) { b.Field(column).(*array.StringBuilder).Append(value) }
	optional := func(column int, value string) {
		if value == "" {
			b.Field(column).AppendNull()
			return
		}
		text(column, value)
	}
	verdict, treatment := row.Behaviour.Verdict(row.Probe), row.Behaviour.Treatment(row.Probe)
	text(0, row.Target.String())
	text(1, scenario.FamilyOf(row.Target))
	b.Field(2).(*array.Uint16Builder).Append(row.Port)
	text(3, row.Probe.String())
	text(4, row.Behaviour.String())
	optional(5, string(verdict))
	b.Field(6).(*array.BooleanBuilder).Append(verdict.Certain())
	optional(7, string(treatment))
	b.Field(8).(*array.BooleanBuilder).Append(treatment.Certain())
	b.Field(9).(*array.Uint8Builder).Append(uint8(row.Replies))
}
