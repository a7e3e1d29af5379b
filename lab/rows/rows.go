// Package rows writes what ZMap 4 prints with our probe module after a scan of the Internet that never
// took place: rows for benchmarks and fault tests. lab/history prints its own replies with it.
//
// The same Params give the same bytes on every machine.
package rows

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Probes and families that a scan can have.
const (
	V0   = "v0"   // MP_CAPABLE of RFC 6824, with a key of weight 16 for each target
	V1   = "v1"   // MP_CAPABLE of RFC 8684
	IPv4 = "ipv4" // one address after the other, as ZMap permutes them
	IPv6 = "ipv6" // of an invented hitlist
)

// Plain is the control of a trace, without MP_CAPABLE.
const Plain = "plain"

// MaxRows is how many different targets there are.
const MaxRows = 1 << 32

// Params describes the scan.
type Params struct {
	Rows   uint64
	Probe  string // V0 or V1
	Family string // IPv4 or IPv6
	Port   uint16 // of the targets
	Seed   uint64

	// Rejects is the share, 0 to below 1, of lines that are no rows. They stand between the rows,
	// which are the same without them.
	Rejects float64
}

// Check says what is wrong with the parameters.
func (p Params) Check() error {
	switch {
	case p.Rows > MaxRows:
		return fmt.Errorf("%d rows: there are at most %d", p.Rows, uint64(MaxRows))
	case p.Probe != V0 && p.Probe != V1:
		return fmt.Errorf("probe %q: it is %s or %s", p.Probe, V0, V1)
	case p.Family != IPv4 && p.Family != IPv6:
		return fmt.Errorf("family %q: it is %s or %s", p.Family, IPv4, IPv6)
	case p.Port == 0:
		return fmt.Errorf("port 0: a TCP port is 1 to 65535")
	case !(p.Rejects >= 0 && p.Rejects < 1):
		return fmt.Errorf("rejects %v: a share is 0 to below 1", p.Rejects)
	}
	return nil
}

// Scanner is where scans of a family are made from: an address of RFC 5737 or RFC 3849, for documentation.
func Scanner(family string) netip.Addr {
	if family == IPv4 {
		return netip.AddrFrom4([4]byte{198, 51, 100, 7})
	}
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 7})
}

// writeSize is how many bytes are written at once, about.
const writeSize = 1 << 18

// scan is the state of Write.
type scan struct {
	params  Params
	random  *rand.Rand
	scanner netip.Addr
	tsValue uint32 // of all our SYNs, as the module has it
	targets *Permutation
	now     time.Duration // since scanStart
	recent  []reply       // SYN-ACKs of which one may be repeated
	buffer  []byte
}

// Write writes the rows, and the lines that are no rows, to w. It holds no more than a few hundred kilobytes.
func Write(ctx context.Context, w io.Writer, p Params) error {
	if err := p.Check(); err != nil {
		return err
	}
	s := newScan(p)
	// A stream of its own, so that the rows do not depend on it.
	rejects := rand.New(rand.NewPCG(p.Seed, 2))
	for i := range p.Rows {
		for rejects.Float64() < p.Rejects {
			s.buffer = appendReject(s.buffer, rejects)
		}
		r := s.next(i)
		row := r.row(s)
		s.buffer = row.AppendTo(s.buffer)
		if len(s.buffer) < writeSize {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := w.Write(s.buffer); err != nil {
			return err
		}
		s.buffer = s.buffer[:0]
	}
	_, err := w.Write(s.buffer)
	return err
}

func newScan(p Params) *scan {
	random := rand.New(rand.NewPCG(p.Seed, 1))
	return &scan{
		params:  p,
		random:  random,
		scanner: Scanner(p.Family),
		tsValue: random.Uint32(),
		targets: NewPermutation(random),
	}
}
