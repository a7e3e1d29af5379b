package main

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// The networks of the simulated scans: prefixes of some 30 keys, 20 to an AS, boxes in each tenth prefix.
const (
	keysOfPrefix  = 30
	prefixesOfAS  = 20
	prefixesOfBox = 10
)

// member is one key of a scan and where it is from.
type member struct {
	key    uint64
	prefix int
	bad    bool
}

// wholeScan mixes genuine hosts, anywhere, with those of boxes; each of these prefixes has its own.
func wholeScan(rng *rand.Rand, genuine, bad int, box func(*rand.Rand) func() uint64) []member {
	prefixes := max(1, (genuine+bad)/keysOfPrefix)
	var scan []member
	for range genuine {
		scan = append(scan, member{key: rng.Uint64(), prefix: rng.IntN(prefixes)})
	}
	boxes := make(map[int]func() uint64)
	for range bad {
		prefix := rng.IntN(max(1, prefixes/prefixesOfBox))
		if boxes[prefix] == nil {
			boxes[prefix] = box(rng)
		}
		scan = append(scan, member{key: boxes[prefix](), prefix: prefix, bad: true})
	}
	return scan
}

// judgeScan takes the same steps as package classify: the whole scan, ASes, prefixes, each kind on the keys
// that are left, then weights. It counts the bad keys condemned, and the genuine ones.
func judgeScan(scan []member) (j judged, wronged share) {
	condemned := make(map[uint64]bool)
	left := func(m member) bool { return !condemned[m.key] }
	for _, size := range []int{len(scan), prefixesOfAS, 1} { // prefixes in a group
		groups := make(map[int]*keys.Group)
		for _, m := range scan {
			if !left(m) {
				continue
			}
			if groups[m.prefix/size] == nil {
				groups[m.prefix/size] = new(keys.Group)
			}
			groups[m.prefix/size].Keys = append(groups[m.prefix/size].Keys, m.key)
		}
		var tested []keys.Group
		for i := range len(scan) {
			if groups[i] != nil {
				tested = append(tested, *groups[i])
			}
		}
		for _, f := range keys.TestGroups(slices.Values(tested), keys.GroupFDR) {
			for _, key := range f.Suspects {
				condemned[key] = true
			}
		}
	}
	var h keys.Histogram
	for _, m := range scan {
		if left(m) {
			h[bits.OnesCount64(m.key)]++
		}
	}
	weights := keys.TestWeights(h, keys.FDR)
	for _, m := range scan {
		found := !left(m) || weights.Weights[bits.OnesCount64(m.key)].Condemned
		switch {
		case m.bad:
			j.condemned.add(found)
		default:
			wronged.add(found)
		}
		if found {
			j.bad.add(m.bad)
		}
	}
	return j, wronged
}

func (s *share) add(had bool) {
	s.of++
	if had {
		s.had++
	}
}

// groupsNested: what all tests on what keys have in common make of a scan.
func groupsNested() string {
	const genuine = 300
	type result struct {
		judged
		wronged share
	}
	var rows [][]string
	for _, shape := range badKeys {
		for _, c := range []float64{0.1, 0.5, 0.8, 0.96} {
			var condemned, bad, wronged share
			runs := 40
			if c > 0.9 {
				runs = 8
			}
			for _, r := range repeat(fmt.Sprint("nested ", shape.name, c), runs, func(rng *rand.Rand) (r result) {
				r.judged, r.wronged = judgeScan(wholeScan(rng, genuine, contaminants(genuine, c), shape.box))
				return r
			}) {
				for sum, one := range map[*share]share{&condemned: r.condemned, &bad: r.bad, &wronged: r.wronged} {
					sum.had += one.had
					sum.of += one.of
				}
			}
			among := "–"
			if bad.of > 0 {
				among = fmt.Sprintf("%.1f", 100*float64(bad.of-bad.had)/float64(bad.of))
			}
			rows = append(rows, []string{shape.name, percent(c), condemned.String(), among, fmt.Sprintf("%.1f", 100*float64(wronged.had)/float64(wronged.of))})
		}
	}
	return markdown([]string{"bad keys", "of all keys", "of them condemned, %", "genuine among the condemned, %", "of the genuine condemned, %"}, rows)
}
