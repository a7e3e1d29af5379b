package trace

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

const (
	// blockSize is how many bytes of rows are decoded at once.
	blockSize = 1 << 20
	// maxWorkers bounds memory on machines with many processors, at some 60 MB a worker.
	maxWorkers = 8
)

func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

// tally is what is counted of the rows of a kind.
type tally struct {
	kept               uint64
	earliest, latest   time.Time // zero: no row has a time
	leastTTL, greatest uint8
	countedTTL         bool
}

func (t *tally) add(row *zmap.Row) {
	one := tally{1, row.Time, row.Time, row.ProbeTTL.V, row.ProbeTTL.V, true}
	t.merge(&one)
}

func (t *tally) merge(o *tally) {
	t.kept += o.kept
	if !o.earliest.IsZero() && (t.earliest.IsZero() || o.earliest.Before(t.earliest)) {
		t.earliest = o.earliest
	}
	if o.latest.After(t.latest) {
		t.latest = o.latest
	}
	if o.countedTTL && (!t.countedTTL || o.leastTTL < t.leastTTL) {
		t.leastTTL = o.leastTTL
	}
	t.greatest = max(t.greatest, o.greatest)
	t.countedTTL = t.countedTTL || o.countedTTL
}

// input is a file of rows, or what ZMap printed, after it was read.
type input struct {
	name     string // empty: what ZMap printed
	kinds    []Kind // of its rows, in order of appearance
	tallies  map[Kind]*tally
	lines    uint64
	rejected uint64
	reasons  map[zmap.Reason]uint64
	rejects  string // file of the rejected lines; empty: there are none
}

// readJob is a block of lines on its way through the workers.
type readJob struct {
	block   zmap.Block
	ready   chan struct{}
	err     error
	lines   uint64
	rejects []uint32 // numbers of lines; what there is to say of them would take a hundred times the room
	kinds   []Kind
	tallies map[Kind]*tally
}

// reader puts the rows of an input into a sorter.
type reader struct {
	number        uint64 // of the input
	want          Filter
	sorter        *sorter
	rejectsPath   string
	progress      func(lines uint64)
	work, ordered chan *readJob
	free          chan *readJob
	ended         error
}

// readRows reads an input to its end.
func (r *reader) readRows(ctx context.Context, name string, rows io.Reader) (in *input, err error) {
	in = &input{name: name, tallies: map[Kind]*tally{}, reasons: map[zmap.Reason]uint64{}}
	jobs := workers() + 1
	r.free, r.work, r.ordered = make(chan *readJob, jobs), make(chan *readJob, jobs), make(chan *readJob, jobs)
	for range jobs {
		r.free <- &readJob{ready: make(chan struct{}, 1)}
	}
	var running sync.WaitGroup
	runErrs := make([]error, workers())
	for i := range runErrs {
		running.Go(func() { runErrs[i] = r.decodeAll() })
	}
	running.Go(func() { r.readBlocks(ctx, rows) })
	rejects := rejectsWriter{path: r.rejectsPath}
	for j := range r.ordered {
		<-j.ready
		if err == nil {
			err = j.err
		}
		if err == nil {
			err = r.take(in, j, &rejects)
		}
		if r.progress != nil {
			r.progress(in.lines)
		}
		r.free <- j
	}
	running.Wait()
	if closeErr := rejects.close(); err == nil {
		err = closeErr
	}
	if in.rejected > 0 {
		in.rejects = r.rejectsPath
	}
	if r.ended != nil {
		return in, fmt.Errorf("the rows broke off after line %d: %w", in.lines, r.ended)
	}
	return in, errors.Join(append(runErrs, err)...)
}

// readBlocks is the first stage.
func (r *reader) readBlocks(ctx context.Context, rows io.Reader) {
	defer close(r.ordered)
	defer close(r.work)
	blocks := zmap.NewBlockReader(rows, blockSize)
	for j := range r.free {
		if r.ended = context.Cause(ctx); r.ended != nil {
			return
		}
		err := blocks.Read(&j.block)
		if err != nil {
			if err != io.EOF {
				r.ended = err
			}
			return
		}
		r.work <- j
		r.ordered <- j
	}
}

