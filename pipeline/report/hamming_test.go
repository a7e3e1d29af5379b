package report

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/keys"
)

var scanOfTest = dataset.Partition{Date: "2026-11-23", Family: "ipv4", Port: 443, Probe: "v0"}

// texts are the pieces of text in a figure's SVG.
func texts(t *testing.T, f *Figure) []string {
	t.Helper()
	var all []string
	for _, element := range elements(t, svgOf(t, f)) {
		if element.name == "text" {
			all = append(all, element.text)
		}
	}
	return all
}

func wantTexts(t *testing.T, f *Figure, wanted ...string) {
	t.Helper()
	all := "\n" + strings.Join(texts(t, f), "\n") + "\n"
	for _, want := range wanted {
		if !strings.Contains(all, "\n"+want+"\n") {
			t.Errorf("%s does not say %q:%s", f.Name, want, all)
		}
	}
}

func TestWeightFigure(t *testing.T) {
	f, err := weightFigure(paperKeys("a", scanOfTest, 2600))
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, &f,
		"Hamming weights of the keys that came back: IPv4 port 443 v0, 2026-11-23",
		"Hamming weight of the sender's key (bits set, of 64)", "Targets (count, logarithmic)",
		"expected of genuine keys: Binomial(64, 1/2)", "verdict mirrored", "verdict potential", "100,000")
	all := strings.Join(texts(t, &f), "\n")
	if !strings.Contains(all, "65,000 sender's keys came back; by their weights, about 2,6") {
		t.Errorf("does not say how many keys are genuine: %s", all)
	}
	if !strings.Contains(all, "16: +62,400, p < 1e-300") || strings.Count(all, ": +") != 1 {
		t.Errorf("the outlier is not named, or not it alone: %s", all)
	}
	if strings.Contains(all, "verdict tampered") {
		t.Error("a verdict without keys is in the legend")
	}
}

// Nothing but mirrors has no curve; too few keys have no figure.
func TestWeightFigureOfFewKeys(t *testing.T) {
	scan := ScanKeys{ID: "a", Partition: scanOfTest, ByVerdict: map[string]keys.Histogram{"mirrored": {16: 500}},
		Weights: keys.TestWeights(keys.Histogram{16: 500}, keys.FDR)}
	f, err := weightFigure(scan)
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(texts(t, &f), "\n"); strings.Contains(all, "Binomial") {
		t.Error("a curve of no keys")
	}
	for few, want := range map[uint64]string{
		0:                "not enough data: no key came back",
		keys.MinKeys - 1: fmt.Sprintf("not enough data: %d keys, a figure needs %d", keys.MinKeys-1, keys.MinKeys),
	} {
		scan.Weights = keys.TestWeights(keys.Histogram{32: few}, keys.FDR)
		scan.Distances = keys.Histogram{32: few}
		if f, err := weightFigure(scan); err != nil || f.Empty != want || f.plot != nil {
			t.Errorf("%d keys: got %q, %v", few, f.Empty, err)
		}
		if f, err := distanceFigure(scan); err != nil || !strings.HasPrefix(f.Empty, "not enough data") || f.plot != nil {
			t.Errorf("%d distances: got %q, %v", few, f.Empty, err)
		}
	}
}

func TestDistanceFigure(t *testing.T) {
	scan := paperKeys("a", scanOfTest, 2600)
	scan.Distances[64], scan.Distances[8], scan.Distances[9] = 3, 5, 7
	f, err := distanceFigure(scan)
	if err != nil {
		t.Fatal(err)
	}
	// 8 is the largest distance below 32 of which the chance is at most keys.DistanceLevel.
	wantTexts(t, &f, "0 (echo): 62,400 keys", "64 (complement): 3 keys", "8: 5 keys", "too near or too far for a genuine key")
	if all := strings.Join(texts(t, &f), "\n"); strings.Contains(all, "9: 7 keys") {
		t.Error("distance 9 is marked, which genuine keys can have")
	}
}

// A scan whose rows do not say which key was sent has weights, but no distances.
func TestNoDistances(t *testing.T) {
	scan := paperKeys("a", scanOfTest, 2600)
	scan.Distances = keys.Histogram{}
	if f, err := distanceFigure(scan); err != nil || f.Empty != "not enough data: no distance to a key that we sent is known" {
		t.Errorf("got %q, %v", f.Empty, err)
	}
}

// The labels on bars end below the top of the axis, whatever the bars' heights.
func TestRoomForLabels(t *testing.T) {
	for _, n := range []uint64{1, 20, 5_000, 100_000_000} {
		b := bitsFigure{all: keys.Histogram{16: n}, labels: map[int]string{16: "16: +100,000,000, p < 1e-300"}}
		top := b.roomFor(n)
		const height = 480 - 140 // points of the axis, at least
		bar := math.Log(float64(n)/0.5) / math.Log(top/0.5) * height
		if end := bar + 6 + barLabel().Width(b.labels[16]).Points(); end > height+1e-6 {
			t.Errorf("%d keys: the label ends %.1f points high, the axis %d", n, end, height)
		}
	}
}

// The slow obvious model: sums of the distribution's terms.
func TestPoissonQuantile(t *testing.T) {
	for _, mean := range []float64{0, 0.01, 0.5, 1, 3.7, 40, 600} {
		for _, p := range []float64{0.025, 0.5, 0.975} {
			want, term := uint64(0), math.Exp(-mean)
			for below := term; below < p; below += term {
				want++
				term *= mean / float64(want)
			}
			if got := poissonQuantile(mean, p); got != want {
				t.Errorf("mean %g, p %g: got %d, want %d", mean, p, got, want)
			}
		}
	}
}
