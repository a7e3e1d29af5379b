package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/pipeline/store"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// madeScan is a scan of several parts, for tests.
type madeScan struct {
	key     ScanKey
	format  Format
	parts   int
	rows    int // in a part
	version string
	sorted  bool // says that it is, and has two row groups a part, of the same addresses
}

func scanOfPort(port uint16) madeScan {
	key := ScanKey{Partition: Partition{Date: "2026-11-23", Family: IPv4, Port: port, Probe: zmap.ProbeV0}}
	key.ID = key.ScanID(time.Time{})
	return madeScan{key: key, format: Parquet, parts: 3, rows: 200, version: "test"}
}

// targets are rows of lab/rows, decoded.
func targets(t testing.TB, n int) []*zmap.Row {
	t.Helper()
	var text bytes.Buffer
	if err := rows.Write(t.Context(), &text, rows.Params{Rows: uint64(n), Probe: rows.V0, Family: rows.IPv4, Port: 443, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	var decoded []*zmap.Row
	for line := range bytes.Lines(text.Bytes()) {
		row, err := zmap.DecodeRow(line)
		if err != nil {
			t.Fatal(err)
		}
		decoded = append(decoded, row)
	}
	return decoded
}

// commit adds the scan to a dataset. The replies of a target are spread over all parts; time tells their order.
func (m madeScan) commit(t testing.TB, d *Dataset) []File {
	t.Helper()
	ctx := t.Context()
	stage := d.Stage("test-" + m.key.ID)
	from := targets(t, m.rows*2/3)
	encoder, err := NewEncoder(m.format)
	if err != nil {
		t.Fatal(err)
	}
	scan := Scan{ScanKey: m.key, Complete: true, ToolVersion: m.version, Input: "rows.json", InputXXH3: "b3"}
	var parts []Part
	when := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for number := range m.parts {
		replies, err := NewReplies()
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.rows {
			row := *from[(i*7+number)%len(from)]
			row.Time, when = when, when.Add(time.Microsecond)
			replies.Append(&m.key, &row)
		}
		var group RowGroup
		w, err := stage.CreateReplies(ctx, number, m.format)
		if err == nil {
			err = encoder.Encode(replies, &group)
		}
		if err == nil {
			err = w.Append(&group)
		}
		if err == nil && m.sorted {
			err = w.Append(&group)
		}
		if err != nil {
			t.Fatal(err)
		}
		part, err := w.Commit(ctx)
		if err != nil {
			t.Fatal(err)
		}
		part.Sorted = m.sorted
		parts = append(parts, part)
		scan.RowsKept += part.Rows
	}
	rejects, err := stage.CreateRejects(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		if err := rejects.Append(Reject{Line: i, Reason: "blank"}); err != nil {
			t.Fatal(err)
		}
	}
	part, err := rejects.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	scan.RowsRejected, scan.RowsRead = part.Rows, scan.RowsKept+part.Rows
	files, err := stage.Commit(ctx, scan, append(parts, part), m.format)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func openDataset(t testing.TB, location string) *Dataset {
	t.Helper()
	d, err := Open(context.Background(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func check(t testing.TB, d *Dataset) CheckReport {
	t.Helper()
	report, err := d.Check(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func mustBeClean(t testing.TB, d *Dataset) CheckReport {
	t.Helper()
	report := check(t, d)
	for _, p := range report.Problems {
		t.Error(p)
	}
	return report
}

// contentOf maps the paths of a dataset's files to their content.
func contentOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

const (
	partition443 = "date=2026-11-23/family=ipv4/port=443/probe=v0/"
	scan443      = "2026-11-23-ipv4-443-v0"
	part443      = "replies/" + partition443 + scan443 + "-00001.parquet"
	row443       = "scans/" + partition443 + scan443 + ".parquet"
	partition80  = "date=2026-11-23/family=ipv4/port=80/probe=v0/"
	part80       = "replies/" + partition80 + "2026-11-23-ipv4-80-v0-00001.parquet"
	hosts443     = "hosts/" + partition443 + scan443 + ".parquet"
	scan80       = "2026-11-23-ipv4-80-v0"
	hosts80      = "hosts/" + partition80 + scan80 + ".parquet"
)

// rewrite changes what `scans` says of the scan of port 443.
func rewrite(t *testing.T, dir string, change func(*Scan)) {
	t.Helper()
	d := openDataset(t, dir)
	stored, err := readScan(t.Context(), d.store, row443)
	if err != nil {
		t.Fatal(err)
	}
	scan := Scan{ScanKey: scanOfPort(443).key, Complete: true, ToolVersion: "test", InputXXH3: "b3",
		RowsRead: stored.rowsRead, RowsKept: stored.rowsKept, RowsRejected: stored.rowsRejected, Files: stored.files}
	change(&scan)
	content, err := encodeScan(scan, Parquet)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, row443), content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// accept makes `scans` say that a file is as it is.
func accept(t *testing.T, dir string, scan *Scan, i int) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, scan.Files[i].Path))
	if err != nil {
		t.Fatal(err)
	}
	scan.Files[i].Bytes, scan.Files[i].SHA256 = uint64(len(content)), digestOf(content)
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(content), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	must(t, err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, content, 0o644))
}

// What DuckDB writes as hosts, one row.
const hostsSQL = `SELECT %s AS scan_id, '192.0.2.1' AS target, 'closed' AS verdict, ['rst'] AS reasons,
	NULL::UBIGINT AS sender_key, NULL::UTINYINT AS key_weight, NULL::UTINYINT AS key_distance,
	NULL::VARCHAR AS canary, 1::UINTEGER AS replies`

// The same in the present version of the tables.
const hosts4SQL = hostsSQL + `, NULL::DOUBLE AS excess_probability, NULL::VARCHAR AS option_order,
	NULL::UINTEGER AS asn, NULL::VARCHAR AS as_name, NULL::VARCHAR AS country`

func writeHosts(t *testing.T, path, query string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, WriteParquet(t.Context(), openTest(t, t.TempDir()), query, path))
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	d := openDataset(t, dir)
	for _, port := range []uint16{443, 80} {
		scanOfPort(port).commit(t, d)
	}
	ipc := scanOfPort(22)
	ipc.format = Arrow
	ipc.commit(t, d)
	writeHosts(t, filepath.Join(dir, hosts443), fmt.Sprintf(hostsSQL, Literal(scan443))) // of an earlier version
	writeHosts(t, filepath.Join(dir, hosts80), fmt.Sprintf(hosts4SQL, Literal(scan80)))
	writeHosts(t, filepath.Join(dir, WholeFile(NetworksTable)), `SELECT 'ipv4' AS family, '192.0.2.0' AS first, '192.0.2.9' AS last,
		64496::UINTEGER AS asn, 'Example' AS as_name, 'ZZ' AS country`)
	must(t, os.WriteFile(filepath.Join(dir, ViewsFile), nil, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "rejects", "unassigned-0123456789abcdef-00000.jsonl"), nil, 0o644))

	clean := mustBeClean(t, d)
	if clean.Scans != 3 || clean.Files != 15 || clean.Rows != 3*603+3 || clean.Bytes == 0 || clean.Notes != nil {
		t.Errorf("%+v", clean)
	}

	for name, test := range map[string]struct {
		damage func(t *testing.T, dir string)
		path   string
		what   string
	}{
		"bit": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, part443), func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
		}, part443, "SHA-256"},
		"cut": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, part443), func(b []byte) []byte { return b[:len(b)-1] })
		}, part443, "bytes, and should have"},
		"deleted": {func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, part443))) }, part443, "is missing"},
		"renamed": {func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, part443), filepath.Join(dir, part443+".old")))
		}, part443 + ".old", "no scan lists it"},
		"extra": {func(t *testing.T, dir string) {
			copyTo(t, filepath.Join(dir, part443), filepath.Join(dir, "replies", partition443, scan443+"-00009.parquet"))
		}, "replies/" + partition443 + scan443 + "-00009.parquet", "no scan lists it"},
		"extra rejects": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "rejects", partition443, "x.jsonl"), nil, 0o644))
		}, "rejects/" + partition443 + "x.jsonl", "no scan lists it"},
		"swapped": {func(t *testing.T, dir string) {
			a, b := filepath.Join(dir, part443), filepath.Join(dir, part80)
			must(t, os.Rename(a, a+".x"), os.Rename(b, a), os.Rename(a+".x", b))
		}, part443, "should"},
		"a part of another scan, and known as such": {func(t *testing.T, dir string) {
			copyTo(t, filepath.Join(dir, part80), filepath.Join(dir, part443))
			rewrite(t, dir, func(s *Scan) { accept(t, dir, s, 1) })
		}, part443, "is of scan 2026-11-23-ipv4-80-v0"},
		"a part without metadata": {func(t *testing.T, dir string) {
			path := filepath.Join(dir, part443)
			writeHosts(t, path, "FROM read_parquet("+Literal(path)+", hive_partitioning = false)")
			rewrite(t, dir, func(s *Scan) { accept(t, dir, s, 1) })
		}, part443, "version \"\" of the tables"},
		"a part that is no Parquet": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, part443), []byte("PAR1 and not more PAR1"), 0o644))
			rewrite(t, dir, func(s *Scan) { accept(t, dir, s, 1) })
		}, part443, "cannot be read"},
		"rows of a part": {func(t *testing.T, dir string) {
			rewrite(t, dir, func(s *Scan) { s.Files[0].Rows--; s.Files[1].Rows++ })
		}, part443, "has 200 rows, and should have 201"},
		"rows of the scan": {func(t *testing.T, dir string) {
			rewrite(t, dir, func(s *Scan) { s.RowsKept++; s.RowsRead++ })
		}, row443, "kept 601"},
		"rows of rejects": {func(t *testing.T, dir string) {
			rewrite(t, dir, func(s *Scan) { s.RowsKept--; s.Files[1].Rows--; s.RowsRejected++; s.Files[3].Rows++ })
		}, "rejects/" + partition443 + scan443 + "-00001.jsonl", "has 3 rows, and should have 4"},
		"listed outside": {func(t *testing.T, dir string) {
			rewrite(t, dir, func(s *Scan) { s.Files[1].Path = "replies/../../etc/passwd" })
		}, "replies/../../etc/passwd", "no file of that name"},
		"listed twice": {func(t *testing.T, dir string) {
			rewrite(t, dir, func(s *Scan) { s.Files[1] = s.Files[0] })
		}, row443, "twice"},
		"another scan's row": {func(t *testing.T, dir string) {
			rewrite(t, dir, func(s *Scan) { s.ID = "other" })
		}, row443, "is the row of scan other"},
		"a scan in another partition": {func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "scans", partition443), filepath.Join(dir, "scans", "date=2026-11-24")))
		}, "scans/date=2026-11-24/" + scan443 + ".parquet", "not a name"},
		"no row": {func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, row443))) }, part443, "no scan lists it"},
		"damaged row": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, row443), func(b []byte) []byte { return b[:len(b)/2] })
		}, row443, "cannot be read"},
		"hosts of no scan": {func(t *testing.T, dir string) {
			copyTo(t, filepath.Join(dir, hosts443), filepath.Join(dir, "hosts", partition443, "2026-11-22-ipv4-443-v0.parquet"))
		}, "hosts/" + partition443 + "2026-11-22-ipv4-443-v0.parquet", "no such scan"},
		"hosts of another scan": {func(t *testing.T, dir string) {
			copyTo(t, filepath.Join(dir, hosts443), filepath.Join(dir, "hosts", partition80, "2026-11-23-ipv4-80-v0.parquet"))
		}, "hosts/" + partition80 + "2026-11-23-ipv4-80-v0.parquet", "is of scan " + scan443},
		"networks with columns of no version": {func(t *testing.T, dir string) {
			writeHosts(t, filepath.Join(dir, WholeFile(NetworksTable)), "SELECT 'ipv4' AS family")
		}, WholeFile(NetworksTable), "has 1 columns, and version 4 of the table networks has 6: remove it and run mpcensus enrich"},
		"unreadable hosts": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, hosts443), func(b []byte) []byte { return b[:len(b)-9] })
		}, hosts443, "cannot be read"},
		"hosts with a column of another type": {func(t *testing.T, dir string) {
			writeHosts(t, filepath.Join(dir, hosts443), strings.Replace(fmt.Sprintf(hostsSQL, Literal(scan443)), "UINTEGER", "UBIGINT", 1))
		}, hosts443, "replies uint64"},
		"a stranger": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o644))
		}, "notes.txt", "not a file of a dataset"},
		"a record that is none": {func(t *testing.T, dir string) {
			must(t, os.MkdirAll(filepath.Join(dir, "unfinished"), 0o755),
				os.WriteFile(filepath.Join(dir, recordName(scan443)), []byte("{}"), 0o644))
		}, recordName(scan443), "not a record"},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := t.TempDir()
			must(t, os.CopyFS(damaged, os.DirFS(dir)))
			test.damage(t, damaged)
			before := contentOf(t, damaged)
			report := check(t, openDataset(t, damaged))
			found := false
			for _, p := range report.Problems {
				found = found || p.Path == test.path && strings.Contains(p.What, test.what)
				if strings.Contains(p.String(), "\n") {
					t.Errorf("several lines: %q", p)
				}
			}
			if !found {
				t.Errorf("no problem of %s with %q in %q", test.path, test.what, report.Problems)
			}
			if after := contentOf(t, damaged); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Error("the check changed the dataset")
			}
		})
	}
}

