package main

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// sentKey is one as the probe module makes them: 16 bits set.
func sentKey(rng *rand.Rand) (key uint64) {
	for bits.OnesCount64(key) < 16 {
		key |= 1 << rng.IntN(64)
	}
	return key
}

// tampers are what boxes make of the key that we sent.
var tampers = []struct {
	name string
	made func(rng *rand.Rand, sent uint64) uint64
}{
	{"1 bit flipped", flip(1)},
	{"4 bits flipped", flip(4)},
	{"8 bits flipped", flip(8)},
	{"12 bits flipped", flip(12)},
	{"all bits flipped", flip(64)},
	{"1 added", func(_ *rand.Rand, sent uint64) uint64 { return sent + 1 }},
	{"1 byte random", replace(7)},
	{"4 bytes random", replace(4)},
	{"5 bytes random", replace(3)},
	{"32-bit halves swapped", func(_ *rand.Rand, sent uint64) uint64 { return bits.RotateLeft64(sent, 32) }},
	{"bytes reversed", func(_ *rand.Rand, sent uint64) uint64 { return bits.ReverseBytes64(sent) }},
	{"bytes shuffled", func(rng *rand.Rand, sent uint64) uint64 {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], sent)
		rng.Shuffle(8, func(i, j int) { b[i], b[j] = b[j], b[i] })
		return binary.BigEndian.Uint64(b[:])
	}},
	{"moved by 1 byte, the gap random", shift(1)},
	{"moved by 4 bytes, the gap random", shift(4)},
	{"moved by 5 bytes, the gap random", shift(5)},
	{"rotated by 1 bit", func(_ *rand.Rand, sent uint64) uint64 { return bits.RotateLeft64(sent, 1) }},
	{"XOR with a random mask", func(rng *rand.Rand, sent uint64) uint64 { return sent ^ rng.Uint64() }},
}

func flip(n int) func(*rand.Rand, uint64) uint64 {
	return func(rng *rand.Rand, sent uint64) uint64 {
		for _, bit := range rng.Perm(64)[:n] {
			sent ^= 1 << bit
		}
		return sent
	}
}

// replace keeps so many bytes, the first or the last.
func replace(kept int) func(*rand.Rand, uint64) uint64 {
	return func(rng *rand.Rand, sent uint64) uint64 {
		ours := ^uint64(0) << (64 - 8*kept)
		if rng.IntN(2) == 0 {
			ours = ^uint64(0) >> (64 - 8*kept)
		}
		return sent&ours | rng.Uint64()&^ours
	}
}

// shift moves the key by so many bytes, towards the end or the start.
func shift(by int) func(*rand.Rand, uint64) uint64 {
	return func(rng *rand.Rand, sent uint64) uint64 {
		if rng.IntN(2) == 0 {
			return sent>>(8*by) | rng.Uint64()<<(64-8*by)
		}
		return sent<<(8*by) | rng.Uint64()>>(64-8*by)
	}
}

// singleTests are the tests on a key and the one that we sent to its host.
var singleTests = []struct {
	name   string
	chance string // of a genuine key to fail, at most
	fails  func(key, sent uint64) bool
}{
	{"distance", fmt.Sprintf("%.1e", keys.DistanceChance(8)), func(key, sent uint64) bool {
		return keys.DistanceChance(bits.OnesCount64(key^sent)) <= keys.DistanceLevel
	}},
	{"bytes kept", "1.6e-08", func(key, sent uint64) bool { return keys.BytesKept(key, sent) >= keys.MinBytesKept }},
	{"bytes moved", "4.7e-09", func(key, sent uint64) bool { n, _ := keys.Shifted(key, sent); return n > 0 }},
	{"bytes in another order", "2.2e-15", func(key, sent uint64) bool { return keys.Rearranged(key, sent) != "" }},
	{"low entropy", "8.7e-10", func(key, _ uint64) bool { return keys.ByteValues(key) <= keys.MaxLowEntropy }},
}

// singleFalse: genuine keys alone.
func singleFalse() string {
	const runs, each = 20, 100_000
	failed := repeat("single genuine", runs, func(rng *rand.Rand) []int {
		failed := make([]int, len(singleTests))
		for range each {
			key, sent := rng.Uint64(), sentKey(rng)
			for i, test := range singleTests {
				if test.fails(key, sent) {
					failed[i]++
				}
			}
		}
		return failed
	})
	var rows [][]string
	for i, test := range singleTests {
		sum := 0
		for _, f := range failed {
			sum += f[i]
		}
		rows = append(rows, []string{test.name, test.chance, grouped(sum)})
	}
	return markdown([]string{"test", "chance for a genuine key, at most", "of " + grouped(runs*each) + " genuine keys"}, rows)
}

// singlePower: the share of tampered keys that each test finds.
func singlePower() string {
	const n = 4000
	var rows [][]string
	for _, tamper := range tampers {
		found := make([]share, len(singleTests)+1)
		for i := range found {
			found[i].of = n
		}
		rng := rand.New(rand.NewPCG(seed("single "+tamper.name), 0))
		for range n {
			sent := sentKey(rng)
			key := tamper.made(rng, sent)
			any := false
			for i, test := range singleTests {
				if test.fails(key, sent) {
					found[i].had++
					any = true
				}
			}
			if any {
				found[len(singleTests)].had++
			}
		}
		row := []string{tamper.name}
		for _, f := range found {
			row = append(row, f.String())
		}
		rows = append(rows, row)
	}
	head := []string{"what was made of our key"}
	for _, test := range singleTests {
		head = append(head, test.name)
	}
	return markdown(append(head, "any"), rows)
}
