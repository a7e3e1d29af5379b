package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/store"
	"github.com/mpcensus/mpcensus/pipeline/store/s3test"
)

// smallParts lets IngestLive, in this process, make many parts.
func smallParts(t *testing.T) {
	before := defaultSizes
	defaultSizes = faultSizes
	t.Cleanup(func() { defaultSizes = before })
}

// several is how often a fault with a random moment is tried.
func several() int {
	if longFaults {
		return 25
	}
	return 3
}

// Two processes put something into one dataset at the same time.
func TestTwoAtOnce(t *testing.T) {
	text := faultRows(t, 6_000, rows.V0)
	end := bytes.LastIndexByte(text[:len(text)*3/4], '\n') + 1
	whole, shorter := writeInput(t, text), writeInput(t, text[:end])
	other := writeInput(t, faultRows(t, 6_000, rows.V1))
	s := measure(t, task{What: "ingest", Dataset: t.TempDir(), Input: whole}, nil)
	one, less, both := undisturbed(t, whole), undisturbed(t, shorter), undisturbed(t, whole, other)

	// race returns the exit codes of two children, of which one begins somewhat later.
	race := func(t *testing.T, first, second task) (codes [2]int) {
		a, b := first.command(), second.command()
		if err := a.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(s.whole))
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		a.Wait()
		b.Wait()
		for i, cmd := range []interface{ ExitCode() int }{a.ProcessState, b.ProcessState} {
			codes[i] = cmd.ExitCode()
		}
		if codes[0] == exitFailed || codes[1] == exitFailed {
			t.Fatalf("%v: %s%s", codes, a.Stderr, b.Stderr)
		}
		return codes
	}
	for range several() {
		t.Run("the same input", func(t *testing.T) {
			dir := t.TempDir()
			w := task{What: "ingest", Dataset: dir, Input: whole}
			if codes := race(t, w, w); codes != [2]int{exitDone, exitDone} {
				t.Errorf("exit codes %v", codes)
			}
			mustResume(t, dir) // removes what the slower one may have left
			mustBeSound(t, dir)
			mustBeSame(t, dir, one)
		})
		t.Run("resumed while it runs", func(t *testing.T) {
			dir := t.TempDir()
			if codes := race(t, task{What: "ingest", Dataset: dir, Input: whole}, task{What: "resume", Dataset: dir}); codes != [2]int{exitDone, exitDone} {
				t.Errorf("exit codes %v", codes)
			}
			mustResume(t, dir)
			mustBeSound(t, dir)
			mustBeSame(t, dir, one)
		})
		t.Run("inputs of one scan", func(t *testing.T) {
			dir := t.TempDir()
			switch codes := race(t, task{What: "ingest", Dataset: dir, Input: whole}, task{What: "ingest", Dataset: dir, Input: shorter}); codes {
			case [2]int{exitDone, exitExists}:
				mustBeSame(t, dir, one)
			case [2]int{exitExists, exitDone}:
				mustBeSame(t, dir, less)
			default:
				t.Errorf("exit codes %v: one has to win", codes)
			}
			mustBeSound(t, dir)
		})
		t.Run("different scans", func(t *testing.T) {
			dir := t.TempDir()
			if codes := race(t, task{What: "ingest", Dataset: dir, Input: whole}, task{What: "ingest", Dataset: dir, Input: other}); codes != [2]int{exitDone, exitDone} {
				t.Errorf("exit codes %v", codes)
			}
			mustBeSound(t, dir)
			mustBeSame(t, dir, both)
		})
	}
}

// spoolIn makes the spool of a scan in a dataset, and says with which error the scan ended.
func spoolIn(dir string, text []byte) error {
	p := Provenance{Started: start.Add(-time.Second)}
	l, err := BeginLive(filepath.Join(dir, "unfinished", "live"), Params{
		Format:      dataset.Parquet,
		Partition:   dataset.Partition{Date: "2026-11-23", Family: dataset.IPv4, Port: 443, Probe: rows.V0},
		ToolVersion: "test", Provenance: &p,
	})
	if err != nil {
		return err
	}
	_, err = l.ReadFrom(bytes.NewReader(text))
	p.Finished, p.Complete = start.Add(time.Hour), err == nil
	return errors.Join(err, l.End(p))
}