// A file that Compact is said to have made has to be sorted.
func TestCheckUnsorted(t *testing.T) {
	d := openDataset(t, t.TempDir())
	scan := scanOfPort(443)
	scan.sorted = true
	scan.commit(t, d)
	report := check(t, d)
	if len(report.Problems) != 3 || !strings.Contains(report.Problems[0].What, "not sorted by saddr") {
		t.Errorf("%q", report.Problems)
	}
}

// No damage to a file of classify, of which there is no digest, may make the check fail otherwise than by
// a problem.
func TestCheckDamagedHosts(t *testing.T) {
	dir := t.TempDir()
	d := openDataset(t, dir)
	scanOfPort(443).commit(t, d)
	path := filepath.Join(dir, hosts443)
	writeHosts(t, path, fmt.Sprintf(hostsSQL, Literal(scan443)))
	whole, err := os.ReadFile(path)
	must(t, err)
	for at := 0; at < len(whole); at += 7 {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1 << (at % 8)
		must(t, os.WriteFile(path, damaged, 0o644))
		check(t, d)
	}
}

// A commit whose process died is a note, wherever it died, unless one of its files is lost.
func TestCheckPendingCommit(t *testing.T) {
	var last error
	for operations := range 30 {
		dir := t.TempDir()
		whole := openDataset(t, dir)
		scanOfPort(443).commit(t, whole)
		dying := &dyingStore{Store: whole.store, left: operations}
		_, err := (&Dataset{dying}).Compact(t.Context(), nil)
		if err == nil {
			return
		}
		last = err
		report := mustBeClean(t, whole)
		if report.Scans != 1 || report.Rows != 603 {
			t.Errorf("after %d operations: %+v", operations, report)
		}
		pending, err := whole.pending(t.Context())
		must(t, err)
		if noted := strings.Contains(strings.Join(report.Notes, "\n"), "1 commit to be carried out"); noted != (len(pending) > 0) {
			t.Errorf("after %d operations: %d commits, and notes %q", operations, len(pending), report.Notes)
		}
		if len(pending) > 0 {
			continue
		}
		for info, err := range whole.store.List(t.Context(), unfinishedFolder) {
			must(t, err)
			if report.Notes == nil {
				t.Errorf("after %d operations: no note of %s", operations, info.Name)
			}
		}
	}
	t.Error("the process never got to the end:", last)
}

