package keys

import (
	"math"
	"math/big"
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

// exactPValue is the chance that h[w] or more of the keys at w and the weights left in have w, were all
// genuine: the definition, in rational numbers.
func exactPValue(h Histogram, leftOut map[int]bool, w int) *big.Rat {
	n, here, all := int64(0), keysOf(int64(w), int64(w)), new(big.Rat)
	for v := range h {
		if v == w || !leftOut[v] {
			n += int64(h[v])
			all.Add(all, keysOf(int64(v), int64(v)))
		}
	}
	p := here.Quo(here, all)
	return exactUpperTail(int64(h[w]), n, p)
}

// rejected are the hypotheses that Benjamini and Hochberg's procedure rejects, as they wrote it: those of
// the k least p-values, for the greatest k of which the k-th is at most k q/m.
func rejected(p []*big.Rat, q float64) (found []int) {
	rate := new(big.Rat).SetFloat64(q)
	for k := len(p); k > 0; k-- {
		limit := new(big.Rat).Mul(rate, big.NewRat(int64(k), int64(len(p))))
		found = found[:0]
		for i := range p {
			if p[i].Cmp(limit) <= 0 {
				found = append(found, i)
			}
		}
		if len(found) >= k {
			return found
		}
	}
	return nil
}

// The rounds of TestWeights in rational numbers, with nothing kept from one to the next but which weights
// are left out.
func naiveOutliers(h Histogram, q float64) []int {
	leftOut := make(map[int]bool)
	for {
		p := make([]*big.Rat, len(h))
		for w := range h {
			p[w] = exactPValue(h, leftOut, w)
		}
		found, before := rejected(p, q), len(leftOut)
		for _, w := range found {
			leftOut[w] = true
		}
		if len(leftOut) == before {
			return found
		}
	}
}

func TestWeightsAgainstNaive(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		h := genuine(rng, MinKeys+rng.IntN(100))
		for range rng.IntN(6) {
			h[rng.IntN(65)] += uint64(rng.IntN(20))
		}
		if got, want := outlying(TestWeights(h, 0.05)), naiveOutliers(h, 0.05); !slices.Equal(got, want) {
			t.Fatalf("seed %d: outliers %v, want %v", seed, got, want)
		}
	}
}

// The promise while all keys are genuine: a scan has an outlier with a chance of at most q. Tests on
// counts keep well below their level, but are not idle.
func TestGenuineKeysHaveFewOutliers(t *testing.T) {
	for _, c := range []struct{ keys, scans int }{{MinKeys, 1500}, {43, 1500}, {1000, 1500}, {20_000, 150}} {
		const q = 0.1
		hit := 0
		for seed := range uint64(c.scans) {
			test := TestWeights(genuine(rand.New(rand.NewPCG(seed, uint64(c.keys))), c.keys), q)
			if len(test.Outliers()) > 0 {
				hit++
			} else if n := float64(c.keys); test.Genuine != n || test.GenuineLow != n || test.GenuineHigh != n {
				t.Fatalf("%d keys, seed %d: no outlier, but %g (%g–%g) genuine", c.keys, seed, test.Genuine, test.GenuineLow, test.GenuineHigh)
			}
		}
		// Four standard deviations of what chance there is in the simulation.
		if share := float64(hit) / float64(c.scans); share > q+4*math.Sqrt(q/float64(c.scans)) || share < q/20 {
			t.Errorf("%d keys: an outlier in %.4f of the scans, want at most %g and not far less", c.keys, share, q)
		}
	}
}

// The promise with contamination: a share of at most q of the outliers is expected to be chance.
func TestFalseDiscoveryRate(t *testing.T) {
	const scans, q = 1000, 0.1
	sum := 0.0
	for seed := range uint64(scans) {
		h := genuine(rand.New(rand.NewPCG(seed, 6)), 1000)
		for _, w := range []int{12, 16, 20, 24} {
			h[w] += 100
		}
		found, chance := 0.0, 0.0
		for _, w := range outlying(TestWeights(h, q)) {
			found++
			if !slices.Contains([]int{12, 16, 20, 24}, w) {
				chance++
			}
		}
		if found < 4 {
			t.Fatalf("seed %d: %g outliers", seed, found)
		}
		sum += chance / found
	}
	// A share lies between 0 and 1, hence a standard deviation of at most 1/2.
	if rate := sum / scans; rate > q+4*0.5/math.Sqrt(scans) || rate < q/20 {
		t.Errorf("false-discovery rate %.4f, want at most %g and not far less", rate, q)
	}
}

