package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// phase is where a kill met an ingest.
type phase string

const (
	beforeParts  phase = "before the first part"
	betweenParts phase = "between parts"
	inCommit     phase = "in the commit"
	afterEnd     phase = "after the end"
)

// phaseOf says by its files how far a dataset's only ingest has come.
func phaseOf(files map[string]string) phase {
	p := beforeParts
	for name, content := range files {
		switch {
		case strings.HasSuffix(name, ".commit.json"):
			return inCommit
		case strings.HasPrefix(name, dataset.ScansTable+"/"):
			p = afterEnd
		case strings.HasSuffix(name, "/state.json") && p == beforeParts:
			var st state
			if json.Unmarshal([]byte(content), &st) == nil && st.Blocks > 0 {
				p = betweenParts
			}
		}
	}
	return p
}

// span is how long an undisturbed child takes, and when its commit begins.
type span struct{ commit, whole time.Duration }

func measure(t *testing.T, w task, input io.Reader) (s span) {
	t.Helper()
	cmd := w.command()
	cmd.Stdin = input
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for s.whole == 0 {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%+v: %v: %s", w, err, cmd.Stderr)
			}
			s.whole = time.Since(begun)
		case <-time.After(time.Millisecond):
			if s.commit == 0 && commitBegun(w.Dataset) {
				s.commit = time.Since(begun)
			}
		}
	}
	if s.commit == 0 {
		s.commit = s.whole
	}
	return s
}

func commitBegun(dir string) bool {
	records, _ := filepath.Glob(filepath.Join(dir, "unfinished", "*.commit.json"))
	return records != nil
}

// killAt kills a child at a random moment: of its whole life, or, if late, from the beginning of its
// commit on.
func killAt(w task, s span, input io.Reader, late bool) (killed time.Time, err error) {
	cmd := w.command()
	cmd.Stdin = input
	cmd.WaitDelay = 10 * time.Millisecond // a feed of input does not end by itself
	if err := cmd.Start(); err != nil {
		return killed, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	moment := rand.N(s.whole + s.whole/10)
	if late {
		for !commitBegun(w.Dataset) && len(ended) == 0 {
			time.Sleep(200 * time.Microsecond)
		}
		moment = rand.N(max(s.whole-s.commit, time.Millisecond))
	}
	time.Sleep(moment)
	killed = time.Now()
	if err = cmd.Process.Kill(); errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-ended
	if text := fmt.Sprint(cmd.Stderr); text != "" {
		err = fmt.Errorf("%+v: %s", w, text)
	}
	return killed, err
}

// cutOff is a dataset in a new folder below dir, where an ingest was killed between its first part and its
// commit.
func cutOff(t *testing.T, dir, input string) string {
	t.Helper()
	s := measure(t, task{What: "ingest", Dataset: t.TempDir(), Input: input}, nil)
	for i := range 100 {
		w := task{What: "ingest", Dataset: filepath.Join(dir, fmt.Sprint(i)), Input: input}
		if _, err := killAt(w, span{whole: s.commit}, nil, false); err != nil {
			t.Fatal(err)
		}
		if phaseOf(visible(t, w.Dataset)) == betweenParts {
			return w.Dataset
		}
		if err := os.RemoveAll(w.Dataset); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no kill came between two parts")
	return ""
}

// kills runs a fault as often as there is time for, several at once, but at most so often.
func kills(t *testing.T, least, most, atOnce int, budget time.Duration, kill func(t *testing.T, n int) phase) {
	t.Helper()
	var mu sync.Mutex
	met := map[phase]int{}
	done := 0
	end := time.Now().Add(budget)
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for {
				mu.Lock()
				n := done
				more := n < least || n < most && time.Now().Before(end)
				if more && !t.Failed() {
					done++
				} else {
					more = false
				}
				mu.Unlock()
				if !more {
					return
				}
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					p := kill(t, n)
					mu.Lock()
					met[p]++
					mu.Unlock()
				})
			}
		})
	}
	group.Wait()
	t.Logf("%d kills: %v", done, met)
	if longFaults {
		for _, p := range []phase{beforeParts, betweenParts, inCommit, afterEnd} {
			if met[p] == 0 {
				t.Errorf("no kill %s", p)
			}
		}
	}
}

// An ingest of a file is killed at a random moment, and so, sometimes, is what goes on with it: the
// dataset is sound each time, and in the end that of an undisturbed run.
func TestKilledIngest(t *testing.T) {
	text := faultRows(t, 12_000, rows.V0)
	input := writeInput(t, text)
	want := undisturbed(t, input)
	s := measure(t, task{What: "ingest", Dataset: t.TempDir(), Input: input}, nil)
	t.Logf("undisturbed: %v, its commit begins after %v", s.whole, s.commit)
	least, most, budget := 4, 1000, 7*time.Second
	if longFaults {
		least, most, budget = 200, 200, 0
	}
	kills(t, least, most, 2, budget, func(t *testing.T, n int) phase {
		dir := t.TempDir()
		if _, err := killAt(task{What: "ingest", Dataset: dir, Input: input}, s, nil, n%3 == 2); err != nil {
			t.Fatal(err)
		}
		met := phaseOf(visible(t, dir))
		mustBeSound(t, dir)
		for range rand.IntN(4) {
			if _, err := killAt(task{What: "resume", Dataset: dir}, s, nil, n%3 == 1); err != nil {
				t.Fatal(err)
			}
			mustBeSound(t, dir)
		}
		mustResume(t, dir)
		if len(visible(t, dir)) == 0 {
			// It was killed before it had noted that it began.
			mustDo(t, task{What: "ingest", Dataset: dir, Input: input})
		}
		mustBeSound(t, dir)
		mustBeSame(t, dir, want)
		return met
	})
}

