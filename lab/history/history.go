// Package history writes months of scans that never took place, of a population that comes and goes, and the
// truth about it. Each reply is the lab responder's own, so that a scan of the lab itself goes on where the
// history ends: one month after its last scan everything is as the scenario says. Traces of the hosts of each month
// are written by themselves.
//
// The same Params give the same bytes on every machine.
package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/lab/scenario"
)

// Params describes a history.
type Params struct {
	Scenario *scenario.Scenario
	Families []string  // of scenario.Families
	Ports    []uint16  // of the scenario's
	Probes   []string  // rows.V0, rows.V1
	Months   int       // one scan a month of each family, port and probe
	Last     time.Time // date of the last scans
	Targets  int       // of each family, invented, with the scenario's shares of behaviours; 0: the scenario's own
	Seed     uint64

	// Progress, if not nil, is called now and then, by one goroutine at a time.
	Progress func(Summary)
}

// Summary counts what was written.
type Summary struct {
	Scans   int // or traces, controls included
	Rows    uint64
	Targets uint64 // of the truth: each on each port; of all traces
}

const (
	// maxMonths is the width of the truth's bits.
	maxMonths = 64
	// maxTargets answer within the day on which their scan begins.
	maxTargets = 1 << 28
)

// Check says what is wrong with the parameters.
func (p *Params) Check() error {
	if err := cmp.Or(twice("family", p.Families), twice("port", p.Ports), twice("probe", p.Probes)); err != nil {
		return err
	}
	switch {
	case p.Months < 2 || p.Months > maxMonths:
		return fmt.Errorf("%d months: a history has 2 to %d", p.Months, maxMonths)
	case p.Targets < 0 || p.Targets > maxTargets:
		return fmt.Errorf("%d targets: there are at most %d", p.Targets, maxTargets)
	case len(p.Families) == 0 || len(p.Ports) == 0 || len(p.Probes) == 0:
		return errors.New("a history has at least one family, port and probe")
	case p.date(0).Year() < 1970:
		return fmt.Errorf("a first scan on %s is before 1970: take a later last one, or fewer months", p.date(0).Format(time.DateOnly))
	}
	for _, family := range p.Families {
		switch {
		case !slices.Contains(scenario.Families, family):
			return fmt.Errorf("family %q: it is %s or %s", family, rows.IPv4, rows.IPv6)
		case !p.Scenario.Has(family):
			return fmt.Errorf("family %s: the scenario has no such addresses", family)
		}
	}
	for _, port := range p.Ports {
		if !slices.Contains(p.Scenario.Ports, port) {
			return fmt.Errorf("port %d: the scenario's ports are %v", port, p.Scenario.Ports)
		}
	}
	for _, probe := range p.Probes {
		if probe != rows.V0 && probe != rows.V1 {
			return fmt.Errorf("probe %q: it is %s or %s", probe, rows.V0, rows.V1)
		}
	}
	return nil
}

// twice complains of a value that stands twice: both scans would be one file.
func twice[T comparable](what string, values []T) error {
	for i, v := range values {
		if slices.Contains(values[:i], v) {
			return fmt.Errorf("%s %v stands twice", what, v)
		}
	}
	return nil
}

// date is when the scans of a month are made: on the last one's day, or where the month is shorter on its last.
func (p *Params) date(month int) time.Time {
	year, last, day := p.Last.Date()
	first := time.Date(year, last-time.Month(p.Months-1-month), 1, 0, 0, 0, 0, time.UTC)
	return first.AddDate(0, 0, min(day, first.AddDate(0, 1, -1).Day())-1)
}

// Write writes the scans, DATE-FAMILY-PORT-PROBE.json.zst, and truth.parquet into a folder, which must be
// empty or not exist: all its scans are one history.
func Write(ctx context.Context, dir string, p Params) (Summary, error) {
	if err := p.Check(); err != nil {
		return Summary{}, err
	}
	if err := makeEmpty(dir); err != nil {
		return Summary{}, err
	}
	w := writer{params: p, population: newPopulation(&p)}
	jobs := []func(context.Context) error{
		func(ctx context.Context) error { return w.truth(ctx, filepath.Join(dir, "truth.parquet")) },
	}
	for month := range p.Months {
		for _, s := range w.scans(month) {
			jobs = append(jobs, func(ctx context.Context) error { return w.scan(ctx, dir, s) })
		}
	}
	err := inParallel(ctx, jobs)
	return w.summary, err
}

func makeEmpty(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty: name another folder", dir)
	}
	return err
}

// inParallel does all jobs, on all processors, until one fails, and returns the first error.
func inParallel(ctx context.Context, jobs []func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(jobs)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				if err := jobs[i](ctx); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// writer is the state of Write.
type writer struct {
	params     Params
	population *population

	mu      sync.Mutex
	summary Summary
}

// add enters what a job has written.
func (w *writer) add(scans int, rows, targets uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.summary.Scans += scans
	w.summary.Rows += rows
	w.summary.Targets += targets
	if w.params.Progress != nil {
		w.params.Progress(w.summary)
	}
}