// The paper's case: 96 % mirrors of a key of one weight. The curve stands where it would without them.
func TestSpikeDoesNotShiftTheCurve(t *testing.T) {
	for _, spikes := range [][]int{{0}, {16}, {28}, {32}, {64}, {16, 31}, {24, 32, 40}} {
		h := genuine(rand.New(rand.NewPCG(7, 7)), 2400)
		atSpikes := 0.0 // genuine keys there, all that is not known
		for _, w := range spikes {
			atSpikes += float64(h[w])
			h[w] += 57_600
		}
		test := TestWeights(h, FDR)
		if got := outlying(test); !slices.Equal(got, spikes) {
			t.Errorf("spikes at %v: outliers %v", spikes, got)
		}
		if math.Abs(test.Genuine-2400) > 100 || test.GenuineLow > 2400 || test.GenuineHigh < 2400 {
			t.Errorf("spikes at %v: %g (%g–%g) genuine, want 2400", spikes, test.Genuine, test.GenuineLow, test.GenuineHigh)
		}
		for _, w := range spikes {
			got := test.Weights[w]
			if math.Abs(got.Excess-57_600) > 100 || got.ExcessLow > 57_600 || got.ExcessHigh < 57_600 || got.P > 1e-300 ||
				got.Probability != got.Excess/float64(got.Observed) {
				t.Errorf("spikes at %v: %+v, want an excess of 57600", spikes, got)
			}
		}
	}
}

// Contamination of many weights, 96 % of the keys: biased bits, and a constant half.
func TestBroadContamination(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	quarter, half := genuine(rng, 2600), genuine(rng, 2600)
	for range 62_400 {
		quarter[bits.OnesCount64(rng.Uint64()&rng.Uint64())]++ // Binomial(64, 1/4): mean 16
		half[8+bits.OnesCount64(rng.Uint64()>>32)]++           // Binomial(32, 1/2) and 8: mean 24
	}
	for _, h := range []Histogram{quarter, half} {
		test := TestWeights(h, FDR)
		if math.Abs(test.Genuine-2600) > 260 {
			t.Errorf("%g genuine, want 2600", test.Genuine)
		}
		if o := outlying(test); o[len(o)-1] > 33 {
			t.Errorf("outliers %v", o)
		}
	}
}

func TestNoGenuineKeys(t *testing.T) {
	test := TestWeights(Histogram{16: 60_000}, FDR)
	if w := test.Weights[16]; !w.Outlier || test.Genuine != 0 || w.Expected != 0 || w.Excess != 60_000 || w.Probability != 1 || !w.Condemned {
		t.Errorf("got %g genuine and %+v", test.Genuine, w)
	}
	if test := TestWeights(Histogram{}, FDR); !test.TooFew || len(test.Outliers()) != 0 || test.GenuineHigh != 0 {
		t.Errorf("no keys: %+v", test)
	}
}

// Whatever the histogram, all numbers are finite and lie where they should.
func FuzzTestWeights(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint64(1e9))
	f.Add(uint64(2), uint8(65), uint64(40))
	f.Add(uint64(3), uint8(64), uint64(1))
	f.Add(uint64(80), uint8(242), uint64(1_000_000_129)) // leaves one weight in, with nothing beside it
	f.Fuzz(func(t *testing.T, seed uint64, bars uint8, most uint64) {
		rng := rand.New(rand.NewPCG(seed, 4))
		var h Histogram
		for range bars {
			h[rng.IntN(65)] = rng.Uint64N(min(most, 10_000_000) + 1)
		}
		test := TestWeights(h, FDR)
		within := func(x, low, high float64) bool { return low <= x && x <= high }
		// The ends are whole numbers, the estimate is none.
		if !within(test.Genuine, test.GenuineLow-0.5, test.GenuineHigh+0.5) || !within(test.GenuineLow, 0, test.GenuineHigh) ||
			!within(max(test.Genuine, test.GenuineHigh), 0, float64(test.Keys)) {
			t.Errorf("%v: %g genuine, %g to %g", h, test.Genuine, test.GenuineLow, test.GenuineHigh)
		}
		for w, weight := range test.Weights {
			observed := float64(h[w])
			if weight.Weight != w || weight.Observed != h[w] || !within(weight.P, 0, 1) || !within(weight.AdjustedP, weight.P, 1) ||
				!within(weight.Excess, 0, observed) || !within(weight.ExcessLow, 0, weight.ExcessHigh) ||
				!within(weight.ExcessHigh, weight.ExcessLow, observed) || !within(weight.Probability, 0, 1) ||
				weight.Condemned && !weight.Outlier || weight.Outlier != (weight.AdjustedP <= FDR && !test.TooFew) {
				t.Errorf("%v: %+v", h, weight)
			}
		}
	})
}

