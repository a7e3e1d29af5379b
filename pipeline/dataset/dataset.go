// Package dataset writes and reads the census: tables as Hive-partitioned Parquet or Arrow IPC files,
// whose columns schemas/tables.yaml defines, in a local folder or an object store.
//
// A scan has a row in the table `scans`, which lists the scan's other files with their numbers of rows
// and checksums:
//
//	scans/date=2026-11-23/family=ipv4/port=443/probe=v1/SCANID.parquet
//	replies/date=2026-11-23/family=ipv4/port=443/probe=v1/SCANID-00000.parquet, SCANID-00001.parquet, …
//	rejects/date=2026-11-23/family=ipv4/port=443/probe=v1/SCANID-00000.jsonl, …
//
// # Commit protocol
//
// A file that no row in `scans` lists is no part of the dataset. Files appear whole or not at all, and
// those of a scan together: they are made in the folder `unfinished/`, where no reader of a table
// looks; then a record, unfinished/SCANID.commit.json, says where each belongs. That record is the
// commit. Whoever finds one moves the files to their places, the row in `scans` last, so that a
// process that dies in the middle is no obstacle (Commit, RollForward).
package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

// Dataset is a census in a local folder or an object store.
type Dataset struct {
	store store.Store
}

// New is the dataset in a store, which is closed with it.
func New(s store.Store) *Dataset { return &Dataset{s} }

// Open opens the dataset at a location of package store, which need not have anything yet.
func Open(ctx context.Context, location string) (*Dataset, error) {
	s, err := store.Open(ctx, location)
	if err != nil {
		return nil, err
	}
	return New(s), nil
}

// Close frees what the dataset holds.
func (d *Dataset) Close() error { return d.store.Close() }

// LocalUnfinished is the folder of unfinished work, if the dataset is in a local folder.
func (d *Dataset) LocalUnfinished() (path string, ok bool) {
	local, ok := d.store.(*store.Local)
	if !ok {
		return "", false
	}
	return local.Path(unfinishedFolder), true
}

// CheckWritable says whether the dataset can be written to, or made. It leaves nothing behind.
func (d *Dataset) CheckWritable(ctx context.Context) error {
	if folder, ok := d.LocalUnfinished(); ok {
		return checkWritable(filepath.Dir(folder))
	}
	const name = unfinishedFolder + "/writable"
	if err := store.WriteFile(ctx, d.store, name, nil); err != nil {
		return err
	}
	return d.store.Remove(ctx, name)
}

func checkWritable(dir string) error {
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
