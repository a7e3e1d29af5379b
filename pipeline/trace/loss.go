package trace

import "math"

// loss is what a run shows of the packets that are lost, its own and those of the other end: of the probes with TTLs
// from that of a host's first answer on, how many were sent, and how many of their answers are missing.
type loss struct{ probes, missing int }

// add counts what the control to one target shows.
func (l *loss) add(control *evidence, ttls span) {
	if host := control.least(sawHost); host != none {
		l.addProbes(control, span{host, ttls.last})
	}
}

func (l *loss) addProbes(control *evidence, ttls span) {
	for ttl := int(ttls.first); ttl <= int(ttls.last); ttl++ {
		l.probes++
		if control.hops[ttl].seen&sawHost == 0 {
			l.missing++
		}
	}
}

// priorProbes is how many probes the rate of the whole run counts for in the estimate for one host: as many as a
// host gets itself.
const priorProbes = 20

// explains is the chance that n answers of a host are all lost: at the rate of the run, as far as the answers to the
// control with the given TTLs do not speak for another one. Of the run by Laplace's rule of succession.
func (l *loss) explains(n int, control *evidence, ttls span) float64 {
	var own loss
	own.addProbes(control, ttls)
	run := float64(l.missing+1) / float64(l.probes+2)
	rate := (float64(own.missing) + priorProbes*run) / float64(own.probes+priorProbes)
	return math.Pow(rate, float64(n))
}
