// Package verify makes real connections to targets by the kernel's Multipath TCP, HTTP or HTTP over TLS,
// each with one of plain TCP beside it, and writes what came of them into the table `grabs`. A SYN-ACK
// with MP_CAPABLE, which is all that a scan sees, does not prove that a host speaks MPTCP; response bytes
// on a connection that is still MPTCP do.
//
// # The order of connections
//
// A run has rounds. In each, all targets take their turn, in an order drawn anew; a target's turn is a
// connection by MPTCP and one by TCP, whichever a coin says first. So neither transport has the warmer
// cache, and no host ever has two connections of ours at once.
//
// # What bounds a run
//
// A connection ends when its time is over, whatever the host does: no reading or writing goes on beyond
// an absolute deadline. So does the run: see [Params.Bound]. Of a response, no more is read than its
// limit, and nothing of it is kept but status and Server header. Targets are in a file, rows in another
// until the end: beside the connections themselves memory holds four bytes a target.
//
// # What must not be blamed on hosts
//
// The kernel turns MPTCP off for a whole network namespace when one host seems to swallow its SYNs
// ([CheckKernel]). A run begins only where that is off, and looks at the kernel's counters before it
// writes that a connection fell back: when they say that MPTCP was turned off meanwhile, the run ends,
// and what is left has rows `skipped`.
//
// A run that is interrupted leaves nothing in the dataset.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/targets"
)

// MinConnectTimeout is the least time to give to a connection: the kernel tries without MPTCP when the
// host has not answered several SYNs with it, which takes 3.1 s.
const MinConnectTimeout = 4 * time.Second

// Params say what a run does.
type Params struct {
	dataset.Partition // of the scan that is followed up

	Protocol       string // HTTP or TLS
	Rounds         int
	Connections    int           // at once
	Rate           int           // connections begun a second
	ConnectTimeout time.Duration // of one connection
	Timeout        time.Duration // of one connection from its begin to its end
	MaxResponse    int64         // bytes of a response, header included

	Targets     *targets.File // the blocklist is behind them
	Blocked     uint64        // targets that it left out
	ToolVersion string
	Arguments   []string // the options in effect, for the table `verifications`

	Progress func(done, all uint64) // connections; may be nil
}

// Bound is the longest that a run can take: the begins of all connections at the rate, then, of every
// round, all turns one after the other as far as they are not made at once, the last beginning when all
// others but its neighbours are over.
func (p Params) Bound() time.Duration {
	pace := time.Duration(p.connections()) * time.Second / time.Duration(p.Rate)
	turns := (p.Targets.Count + uint64(p.Connections) - 1) / uint64(p.Connections)
	return pace + time.Duration(p.Rounds)*time.Duration(turns+1)*2*(p.Timeout+overtime)
}

// overtime is what a connection may take beyond its timeout: its begin and end on a busy machine, and the
// arithmetic of a certificate.
const overtime = 100 * time.Millisecond

func (p Params) connections() uint64 { return p.Targets.Count * 2 * uint64(p.Rounds) }

// Result is what was done.
type Result struct {
	ID         string // of the verification
	Rows       uint64
	Skipped    uint64 // of them
	Blackholes uint64
	// Stopped says why the run ended before its end: it has rows `skipped` then.
	Stopped error
}

// run is a run in the making.
type run struct {
	Params
	watch   watch
	limiter *rate.Limiter
	rows    chan Grab
	done    atomic.Uint64 // connections

	ctx   context.Context // ends with the run
	stop  context.CancelCauseFunc
	asked context.Context // ends when nobody wants the run any more
}

// connect makes all connections; what came of each goes to rows, which it closes in the end.
func (r *run) connect() {
	defer close(r.rows)
	order := make([]uint32, r.Targets.Count)
	for i := range order {
		order[i] = uint32(i)
	}
	for round := 1; round <= r.Rounds; round++ {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		r.round(round, order)
	}
}

// round gives each target its turn.
func (r *run) round(round int, order []uint32) {
	var next atomic.Uint64
	var workers sync.WaitGroup
	for range min(r.Connections, len(order)) {
		workers.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= uint64(len(order)) || r.abandoned() {
					return
				}
				r.turn(round, order[i])
			}
		})
	}
	workers.Wait()
}