// MinKeys is the least number of which half is an outlier at every weight.
func TestMinKeys(t *testing.T) {
	found := func(n int64) bool {
		p := exactUpperTail((n+1)/2, n, keysOf(32, 32))
		return p.Cmp(new(big.Rat).SetFloat64(FDR/65)) <= 0
	}
	for n := int64(MinKeys); n < 200; n++ {
		if !found(n) {
			t.Errorf("half of %d keys at weight 32 is not found", n)
		}
	}
	if found(MinKeys - 1) {
		t.Errorf("half of %d keys at weight 32 is found", MinKeys-1)
	}
	if test := TestWeights(Histogram{2: MinKeys - 1}, FDR); !test.TooFew || len(test.Outliers()) != 0 {
		t.Error("decided on fewer than MinKeys")
	}
	if test := TestWeights(Histogram{2: MinKeys}, FDR); test.TooFew || len(test.Outliers()) != 1 {
		t.Error("did not decide on MinKeys")
	}
}

func TestCondemned(t *testing.T) {
	h := genuine(rand.New(rand.NewPCG(9, 9)), 2600)
	for weight, n := range map[int]uint64{3: 10, 5: 200, 14: 50, 16: 3000, 20: 100, 21: 3000, 22: 30_000, 25: 30_000, 31: 30_000, 42: 30_000} {
		h[weight] += n
	}
	test := TestWeights(h, FDR)
	if got := outlying(test); !slices.Equal(got, []int{3, 5, 14, 16, 20, 21, 22, 25, 31, 42}) {
		t.Fatalf("outliers %v", got)
	}
	var condemned []int
	for _, w := range test.Condemned() {
		condemned = append(condemned, w.Weight)
	}
	// At 20, some 3 of 2600 genuine keys are expected beside 100. Weights of up to 22 are had by 0.6 % of
	// genuine keys; 42 would make it 1.0 %, 25 some 2 % more.
	if want := []int{3, 5, 14, 16, 21, 22}; !slices.Equal(condemned, want) {
		t.Errorf("condemned %v, want %v", condemned, want)
	}
}

// What the condemned consist of, by simulation: at most a share q genuine, and at most a share q of the
// genuine. Beside it, Probability is what it says: its sum over hosts is the number in excess.
func TestCondemnedAreNotGenuine(t *testing.T) {
	const scans, hosts, q = 300, 5000, 0.05
	var condemned, wronged, inExcess, probable float64
	for seed := range uint64(scans) {
		rng := rand.New(rand.NewPCG(seed, 10))
		good := genuine(rng, hosts)
		h := good
		for range 4000 {
			h[bits.OnesCount64(rng.Uint64()&rng.Uint64())]++
		}
		test := TestWeights(h, q)
		for _, w := range test.Outliers() {
			inExcess += float64(h[w.Weight] - good[w.Weight])
			probable += w.Probability * float64(w.Observed)
			if w.Condemned {
				condemned += float64(h[w.Weight])
				wronged += float64(good[w.Weight])
			}
		}
	}
	if wronged == 0 || wronged > q*condemned || wronged > q*scans*hosts {
		t.Errorf("%g of %g condemned are genuine", wronged, condemned)
	}
	if math.Abs(probable/inExcess-1) > 0.01 {
		t.Errorf("probabilities say %g keys in excess, %g are", probable, inExcess)
	}
}
