package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/mpcensus/mpcensus/lab/responder"
	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/lab/scenario"
	"github.com/mpcensus/mpcensus/lab/truth"
)

// scan is one file.
type scan struct {
	month  int
	family string
	port   uint16
	probe  string
	start  time.Time
	number uint64 // no other scan of any history has it, the seed apart
}

// timeOfDay is when scans begin.
const timeOfDay = 8*time.Hour + 15*time.Minute

// scans are those of a month.
func (w *writer) scans(month int) (all []scan) {
	p := &w.params
	for _, family := range p.Families {
		for _, port := range p.Ports {
			for _, probe := range p.Probes {
				number := uint64(month)<<32 | uint64(slices.Index(scenario.Families, family))<<24 | uint64(probeOf[probe])<<16 | uint64(port)
				all = append(all, scan{month, family, port, probe, p.date(month).Add(timeOfDay), number})
			}
		}
	}
	return all
}

var probeOf = map[string]scenario.Probe{rows.V0: scenario.V0, rows.V1: scenario.V1}

func (s *scan) name() string {
	return fmt.Sprintf("%s-%s-%d-%s.json.zst", s.start.Format(time.DateOnly), s.family, s.port, s.probe)
}

var errNoRows = errors.New("no target answers: take more of them")

// scan writes the file of a scan.
func (w *writer) scan(ctx context.Context, dir string, s scan) error {
	return truth.Whole(filepath.Join(dir, s.name()), func(out io.Writer) error {
		// One goroutine, as other scans have the other processors.
		compressor, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		n, err := w.rows(ctx, compressor, s)
		if err := errors.Join(err, compressor.Close()); err != nil {
			return err
		}
		if n == 0 {
			return errNoRows
		}
		w.add(1, n, 0)
		return nil
	})
}

const (
	// meanGap is the mean time between replies: 10,000 a second.
	meanGap = 100 * time.Microsecond
	// writeSize is how many bytes are written at once, about.
	writeSize = 1 << 18
	// frameRoom holds every frame that a reply without data can have, so that it is allocated once.
	frameRoom = 256
)

// rows probes all targets and writes what comes back.
func (w *writer) rows(ctx context.Context, out io.Writer, s scan) (written uint64, err error) {
	random := rand.New(rand.NewPCG(w.params.Seed, s.number))
	now := s.start
	began := w.params.date(0)
	hosts := responder.NewPopulation(w.params.Scenario, random.Uint64(), func() time.Duration { return now.Sub(began) })
	probe := prober{scan: s, scanner: rows.Scanner(s.family), tsValue: random.Uint32(), random: random}
	var buffer []byte
	syn, reply := make([]byte, 0, frameRoom), make([]byte, 0, frameRoom)
	for target := range w.population.addresses(s.family) {
		behaviour := w.population.life(target, s.port).at(s.month)
		if behaviour.Verdict(probeOf[s.probe]) == scenario.NoRow {
			continue
		}
		var row rows.Row
		syn, row = probe.ask(syn[:0], target)
		var copies int
		if reply, copies, err = hosts.Answer(reply[:0], syn, behaviour); err != nil {
			return written, fmt.Errorf("our SYN %x: %w", syn, err)
		}
		readReply(&row, reply)
		for range copies {
			now = now.Add(time.Duration(random.Int64N(int64(2*meanGap/time.Microsecond)+1)) * time.Microsecond)
			row.Time = now
			buffer = row.AppendTo(buffer)
			row.Repeat = true
			written++
		}
		if len(buffer) < writeSize {
			continue
		}
		if err := ctx.Err(); err != nil {
			return written, err
		}
		if _, err := out.Write(buffer); err != nil {
			return written, err
		}
		buffer = buffer[:0]
	}
	_, err = out.Write(buffer)
	return written, err
}

// prober makes the SYNs of a scan.
type prober struct {
	scan
	scanner netip.Addr
	tsValue uint32 // of all our SYNs, as the module has it
	random  *rand.Rand
}

// etherType by family, after two addresses that nobody looks at: RFC 894, RFC 2464 §3.
var etherType = map[string]string{rows.IPv4: "\x08\x00", rows.IPv6: "\x86\xdd"}

// ask appends to frame the SYN to a target, and begins the row of its answer.
func (p *prober) ask(frame []byte, target netip.Addr) ([]byte, rows.Row) {
	syn := rows.SYN{
		Source: p.scanner, Target: target, SourcePort: 1<<15 | uint16(p.random.Uint32()), TargetPort: p.port,
		Seq: p.random.Uint32(), TSValue: p.tsValue, HopLimit: 64, Probe: p.probe,
	}
	if p.probe == rows.V0 {
		syn.Key = rows.Weight16(p.random)
	}
	frame = appendFrame(frame, p.family, &syn)
	return frame, answerTo(&syn)
}

// appendFrame adds a SYN in its Ethernet frame.
func appendFrame(frame []byte, family string, syn *rows.SYN) []byte {
	frame = append(append(frame, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01"...), etherType[family]...)
	return syn.AppendTo(frame)
}

// answerTo begins the row of the answer to a SYN.
func answerTo(syn *rows.SYN) rows.Row {
	return rows.Row{
		Target: syn.Target, Scanner: syn.Source, TargetPort: syn.TargetPort, ScannerPort: syn.SourcePort,
		Probe: syn.Probe, SentKey: syn.Key,
	}
}
