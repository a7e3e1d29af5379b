package verify

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"
)

// Ratio compares what MPTCP and TCP take for the same.
type Ratio struct {
	Quantity  string  // "connect", "first byte" or "total"
	Targets   int     // that have a ratio
	Median    float64 // of the targets' ratios MPTCP : TCP; NaN without any
	Low, High float64 // interval that has the true median with probability Confidence or more; NaN: too few targets
}

// Confidence is that of the intervals in [Ratio].
const Confidence = 0.95

// quantities by their columns of `grabs`.
var quantities = []struct{ name, column string }{
	{"connect", "connect_us"}, {"first byte", "first_byte_us"}, {"total", "total_us"},
}

// Ratios compares the connections that got a whole response. A target's ratio is that of the medians of
// its rounds; from is the rows of `grabs` to use, such as "grabs WHERE verification_id = 'ID'", and may
// select those of certain targets.
func Ratios(ctx context.Context, db *sql.DB, from string) ([]Ratio, error) {
	var ratios []Ratio
	for _, q := range quantities {
		values, err := targetRatios(ctx, db, from, q.column)
		if err != nil {
			return nil, err
		}
		r := Ratio{Quantity: q.name, Targets: len(values)}
		r.Median, r.Low, r.High = MedianInterval(values, Confidence)
		ratios = append(ratios, r)
	}
	return ratios, nil
}

func targetRatios(ctx context.Context, db *sql.DB, from, column string) ([]float64, error) {
	rows, err := db.QueryContext(ctx, fmt.Sprintf(`
		WITH whole AS (SELECT date, family, port, probe, target, protocol, transport, %s AS us FROM (FROM %s) WHERE outcome = 'ok'),
		medians AS (
			SELECT median(us) FILTER (transport = 'mptcp') AS mptcp, median(us) FILTER (transport = 'tcp') AS tcp
			FROM whole GROUP BY date, family, port, probe, target, protocol)
		SELECT mptcp / tcp FROM medians WHERE mptcp IS NOT NULL AND tcp > 0`, column, from))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var values []float64
	for rows.Next() {
		var v float64
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, rows.Err()
}

// MedianInterval is the median of a sample, which it sorts, and an interval for that of the distribution,
// whatever its shape: between the order statistics that a Binomial(n, 1/2) number of values below the
// median leaves out on either side with (1 - confidence) / 2 at most (Conover, Practical Nonparametric
// Statistics, §3.2). With too few values there is no such interval: NaN.
func MedianInterval(values []float64, confidence float64) (median, low, high float64) {
	n := len(values)
	if n == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	slices.Sort(values)
	median = (values[(n-1)/2] + values[n/2]) / 2
	below := distuv.Binomial{N: float64(n), P: 0.5}
	// Of the lower end, from 1: the greatest with P(below < rank) small enough.
	rank := sort.Search(n/2, func(r int) bool { return below.CDF(float64(r)) > (1-confidence)/2 })
	if rank == 0 {
		return median, math.NaN(), math.NaN()
	}
	return median, values[rank-1], values[n-rank]
}