// decodeAll is a worker. In which order several of them take blocks makes no difference: places order what is alike.
func (r *reader) decodeAll() error {
	var decoder zmap.Decoder
	var row zmap.Row
	run := r.sorter.newRun()
	for j := range r.work {
		j.lines, j.err, j.rejects, j.kinds, j.tallies = 0, nil, j.rejects[:0], j.kinds[:0], map[Kind]*tally{}
		var last Kind
		var counts *tally
		for line := range j.block.Lines() {
			j.lines++
			if decodeLine(&decoder, line, r.want, &row) != nil {
				j.rejects = append(j.rejects, uint32(line.Number))
				continue
			}
			if kind := (Kind{familyOf(row.Saddr), row.Sport.V, row.Probe}); kind != last || counts == nil {
				last, counts = kind, j.tallies[kind]
				if counts == nil {
					counts = &tally{}
					j.tallies[kind] = counts
					j.kinds = append(j.kinds, kind)
				}
			}
			counts.add(&row)
			if j.err == nil {
				j.err = run.add(func(b []byte) []byte {
					return appendRecord(b, &row, r.number<<48|uint64(line.Offset))
				})
			}
		}
		j.ready <- struct{}{}
	}
	return run.flush()
}

func decodeLine(decoder *zmap.Decoder, line zmap.Line, want Filter, row *zmap.Row) error {
	if err := line.CheckLength(); err != nil {
		return err
	}
	if err := decoder.Decode(line.Raw, row); err != nil {
		return err
	}
	return checkRow(row, want)
}

// take adds what a worker made of a block to the input.
func (r *reader) take(in *input, j *readJob, rejects *rejectsWriter) error {
	for _, kind := range j.kinds {
		if in.tallies[kind] == nil {
			in.tallies[kind] = &tally{}
			in.kinds = append(in.kinds, kind)
		}
		in.tallies[kind].merge(j.tallies[kind])
	}
	if len(j.rejects) > 0 {
		if err := r.reject(in, j, rejects); err != nil {
			return err
		}
	}
	in.lines += j.lines
	return nil
}

// reject writes a block's rejected lines.
func (r *reader) reject(in *input, j *readJob, rejects *rejectsWriter) error {
	var decoder zmap.Decoder
	var row zmap.Row
	left := j.rejects
	for line := range j.block.Lines() {
		if len(left) == 0 {
			break
		}
		if line.Number != int64(left[0]) {
			continue
		}
		left = left[1:]
		err := decodeLine(&decoder, line, r.want, &row)
		var reason zmap.Reason
		errors.As(err, &reason)
		in.rejected++
		in.reasons[reason]++
		rejected := dataset.Reject{
			Line: int64(in.lines) + line.Number, Offset: line.Offset, Length: line.Length,
			Reason: string(reason), Detail: err.Error(),
		}
		rejected.SetRaw(line.Raw)
		if err := rejects.append(rejected); err != nil {
			return err
		}
	}
	return nil
}

// rejectsWriter makes a file of rejected lines, a JSON object each, with the first of them.
type rejectsWriter struct {
	path string
	file *os.File
	out  *bufio.Writer
	json *json.Encoder
}

func (w *rejectsWriter) append(r dataset.Reject) (err error) {
	if w.file == nil {
		if w.file, err = os.Create(w.path); err != nil {
			return err
		}
		w.out = bufio.NewWriterSize(w.file, 256<<10)
		w.json = json.NewEncoder(w.out)
		w.json.SetEscapeHTML(false)
	}
	return w.json.Encode(r)
}

func (w *rejectsWriter) close() error {
	if w.file == nil {
		return nil
	}
	return errors.Join(w.out.Flush(), w.file.Close())
}