func TestCheckLostInCommit(t *testing.T) {
	dir := t.TempDir()
	d := openDataset(t, dir)
	scanOfPort(443).commit(t, d)
	for operations := range 30 {
		dying := &dyingStore{Store: d.store, left: operations}
		(&Dataset{dying}).Compact(t.Context(), nil)
		if pending, err := d.pending(t.Context()); err != nil || len(pending) > 0 {
			must(t, err)
			break
		}
	}
	lost, err := filepath.Glob(filepath.Join(dir, "unfinished", "compact-*", "replies-00000.parquet"))
	if err != nil || len(lost) != 1 {
		t.Fatal(err, lost)
	}
	must(t, os.Remove(lost[0]))
	report := check(t, d)
	if len(report.Problems) != 1 || !strings.Contains(report.Problems[0].String(), scan443+"-sorted-00000.parquet: is missing") {
		t.Errorf("%q", report.Problems)
	}
}

// dyingStore is the store of a process that is killed after some changes.
type dyingStore struct {
	store.Store
	mu   sync.Mutex
	left int
}

var errKilled = errors.New("killed")

func (s *dyingStore) change() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		return errKilled
	}
	s.left--
	return nil
}

func (s *dyingStore) Create(ctx context.Context, name string) (store.File, error) {
	if err := s.change(); err != nil {
		return nil, err
	}
	file, err := s.Store.Create(ctx, name)
	return dyingFile{file, s}, err
}

