package keys

import (
	"cmp"
	"slices"
)

// FDR is the usual false-discovery rate: of all that a family of tests finds, the share expected to be
// chance.
const FDR = 0.01

// benjaminiHochberg adjusts the p-values of a family of m hypotheses: those whose adjusted value is at
// most q are the ones that the step-up procedure rejects at the false-discovery rate q (Benjamini and
// Hochberg, J. R. Stat. Soc. B 57, 1995). The m-len(p) hypotheses without a p-value have 1.
func benjaminiHochberg(p []float64, m int) []float64 {
	rank := make([]int, len(p))
	for i := range rank {
		rank[i] = i
	}
	slices.SortFunc(rank, func(a, b int) int { return cmp.Compare(p[a], p[b]) })

	adjusted := make([]float64, len(p))
	least := 1.0
	for i := len(rank) - 1; i >= 0; i-- {
		least = min(least, p[rank[i]]*(float64(m)/float64(i+1)))
		adjusted[rank[i]] = least
	}
	return adjusted
}
