package ingest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/store"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// leftPipe leaves what a process leaves that dies over a pipe.
func leftPipe(t *testing.T, dir string, input []byte) (*dataset.Dataset, Left) {
	t.Helper()
	p := params()
	p.Source, p.sizes = "", small
	leaveUnfinished(t, dir, input, p)
	d, err := dataset.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	left, err := Unfinished(t.Context(), d)
	if err != nil || len(left) != 1 {
		t.Fatalf("left %+v, %v", left, err)
	}
	return d, left[0]
}

// Rows of a pipe cannot be read again: another version of the program commits what an earlier one put into parts.
func TestFinishByAnotherVersion(t *testing.T) {
	d, left := leftPipe(t, t.TempDir(), labRows(t, 1000, rows.IPv4))
	left.ToolVersion = "another"
	if s, err := left.Resume(t.Context(), d, nil); err != nil || s.Kept != left.Kept || s.Kept == 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A part that is gone is no reason to drop the others.
func TestFinishWithLostPart(t *testing.T) {
	dir := t.TempDir()
	d, left := leftPipe(t, dir, labRows(t, 1000, rows.IPv4))
	if err := os.Remove(filepath.Join(dir, "unfinished", left.Stage, "replies-00000.parquet")); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	if _, err := left.Resume(t.Context(), d, nil); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	if !same(tree(t, dir), before) {
		t.Errorf("something was dropped:\n%s", paths(tree(t, dir)))
	}
}

// A pipe that is still being read is left alone.
func TestFinishOfLivePipe(t *testing.T) {
	input := labRows(t, 1000, rows.IPv4)
	p := params()
	p.Source, p.sizes = "", small
	undisturbed := t.TempDir()
	mustRun(t, undisturbed, input, p)

	dir := t.TempDir()
	d, err := dataset.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	finished := 0
	disturbed := readerFunc(func(b []byte) (int, error) {
		if left, err := Unfinished(t.Context(), d); err == nil && len(left) == 1 && left[0].Kept > 0 && finished < 2 {
			finished++
			if _, err := left[0].Resume(t.Context(), d, nil); !errors.Is(err, dataset.ErrBusy) || strings.Contains(err.Error(), "\n") {
				t.Errorf("resume: %v", err)
			}
		}
		return 0, nil
	})
	// Each piece is read after the disturbance has had its turn.
	var pieces []io.Reader
	for piece := range chunks(input, 8_000) {
		pieces = append(pieces, once(disturbed), bytes.NewReader(piece))
	}
	if _, err := Run(t.Context(), d, io.MultiReader(pieces...), p); err != nil {
		t.Fatal(err)
	}
	if finished == 0 {
		t.Error("nobody tried")
	}
	if got := tree(t, dir); !same(got, tree(t, undisturbed)) {
		t.Errorf("not the files of an undisturbed run:\n%s", paths(got))
	}
}

// once reads nothing, after one call of r.
func once(r io.Reader) io.Reader {
	return readerFunc(func([]byte) (int, error) {
		_, _ = r.Read(nil)
		return 0, io.EOF
	})
}

func chunks(text []byte, size int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(text) > 0 {
			n := min(size, len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// A note that nobody can have left is named, with what to do, and leaves everything as it is.
func TestSpoiltState(t *testing.T) {
	for what, text := range map[string]string{
		"not JSON":       "{",
		"of another day": `{"made": 7}`,
		"no blocks":      `{"made": {"input": "x", "block": 0, "part": 3}, "blocks": 3}`,
		"no parts":       `{"made": {"input": "x", "block": 10000, "part": 0}, "blocks": 3}`,
		"less than none": `{"made": {"input": "x", "block": -1, "part": -1}, "blocks": 3}`,
		"no digest":      `{"made": {"input": "x", "block": 10000, "part": 3}, "blocks": 3}`,
		"far too large":  `{"made": {"input": "x", "block": 99999999999999, "part": 3}, "blocks": 3}`,
	} {
		dir := t.TempDir()
		stage := filepath.Join(dir, "unfinished", "stage")
		if err := os.MkdirAll(stage, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(stage, "state.json"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		d, err := dataset.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		_, err = Unfinished(t.Context(), d)
		if err == nil || !strings.Contains(err.Error(), "unfinished/stage/state.json") || !strings.Contains(err.Error(), "remove") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// fullStore has no room for replies.
type fullStore struct {
	store.Store
	refused atomic.Bool
}

func (s *fullStore) Create(ctx context.Context, name string) (store.File, error) {
	if strings.Contains(name, "replies") {
		s.refused.Store(true)
		return nil, errFault
	}
	return s.Store.Create(ctx, name)
}

// Parts that no process can have made are as good as gone.
func TestSpoiltParts(t *testing.T) {
	for _, part := range []dataset.Part{{}, {Name: "replies-00000"}, {Name: "state.json"}, {Name: "../../scans/x.parquet"}} {
		d, left := leftPipe(t, t.TempDir(), labRows(t, 1000, rows.IPv4))
		stage := d.Stage(left.Stage)
		var st state
		if err := stage.Load(t.Context(), &st); err != nil {
			t.Fatal(err)
		}
		part.Rows = st.Parts[0].Rows
		st.Parts[0] = part
		if err := stage.Save(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		if _, err := left.Resume(t.Context(), d, nil); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", part, err)
		}
	}
}

// A commit that cannot be carried out is no pipe that was left before its first part.
func TestFinishAtStuckCommit(t *testing.T) {
	dir := t.TempDir()
	d, left := leftPipe(t, dir, labRows(t, 1000, rows.IPv4))
	var st state
	if err := d.Stage(left.Stage).Load(t.Context(), &st); err != nil {
		t.Fatal(err)
	}
	record := "unfinished/" + st.Scan.ID + ".commit.json"
	text := `{"stage": "gone", "replaces": "", "row": "", "moves": [{"from": "unfinished/gone/a", "to": "scans/a.parquet"}]}`
	if err := os.WriteFile(filepath.Join(dir, record), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	if _, err := left.Resume(t.Context(), d, nil); err == nil || !strings.Contains(err.Error(), "remove "+record) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	if !same(tree(t, dir), before) {
		t.Error("something was dropped")
	}
}

// Once rows cannot be stored, no more are waited for: the rest of a block can take a slow pipe minutes.
func TestFullStoreEndsReading(t *testing.T) {
	local, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	full := &fullStore{Store: local}
	input, after := labRows(t, 3000, rows.IPv4), 0
	slow := readerFunc(func(b []byte) (int, error) {
		time.Sleep(time.Millisecond)
		if full.refused.Load() {
			after++
		}
		n := copy(b[:min(len(b), 1000)], input)
		input = input[n:]
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	})
	p := params()
	p.sizes = sizes{block: 200_000, part: 3}
	if _, err := Run(t.Context(), dataset.New(full), slow, p); !errors.Is(err, errFault) || !errors.Is(err, ErrUnfinished) {
		t.Errorf("got %v", err)
	}
	if after > 20 {
		t.Errorf("%d reads after the rows could not be stored", after)
	}
}

// Reasons of millions of lines are not held at once: 8 MiB of lines that are no rows take no more memory than rows do.
func TestRejectsAreNotHeld(t *testing.T) {
	work, in := make(chan *job, 1), bytes.Repeat([]byte("x\n"), 1<<20)
	j, err := newJob()
	if err != nil {
		t.Fatal(err)
	}
	if err := zmap.NewBlockReader(bytes.NewReader(in), len(in)).Read(&j.block); err != nil {
		t.Fatal(err)
	}
	encoder, err := dataset.NewEncoder(dataset.Parquet)
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	work <- j
	close(work)
	decodeAll(work, encoder)
	if held := heap() - before; held > uint64(5*len(in)) {
		t.Errorf("%d bytes are held for a block of %d", held, len(in))
	}
	if len(j.rejects) != 1<<20 {
		t.Errorf("%d lines rejected", len(j.rejects))
	}
}

// heap is how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
