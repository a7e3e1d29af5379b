package keys

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// shapes are ways in which keys are not genuine. A maker is made anew for each group.
var shapes = []struct {
	name  string
	maker func(rng *rand.Rand) func() uint64
}{
	{"byte constant", func(rng *rand.Rand) func() uint64 {
		value := rng.Uint64() & 0xff00
		return func() uint64 { return rng.Uint64()&^0xff00 | value }
	}},
	{"half constant", func(rng *rand.Rand) func() uint64 {
		value := rng.Uint64() << 32
		return func() uint64 { return value | uint64(rng.Uint32()) }
	}},
	{"counter", func(rng *rand.Rand) func() uint64 {
		last := rng.Uint64()
		return func() uint64 { last += 1 + rng.Uint64N(100); return last }
	}},
	{"counter, bytes reversed", func(rng *rand.Rand) func() uint64 {
		last := rng.Uint64()
		return func() uint64 { last++; return bits.ReverseBytes64(last) }
	}},
	{"equal", func(rng *rand.Rand) func() uint64 {
		key := rng.Uint64()
		return func() uint64 { return key }
	}},
	{"bits with chance 1/4", func(rng *rand.Rand) func() uint64 {
		return func() uint64 { return rng.Uint64() & rng.Uint64() }
	}},
	{"bit constant", func(rng *rand.Rand) func() uint64 {
		return func() uint64 { return rng.Uint64() | 1<<20 }
	}},
	{"bytes below 128", func(rng *rand.Rand) func() uint64 {
		return func() uint64 { return rng.Uint64() & 0x7f7f_7f7f_7f7f_7f7f }
	}},
	{"hex digits", func(rng *rand.Rand) func() uint64 {
		return func() uint64 {
			var b [8]byte
			for i := range b {
				b[i] = "0123456789abcdef"[rng.IntN(16)]
			}
			return binary.BigEndian.Uint64(b[:])
		}
	}},
}

// mixture is a group of keys: first the bad ones, then the genuine.
func mixture(rng *rand.Rand, name string, bad, genuine int, make func() uint64) Group {
	g := Group{Name: name}
	for range bad {
		g.Keys = append(g.Keys, make())
	}
	for range genuine {
		g.Keys = append(g.Keys, rng.Uint64())
	}
	return g
}

// testGroups leaves the keys in their order.
func testGroups(q float64, groups ...Group) []Finding {
	return TestGroups(func(yield func(Group) bool) {
		for _, g := range groups {
			if !yield(Group{g.Name, slices.Clone(g.Keys)}) {
				return
			}
		}
	}, q)
}

