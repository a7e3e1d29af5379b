package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

const (
	// rowGroupRows is the length of row groups: what a reader that looks for one address has to read.
	rowGroupRows = 64 << 10
	// sortedRows bounds the rows in a sorted file, of some 500 MB.
	sortedRows = 128 * rowGroupRows
)

// compactPrefix begins the names of the stages of Compact.
const compactPrefix = "compact-"

// Compaction is what Compact did to a scan.
type Compaction struct {
	ScanID        string
	Before, After int    // files of replies
	LeftAlone     string // why nothing was done
}

// errChanged says that another process had a scan's files replaced.
var errChanged = errors.New("its files were replaced meanwhile")

// Compact sorts the replies of each scan by the text of saddr, those of a target staying in the order in
// which ZMap printed them, and puts them into fewer files. A scan is replaced as a whole, or stays as it
// was; its row in `scans` gets the new list of files and else stays the same. The same replies give the
// same bytes. A scan that has no unsorted file is not in the result.
//
// begin, if not nil, is called before the work on a scan. Compact needs DuckDB's memory (see
// DuckDBOptions), some 200 MB more, and in the system's folder for temporary files room for one sorted
// scan at a time and for what DuckDB spills. It checks a scan's files before, so that no damage is made good-looking.
func (d *Dataset) Compact(ctx context.Context, begin func(scanID string)) ([]Compaction, error) {
	return d.compact(ctx, sortedRows, begin)
}

func (d *Dataset) compact(ctx context.Context, maxRows int64, begin func(scanID string)) ([]Compaction, error) {
	if _, err := d.RollForward(ctx); err != nil {
		return nil, err
	}
	names, err := d.scanFiles(ctx)
	if err != nil {
		return nil, err
	}
	var done []Compaction
	for _, name := range names {
		scan, err := d.expect(ctx, name)
		if err == nil && scan.fault != "" {
			err = fmt.Errorf("%s: %s", name, scan.fault)
		}
		if err != nil {
			return done, err
		}
		replies := scan.unsorted()
		if replies == nil {
			continue
		}
		result := Compaction{ScanID: scan.id, Before: len(replies)}
		if scan.format == Arrow {
			result.LeftAlone = "has Arrow IPC files"
			done = append(done, result)
			continue
		}
		if begin != nil {
			begin(scan.id)
		}
		result.After, err = d.compactScan(ctx, scan, replies, maxRows)
		if errors.Is(err, errChanged) {
			result.LeftAlone, err = errChanged.Error(), nil
		}
		if err != nil {
			return done, fmt.Errorf("scan %s: %w", scan.id, err)
		}
		done = append(done, result)
	}
	return done, nil
}

// unsorted are the scan's files of replies, unless Compact made them.
func (e expected) unsorted() []File {
	var replies []File
	sorted := true
	for _, f := range e.files {
		if !f.Rejects() {
			replies = append(replies, f)
			sorted = sorted && strings.Contains(f.Path, sortedMark+"-")
		}
	}
	if sorted {
		return nil
	}
	return replies
}

// compactScan returns the number of new files.
func (d *Dataset) compactScan(ctx context.Context, scan expected, replies []File, maxRows int64) (int, error) {
	stage, err := d.compactStage(ctx, scan)
	if err != nil {
		return 0, err
	}
	parts, err := d.sortReplies(ctx, stage, scan, replies, maxRows)
	if err != nil {
		if now, nowErr := d.expect(ctx, scan.name); nowErr == nil && now.state != scan.state {
			err = errChanged // and that is why
		}
	} else {
		err = d.decide(ctx, scan.id, scan.name, func() (record, error) {
			return stage.prepareSorted(ctx, scan, parts)
		})
	}
	if err != nil {
		// What was sorted can be sorted again. If it is committed by now, its record needs it.
		if _, pending := d.readRecord(ctx, recordName(scan.id)); isMissing(pending) {
			err = errors.Join(err, stage.Discard(context.WithoutCancel(ctx)))
		}
		return 0, err
	}
	return len(parts), nil
}

