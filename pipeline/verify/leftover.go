package verify

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/store"
)

// stagePrefix begins the names of runs' folders among the unfinished work of a dataset. They hold the rows
// until these are a table, and a lock: it tells of a file of `grabs` that no row of `verifications` lists
// whether somebody still will.
const stagePrefix = "verify-"

// spoolFile has the rows, as JSON.
const spoolFile = "grabs.jsonl"

// begin makes a run's folder in the dataset in dir, after it removed what killed runs left. end removes it,
// and a file of `grabs` that the run did not come to list.
func begin(ctx context.Context, dir, id string) (folder string, end func() error, err error) {
	d, err := dataset.Open(ctx, dir)
	if err != nil {
		return "", nil, err
	}
	unfinished, ok := d.LocalUnfinished()
	if !ok {
		err = errors.New("connections are verified into a folder of this machine")
	} else if err = d.CheckWritable(ctx); err == nil {
		err = removeDead(ctx, d, dir, unfinished)
	}
	if err != nil {
		return "", nil, cmp.Or(err, d.Close())
	}
	whole := context.WithoutCancel(ctx) // an interrupted run is to leave nothing
	unlock, err := d.Stage(stagePrefix + id).Lock(whole)
	if err != nil {
		return "", nil, cmp.Or(err, d.Close())
	}
	folder = filepath.Join(unfinished, stagePrefix+id)
	return folder, func() error { return cmp.Or(remove(whole, dir, folder, id), unlock(), d.Close()) }, nil
}

// removeDead removes what runs left whose processes died.
func removeDead(ctx context.Context, d *dataset.Dataset, dir, unfinished string) error {
	entries, err := os.ReadDir(unfinished)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		id, ours := strings.CutPrefix(entry.Name(), stagePrefix)
		if !ours {
			continue
		}
		unlock, err := d.Stage(entry.Name()).Lock(ctx)
		if errors.Is(err, dataset.ErrBusy) {
			continue
		}
		if err != nil {
			return err
		}
		if err := cmp.Or(remove(ctx, dir, filepath.Join(unfinished, entry.Name()), id), unlock()); err != nil {
			return err
		}
	}
	return nil
}

// remove removes a run's rows and, unless its row of `verifications` is there, its file of `grabs`. Without its
// lock, which is for the caller to remove then, the folder is gone.
func remove(ctx context.Context, dir, folder, id string) error {
	s, err := store.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer s.Close()
	// Files of both tables have the same partition and name.
	grabs, err := fs.Glob(os.DirFS(dir), dataset.GrabsTable+"/*/*/*/*/"+id+"."+string(dataset.Parquet))
	if err != nil {
		return err
	}
	for _, name := range grabs {
		listing := strings.Replace(name, dataset.GrabsTable, dataset.VerificationsTable, 1)
		if _, err := os.Stat(filepath.Join(dir, listing)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := s.Remove(ctx, name); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(folder, spoolFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
