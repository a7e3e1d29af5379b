package report

import (
	"fmt"
	"math"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// weightFigure draws the Hamming weights of all keys that came back in a scan, after the paper's
// figure: the observed bars, the curve of the genuine keys among them with the interval in which 95 %
// of counts lie, outlying weights with excess and p-value, and the verdicts.
func weightFigure(scan ScanKeys) (Figure, error) {
	test := &scan.Weights
	f := Figure{
		Name:  "hamming-" + scan.ID,
		Title: "Hamming weights of the keys that came back: " + describe(scan),
		Caption: "Each bar counts the targets whose key has that many bits set. Genuine keys are random, so their bars " +
			"follow the curve; what stands far above it at one weight is made by a middlebox or a broken stack. " +
			"A label names what outlies: the weight, how many of its keys genuine hosts do not explain, and the chance of so many " +
			"among genuine keys, adjusted for the 65 weights looked at.",
	}
	if test.TooFew {
		f.Empty = tooFew(test.Keys)
		return f, nil
	}
	f.subtitle = fmt.Sprintf("%s sender's keys came back; by their weights, about %s of them are genuine (%s–%s)",
		grouped(test.Keys), rounded(test.Genuine), rounded(test.GenuineLow), rounded(test.GenuineHigh))
	labels := make(map[int]string)
	for _, w := range test.Outliers() {
		labels[w.Weight] = fmt.Sprintf("%d: +%s, p %s", w.Weight, rounded(w.Excess), keys.FormatP(w.AdjustedP))
	}
	f.Alt = fmt.Sprintf("Histogram. %s. Outlying weights: %d of 65.", f.subtitle, len(labels))
	return f, bitsFigure{
		axis:      "Hamming weight of the sender's key (bits set, of 64)",
		all:       observed(test),
		byVerdict: scan.ByVerdict,
		test:      test,
		labels:    labels,
		outlying:  "outlying (weight: excess, p)",
	}.draw(&f)
}

// distanceFigure draws the distances of the keys that came back in a v0 scan to the keys sent.
func distanceFigure(scan ScanKeys) (Figure, error) {
	f := Figure{
		Name:  "distance-" + scan.ID,
		Title: "Hamming distances to the keys sent: " + describe(scan),
		Caption: "Each bar counts the targets whose key differs in that many bits from the key that we sent them. A genuine " +
			"key does not depend on ours, so the distances follow the curve as well. Distance 0 is an echo of our key, 64 its " +
			"complement; so near or so far that a genuine key is there with a chance below one in a billion is tampering. A pile at " +
			"the weight of our keys, 16 bits if not told otherwise, is keys of zeros.",
	}
	var n uint64
	labels := make(map[int]string)
	for distance, count := range scan.Distances {
		n += count
		if count > 0 && keys.DistanceChance(distance) <= keys.DistanceLevel {
			labels[distance] = fmt.Sprintf("%d%s: %s keys", distance, map[int]string{0: " (echo)", keys.Bits: " (complement)"}[distance], grouped(count))
		}
	}
	switch {
	case n == 0:
		f.Empty = "not enough data: no distance to a key that we sent is known"
	case n < keys.MinKeys:
		f.Empty = tooFew(n)
	}
	if f.Empty != "" {
		return f, nil
	}
	f.subtitle = fmt.Sprintf("%s keys, %s of them the key that we sent; the curve is for the %s genuine ones that the weights suggest",
		grouped(n), grouped(scan.Distances[0]), rounded(scan.Weights.Genuine))
	f.Alt = "Histogram. " + f.subtitle + "."
	return f, bitsFigure{
		axis:     "Hamming distance between the sender's key and the key sent (bits that differ, of 64)",
		all:      scan.Distances,
		test:     &scan.Weights,
		labels:   labels,
		outlying: "too near or too far for a genuine key",
	}.draw(&f)
}

func describe(scan ScanKeys) string {
	return fmt.Sprintf("%s, %s", series(scan.Family, scan.Port, scan.Probe), scan.Date)
}

func tooFew(n uint64) string {
	if n == 0 {
		return "not enough data: no key came back"
	}
	return fmt.Sprintf("not enough data: %s, a figure needs %d", count(int(n), "key"), keys.MinKeys)
}

// observed is the histogram that was tested.
func observed(test *keys.WeightTest) (h keys.Histogram) {
	for i, w := range test.Weights {
		h[i] = w.Observed
	}
	return h
}

// rounded writes an estimated count.
func rounded(n float64) string { return grouped(uint64(math.Round(max(0, n)))) }
