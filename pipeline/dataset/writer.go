// Package dataset writes and reads the census: a folder of tables as Hive-partitioned Parquet or
// Arrow IPC files, whose columns schemas/tables.yaml defines.
//
// A scan has one file in each of the tables `replies` and `scans`, and one of rejected lines if
// there are any:
//
//	DATASET/replies/date=2026-11-23/family=ipv4/port=443/probe=v1/SCANID.parquet
//	DATASET/scans/date=2026-11-23/family=ipv4/port=443/probe=v1/SCANID.parquet
//	DATASET/rejects/date=2026-11-23/family=ipv4/port=443/probe=v1/SCANID.jsonl
//
// Files appear whole or not at all. That of `scans` appears last: without it, a scan does not count.
package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// ErrExists is returned when the dataset has the scan already, made otherwise.
var ErrExists = errors.New("already in the dataset")

// Writer adds one scan to a dataset. The order of calls is Reserve and Reject or Append for each
// line, Begin before the first Append, then Commit; and Discard in any case.
//
// Not safe for concurrent use.
type Writer struct {
	dir    string
	format Format

	rejects *rejectsFile
	replies *repliesFile
	scans   *tableFile

	partition Partition
	scanID    string

	kept, rejected uint64
}

// NewWriter begins a scan, of which nothing need be known yet. It makes sure that there is room for
// a first line.
func NewWriter(dir string, format Format) (_ *Writer, err error) {
	w := &Writer{dir: dir, format: format}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Discard())
		}
	}()
	if w.rejects, err = createRejects(dir); err != nil {
		return nil, err
	}
	if w.replies, err = createReplies(dir, format); err != nil {
		return nil, err
	}
	if w.scans, err = createScans(dir, format); err != nil {
		return nil, err
	}
	return w, w.Reserve()
}

// Begin says which scan it is. The error wraps ErrExists if the dataset has it under another date or
// in another format.
func (w *Writer) Begin(p Partition, scanID string) error {
	own := p.Path(w.dir, ScansTable, scanID, w.format)
	others, err := findScan(w.dir, p, scanID)
	if err != nil {
		return err
	}
	for _, other := range others {
		if other != own {
			return fmt.Errorf("scan %s is %w as %s: remove it, or ingest with the same date and format",
				scanID, ErrExists, other)
		}
	}
	w.partition, w.scanID = p, scanID
	w.replies.partition, w.replies.scanID = p, scanID
	return nil
}

// CheckWritable says whether a dataset can be written to, or made, in a folder. It makes nothing.
func CheckWritable(dir string) error {
	for folder := dir; ; folder = filepath.Dir(folder) {
		err := unix.Faccessat(unix.AT_FDCWD, folder, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
		if err == nil {
			var info fs.FileInfo
			if info, err = os.Stat(folder); err == nil && !info.IsDir() {
				err = unix.ENOTDIR
			}
		}
		if errors.Is(err, fs.ErrNotExist) && folder != filepath.Dir(folder) {
			continue
		}
		if err != nil {
			return fmt.Errorf("dataset %s: %s: %w", dir, folder, err)
		}
		return nil
	}
}

// ScanID is the scan's name, once it has begun.
func (w *Writer) ScanID() string { return w.scanID }

// Reserve makes sure that another line can be stored, whatever happens to the disk's free room. It
// comes before the line is read. When it fails, all that was stored before can still be committed.
func (w *Writer) Reserve() error {
	if err := w.replies.reserve(); err != nil {
		return err
	}
	return w.rejects.reserve()
}

// Append stores a reply.
func (w *Writer) Append(row *zmap.Row) error {
	w.kept++
	return w.replies.append(row)
}

// Reject stores a line that is not a reply of the scan.
func (w *Writer) Reject(r Reject) error {
	w.rejected++
	return w.rejects.append(r)
}

// Commit makes the scan appear. If it is there already and came from the same input, or had broken off
// no later than this one, it is replaced; if from another, nothing is touched and the error wraps
// ErrExists.
func (w *Writer) Commit(s Scan) error {
	if s.RowsKept != w.kept || s.RowsRejected != w.rejected || s.RowsRead != w.kept+w.rejected {
		return fmt.Errorf("scan %s: read %d = kept %d + rejected %d does not fit the %d and %d rows stored",
			w.scanID, s.RowsRead, s.RowsKept, s.RowsRejected, w.kept, w.rejected)
	}
	unlock, err := lockFolder(w.dir)
	if err != nil {
		return err
	}
	defer unlock()
	paths, err := findScan(w.dir, w.partition, w.scanID)
	if err != nil {
		return err
	}
	for _, path := range paths {
		stored, err := readStored(path, w.format)
		if err != nil {
			return err
		}
		if !stored.givesWayTo(s) {
			return fmt.Errorf("scan %s is %w, from another input, as %s: remove it to ingest this one",
				w.scanID, ErrExists, path)
		}
		if stored.inputSHA256 != s.InputSHA256 {
			// Conclusions from what is replaced.
			for _, table := range []string{HostsTable, TreatmentsTable} {
				if err := removeFile(w.partition.Path(w.dir, table, w.scanID, Parquet)); err != nil {
					return err
				}
			}
		}
	}
	if err := appendScan(w.scans, w.scanID, s); err != nil {
		return err
	}
	path := func(table string) string { return w.partition.Path(w.dir, table, w.scanID, w.format) }
	if err := w.replies.table.commit(path(RepliesTable)); err != nil {
		return err
	}
	if err := w.rejects.commit(w.partition.RejectsPath(w.dir, w.scanID)); err != nil {
		return err
	}
	return w.scans.commit(path(ScansTable))
}

// CommitRejects keeps the rejected lines of an input that does not say which scan it is, under a name
// made from the input's digest. It returns the path, empty if nothing was rejected.
func (w *Writer) CommitRejects(digest string) (string, error) {
	path := filepath.Join(w.dir, rejectsFolder, "unassigned-"+digest[:16]+".jsonl")
	if w.rejects.empty() {
		return "", w.rejects.file.Discard()
	}
	return path, w.rejects.commit(path)
}

// Discard drops what was not committed.
func (w *Writer) Discard() error {
	var errs []error
	if w.rejects != nil {
		errs = append(errs, w.rejects.file.Discard())
	}
	if w.replies != nil {
		errs = append(errs, w.replies.table.file.Discard())
	}
	if w.scans != nil {
		errs = append(errs, w.scans.file.Discard())
	}
	return errors.Join(errs...)
}