// The disk is full while a scan runs: what fitted is whole lines, from the first on, and is added when
// there is room.
func TestFullDiskWhileScanning(t *testing.T) {
	smallParts(t)
	text := faultRows(t, 30_000, rows.V0)
	dir := smallDisk(t, "1m")
	if err := spoolIn(dir, text); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	if err := (task{What: "resume", Dataset: dir}).do(t.Context()); !errors.Is(err, unix.ENOSPC) || !errors.Is(err, ErrUnfinished) && len(visible(t, dir)) == 0 {
		t.Errorf("resumed without room: %v", err)
	}
	mustBeSound(t, dir)
	twin := filepath.Join(t.TempDir(), "census")
	if err := os.CopyFS(twin, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=1g"); err != nil {
		t.Fatal(err)
	}
	mustResume(t, dir)
	mustResume(t, twin)
	mustBeSound(t, dir)
	mustBeSame(t, dir, tree(t, twin))
	if kept := lineEnd(text, rowsRead(t, dir)); kept < 1<<20 {
		t.Errorf("only %d bytes of lines fitted on a disk of 1 MiB", kept)
	}
}

// The disk is full when a scan's rows go from the spool to the dataset: none is lost, and with room again
// the dataset is that of an undisturbed run.
func TestFullDiskAfterScanning(t *testing.T) {
	smallParts(t)
	text := faultRows(t, 12_000, rows.V0)
	calm := t.TempDir()
	if err := spoolIn(calm, text); err != nil {
		t.Fatal(err)
	}
	spooled, err := os.Stat(filepath.Join(calm, "unfinished", "live", rowsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []int64{64 << 10, 512 << 10} {
		dir := smallDisk(t, fmt.Sprint(spooled.Size()+room))
		if err := os.CopyFS(dir, os.DirFS(calm)); err != nil {
			t.Fatal(err)
		}
		if err := (task{What: "resume", Dataset: dir}).do(t.Context()); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("got %v", err)
		}
		mustBeSound(t, dir)
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=1g"); err != nil {
			t.Fatal(err)
		}
		mustResume(t, dir)
		mustBeSound(t, dir)
		want := filepath.Join(t.TempDir(), "census")
		if err := os.CopyFS(want, os.DirFS(calm)); err != nil {
			t.Fatal(err)
		}
		mustResume(t, want)
		mustBeSame(t, dir, tree(t, want))
		if n := rowsRead(t, dir); lineEnd(text, n) != len(text) {
			t.Errorf("%d lines read, not all", n)
		}
	}
}

// A dataset's folder cannot be written to: one line says so, nothing changes, and later all is well. The
// file system is read-only here, as permissions are no obstacle to root.
func TestUnwritable(t *testing.T) {
	input := writeInput(t, faultRows(t, 6_000, rows.V0))
	want := undisturbed(t, input)
	dir := smallDisk(t, "1g")
	half := cutOff(t, dir, input)
	for _, w := range []task{
		{What: "ingest", Dataset: filepath.Join(dir, "new"), Input: input},
		{What: "ingest", Dataset: half, Input: input},
		{What: "resume", Dataset: half},
	} {
		before := tree(t, dir)
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		cmd := w.command()
		err := cmd.Run()
		text := fmt.Sprint(cmd.Stderr)
		if err == nil || !strings.Contains(text, "read-only file system") || strings.Count(text, "\n") != 1 {
			t.Errorf("%s: %v: %q", w.What, err, text)
		}
		if !same(before, tree(t, dir)) {
			t.Errorf("%s has changed a read-only file system", w.What)
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT, ""); err != nil {
			t.Fatal(err)
		}
	}
	mustResume(t, half)
	mustBeSound(t, half)
	mustBeSame(t, half, want)
}

// endless gives the same rows again and again, and counts their bytes.
type endless struct {
	text  []byte
	next  int
	given atomic.Int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.next:])
	e.next = (e.next + n) % len(e.text)
	e.given.Add(int64(n))
	return n, nil
}

