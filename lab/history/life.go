package history

import (
	"math/bits"
	"net/netip"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// life is what a target did in the months of the history.
type life struct {
	behaviour scenario.Behaviour
	present   uint64 // bit m is set if it was there in month m
	upgraded  int    // the first month with this behaviour, true-v0 before it; 0 for all others
}

// at is what a scan finds in a month.
func (l life) at(month int) scenario.Behaviour {
	switch {
	case l.present>>month&1 == 0:
		return scenario.Silent
	case month < l.upgraded:
		return scenario.TrueV0
	}
	return l.behaviour
}

// Presence says how often a target was there.
type Presence string

// The presences, by the months of the history alone.
const (
	Always    Presence = "always"
	Sometimes Presence = "sometimes"
	Once      Presence = "once"
)

func (l life) presence(months int) Presence {
	switch bits.OnesCount64(l.present) {
	case months:
		return Always
	case 1:
		return Once
	}
	return Sometimes
}

// How many of 100 targets came and went how. Chosen, not measured: so many that each way has hundreds of hosts in
// the default scenario, and true hosts are found in all of them.
const (
	goneShare    = 5  // silent addresses that once had a host
	upgradeShare = 25 // hosts of true-v1 that were of true-v0 at first
)

// way is one way to come and go, with its share of 100 targets.
type way struct {
	share uint64
	draw  func(months int, d *dice) (present uint64)
}

var (
	// hostWays are of those that are there after the history.
	hostWays = []way{{70, always}, {12, came}, {12, sometimes}, {6, once}}
	// goneWays are of those that are not.
	goneWays = []way{{40, left}, {30, sometimes}, {30, once}}
)

func always(months int, _ *dice) uint64 { return 1<<months - 1 }

// came and stayed.
func came(months int, d *dice) uint64 { return always(months, d) &^ left(months, d) }

// left was there from the beginning.
func left(months int, d *dice) uint64 { return 1<<(1+d.draw(uint64(months-1))) - 1 }

func once(months int, d *dice) uint64 { return 1 << d.draw(uint64(months)) }

// sometimes is two months or more, but not all: it left and came back. A history of two months has no room for it.
func sometimes(months int, d *dice) (present uint64) {
	if months < 3 {
		return once(months, d)
	}
	for n := 2 + int(d.draw(uint64(months-2))); bits.OnesCount64(present) < n; {
		present |= once(months, d)
	}
	return present
}

func drawWay(ways []way, d *dice) way {
	n := d.draw(100)
	for _, w := range ways {
		if n < w.share {
			return w
		}
		n -= w.share
	}
	panic("history: the shares do not add up to 100")
}

// life is the same whenever it is asked for.
func (p *population) life(a netip.Addr, port uint16) life {
	var d dice
	d.source.Seed(p.seed, p.Scenario.Traits(a, port))
	l := life{behaviour: p.home(a, port, &d)}
	switch {
	case churns(l.behaviour):
		l.present = drawWay(hostWays, &d).draw(p.months, &d)
	case l.behaviour != scenario.Silent:
		l.present = always(p.months, &d)
	case d.draw(100) < goneShare:
		l.behaviour = p.anyHost(scenario.FamilyOf(a), port, &d)
		l.present = drawWay(goneWays, &d).draw(p.months, &d)
	}
	if l.behaviour == scenario.TrueV1 && d.draw(100) < upgradeShare {
		// Without a month before it there is nothing to see of an upgrade.
		if month := 1 + int(d.draw(uint64(p.months-1))); l.present&(1<<month-1) != 0 {
			l.upgraded = month
		}
	}
	return l
}
