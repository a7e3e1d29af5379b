package report

import (
	"strings"
	"testing"

	"gonum.org/v1/plot"
)

// The axis has room for all counts, labels where it begins, and begins with zero where there are small ones.
func TestLogAxis(t *testing.T) {
	for _, test := range []struct {
		lowest, highest float64
		labels          string
	}{
		{belowOne, 1, "0 1 2 5 10"},
		{3, 400, "0 1 10 100"},
		{780, 1300, "500 1,000 2,000"},
		{313, 25_424, "200 1,000 10,000"},
		{100, 100, "50 100 200"},
		{12, 12, "10 20"},
		{11, 5_000_000, "5 10 100 1,000 10,000 100,000 1,000,000 10,000,000"},
	} {
		axis := plot.New().X
		logAxis(&axis, test.lowest, test.highest)
		var labels []string
		for _, tick := range axis.Tick.Marker.Ticks(axis.Min, axis.Max) {
			if tick.Label != "" {
				labels = append(labels, tick.Label)
			}
			if tick.Value < axis.Min || tick.Value > axis.Max {
				t.Errorf("%g to %g: tick at %g is not on the axis", test.lowest, test.highest, tick.Value)
			}
		}
		if got := strings.Join(labels, " "); got != test.labels || axis.Min > test.lowest || axis.Max < 1.5*test.highest {
			t.Errorf("%g to %g: labels %q, want %q; from %g to %g", test.lowest, test.highest, got, test.labels, axis.Min, axis.Max)
		}
	}
}
