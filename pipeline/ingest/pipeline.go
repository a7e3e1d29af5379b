package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"sync"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// maxWorkers bounds memory on machines with many processors, at some 40 MB a worker.
const maxWorkers = 8

// errChanged is why an ingest cannot go on.
var errChanged = errors.New("the input is not what it was when its first rows were ingested: ingest it without --resume, from its beginning")

// job is a block on its way through the pipeline. Its memory is used again for a later one.
type job struct {
	block zmap.Block
	input inputDigest     // after the block was read
	scan  dataset.ScanKey // what is known of it; an ID if there is a row in this block or before it

	// What the worker made of the block.
	ready   chan struct{} // receives when the worker is done
	err     error
	lines   int64
	rejects []uint32 // numbers of the lines that are no rows of the scan
	tally   tally
	replies *dataset.Replies
	group   dataset.RowGroup
}

func newJob() (*job, error) {
	replies, err := dataset.NewReplies()
	return &job{replies: replies, ready: make(chan struct{}, 1)}, err
}

func (j *job) reset() {
	j.rejects = j.rejects[:0]
	j.replies.Reset()
	j.lines, j.tally, j.err = 0, tally{}, nil
}

// rejectedLines are the block's lines that are no rows, and why. A worker notes no more than their numbers:
// a block can be millions of such lines, and what there is to say of each takes a hundred times its room.
func (j *job) rejectedLines(decoder *zmap.Decoder) iter.Seq2[zmap.Line, error] {
	return func(yield func(zmap.Line, error) bool) {
		left := j.rejects
		var row zmap.Row
		for line := range j.block.Lines() {
			if len(left) == 0 {
				return
			}
			if line.Number != int64(left[0]) {
				continue
			}
			left = left[1:]
			if !yield(line, decodeLine(decoder, line, &j.scan.Partition, &row)) {
				return
			}
		}
	}
}

// decodeLine reads a line as a row of the scan. The error wraps the reason why it is none.
func decodeLine(decoder *zmap.Decoder, line zmap.Line, scan *dataset.Partition, row *zmap.Row) error {
	if err := line.CheckLength(); err != nil {
		return err
	}
	if err := decoder.Decode(line.Raw, row); err != nil {
		return err
	}
	return foreign(scan, row)
}

// readAll appends all blocks that are not in the state yet. fatal means that nothing can be committed;
// ended, why the input was left before its end.
func (in *ingestion) readAll(ctx context.Context, rows io.Reader) (ended, fatal error) {
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	// While as many blocks as there are workers are decoded, one is read or written.
	jobs := workers + 1
	r := &reader{
		in:   in,
		free: make(chan *job, jobs), work: make(chan *job, jobs), ordered: make(chan *job, jobs),
	}
	for range jobs {
		j, err := newJob()
		if err != nil {
			return nil, err
		}
		r.free <- j
	}
	encoders := make([]*dataset.Encoder, workers)
	for i := range encoders {
		var err error
		if encoders[i], err = dataset.NewEncoder(in.params.Format); err != nil {
			return nil, err
		}
	}
	var running sync.WaitGroup
	defer running.Wait()
	for _, encoder := range encoders {
		running.Go(func() { decodeAll(r.work, encoder) })
	}
	reading, halt := context.WithCancel(ctx)
	defer halt()
	running.Go(func() { r.run(reading, rows) })

	for j := range r.ordered {
		<-j.ready
		if fatal == nil {
			if fatal = in.append(context.WithoutCancel(ctx), j); fatal != nil {
				halt()
			}
		}
		j.reset()
		r.free <- j
	}
	if fatal == nil {
		fatal = r.fatal
	}
	if fatal == nil && r.ended != nil {
		ended = fmt.Errorf("the input broke off after line %d: %w", in.state.Counts.Read, r.ended)
	}
	in.state.Input = r.read
	return ended, fatal
}

// reader is the first stage. It gives blocks their order, and finds out which scan they are of.
type reader struct {
	in                  *ingestion
	free, work, ordered chan *job

	// Once ordered is closed:
	ended error       // why the input was left before its end
	fatal error       // why nothing can be committed
	read  inputDigest // of all that was read
}

func (r *reader) run(ctx context.Context, rows io.Reader) {
	defer close(r.ordered)
	defer close(r.work)
	before := r.in.state // of an earlier process
	input := newDigestReader(ctx, rows, before.Input)
	blocks := zmap.NewBlockReader(input, r.in.params.sizes.block)
	scan, lines := before.Scan, int64(before.Counts.Read)
	for j := range r.free {
		err := blocks.Read(&j.block)
		switch {
		case err == nil && j.block.Index < before.Blocks:
			r.free <- j
			continue
		case !input.begunAsKnown():
			r.fatal = errChanged
			if err != nil && err != io.EOF {
				r.fatal = err
			}
			return
		case err != nil:
			if err != io.EOF {
				r.ended = err
			}
			r.read = input.digest()
			return
		}
		if scan.ID == "" {
			if r.fatal = identify(&scan, &j.block, lines); r.fatal != nil {
				return
			}
			lines += j.block.CountLines()
		}
		j.scan, j.input = scan, input.digest()
		r.work <- j
		r.ordered <- j
	}
}

// decodeAll is a worker. The order in which several of them take jobs makes no difference.
func decodeAll(work <-chan *job, encoder *dataset.Encoder) {
	var decoder zmap.Decoder
	var row zmap.Row
	for j := range work {
		for line := range j.block.Lines() {
			j.lines++
			if decodeLine(&decoder, line, &j.scan.Partition, &row) != nil {
				j.rejects = append(j.rejects, uint32(line.Number))
				continue
			}
			j.tally.add(&row)
			j.replies.Append(&j.scan, &row)
		}
		j.err = encoder.Encode(j.replies, &j.group)
		j.ready <- struct{}{}
	}
}
