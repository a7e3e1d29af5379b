package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// icmpv6TimeExceeded and icmpTimeExceeded: RFC 4443 §3.3, RFC 792.
const (
	icmpTimeExceeded   = 11
	icmpv6TimeExceeded = 3
)

// tally counts hops that scamper saw.
type tally struct {
	what      string
	same      int
	different []string // what scamper says, and what we say
	oursOnly  int      // scamper has nobody there
	itsOnly   int      // we have nobody there
}

// agreement is how scamper's hops and ours agree.
type agreement struct{ simulated, chains tally }

// compareSimulated compares the hops of simulated paths, but for those where two routers share the packets or a
// router answers by chance.
func (a *agreement) compareSimulated(ours map[place][]netip.Addr, traces []scamperTrace) {
	a.simulated.what = "simulated paths"
	paths := scenario.Default()
	a.simulated.compare(ours, traces, func(at place) bool {
		path := paths.Path(at.target, 443)
		if at.ttl > path.Hops {
			return true // nobody's: whoever answers there is wrong
		}
		router := path.Router(at.ttl)
		return !router.Other.IsValid() && router.Quote != scenario.QuoteLimited
	})
}

// compare compares the hops of traces at the places that say always the same.
func (t *tally) compare(ours map[place][]netip.Addr, traces []scamperTrace, steady func(place) bool) {
	seen := make(map[place]bool)
	traced := make(map[netip.Addr]bool)
	for _, trace := range traces {
		traced[trace.Dst] = true
		for _, hop := range trace.Hops {
			at := place{trace.Dst, hop.ProbeTTL}
			exceeded := hop.ICMPType != nil && (*hop.ICMPType == icmpTimeExceeded || hop.Addr.Is6() && *hop.ICMPType == icmpv6TimeExceeded)
			if !exceeded || seen[at] || !steady(at) {
				continue
			}
			seen[at] = true
			switch routers := ours[at]; {
			case len(routers) == 0:
				t.itsOnly++
			case slices.Equal(routers, []netip.Addr{hop.Addr}):
				t.same++
			default:
				t.different = append(t.different, fmt.Sprintf("%s at hop %d: scamper %s, mpcensus %v", at.target, at.ttl, hop.Addr, routers))
			}
		}
	}
	for at := range ours {
		if traced[at.target] && !seen[at] && steady(at) {
			t.oursOnly++
		}
	}
}

// compareChains traces the hosts behind the lab's real routers, both ways.
func (l *lab) compareChains(ctx context.Context, dir string, a *agreement) error {
	a.chains.what = "chains of real routers"
	for i, family := range scenario.Families {
		var hosts []netip.Addr
		var names []string
		for _, chain := range scenario.Chains {
			hosts = append(hosts, chain.Addrs()[i])
			names = append(names, chain.Addrs()[i].String())
		}
		census := filepath.Join(dir, "chains-"+family)
		if err := l.trace(ctx, census, family, names...); err != nil {
			return err
		}
		ours, err := l.hops(ctx, census, hosts)
		if err != nil {
			return err
		}
		warts := filepath.Join(dir, "chains-"+family+".warts")
		if err := l.scamper(ctx, warts, hosts); err != nil {
			return err
		}
		traces, err := readWarts(ctx, warts)
		if err != nil {
			return err
		}
		a.chains.compare(ours, traces, func(at place) bool {
			chain, _ := scenario.ChainAt(at.target)
			return at.ttl > len(chain.Routers) || chain.Routers[at.ttl-1].Other == nil
		})
	}
	return nil
}

// report prints how many hops agree; that any does not is an error.
func (a *agreement) report(w io.Writer) error {
	var wrong []error
	for _, t := range []*tally{&a.simulated, &a.chains} {
		fmt.Fprintf(w, "hop addresses, %s: %d the same, %d different; %d only of ours, %d only of scamper's\n",
			t.what, t.same, len(t.different), t.oursOnly, t.itsOnly)
		for _, line := range t.different[:min(10, len(t.different))] {
			fmt.Fprintln(w, "  ", line)
		}
		if t.same == 0 || len(t.different) > 0 {
			wrong = append(wrong, fmt.Errorf("%s: %d hop addresses differ from scamper's, %d are the same", t.what, len(t.different), t.same))
		}
	}
	return errors.Join(wrong...)
}
