package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

var commitKey = ScanKey{"20261123T081500.000000Z-ipv4-443-v0", Partition{"2026-11-23", IPv4, 443, "v0"}}

// stageLines begins a scan of rejected lines in a stage of the given name. Its parts differ by the input.
func stageLines(t *testing.T, d *Dataset, stage, input string, lines ...int) (*Stage, Scan, []Part) {
	t.Helper()
	s := d.Stage(stage)
	scan := Scan{ScanKey: commitKey, Complete: true, ToolVersion: "test", InputXXH3: input}
	var parts []Part
	for number, n := range lines {
		w, err := s.CreateRejects(t.Context(), number)
		if err != nil {
			t.Fatal(err)
		}
		for line := range n {
			if err := w.Append(Reject{Line: int64(line), Reason: input}); err != nil {
				t.Fatal(err)
			}
		}
		part, err := w.Commit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part)
		scan.RowsRead += part.Rows
		scan.RowsRejected += part.Rows
	}
	return s, scan, parts
}

// stored maps the names of all files to their content.
func stored(t *testing.T, d *Dataset) map[string]string {
	t.Helper()
	files := map[string]string{}
	for info, err := range d.store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		content, err := store.ReadFile(t.Context(), d.store, info.Name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		files[info.Name] = string(content)
	}
	return files
}

// A scan's row tells again what it was told.
func TestScanRow(t *testing.T) {
	for _, format := range []Format{Parquet, Arrow} {
		for _, files := range [][]File{nil, {{"replies/a", 1, 1 << 40, "aa"}, {"rejects/b", 0, 2, "bb"}}} {
			d := openDataset(t, t.TempDir())
			scan := Scan{ScanKey: commitKey, Complete: files != nil, InputXXH3: "cc", RowsRead: 7, Files: files}
			content, err := encodeScan(scan, format)
			if err != nil {
				t.Fatal(err)
			}
			name := commitKey.scanFile(format)
			if err := store.WriteFile(t.Context(), d.store, name, content); err != nil {
				t.Fatal(err)
			}
			found, err := d.findScan(t.Context(), commitKey)
			if err != nil || len(found) != 1 {
				t.Fatalf("%+v, %v", found, err)
			}
			got := found[0]
			if got.name != name || got.inputXXH3 != "cc" || got.complete != scan.Complete || got.rowsRead != 7 || !reflect.DeepEqual(got.files, files) {
				t.Errorf("%s: got %+v", format, got)
			}
		}
	}
}

func TestGivesWay(t *testing.T) {
	for _, test := range []struct {
		stored storedScan
		scan   Scan
		want   bool
	}{
		{storedScan{inputXXH3: "a", complete: true, rowsRead: 9}, Scan{InputXXH3: "a", RowsRead: 9}, true},
		{storedScan{inputXXH3: "a", complete: true, rowsRead: 9}, Scan{InputXXH3: "b", RowsRead: 10}, false},
		{storedScan{inputXXH3: "a", rowsRead: 9}, Scan{InputXXH3: "b", RowsRead: 10}, true},
		{storedScan{inputXXH3: "a", rowsRead: 9}, Scan{InputXXH3: "b", RowsRead: 9}, true},
		{storedScan{inputXXH3: "a", rowsRead: 9}, Scan{InputXXH3: "b", RowsRead: 8}, false},
	} {
		if got := test.stored.givesWayTo(test.scan); got != test.want {
			t.Errorf("%+v to %+v: %t", test.stored, test.scan, got)
		}
	}
}

