package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// reuseFalse: the chance that genuine keys collide, beside that of keys of 32 bits, which can be simulated.
func reuseFalse() string {
	var rows [][]string
	for _, n := range []int{1000, 9000, 40_000, 200_000, 10_000_000, 74_000_000, 1_000_000_000} {
		row := []string{grouped(n), fmt.Sprintf("%.1e", keys.CollisionChance(uint64(n))), "–", "–"}
		if n <= 40_000 {
			collided := repeat(fmt.Sprint("collision ", n), 2000, func(rng *rand.Rand) bool {
				seen := make(map[uint32]bool, n)
				for range n {
					seen[rng.Uint32()] = true
				}
				return len(seen) < n
			})
			row[2] = fmt.Sprintf("%.2f", 100*math.Ldexp(keys.CollisionChance(uint64(n)), 32))
			row[3] = shareOf(collided, func(c bool) bool { return c }).withInterval()
		}
		rows = append(rows, row)
	}
	return markdown([]string{"genuine keys", "chance that any two are equal", "were they of 32 bits, %", "simulated, %"}, rows)
}

// reusePower: the share of hosts whose key another host has too, when a box has but so many keys to give.
func reusePower() string {
	var rows [][]string
	for _, pool := range []int{1, 10, 100, 1000, 65_536} {
		row := []string{grouped(pool)}
		for _, hosts := range []int{2, 10, 100, 1000, 10_000} {
			repeated := share{}
			for _, had := range repeat(fmt.Sprint("reuse ", pool, hosts), max(4, 10_000/hosts), func(rng *rand.Rand) int {
				given := make([]int, pool)
				for range hosts {
					given[rng.IntN(pool)]++
				}
				had := 0
				for _, n := range given {
					if n > 1 {
						had += n
					}
				}
				return had
			}) {
				repeated.had += had
				repeated.of += hosts
			}
			row = append(row, repeated.String())
		}
		rows = append(rows, row)
	}
	return markdown([]string{"keys that the box has", "2 hosts", "10", "100", "1,000", "10,000"}, rows)
}