// naiveTail sums the binomial, term by term.
func naiveTail(k, n int, p float64) (sum float64) {
	lgamma := func(x int) float64 { l, _ := math.Lgamma(float64(x) + 1); return l }
	for i := k; i <= n; i++ {
		sum += math.Exp(lgamma(n) - lgamma(i) - lgamma(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(1, sum)
}

// naiveAtLeast is the chance that at least so many of the events happen, by going through both cases of
// each.
func naiveAtLeast(least int, chances []float64) float64 {
	switch {
	case least <= 0:
		return 1
	case least > len(chances):
		return 0
	case chances[0] == 0.5: // all of them: too many to go through
		return naiveTail(least, len(chances), 0.5)
	}
	return chances[0]*naiveAtLeast(least-1, chances[1:]) + (1-chances[0])*naiveAtLeast(least, chances[1:])
}

// naiveSuspects goes down from those with most features, and takes in who is added where hardly any of
// these is genuine.
func naiveSuspects(keys []uint64, features func(uint64) int, chances []float64, q float64) ([]uint64, float64) {
	var taken []uint64
	takenChance := 0.0
	for enough := len(chances); enough >= 1; enough-- {
		var found []uint64
		for _, key := range keys {
			if features(key) >= enough {
				found = append(found, key)
			}
		}
		chance := naiveAtLeast(enough, chances)
		others := float64(len(keys) - len(found))
		genuine := others / (1 - chance) * (chance - takenChance)
		if added := float64(len(found) - len(taken)); chance <= q && added > 0 && genuine <= q*added {
			taken, takenChance = found, chance
		}
	}
	slices.Sort(taken)
	return slices.Compact(taken), takenChance
}

type naiveHypothesis struct {
	group  int
	p      float64
	level  float64 // the least q at which it is rejected
	reason string
	values [][2]int // place and value, of those on bytes
	step   int
	gaps   int
	near   []uint64
}

// naiveReject is the Benjamini–Hochberg procedure as it was published: the k smallest p-values, for the
// largest k of which the k-th is at most q k/m.
func naiveReject(all []naiveHypothesis, m int, q float64) []naiveHypothesis {
	slices.SortStableFunc(all, func(a, b naiveHypothesis) int {
		if a.p < b.p {
			return -1
		} else if a.p > b.p {
			return 1
		}
		return 0
	})
	for k := len(all); k > 0; k-- {
		if all[k-1].p <= q*float64(k)/float64(m) {
			for i := range all[:k] {
				all[i].level = 1
				for j := i; j < len(all); j++ {
					all[i].level = min(all[i].level, all[j].p*float64(m)/float64(j+1))
				}
			}
			return all[:k]
		}
	}
	return nil
}

// naiveGroups is TestGroups written again, slowly, by bytes in slices and maps.
func naiveGroups(groups []Group, q float64) (findings []Finding) {
	const share = 1. / 4
	bytesOf := func(key uint64) []byte { return binary.BigEndian.AppendUint64(nil, key) }
	named := make([]map[[2]int]bool, len(groups))
	found := make([][]Finding, len(groups))

	rejectedBytes := make([][]naiveHypothesis, len(groups))
	for _, size := range []int{1, 2} {
		var all []naiveHypothesis
		for g, group := range groups {
			if size == 1 {
				named[g] = make(map[[2]int]bool)
			}
			count := make(map[string]int)
			values := make(map[string][][2]int)
			for _, key := range group.Keys {
				b := bytesOf(key)
				for i := range 8 {
					if size == 1 {
						v := [][2]int{{i, int(b[i])}}
						count[fmt.Sprint(v)]++
						values[fmt.Sprint(v)] = v
						continue
					}
					for j := i + 1; j < 8; j++ {
						v := [][2]int{{i, int(b[i])}, {j, int(b[j])}}
						count[fmt.Sprint(v)]++
						values[fmt.Sprint(v)] = v
					}
				}
			}
			for at, n := range count {
				v := values[at]
				if n < 2 {
					continue
				}
				if size == 2 && named[g][v[0]] != named[g][v[1]] {
					known := v[0]
					if named[g][v[1]] {
						known = v[1]
					}
					having := 0
					for _, key := range group.Keys {
						if int(bytesOf(key)[known[0]]) == known[1] {
							having++
						}
					}
					if naiveTail(n, having, 1./256)*7*256 > q*share {
						continue
					}
				} else if named[g][v[0]] {
					continue
				}
				what := fmt.Sprintf("byte %d is 0x%02x", v[0][0], v[0][1])
				if size == 2 {
					what = fmt.Sprintf("bytes %d and %d are 0x%02x and 0x%02x", v[0][0], v[1][0], v[0][1], v[1][1])
				}
				all = append(all, naiveHypothesis{group: g, values: v,
					p:      naiveTail(n, len(group.Keys), math.Pow(1./256, float64(size))),
					reason: fmt.Sprintf("%s in %d of %d", what, n, len(group.Keys))})
			}
		}
		m := len(groups) * 8 * 256
		if size == 2 {
			m = len(groups) * 28 * 65536
		}
		for _, h := range naiveReject(all, m, q*share) {
			rejectedBytes[h.group] = append(rejectedBytes[h.group], h)
			for _, v := range h.values {
				named[h.group][v] = true
			}
		}
	}
	left, lost := make([][]uint64, len(groups)), make([]float64, len(groups))
	for g, group := range groups {
		if h := rejectedBytes[g]; len(h) > 0 {
			in := func(key uint64) (n int) {
				for i, b := range bytesOf(key) {
					if named[g][[2]int{i, int(b)}] {
						n++
					}
				}
				return n
			}
			chances := make([]float64, 8)
			for v := range named[g] {
				chances[v[0]] += 1. / 256
			}
			found[g] = []Finding{{Group: group.Name, Reason: "constant-byte: " + h[0].reason, P: h[0].p, AdjustedP: h[0].level / share}}
			found[g][0].Suspects, lost[g] = naiveSuspects(group.Keys, in, chances, q)
		}
	}

	var all []naiveHypothesis
	for g, group := range groups {
		for _, order := range []binary.ByteOrder{binary.BigEndian, binary.LittleEndian} {
			var numbers []uint64
			for _, key := range group.Keys {
				numbers = append(numbers, order.Uint64(bytesOf(key)))
			}
			for step := 0; step <= 16; step++ {
				gaps := 0
				var near []uint64
				for i, a := range numbers {
					next := uint64(math.MaxUint64) // the distance to the next number upwards
					last, isNear := true, false
					for j, b := range numbers {
						if b > a || b == a && j > i {
							next, last = min(next, b-a), false
						}
						if i != j && max(a, b)-min(a, b) < 1<<step {
							isNear = true
						}
					}
					if !last && next < 1<<step {
						gaps++
					}
					if isNear {
						near = append(near, group.Keys[i])
					}
				}
				if gaps > 0 {
					x := math.Ldexp(1, step-64)
					all = append(all, naiveHypothesis{group: g, step: step, gaps: gaps, near: near,
						p:      naiveTail(gaps, len(numbers)-1, float64(len(numbers))*x), // 1-(1-x)^n, for x < 1e-14
						reason: fmt.Sprint(len(near), " ", order, " within ", 1<<step)})
				}
			}
		}
	}
	most := make(map[int]naiveHypothesis)
	for _, h := range naiveReject(all, len(groups)*34, q*share) {
		if m, ok := most[h.group]; !ok || h.gaps > m.gaps || h.gaps == m.gaps && h.step < m.step {
			most[h.group] = h
		}
	}
	for g, group := range groups {
		if h, ok := most[g]; ok {
			near := func(key uint64) int {
				if slices.Contains(h.near, key) {
					return 1
				}
				return 0
			}
			chance := float64(len(group.Keys)-1) * math.Ldexp(1, h.step-63)
			suspects, chance := naiveSuspects(group.Keys, near, []float64{chance}, q)
			found[g] = append(found[g], Finding{Group: group.Name, Reason: "counter: " + h.reason, P: h.p, AdjustedP: h.level / share, Suspects: suspects})
			lost[g] += chance
		}
	}

	all = nil
	for g, group := range groups {
		for _, key := range group.Keys {
			if !slices.ContainsFunc(found[g], func(f Finding) bool { return slices.Contains(f.Suspects, key) }) {
				left[g] = append(left[g], key)
			}
		}
		for place := range 64 {
			set := 0
			for _, key := range left[g] {
				if bytesOf(key)[place/8]&(0x80>>(place%8)) != 0 {
					set++
				}
			}
			n := len(left[g])
			all = append(all, naiveHypothesis{group: g, step: place, values: [][2]int{{set, n}},
				p:      min(1, naiveTail(max(set, n-set), n, 0.5/(1-lost[g]))*2),
				reason: fmt.Sprintf("biased-bit: bit %d set in %d of %d", place, set, n)})
		}
	}
	biased := make([][]naiveHypothesis, len(groups))
	for _, h := range naiveReject(all, len(groups)*64, q*share) {
		biased[h.group] = append(biased[h.group], h)
	}
	for g, group := range groups {
		if h := biased[g]; len(h) > 0 {
			usual := func(key uint64) (n int) {
				for _, b := range h {
					if mostSet := b.values[0][0]*2 > b.values[0][1]; mostSet == (key>>(63-b.step)&1 == 1) {
						n++
					}
				}
				return n
			}
			suspects, _ := naiveSuspects(left[g], usual, slices.Repeat([]float64{0.5}, len(h)), q)
			found[g] = append(found[g], Finding{Group: group.Name, Reason: h[0].reason, P: h[0].p, AdjustedP: h[0].level / share, Suspects: suspects})
		}
		findings = append(findings, found[g]...)
	}
	return findings
}

func TestGroupsAgainstNaive(t *testing.T) {
	kinds := make(map[string]int)
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 10))
		var groups []Group
		for i := range 1 + rng.IntN(4) {
			shape := shapes[rng.IntN(len(shapes))]
			g := mixture(rng, fmt.Sprintf("AS%d", 64500+i), rng.IntN(40), MinGroup+rng.IntN(60), shape.maker(rng))
			if rng.IntN(2) == 0 {
				g.Keys = append(g.Keys, g.Keys[len(g.Keys)-1]+7) // beside another, and no more than that
			}
			rng.Shuffle(len(g.Keys), func(i, j int) { g.Keys[i], g.Keys[j] = g.Keys[j], g.Keys[i] })
			groups = append(groups, g)
		}
		got, want := testGroups(FDR, groups...), naiveGroups(groups, FDR)
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d findings, want %d:\n%+v\n%+v", seed, len(got), len(want), got, want)
		}
		for i, f := range got {
			w := want[i]
			kind, _, _ := strings.Cut(f.Reason, ":")
			kinds[kind]++
			if len(f.Suspects) > 0 {
				kinds[kind+" with suspects"]++
			}
			// Of hypotheses with the same p, either may be named.
			sameReason := kind == "counter" || strings.HasPrefix(f.Reason, w.Reason) || strings.HasPrefix(w.Reason, kind)
			if f.Group != w.Group || !sameReason || math.Abs(f.P-w.P) > 1e-6*w.P && w.P > 1e-300 || !slices.Equal(f.Suspects, w.Suspects) {
				t.Fatalf("seed %d: got\n%+v\nwant\n%+v", seed, f, w)
			}
			if math.Abs(f.AdjustedP-w.AdjustedP) > 1e-6*w.AdjustedP && w.AdjustedP > 1e-300 {
				t.Errorf("seed %d: %s: adjusted p %g, want %g", seed, f.Reason, f.AdjustedP, w.AdjustedP)
			}
		}
	}
	for _, kind := range []string{"constant-byte", "counter", "biased-bit", "biased-bit with suspects"} {
		if kinds[kind] < 10 {
			t.Errorf("only %d findings of %s were compared: %v", kinds[kind], kind, kinds)
		}
	}
}

