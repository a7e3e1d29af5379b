package report

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// Counts stand on a logarithmic axis that begins at belowOne where there are small ones: there lies
// zero, which a logarithm has not, and one is clearly above it.
const belowOne = 0.5

// logCount is where a count stands on such an axis.
func logCount(n uint64) float64 { return max(belowOne, float64(n)) }

// logAxis makes an axis for counts from lowest to highest, as [logCount] places them.
func logAxis(a *plot.Axis, lowest, highest float64) {
	a.Scale = plot.LogScale{}
	a.Min, a.Max = belowOne, max(10, 2*highest)
	ticks := []plot.Tick{{Value: belowOne, Label: "0"}}
	if lowest >= 10 {
		decade := math.Pow(10, math.Floor(math.Log10(lowest/1.2)))
		for _, first := range []float64{1, 2, 5} {
			if first*decade <= lowest/1.2 {
				a.Min, ticks = first*decade, nil
			}
		}
	}
	a.Tick.Marker = plot.ConstantTicks(append(ticks, decades(a.Min, a.Max)...))
}

// decades are the ticks of a logarithmic axis, from 1 or lowest. Decades are labelled, and where the axis
// begins; where there are few, also twice and five times each.
func decades(lowest, highest float64) (ticks []plot.Tick) {
	few := highest < 100*lowest
	for decade := 1.0; decade <= highest; decade *= 10 {
		for i := 1.0; i < 10; i++ {
			if i*decade < lowest || i*decade > highest {
				continue
			}
			tick := plot.Tick{Value: i * decade}
			if i == 1 || i*decade == lowest || few && (i == 2 || i == 5) {
				tick.Label = grouped(uint64(i * decade))
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// grouped writes a count with a comma before each three digits.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
