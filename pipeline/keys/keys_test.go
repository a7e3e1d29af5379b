package keys

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDistance(t *testing.T) {
	var impossible []int
	for d := 0; d <= Bits; d++ {
		if DistanceChance(d) <= DistanceLevel {
			impossible = append(impossible, d)
		}
		// Two-sided: all distances at least as far from the middle.
		far := int64(min(d, Bits-d))
		want := new(big.Rat).Add(keysOf(0, far), keysOf(Bits-far, Bits))
		if d != 32 && !close(DistanceChance(d), want) || d == 32 && DistanceChance(d) != 1 {
			t.Errorf("DistanceChance(%d) = %g", d, DistanceChance(d))
		}
	}
	want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 56, 57, 58, 59, 60, 61, 62, 63, 64}
	if !slices.Equal(impossible, want) {
		t.Errorf("impossible distances: %v", impossible)
	}
}

// Distances of random keys to keys of weight 16 follow the curve of distances to any other key.
func TestDistanceDoesNotDependOnTheKeySent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 200_000
	var h Histogram
	for range n {
		h[bits.OnesCount64(rng.Uint64()^0x8888_8888_8888_8888)]++
	}
	chi2, cells := 0.0, 0
	for d, observed := range h {
		if expected := n * PMF(d); expected > 10 {
			chi2 += (float64(observed) - expected) * (float64(observed) - expected) / expected
			cells++
		}
	}
	// Five standard deviations of a chi-square with as many degrees of freedom as cells.
	if limit := float64(cells) + 5*math.Sqrt(2*float64(cells)); chi2 > limit {
		t.Errorf("chi-square %.1f over %d distances, want at most %.1f", chi2, cells, limit)
	}
}

func TestBytesAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 100_000 {
		// Few byte values, so that everything happens.
		var k, s [8]byte
		values := 1 + rng.IntN(8)
		for i := range k {
			k[i], s[i] = byte(rng.IntN(values)*37), byte(rng.IntN(values)*37)
		}
		if rng.IntN(2) == 0 {
			k = s
			rng.Shuffle(8, func(i, j int) { k[i], k[j] = k[j], k[i] })
		}
		kept := 0
		distinct := make(map[byte]bool)
		count := make(map[byte]int)
		for i := range k {
			if k[i] == s[i] {
				kept++
			}
			distinct[k[i]] = true
			count[k[i]]++
			count[s[i]]--
		}
		rearranged := k != s
		for _, n := range count {
			rearranged = rearranged && n == 0
		}
		key, sent := binary.BigEndian.Uint64(k[:]), binary.BigEndian.Uint64(s[:])
		if got := BytesKept(key, sent); got != kept {
			t.Fatalf("BytesKept(%x, %x) = %d, want %d", key, sent, got, kept)
		}
		if got := ByteValues(key); got != len(distinct) {
			t.Fatalf("ByteValues(%x) = %d, want %d", key, got, len(distinct))
		}
		if got := Rearranged(key, sent); (got != "") != rearranged {
			t.Fatalf("Rearranged(%x, %x) = %q, want %t", key, sent, got, rearranged)
		}
	}
}

func TestRearranged(t *testing.T) {
	const sent = 0x0102030405060708
	for key, want := range map[uint64]string{
		sent:               "",
		sent + 1:           "",
		0x0807060504030201: "reversed",
		0x0506070801020304: "32-bit halves swapped",
		0x0304010207080506: "16-bit neighbours swapped",
		0x0201040306050807: "bytes of 16-bit words swapped",
		0x0403020108070605: "bytes in another order",
	} {
		if got := Rearranged(key, sent); got != want {
			t.Errorf("Rearranged(%016x) = %q, want %q", key, got, want)
		}
	}
}

// The chances that the comments on bytes.go state.
func TestByteChances(t *testing.T) {
	// Ways to write j distinct values in i bytes: either the last byte repeats one of j, or it is new.
	ways := [9][9]*big.Int{}
	for i := range ways {
		for j := range ways[i] {
			ways[i][j] = new(big.Int)
			if i == 0 && j == 0 {
				ways[i][j].SetInt64(1)
			}
			if i > 0 && j > 0 {
				again := new(big.Int).Mul(ways[i-1][j], big.NewInt(int64(j)))
				fresh := new(big.Int).Mul(ways[i-1][j-1], big.NewInt(int64(256-j+1)))
				ways[i][j].Add(again, fresh)
			}
		}
	}
	low := new(big.Int)
	for j := 1; j <= MaxLowEntropy; j++ {
		low.Add(low, ways[8][j])
	}
	if low.String() != "16025652736" {
		t.Errorf("keys of at most %d byte values: %s", MaxLowEntropy, low)
	}

	kept := 0.0
	for i := int64(MinBytesKept); i <= 8; i++ {
		n, _ := new(big.Float).SetInt(new(big.Int).Binomial(8, i)).Float64()
		kept += n * math.Pow(1./256, float64(i)) * math.Pow(255./256, float64(8-i))
	}
	if got := math.Round(kept*1e9) / 1e9; got != 1.6e-8 {
		t.Errorf("chance of %d bytes kept: %g", MinBytesKept, kept)
	}

	// The same chances where they can be met: four byte values and two bytes kept, by simulation.
	four, _ := new(big.Rat).SetFrac(new(big.Int).Add(low, ways[8][4]), new(big.Int).Lsh(big.NewInt(1), 64)).Float64()
	two := 28./256/256*math.Pow(255./256, 6) + 56./256/256/256
	rng := rand.New(rand.NewPCG(3, 3))
	const n = 4_000_000
	var fours, twos float64
	for range n {
		key := rng.Uint64()
		if ByteValues(key) <= 4 {
			fours++
		}
		if BytesKept(key, 0x8888_8888_8888_8888) >= 2 {
			twos++
		}
	}
	for _, c := range []struct{ got, want float64 }{{fours, n * four}, {twos, n * two}} {
		if math.Abs(c.got-c.want) > 5*math.Sqrt(c.want) {
			t.Errorf("%g of %d keys, want %.1f", c.got, n, c.want)
		}
	}
}
