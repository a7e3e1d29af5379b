package keys

import (
	"cmp"
	"fmt"
	"slices"
)

// MinKeys is the number of keys below which nothing is decided on weights: the least with which a
// pile of half of them is found at every weight, even at 32 where genuine keys are commonest, when
// [FDR] is the false-discovery rate.
const MinKeys = 15

// Histogram counts keys by Hamming weight.
type Histogram [Bits + 1]uint64

// WeightTest says which weights hold more keys than genuine ones explain.
type WeightTest struct {
	Keys uint64 // all keys of the histogram

	// Genuine is the estimated number of genuine keys among them, with its 95 % interval: exactly
	// Keys when no weight is an outlier.
	Genuine, GenuineLow, GenuineHigh float64

	TooFew  bool // fewer than MinKeys: no weight is called an outlier
	Weights [Bits + 1]Weight
}

// Weight is one bar of the histogram beside what genuine keys explain of it.
type Weight struct {
	Weight   int
	Observed uint64
	Expected float64 // genuine keys expected here

	// P is the chance of Observed or more, were all keys here genuine; AdjustedP is adjusted for the
	// test of all 65 weights (Benjamini and Hochberg).
	P, AdjustedP float64

	// Excess is the number of keys here that genuine ones do not explain, with its 95 % interval: at
	// least 0. Where the weight is no outlier nothing is claimed, and the upper end is what may yet hide
	// here.
	Excess, ExcessLow, ExcessHigh float64

	// Probability is that of one key here to belong to the excess, 0 to 1: the excess as a share of
	// Observed. It is 0 where the weight is no outlier, as nothing is claimed there.
	Probability float64

	Outlier   bool // AdjustedP is at most the false-discovery rate
	Condemned bool // it speaks against every host that has it
}

// TestWeights tests each weight of a scan for an excess of keys, at the false-discovery rate q. Null
// hypothesis: all keys at that weight are genuine. The tests of the 65 weights are the family: while
// all keys are genuine, a scan has an outlier with a chance of at most q; else a share of at most q of
// the outlying weights is expected to be chance.
//
// The curve must not be shifted by the spike that it judges, so genuine keys are estimated from the
// weights that are not outlying: at first all; then the outlying ones are left out and all are judged
// anew, until nothing changes. A weight left out stays out, so the rounds end. They take nothing from
// the first promise: where the first round finds nothing there is no second. Leaving out weights that
// are high by chance lowers the curve, by little; docs/statistics.md measures the second promise. What
// is never found out (a contamination shaped like the curve itself) raises the curve and so spares
// hosts; it cannot wrong any.
//
// The test of a weight is exact and allows for the error of that estimate: given the n keys at this
// weight and the other weights left in, and p, the share that genuine keys have here among those
// weights, the number here is Binomial(n, p). It also holds for 43 keys (the paper's IPv6 scan of port
// 80). Intervals are those of the same test inverted (see predict); they, too, take the keys at the weights
// left in for genuine.
//
// An outlier condemns the hosts that have it when, rarest weights first,
//   - genuine ones are expected to be at most a share q of these hosts, even were the genuine keys of the
//     scan as many as GenuineHigh, and
//   - the chance that a genuine key has one of the condemned weights is at most q.
//
// So of the hosts condemned at most a share q is expected genuine, at each weight and in all; and at
// most a share q of the genuine hosts is condemned, whatever the contamination. At the other outliers
// the excess is certain, but not whom it consists of: those hosts are left to be traced and verified.
func TestWeights(h Histogram, q float64) WeightTest {
	var t WeightTest
	for w, n := range h {
		t.Keys += n
		t.Weights[w] = Weight{Weight: w, Observed: n}
	}
	t.TooFew = t.Keys < MinKeys

	var leftOut [Bits + 1]bool
	for changed := true; changed; {
		changed = false
		t.judge(&leftOut)
		for w := range t.Weights {
			if t.Weights[w].AdjustedP <= q && !t.TooFew && !leftOut[w] {
				leftOut[w], changed = true, true
			}
		}
	}
	t.estimate(&leftOut, q)
	t.condemn(q)
	return t
}

// beside counts the keys at the weights left in other than w, and says how many times as often as there
// genuine keys lie at w; without a w (-1), at all weights left out.
func (t *WeightTest) beside(leftOut *[Bits + 1]bool, w int) (n uint64, odds float64) {
	here, there := 0.0, 0.0
	for v, weight := range t.Weights {
		switch {
		case v == w || w < 0 && leftOut[v]:
			here += PMF(v)
		case !leftOut[v]:
			there += PMF(v)
			n += weight.Observed
		}
	}
	return n, here / max(there, PMF(0)) // finite, too, where no other weight is left in
}

// judge sets the p-values.
func (t *WeightTest) judge(leftOut *[Bits + 1]bool) {
	p := make([]float64, len(t.Weights))
	for w := range t.Weights {
		others, odds := t.beside(leftOut, w)
		n := t.Weights[w].Observed
		p[w] = binomialUpperTail(n, others+n, odds/(1+odds))
	}
	for w, adjusted := range benjaminiHochberg(p, len(p)) {
		t.Weights[w].P, t.Weights[w].AdjustedP = p[w], adjusted
	}
}

// estimate sets the numbers of genuine keys and of those in excess.
func (t *WeightTest) estimate(leftOut *[Bits + 1]bool, q float64) {
	n, odds := t.beside(leftOut, -1)
	low, high := predict(n, odds, t.Keys-n)
	t.Genuine = float64(n) * (1 + odds)
	t.GenuineLow, t.GenuineHigh = float64(n+low), float64(n+high)

	for w := range t.Weights {
		weight := &t.Weights[w]
		observed := float64(weight.Observed)
		others, odds := t.beside(leftOut, w)
		low, high := predict(others, odds, weight.Observed)
		weight.Expected = t.Genuine * PMF(w)
		weight.Excess = max(0, observed-weight.Expected)
		weight.ExcessLow, weight.ExcessHigh = observed-float64(high), observed-float64(low)
		if weight.Outlier = weight.AdjustedP <= q && !t.TooFew; weight.Outlier {
			weight.Probability = weight.Excess / observed
		}
	}
}

// condemn marks the weights that condemn.
func (t *WeightTest) condemn(q float64) {
	byRarity := t.Outliers()
	slices.SortStableFunc(byRarity, func(a, b Weight) int { return cmp.Compare(PMF(a.Weight), PMF(b.Weight)) })
	chance := 0.0 // of a genuine key to have a condemned weight
	for _, w := range byRarity {
		p := PMF(w.Weight)
		if t.GenuineHigh*p <= q*float64(w.Observed) && chance+p <= q {
			chance += p
			t.Weights[w.Weight].Condemned = true
		}
	}
}

// Outliers are the outlying weights, by weight.
func (t *WeightTest) Outliers() []Weight {
	return t.those(func(w Weight) bool { return w.Outlier })
}

// Condemned are the weights that speak against every host that has them, by weight.
func (t *WeightTest) Condemned() []Weight {
	return t.those(func(w Weight) bool { return w.Condemned })
}

func (t *WeightTest) those(are func(Weight) bool) (weights []Weight) {
	for _, w := range t.Weights {
		if are(w) {
			weights = append(weights, w)
		}
	}
	return weights
}

// FormatP writes a p-value, also one that is too small for a float64.
func FormatP(p float64) string {
	if p < 1e-300 {
		return "< 1e-300"
	}
	return fmt.Sprintf("%.1e", p)
}
