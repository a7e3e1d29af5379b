package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/mpcensus/mpcensus/pipeline/store"
	"github.com/mpcensus/mpcensus/pipeline/store/s3test"
)

const sorted443 = "replies/" + partition443 + scan443 + "-sorted-00000.parquet"

func compact(t *testing.T, d *Dataset) []Compaction {
	t.Helper()
	done, err := d.Compact(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// DuckDB is the judge: the same rows, in the order of saddr, and those of a target in the order they had.
func TestCompact(t *testing.T) {
	dir, before := t.TempDir(), t.TempDir()
	d := openDataset(t, dir)
	scan := scanOfPort(443)
	scan.rows = 45_000
	scan.commit(t, d)
	scanOfPort(80).commit(t, d)
	must(t, os.CopyFS(before, os.DirFS(dir)))

	var begun []string
	done, err := d.compact(t.Context(), 2*rowGroupRows, func(id string) { begun = append(begun, id) })
	want := []Compaction{{ScanID: scan443, Before: 3, After: 2}, {ScanID: "2026-11-23-ipv4-80-v0", Before: 3, After: 1}}
	if err != nil || !slices.Equal(done, want) || len(begun) != 2 {
		t.Fatalf("got %+v, %v, %q", done, err, begun)
	}
	report := mustBeClean(t, d)
	if report.Rows != 135_606 || report.Files != 5 || report.Notes != nil {
		t.Errorf("%+v", report)
	}
	files := contentOf(t, dir)
	for name := range files {
		if strings.HasPrefix(name, "unfinished/") || strings.HasPrefix(name, "replies/") && !strings.Contains(name, "-sorted-") {
			t.Errorf("left: %s", name)
		}
	}

	db := openTest(t, dir)
	other := openTest(t, before)
	for _, from := range []string{dir, before} {
		name := map[string]string{dir: "after", before: "before"}[from]
		exec(t, db, "CREATE TEMP VIEW "+name+" AS FROM read_parquet("+Literal(filepath.Join(from, "replies"))+" || '/**/*.parquet')")
	}
	for query, want := range map[string]string{
		"SELECT count(*)::VARCHAR FROM (FROM before EXCEPT ALL FROM after)": "0",
		"SELECT count(*)::VARCHAR FROM (FROM after EXCEPT ALL FROM before)": "0",
		"SELECT count(*)::VARCHAR FROM after":                               "135600",
		// Two thirds of the rows are of different targets, each in all parts.
		`SELECT count(*)::VARCHAR FROM (SELECT saddr < lag(saddr) OVER rows AS wrong FROM replies
			WINDOW rows AS (PARTITION BY scan_id ORDER BY file_index, file_row_number)) WHERE wrong`: "0",
		`SELECT count(*)::VARCHAR FROM (SELECT time <= lag(time) OVER rows AS wrong FROM replies
			WINDOW rows AS (PARTITION BY scan_id, saddr ORDER BY file_index, file_row_number)) WHERE wrong`: "0",
	} {
		if got := column0(t, db, query); got[0] != want {
			t.Errorf("%s: got %s, want %s", query, got[0], want)
		}
	}
	// Nothing but the list of files is new in scans.
	scansOf := "SELECT s::VARCHAR FROM (SELECT * EXCLUDE files FROM scans) s ORDER BY 1"
	if got, want := column0(t, db, scansOf), column0(t, other, scansOf); !slices.Equal(got, want) {
		t.Errorf("scans:\n got %q\nwant %q", got, want)
	}

	// A lookup reads one row group of many.
	address := column0(t, db, "SELECT saddr FROM replies WHERE port = 443 OFFSET 70000 LIMIT 1")[0]
	groups := func(from string) string {
		return column0(t, db, fmt.Sprintf(`SELECT concat(count(*) FILTER (%s BETWEEN stats_min_value AND stats_max_value), ' of ', count(*))
			FROM parquet_metadata(%s) WHERE path_in_schema = 'saddr'`, Literal(address), Literal(filepath.Join(from, "replies", partition443, "*"))))[0]
	}
	if got := groups(dir); got != "1 of 3" {
		t.Errorf("%s may be in %s row groups", address, got)
	}
	if got := groups(before); got != "3 of 3" {
		t.Errorf("before, %s may be in %s row groups", address, got)
	}
	var rows []int64
	for _, name := range []string{sorted443, strings.Replace(sorted443, "00000", "00001", 1)} {
		p, err := file.OpenParquetFile(filepath.Join(dir, name), false)
		must(t, err)
		for i := range p.NumRowGroups() {
			rows = append(rows, p.MetaData().RowGroup(i).NumRows())
		}
		must(t, p.Close())
	}
	if want := []int64{65536, 65536, 3928}; !slices.Equal(rows, want) {
		t.Errorf("row groups of %d rows, want %d", rows, want)
	}

	// Again, from the same rows: the same bytes. And once more: nothing to do.
	twin := t.TempDir()
	must(t, os.CopyFS(twin, os.DirFS(before)))
	again := openDataset(t, twin)
	if _, err := again.compact(t.Context(), 2*rowGroupRows, nil); err != nil {
		t.Fatal(err)
	}
	if got := contentOf(t, twin); !sameContent(got, files) {
		t.Error("sorted twice, the bytes differ")
	}
	if done := compact(t, d); done != nil {
		t.Errorf("compacted again: %+v", done)
	}
	if got := contentOf(t, dir); !sameContent(got, files) {
		t.Error("nothing to compact, but the files changed")
	}

	// Ingested again, the scan has its own parts, and no others.
	scan.commit(t, d)
	mustBeClean(t, d)
	got, want2 := contentOf(t, dir), contentOf(t, before)
	for name, content := range got {
		if strings.Contains(name, "port=443") && want2[name] != content {
			t.Errorf("ingested again, %s is another", name)
		}
	}
	if _, there := got[sorted443]; there {
		t.Error("ingested again, the sorted file is still there")
	}
}

func sameContent(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, content := range a {
		if other, ok := b[name]; !ok || other != content {
			return false
		}
	}
	return true
}

// Killed anywhere, the dataset is as before or as after, and the next run makes the same bytes.
func TestCompactKilled(t *testing.T) {
	start, undisturbed := t.TempDir(), t.TempDir()
	scanOfPort(443).commit(t, openDataset(t, start))
	before := contentOf(t, start)
	must(t, os.CopyFS(undisturbed, os.DirFS(start)))
	compact(t, openDataset(t, undisturbed))
	after := contentOf(t, undisturbed)
	if len(before) != 5 || len(after) != 3 {
		t.Fatal(len(before), len(after))
	}
	for operations := range 40 {
		dir := t.TempDir()
		must(t, os.CopyFS(dir, os.DirFS(start)))
		d := openDataset(t, dir)
		_, killed := (&Dataset{&dyingStore{Store: d.store, left: operations}}).Compact(t.Context(), nil)
		mustBeClean(t, d)
		scan, err := readScan(t.Context(), d.store, row443)
		must(t, err)
		now := contentOf(t, dir)
		want := before
		if strings.Contains(scan.files[0].Path, "-sorted-") {
			want = after
		}
		for _, f := range scan.files {
			if now[f.Path] != want[f.Path] {
				t.Errorf("killed after %d operations: %s is another", operations, f.Path)
			}
		}
		compact(t, d)
		if got := contentOf(t, dir); !sameContent(got, after) {
			t.Errorf("killed after %d operations, then compacted: other files", operations)
		}
		if killed == nil {
			t.Log(operations, "operations")
			return
		}
	}
	t.Error("the process never got to the end")
}

// A damaged file must not be made into one that looks right.
func TestCompactDamaged(t *testing.T) {
	dir := t.TempDir()
	d := openDataset(t, dir)
	scanOfPort(443).commit(t, d)
	edit(t, filepath.Join(dir, part443), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	before := contentOf(t, dir)
	if _, err := d.Compact(t.Context(), nil); err == nil || !strings.Contains(err.Error(), part443) {
		t.Errorf("got %v", err)
	}
	if !sameContent(contentOf(t, dir), before) {
		t.Error("the dataset changed")
	}
}

func TestCompactArrow(t *testing.T) {
	dir := t.TempDir()
	d := openDataset(t, dir)
	scan := scanOfPort(443)
	scan.format = Arrow
	scan.commit(t, d)
	before := contentOf(t, dir)
	want := []Compaction{{ScanID: scan443, Before: 3, LeftAlone: "has Arrow IPC files"}}
	if done := compact(t, d); !slices.Equal(done, want) {
		t.Errorf("got %+v", done)
	}
	if !sameContent(contentOf(t, dir), before) {
		t.Error("the dataset changed")
	}
}

// Another process replaces the scan while it is sorted.
func TestCompactReplaced(t *testing.T) {
	dir := t.TempDir()
	d := openDataset(t, dir)
	scan := scanOfPort(443)
	scan.commit(t, d)
	done, err := d.Compact(t.Context(), func(string) {
		scan.rows = 100
		scan.commit(t, d)
	})
	if err != nil || len(done) != 1 || done[0].LeftAlone == "" {
		t.Errorf("got %+v, %v", done, err)
	}
	report := mustBeClean(t, d)
	if report.Rows != 303 || report.Notes != nil {
		t.Errorf("%+v", report)
	}
}

// In an object store, the same bytes as in a folder.
func TestCompactObjectStore(t *testing.T) {
	dir := t.TempDir()
	local, remote := openDataset(t, dir), openDataset(t, s3test.Start(t).Location("census"))
	for _, d := range []*Dataset{local, remote} {
		scanOfPort(443).commit(t, d)
		mustBeClean(t, d)
		if done := compact(t, d); len(done) != 1 || done[0].After != 1 {
			t.Errorf("got %+v", done)
		}
		report := mustBeClean(t, d)
		if report.Rows != 603 || report.Notes != nil {
			t.Errorf("%+v", report)
		}
	}
	files := map[string]string{}
	for info, err := range remote.store.List(t.Context(), "") {
		must(t, err)
		content, err := store.ReadFile(t.Context(), remote.store, info.Name, 1<<30)
		must(t, err)
		files[info.Name] = string(content)
	}
	if !sameContent(files, contentOf(t, dir)) {
		t.Error("other files than in a folder")
	}
}