// Nobody reads the stream: no more is taken from the input than the blocks under way. When the pipe is
// closed, the stream ends with one line.
func TestStreamNobodyReads(t *testing.T) {
	smallParts(t)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	stream, err := dataset.StreamReplies(in)
	if err != nil {
		t.Fatal(err)
	}
	input := &endless{text: faultRows(t, 5_000, rows.V0)}
	ended := make(chan error, 1)
	go func() {
		_, err := Stream(context.Background(), stream, input, Params{})
		ended <- err
	}()
	time.Sleep(time.Second)
	given := input.given.Load()
	time.Sleep(500 * time.Millisecond)
	// Each block under way may have read a line ahead; the pipe has room for less than a block.
	blocks := int64(min(runtime.GOMAXPROCS(0), maxWorkers) + 2 + 2)
	if limit := blocks * int64(faultSizes.block+(128<<10)); given == 0 || given != input.given.Load() || given > limit {
		t.Errorf("%d bytes read in a second, then %d; at most %d are under way", given, input.given.Load(), limit)
	}
	out.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, unix.EPIPE) || strings.Contains(err.Error(), "\n") {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("does not end")
	}
}

// The clock goes backwards. No decision of an ingest depends on a clock: what it reads are the rows' own
// times, for the scan's name (of the first row) and for `started` and `finished` (the earliest and the
// latest); the spool's second is the monotonic clock's, as is the end of a scan; the only names made
// from the clock are those of spools and of pipes' stages, of which no order is expected. Times of files
// are read for one thing, the stage of an input (so that one that was written to is another), where any
// difference will do.
func TestClockBackwards(t *testing.T) {
	lines := bytes.SplitAfter(generate(3_000), []byte("\n"))
	slices.Reverse(lines)
	text := bytes.Join(lines, nil)
	dir := t.TempDir()
	p := params()
	p.sizes = faultSizes
	mustRun(t, dir, text, p)
	mustBeSound(t, dir)
	if !query[bool](t, dir, `SELECT started = '2026-11-23 08:15:00.123456+00' AND finished > started AND complete
		AND rows_kept = 3000 AND (SELECT count(*) FROM replies) = 3000 FROM scans`) {
		t.Error("rows whose times go backwards")
	}

	// ZMap ends before it began.
	dir = t.TempDir()
	p.Input, p.Source = "", ""
	p.Provenance = &Provenance{Started: start.Add(time.Hour), Finished: start.Add(-time.Hour), Complete: true}
	mustRun(t, dir, text, p)
	mustBeSound(t, dir)
	if !query[bool](t, dir, "SELECT finished < started AND complete AND rows_kept = 3000 FROM scans") {
		t.Error("a scan that ends before it began")
	}

	// Files from the future, and from the past, where a process was killed.
	input := writeInput(t, faultRows(t, 6_000, rows.V0))
	want := undisturbed(t, input)
	for _, shift := range []time.Duration{100 * 365 * 24 * time.Hour, -30 * 365 * 24 * time.Hour} {
		dir := cutOff(t, t.TempDir(), input)
		for name := range tree(t, dir) {
			when := time.Now().Add(shift)
			if err := os.Chtimes(filepath.Join(dir, name), when, when); err != nil {
				t.Fatal(err)
			}
		}
		mustResume(t, dir)
		mustBeSound(t, dir)
		mustBeSame(t, dir, want)
	}
}

