package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// small makes several parts of a few hundred rows.
var small = sizes{block: 10_000, part: 3}

// labRows are rows with lines between them that are none.
func labRows(t testing.TB, n uint64, family string) []byte {
	t.Helper()
	var b bytes.Buffer
	p := rows.Params{Rows: n, Probe: rows.V0, Family: family, Port: 443, Seed: 4, Rejects: 0.02}
	if err := rows.Write(t.Context(), &b, p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// oddReader gives some bytes at a time, as pipes do.
type oddReader struct {
	rest  []byte
	reads int
}

func (r *oddReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	r.reads++
	n := copy(p, r.rest[:min(len(r.rest), 1+r.reads*7919%5003)])
	r.rest = r.rest[n:]
	return n, nil
}

// The same rows give the same bytes on any number of processors, from a file, a pipe or a compressed file.
func TestSameBytes(t *testing.T) {
	input := labRows(t, 3000, rows.IPv4)
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	compressed := encoder.EncodeAll(input, nil)
	inputs := map[string]func() io.Reader{
		"file": func() io.Reader { return bytes.NewReader(input) },
		"pipe": func() io.Reader { return &oddReader{rest: input} },
		"data with the end": func() io.Reader {
			return iotest.DataErrReader(bytes.NewReader(input))
		},
		"zst": func() io.Reader {
			r, err := zstd.NewReader(bytes.NewReader(compressed), zstd.WithDecoderConcurrency(1))
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
	}
	runs := []struct {
		input      string
		processors int
	}{{"file", 1}, {"file", 2}, {"file", 8}, {"pipe", 2}, {"data with the end", 8}, {"zst", 8}}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, format := range []dataset.Format{dataset.Parquet, dataset.Arrow} {
		var first map[string]string
		for _, r := range runs {
			runtime.GOMAXPROCS(r.processors)
			dir := t.TempDir()
			p := params()
			p.Format, p.sizes = format, sizes{block: 10_000, part: 30}
			if _, err := run(t.Context(), t, dir, inputs[r.input](), p); err != nil {
				t.Fatal(err)
			}
			files := tree(t, dir)
			if first == nil {
				first = files
			}
			if !same(first, files) || len(files) < 8 {
				t.Errorf("%s from a %s on %d processors: other bytes, or too few parts to tell:\n%s", format, r.input, r.processors, paths(files))
			}
		}
	}
}

// model is what an input should become, found line by line.
type model struct {
	kept    []string // saddr
	rejects []dataset.Reject
}

func modelOf(input []byte) (m model) {
	var decoder zmap.Decoder
	var row zmap.Row
	offset := int64(0)
	for i, line := range strings.SplitAfter(string(input), "\n") {
		if line == "" {
			continue // behind the last line end
		}
		raw := line
		if cut, ok := strings.CutSuffix(line, "\n"); ok {
			raw = strings.TrimSuffix(cut, "\r")
		}
		r := dataset.Reject{Line: int64(i) + 1, Offset: offset, Length: int64(len(raw))}
		offset += int64(len(line))
		err := decoder.Decode([]byte(raw[:min(len(raw), zmap.MaxLine)]), &row)
		if len(raw) > zmap.MaxLine {
			err = zmap.ErrTooLong
		}
		if err == nil {
			m.kept = append(m.kept, row.Saddr.String())
			continue
		}
		var reason zmap.Reason
		errors.As(err, &reason)
		r.Reason = string(reason)
		r.SetRaw([]byte(raw[:min(len(raw), zmap.MaxLine)]))
		m.rejects = append(m.rejects, r)
	}
	return m
}

func row(host int) string {
	return fmt.Sprintf(`{"saddr":"198.18.0.%d","classification":"rst","sport":443,"probe":"v0","timestamp_ts":1795421700}`, host) + "\n"
}

// Wherever blocks and parts end: each row is kept once, in order, and each other line rejected once, with its
// place in the input.
func TestBlocks(t *testing.T) {
	long := strings.Repeat("x", 2*zmap.MaxLine)
	inputs := map[string]string{
		"one row":                      row(1),
		"without the last line end":    row(1) + strings.TrimSuffix(row(2), "\n"),
		"blocks of rejected lines":     row(1) + strings.Repeat("no row\n", 400) + row(2) + strings.Repeat("\n", 400),
		"the first row in a later one": strings.Repeat("no row\n", 1000) + row(1) + row(2),
		"too long at the border":       row(1) + strings.Repeat("x", 900) + long + "\n" + row(2) + long + "\r\n" + row(3) + long,
		"one byte too long or not":     row(1) + strings.Repeat("x", zmap.MaxLine) + "\r\n" + strings.Repeat("x", zmap.MaxLine+1) + "\n" + row(2),
		"carriage returns":             strings.ReplaceAll(row(1)+row(2)+row(3), "\n", "\r\n") + "\r\n\r",
	}
	for what, input := range inputs {
		want := modelOf([]byte(input))
		for _, s := range []sizes{{1, 1 << 20}, {100, 40}, {1000, 3}, {zmap.MaxLine, 1}, defaultSizes} {
			dir := t.TempDir()
			p := params()
			p.sizes = s
			summary := mustRun(t, dir, []byte(input), p)
			if summary.Kept != uint64(len(want.kept)) || summary.Rejected != uint64(len(want.rejects)) || summary.Read != summary.Kept+summary.Rejected {
				t.Errorf("%s, %+v: %+v, want %d and %d", what, s, summary.Counts, len(want.kept), len(want.rejects))
			}
			kept := strings.Split(query[string](t, dir, "SELECT string_agg(saddr, ' ' ORDER BY file_index, file_row_number) FROM replies"), " ")
			if !slices.Equal(kept, want.kept) {
				t.Errorf("%s, %+v: kept %v, want %v", what, s, kept, want.kept)
			}
			files, rejects := tree(t, dir), ""
			for _, name := range summary.Rejects {
				rejects += files[name]
			}
			d := json.NewDecoder(strings.NewReader(rejects))
			for _, want := range want.rejects {
				var got dataset.Reject
				if err := d.Decode(&got); err != nil {
					t.Fatalf("%s, %+v: %v", what, s, err)
				}
				if got.Detail, want.Detail = "", ""; !reflect.DeepEqual(got, want) {
					t.Errorf("%s, %+v: got %.300v, want %.300v", what, s, got, want)
				}
			}
		}
	}
}

// However far an input came before it broke off, or its reader was interrupted: what was read is in the dataset,
// line for line.
func TestBrokenOffAnywhere(t *testing.T) {
	input := labRows(t, 300, rows.IPv6)
	broken := errors.New("broken")
	for cut := 1000; cut < len(input); cut += len(input)/5 + 11 {
		for _, what := range []string{"read error", "interrupt"} {
			ctx, cancel := context.WithCancelCause(t.Context())
			end := iotest.ErrReader(broken)
			if what == "interrupt" {
				end = readerFunc(func([]byte) (int, error) {
					cancel(broken)
					return 0, nil
				})
			}
			reader := io.MultiReader(&oddReader{rest: input[:cut]}, end)
			dir := t.TempDir()
			p := params()
			p.sizes = small
			s, err := run(ctx, t, dir, reader, p)
			want := modelOf(input[:cut])
			if !errors.Is(err, broken) || s.Complete || s.Kept != uint64(len(want.kept)) || s.Rejected != uint64(len(want.rejects)) {
				t.Errorf("%s after %d bytes: %+v, %v", what, cut, s, err)
			}
			if n := query[uint64](t, dir, "SELECT count(*) FROM replies"); n != s.Kept {
				t.Errorf("%s after %d bytes: %d replies", what, cut, n)
			}
			cancel(nil)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// An input that is not the one that was begun is refused, and what was made of the other stays.
func TestResumeOfAnotherInput(t *testing.T) {
	input := labRows(t, 1000, rows.IPv4)
	dir := t.TempDir()
	p := params()
	p.sizes = small
	leaveUnfinished(t, dir, input, p)
	before := tree(t, dir)

	other := bytes.Clone(input)
	other[5]++ // in the first row
	p.Resume = true
	for what, changed := range map[string][]byte{"another": other, "shorter": input[:1000]} {
		_, err := run(t.Context(), t, dir, bytes.NewReader(changed), p)
		if !errors.Is(err, errChanged) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
		if !same(before, tree(t, dir)) {
			t.Errorf("%s: what was there is not any more", what)
		}
	}

	undisturbed := t.TempDir()
	mustRun(t, undisturbed, input, p)
	mustRun(t, dir, input, p)
	if !same(tree(t, dir), tree(t, undisturbed)) {
		t.Errorf("not the files of an undisturbed run:\n%s", paths(tree(t, dir)))
	}
}

// What is left of an input that cannot be read again becomes an incomplete scan, of the rows that are in parts.
func TestFinish(t *testing.T) {
	input := labRows(t, 1000, rows.IPv4)
	dir := t.TempDir()
	p := params()
	p.Source, p.sizes = "", small
	leaveUnfinished(t, dir, input, p)

	d, err := dataset.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	left, err := Unfinished(t.Context(), d)
	if err != nil || len(left) != 1 || left[0].Stage != p.Stage || left[0].Kept == 0 || left[0].Input != p.Input {
		t.Fatalf("left %+v, %v", left, err)
	}
	s, err := left[0].Resume(t.Context(), d, nil)
	if err != nil || s.Complete || s.Kept != left[0].Kept || s.Read != s.Kept+s.Rejected {
		t.Fatalf("%+v, %v", s, err)
	}
	got := strings.Split(query[string](t, dir, "SELECT string_agg(saddr, ' ' ORDER BY file_index, file_row_number) FROM replies"), " ")
	if want := modelOf(input).kept; !slices.Equal(got, want[:len(got)]) {
		t.Error("not the first rows")
	}
	for name := range tree(t, dir) {
		if strings.HasPrefix(name, "unfinished/") {
			t.Errorf("%s is left", name)
		}
	}
	if left, err = Unfinished(t.Context(), d); err != nil || len(left) != 0 {
		t.Errorf("left %+v, %v", left, err)
	}
}

// leaveUnfinished leaves what a process leaves that dies in the middle of an ingest.
func leaveUnfinished(t *testing.T, dir string, input []byte, p Params) {
	t.Helper()
	d, err := dataset.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	in, err := begin(t.Context(), d, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, fatal := in.readAll(t.Context(), io.MultiReader(bytes.NewReader(input[:len(input)*2/3]), iotest.ErrReader(io.ErrUnexpectedEOF))); fatal != nil {
		t.Fatal(fatal)
	}
	if err := in.discardPart(); err != nil {
		t.Fatal(err)
	}
	if _, ok := tree(t, dir)["unfinished/"+p.Stage+"/state.json"]; !ok {
		t.Fatalf("nothing to go on with:\n%s", paths(tree(t, dir)))
	}
}

// A read of a pipe that blocks ends with ctx.
func TestInterruptible(t *testing.T) {
	out, in := io.Pipe()
	defer in.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
	if _, err := io.ReadAll(Interruptible(ctx, out)); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
