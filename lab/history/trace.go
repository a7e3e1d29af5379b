package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/mpcensus/mpcensus/lab/responder"
	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/lab/scenario"
	"github.com/mpcensus/mpcensus/lab/truth"
)

// TraceParams describes the traces of a history.
type TraceParams struct {
	Params            // of the history
	FirstTTL, LastTTL uint8
	All               bool // trace who was there, not only who was potential
}

// maxTTL is the greatest that the module sends.
const maxTTL = 64

// Check says what is wrong with the parameters.
func (p *TraceParams) Check() error {
	if p.FirstTTL < 1 || p.LastTTL < p.FirstTTL || p.LastTTL > maxTTL {
		return fmt.Errorf("TTLs %d to %d: they are from 1 to %d, the least first", p.FirstTTL, p.LastTTL, maxTTL)
	}
	return p.Params.Check()
}

// WriteTraces writes into a folder, which must be empty or not exist, what traces of the history's hosts print: for
// each scan DATE-FAMILY-PORT-PROBE-trace.json.zst and the plain control of the same targets,
// DATE-FAMILY-PORT-PROBE-control.json.zst.
func WriteTraces(ctx context.Context, dir string, p TraceParams) (Summary, error) {
	if err := p.Check(); err != nil {
		return Summary{}, err
	}
	if err := makeEmpty(dir); err != nil {
		return Summary{}, err
	}
	w := writer{params: p.Params, population: newPopulation(&p.Params)}
	var jobs []func(context.Context) error
	for month := range p.Months {
		for _, s := range w.scans(month) {
			for _, t := range []trace{
				{scan: s, TraceParams: p, kind: "control", sent: rows.Plain, start: s.start.Add(controlAfter)},
				{scan: s, TraceParams: p, kind: "trace", sent: s.probe, start: s.start.Add(traceAfter)},
			} {
				jobs = append(jobs, func(ctx context.Context) error { return w.trace(ctx, dir, t) })
			}
		}
	}
	err := inParallel(ctx, jobs)
	return w.summary, err
}

// trace is one file.
type trace struct {
	scan
	TraceParams
	kind  string
	sent  string // what its SYNs carry
	start time.Time
}

// When a trace begins, after its scan: on the same day.
const (
	controlAfter = 6 * time.Hour
	traceAfter   = 8 * time.Hour
)

func (t *trace) name() string {
	return fmt.Sprintf("%s-%s-%d-%s-%s.json.zst", t.scan.start.Format(time.DateOnly), t.family, t.port, t.probe, t.kind)
}

var errNobodyToTrace = errors.New("no target was potential: take more of them")

// trace writes the file of a trace.
func (w *writer) trace(ctx context.Context, dir string, t trace) error {
	hosts := w.traced(&t)
	if len(hosts) == 0 {
		return fmt.Errorf("%s: %w", t.name(), errNobodyToTrace)
	}
	return truth.Whole(filepath.Join(dir, t.name()), func(out io.Writer) error {
		compressor, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		n, err := w.traceRows(ctx, compressor, &t, hosts)
		w.add(1, n, uint64(len(hosts)))
		return errors.Join(err, compressor.Close())
	})
}

// host is a target as it was in a month.
type host struct {
	target    netip.Addr
	behaviour scenario.Behaviour
}

// traced are the targets of a trace.
func (w *writer) traced(t *trace) (hosts []host) {
	for target := range w.population.addresses(t.family) {
		b := w.population.life(target, t.port).at(t.month)
		if b.Verdict(probeOf[t.probe]) == scenario.Potential || t.All && b != scenario.Silent {
			hosts = append(hosts, host{target, b})
		}
	}
	return hosts
}

// traceRows probes all hosts with all TTLs, in random order over both, and writes what comes back.
func (w *writer) traceRows(ctx context.Context, out io.Writer, t *trace, hosts []host) (written uint64, err error) {
	random := rand.New(rand.NewPCG(w.params.Seed, ^t.number<<8|uint64(probeOf[t.sent])))
	now, began := t.start, w.params.date(0)
	population := responder.NewPopulation(w.params.Scenario, random.Uint64(), func() time.Duration { return now.Sub(began) })
	tracer := tracer{trace: *t, scanner: rows.Scanner(t.family), tsValue: random.Uint32(), secret: random.Uint64(), random: random}
	ttls := int(t.LastTTL - t.FirstTTL + 1)
	var buffer []byte
	syn, reply := make([]byte, 0, frameRoom), make([]byte, 0, frameRoom)
	for n, index := range random.Perm(len(hosts) * ttls) {
		host := hosts[index/ttls]
		var row rows.Row
		syn, row = tracer.ask(syn[:0], host.target, t.FirstTTL+uint8(index%ttls))
		var copies int
		if reply, copies, err = population.AnswerOnPath(reply[:0], syn, host.behaviour); err != nil {
			return written, fmt.Errorf("our SYN %x: %w", syn, err)
		}
		if copies > 0 {
			readReply(&row, reply)
		}
		for range copies {
			now = now.Add(time.Duration(random.Int64N(int64(2*meanGap/time.Microsecond)+1)) * time.Microsecond)
			row.Time = now
			buffer = row.AppendTo(buffer)
			row.Repeat = true
			written++
		}
		if n%(1<<10) == 0 {
			if err := ctx.Err(); err != nil {
				return written, err
			}
		}
		if len(buffer) < writeSize {
			continue
		}
		if _, err := out.Write(buffer); err != nil {
			return written, err
		}
		buffer = buffer[:0]
	}
	_, err = out.Write(buffer)
	return written, err
}

// tracer makes the SYNs of a trace.
type tracer struct {
	trace
	scanner netip.Addr
	tsValue uint32 // of all our SYNs, as the module has it
	secret  uint64 // determines what all SYNs to a target share
	random  *rand.Rand
}

// ask appends to frame the SYN to a target with a TTL, and begins the row of its answer. Source port and key are the
// target's at every TTL; the label is the target's, with the TTL added.
func (t *tracer) ask(frame []byte, target netip.Addr, ttl uint8) ([]byte, rows.Row) {
	own := rand.New(rand.NewPCG(t.secret, t.Scenario.Traits(target, t.port)))
	syn := rows.SYN{
		Source: t.scanner, Target: target, SourcePort: 1<<15 | uint16(own.Uint32()), TargetPort: t.port,
		Seq: t.random.Uint32(), TSValue: t.tsValue, HopLimit: ttl, Label: own.Uint32() + uint32(ttl), Probe: t.sent,
	}
	if t.sent == rows.V0 {
		syn.Key = rows.Weight16(own)
	}
	frame = appendFrame(frame, t.family, &syn)
	row := answerTo(&syn)
	row.ProbeTTL, row.Sent = ttl, frame[etherBytes:]
	return frame, row
}