// What was counted must be what is stored.
func TestCommitCounts(t *testing.T) {
	d := openDataset(t, t.TempDir())
	s, scan, parts := stageLines(t, d, "s", "a", 3)
	before := stored(t, d)
	for what, change := range map[string]func(*Scan){
		"read":     func(s *Scan) { s.RowsRead++ },
		"rejected": func(s *Scan) { s.RowsRejected-- },
		"kept":     func(s *Scan) { s.RowsKept++ },
	} {
		wrong := scan
		change(&wrong)
		if _, err := s.Commit(t.Context(), wrong, parts, Parquet); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if !reflect.DeepEqual(stored(t, d), before) {
		t.Error("something was committed")
	}
}

// A scan that goes on further than the stored one takes its place: files that it has no longer, and conclusions from
// the former, go.
func TestReplace(t *testing.T) {
	d := openDataset(t, t.TempDir())
	s, scan, parts := stageLines(t, d, "s", "a", 3, 2, 1)
	scan.Complete = false
	if _, err := s.Commit(t.Context(), scan, parts, Parquet); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{HostsTable, TreatmentsTable} {
		if err := store.WriteFile(t.Context(), d.store, commitKey.file(table, commitKey.ID, "parquet"), nil); err != nil {
			t.Fatal(err)
		}
	}
	s, scan, parts = stageLines(t, d, "s", "b", 6, 4)
	files, err := s.Commit(t.Context(), scan, parts, Parquet)
	if err != nil {
		t.Fatal(err)
	}
	got := stored(t, d)
	if len(got) != 3 || len(files) != 2 {
		t.Errorf("files %v of %d", files, len(got))
	}
	for i, f := range files {
		if content, ok := got[f.Path]; !ok || uint64(len(content)) != f.Bytes || uint64(strings.Count(content, "\n")) != parts[i].Rows ||
			!strings.Contains(content, `"reason":"b"`) {
			t.Errorf("%+v is not as listed", f)
		}
	}
}

// Several processes that commit a scan at once: of those with the same input all succeed, others are refused, and
// the dataset has one scan, whole.
func TestCommitRace(t *testing.T) {
	for round := range 20 {
		d := openDataset(t, t.TempDir())
		inputs := []string{"a", "b", "a", "b"}
		errs := make([]error, len(inputs))
		var running sync.WaitGroup
		for i, input := range inputs {
			// Those with the same input have the same stage, as ingests of one file have.
			s, scan, parts := stageLines(t, d, "stage-"+input, input, 2, 1)
			running.Go(func() { _, errs[i] = s.Commit(context.Background(), scan, parts, Parquet) })
		}
		running.Wait()
		winners := map[string]bool{}
		for i, err := range errs {
			switch {
			case err == nil:
				winners[inputs[i]] = true
			case errors.Is(err, ErrExists):
			default:
				t.Logf("round %d: input %s: %v", round, inputs[i], err)
			}
		}
		if len(winners) != 1 {
			t.Fatalf("round %d: %v won: %v", round, winners, errs)
		}
		visible := map[string]string{}
		for name, content := range stored(t, d) {
			if !strings.HasPrefix(name, unfinishedFolder+"/") {
				visible[name] = content
			} else if strings.HasSuffix(name, commitSuffix) {
				t.Errorf("round %d: %s is left", round, name)
			}
		}
		alone := openDataset(t, t.TempDir())
		for winner := range winners {
			s, scan, parts := stageLines(t, alone, "s", winner, 2, 1)
			if _, err := s.Commit(t.Context(), scan, parts, Parquet); err != nil {
				t.Fatal(err)
			}
		}
		if want := stored(t, alone); !reflect.DeepEqual(visible, want) {
			t.Fatalf("round %d: not one whole scan", round)
		}
	}
}

// A process that was taken for dead, so that another one committed its first parts, can still commit all of them.
func TestCommitAfterItsBeginning(t *testing.T) {
	d := openDataset(t, t.TempDir())
	s, scan, parts := stageLines(t, d, "s", "a", 3, 2)
	begun := scan
	begun.Complete, begun.InputXXH3, begun.RowsRead, begun.RowsRejected = false, "first part of a", 3, 3
	if _, err := d.Stage("s").Commit(t.Context(), begun, parts[:1], Parquet); err != nil {
		t.Fatal(err)
	}
	// Its second part came after that.
	_, _, _ = stageLines(t, d, "s", "a", 3, 2)
	if err := d.store.Remove(t.Context(), s.file(parts[0].Name)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), scan, parts, Parquet); err != nil {
		t.Fatal(err)
	}
	report, err := d.Check(t.Context(), nil)
	if err != nil || report.Problems != nil || report.Rows != 5 || report.Notes != nil {
		t.Errorf("%+v, %v", report, err)
	}
	// A part that is nowhere is not taken for one of the former scan's.
	s, scan, parts = stageLines(t, d, "t", "a", 3, 4)
	if err := d.store.Remove(t.Context(), s.file(parts[1].Name)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), scan, parts, Parquet); !errors.Is(err, errTaken) {
		t.Errorf("got %v", err)
	}
}

