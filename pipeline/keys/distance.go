package keys

// DistanceLevel is the largest chance at which [DistanceChance] calls a distance impossible: the
// distances 0 to 8 and 56 to 64. Among 200,000 genuine hosts, one is wronged in 10,000 scans.
const DistanceLevel = 1e-9

// DistanceChance is the chance that the Hamming distance d of a genuine key to the key that we sent
// lies as far from 32 as this or farther, on either side.
//
// A genuine key does not depend on ours, so their exclusive-or is 64 fair bits whatever we sent (also
// a key of weight 16): the distance follows Binomial(64, 1/2). 0 is an echo, 64 its complement. A
// histogram of distances is therefore judged as one of weights is: by [TestWeights].
func DistanceChance(d int) float64 {
	return min(1, 2*LowerTail(min(d, Bits-d)))
}
