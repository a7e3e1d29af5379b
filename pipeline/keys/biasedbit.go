package keys

import (
	"fmt"
	"math/bits"
)

// bitCount is the number of keys that have a bit set; place 0 is the first on the wire.
type bitCount struct {
	place int
	set   uint64
}

// biasedBits finds, by group, bits that are set in too many keys or in too few.
//
// The number of the n keys of a genuine group that have a bit set is Binomial(n, 1/2). Where other tests
// took a share of a genuine group away, they can have taken keys without the bit alone: the chance that a
// key that is left has it is then 1/2 over the share that is left, at most, and so is that of not having it.
func biasedBits(groups []rest, q float64) map[int]Finding {
	var hypotheses []hypothesis[bitCount]
	tails := make(tails)
	for g, group := range groups {
		n, chance := uint64(len(group.Keys)), min(1, 0.5/(1-group.lost))
		for _, b := range countBits(group.Keys) {
			if p := min(1, 2*tails.upper(max(b.set, n-b.set), n, chance)); possible(p, q) {
				hypotheses = append(hypotheses, hypothesis[bitCount]{group: g, what: b, p: p})
			}
		}
	}

	findings := make(map[int]Finding)
	for i, found := range reject(hypotheses, len(groups)*Bits, q) {
		group, first := groups[i], found[0]
		var biased, usual uint64 // the bits, and the values that most keys have there
		var chances []float64
		for _, h := range found {
			bit := uint64(1) << (Bits - 1 - h.what.place)
			biased |= bit
			if 2*h.what.set > uint64(len(group.Keys)) {
				usual |= bit
			}
			chances = append(chances, 0.5)
		}
		asUsual := func(key uint64) int { return bits.OnesCount64(^(key ^ usual) & biased) }
		f := Finding{
			P: first.p, AdjustedP: first.adjusted,
			Reason: fmt.Sprintf("biased-bit: bit %d set in %d of %d keys of %s%s, p %s",
				first.what.place, first.what.set, len(group.Keys), group.Name, andMore(len(found)-1), FormatP(first.p)),
		}
		f.Suspects, f.chance = suspects(group.Keys, asUsual, chances, q)
		findings[i] = f
	}
	return findings
}

func countBits(keys []uint64) (count [Bits]bitCount) {
	var values [8][256]uint64
	for _, key := range keys {
		for place := range values {
			values[place][byteAt(key, place)]++
		}
	}
	for place := range count {
		count[place].place = place
		for value, n := range values[place/8] {
			if value>>(7-place%8)&1 == 1 {
				count[place].set += n
			}
		}
	}
	return count
}
