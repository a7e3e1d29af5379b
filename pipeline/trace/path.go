package trace

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Findings: values of `paths`.finding.
const (
	FindingControl        = "control"
	FindingAnsweredNearer = "answered-nearer"
	FindingRemoved        = "removed"
	FindingChanged        = "changed"
	FindingDropped        = "dropped"
	FindingInconsistent   = "inconsistent"
	FindingKept           = "kept"
	FindingNotQuoted      = "not-quoted"
	FindingNoAnswer       = "no-answer"
)

// Findings are all of them.
var Findings = []string{
	FindingAnsweredNearer, FindingRemoved, FindingChanged, FindingDropped, FindingInconsistent,
	FindingKept, FindingNotQuoted, FindingNoAnswer, FindingControl,
}

// none is no TTL, where one is NULL: no packet is sent with it.
const none = 0

// path is a row of `paths`; TTLs of none, and addresses that are not valid, are NULL.
type path struct {
	target       netip.Addr
	last         uint8
	answered     uint8
	quoted       uint8
	furthest     uint8
	reached      bool
	answer       string
	answerTTL    uint8
	answerMPTCP  mptcp.Presence
	controlTTL   uint8
	finding      string
	placed       bool // the next two are not NULL
	after, by    uint8
	afterRouter  netip.Addr
	byRouter     netip.Addr
	changes      []string
	nat          bool
	seqRewritten bool
	loadBalanced bool
	routers      []string
}

// maxChance is the greatest chance that what is concluded of a path from answers that did not come is the work of lost
// packets. A trace may have a million paths.
const maxChance = 1e-6

// maxPlaceChance is the same for the place of a box that drops, of which there are few, and which is known to be there.
const maxPlaceChance = 1e-3

// span is the TTLs that a run probed.
type span struct{ first, last uint8 }

// judge makes the path of a probe to a target of what came back, and of what came back of the control; nil if the
// trace has none.
//
// # What does not depend on loss
//
// That a quote shows the option changed or removed. Once it is, all hops behind must show it too: if one shows it as
// sent, or two routers at one TTL differ, the packets took different paths, and the finding is `inconsistent`.
//
// # What does
//
// `answered-nearer` needs more than a lesser TTL, for the control's answer at that TTL may have been lost. At the TTL
// of the answer, or above, the control met a router that says that its TTL ran out: it went further. Or all of the
// control's answers between the two are missing, and loss does not explain it: see [loss]. Paths of different lengths,
// between which routers choose packet by packet, are excluded where they show: a router at two TTLs, or Time Exceeded
// from beyond the answer.
//
// `dropped` needs that the control reached the host, that no answer to the probe came from the host or from any hop
// beyond `after_hop`, and that loss does not explain that as many are missing as there are TTLs from the host on.
// `by_hop` is the hop from which on the same holds, with a chance below maxPlaceChance, of the routers that answered the
// control; at the latest the host.
func judge(e, control *evidence, probe string, ttls, controlTTLs span, l loss) path {
	p := path{target: e.target, last: ttls.last}
	p.count(e, ttls)
	p.describe(e)
	p.loadBalanced = balanced(e, control)
	if _, ok := tracked(probe); !ok {
		p.finding = FindingControl
		return p
	}
	if control != nil {
		p.controlTTL = control.least(sawHost)
	}
	p.conclude(e, control, controlTTLs, l)
	p.findRouters(e, control)
	return p
}

// count fills in how far the probes came.
func (p *path) count(e *evidence, ttls span) {
	for ttl := range e.hops {
		seen := e.hops[ttl].seen
		if seen&sawRouter != 0 {
			p.answered++
			p.furthest = uint8(ttl)
		}
		if seen&sawOptions != 0 {
			p.quoted++
		}
	}
	for _, end := range []struct {
		answer string
		seen   uint16
	}{{"synack", sawSYNACK}, {"rst", sawRST}, {"unreachable", sawUnreachable}} {
		if p.answerTTL = e.least(end.seen); p.answerTTL != none {
			p.answer = end.answer
			p.reached = end.seen&sawHost != 0
			break
		}
	}
	if p.answer == "synack" {
		p.answerMPTCP = e.mptcp
	}
	for ttl := ttls.first; ttl <= p.furthest; ttl++ {
		p.routers = append(p.routers, routersText(e.hops[ttl].routers))
	}
}

func routersText(routers []netip.Addr) string {
	if len(routers) == 0 {
		return "*"
	}
	var text []string
	for _, r := range routers {
		text = append(text, r.String())
	}
	return strings.Join(text, ",")
}

// describe fills in what quotes show.
func (p *path) describe(e *evidence) {
	changes := slices.Clone(e.changes)
	slices.SortStableFunc(changes, func(a, b change) int { return int(a.first) - int(b.first) })
	for _, c := range changes {
		p.changes = append(p.changes, c.text(e.target.Is6()))
		switch c.field {
		case IPSource, IPDestination, TCPSourcePort, TCPDestinationPort:
			p.nat = true
		case TCPSeq:
			p.seqRewritten = true
		}
	}
}

// text reads: tcp_source_port: 40000 → 1024, hops 3–9.
func (c *change) text(ipv6 bool) string {
	name, from, to := "opt_added", "none", ""
	switch {
	case c.field == numFields:
		to = kindsText(c.to)
	case c.removed:
		name, from, to = c.field.String(), c.field.text(c.from, ipv6), "removed"
	default:
		name, from, to = c.field.String(), c.field.text(c.from, ipv6), c.field.text(c.to, ipv6)
	}
	hops := fmt.Sprintf("hop %d", c.first)
	if c.last != c.first {
		hops = fmt.Sprintf("hops %d–%d", c.first, c.last)
	}
	return fmt.Sprintf("%s: %s → %s, %s", name, from, to, hops)
}

