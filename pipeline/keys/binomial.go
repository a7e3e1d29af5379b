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
