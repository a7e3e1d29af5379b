package keys

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

func genuine(rng *rand.Rand, n int) (h Histogram) {
	for range n {
		h[bits.OnesCount64(rng.Uint64())]++
	}
	return h
}

func outlying(t WeightTest) (weights []int) {
	for _, w := range t.Outliers() {
		weights = append(weights, w.Weight)
	}
	return weights
}

// The rounds of TestWeights, with nothing kept from one to the next.
func naiveOutliers(h Histogram) (outliers []int) {
	for {
		var found []int
		for w := range h {
			if slices.Contains(outliers, w) {
				found = append(found, w)
				continue
			}
			var n uint64
			p := 0.0
			for v := range h {
				if !slices.Contains(outliers, v) {
					n += h[v]
					p += PMF(v)
				}
			}
			if binomialUpperTail(h[w], n, PMF(w)/p) <= WeightLevel/65 {
				found = append(found, w)
			}
		}
		if len(found) == len(outliers) {
			return outliers
		}
		outliers = found
	}
}

func TestWeightsAgainstNaive(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		h := genuine(rng, MinKeys+rng.IntN(5000))
		for range rng.IntN(6) {
			h[rng.IntN(65)] += uint64(rng.IntN(1000))
		}
		if got, want := outlying(TestWeights(h)), naiveOutliers(h); !slices.Equal(got, want) {
			t.Fatalf("seed %d: outliers %v, want %v", seed, got, want)
		}
	}
}

// Genuine keys alone: at the level of 1e-6 a scan, none of these has an outlier.
func TestGenuineKeysHaveNoOutlier(t *testing.T) {
	for _, n := range []int{1, 43, 2600, 20_000} {
		for seed := range uint64(200) {
			test := TestWeights(genuine(rand.New(rand.NewPCG(seed, uint64(n))), n))
			if o := test.Outliers(); len(o) > 0 {
				t.Errorf("%d keys, seed %d: %+v", n, seed, o)
			}
			if math.Abs(test.Genuine-float64(n)) > 1e-6 {
				t.Errorf("%d keys, seed %d: %g genuine", n, seed, test.Genuine)
			}
		}
	}
}

// The level itself, where it can be met: P(any weight has P <= level) <= level under the null
// hypothesis, at a level large enough to be seen.
func TestPIsAProbability(t *testing.T) {
	const scans, level = 4000, 0.2 / 65
	hit := 0
	for seed := range uint64(scans) {
		test := TestWeights(genuine(rand.New(rand.NewPCG(seed, 5)), 1000))
		if slices.ContainsFunc(test.Weights[:], func(w Weight) bool { return w.P <= level }) {
			hit++
		}
	}
	share := float64(hit) / scans
	if share > 0.2 || share < 0.05 {
		t.Errorf("some p <= 0.2/65 in %.3f of the scans, want at most 0.2 and not far less", share)
	}
}

// The paper's case: 96 % mirrors of a key of weight 16. The curve stands where it would without them.
func TestSpikeDoesNotShiftTheCurve(t *testing.T) {
	for _, weight := range []int{0, 16, 28, 32, 64} {
		h := genuine(rand.New(rand.NewPCG(7, 7)), 2400)
		h[weight] += 57_600
		test := TestWeights(h)
		if got := outlying(test); !slices.Equal(got, []int{weight}) {
			t.Errorf("spike at %d: outliers %v", weight, got)
		}
		if math.Abs(test.Genuine-2400) > 100 {
			t.Errorf("spike at %d: %g genuine, want 2400", weight, test.Genuine)
		}
		w := test.Weights[weight]
		if want := 1 - 2400*PMF(weight)/float64(w.Observed); math.Abs(w.Excess-want) > 1e-3 || w.P > 1e-300 {
			t.Errorf("spike at %d: %+v, want excess %g", weight, w, want)
		}
	}
}

// Many keys of low weight, spread over half of the axis.
func TestBroadContamination(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	h := genuine(rng, 2600)
	for range 5000 {
		h[bits.OnesCount64(rng.Uint64()&rng.Uint64())]++ // Binomial(64, 1/4): mean 16
	}
	test := TestWeights(h)
	if math.Abs(test.Genuine-2600) > 200 {
		t.Errorf("%g genuine, want 2600", test.Genuine)
	}
	for _, w := range outlying(test) {
		if w > 26 {
			t.Errorf("weight %d is an outlier", w)
		}
	}
}

func TestNoGenuineKeys(t *testing.T) {
	test := TestWeights(Histogram{16: 60_000})
	if w := test.Weights[16]; !w.Outlier || test.Genuine != 0 || w.Expected != 0 || w.Excess != 1 {
		t.Errorf("got %g genuine and %+v", test.Genuine, w)
	}
	if test := TestWeights(Histogram{}); !test.TooFew || len(test.Outliers()) != 0 {
		t.Errorf("no keys: %+v", test)
	}
}

// MinKeys is the least number of which half is an outlier at every weight.
func TestMinKeys(t *testing.T) {
	found := func(n uint64) bool {
		return binomialUpperTail((n+1)/2, n, PMF(32)) <= WeightLevel/(Bits+1)
	}
	if found(MinKeys-1) || !found(MinKeys) {
		t.Errorf("half of %d keys at weight 32: %t; of %d: %t", MinKeys-1, found(MinKeys-1), MinKeys, found(MinKeys))
	}
	if test := TestWeights(Histogram{2: MinKeys - 1}); !test.TooFew || len(test.Outliers()) != 0 {
		t.Error("decided on fewer than MinKeys")
	}
	if test := TestWeights(Histogram{2: MinKeys}); test.TooFew || len(test.Outliers()) != 1 {
		t.Error("did not decide on MinKeys")
	}
}

func TestCondemned(t *testing.T) {
	h := genuine(rand.New(rand.NewPCG(9, 9)), 2600)
	for weight, n := range map[int]uint64{3: 10, 5: 200, 14: 50, 16: 3000, 25: 3000, 31: 3000} {
		h[weight] += n
	}
	test := TestWeights(h)
	if got := outlying(test); !slices.Equal(got, []int{3, 5, 14, 16, 25, 31}) {
		t.Fatalf("outliers %v", got)
	}
	var condemned []int
	for _, w := range test.Condemned() {
		if w.Excess < 0.99 {
			t.Errorf("condemned %+v", w)
		}
		condemned = append(condemned, w.Weight)
	}
	// At 16, 0.07 of 2600 genuine keys are expected: too many to take the risk. At 25 and 31 the
	// genuine ones are many.
	if want := []int{3, 5, 14}; !slices.Equal(condemned, want) {
		t.Errorf("condemned %v, want %v", condemned, want)
	}
}