// abandoned says whether there will be no result, for which rows would be needed.
func (r *run) abandoned() bool {
	var broken fatal
	return r.asked.Err() != nil || errors.As(context.Cause(r.ctx), &broken)
}

// turn makes a target's two connections of a round.
func (r *run) turn(round int, place uint32) {
	address, err := r.Targets.At(uint64(place))
	if err != nil {
		r.stop(fatal{err})
		return
	}
	transports := []string{MPTCP, TCP}
	if rand.IntN(2) == 0 {
		transports[0], transports[1] = transports[1], transports[0]
	}
	for _, transport := range transports {
		g := r.grab(netip.AddrPortFrom(address, r.Port), transport, round)
		g.place = place
		r.rows <- g
		r.done.Add(1)
	}
}

// grab makes one connection, or says that it was not made.
func (r *run) grab(host netip.AddrPort, transport string, round int) Grab {
	began := time.Now()
	if err := r.limiter.Wait(r.ctx); err != nil {
		r.stop(errBound) // no effect if the run is over; else its time is, before this one's turn
		return r.skipped(host, transport, round, began)
	}
	g := grab(r.ctx, host, r.Protocol, transport, round, limits{r.ConnectTimeout, r.Timeout, r.MaxResponse})
	doubtful := transport == MPTCP && r.doubtful(g)
	if r.ctx.Err() != nil && g.Outcome != OutcomeOK || doubtful {
		return r.skipped(host, transport, round, g.Began)
	}
	return g
}

// doubtful says whether this machine may be to blame for a connection without MPTCP; it ends the run then.
func (r *run) doubtful(g Grab) bool {
	switch {
	case errors.Is(g.cause, errNoMPTCP):
		r.stop(fmt.Errorf("%w: it was turned off while verify ran", errNoMPTCP))
		return true
	case errors.Is(g.cause, errOldKernel):
		r.stop(fatal{g.cause})
		return true
	case g.Fallback == "":
		return false
	}
	rise, err := r.watch.since()
	if err != nil {
		r.stop(fatal{err})
		return true
	}
	if rise.disturbed() {
		r.stop(fmt.Errorf("the kernel turned MPTCP off while verify ran (MPTcpExt: %s +%d, %s +%d): see that net.mptcp.blackhole_timeout is 0 and stays so",
			blackholeCounter, rise.blackholes, disabledCounter, rise.disabled))
	}
	return rise.disturbed()
}

func (r *run) skipped(host netip.AddrPort, transport string, round int, began time.Time) Grab {
	g := Grab{Target: host.Addr(), Protocol: r.Protocol, Transport: transport, Round: round, Began: began}
	g.fail(OutcomeSkipped, context.Cause(r.ctx))
	return g
}

// fatal is a cause to end the run without a result.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

var errBound = errors.New("the run's time is over")

// Validate says what of the parameters makes no sense.
func (p Params) Validate() error {
	switch {
	case p.Protocol != HTTP && p.Protocol != TLS:
		return fmt.Errorf("protocol %q: it is %s or %s", p.Protocol, HTTP, TLS)
	case p.Rounds < 1 || p.Rounds > 1000:
		return fmt.Errorf("%d rounds: 1 to 1000", p.Rounds)
	case p.Connections < 1 || p.Connections > 10_000:
		return fmt.Errorf("%d connections at once: 1 to 10000", p.Connections)
	case p.Rate < 1 || p.Rate > 100_000:
		return fmt.Errorf("%d connections a second: 1 to 100000", p.Rate)
	case p.ConnectTimeout <= 0 || p.Timeout < p.ConnectTimeout || p.Timeout > time.Hour:
		return fmt.Errorf("a connection has %v, and %v to be established: more than nothing, an hour at most, and the first no less than the second", p.Timeout, p.ConnectTimeout)
	case p.MaxResponse < 1024 || p.MaxResponse > 1<<30:
		return fmt.Errorf("responses of %d bytes: 1 KiB to 1 GiB", p.MaxResponse)
	}
	return nil
}

// quiet keeps libraries from writing what hosts send to the terminal.
var quiet = sync.OnceFunc(func() {
	logrus.SetOutput(io.Discard)
	log.SetOutput(io.Discard)
})