// compactStage names the stage by what is sorted, so that two processes that sort the same make the same
// files. It removes what was left of sorting another state of the scan.
func (d *Dataset) compactStage(ctx context.Context, scan expected) (*Stage, error) {
	prefix := compactPrefix + scan.id + "-"
	stage := d.Stage(prefix + scan.digest[:16])
	stages, err := d.Stages(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range stages {
		if strings.HasPrefix(s.ID, prefix) && s.ID != stage.ID {
			if err := s.Discard(ctx); err != nil {
				return nil, err
			}
		}
	}
	return stage, nil
}

// sortReplies puts a scan's replies into the stage, sorted.
func (d *Dataset) sortReplies(ctx context.Context, stage *Stage, scan expected, replies []File, maxRows int64) ([]Part, error) {
	c := &checker{dataset: d}
	if problems := c.checkListed(ctx, scan); problems != nil {
		return nil, errors.New(problems[0].String())
	}
	folder, err := os.MkdirTemp("", "mpcensus-compact-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	var paths []string
	for i, f := range replies {
		path, err := d.localCopy(ctx, f.Path, filepath.Join(folder, fmt.Sprintf("%05d.parquet", i)))
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	sorted := filepath.Join(folder, "sorted.parquet")
	if err := sortParquet(ctx, paths, sorted); err != nil {
		return nil, duckError("sort", err)
	}
	return stage.stageSorted(ctx, sorted, maxRows)
}

// localCopy returns the path of a file of the dataset. It copies the file if that is in an object store.
func (d *Dataset) localCopy(ctx context.Context, name, to string) (string, error) {
	if local, ok := d.store.(*store.Local); ok {
		return local.Path(name), nil
	}
	in, err := d.store.Open(ctx, name)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in)
	return to, errors.Join(err, out.Close())
}

// sortParquet sorts the rows of some files of replies into one, which DuckDB writes.
func sortParquet(ctx context.Context, from []string, to string) error {
	schema, err := Schema(RepliesTable)
	if err != nil {
		return err
	}
	var columns, files []string
	for _, field := range schema.Fields() {
		columns = append(columns, `"`+field.Name+`"`)
	}
	for _, path := range from {
		files = append(files, Literal(globEscaper.Replace(path)))
	}
	db, err := openDuckDB(ctx, DuckDBOptions{})
	if err != nil {
		return err
	}
	defer db.Close()
	// Text compares by bytes, as in the statistics of Parquet.
	_, err = db.ExecContext(ctx, fmt.Sprintf(`
		COPY (
			SELECT %s FROM read_parquet([%s], hive_partitioning = false)
			ORDER BY saddr, file_index, file_row_number
		) TO %s (FORMAT parquet, COMPRESSION zstd)`,
		strings.Join(columns, ", "), strings.Join(files, ", "), Literal(to)))
	return err
}

// stageSorted makes parts of at most maxRows rows from a file that sortParquet wrote.
func (s *Stage) stageSorted(ctx context.Context, from string, maxRows int64) (parts []Part, err error) {
	in, err := file.OpenParquetFile(from, false)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	columns, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{BatchSize: rowGroupRows}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	batches, err := columns.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	defer batches.Release()
	encoder, err := NewEncoder(Parquet)
	if err != nil {
		return nil, err
	}
	var group RowGroup
	var out *RepliesWriter
	defer func() {
		if err != nil && out != nil {
			err = errors.Join(err, out.Discard())
		}
	}()
	for batches.Next() {
		if err := encoder.encodeBatch(batches.RecordBatch(), &group); err != nil {
			return nil, err
		}
		if out == nil {
			if out, err = s.CreateReplies(ctx, len(parts), Parquet); err != nil {
				return nil, err
			}
		}
		if err := out.Append(&group); err != nil {
			return nil, err
		}
		if int64(out.rows)+rowGroupRows > maxRows {
			if parts, err = appendSorted(ctx, parts, out); err != nil {
				return nil, err
			}
			out = nil
		}
	}
	if err := batches.Err(); err != nil && err != io.EOF {
		return nil, err
	}
	if out != nil {
		parts, err = appendSorted(ctx, parts, out)
	}
	return parts, err
}

func appendSorted(ctx context.Context, parts []Part, out *RepliesWriter) ([]Part, error) {
	part, err := out.Commit(ctx)
	part.Sorted = true
	return append(parts, part), err
}

// prepareSorted stages the scan's row with the sorted parts, and says what the commit has to do.
func (s *Stage) prepareSorted(ctx context.Context, scan expected, parts []Part) (record, error) {
	r := record{Stage: s.ID, Replaces: scan.digest}
	batch, digest, err := readScanRow(ctx, s.dataset.store, scan.name)
	if isMissing(err) {
		return r, errChanged
	}
	if err != nil {
		return r, err
	}
	defer batch.Release()
	if digest != scan.digest {
		return r, errChanged
	}
	if whole, err := s.Has(ctx, parts); err != nil || !whole {
		return r, cmp.Or(err, errChanged)
	}
	var files []File
	for _, p := range parts {
		name := scan.key.partFile(p)
		files = append(files, File{name, p.Rows, p.Bytes, p.SHA256})
		r.Moves = append(r.Moves, move{s.file(p.Name), name})
	}
	for _, f := range scan.files {
		if f.Rejects() {
			files = append(files, f)
		} else if !slices.ContainsFunc(files, func(n File) bool { return n.Path == f.Path }) {
			r.Removes = append(r.Removes, f.Path)
		}
	}
	row, err := encodeRow(withFiles(batch, files), scan.format)
	if err != nil {
		return r, err
	}
	r.Row = digestOf(row)
	staged := s.file(ScansTable + "." + string(scan.format))
	r.Moves = append(r.Moves, move{staged, scan.name})
	return r, store.WriteFile(ctx, s.dataset.store, staged, row)
}

// withFiles is the row of a scan with another list of files.
func withFiles(row arrow.RecordBatch, files []File) arrow.RecordBatch {
	columns := slices.Clone(row.Columns())
	i := row.Schema().FieldIndices("files")[0]
	list := array.NewBuilder(memory.DefaultAllocator, row.Schema().Field(i).Type).(*array.ListBuilder)
	defer list.Release()
	appendFiles(list, files)
	columns[i] = list.NewArray()
	return array.NewRecordBatch(row.Schema(), columns, 1)
}