// The reasons as they stand in hosts.reasons, for keys of which everything is known. 256^-n and the like
// are the p-values, by hand.
func TestReasons(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	constant := mixture(rng, "AS64500", 43, 0, func() uint64 { return rng.Uint64()&^0xff00000000 | 0x5a00000000 })
	counter := mixture(rng, "198.18.3.0/24", 0, 8, nil)
	last := rng.Uint64() &^ 0xfff
	for range 2 {
		last += 100
		counter.Keys = append(counter.Keys, last)
	}
	reversed := Group{Name: "AS64501"}
	for _, key := range counter.Keys {
		reversed.Keys = append(reversed.Keys, bits.ReverseBytes64(key))
	}
	biased := mixture(rng, "AS64502", 60, 0, func() uint64 { return rng.Uint64() &^ (1 << 56) })
	half := mixture(rng, "AS64504", 43, 0, func() uint64 { return rng.Uint64()>>32 | 0x01234567<<32 })
	two := mixture(rng, "AS64505", 60, 0, func() uint64 { return rng.Uint64() &^ 1 })
	two.Keys = append(two.Keys, half.Keys...)
	slices.Sort(half.Keys)
	pair := mixture(rng, "AS64503", 4, 56, func() uint64 { return rng.Uint64()&^0xffff | 0x1234 })

	for _, test := range []struct {
		group    Group
		reason   string
		suspects []uint64
	}{
		{constant, "constant-byte: byte 3 is 0x5a in 43 of 43 keys of AS64500, p 2.8e-104", constant.Keys},
		{half, "constant-byte: byte 0 is 0x01 in 43 of 43 keys of AS64504, and 3 more, p 2.8e-104", half.Keys},
		{counter, "counter: 2 keys of 198.18.3.0/24 within 128 of another, p 6.2e-16", counter.Keys[8:]},
		{reversed, "counter: 2 keys of AS64501, bytes reversed, within 128 of another, p 6.2e-16", reversed.Keys[8:]},
		{biased, "biased-bit: bit 7 set in 0 of 60 keys of AS64502, p 1.7e-18", nil},
		{two, "biased-bit: bit 63 set in 0 of 60 keys of the rest of AS64505, p 1.7e-18", nil},
		{pair, "constant-byte: bytes 6 and 7 are 0x12 and 0x34 in 4 of 60 keys of AS64503, p 2.6e-14", pair.Keys[:4]},
	} {
		slices.Sort(test.suspects)
		findings := testGroups(FDR, test.group)
		if !slices.ContainsFunc(findings, func(f Finding) bool {
			return f.Reason == test.reason && f.Group == test.group.Name && slices.Equal(f.Suspects, test.suspects)
		}) {
			t.Errorf("got  %+v\nwant %s, suspects %d", findings, test.reason, test.suspects)
		}
	}
}

