package keys

import "slices"

// suspects are the keys, of those of a group in order, that have so many of the features found in it that
// the finding speaks against each of them: a genuine key is one of them with chance at most q, and of the
// suspects, at most a share q is expected to be genuine: of all, and of those added by asking for fewer
// features, whom the others must not carry along. Nil when there are none. One constant byte in 40 of 43
// keys is enough (chance 1/256). In 15 of 150, of four constant bytes each is not, but any two are
// (chance 1/11,000); where all 15 have all four, a key with two is no suspect, as it may well be genuine.
//
// Genuine keys have feature i with chance chances[i], one independent of another. Their number is
// estimated from the keys that are no suspects, which no excess can raise. The chance returned is that of
// a genuine key to be a suspect.
func suspects(keys []uint64, features func(key uint64) int, chances []float64, q float64) (found []uint64, chance float64) {
	having := make([]int, len(chances)+2) // keys that have i features or more
	for _, key := range keys {
		having[features(key)]++
	}
	for i := len(chances); i >= 0; i-- {
		having[i] += having[i+1]
	}

	byChance := atLeast(append(chances, 0))
	enough := len(chances) + 1 // nobody has so many
	for i := len(chances); i > 0 && byChance[i] <= q; i-- {
		added := float64(having[i] - having[enough])
		genuine := float64(len(keys)-having[i]) * (byChance[i] - byChance[enough]) / (1 - byChance[i])
		if added > 0 && genuine <= q*added {
			enough = i
		}
	}
	for _, key := range keys {
		if features(key) >= enough {
			found = append(found, key)
		}
	}
	return slices.Compact(found), byChance[enough]
}

// atLeast[i] is the chance that i or more of independent events of these chances happen.
func atLeast(chances []float64) []float64 {
	exactly := make([]float64, len(chances)+1)
	exactly[0] = 1
	for n, chance := range chances {
		for i := n + 1; i > 0; i-- {
			exactly[i] = exactly[i]*(1-chance) + exactly[i-1]*chance
		}
		exactly[0] *= 1 - chance
	}
	for i := len(chances) - 1; i >= 0; i-- {
		exactly[i] += exactly[i+1]
	}
	return exactly
}
