package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

// unfinishedFolder holds what is not part of the dataset yet, a folder a stage.
const unfinishedFolder = "unfinished"

// stateFile is how far a stage has got.
const stateFile = "state.json"

// lockFile is there while a process is at work on a stage, or when it was killed. The lock tells.
const lockFile = "lock"

// maxState bounds a stage's state, and the record of a commit: some hundred bytes a part.
const maxState = 64 << 20

// Stage is a scan in the making: its finished parts and how far they go, from which another process can
// take over. It has a folder in the dataset that no reader of a table looks into.
type Stage struct {
	dataset *Dataset
	ID      string
}

// Stage names a stage. What it has is kept until it is committed or discarded.
func (d *Dataset) Stage(id string) *Stage { return &Stage{d, id} }

// Stages are those that have anything.
func (d *Dataset) Stages(ctx context.Context) ([]*Stage, error) {
	var stages []*Stage
	for info, err := range d.store.List(ctx, unfinishedFolder) {
		if err != nil {
			return nil, err
		}
		id, _, inFolder := strings.Cut(strings.TrimPrefix(info.Name, unfinishedFolder+"/"), "/")
		if inFolder && (len(stages) == 0 || stages[len(stages)-1].ID != id) {
			stages = append(stages, d.Stage(id))
		}
	}
	return stages, nil
}

func (s *Stage) folder() string { return path.Join(unfinishedFolder, s.ID) }

func (s *Stage) file(name string) string { return path.Join(s.folder(), name) }

// Save notes how far the stage has got, as JSON, in place of what it noted before.
func (s *Stage) Save(ctx context.Context, state any) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return store.WriteFile(ctx, s.dataset.store, s.file(stateFile), text)
}

// Load reads what Save noted. The error wraps fs.ErrNotExist if there is nothing.
func (s *Stage) Load(ctx context.Context, state any) error {
	text, err := store.ReadFile(ctx, s.dataset.store, s.file(stateFile), maxState)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, state); err != nil {
		return s.Spoilt(err)
	}
	return nil
}

// Lock says that a process is at work on the stage, until unlock is called or the process ends. The error
// wraps ErrBusy if another one is. An object store has no locks: there, it does nothing.
func (s *Stage) Lock(ctx context.Context) (unlock func() error, err error) {
	local, ok := s.dataset.store.(*store.Local)
	if !ok {
		return func() error { return nil }, nil
	}
	name := local.Path(s.file(lockFile))
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if err == unix.EWOULDBLOCK {
			err = ErrBusy
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", s.folder(), err), file.Close())
	}
	return func() error { return errors.Join(s.dataset.store.Remove(ctx, s.file(lockFile)), file.Close()) }, nil
}

// ErrBusy means that another process is at work on a stage.
var ErrBusy = errors.New("a process is still at work on it: wait for its end, or stop it")

// Spoilt is the error of a note that nobody can go on from.
func (s *Stage) Spoilt(why error) error {
	return fmt.Errorf("%s: %w: remove it from the dataset, and ingest its input again", s.file(stateFile), why)
}

// Has says whether the stage has all of the parts, as long as they should be.
func (s *Stage) Has(ctx context.Context, parts []Part) (bool, error) {
	sizes := map[string]int64{}
	for info, err := range s.dataset.store.List(ctx, s.folder()) {
		if err != nil {
			return false, err
		}
		sizes[path.Base(info.Name)] = info.Size
	}
	for _, p := range parts {
		if size, ok := sizes[p.Name]; !ok || uint64(size) != p.Bytes {
			return false, nil
		}
	}
	return true, nil
}

// DiscardParts removes the stage's parts and its row of `scans`, and the note how far they go.
func (s *Stage) DiscardParts(ctx context.Context) error {
	return s.discard(ctx, func(name string) bool {
		folder, _, isPart := strings.Cut(name, "-")
		return isPart && (folder == RepliesTable || folder == rejectsFolder) || strings.HasPrefix(name, ScansTable+".")
	})
}

// Discard removes all that the stage has, the rows of a scan that ZMap printed too.
func (s *Stage) Discard(ctx context.Context) error {
	return s.discard(ctx, func(string) bool { return true })
}

func (s *Stage) discard(ctx context.Context, which func(name string) bool) error {
	// The state first: without it, nobody takes over.
	errs := []error{s.dataset.store.Remove(ctx, s.file(stateFile))}
	for info, err := range s.dataset.store.List(ctx, s.folder()) {
		if err == nil && which(path.Base(info.Name)) {
			err = s.dataset.store.Remove(ctx, info.Name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func discard(err error, file store.File) error { return errors.Join(err, file.Discard()) }

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
