package truth

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

func TestRowsAreSorted(t *testing.T) {
	n := 0
	var last Row
	for row := range Rows(scenario.All()) {
		if n > 0 {
			order := last.Target.Compare(row.Target)
			sorted := order < 0 || order == 0 && (last.Port < row.Port || last.Port == row.Port && last.Probe.String() < row.Probe.String())
			if !sorted {
				t.Fatalf("%v stands before %v", last, row)
			}
		}
		last = row
		n++
	}
	if want := (65536 + 16384 + 2*4) * 2 * 4; n != want {
		t.Errorf("%d rows, want %d", n, want)
	}
}

// smaller is the default scenario with fewer addresses, and rows enough for a second row group.
func smaller(t *testing.T) *scenario.Scenario {
	t.Helper()
	text := strings.NewReplacer("198.18.0.0/16", "198.18.0.0/20", "addresses: 16384", "addresses: 4096").Replace(string(scenario.AllYAML))
	s, err := scenario.Parse("smaller.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if s.Size() != 2*4096 {
		t.Fatalf("%d addresses", s.Size())
	}
	return s
}

// What the file says is read back and compared with the scenario, row by row.
func TestWrite(t *testing.T) {
	s := smaller(t)
	path := filepath.Join(t.TempDir(), "truth.parquet")
	written, err := Write(path, s)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	arrowReader, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := arrowReader.ReadTable(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	if int(table.NumRows()) != written {
		t.Fatalf("%d rows written, %d read", written, table.NumRows())
	}
	batches := array.NewTableReader(table, 0)
	defer batches.Release()
	read := 0
	var want []Row
	for row := range Rows(s) {
		want = append(want, row)
	}
	for batches.Next() {
		b := batches.RecordBatch()
		text := func(column, row int) string {
			if b.Column(column).IsNull(row) {
				return "NULL"
			}
			return b.Column(column).ValueStr(row)
		}
		for i := range int(b.NumRows()) {
			w := want[read]
			verdict, treatment := w.Behaviour.Verdict(w.Probe), w.Behaviour.Treatment(w.Probe)
			family := "ipv4"
			if w.Target.Is6() {
				family = "ipv6"
			}
			expected := []string{w.Target.String(), family, fmt.Sprint(w.Port), w.Probe.String(), w.Behaviour.String(),
				cmp.Or(string(verdict), "NULL"), fmt.Sprint(verdict.Certain()),
				cmp.Or(string(treatment), "NULL"), fmt.Sprint(treatment.Certain()), fmt.Sprint(w.Replies)}
			for column, value := range expected {
				if got := text(column, i); got != value {
					t.Fatalf("row %d: %s is %s, want %s of %v", read, b.ColumnName(column), got, value, w)
				}
			}
			if (verdict == scenario.NoRow) != (w.Replies == 0) {
				t.Fatalf("row %d: %d replies, verdict %q", read, w.Replies, verdict)
			}
			read++
		}
	}
}

func TestWriteHitlist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hitlist.txt")
	s := scenario.All()
	n, err := WriteHitlist(path, s)
	if err != nil || n != 16384+4 {
		t.Fatalf("%d targets, %v", n, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[netip.Addr]bool)
	for line := range strings.Lines(string(text)) {
		listed[netip.MustParseAddr(strings.TrimSuffix(line, "\n"))] = true
	}
	if len(listed) != 16384+4 {
		t.Errorf("%d distinct targets in the file", len(listed))
	}
	for _, a := range append(s.IPv6, netip.MustParseAddr("2001:db8:ffff:a::1"), netip.MustParseAddr("2001:db8:ffff:a::4")) {
		if !listed[a] {
			t.Fatalf("%s is not in the file", a)
		}
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	dir := t.TempDir()
	var contents [2][]byte
	for i, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name)
		if _, err := Write(path, smaller(t)); err != nil {
			t.Fatal(err)
		}
		var err error
		if contents[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(contents[0], contents[1]) {
		t.Error("the same scenario gave other bytes")
	}
}

func TestWriteReplacesOnlyRegularFiles(t *testing.T) {
	dir := t.TempDir()
	// They stand for /dev/null and /dev/stdout.
	file, pipe, link := filepath.Join(dir, "file"), filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o644), unix.Mkfifo(pipe, 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link, dir} {
		if _, err := WriteHitlist(path, smaller(t)); err == nil || !strings.Contains(err.Error(), "no regular file: name another") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := WriteHitlist(file, smaller(t)); err != nil {
		t.Errorf("a file is not replaced: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("left %v, %v", entries, err)
	}
}

func TestWriteLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	small, err := scenario.Parse("", []byte("ranges: [198.18.0.0/24]\nports: [80]\nbehaviours: {tcp: 1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	// A folder that comes up in the meantime makes the last step, the rename, fail.
	path := filepath.Join(dir, "truth.parquet")
	err = Whole(path, func(out io.Writer) error {
		_, err := encode(out, schema, Rows(small), appendRow)
		return errors.Join(err, os.MkdirAll(filepath.Join(path, "x"), 0o755))
	})
	if err == nil {
		t.Fatal("wrote over a folder")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
}