// slowStore is that of a process which stops, just before it moves a file to a given name, until others have gone on.
type slowStore struct {
	store.Store
	at     string
	others func()
}

func (s *slowStore) Move(ctx context.Context, from, to string) error {
	if others := s.others; to == s.at && others != nil {
		s.others = nil
		others()
	}
	return s.Store.Move(ctx, from, to)
}

// A process that wakes up in the middle of a commit which others have finished long ago does not touch what the next
// commits brought.
func TestSlowCommit(t *testing.T) {
	first, last := commitKey.partFile(Part{Name: rejectsFolder + "-.jsonl"}), commitKey.scanFile(Parquet)
	for _, at := range []string{first, last} {
		for _, next := range [][]int{{5, 5, 5, 5}, {20}, nil} {
			slowCommit(t, at, next)
		}
	}
}

// slowCommit stops a commit before a move, until another one has put the given lines in its place.
func slowCommit(t *testing.T, at string, next []int) {
	t.Helper()
	d := openDataset(t, t.TempDir())
	commit := func(stage, input string, complete bool, lines ...int) {
		s, scan, parts := stageLines(t, d, stage, input, lines...)
		scan.Complete = complete
		if _, err := s.Commit(context.Background(), scan, parts, Parquet); err != nil {
			t.Error(err)
		}
	}
	commit("s", "a", false, 1, 1, 1)
	// This commit replaces three files by two, the next one by four.
	s, scan, parts := stageLines(t, New(&slowStore{d.store, at, func() {
		if _, err := d.RollForward(context.Background()); err != nil {
			t.Error(err)
		}
		if next == nil {
			// The scan is gone altogether.
			for name := range stored(t, d) {
				_ = d.store.Remove(context.Background(), name)
			}
			return
		}
		commit("u", "c", true, next...)
	}}), "t", "b", 2, 2)
	scan.Complete = false
	want, wantRows := ErrExists, uint64(20)
	if next == nil {
		want, wantRows = errTaken, 0
	}
	if _, err := s.Commit(t.Context(), scan, parts, Parquet); !errors.Is(err, want) {
		t.Errorf("slow at %s, then %v: %v", at, next, err)
	}
	report, err := d.Check(t.Context(), nil)
	if err != nil || report.Problems != nil || report.Rows != wantRows {
		t.Errorf("slow at %s, then %v: %+v, %v", at, next, report, err)
	}
}

