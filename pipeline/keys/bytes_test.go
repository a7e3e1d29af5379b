package keys

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// naiveShifted looks at every run of at least least bytes, from every place to every other.
func naiveShifted(key, sent uint64, least int) (count, by int) {
	var k, s [8]byte
	binary.BigEndian.PutUint64(k[:], key)
	binary.BigEndian.PutUint64(s[:], sent)
	for _, distance := range []int{1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6, 7, -7} {
		for from := range 8 {
			for length := least; from+length <= 8; length++ {
				to := from + distance
				if to < 0 || to+length > 8 {
					continue
				}
				if string(k[to:to+length]) == string(s[from:from+length]) && length > count {
					count, by = length, distance
				}
			}
		}
	}
	return count, by
}

func TestShiftedAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	found := 0
	for range 200_000 {
		// Few byte values, and often our own bytes at another place.
		var k, s [8]byte
		values := 1 + rng.IntN(6)
		for i := range k {
			k[i], s[i] = byte(rng.IntN(values)*37), byte(rng.IntN(values)*37)
		}
		if from, to := rng.IntN(8), rng.IntN(8); rng.IntN(2) == 0 {
			copy(k[to:], s[from:])
		}
		key, sent := binary.BigEndian.Uint64(k[:]), binary.BigEndian.Uint64(s[:])
		count, by := Shifted(key, sent)
		wantCount, wantBy := naiveShifted(key, sent, MinBytesShifted)
		if count != wantCount || by != wantBy {
			t.Fatalf("Shifted(%016x, %016x) = %d, %d, want %d, %d", key, sent, count, by, wantCount, wantBy)
		}
		if count > 0 {
			found++
		}
	}
	if found < 10_000 {
		t.Errorf("only %d shifted keys among those compared", found)
	}
}

func TestShifted(t *testing.T) {
	const sent = 0x0102030405060708
	for _, test := range []struct {
		key       uint64
		count, by int
	}{
		{0xff01020304050607, 7, 1},
		{0x02030405060708ff, 7, -1},
		{0xffffffff01020304, 4, 4},
		{0x05060708ffffffff, 4, -4},
		{0xff02030405ff0708, 0, 0}, // in place
		{0xffff01020304ffff, 4, 2},
		{0xffff010203ff0506, 0, 0},
		{0x0801020304050607, 7, 1}, // turned round
		{sent, 0, 0},
	} {
		if count, by := Shifted(test.key, sent); count != test.count || by != test.by {
			t.Errorf("Shifted(%016x) = %d, %d, want %d, %d", test.key, count, by, test.count, test.by)
		}
	}
}

// The chance that the comment on MinBytesShifted states: its 20 ways, and, where it can be met, with
// runs of two bytes instead of four (42 ways of chance 2^-16), by simulation.
func TestShiftedChance(t *testing.T) {
	ways := func(least int) (n int) {
		for from := range 8 {
			for to := range 8 {
				if from != to && from+least <= 8 && to+least <= 8 {
					n++
				}
			}
		}
		return n
	}
	if ways(MinBytesShifted) != 20 || ways(2) != 42 {
		t.Fatalf("%d and %d ways", ways(MinBytesShifted), ways(2))
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for _, sent := range []uint64{0x0123_4080_0012_3401, 0x8888_8888_8888_8888} {
		const n = 1_000_000
		hits := 0.0
		for range n {
			if count, _ := naiveShifted(rng.Uint64(), sent, 2); count > 0 {
				hits++
			}
		}
		if bound := n * 42. / 65536; hits > bound+5*math.Sqrt(bound) {
			t.Errorf("%g of %d genuine keys have a run of %016x, want at most %.0f", hits, n, sent, bound)
		}
	}
}
