package keys

import "math"

// CollisionChance bounds the chance that any two of n genuine keys are equal: n(n-1)/2^65, the number
// of their pairs by the chance of each (the birthday problem). With the 74 million keys of a year of
// scans it is 1.5e-4; with the 200,000 of one, 1.1e-9. A key that comes back from two hosts, or from
// one host twice, is therefore not genuine: a key must be hard to guess, and unique for its host at
// any one time (RFC 6824 §3.1, RFC 8684 §3.1).
func CollisionChance(n uint64) float64 {
	return min(1, math.Ldexp(float64(n)*(float64(n)-1), -Bits-1))
}
