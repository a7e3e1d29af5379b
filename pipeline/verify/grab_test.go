package verify

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// TestPanic: what breaks in one connection is that connection's error.
func TestPanic(t *testing.T) {
	var none context.Context // on which dial panics, before a packet is sent
	g := grab(none, netip.MustParseAddrPort("127.0.0.1:1"), HTTP, TCP, 1, limits{time.Second, time.Second, 1024})
	if g.Outcome != OutcomeError || !strings.HasPrefix(g.Error, "decoding what the host sent: ") || g.Total <= 0 {
		t.Errorf("%+v", g)
	}
}

// TestNoTurnInTime: a connection whose turn would come after the end of the run is skipped at once.
func TestNoTurnInTime(t *testing.T) {
	bounded, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r := &run{limiter: rate.NewLimiter(rate.Every(time.Hour), 1)}
	r.ctx, r.stop = context.WithCancelCause(bounded)
	r.limiter.Allow()
	g := r.grab(netip.MustParseAddrPort("127.0.0.1:1"), MPTCP, 1)
	if g.Outcome != OutcomeSkipped || g.Error != errBound.Error() || g.Total != 0 {
		t.Errorf("%+v", g)
	}
	if cause := context.Cause(r.ctx); !errors.Is(cause, errBound) {
		t.Errorf("the run was stopped for %v", cause)
	}
}

// TestNotSent: of a host to which this machine has no route nothing is said.
func TestNotSent(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, address := range []string{"198.18.0.1", "2001:db8::1"} { // there is nothing but loopback
		for _, transport := range []string{MPTCP, TCP} {
			g := grab(context.Background(), netip.AddrPortFrom(netip.MustParseAddr(address), 80), HTTP, transport, 1, limits{time.Second, time.Second, 1024})
			if g.Outcome != OutcomeSkipped || !errors.Is(g.cause, unix.ENETUNREACH) || g.Connect.Valid {
				t.Errorf("%s by %s: %+v", address, transport, g)
			}
		}
	}
}
