package main

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// badKeys are what a box makes for the hosts of a group: a maker of keys for each box.
var badKeys = []struct {
	name string
	box  func(rng *rand.Rand) func() uint64
}{
	{"1 byte constant", constantBits(0xff)},
	{"2 bytes constant", constantBits(0xffff)},
	{"4 bytes constant", constantBits(0xffffffff)},
	{"counter", func(rng *rand.Rand) func() uint64 {
		last := rng.Uint64()
		return func() uint64 { last++; return last }
	}},
	{"counter, bytes reversed, steps up to 1,000", func(rng *rand.Rand) func() uint64 {
		last := rng.Uint64()
		return func() uint64 { last += 1 + rng.Uint64N(1000); return bits.ReverseBytes64(last) }
	}},
	{"hexadecimal digits", func(rng *rand.Rand) func() uint64 {
		return func() uint64 {
			var b [8]byte
			for i := range b {
				b[i] = "0123456789abcdef"[rng.IntN(16)]
			}
			return binary.BigEndian.Uint64(b[:])
		}
	}},
	{"1 bit constant", constantBits(1 << 20)},
	{"bits set with 1/4", func(rng *rand.Rand) func() uint64 {
		return func() uint64 { return rng.Uint64() & rng.Uint64() }
	}},
}

// constantBits makes boxes that set these bits to a value of their own and draw the others.
func constantBits(mask uint64) func(*rand.Rand) func() uint64 {
	return func(rng *rand.Rand) func() uint64 {
		value := rng.Uint64() & mask
		return func() uint64 { return rng.Uint64()&^mask | value }
	}
}

// groupSizes are the genuine hosts of a group.
var groupSizes = []int{20, 43, 200, 1000, 9000}

func genuineGroup(rng *rand.Rand, name string, n int) keys.Group {
	g := keys.Group{Name: name, Keys: make([]uint64, n)}
	for i := range g.Keys {
		g.Keys[i] = rng.Uint64()
	}
	return g
}

// judged is what became of the keys of a group.
type judged struct {
	found          bool
	condemned, bad share // of the bad keys those condemned; of the condemned the bad
}

// judge mixes bad keys of one box into a group.
func judge(rng *rand.Rand, genuine, bad int, box func(*rand.Rand) func() uint64) (j judged) {
	g := genuineGroup(rng, "", genuine)
	made := make(map[uint64]bool)
	next := box(rng)
	for range bad {
		key := next()
		made[key] = true
		g.Keys = append(g.Keys, key)
	}
	condemned := make(map[uint64]bool)
	for _, f := range keys.TestGroups(slices.Values([]keys.Group{g}), keys.GroupFDR) {
		j.found = true
		for _, key := range f.Suspects {
			condemned[key] = true
		}
	}
	j.condemned.of, j.bad.of = bad, len(condemned)
	for key := range condemned {
		if made[key] {
			j.condemned.had++
			j.bad.had++
		}
	}
	return j
}

// groupsFalse: genuine groups alone.
func groupsFalse() string {
	var rows [][]string
	for _, c := range []struct{ groups, hosts, runs int }{
		{1, 20, 4000}, {1, 43, 4000}, {1, 200, 2000}, {1, 1000, 500}, {1, 9000, 100}, {100, 20, 400}, {100, 200, 400},
	} {
		scans := repeat(fmt.Sprint("groups ", c.groups, c.hosts), c.runs, func(rng *rand.Rand) []keys.Finding {
			var groups []keys.Group
			for range c.groups {
				groups = append(groups, genuineGroup(rng, "", c.hosts))
			}
			return keys.TestGroups(slices.Values(groups), keys.GroupFDR)
		})
		condemned := 0
		for _, findings := range scans {
			for _, f := range findings {
				condemned += len(f.Suspects)
			}
		}
		rows = append(rows, []string{
			grouped(c.groups), grouped(c.hosts), grouped(c.runs),
			shareOf(scans, func(f []keys.Finding) bool { return len(f) > 0 }).withInterval(),
			fmt.Sprintf("%.0f", 1e6*float64(condemned)/float64(c.runs*c.groups*c.hosts)),
		})
	}
	return markdown([]string{"groups", "genuine hosts in each", "scans", "with a finding, %", "hosts condemned in a million"}, rows)
}

// groupsPower: in how many groups the bad keys are found, and how many of them are condemned.
func groupsPower() string {
	var rows [][]string
	for _, shape := range badKeys {
		for _, c := range contaminations {
			row := []string{shape.name, percent(c)}
			var wronged share
			for _, n := range groupSizes {
				bad := contaminants(n, c)
				if bad < 2 {
					row = append(row, "–")
					continue
				}
				found, condemned := share{}, share{}
				for _, j := range repeat(fmt.Sprint("group ", shape.name, c, n), max(2, min(40, 8000/(n+bad))), func(rng *rand.Rand) judged {
					return judge(rng, n, bad, shape.box)
				}) {
					found.of++
					if j.found {
						found.had++
					}
					condemned.had += j.condemned.had
					condemned.of += j.condemned.of
					wronged.had += j.bad.of - j.bad.had
					wronged.of += j.bad.of
				}
				row = append(row, fmt.Sprintf("%s / %s", found, condemned))
			}
			if wronged.of > 0 {
				row = append(row, fmt.Sprintf("%.1f", 100*float64(wronged.had)/float64(wronged.of)))
			} else {
				row = append(row, "–")
			}
			rows = append(rows, row)
		}
	}
	return markdown([]string{"bad keys", "of all keys", "20 genuine hosts", "43", "200", "1,000", "9,000", "genuine among the condemned, %"}, rows)
}

// groupsFew: bad keys in some groups of 20 keys, among 1,000 groups.
func groupsFew() string {
	const groups, hosts, contaminated = 1000, 20, 100
	var rows [][]string
	for _, shape := range badKeys {
		row := []string{shape.name}
		for _, bad := range []int{2, 3, 4, 5, 8, 20} {
			rng := rand.New(rand.NewPCG(seed("few "+shape.name), uint64(bad)))
			condemned := share{of: contaminated * bad}
			made := make(map[uint64]bool)
			var all []keys.Group
			for i := range groups {
				g := genuineGroup(rng, "", hosts)
				if i < contaminated {
					next := shape.box(rng)
					for j := range bad {
						g.Keys[j] = next()
						made[g.Keys[j]] = true
					}
				}
				all = append(all, g)
			}
			met := make(map[uint64]bool)
			for _, f := range keys.TestGroups(slices.Values(all), keys.GroupFDR) {
				for _, key := range f.Suspects {
					met[key] = met[key] || made[key]
				}
			}
			for _, isBad := range met {
				if isBad {
					condemned.had++
				}
			}
			row = append(row, condemned.String())
		}
		rows = append(rows, row)
	}
	return markdown([]string{"bad keys", "2 of 20", "3 of 20", "4 of 20", "5 of 20", "8 of 20", "20 of 20"}, rows)
}
