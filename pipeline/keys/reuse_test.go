package keys

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// The exact birthday problem: 1 - ∏(1 - i/2^64).
func TestCollisionChance(t *testing.T) {
	all := new(big.Float).SetMantExp(big.NewFloat(1).SetPrec(300), Bits)
	distinct := big.NewFloat(1).SetPrec(300)
	for n := uint64(1); n <= 3000; n++ {
		free := new(big.Float).SetPrec(300).Sub(all, new(big.Float).SetUint64(n-1))
		distinct.Mul(distinct, free.Quo(free, all))
		exact, _ := new(big.Float).SetPrec(300).Sub(big.NewFloat(1), distinct).Float64()
		if got := CollisionChance(n); got < exact*(1-1e-15) || got > exact*1.0001 {
			t.Fatalf("CollisionChance(%d) = %g, exactly %g", n, got, exact)
		}
	}
	for n, want := range map[uint64]float64{0: 0, 1: 0, 2: 0x1p-64, 200_000: 1.1e-9, 74_000_000: 1.5e-4, math.MaxUint64: 1} {
		if got := CollisionChance(n); math.Abs(got-want) > 0.02*want {
			t.Errorf("CollisionChance(%d) = %g, want %g", n, got, want)
		}
	}
}

// The bound's form, where collisions can be met: keys of 32 bits.
func TestCollisionsBySimulation(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	const sets, n = 4000, 10_000
	collided := 0.0
	for range sets {
		seen := make(map[uint32]bool, n)
		for range n {
			seen[rng.Uint32()] = true
		}
		if len(seen) < n {
			collided++
		}
	}
	want := sets * math.Ldexp(CollisionChance(n), Bits-32)
	if math.Abs(collided-want) > 5*math.Sqrt(want) {
		t.Errorf("%g of %d sets with equal keys, want %.1f", collided, sets, want)
	}
}
