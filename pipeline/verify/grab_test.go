package verify

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestPanic: what breaks in one connection is that connection's error.
func TestPanic(t *testing.T) {
	var none context.Context // on which dial panics, before a packet is sent
	g := grab(none, netip.MustParseAddrPort("127.0.0.1:1"), HTTP, TCP, 1, limits{time.Second, time.Second, 1024})
	if g.Outcome != OutcomeError || !strings.HasPrefix(g.Error, "decoding what the host sent: ") || g.Total <= 0 {
		t.Errorf("%+v", g)
	}
}