// live is what `mpcensus scan` does with ZMap's rows, here from standard input.
func (w task) live(ctx context.Context, d *dataset.Dataset) error {
	begun := start.Add(-time.Second)
	p := Provenance{Started: begun, ZMapVersion: "test"}
	l, err := BeginLive(w.Spool, Params{
		Format:      dataset.Parquet,
		Partition:   dataset.Partition{Date: "2026-11-23", Family: dataset.IPv4, Port: 443, Probe: rows.V0},
		ToolVersion: "test", Provenance: &p,
	})
	if err != nil {
		return err
	}
	if err := l.Begun(p); err != nil {
		return err
	}
	if _, err := l.ReadFrom(os.Stdin); err != nil {
		return err
	}
	p.Finished, p.Complete = begun.Add(time.Hour), true
	if err := l.End(p); err != nil {
		return err
	}
	_, err = IngestLive(ctx, d, w.Spool, nil)
	return err
}

// pacedFeed gives its input at a few MB/s, and notes when it gave how much.
type pacedFeed struct {
	input []byte
	mu    sync.Mutex
	given []feedMoment
}

type feedMoment struct {
	when  time.Time
	bytes int // in all
}

func (f *pacedFeed) Read(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	before := 0
	if len(f.given) > 0 {
		before = f.given[len(f.given)-1].bytes
	}
	n := copy(p, f.input[before:min(len(f.input), before+1+rand.IntN(40_000))])
	if n == 0 {
		return 0, io.EOF
	}
	f.given = append(f.given, feedMoment{time.Now(), before + n})
	return n, nil
}

// before is how many bytes were given before a moment.
func (f *pacedFeed) before(moment time.Time) (bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.given {
		if g.when.Before(moment) {
			bytes = g.bytes
		}
	}
	return bytes
}

// pipeRoom is what can lie in the pipe between the feed and its reader, which is not in the reader's hands.
const pipeRoom = 1 << 20

// A scan is killed at a random moment: what it was given a second before is in the dataset in the end,
// in whole lines from the first on, whether or not what goes on with the spool is killed too.
func TestKilledLive(t *testing.T) {
	text := faultRows(t, 12_000, rows.V0)
	const name = "20261123T081459.000000Z-ipv4-443-v0"
	liveIn := func(dir string) task {
		return task{What: "live", Dataset: dir, Spool: filepath.Join(dir, "unfinished", name)}
	}
	s := measure(t, liveIn(t.TempDir()), &pacedFeed{input: text})
	t.Logf("undisturbed: %v, its commit begins after %v", s.whole, s.commit)
	least, most, budget := 4, 1000, 7*time.Second
	if longFaults {
		least, most, budget = 200, 200, 0
	}
	kills(t, least, most, 4, budget, func(t *testing.T, n int) phase {
		dir := t.TempDir()
		feed := &pacedFeed{input: text}
		killed, err := killAt(liveIn(dir), s, feed, n%3 == 2)
		if err != nil {
			t.Fatal(err)
		}
		met := phaseOf(visible(t, dir))
		mustBeSound(t, dir)
		// What was left gives the same bytes, disturbed or not.
		twin := t.TempDir()
		if err := os.CopyFS(filepath.Join(twin, "census"), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		twin = filepath.Join(twin, "census")
		for range rand.IntN(4) {
			if _, err := killAt(task{What: "resume", Dataset: twin}, s, nil, n%3 == 1); err != nil {
				t.Fatal(err)
			}
			mustBeSound(t, twin)
		}
		mustResume(t, twin)
		mustResume(t, dir)
		mustBeSound(t, dir)
		mustBeSame(t, twin, visible(t, dir))
		for name := range visible(t, dir) {
			if strings.HasPrefix(name, "unfinished/") {
				t.Errorf("%s is left", name)
			}
		}
		lines := rowsRead(t, dir)
		kept := lineEnd(text, lines)
		must := bytes.LastIndexByte(text[:max(0, feed.before(killed.Add(-time.Second))-pipeRoom)], '\n') + 1
		if kept < must || kept > feed.before(time.Now()) {
			t.Errorf("%d bytes are in the dataset of %d; %d are older than a second", kept, feed.before(time.Now()), must)
		}
		if met == afterEnd && kept != len(text) {
			t.Errorf("%d bytes of %d after the end", kept, len(text))
		}
		return met
	})
}

// rowsRead is the number of lines that the only scan, if there is one, has of its input.
func rowsRead(t *testing.T, dir string) int64 {
	t.Helper()
	scans, _ := filepath.Glob(filepath.Join(dir, "scans", "*", "*", "*", "*", "*.parquet"))
	if scans == nil {
		return 0
	}
	return duck[int64](t, "SELECT sum(rows_read)::BIGINT FROM read_parquet(?)", scans[0])
}

// lineEnd is how many bytes the first n lines have.
func lineEnd(text []byte, n int64) (end int) {
	for range n {
		end += bytes.IndexByte(text[end:], '\n') + 1
	}
	return end
}
