package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/store"
)

// fault is how the store fails.
type fault string

const (
	dies       fault = "dies before"                  // nothing is done from then on, as when the process was killed
	diesBehind fault = "dies behind"                  // the operation is done, but nobody learns of it, nor anything after it
	halfMove   fault = "dies in the middle of a move" // an object store has copied, and not removed yet
	hiccup     fault = "fails once"                   // the connection broke
)

var errFault = errors.New("the store fails")

// faultyStore fails at one of the operations that change it.
type faultyStore struct {
	store.Store
	fault fault
	left  int // operations until then
}

// operate does an operation, or not.
func (s *faultyStore) operate(do func() error) error {
	s.left--
	switch {
	case s.left > 0, s.left < 0 && s.fault == hiccup:
		return do()
	case s.left == 0 && s.fault == diesBehind:
		return errors.Join(do(), errFault)
	}
	return errFault
}

// dead says that no process is there to ask anything.
func (s *faultyStore) dead() error {
	if s.left <= 0 && s.fault != hiccup {
		return errFault
	}
	return nil
}

func (s *faultyStore) Create(ctx context.Context, name string) (store.File, error) {
	if err := s.dead(); err != nil {
		return nil, err
	}
	file, err := s.Store.Create(ctx, name)
	return faultyFile{file, s}, err
}

type faultyFile struct {
	store.File
	in *faultyStore
}

func (f faultyFile) Commit(ctx context.Context) error {
	return f.in.operate(func() error { return f.File.Commit(ctx) })
}

func (s *faultyStore) Claim(ctx context.Context, name string, content []byte) error {
	return s.operate(func() error { return s.Store.Claim(ctx, name, content) })
}

func (s *faultyStore) Move(ctx context.Context, from, to string) error {
	if s.fault == halfMove && s.left == 1 {
		s.left = 0
		content, err := store.ReadFile(ctx, s.Store, from, 1<<20)
		return errors.Join(err, store.WriteFile(ctx, s.Store, to, content), errFault)
	}
	return s.operate(func() error { return s.Store.Move(ctx, from, to) })
}

func (s *faultyStore) Remove(ctx context.Context, name string) error {
	return s.operate(func() error { return s.Store.Remove(ctx, name) })
}

func (s *faultyStore) Open(ctx context.Context, name string) (store.Reader, error) {
	if err := s.dead(); err != nil {
		return nil, err
	}
	return s.Store.Open(ctx, name)
}

// runFaulty ingests rows into a local folder whose store fails at the n-th operation.
func runFaulty(t *testing.T, dir string, input []byte, p Params, fault fault, n int) (left int, err error) {
	t.Helper()
	local, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	faulty := &faultyStore{local, fault, n}
	_, err = Run(t.Context(), dataset.New(faulty), bytes.NewReader(input), p)
	return faulty.left, err
}

// goOn does what `ingest` does next time: first what a dead process had committed.
func goOn(t *testing.T, dir string, input []byte, p Params) {
	t.Helper()
	d, err := dataset.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.RollForward(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), d, bytes.NewReader(input), p); err != nil {
		t.Fatal(err)
	}
}

// Whichever operation on the store fails: the scan's row is not there before all its files are, and going on gives
// the bytes of an undisturbed run; in place of a scan that had broken off, too.
func TestEveryFault(t *testing.T) {
	input := labRows(t, 60, rows.IPv4)
	p := params()
	p.sizes = sizes{block: 4000, part: 3}
	undisturbed := t.TempDir()
	mustRun(t, undisturbed, input, p)
	want := tree(t, undisturbed)
	var scanRow string
	for name := range want {
		if strings.HasPrefix(name, "scans/") {
			scanRow = name
		}
	}

	for _, broken := range []bool{false, true} {
		for _, fault := range []fault{dies, diesBehind, halfMove, hiccup} {
			for n := 1; ; n++ {
				what := fmt.Sprintf("in place of a scan: %t, the store %s operation %d", broken, fault, n)
				dir := t.TempDir()
				if broken {
					half := io.MultiReader(bytes.NewReader(input[:len(input)/2]), iotest.ErrReader(io.ErrUnexpectedEOF))
					if s, err := run(t.Context(), t, dir, half, p); s.Kept == 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Fatalf("%+v, %v", s, err)
					}
				}
				left, err := runFaulty(t, dir, input, p, fault, n)
				if left > 0 {
					t.Logf("in place of a scan: %t, the store %s: %d operations", broken, fault, n-1)
					if err != nil || n < 15 {
						t.Errorf("%s: %v", what, err)
					}
					break
				}
				// The first operation drops what is left of a former run: nothing is unfinished yet.
				if !errors.Is(err, errFault) || errors.Is(err, ErrUnfinished) != (n > 1) {
					t.Errorf("%s: %v", what, err)
				}
				seen := tree(t, dir)
				for name, content := range want {
					if seen[scanRow] == want[scanRow] && seen[name] != content {
						t.Errorf("%s: the scan's row is there, %s is not", what, name)
					}
				}
				p := p
				p.Resume = n%2 == 0
				goOn(t, dir, input, p)
				if got := tree(t, dir); !same(got, want) {
					t.Fatalf("%s: not the files of an undisturbed run, but:\n%s", what, paths(got))
				}
			}
		}
	}
}
