package rows

import (
	"math/rand/v2"
	"testing"
)

// The generator's powers are the whole group if it is no power of a prime that divides the group's order.
func TestGenerator(t *testing.T) {
	factors := []uint64{2, 3, 3, 5, 131, 364289}
	product := uint64(1)
	for _, f := range factors {
		product *= f
	}
	if product != groupOrder {
		t.Fatalf("the factors of %d multiply to %d", uint64(groupOrder), product)
	}
	for seed := range uint64(50) {
		p := NewPermutation(rand.New(rand.NewPCG(seed, 0)))
		for _, f := range factors {
			if power(p.generator, groupOrder/f) == 1 {
				t.Errorf("seed %d: the generator %d has an order below %d", seed, p.generator, uint64(groupOrder))
			}
		}
		if power(p.generator, groupOrder) != 1 {
			t.Errorf("seed %d: %d is of no group modulo %d", seed, p.generator, uint64(groupPrime))
		}
		first, second := uint64(p.Next())+1, uint64(p.Next())+1
		if multiply(first, p.generator) != second {
			t.Errorf("seed %d: after %d comes %d", seed, first, second)
		}
	}
}

// No target has two first replies.
func TestTargetsDiffer(t *testing.T) {
	for _, p := range scans {
		s := newScan(p)
		seen := map[any]bool{}
		for range 300_000 {
			a := Address(p.Family, s.targets.Next(), s.random)
			if seen[a] {
				t.Fatalf("%s: %s occurs twice", p.name(), a)
			}
			seen[a] = true
		}
	}
}
