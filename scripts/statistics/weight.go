package main

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// shapes are what contaminates the weights: each draws the weight of one key that is not genuine.
var shapes = []struct {
	name   string
	weight func(*rand.Rand) int
}{
	{"spike at 16", func(*rand.Rand) int { return 16 }},
	{"spike at 24", func(*rand.Rand) int { return 24 }},
	{"spike at 28", func(*rand.Rand) int { return 28 }},
	{"spike at 32", func(*rand.Rand) int { return 32 }},
	{"spikes at 16 and 28", func(rng *rand.Rand) int { return 16 + 12*rng.IntN(2) }},
	{"bits set with 1/4", func(rng *rand.Rand) int { return bits.OnesCount64(rng.Uint64() & rng.Uint64()) }},
	{"half zero", func(rng *rand.Rand) int { return bits.OnesCount32(rng.Uint32()) }},
	{"half constant, 16 bits set", func(rng *rand.Rand) int { return 16 + bits.OnesCount32(rng.Uint32()) }},
	{"counter of 12 bits, 20 others set", func(rng *rand.Rand) int { return 20 + bits.OnesCount16(uint16(rng.UintN(1<<12))) }},
}

// scan is one simulated scan and its test.
type scan struct {
	genuine int            // hosts
	bad     keys.Histogram // contaminants
	test    keys.WeightTest
}

func newScan(rng *rand.Rand, genuine, bad int, weight func(*rand.Rand) int) *scan {
	s := scan{genuine: genuine}
	var all keys.Histogram
	for range genuine {
		all[bits.OnesCount64(rng.Uint64())]++
	}
	for range bad {
		s.bad[weight(rng)]++
	}
	for w, n := range s.bad {
		all[w] += n
	}
	s.test = keys.TestWeights(all, keys.FDR)
	return &s
}

// found says whether an outlier has contaminants.
func (s *scan) found() bool {
	return slices.ContainsFunc(s.test.Outliers(), func(w keys.Weight) bool { return s.bad[w.Weight] > 0 })
}

// falseShare is the share of outliers without a contaminant.
func (s *scan) falseShare() float64 {
	outliers := s.test.Outliers()
	chance := 0
	for _, w := range outliers {
		if s.bad[w.Weight] == 0 {
			chance++
		}
	}
	return float64(chance) / float64(max(1, len(outliers)))
}

// condemned counts the contaminants and the genuine hosts that are condemned.
func (s *scan) condemned() (bad, genuine int) {
	for _, w := range s.test.Condemned() {
		bad += int(s.bad[w.Weight])
		genuine += int(w.Observed - s.bad[w.Weight])
	}
	return bad, genuine
}

// runsOf is how many scans of so many hosts are simulated, of the number that small ones get.
func runsOf(small, hosts int) int {
	return max(small/8, min(small, small*10_000/hosts))
}

// weightFalse: genuine keys alone.
func weightFalse() string {
	var rows [][]string
	for _, n := range sizes {
		scans := repeat(fmt.Sprint("genuine ", n), runsOf(16_000, n), func(rng *rand.Rand) *scan {
			return newScan(rng, n, 0, nil)
		})
		wronged := share{of: n * len(scans)}
		for _, s := range scans {
			_, genuine := s.condemned()
			wronged.had += genuine
		}
		rows = append(rows, []string{
			grouped(n), grouped(len(scans)),
			shareOf(scans, func(s *scan) bool { return len(s.test.Outliers()) > 0 }).withInterval(),
			shareOf(scans, func(s *scan) bool { return len(s.test.Condemned()) > 0 }).withInterval(),
			fmt.Sprintf("%.1f", 1e6*float64(wronged.had)/float64(wronged.of)),
		})
	}
	return markdown([]string{"genuine hosts", "scans", "with an outlier, %", "with a genuine host condemned, %", "hosts condemned in a million"}, rows)
}

// weightDiscoveries: the share of outliers that are chance, beside spikes that are found for certain.
func weightDiscoveries() string {
	var rows [][]string
	for _, spikes := range []int{1, 2, 5, 10} {
		row := []string{fmt.Sprint(spikes)}
		for _, n := range sizes[:4] {
			scans := repeat(fmt.Sprint("discoveries ", n, spikes), runsOf(2000, n), func(rng *rand.Rand) *scan {
				return newScan(rng, n, 1000*spikes, func(rng *rand.Rand) int { return 14 + 2*rng.IntN(spikes) })
			})
			sum := 0.0
			for _, s := range scans {
				sum += s.falseShare()
			}
			row = append(row, fmt.Sprintf("%.1f", 100*sum/float64(len(scans))))
		}
		rows = append(rows, row)
	}
	return markdown([]string{"spikes", "43 hosts", "200", "1,000", "9,000"}, rows)
}

// powerScans is how many scans of up to 10,000 hosts show whether a contamination is found.
const powerScans = 400

