// Package keys holds the statistics on sender's keys: what a genuine key can look like, and what it
// cannot.
//
// Null hypothesis of every test: a genuine key is 64 independent fair bits, drawn afresh for each
// connection and without knowledge of the key that we sent (RFC 6824 §3.1 and RFC 8684 §3.1 ask for
// keys that are hard to guess; Linux takes them from its CSPRNG). Each test states the chance that a
// genuine key fails it.
package keys

import "math"

// Bits is the length of a key.
const Bits = 64

// choose[k] is C(64, k). The largest, C(64, 32), is 1.8e18 and fits.
var choose = func() (c [Bits + 1]uint64) {
	c[0] = 1
	for n := 1; n <= Bits; n++ {
		for k := n; k > 0; k-- {
			c[k] += c[k-1]
		}
	}
	return c
}()

// PMF is the chance that a genuine key has Hamming weight k, for k in 0..64.
//
// The counts of keys are exact integers and the division by 2^64 is exact too, so the one rounding
// is that to float64: a relative error of at most 2^-53, at weight 0 as at 32.
func PMF(k int) float64 {
	return math.Ldexp(float64(choose[k]), -Bits)
}

// LowerTail is the chance that a genuine key has a Hamming weight of at most k, for k in 0..64. It
// is as exact as [PMF].
func LowerTail(k int) float64 {
	if k == Bits {
		return 1 // 2^64 keys: the one sum that does not fit
	}
	var n uint64
	for _, c := range choose[:k+1] {
		n += c
	}
	return math.Ldexp(float64(n), -Bits)
}

// binomialUpperTail is the chance that Binomial(n, p) is k or more, to a relative error of 1e-10 for n
// up to 1e9, however small it is, down to the least normal float64.
//
// It sums the probabilities from k away from the mean, each from the one before, in at most some ten
// standard deviations of steps. gonum's incomplete beta function (v0.17.0), the same tail by DLMF
// 8.17.5, gives up on its continued fraction near the mean of 1e7 trials and more: it says -0.3 for a half
// at 1e9.
func binomialUpperTail(k, n uint64, p float64) float64 {
	switch {
	case k == 0 || p >= 1 && k <= n:
		return 1
	case k > n || p <= 0:
		return 0
	case float64(k) <= float64(n)*p:
		return 1 - binomialSum(n-k+1, n, 1-p, p) // at least about a half: nothing is lost from 1
	}
	return binomialSum(k, n, p, 1-p)
}

// binomialSum is the chance that Binomial(n, p) is k or more, for k > 0 at its mode or above. It is
// given q = 1-p, too, as the difference would lose the digits of a small q.
func binomialSum(k, n uint64, p, q float64) float64 {
	odds := p / q
	sum, term := 0.0, 1.0
	for i := k; i <= n && term > sum*0x1p-60; i++ {
		sum += term
		term *= float64(n-i) / float64(i+1) * odds
	}
	return sum * binomialPMF(k, n, p, q)
}

// binomialPMF is the chance that Binomial(n, p) is k, for 0 < k <= n and q = 1-p. It is Loader's
// saddle-point expansion (Fast and Accurate Computation of Binomial Probabilities, 2000): log-gammas of
// 1e9, some 2e10, would leave but five digits of their difference.
func binomialPMF(k, n uint64, p, q float64) float64 {
	x, y, all := float64(k), float64(n-k), float64(n)
	switch {
	case k == n && p > 0.5:
		return math.Exp(all * math.Log1p(-q))
	case k == n:
		return math.Exp(all * math.Log(p))
	}
	exponent := stirlingError(n) - stirlingError(k) - stirlingError(n-k) - deviance(x, all*p) - deviance(y, all*q)
	return math.Exp(exponent) * math.Sqrt(all/(2*math.Pi*x*y))
}

// stirlingError is by how much the logarithm of n! exceeds that of Stirling's sqrt(2πn)(n/e)^n, for n > 0.
func stirlingError(n uint64) float64 {
	x := float64(n)
	if n < 16 {
		factorial, _ := math.Lgamma(x + 1)
		return factorial - (x+0.5)*math.Log(x) + x - 0.5*math.Log(2*math.Pi)
	}
	// DLMF 5.11.1
	xx := x * x
	return (1./12 - (1./360-(1./1260-(1./1680-1./1188/xx)/xx)/xx)/xx) / x
}

// deviance is x log(x/mean) - x + mean, by a series where that difference would cancel (Loader, §3).
func deviance(x, mean float64) float64 {
	if math.Abs(x-mean) >= 0.1*(x+mean) {
		return x*math.Log(x/mean) + mean - x
	}
	v := (x - mean) / (x + mean)
	sum, power := (x-mean)*v, 2*x*v
	for i := 3.0; ; i += 2 {
		power *= v * v
		next := sum + power/i
		if next == sum {
			return sum
		}
		sum = next
	}
}
