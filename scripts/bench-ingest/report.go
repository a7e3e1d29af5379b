package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
)

// The figures of a run that are compared.
var figures = []struct {
	name string
	of   func(m measurement, rows uint64) float64
}{
	{"rows/s", func(m measurement, rows uint64) float64 { return float64(rows) / m.seconds }},
	{"CPU seconds", func(m measurement, _ uint64) float64 { return m.cpu }},
	{"peak memory", func(m measurement, _ uint64) float64 { return m.peakMB }},
	{"file size", func(m measurement, _ uint64) float64 { return m.fileMB }},
}

// report prints the table of the runs, that of the ratios, and the line of the medians.
func report(w io.Writer, rows uint64, ours, same, short *contender) {
	fmt.Fprintf(w, "%d rows, %d CPUs, %d interleaved runs: median (min–max)\n\n", rows, runtime.NumCPU(), len(ours.runs))
	fmt.Fprintln(w, "| | seconds | million rows/s | CPU seconds | peak memory, MB | file, MB |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|")
	for _, c := range []*contender{ours, same, short} {
		column := func(format string, of func(measurement) float64) string {
			return spread(format, values(c.runs, of))
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", c.name,
			column("%.2f", func(m measurement) float64 { return m.seconds }),
			column("%.2f", func(m measurement) float64 { return float64(rows) / m.seconds / 1e6 }),
			column("%.2f", func(m measurement) float64 { return m.cpu }),
			column("%.0f", func(m measurement) float64 { return m.peakMB }),
			column("%.1f", func(m measurement) float64 { return m.fileMB }))
	}
	fmt.Fprintf(w, "\n| %s : | %s | %s |\n|---|---|---|\n", ours.name, same.name, short.name)
	for _, f := range figures {
		fmt.Fprintf(w, "| %s | %s | %s |\n", f.name,
			spread("%.2f", ratios(ours, same, rows, f.of)), spread("%.2f", ratios(ours, short, rows, f.of)))
	}
	against := func(peer *contender, i int) float64 { return median(ratios(ours, peer, rows, figures[i].of)) }
	fmt.Fprintf(w, "\nbench-ingest: speed %.2f short %.2f memory %.2f size %.2f\n",
		against(same, 0), against(short, 0), against(same, 2), against(same, 3))
}

func values(runs []measurement, of func(measurement) float64) (v []float64) {
	for _, m := range runs {
		v = append(v, of(m))
	}
	return v
}

// ratios are those of the runs of a same round, which met the same machine.
func ratios(ours, peer *contender, rows uint64, of func(measurement, uint64) float64) (r []float64) {
	for i := range ours.runs {
		r = append(r, of(ours.runs[i], rows)/of(peer.runs[i], rows))
	}
	return r
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

func spread(format string, values []float64) string {
	return fmt.Sprintf(format+" ("+format+"–"+format+")", median(values), slices.Min(values), slices.Max(values))
}