// What the comments say is found and spared, in populations made for it.
func TestGroupsOfMixedKeys(t *testing.T) {
	makers := make(map[string]func(*rand.Rand) func() uint64)
	for _, s := range shapes {
		makers[s.name] = s.maker
	}
	for _, test := range []struct {
		shape        string
		bad, genuine int
		others       int  // groups of 20 genuine keys beside it
		condemned    bool // all of the bad
	}{
		{"half constant", 15, 135, 0, true},
		{"half constant", 5, 15, 9999, true},
		{"half constant", 3, 40, 0, true},
		{"half constant", 40, 360_000, 0, true},
		{"counter", 15, 135, 0, true},
		{"counter", 5, 15, 9999, true},
		{"counter, bytes reversed", 5, 15, 9999, true},
		{"byte constant", 43, 0, 0, true},
		{"byte constant", 40, 3, 0, true},
		{"byte constant", 15, 135, 0, false}, // 0.5 genuine keys among 15.5
		{"bit constant", 40, 3, 0, false},
		{"bytes below 128", 43, 0, 0, true},
	} {
		rng := rand.New(rand.NewPCG(12, uint64(test.genuine)))
		mixed := mixture(rng, "mixed", test.bad, test.genuine, makers[test.shape](rng))
		groups := []Group{mixed}
		for i := range test.others {
			groups = append(groups, mixture(rng, fmt.Sprint(i), 0, 20, nil))
		}
		found, condemned, wronged := false, make(map[uint64]bool), 0
		for _, f := range testGroups(FDR, groups...) {
			if f.Group != "mixed" {
				t.Errorf("%s, %d of %d: %s", test.shape, test.bad, test.genuine, f.Reason)
				continue
			}
			found = true
			for _, key := range f.Suspects {
				condemned[key] = true
				if slices.Contains(mixed.Keys[test.bad:], key) {
					wronged++
				}
			}
		}
		bad := 0
		for _, key := range mixed.Keys[:test.bad] {
			if condemned[key] {
				bad++
			}
		}
		if !found || test.condemned && bad < test.bad || !test.condemned && bad > 0 || wronged*100 > bad {
			t.Errorf("%s, %d bad of %d: found %t, %d condemned, %d genuine wronged",
				test.shape, test.bad, test.bad+test.genuine, found, bad, wronged)
		}
	}
}

