package keys

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
)

// MinGroup is the number of keys below which nothing is said of a group: the least with which a byte
// that all its keys share is found in one of 10,000 groups (256^-5, times all hypotheses on bytes).
// A bit that all keys share takes 16 keys, in a single group.
const MinGroup = 5

// GroupFDR is the rate q of [TestGroups] where a key is in three groups, each of another kind: the whole
// scan, an AS, a prefix. They are tested one kind after the other, each on the keys that are left, so that of
// all suspects, too, at most this share is expected to be genuine. A third of [FDR] would keep the chance of a
// genuine key to be one below FDR in any case, but is less than 1/256: one constant byte would then
// speak against nobody, whatever the share of the keys that have it. Half of it keeps below FDR by simulation:
// no contamination spends the whole chance in more than one kind (docs/statistics.md).
const GroupFDR = FDR / 2

// Group is the keys of the hosts of one prefix or AS, in one scan, that passed all tests on single
// keys.
type Group struct {
	Name string // as reasons give it: "198.18.3.0/24", "AS64500"
	Keys []uint64
}

// Finding is what one test found in one group.
type Finding struct {
	Group     string
	Reason    string   // as it stands in hosts.reasons
	P         float64  // of what the reason says
	AdjustedP float64  // the same, among all hypotheses of all tests and groups (Benjamini–Hochberg)
	Suspects  []uint64 // the keys that it speaks against, ascending; nil when only against the group

	chance float64 // of a genuine key to be a suspect
}

// tests is the number of tests in TestGroups.
const tests = 4

// TestGroups looks for what the keys of a group have in common and genuine ones have not. Null
// hypothesis: all keys of a group are 64 independent fair bits. There are four tests:
//
//   - constant-byte: too many keys have the same value in a byte;
//   - constant-byte, in two bytes: too many keys have the same values in both, also given those that have
//     the value of one (5 of 20 keys with four constant bytes are found so even among 10,000 groups);
//   - counter: keys lie too near each other as numbers, in the one byte order or the other;
//   - biased-bit: too many keys have a bit set, or too few. It is made last, on the keys that the other
//     tests do not suspect: what these explain is not said again.
//
// The false-discovery rate of all findings together is at most q. Each test gets the same share of q,
// since the false share of the whole is at most the sum of the tests' own; within a test the
// Benjamini–Hochberg procedure runs over all its hypotheses in all groups. Those on the same keys are not
// independent; docs/statistics.md has what simulation says of it.
//
// Groups are mixtures: a box that makes bad keys, and genuine hosts beside it. A finding speaks against
// single keys only where at most a share q of those keys is expected to be genuine and a genuine key is
// among them with chance at most q (see suspects); else it speaks of the group alone.
//
// Groups of fewer than [MinGroup] keys are passed over. Bytes and bits are numbered from 0, the first on
// the wire. The groups' keys are sorted in place, and held until TestGroups returns.
func TestGroups(groups iter.Seq[Group], q float64) []Finding {
	var tested []Group
	for g := range groups {
		if len(g.Keys) >= MinGroup {
			slices.Sort(g.Keys) // what is found does not depend on their order
			tested = append(tested, g)
		}
	}
	bytes := constantBytes(tested, q)
	counters := counters(tested, q)
	bits := biasedBits(unsuspected(tested, bytes, counters), q)

	var findings []Finding
	for i, g := range tested {
		for _, test := range []map[int]Finding{bytes, counters, bits} {
			if f, ok := test[i]; ok {
				f.Group = g.Name
				findings = append(findings, f)
			}
		}
	}
	return findings
}

// rest is what other tests leave of a group.
type rest struct {
	Group
	lost float64 // chance that a genuine key is not in it, at most
}

// unsuspected are the keys of each group that are in no finding.
func unsuspected(groups []Group, findings ...map[int]Finding) []rest {
	left := make([]rest, len(groups))
	for i, group := range groups {
		left[i] = rest{Group: group}
		for _, byGroup := range findings {
			f := byGroup[i]
			if len(f.Suspects) == 0 {
				continue
			}
			isSuspect := func(key uint64) bool { _, found := slices.BinarySearch(f.Suspects, key); return found }
			left[i].Name = "the rest of " + group.Name
			left[i].Keys = slices.DeleteFunc(slices.Clone(left[i].Keys), isSuspect)
			left[i].lost += f.chance
		}
	}
	return left
}

// hypothesis is one that a test in a group might reject.
type hypothesis[T any] struct {
	group       int // which, of those tested
	what        T
	p, adjusted float64
}

// possible says whether a hypothesis with this p-value could be rejected at all. Those that could not
// need not be kept: all that counts of them is their number.
func possible(p, q float64) bool { return p <= q/tests }

// reject gives the hypotheses of one test that are rejected of the m that it has, by group, the most
// significant first.
func reject[T any](hypotheses []hypothesis[T], m int, q float64) map[int][]hypothesis[T] {
	p := make([]float64, len(hypotheses))
	for i, h := range hypotheses {
		p[i] = h.p
	}
	found := make(map[int][]hypothesis[T])
	for i, adjusted := range benjaminiHochberg(p, m) {
		if h := hypotheses[i]; adjusted*tests <= q {
			h.adjusted = adjusted * tests
			found[h.group] = append(found[h.group], h)
		}
	}
	for _, h := range found {
		slices.SortStableFunc(h, func(a, b hypothesis[T]) int { return cmp.Compare(a.p, b.p) })
	}
	return found
}

// andMore ends a reason that names the first of several.
func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n)
}

// tails are the binomial tails already computed: the same few are asked for in every group.
type tails map[tail]float64

type tail struct {
	k, n uint64
	p    float64
}

// upper is the chance that Binomial(n, p) is k or more.
func (known tails) upper(k, n uint64, p float64) float64 {
	t := tail{k, n, p}
	chance, ok := known[t]
	if !ok {
		chance = binomialUpperTail(k, n, p)
		known[t] = chance
	}
	return chance
}
