package parquetfile

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// python returns an interpreter that has the packages of requirements.txt.
func python(t *testing.T) string {
	t.Helper()
	interpreter := os.Getenv("MPCENSUS_PYTHON")
	if interpreter == "" {
		interpreter = "../../.venv/bin/python"
	}
	if out, err := exec.Command(interpreter, "-c", "import duckdb, pyarrow").CombinedOutput(); err != nil {
		const remedy = "name one with the packages of requirements.txt by MPCENSUS_PYTHON"
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s: %v, %s: %s", interpreter, err, out, remedy)
		}
		t.Skipf("%s: %v, %s: %s", interpreter, err, out, remedy)
	}
	return interpreter
}

// writeArrow writes the values that a Parquet file should have.
func writeArrow(t *testing.T, path string, schema *arrow.Schema, batches []arrow.RecordBatch) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := ipc.NewFileWriter(f, ipc.WithSchema(schema))
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range batches {
		if err := w.Write(batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// pyarrow, DuckDB and polars read what was written, with right statistics.
func TestReaders(t *testing.T) {
	interpreter := python(t)
	all := variants()
	schema, columns := schemaOf(all)
	dir := t.TempDir()
	for name, values := range valuePatterns {
		r := rand.New(rand.NewPCG(3, 4))
		var want, in []arrow.RecordBatch
		for nulls, there := range nullPatterns {
			n := map[string]int{"none": 1000, "all": 9, "random": 129, "rare": 2000, "runs": 1030}[nulls]
			if name == "ascending" && nulls == "rare" {
				n = 65536 // a whole row group, with too many values for dictionaries
			}
			from := uint64(len(in)) << 32 // so that row groups of ascending values have none in common
			expected, batch := build(t, r, all, n, func(r *rand.Rand, i int) uint64 { return from + values(r, i) }, there)
			want = append(want, array.NewRecordBatch(schema, expected, int64(n)))
			in = append(in, batchOf(batch))
		}
		if err := os.WriteFile(filepath.Join(dir, name+".parquet"), write(t, schema, columns, in...), 0o600); err != nil {
			t.Fatal(err)
		}
		writeArrow(t, filepath.Join(dir, name+".arrow"), schema, want)
	}
	out, err := exec.Command(interpreter, "testdata/readers.py", dir).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
