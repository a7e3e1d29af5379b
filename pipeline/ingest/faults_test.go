package ingest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/spool"
)

// longFaults is how `make test-faults` asks for the long form of these tests.
var longFaults = os.Getenv("MPCENSUS_FAULTS") == "long"

// faultSizes make a part of some 600 rows, so that a short run has many.
var faultSizes = sizes{block: 128 << 10, part: 2}

// faultRows are rows of one scan, with lines between them that are none.
func faultRows(t testing.TB, n uint64, probe string) []byte {
	t.Helper()
	var b strings.Builder
	p := rows.Params{Rows: n, Probe: probe, Family: rows.IPv4, Port: 443, Seed: 9, Rejects: 0.01}
	if err := rows.Write(t.Context(), &b, p); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

// writeInput puts rows into a file.
func writeInput(t testing.TB, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.json")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// faultChild is the environment variable that makes this test binary do a task, which can be killed.
const faultChild = "MPCENSUS_TEST_FAULTS"

// task is what a child does.
type task struct {
	What    string // "ingest", "resume", "live"
	Dataset string
	Input   string // of "ingest"
	Spool   string // of "live": its folder
}

// What a child's exit code says.
const (
	exitDone   = 0
	exitFailed = 1
	exitExists = 4 // dataset.ErrExists
)

func (w task) command() *exec.Cmd {
	text, _ := json.Marshal(w)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), faultChild+"="+string(text))
	cmd.Stderr = &strings.Builder{}
	return cmd
}

// childMain does the task that the environment names, if any, and ends the process.
func childMain() {
	text := os.Getenv(faultChild)
	if text == "" {
		return
	}
	var w task
	err := json.Unmarshal([]byte(text), &w)
	defaultSizes = faultSizes // IngestLive has no others
	if err == nil {
		err = w.do(context.Background())
	}
	code := exitDone
	switch {
	case errors.Is(err, dataset.ErrExists):
		code = exitExists
	case err != nil:
		code = exitFailed
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func (w task) do(ctx context.Context) error {
	d, err := dataset.Open(ctx, w.Dataset)
	if err != nil {
		return err
	}
	defer d.Close()
	switch w.What {
	case "ingest":
		return ingestFile(ctx, d, w.Input)
	case "resume":
		return resumeAll(ctx, d)
	default:
		return w.live(ctx, d)
	}
}

// ingestFile is what `mpcensus ingest FILE` does.
func ingestFile(ctx context.Context, d *dataset.Dataset, input string) error {
	if _, err := d.RollForward(ctx); err != nil {
		return err
	}
	file, err := os.Open(input)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.Sum256([]byte(input))
	_, err = Run(ctx, d, file, Params{
		Format: dataset.Parquet, Input: filepath.Base(input), Source: input, ToolVersion: "test",
		Stage: "file-" + hex.EncodeToString(sum[:8]), sizes: faultSizes,
	})
	return err
}

// resumeAll is what `mpcensus ingest --resume` does.
func resumeAll(ctx context.Context, d *dataset.Dataset) error {
	if _, err := d.RollForward(ctx); err != nil {
		return err
	}
	if root, ok := d.LocalUnfinished(); ok {
		folders, err := LiveFolders(root)
		if err != nil {
			return err
		}
		for _, folder := range folders {
			if _, err := IngestLive(ctx, d, folder, nil); err != nil && !errors.Is(err, spool.ErrBusy) {
				return err
			}
		}
	}
	left, err := Unfinished(ctx, d)
	if err != nil {
		return err
	}
	for _, l := range left {
		open := func(_ context.Context, path string) (io.ReadCloser, error) { return os.Open(path) }
		if _, err := l.Resume(ctx, d, open); err != nil {
			return err
		}
	}
	return nil
}

// mustDo lets a child do its task undisturbed.
func mustDo(t *testing.T, w task) {
	t.Helper()
	cmd := w.command()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%+v: %v: %s", w, err, cmd.Stderr)
	}
}

// mustResume goes on with what was left, undisturbed.
func mustResume(t *testing.T, dir string) {
	t.Helper()
	mustDo(t, task{What: "resume", Dataset: dir})
}

// undisturbed is the dataset that an input gives when nothing happens.
func undisturbed(t *testing.T, inputs ...string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	for _, input := range inputs {
		mustDo(t, task{What: "ingest", Dataset: dir, Input: input})
	}
	mustBeSound(t, dir)
	return tree(t, dir)
}

// visible are a dataset's files without the temporary ones of dead processes, which no reader sees and
// the next writer removes.
func visible(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := tree(t, dir)
	for name := range files {
		if strings.HasPrefix(filepath.Base(name), ".tmp-") {
			delete(files, name)
		}
	}
	return files
}

// mustBeSame says in which files a dataset differs from what it should be.
func mustBeSame(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := visible(t, dir)
	for name, content := range want {
		if other, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		} else if other != content {
			t.Errorf("%s is not the file of an undisturbed run: %d bytes, want %d", name, len(other), len(content))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is no file of an undisturbed run", name)
		}
	}
}