// balanced says whether different routers answered at one TTL.
func balanced(e, control *evidence) bool {
	for ttl := range e.hops {
		routers := e.hops[ttl].routers
		if len(routers) > 1 {
			return true
		}
		if control == nil {
			continue
		}
		if others := control.hops[ttl].routers; len(others) > 1 || len(others) == 1 && len(routers) == 1 && others[0] != routers[0] {
			return true
		}
	}
	return false
}

// conclude finds out what became of the option, and where.
func (p *path) conclude(e, control *evidence, controlTTLs span, l loss) {
	box := e.least(sawBox)
	contradicted := box != none && e.greatest(sawKept) >= box
	switch {
	case control != nil && p.answeredNearer(e, control, controlTTLs, l):
		p.place(FindingAnsweredNearer, e.greatestBelow(sawRouter, e.least(sawHost)), e.least(sawHost))
	case box != none && !contradicted && e.hops[box].seen&sawRemoved != 0:
		p.place(FindingRemoved, e.greatest(sawKept), box)
	case box != none && !contradicted:
		p.place(FindingChanged, e.greatest(sawKept), box)
	case control != nil && p.dropped(e, control, controlTTLs, l):
		p.place(FindingDropped, e.greatest(sawRouter), p.droppedBy(e, control, min(p.last, controlTTLs.last)))
	case contradicted:
		p.finding = FindingInconsistent
	case e.least(sawKept|sawKeptAtEnd) != none:
		p.finding = FindingKept
	case p.answered > 0 || p.answer != "":
		p.finding = FindingNotQuoted
	default:
		p.finding = FindingNoAnswer
	}
}

func (p *path) place(finding string, after, by uint8) {
	p.finding, p.placed, p.after, p.by = finding, true, after, by
}

// answeredNearer is explained at judge.
func (p *path) answeredNearer(e, control *evidence, controlTTLs span, l loss) bool {
	nearer, further := e.least(sawHost), p.controlTTL
	if nearer == none || further == none || nearer >= further {
		return false
	}
	if e.greatest(sawRouter) >= nearer || control.greatest(sawRouter) >= further || routerTwice(e, control) {
		return false // the paths differ in length
	}
	for ttl := nearer; ttl < further; ttl++ {
		if control.hops[ttl].seen&sawRouter != 0 {
			return true
		}
	}
	return l.explains(int(further-nearer), control, span{further, controlTTLs.last}) < maxChance
}

// routerTwice says whether a router answered at two TTLs.
func routerTwice(e, control *evidence) bool {
	at := map[netip.Addr]int{}
	for ttl := range e.hops {
		for _, of := range []*evidence{e, control} {
			for _, router := range of.hops[ttl].routers {
				if before, ok := at[router]; ok && before != ttl {
					return true
				}
				at[router] = ttl
			}
		}
	}
	return false
}

// dropped is explained at judge.
func (p *path) dropped(e, control *evidence, controlTTLs span, l loss) bool {
	host := p.controlTTL
	if p.reached || host == none || e.greatest(sawRouter) >= host {
		return false
	}
	if at := e.least(sawUnreachable); at >= host {
		return false // the host may say so itself
	}
	last := min(p.last, controlTTLs.last)
	if last < host {
		return false
	}
	return l.explains(int(last-host+1), control, span{host, last}) < maxChance
}

// droppedBy is the hop before which the box that drops must be: explained at judge.
func (p *path) droppedBy(e, control *evidence, last uint8) uint8 {
	// An ICMP message tells its place itself: a box that says that it drops.
	after := e.greatest(sawRouter)
	if at := e.least(sawUnreachable); at > after {
		return at
	}
	answers, missing := 0.0, 0.0
	for ttl := uint8(1); ttl <= last; ttl++ {
		came := e.hops[ttl].seen&sawRouter != 0
		switch {
		case ttl >= p.controlTTL:
			came = control.hops[ttl].seen&sawHost != 0
		case ttl > after || control.hops[ttl].seen&sawRouter == 0:
			continue
		}
		if came {
			answers++
		} else {
			missing++
		}
	}
	loss, chance := (missing+1)/(answers+missing+2), 1.0
	for ttl := after + 1; ttl < p.controlTTL; ttl++ {
		if control.hops[ttl].seen&sawRouter == 0 {
			continue
		}
		if chance *= loss; chance < maxPlaceChance {
			return ttl
		}
	}
	return p.controlTTL
}

// findRouters names the routers at the place that was found.
func (p *path) findRouters(e, control *evidence) {
	if !p.placed {
		return
	}
	name := func(hop uint8) netip.Addr {
		for _, of := range []*evidence{e, control} {
			if of != nil && len(of.hops[hop].routers) > 0 {
				return of.hops[hop].routers[0]
			}
		}
		return netip.Addr{}
	}
	p.afterRouter, p.byRouter = name(p.after), name(p.by)
}

// least is the least TTL at which any of what is asked for came, none if it did not.
func (e *evidence) least(seen uint16) uint8 {
	for ttl := range e.hops {
		if e.hops[ttl].seen&seen != 0 {
			return uint8(ttl)
		}
	}
	return none
}

// greatest is the greatest such TTL.
func (e *evidence) greatest(seen uint16) uint8 { return e.greatestBelow(seen, zmap.MaxTTL+1) }

func (e *evidence) greatestBelow(seen uint16, limit uint8) uint8 {
	for ttl := limit - 1; ttl > 0; ttl-- {
		if e.hops[ttl].seen&seen != 0 {
			return ttl
		}
	}
	return none
}