// The rate itself, where it can be met: with genuine keys alone, every finding is false, and some group of
// a scan has one with chance at most q.
func TestGenuineGroupsHaveNoFinding(t *testing.T) {
	for _, test := range []struct {
		sizes []int
		scans int
	}{
		{[]int{MinGroup, 8, 20, 43, 150}, 1000},
		{[]int{1000}, 300},
		{[]int{20_000}, 30},
	} {
		const q = 0.2
		hit := 0
		for seed := range test.scans {
			rng := rand.New(rand.NewPCG(uint64(seed), 13))
			var groups []Group
			for _, n := range test.sizes {
				groups = append(groups, mixture(rng, "", 0, n, nil))
			}
			if len(testGroups(q, groups...)) > 0 {
				hit++
			}
		}
		limit := q*float64(test.scans) + 3*math.Sqrt(q*(1-q)*float64(test.scans))
		if float64(hit) > limit || hit < 2 {
			t.Errorf("groups of %d: findings in %d of %d scans, want some and at most %.0f", test.sizes, hit, test.scans, limit)
		}
	}
}

// The law of the gaps, at a step at which genuine keys have some.
func TestGapsAgainstSimulation(t *testing.T) {
	const sets, step = 50_000, 54
	for _, n := range []int{5, 50} {
		rng := rand.New(rand.NewPCG(14, uint64(n)))
		all, chance := 0.0, gapChance(n, step)
		var low [3]float64 // sets with p at most 0.1, 0.01, 0.001
		for range sets {
			numbers := mixture(rng, "", 0, n, nil).Keys
			slices.Sort(numbers)
			gaps := 0
			for i := 1; i < n; i++ {
				if numbers[i]-numbers[i-1] < 1<<step {
					gaps++
				}
			}
			all += float64(gaps)
			p := naiveTail(gaps, n-1, chance)
			for i, level := range []float64{0.1, 0.01, 0.001} {
				if p <= level {
					low[i]++
				}
			}
		}
		if want := sets * float64(n-1) * chance; math.Abs(all-want) > 5*math.Sqrt(want) {
			t.Errorf("%d keys: %g gaps in all, want %.0f", n, all, want)
		}
		for i, level := range []float64{0.1, 0.01, 0.001} {
			if want := sets * level; low[i] > want+4*math.Sqrt(want) {
				t.Errorf("%d keys: p at most %g in %g sets, want at most %.0f", n, level, low[i], want)
			}
		}
	}
}

func TestAtLeast(t *testing.T) {
	for _, chances := range [][]float64{nil, {0}, {0.3}, {1. / 256, 2. / 256, 0, 1, 0.9}, slices.Repeat([]float64{0.5}, 64)} {
		got := atLeast(chances)
		for least := range len(chances) + 1 {
			if want := naiveAtLeast(least, chances); math.Abs(got[least]-want) > 1e-12*want {
				t.Errorf("%d of %g: %g, want %g", least, chances, got[least], want)
			}
		}
	}
}

