package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

// repeat makes runs independent runs, on all CPUs, and returns what they gave, in order. Each has its own
// generator, seeded by the experiment's name and the number of the run, so the results depend on nothing
// else.
func repeat[T any](experiment string, runs int, run func(*rand.Rand) T) []T {
	results := make([]T, runs)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < runs; i = int(next.Add(1)) - 1 {
				results[i] = run(rand.New(rand.NewPCG(seed(experiment), uint64(i))))
			}
		})
	}
	workers.Wait()
	return results
}

// seed is FNV-1a.
func seed(experiment string) uint64 {
	hash := uint64(14695981039346656037)
	for _, b := range []byte(experiment) {
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	return hash
}

// share is how many of a number of runs, or keys, had something.
type share struct{ had, of int }

// shareOf counts the runs in which has holds.
func shareOf[T any](runs []T, has func(T) bool) (s share) {
	s.of = len(runs)
	for _, r := range runs {
		if has(r) {
			s.had++
		}
	}
	return s
}

// interval is Wilson's, of 95 % (J. Am. Stat. Assoc. 22, 1927).
func (s share) interval() (low, high float64) {
	const z = 1.96
	n, p := float64(s.of), float64(s.had)/float64(s.of)
	middle, reach := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(0, (middle-reach)/(1+z*z/n)), min(1, (middle+reach)/(1+z*z/n))
}

// withInterval writes a small share in per cent: "0.25 (0.17–0.37)".
func (s share) withInterval() string {
	low, high := s.interval()
	return fmt.Sprintf("%.2f (%.2f–%.2f)", 100*float64(s.had)/float64(s.of), 100*low, 100*high)
}

// String writes the share in whole per cent; 0 and 100 are only what they say.
func (s share) String() string {
	switch percent := 100 * float64(s.had) / float64(s.of); {
	case s.of == 0:
		return "–"
	case s.had > 0 && percent < 1:
		return "< 1"
	case s.had < s.of && percent > 99:
		return "> 99"
	default:
		return fmt.Sprintf("%.0f", percent)
	}
}

// markdown writes a table, its numbers to the right.
func markdown(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	b.WriteString("|---" + strings.Repeat("|--:", len(head)-1) + "|\n")
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// sizes are the numbers of genuine hosts in the scans of the study: those of the paper's IPv6 scan of port
// 80 first, and of the Internet last.
var sizes = []int{43, 200, 1000, 9000, 200_000}

// contaminations are shares of all keys.
var contaminations = []float64{0.001, 0.01, 0.1, 0.5, 0.96}

// contaminants is how many keys make up the share of all, beside so many genuine ones.
func contaminants(genuine int, share float64) int {
	return int(math.Round(float64(genuine) * share / (1 - share)))
}

// grouped writes a number with its thousands apart.
func grouped(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

// percent writes a contamination.
func percent(share float64) string { return fmt.Sprintf("%g %%", 100*share) }