// Every rejected line is kept with its place in the input, and the right reason.
func TestRejectsExact(t *testing.T) {
	p := rows.Params{Rows: 6_000, Probe: rows.V0, Family: rows.IPv4, Port: 443, Seed: 9}
	var clean bytes.Buffer
	if err := rows.Write(t.Context(), &clean, p); err != nil {
		t.Fatal(err)
	}
	p.Rejects = 0.05
	var mixed bytes.Buffer
	if err := rows.Write(t.Context(), &mixed, p); err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{ // by lab/rows/reject.go and the words of pipeline/zmap
		``: "blank",
		`{"saddr":"192.0.2.77","saddr_raw":1291976896,"daddr":"198.51.100.7","dadd`: "not-json",
		`zmap: recv: kernel dropped 12 packets`:                                     "not-json",
		`["192.0.2.77",443]`:                                                        "type",
		`{"saddr":"192.0.2.77","ttl":"57","classification":"rst"}`:                  "type",
		`{"saddr":"192.0.2.77","sport":65536,"classification":"rst"}`:               "range",
		`{"saddr":"192.0.2.77","ttl":57}`:                                           "missing",
	}
	type place struct {
		Line, Offset, Length int64
		Reason, Raw          string
	}
	// A line that is not the next one of the clean rows was put between them.
	var want []place
	rest := strings.Split(clean.String(), "\n")
	offset := int64(0)
	for i, line := range strings.Split(strings.TrimSuffix(mixed.String(), "\n"), "\n") {
		if line == rest[0] && line != "" {
			rest = rest[1:]
		} else {
			want = append(want, place{int64(i + 1), offset, int64(len(line)), reasons[line], line})
		}
		offset += int64(len(line)) + 1
	}
	if len(rest) != 1 || len(want) < 200 {
		t.Fatalf("%d rows not found, %d rejects", len(rest)-1, len(want))
	}

	dir := t.TempDir()
	params := params()
	params.sizes = faultSizes
	s := mustRun(t, dir, mixed.Bytes(), params)
	if len(s.Rejects) < 5 {
		t.Errorf("rejects in %d parts only", len(s.Rejects))
	}
	var got []place
	for _, name := range s.Rejects {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for in := json.NewDecoder(file); in.More(); {
			var p place
			if err := in.Decode(&p); err != nil {
				t.Fatal(err)
			}
			got = append(got, p)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d rejects, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}

// objects are all files of a dataset in an object store.
func objects(t *testing.T, location string) map[string]string {
	t.Helper()
	s, err := store.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	files := map[string]string{}
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		content, err := store.ReadFile(t.Context(), s, info.Name, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		files[info.Name] = string(content)
	}
	return files
}

func mustBeSoundAt(t *testing.T, location string) {
	t.Helper()
	d, err := dataset.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	report, err := d.Check(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range report.Problems {
		t.Errorf("dataset check: %v", problem)
	}
}

// The object store dies, or stands still, in the middle of an ingest: what goes on with it gives the same
// bytes as in a local folder.
func TestObjectStoreFails(t *testing.T) {
	input := writeInput(t, faultRows(t, 3_000, rows.V0))
	want := undisturbed(t, input)
	server := s3test.Start(t)
	s := measure(t, task{What: "ingest", Dataset: server.Location("measured"), Input: input}, nil)
	for i := range several() {
		location := server.Location(fmt.Sprintf("killed-%d", i))
		cmd := (task{What: "ingest", Dataset: location, Input: input}).command()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(s.whole/4 + rand.N(s.whole*3/4))
		server.Kill()
		err := cmd.Wait()
		if text := fmt.Sprint(cmd.Stderr); err != nil && strings.Count(text, "\n") != 1 {
			t.Errorf("more than one line: %s", text)
		}
		server.Restart()
		mustBeSoundAt(t, location)
		mustDo(t, task{What: "resume", Dataset: location})
		if len(objects(t, location)) == 0 {
			mustDo(t, task{What: "ingest", Dataset: location, Input: input})
		}
		mustBeSoundAt(t, location)
		if got := objects(t, location); !same(got, want) {
			t.Errorf("after %v: not the files of an undisturbed run:\n%s", err, paths(got))
		}
	}
	t.Run("paused", func(t *testing.T) {
		location := server.Location("paused")
		cmd := (task{What: "ingest", Dataset: location, Input: input}).command()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(s.whole / 2)
		server.Pause()
		time.Sleep(time.Second)
		server.Resume()
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s", err, cmd.Stderr)
		}
		if got := objects(t, location); !same(got, want) {
			t.Errorf("not the files of an undisturbed run:\n%s", paths(got))
		}
	})
	t.Run("two at once", func(t *testing.T) {
		for i := range several() {
			location := server.Location(fmt.Sprintf("two-%d", i))
			w := task{What: "ingest", Dataset: location, Input: input}
			a, b := w.command(), w.command()
			if err := errors.Join(a.Start(), b.Start()); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(a.Wait(), b.Wait()); err != nil {
				t.Fatalf("%v: %s%s", err, a.Stderr, b.Stderr)
			}
			mustDo(t, task{What: "resume", Dataset: location})
			mustBeSoundAt(t, location)
			if got := objects(t, location); !same(got, want) {
				t.Errorf("not the files of one run:\n%s", paths(got))
			}
		}
	})
}
