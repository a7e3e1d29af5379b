package history

import (
	"iter"
	"math/rand/v2"
	"net/netip"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/lab/scenario"
)

// population are the targets of a history. What it says of one follows from the seeds, so that it keeps nothing
// about them, however many they are.
type population struct {
	*scenario.Scenario
	seed    uint64
	months  int
	targets int // invented ones of each family; 0: the scenario's
	shares  map[lot]shares
}

// lot is a family and a port, as each has its own behaviours in a scenario.
type lot struct {
	family string
	port   uint16
}

// shares count the addresses of a lot, by behaviour.
type shares struct {
	counts   [scenario.Behaviours]uint64
	all      uint64
	churning uint64
}

func newPopulation(p *Params) *population {
	population := &population{
		Scenario: p.Scenario, seed: p.Seed, months: p.Months, targets: p.Targets, shares: make(map[lot]shares),
	}
	for _, port := range p.Ports {
		for a := range p.Scenario.Addresses {
			of := lot{scenario.FamilyOf(a), port}
			s := population.shares[of]
			b := p.Scenario.Behaviour(a, port)
			s.counts[b]++
			s.all++
			if churns(b) {
				s.churning++
			}
			population.shares[of] = s
		}
	}
	return population
}

// addresses are the targets of a family, in the order of every scan.
func (p *population) addresses(family string) iter.Seq[netip.Addr] {
	if p.targets > 0 {
		return p.invented(family)
	}
	return func(yield func(netip.Addr) bool) {
		for a := range p.Scenario.Addresses {
			if scenario.FamilyOf(a) == family && !yield(a) {
				return
			}
		}
	}
}

// invented are addresses as ZMap permutes them, and lab/rows has them.
func (p *population) invented(family string) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		order := rows.NewPermutation(rand.New(rand.NewPCG(p.seed, 1)))
		var source rand.PCG
		random := rand.New(&source)
		for range p.targets {
			n := order.Next()
			source.Seed(p.seed, uint64(n)|1<<32)
			if !yield(rows.Address(family, n, random)) {
				return
			}
		}
	}
}

// home is what a target does after the history.
func (p *population) home(a netip.Addr, port uint16, d *dice) scenario.Behaviour {
	if p.targets == 0 {
		return p.Scenario.Behaviour(a, port)
	}
	of := p.shares[lot{scenario.FamilyOf(a), port}]
	n := d.draw(of.all)
	for b, count := range of.counts {
		if n < count {
			return scenario.Behaviour(b)
		}
		n -= count
	}
	panic("history: the counts do not add up")
}

// anyHost is a behaviour of a host that comes and goes, with the shares that they have.
func (p *population) anyHost(family string, port uint16, d *dice) scenario.Behaviour {
	of := p.shares[lot{family, port}]
	n := d.draw(of.churning)
	for b, count := range of.counts {
		if !churns(scenario.Behaviour(b)) {
			continue
		}
		if n < count {
			return scenario.Behaviour(b)
		}
		n -= count
	}
	panic("history: the counts do not add up")
}

// churns tells who comes and goes: all that answer a plain SYN with a SYN-ACK. What is closed or filtered is
// always so.
func churns(b scenario.Behaviour) bool { return b.Verdict(scenario.Plain) == scenario.NoMPTCP }

// dice are random numbers that belong to a target on a port.
type dice struct{ source rand.PCG }

// draw is a number below n. (The modulo's bias is below 2^-30 for all that is drawn here.)
func (d *dice) draw(n uint64) uint64 { return d.source.Uint64() % n }
