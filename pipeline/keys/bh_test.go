package keys

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// The adjusted value is the least rate at which the procedure rejects a hypothesis.
func TestBenjaminiHochbergAgainstNaive(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 11))
		p := make([]float64, rng.IntN(12))
		for i := range p {
			p[i] = math.Pow(rng.Float64(), 4)
			if i > 0 && rng.IntN(4) == 0 {
				p[i] = p[rng.IntN(i)] // ties
			}
		}
		m := len(p) + rng.IntN(20)
		all := make([]*big.Rat, m)
		for i := range all {
			all[i] = big.NewRat(1, 1)
			if i < len(p) {
				all[i].SetFloat64(p[i])
			}
		}
		adjusted := benjaminiHochberg(p, m)
		for i, a := range adjusted {
			if a < 1 && (!slices.Contains(rejected(all, a*(1+1e-12)), i) || slices.Contains(rejected(all, a*(1-1e-12)), i)) {
				t.Fatalf("p %v of %d hypotheses: adjusted %v", p, m, adjusted)
			}
			if a > 1 {
				t.Fatalf("adjusted %v", adjusted)
			}
		}
	}
}

// The p-values of Benjamini and Hochberg's own example (1995, §3.2, thrombolysis after myocardial
// infarction): at 0.05 their procedure rejects the first four, Bonferroni's three.
func TestBenjaminiHochbergExample(t *testing.T) {
	p := []float64{0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1}
	var found []int
	for i, a := range benjaminiHochberg(p, len(p)) {
		if a <= 0.05 {
			found = append(found, i)
		}
	}
	if want := []int{0, 1, 2, 3}; !slices.Equal(found, want) {
		t.Errorf("rejects %v, want %v", found, want)
	}
}
