package truth

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

func TestRowsAreSorted(t *testing.T) {
	n := 0
	var last Row
	for row := range Rows(scenario.Default()) {
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
	if want := (65536 + 4) * 2 * 3; n != want {
		t.Errorf("%d rows, want %d", n, want)
	}
}

// What the file says is read back and compared with the scenario, row by row.
func TestWrite(t *testing.T) {
	s := scenario.Default()
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
		targets, ports, probes := b.Column(0).(*array.String), b.Column(1).(*array.Uint16), b.Column(2).(*array.String)
		behaviours, verdicts := b.Column(3).(*array.String), b.Column(4).(*array.String)
		certain, replies := b.Column(5).(*array.Boolean), b.Column(6).(*array.Uint8)
		for i := range int(b.NumRows()) {
			w := want[read]
			verdict := ""
			if verdicts.IsValid(i) {
				verdict = verdicts.Value(i)
			}
			if targets.Value(i) != w.Target.String() || ports.Value(i) != w.Port || probes.Value(i) != w.Probe.String() ||
				behaviours.Value(i) != w.Behaviour.String() || verdict != string(w.Verdict) ||
				verdicts.IsNull(i) != (w.Behaviour == scenario.Silent) ||
				certain.Value(i) != w.Verdict.Certain() || int(replies.Value(i)) != w.Replies {
				t.Fatalf("row %d is %v, want %v", read, b.NewSlice(int64(i), int64(i+1)), w)
			}
			read++
		}
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	dir := t.TempDir()
	var contents [2][]byte
	for i, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name)
		if _, err := Write(path, scenario.Default()); err != nil {
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

func TestWriteLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	// A folder in the way makes the last step, the rename, fail.
	path := filepath.Join(dir, "truth.parquet")
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	small, err := scenario.Parse("", []byte("ranges: [198.18.0.0/24]\nports: [80]\nbehaviours: {tcp: 1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(path, small); err == nil {
		t.Fatal("wrote over a folder")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
}
