package keys

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// maxStep is the largest distance of two keys, as a power of 2, at which they are looked at as
// neighbours of a counter: 65,536 connections between two that we made. What counts faster or farther
// has constant bytes.
const maxStep = 16

// gaps are those smaller than 2^step between keys that are neighbours as numbers.
type gaps struct {
	reversed bool // numbers of which the last byte on the wire counts most
	step     int
	count    uint64
}

// counters finds, by group, keys that lie too near each other as numbers.
//
// Between n genuine keys in order there are n-1 gaps, each small with chance gapChance. They are not
// independent, but negatively associated (Joag-Dev and Proschan, Ann. Stat. 11, 1983: Dirichlet), so
// that many small ones are together more rarely than the binomial tail says. The steps tested are 2^0
// (equal keys) to 2^16, in both byte orders.
func counters(groups []Group, q float64) map[int]Finding {
	var hypotheses []hypothesis[gaps]
	for g, group := range groups {
		n := len(group.Keys)
		for _, reversed := range []bool{false, true} {
			numbers := ascending(group.Keys, reversed)
			for step, count := range countGaps(numbers) {
				if count == 0 {
					continue
				}
				if p := binomialUpperTail(count, uint64(n-1), gapChance(n, step)); possible(p, q) {
					hypotheses = append(hypotheses, hypothesis[gaps]{group: g, what: gaps{reversed, step, count}, p: p})
				}
			}
		}
	}

	findings := make(map[int]Finding)
	for i, found := range reject(hypotheses, len(groups)*2*(maxStep+1), q) {
		// The least step that holds the most: what p-values too small for a float64 do not tell.
		most := slices.MaxFunc(found, func(a, b hypothesis[gaps]) int {
			return cmp.Or(cmp.Compare(a.what.count, b.what.count), cmp.Compare(b.what.step, a.what.step))
		})
		findings[i] = most.what.finding(groups[i], most.p, most.adjusted, q)
	}
	return findings
}

// gapChance is the chance that a gap between neighbours among n genuine keys is smaller than 2^step: of
// the n+1 parts into which n points divide a line, each is longer than a share x with chance (1-x)^n.
func gapChance(n, step int) float64 {
	return -math.Expm1(float64(n) * math.Log1p(-math.Ldexp(1, step-Bits)))
}

func (g gaps) finding(group Group, p, adjusted, q float64) Finding {
	near := g.near(ascending(group.Keys, g.reversed))
	isNear := func(key uint64) int {
		if _, found := slices.BinarySearch(near, g.number(key)); found {
			return 1
		}
		return 0
	}
	// A genuine key comes near one of the others on either side: twice the room.
	chance := gapChance(len(group.Keys)-1, g.step+1)
	order := ""
	if g.reversed {
		order = ", bytes reversed,"
	}
	f := Finding{
		P: p, AdjustedP: adjusted,
		Reason: fmt.Sprintf("counter: %d keys of %s%s within %d of another, p %s",
			len(near), group.Name, order, uint64(1)<<g.step, FormatP(p)),
	}
	f.Suspects, f.chance = suspects(group.Keys, isNear, []float64{chance}, q)
	return f
}

// near are the numbers, ascending as they are given, that have a gap of less than 2^step beside them.
func (g gaps) near(numbers []uint64) []uint64 {
	var near []uint64
	for i, number := range numbers {
		if i > 0 && (number-numbers[i-1])>>g.step == 0 || i+1 < len(numbers) && (numbers[i+1]-number)>>g.step == 0 {
			near = append(near, number)
		}
	}
	return near
}

func (g gaps) number(key uint64) uint64 {
	if g.reversed {
		return bits.ReverseBytes64(key)
	}
	return key
}

// countGaps counts, for each step up to maxStep, the gaps between neighbours that are smaller than it.
func countGaps(numbers []uint64) (smaller [maxStep + 1]uint64) {
	for i := 1; i < len(numbers); i++ {
		if step := bits.Len64(numbers[i] - numbers[i-1]); step <= maxStep {
			smaller[step]++
		}
	}
	for step := 1; step <= maxStep; step++ {
		smaller[step] += smaller[step-1]
	}
	return smaller
}

// ascending are the keys, given in order, as numbers in order.
func ascending(keys []uint64, reversed bool) []uint64 {
	if !reversed {
		return keys
	}
	numbers := make([]uint64, len(keys))
	for i, key := range keys {
		numbers[i] = bits.ReverseBytes64(key)
	}
	slices.Sort(numbers)
	return numbers
}