// weightPower: in how many scans a weight with contaminants is an outlier.
func weightPower() string {
	var rows [][]string
	for _, shape := range shapes {
		for _, c := range contaminations {
			row := []string{shape.name, percent(c)}
			for _, n := range sizes {
				bad := contaminants(n, c)
				if bad == 0 {
					row = append(row, "–")
					continue
				}
				scans := repeat(fmt.Sprint("power ", shape.name, c, n), runsOf(powerScans, n), func(rng *rand.Rand) bool {
					return newScan(rng, n, bad, shape.weight).found()
				})
				row = append(row, shareOf(scans, func(found bool) bool { return found }).String())
			}
			rows = append(rows, row)
		}
	}
	return markdown([]string{"contaminants", "of all keys", "43 hosts", "200", "1,000", "9,000", "200,000"}, rows)
}

// contaminated are the scans of the tables about whom outliers consist of: of each shape, at each
// contamination but the least, with 9,000 genuine hosts.
var contaminated = sync.OnceValue(func() (cells []contamination) {
	const n = 9000
	for _, shape := range shapes {
		for _, c := range contaminations[1:] {
			scans := repeat(fmt.Sprint("contaminated ", shape.name, c), 200, func(rng *rand.Rand) *scan {
				return newScan(rng, n, contaminants(n, c), shape.weight)
			})
			cells = append(cells, contamination{[]string{shape.name, percent(c)}, scans})
		}
	}
	return cells
})

type contamination struct {
	names []string // of the shape and the share, for tables
	scans []*scan
}

// weightEstimates: how near the estimates come.
func weightEstimates() string {
	var rows [][]string
	for _, c := range contaminated() {
		var ours, median []float64
		var covered share
		var probable, bad, observed float64
		for _, s := range c.scans {
			genuine := float64(s.genuine)
			ours = append(ours, 100*math.Abs(s.test.Genuine/genuine-1))
			median = append(median, 100*math.Abs(leastDeviations(s.test)/genuine-1))
			for _, w := range s.test.Outliers() {
				excess := float64(s.bad[w.Weight])
				covered.of++
				if w.ExcessLow <= excess && excess <= w.ExcessHigh {
					covered.had++
				}
				probable += w.Probability * float64(w.Observed)
				bad += excess
				observed += float64(w.Observed)
			}
		}
		row := append(c.names, fmt.Sprintf("%.0f", mean(ours)), fmt.Sprintf("%.0f", mean(median)))
		if covered.of < 20 {
			row = append(row, "–", "–", "–")
		} else {
			row = append(row, covered.String(), fmt.Sprintf("%.2f", probable/observed), fmt.Sprintf("%.2f", bad/observed))
		}
		rows = append(rows, row)
	}
	return markdown([]string{"contaminants", "of all keys", "error of the estimate, %", "of the median, %",
		"intervals that cover, %", "probability", "true share"}, rows)
}

// leastDeviations is the other estimate of the number of genuine keys that was tried: that from which the
// bars have the least sum of absolute deviations, which is the median of the bars' own estimates, each
// with the weight of the genuine keys expected there.
func leastDeviations(t keys.WeightTest) float64 {
	byEstimate := slices.SortedFunc(slices.Values(t.Weights[:]), func(a, b keys.Weight) int {
		return cmp.Compare(float64(a.Observed)/keys.PMF(a.Weight), float64(b.Observed)/keys.PMF(b.Weight))
	})
	sum := 0.0
	for _, w := range byEstimate {
		if sum += keys.PMF(w.Weight); sum >= 0.5 {
			return float64(w.Observed) / keys.PMF(w.Weight)
		}
	}
	return math.NaN()
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v / float64(len(x))
	}
	return m
}

// weightCondemning: whom the condemned weights meet.
func weightCondemning() string {
	var rows [][]string
	for _, c := range contaminated() {
		var met, wronged share // of the contaminants, condemned; of the condemned, genuine
		for _, s := range c.scans {
			bad, genuine := s.condemned()
			for _, n := range s.bad {
				met.of += int(n)
			}
			met.had += bad
			wronged.had += genuine
			wronged.of += bad + genuine
		}
		row := append(c.names, met.String(), "–", "–")
		if met.had > 0 {
			row[3] = fmt.Sprintf("%.2f", 100*float64(wronged.had)/float64(wronged.of))
		}
		if wronged.had > 0 {
			row[4] = fmt.Sprintf("%.0f", 1e6*float64(wronged.had)/float64(len(c.scans)*c.scans[0].genuine))
		}
		rows = append(rows, row)
	}
	return markdown([]string{"contaminants", "of all keys", "of them condemned, %", "genuine among the condemned, %",
		"of a million genuine hosts, condemned"}, rows)
}

// weightLeast: the least spike that is an outlier when the genuine keys are at each weight as many as
// expected, and so in about half of scans.
func weightLeast() string {
	var rows [][]string
	for _, w := range []int{16, 20, 24, 28, 32} {
		row := []string{fmt.Sprint(w), fmt.Sprintf("%.2g", keys.PMF(w))}
		for _, n := range sizes {
			var genuine keys.Histogram
			for v := range genuine {
				genuine[v] = uint64(math.Round(float64(n) * keys.PMF(v)))
			}
			row = append(row, grouped(sort.Search(n, func(spike int) bool {
				h := genuine
				h[w] += uint64(spike)
				test := keys.TestWeights(h, keys.FDR)
				return test.Weights[w].Outlier
			})))
		}
		rows = append(rows, row)
	}
	return markdown([]string{"spike at", "genuine keys there", "43 hosts", "200", "1,000", "9,000", "200,000"}, rows)
}
