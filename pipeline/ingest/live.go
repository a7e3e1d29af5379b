package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/spool"
	"github.com/mpcensus/mpcensus/pipeline/store"
)

// Live is a scan that is running: ZMap's rows go into a spool, which becomes part of the dataset when ZMap
// has ended. The spool is a folder with two files, from which any process can go on when this one dies.
type Live struct {
	folder string
	made   []string // folders that were not there before, the innermost first
	scan   liveScan
	rows   *spool.Writer
}

const (
	rowsFile = "rows.jsonl.zst" // package spool's
	scanFile = "scan.json"      // liveScan
)

// liveScan is what is known of the scan, at its beginning and then at its end.
type liveScan struct {
	ToolVersion string            `json:"tool_version"`
	Format      dataset.Format    `json:"format"`
	Partition   dataset.Partition `json:"partition"`
	Provenance  Provenance        `json:"provenance"`
}

// BeginLive makes the spool of a scan in a new folder of the given name; its parent is made if need be.
func BeginLive(folder string, p Params) (*Live, error) {
	l := &Live{folder: folder, made: missingFolders(folder), scan: liveScan{p.ToolVersion, p.Format, p.Partition, *p.Provenance}}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, err
	}
	var err error
	if l.rows, err = spool.Create(filepath.Join(folder, rowsFile)); err != nil {
		return nil, err
	}
	// The rows first: without them, the scan has not begun.
	if err := l.save(); err != nil {
		return nil, errors.Join(err, l.Drop())
	}
	return l, nil
}

// Begun notes what is known now that ZMap runs.
func (l *Live) Begun(p Provenance) error {
	l.scan.Provenance = p
	return l.save()
}

// ReadFrom puts ZMap's rows into the spool until their end.
func (l *Live) ReadFrom(rows io.Reader) (int64, error) { return l.rows.ReadFrom(rows) }

// Waited is how long ReadFrom kept ZMap waiting.
func (l *Live) Waited() time.Duration { return l.rows.Waited() }

// End closes the spool and notes what is known now that ZMap has ended.
func (l *Live) End(p Provenance) error {
	err := l.rows.Close()
	l.scan.Provenance = p
	// However well ZMap ended, rows that could not be stored are missing.
	l.scan.Provenance.Complete = p.Complete && err == nil
	return errors.Join(err, l.save())
}

// Drop removes a spool without rows, and the folders above it that were made for it.
func (l *Live) Drop() error {
	err := errors.Join(l.rows.Close(), os.RemoveAll(l.folder))
	for _, folder := range l.made {
		_ = os.Remove(folder) // unless there is something in it meanwhile
	}
	return err
}

// missingFolders are a folder and those above it, as far as they are not there.
func missingFolders(folder string) (missing []string) {
	for ; ; folder = filepath.Dir(folder) {
		if _, err := os.Lstat(folder); !errors.Is(err, fs.ErrNotExist) {
			return missing
		}
		missing = append(missing, folder)
	}
}

func (l *Live) save() error { return saveLiveScan(l.folder, l.scan) }

func saveLiveScan(path string, scan liveScan) error {
	text, err := json.Marshal(scan)
	if err != nil {
		return err
	}
	folder, err := store.Open(context.Background(), path)
	if err != nil {
		return err
	}
	return store.WriteFile(context.Background(), folder, scanFile, text)
}

// LiveWhole says whether the spool in a folder has all rows of a scan that ended well.
func LiveWhole(folder string) (bool, error) {
	scan, err := readLiveScan(filepath.Join(folder, scanFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return scan.Provenance.Complete, err
}

// maxScanFile bounds what is read as a liveScan: the longest command line is 2 MiB.
const maxScanFile = 16 << 20

// IngestLive adds the scan whose spool is in a folder to the dataset, and removes the spool. If a process
// died over it, what it had put on stable storage is added, as an incomplete scan. The error wraps
// spool.ErrBusy while the scan is running.
func IngestLive(ctx context.Context, d *dataset.Dataset, folder string, progress func(Counts)) (Summary, error) {
	path := filepath.Join(folder, rowsFile)
	cut, spoolErr := spool.Recover(path)
	if spoolErr != nil && !errors.Is(spoolErr, fs.ErrNotExist) {
		return Summary{}, spoolErr
	}
	scan, err := readLiveScan(filepath.Join(folder, scanFile))
	if errors.Is(err, fs.ErrNotExist) {
		// The scan had not begun, or is in the dataset already.
		return Summary{}, os.RemoveAll(folder)
	}
	if err = errors.Join(spoolErr, err); err != nil {
		return Summary{}, err
	}
	if cut > 0 && scan.Provenance.Complete {
		// The spool was whole when ZMap had ended, so that the disk lost some of it since.
		scan.Provenance.Complete = false
		if err := saveLiveScan(folder, scan); err != nil {
			return Summary{}, err
		}
	}
	rows, err := spool.Open(path)
	if err != nil {
		return Summary{}, err
	}
	defer rows.Close()
	summary, err := Run(ctx, d, rows, Params{
		Format: scan.Format, Partition: scan.Partition, ToolVersion: scan.ToolVersion,
		Stage: filepath.Base(folder), Resume: true,
		Provenance: &scan.Provenance, Progress: progress,
	})
	if err != nil {
		return summary, err
	}
	// The rows last: without them, nobody would look at the folder again.
	if err := os.Remove(filepath.Join(folder, scanFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return summary, err
	}
	return summary, os.RemoveAll(folder)
}

func readLiveScan(path string) (scan liveScan, err error) {
	file, err := os.Open(path)
	if err != nil {
		return scan, err
	}
	defer file.Close()
	if err := json.NewDecoder(io.LimitReader(file, maxScanFile)).Decode(&scan); err != nil {
		return scan, fmt.Errorf("%s: %w", path, err)
	}
	return scan, nil
}

// LiveFolders are the spools in a folder.
func LiveFolders(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, entry := range entries {
		folder := filepath.Join(root, entry.Name())
		if _, err := os.Lstat(filepath.Join(folder, rowsFile)); err == nil {
			folders = append(folders, folder)
		}
	}
	return folders, nil
}
