package keys

import (
	"math"
	"sort"
)

// predict bounds the number of genuine keys at some weights, of all of which there are most, from the
// number of them at others: kept. Genuine keys lie odds times as often at the first as at these.
//
// It is the exact prediction interval that inverts the test of [TestWeights]: a number g lies in it
// unless g or more, or g or fewer, of kept+g keys lie at the first weights with a chance of at most
// 2.5 % (Thatcher, J. R. Stat. Soc. B 26, 1964). So it holds both the error of the estimate from kept
// and the chance in the number predicted, and covers that number in at least 95 % of scans.
func predict(kept uint64, odds float64, most uint64) (low, high uint64) {
	const tail = 0.025 // on each side of the 95 %
	p := odds / (1 + odds)
	mean := float64(kept) * odds
	reach := 1.96 * math.Sqrt(mean*(1+odds))
	low = leastWith(mean-reach, most, func(g uint64) bool {
		return binomialUpperTail(g+1, kept+g, p) < 1-tail
	})
	high = leastWith(mean+reach, most, func(g uint64) bool {
		return binomialUpperTail(g+1, kept+g+1, p) <= tail
	})
	return low, high
}

// leastWith is the least number at which found holds, or limit when there is none below; found stays
// true once it is. It looks in steps that double from about the number given.
func leastWith(about float64, limit uint64, found func(uint64) bool) uint64 {
	low, high := uint64(0), limit // found holds at high if at all, and not below low
	at := uint64(min(max(about, 0), float64(limit)))
	for step := uint64(1); low < high && at >= low && at < high; step *= 2 {
		if found(at) {
			high = at
			at -= min(step, at)
			if high == 0 {
				return 0
			}
		} else {
			low = at + 1
			at += step
		}
	}
	return low + uint64(sort.Search(int(high-low), func(i int) bool { return found(low + uint64(i)) }))
}