// A stage keeps what it was given until it is discarded, and shows what is missing.
func TestStage(t *testing.T) {
	d := openDataset(t, t.TempDir())
	type state struct{ Blocks int }
	var got state
	s, _, parts := stageLines(t, d, "s", "a", 2, 1)
	if err := s.Load(t.Context(), &got); !isMissing(err) {
		t.Errorf("before anything was saved: %v", err)
	}
	for blocks := range 3 {
		if err := s.Save(t.Context(), state{blocks}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Load(t.Context(), &got); err != nil || got.Blocks != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if whole, err := s.Has(t.Context(), parts); err != nil || !whole {
		t.Errorf("has its parts: %t, %v", whole, err)
	}
	longer := slices.Clone(parts)
	longer[1].Bytes++
	if whole, err := s.Has(t.Context(), longer); err != nil || whole {
		t.Errorf("a part is too short: %t, %v", whole, err)
	}
	if err := d.store.Remove(t.Context(), s.file(parts[0].Name)); err != nil {
		t.Fatal(err)
	}
	if whole, err := s.Has(t.Context(), parts); err != nil || whole {
		t.Errorf("a part is missing: %t, %v", whole, err)
	}

	other, _, _ := stageLines(t, d, "t", "a", 1)
	if err := store.WriteFile(t.Context(), d.store, path.Join(s.folder(), "rows.jsonl.zst"), []byte("rows")); err != nil {
		t.Fatal(err)
	}
	if err := s.DiscardParts(t.Context()); err != nil {
		t.Fatal(err)
	}
	stages, err := d.Stages(t.Context())
	if err != nil || len(stages) != 2 || stages[0].ID != "s" || stages[1].ID != "t" {
		t.Errorf("stages %v, %v", stages, err)
	}
	if files := stored(t, d); len(files) != 2 || files["unfinished/s/rows.jsonl.zst"] != "rows" {
		t.Errorf("discarded more or less than the parts: %v", files)
	}
	if err := errors.Join(s.Discard(t.Context()), other.Discard(t.Context())); err != nil || len(stored(t, d)) != 0 {
		t.Errorf("left %v, %v", stored(t, d), err)
	}
}

// Notes that a crash or a stranger made unreadable are named in one line.
func TestBrokenNotes(t *testing.T) {
	d := openDataset(t, t.TempDir())
	for _, name := range []string{"rejects/a", "unfinished/s/a"} {
		if err := store.WriteFile(t.Context(), d.store, name, nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"not JSON": "{", "nothing in it": "{}",
		"outside":         `{"stage":"s","moves":[{"from":"../../etc/passwd","to":"replies/x"}]}`,
		"of every stage":  `{"moves":[{"from":"rejects/a","to":"rejects/b"}]}`,
		"of the folder":   `{"stage":".","moves":[{"from":"rejects/a","to":"rejects/b"}]}`,
		"of the dataset":  `{"stage":"..","moves":[{"from":"rejects/a","to":"rejects/b"}]}`,
		"of other tables": `{"stage":"../rejects","moves":[{"from":"rejects/a","to":"rejects/b"}]}`,
	} {
		record := recordName(commitKey.ID)
		if err := store.WriteFile(t.Context(), d.store, record, []byte(content)); err != nil {
			t.Fatal(err)
		}
		before := stored(t, d)
		if _, err := d.RollForward(t.Context()); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(stored(t, d), before) {
			t.Errorf("%s: the dataset changed", name)
		}
	}
	s := d.Stage("s")
	if err := store.WriteFile(t.Context(), d.store, s.file(stateFile), []byte("{")); err != nil {
		t.Fatal(err)
	}
	if err := s.Load(t.Context(), new(int)); err == nil || !strings.Contains(err.Error(), s.file(stateFile)) {
		t.Errorf("got %v", err)
	}
}

// Batches of any size end up in files that say how long they are.
func TestRejectsFile(t *testing.T) {
	d := openDataset(t, t.TempDir())
	s := d.Stage("s")
	w, err := s.CreateRejects(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"", "text <&> é \"", "\x00", "\xff\xfe", "tab\there", "\u2028", "\u0085"}
	for i, line := range lines {
		r := Reject{Line: int64(i + 1), Reason: "range"}
		r.SetRaw([]byte(line))
		if isRaw := r.Raw != nil; isRaw != slices.Contains([]int{0, 1, 5}, i) || isRaw == (r.RawBase64 != nil) {
			t.Errorf("%q: as text: %t", line, isRaw)
		}
		if err := w.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	part, err := w.Commit(t.Context())
	content := stored(t, d)[s.file(part.Name)]
	if err != nil || part.Rows != uint64(len(lines)) || part.Bytes != uint64(len(content)) || part.Number != 7 ||
		strings.Count(content, "\n") != len(lines) || !strings.Contains(content, "<&> é") {
		t.Errorf("%+v, %v: %s", part, err, content)
	}
}

// A stream that nobody wants any more ends with the error of its pipe.
func TestStreamToClosedPipe(t *testing.T) {
	out, in := io.Pipe()
	out.Close()
	stream, err := StreamReplies(in)
	if err == nil {
		err = stream.Close()
	}
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	var whole bytes.Buffer
	stream, err = StreamReplies(&whole)
	if err != nil || stream.Close() != nil || whole.Len() == 0 {
		t.Errorf("an empty stream has no schema: %v", err)
	}
}

// Names of scans sort by time, and the time is UTC.
func TestScanID(t *testing.T) {
	p := commitKey.Partition
	zone := time.FixedZone("", 3600)
	if got := p.ScanID(time.Date(2026, 11, 23, 9, 15, 0, 123456789, zone)); got != "20261123T081500.123456Z-ipv4-443-v0" {
		t.Error(got)
	}
	if got := p.ScanID(time.Time{}); got != "2026-11-23-ipv4-443-v0" {
		t.Error(got)
	}
	part := Part{Name: "replies-00012.parquet", Number: 12}
	if got := commitKey.partFile(part); got != fmt.Sprintf("replies/date=2026-11-23/family=ipv4/port=443/probe=v0/%s-00012.parquet", commitKey.ID) {
		t.Error(got)
	}
}
