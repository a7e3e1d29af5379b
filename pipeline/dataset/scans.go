package dataset

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Scan is the row of `scans` on one scan: where it came from and what was counted. Zero times,
// empty strings and nil are NULL.
type Scan struct {
	Started       time.Time
	Finished      time.Time
	Complete      bool
	ToolVersion   string
	ZMapVersion   string
	ZMapArguments []string
	Seed          sql.Null[uint64]
	StaticKey     sql.Null[uint64]
	Input         string
	InputSHA256   string
	Campaign      string
	TargetsSHA256 string
	Targets       sql.Null[uint64]
	Counts        zmap.Counts
	RowsRead      uint64
	RowsKept      uint64
	RowsRejected  uint64
}

// scanRoom is reserved for the row of `scans` before its content is known: more than all but the
// longest command lines need.
const scanRoom = 64 << 10

func createScans(dir string, format Format) (*tableFile, error) {
	table, err := createTable(dir, ScansTable, format)
	if err != nil {
		return nil, err
	}
	if err := table.reserve(scanRoom); err != nil {
		return nil, joinDiscard(err, table.file)
	}
	return table, nil
}

// appendScan adds the one row of the table.
func appendScan(table *tableFile, scanID string, s Scan) error {
	c := &columnBuilders{batch: table.batch, bound: map[string]bool{}}
	size := len(scanID) + len(s.ToolVersion) + len(s.ZMapVersion) + len(s.Input) + len(s.InputSHA256) + len(s.Campaign) + len(s.TargetsSHA256)

	arguments := builder[*array.ListBuilder](c, "zmap_arguments")
	text := func(name string) *array.StringBuilder { return builder[*array.StringBuilder](c, name) }
	number := func(name string) *array.Uint64Builder { return builder[*array.Uint64Builder](c, name) }
	started := builder[*array.TimestampBuilder](c, "started")
	finished := builder[*array.TimestampBuilder](c, "finished")
	complete := builder[*array.BooleanBuilder](c, "complete")
	id, tool, zmapVersion, input, digest := text("scan_id"), text("tool_version"), text("zmap_version"), text("input"), text("input_sha256")
	campaign, targetsDigest := text("campaign"), text("targets_sha256")
	seed, key := number("seed"), number("static_key")
	n := &s.Counts
	counts := map[*array.Uint64Builder]sql.Null[uint64]{
		number("targets"):              s.Targets,
		number("probes_sent"):          n.ProbesSent,
		number("send_failures"):        n.SendFailures,
		number("received"):             n.Received,
		number("invalid"):              n.Invalid,
		number("kernel_drops"):         n.KernelDrops,
		number("interface_drops"):      n.InterfaceDrops,
		number("backlog_drops"):        n.BacklogDrops,
		number("duplicates"):           n.Duplicates,
		number("answered_in_cooldown"): n.AnsweredInCooldown,
	}
	read, kept, rejected := number("rows_read"), number("rows_kept"), number("rows_rejected")
	if err := c.done(); err != nil {
		return err
	}

	id.Append(scanID)
	appendNull(started, timestamp(s.Started))
	appendNull(finished, timestamp(s.Finished))
	complete.Append(s.Complete)
	tool.Append(s.ToolVersion)
	appendText(zmapVersion, s.ZMapVersion)
	arguments.Append(s.ZMapArguments != nil)
	for _, a := range s.ZMapArguments {
		arguments.ValueBuilder().(*array.StringBuilder).Append(a)
		size += len(a) + valueBound
	}
	appendNull(seed, s.Seed)
	appendNull(key, s.StaticKey)
	appendText(input, s.Input)
	digest.Append(s.InputSHA256)
	appendText(campaign, s.Campaign)
	appendText(targetsDigest, s.TargetsSHA256)
	for column, count := range counts {
		appendNull(column, count)
	}
	read.Append(s.RowsRead)
	kept.Append(s.RowsKept)
	rejected.Append(s.RowsRejected)

	if err := table.reserve(int64(size)); err != nil {
		return err
	}
	return table.added(size)
}

func timestamp(t time.Time) sql.Null[arrow.Timestamp] {
	return sql.Null[arrow.Timestamp]{V: arrow.Timestamp(t.UnixMicro()), Valid: !t.IsZero()}
}

// storedScan is what a `scans` file says of the input that its scan came from.
type storedScan struct {
	inputSHA256 string
	complete    bool
	rowsRead    uint64
}

// givesWayTo says whether a scan may take the stored one's place: it came from the same input, or the
// stored one broke off and is no longer than this.
func (stored storedScan) givesWayTo(s Scan) bool {
	return stored.inputSHA256 == s.InputSHA256 || !stored.complete && stored.rowsRead <= s.RowsRead
}

func readStored(path string, format Format) (storedScan, error) {
	batch, err := readFirstBatch(path, format)
	if err != nil {
		return storedScan{}, fmt.Errorf("%s: %w", path, err)
	}
	defer batch.Release()
	column := func(name string) arrow.Array {
		if i := batch.Schema().FieldIndices(name); len(i) == 1 && batch.NumRows() == 1 {
			return batch.Column(i[0])
		}
		return nil
	}
	digest, ok1 := column("input_sha256").(*array.String)
	complete, ok2 := column("complete").(*array.Boolean)
	read, ok3 := column("rows_read").(*array.Uint64)
	if !ok1 || !ok2 || !ok3 {
		return storedScan{}, fmt.Errorf("%s: not a file of the table scans", path)
	}
	return storedScan{digest.Value(0), complete.Value(0), read.Value(0)}, nil
}

// readFirstBatch returns a file's first batch, which the caller releases.
func readFirstBatch(path string, format Format) (arrow.RecordBatch, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if format == Arrow {
		in, err := ipc.NewFileReader(f)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		return in.RecordBatchAt(0)
	}
	in, err := file.NewParquetReader(f)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	columns, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	batches, err := columns.GetRecordReader(context.Background(), nil, nil)
	if err != nil {
		return nil, err
	}
	defer batches.Release()
	batch, err := batches.Read()
	if err != nil {
		return nil, err
	}
	batch.Retain() // the reader owns it otherwise
	return batch, nil
}
