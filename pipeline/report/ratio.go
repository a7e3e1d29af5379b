package report

import (
	"math"

	"github.com/mpcensus/mpcensus/pipeline/verify"
)

// Ratio is the median of the ratios of many targets, with the interval of [verify.MedianInterval], which too few
// targets do not have.
type Ratio struct {
	Targets   int // behind it
	Median    float64
	Low, High float64 // the interval, if HasRange
	HasRange  bool
}

// newRatio sorts the ratios.
func newRatio(ratios []float64) Ratio {
	if len(ratios) == 0 {
		return Ratio{}
	}
	median, low, high := verify.MedianInterval(ratios, verify.Confidence)
	return Ratio{len(ratios), median, low, high, !math.IsNaN(low)}
}

// cells are the ratio and its interval in a table.
func (r Ratio) cells() []any {
	switch {
	case r.Targets == 0:
		return []any{nil, nil, nil}
	case !r.HasRange:
		return []any{r.Median, nil, nil}
	}
	return []any{r.Median, r.Low, r.High}
}