type dyingFile struct {
	store.File
	of *dyingStore
}

func (f dyingFile) Commit(ctx context.Context) error {
	if err := f.of.change(); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.File.Commit(ctx)
}

func (s *dyingStore) Claim(ctx context.Context, name string, content []byte) error {
	if err := s.change(); err != nil {
		return err
	}
	return s.Store.Claim(ctx, name, content)
}

func (s *dyingStore) Move(ctx context.Context, from, to string) error {
	if err := s.change(); err != nil {
		return err
	}
	return s.Store.Move(ctx, from, to)
}

func (s *dyingStore) Remove(ctx context.Context, name string) error {
	if err := s.change(); err != nil {
		return err
	}
	return s.Store.Remove(ctx, name)
}

// A dataset that changes all the time has no problems.
func TestCheckWhileChanging(t *testing.T) {
	d := openDataset(t, t.TempDir())
	scan := scanOfPort(443)
	scan.commit(t, d)
	done := make(chan error, 1)
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			scan.version = fmt.Sprint("test ", i) // else the row could be again what it was
			scan.commit(t, d)
			if _, err := d.Compact(t.Context(), nil); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	checks := 0
	for ctx.Err() == nil {
		report := mustBeClean(t, d)
		if report.Scans != 1 || report.Rows != 603 {
			t.Errorf("%+v", report)
		}
		checks++
	}
	must(t, <-done)
	t.Log(checks, "checks")
}

// The scan is replaced just before its first file is opened.
func TestCheckReplaced(t *testing.T) {
	d := openDataset(t, t.TempDir())
	scanOfPort(443).commit(t, d)
	var once sync.Once
	report := mustBeClean(t, &Dataset{&openingStore{d.store, func() { once.Do(func() { compact(t, d) }) }}})
	if report.Files != 2 || report.Rows != 603 {
		t.Errorf("%+v", report)
	}
}

// openingStore calls a function before a file of replies is opened.
type openingStore struct {
	store.Store
	before func()
}

func (s *openingStore) Open(ctx context.Context, name string) (store.Reader, error) {
	if strings.HasPrefix(name, RepliesTable+"/") {
		s.before()
	}
	return s.Store.Open(ctx, name)
}