// With a chance of 1 %, 100 keys that have a feature are suspects beside 98 others, of which one more may
// have it; not beside 100.
func TestSuspectsAreHardlyGenuine(t *testing.T) {
	for others, want := range map[int]int{98: 100, 100: 0} {
		var keys []uint64
		for i := range uint64(others + 100) {
			keys = append(keys, i)
		}
		feature := func(key uint64) int {
			if key < 100 {
				return 1
			}
			return 0
		}
		if got, _ := suspects(keys, feature, []float64{0.01}, 0.01); len(got) != want {
			t.Errorf("beside %d others: %d suspects, want %d", others, len(got), want)
		}
	}
}

// Where 15 keys of 150 have four features and one has two, that one may well be genuine; twenty such keys are not.
func TestSuspectsCarryNobodyAlong(t *testing.T) {
	for withTwo, want := range map[uint64]int{1: 15, 20: 35} {
		var keys []uint64
		for i := range uint64(150) {
			keys = append(keys, i)
		}
		features := func(key uint64) int {
			switch {
			case key < 15:
				return 4
			case key < 15+withTwo:
				return 2
			}
			return 0
		}
		if got, _ := suspects(keys, features, slices.Repeat([]float64{1. / 256}, 12), 0.01); len(got) != want {
			t.Errorf("with %d keys of two features: %d suspects, want %d", withTwo, len(got), want)
		}
	}
}

// MinGroup is the least number in which a byte that all share is found among 10,000 groups, and 16 that for
// a bit in one group.
func TestMinGroup(t *testing.T) {
	found := func(p float64, hypotheses int) bool { return p*float64(hypotheses)*tests <= FDR }
	const onBytes, onBits = 10_000 * 8 * 256, 64
	if found(math.Pow(256, 1-MinGroup), onBytes) || !found(math.Pow(256, -MinGroup), onBytes) {
		t.Error("MinGroup is not what its comment says")
	}
	if found(math.Pow(2, 2-15), onBits) && found(math.Pow(2, 1-15), onBits) || !found(math.Pow(2, 1-16), onBits) {
		t.Error("a bit that all keys share does not take 16 keys")
	}
	for n := range MinGroup + 1 {
		g := Group{Keys: slices.Repeat([]uint64{0x0123456789abcdef}, n)}
		if got := testGroups(FDR, g); (len(got) > 0) != (n == MinGroup) {
			t.Errorf("%d equal keys: %+v", n, got)
		}
	}
	if got := testGroups(FDR); got != nil {
		t.Errorf("no groups: %+v", got)
	}
}

func FuzzTestGroups(f *testing.F) {
	f.Add([]byte(nil), 0.01)
	f.Add([]byte(strings.Repeat("01234567", 20)), 0.01)
	f.Add(binary.BigEndian.AppendUint64(nil, math.MaxUint64), 0.4)
	f.Fuzz(func(t *testing.T, b []byte, q float64) {
		if !(q > 0 && q < 0.5) {
			t.Skip("no false-discovery rate to work with")
		}
		var keys []uint64
		for ; len(b) >= 8; b = b[8:] {
			keys = append(keys, binary.BigEndian.Uint64(b))
		}
		groups := []Group{{"one", keys}, {"half", keys[len(keys)/2:]}}
		for _, f := range testGroups(q, groups...) {
			if !slices.IsSorted(f.Suspects) || len(f.Suspects) > len(keys) || f.P < 0 || f.AdjustedP < f.P || f.AdjustedP > q {
				t.Errorf("%+v", f)
			}
			for _, key := range f.Suspects {
				if !slices.Contains(keys, key) {
					t.Errorf("%x is no key of the group", key)
				}
			}
		}
	})
}

func BenchmarkTestGroups(b *testing.B) {
	for _, size := range []struct{ groups, keys int }{{1, 43}, {10_000, 20}, {1, 200_000}, {1, 10_000_000}} {
		b.Run(fmt.Sprintf("%dx%d", size.groups, size.keys), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(15, 15))
			groups := make([]Group, size.groups)
			for i := range groups {
				groups[i] = mixture(rng, "", 0, size.keys, nil)
			}
			b.ReportAllocs()
			for b.Loop() {
				testGroups(FDR, groups...)
			}
		})
	}
}
