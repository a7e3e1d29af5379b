package keys

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// The definition, number by number: all that neither tail rules out.
func TestPredictAgainstNaive(t *testing.T) {
	limit := big.NewRat(1, 40)
	for _, odds := range []*big.Rat{big.NewRat(1, 1000), big.NewRat(1, 9), big.NewRat(1, 1), big.NewRat(7, 2)} {
		p := new(big.Rat).Quo(odds, new(big.Rat).Add(odds, big.NewRat(1, 1)))
		for _, kept := range []int64{0, 1, 2, 10, 40} {
			for _, most := range []int64{0, 3, 30} {
				low, high := int64(-1), int64(-1)
				for g := int64(0); g <= most; g++ {
					orMore := exactUpperTail(g, kept+g, p)
					orFewer := new(big.Rat).Sub(big.NewRat(1, 1), exactUpperTail(g+1, kept+g, p))
					if orFewer.Cmp(limit) > 0 && low < 0 {
						low = g
					}
					if orMore.Cmp(limit) > 0 {
						high = g
					}
				}
				if low < 0 {
					low = most // even all of them would be too few
				}
				o, _ := odds.Float64()
				gotLow, gotHigh := predict(uint64(kept), o, uint64(most))
				if int64(gotLow) != low || int64(gotHigh) != high {
					t.Errorf("predict(%d, %g, %d) = %d, %d, want %d, %d", kept, o, most, gotLow, gotHigh, low, high)
				}
			}
		}
	}
}

// What the interval promises, by simulation: of genuine keys alone, those at one weight, told from those
// at the others.
func TestPredictCovers(t *testing.T) {
	for _, hosts := range []int{43, 1000, 50_000} {
		for _, w := range []int{20, 25, 32} {
			const scans = 400
			covered := 0
			for seed := range uint64(scans) {
				h := genuine(rand.New(rand.NewPCG(seed, uint64(hosts+w))), hosts)
				low, high := predict(uint64(hosts)-h[w], PMF(w)/(1-PMF(w)), math.MaxInt64)
				if low <= h[w] && h[w] <= high {
					covered++
				}
			}
			if share := float64(covered) / scans; share < 0.95-4*math.Sqrt(0.05*0.95/scans) {
				t.Errorf("%d keys: the number at weight %d is covered in %.3f of the scans", hosts, w, share)
			}
		}
	}
}