// mustBeSound judges a dataset twice: by `dataset check`, and by what readers see.
func mustBeSound(t *testing.T, dir string) {
	t.Helper()
	d, err := dataset.Open(t.Context(), dir)
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
	judge(t, dir)
}

// listedFile is an element of the column `files`.
type listedFile struct {
	path        string
	rows, bytes int64
	sha256      string
}

// judge is a slow check that has nothing in common with the one of package dataset: DuckDB reads `scans`
// and counts the rows of the files that it lists; nothing else lies beside them, but what a commit that
// was cut off is moving.
func judge(t *testing.T, dir string) {
	t.Helper()
	files := visible(t, dir)
	listed := map[string]bool{}
	for _, f := range filesInScans(t, dir, files) {
		listed[f.path] = true
		content, ok := files[f.path]
		if !ok {
			t.Errorf("scans lists %s, which is not there", f.path)
			continue
		}
		sum := sha256.Sum256([]byte(content))
		if int64(len(content)) != f.bytes || hex.EncodeToString(sum[:]) != f.sha256 {
			t.Errorf("%s is not the file that scans lists", f.path)
		}
		rows := int64(strings.Count(content, "\n"))
		if strings.HasSuffix(f.path, ".parquet") {
			rows = duck[int64](t, "SELECT count(*) FROM read_parquet(?)", filepath.Join(dir, f.path))
		}
		if rows != f.rows {
			t.Errorf("%s has %d rows, %d by scans", f.path, rows, f.rows)
		}
	}
	for name, content := range files {
		if !strings.HasSuffix(name, ".commit.json") {
			continue
		}
		var commit struct{ Moves []struct{ From, To string } }
		if err := json.Unmarshal([]byte(content), &commit); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, move := range commit.Moves {
			listed[move.To] = true
			_, before := files[move.From]
			_, after := files[move.To]
			if !before && !after {
				t.Errorf("%s: %s is lost before it became %s", name, move.From, move.To)
			}
		}
	}
	for name := range files {
		if !listed[name] && !strings.HasPrefix(name, "unfinished/") && !strings.HasPrefix(name, dataset.ScansTable+"/") {
			t.Errorf("%s is visible, and scans does not list it", name)
		}
	}
}

func filesInScans(t *testing.T, dir string, files map[string]string) []listedFile {
	t.Helper()
	var listed []listedFile
	for name := range files {
		if !strings.HasPrefix(name, dataset.ScansTable+"/") {
			continue
		}
		found, err := duckDB(t).Query(`SELECT f.path, f.rows, f.bytes, f.sha256
			FROM (SELECT unnest(files) AS f FROM read_parquet(?))`, filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for found.Next() {
			var f listedFile
			if err := found.Scan(&f.path, &f.rows, &f.bytes, &f.sha256); err != nil {
				t.Fatal(err)
			}
			listed = append(listed, f)
		}
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return listed
}

// duckDB is a database without a dataset.
func duckDB(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func duck[T any](t *testing.T, statement string, arguments ...any) (value T) {
	t.Helper()
	if err := duckDB(t).QueryRow(statement, arguments...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return value
}
