package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	// Two rounds: 2 and 4 million rows/s against 1 and 1, and 2 and 2.
	ours := &contender{name: "mpcensus", runs: []measurement{{1, 2, 100, 30}, {0.5, 1, 50, 30}}}
	same := &contender{name: "same", runs: []measurement{{2, 4, 250, 40}, {2, 4, 250, 40}}}
	short := &contender{name: "short", runs: []measurement{{1, 2, 100, 20}, {1, 2, 100, 20}}}
	var b strings.Builder
	report(&b, 2_000_000, ours, same, short)
	for _, want := range []string{
		"| mpcensus | 0.75 (0.50–1.00) | 3.00 (2.00–4.00) | 1.50 (1.00–2.00) | 75 (50–100) | 30.0 (30.0–30.0) |\n",
		"| rows/s | 3.00 (2.00–4.00) | 1.50 (1.00–2.00) |\n",
		"| CPU seconds | 0.38 (0.25–0.50) | 0.75 (0.50–1.00) |\n",
		"\nbench-ingest: speed 3.00 short 1.50 memory 0.30 size 0.75\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{3: {9, 1, 3}, 2: {1, 3}, 7: {7}} {
		if got := median(values); got != want {
			t.Errorf("median of %v is %v, want %v", values, got, want)
		}
	}
}
