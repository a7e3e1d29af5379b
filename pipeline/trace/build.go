package trace

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/parquetfile"
)

// groupRows is the length of a row group of `hops`.
const groupRows = 32 << 10

// compare orders kinds as their records are.
func (k Kind) compare(o Kind) int {
	return cmp.Or(cmp.Compare(k.Family, o.Family), cmp.Compare(k.Port, o.Port),
		cmp.Compare(slices.Index(probes, k.Probe), slices.Index(probes, o.Probe)))
}

// hopsJob is a row group on its way through the workers.
type hopsJob struct {
	data    []byte // records
	ends    []int
	hops    []hop // that refer to data
	columns *hopColumns
	group   parquetfile.RowGroup
	ready   chan struct{}
	err     error
}

// hopsBuilder makes the file of `hops` of one kind, and the evidence that is in it.
type hopsBuilder struct {
	kind     Kind
	traceID  string
	records  *merged
	free     chan *hopsJob
	work     chan *hopsJob
	ordered  chan *hopsJob
	readErr  error
	evidence evidence
	out      *bufio.Writer // of evidence
	buffer   []byte
	begun    bool
}

// build writes both files, from the records of its kind, which come next.
func (b *hopsBuilder) build(ctx context.Context, hopsPath, evidencePath string) (err error) {
	hopsFile, err := os.Create(hopsPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hopsFile.Close()) }()
	evidenceFile, err := os.Create(evidencePath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, evidenceFile.Close()) }()
	b.out = bufio.NewWriterSize(evidenceFile, 256<<10)

	schema := schemaOf(dataset.HopsTable)
	buffered := bufio.NewWriterSize(hopsFile, 256<<10)
	writer, err := parquetfile.NewWriter(buffered, schema, hopsLayout(schema))
	if err != nil {
		return err
	}
	jobs := workers() + 1
	b.free, b.work, b.ordered = make(chan *hopsJob, jobs), make(chan *hopsJob, jobs), make(chan *hopsJob, jobs)
	for range jobs {
		b.free <- &hopsJob{columns: newHopColumns(schema, b.traceID), ready: make(chan struct{}, 1)}
	}
	var running sync.WaitGroup
	for range workers() {
		encoder, err := parquetfile.NewEncoder(schema, hopsLayout(schema))
		if err != nil {
			return err
		}
		running.Go(func() { encodeAll(b.work, encoder) })
	}
	running.Go(func() { b.collect(ctx) })
	for j := range b.ordered {
		<-j.ready
		if err = cmp.Or(err, j.err); err == nil {
			err = writer.Append(&j.group)
		}
		if err == nil {
			err = b.take(j)
		}
		b.free <- j
	}
	running.Wait()
	if err = cmp.Or(err, b.readErr); err != nil {
		return err
	}
	return cmp.Or(b.write(), b.out.Flush(), writer.Close(), buffered.Flush())
}

// collect is the first stage: records in order, in groups.
func (b *hopsBuilder) collect(ctx context.Context) {
	defer close(b.ordered)
	defer close(b.work)
	for j := range b.free {
		j.data, j.ends = j.data[:0], j.ends[:0]
		for len(j.ends) < groupRows {
			record := b.records.first()
			if record == nil || kindOf(record) != b.kind {
				break
			}
			j.data = append(j.data, record...)
			j.ends = append(j.ends, len(j.data))
			if b.readErr = b.records.drop(); b.readErr != nil {
				return
			}
		}
		if b.readErr = context.Cause(ctx); b.readErr != nil || len(j.ends) == 0 {
			return
		}
		b.work <- j
		b.ordered <- j
	}
}

// encodeAll is a worker: it compares quotes with what was sent, and makes row groups.
func encodeAll(work <-chan *hopsJob, encoder *parquetfile.Encoder) {
	for j := range work {
		j.hops = slices.Grow(j.hops[:0], len(j.ends))[:len(j.ends)]
		start := 0
		for i, end := range j.ends {
			h := &j.hops[i]
			h.read(j.data[start:end])
			start = end
			if h.answer.icmp() {
				compare(h.sent, h.quote, &h.Comparison, nil)
			}
			j.columns.append(h)
		}
		batch := j.columns.batch()
		j.err = encoder.Encode(batch, &j.group)
		batch.Release()
		j.ready <- struct{}{}
	}
}

// take adds a group's rows to the evidence.
func (b *hopsBuilder) take(j *hopsJob) error {
	for i := range j.hops {
		h := &j.hops[i]
		if !b.begun || h.target != b.evidence.target {
			if err := b.write(); err != nil {
				return err
			}
			b.evidence.clear(h.target)
			b.begun = true
		}
		b.evidence.add(h, b.kind.Probe)
	}
	return nil
}

// write ends a target's evidence.
func (b *hopsBuilder) write() error {
	if !b.begun {
		return nil
	}
	b.buffer = b.evidence.appendTo(b.buffer[:0])
	_, err := b.out.Write(b.buffer)
	return err
}

// evidenceReader reads a file of evidence, a target at a time.
type evidenceReader struct {
	file    *os.File
	in      *bufio.Reader
	buffer  []byte
	current evidence
	ended   bool
}

func openEvidence(path string) (*evidenceReader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &evidenceReader{file: file, in: bufio.NewReaderSize(file, 256<<10)}
	return r, r.next()
}

func (r *evidenceReader) next() error {
	err := r.current.readFrom(r.in, &r.buffer)
	if err == io.EOF {
		r.ended, err = true, nil
	}
	return err
}

// target is whose evidence is next; not valid if there is none.
func (r *evidenceReader) target() netip.Addr {
	if r.ended {
		return netip.Addr{}
	}
	return r.current.target
}
