package keys

import (
	"cmp"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

const (
	// WeightLevel bounds the chance that a scan of genuine keys alone has any outlying weight. It is
	// shared out evenly over the 65 weights (Bonferroni), which holds whatever their dependence.
	WeightLevel = 1e-6

	// MinKeys is the number of keys below which nothing is decided on weights: the least with which
	// a pile of half of them is found at every weight, even at 32 where genuine keys are commonest.
	MinKeys = 31

	// MaxCondemned bounds the number of genuine keys expected at all the weights that speak against
	// single hosts, and so the chance that a scan wrongs any genuine host by its weight. It implies
	// that genuine keys explain less than 1 % of what is seen at such a weight. What is spared is
	// traced and verified later; what is condemned is not looked at again.
	MaxCondemned = 0.01
)

// Histogram counts keys by Hamming weight.
type Histogram [Bits + 1]uint64

// WeightTest says which weights hold more keys than genuine ones explain.
type WeightTest struct {
	Keys    uint64  // all keys of the histogram
	Genuine float64 // estimate of the genuine ones; contamination can raise it, never an outlier
	TooFew  bool    // fewer than MinKeys: no weight is called an outlier
	Weights [Bits + 1]Weight
}

// Weight is one bar of the histogram beside what genuine keys explain of it.
type Weight struct {
	Weight   int
	Observed uint64
	Expected float64 // genuine keys expected here
	P        float64 // chance of Observed or more, were all keys here genuine
	Excess   float64 // share of Observed that genuine keys do not explain, 0 to 1
	Outlier  bool
}

// TestWeights tests each weight of a scan for an excess of keys. Null hypothesis: all keys at that
// weight are genuine.
//
// The curve must not be shifted by the spike that it judges, so genuine keys are estimated from the
// weights that are not outlying: at first all; then the outlying ones are left out and the rest is
// judged anew, until nothing changes. Each round leaves out weights above the curve, which can only
// lower it, so an outlier stays one and the rounds end. What is never found out (a contamination
// shaped like the curve itself) raises the curve and so spares hosts; it cannot wrong any.
//
// The test of a weight is exact and allows for the error of that estimate: given the n keys at this
// weight and the weights left in, and p, the share that genuine keys have here among those weights,
// the number here is Binomial(n, p). It also holds for 43 keys (the paper's IPv6 scan of port 80).
func TestWeights(h Histogram) WeightTest {
	var t WeightTest
	for w, n := range h {
		t.Keys += n
		t.Weights[w] = Weight{Weight: w, Observed: n}
	}
	t.TooFew = t.Keys < MinKeys

	for {
		var kept uint64   // keys at weights that are not outlying
		var share float64 // of the genuine keys at these weights
		for w, weight := range t.Weights {
			if !weight.Outlier {
				kept += weight.Observed
				share += PMF(w)
			}
		}
		t.Genuine = float64(kept) / share

		changed := false
		for w := range t.Weights {
			weight := &t.Weights[w]
			n, all := kept, share
			if weight.Outlier {
				n, all = kept+weight.Observed, share+PMF(w)
			}
			weight.P = binomialUpperTail(weight.Observed, n, PMF(w)/all)
			if !weight.Outlier && !t.TooFew && weight.P <= WeightLevel/(Bits+1) {
				weight.Outlier, changed = true, true
			}
		}
		if !changed {
			break
		}
	}

	for w := range t.Weights {
		weight := &t.Weights[w]
		weight.Expected = t.Genuine * PMF(w)
		if weight.Observed > 0 {
			weight.Excess = max(0, 1-weight.Expected/float64(weight.Observed))
		}
	}
	return t
}

// Outliers are the outlying weights, by weight.
func (t *WeightTest) Outliers() []Weight {
	var outliers []Weight
	for _, w := range t.Weights {
		if w.Outlier {
			outliers = append(outliers, w)
		}
	}
	return outliers
}

// Condemned are the outlying weights that speak against every host that has them, rarest among
// genuine keys first, while [MaxCondemned] allows. At the others the excess is certain, but not whom
// it consists of.
func (t *WeightTest) Condemned() []Weight {
	outliers := t.Outliers()
	slices.SortStableFunc(outliers, func(a, b Weight) int { return cmp.Compare(a.Expected, b.Expected) })
	var condemned []Weight
	genuine := 0.0
	for _, w := range outliers {
		if genuine += w.Expected; genuine > MaxCondemned {
			break
		}
		condemned = append(condemned, w)
	}
	return condemned
}

// FormatP writes a p-value, also one that is too small for a float64.
func FormatP(p float64) string {
	if p < 1e-300 {
		return "< 1e-300"
	}
	return fmt.Sprintf("%.1e", p)
}

// binomialUpperTail is the chance that Binomial(n, p) is k or more.
func binomialUpperTail(k, n uint64, p float64) float64 {
	if k == 0 {
		return 1
	}
	// DLMF 8.17.5: the tail is the regularised incomplete beta function, which keeps its relative
	// precision where a sum from the other side, taken from 1, would have none.
	return mathext.RegIncBeta(float64(k), float64(n-k)+1, p)
}
