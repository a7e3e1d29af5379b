// Command bench-trace measures `mpcensus trace` beside scamper's TCP traces, in the lab, in turns, and holds the hop
// addresses that both found against each other. It is given the mpcensus to measure, and needs scamper, sc_warts2json
// and the right to make network namespaces. No packet leaves the lab.
//
// Ours is measured from end to end: targets named on the command line, plain control and v1 probes of every TTL,
// answers decoded, compared, sorted and in the dataset. Scamper, too: from its start until its last trace is in
// its file. Its -p is the highest that it takes.
//
// Scamper waits 5 seconds for an answer, twice, at each of up to 5 silent hops, and traces all its targets at once:
// how long it takes depends little on how many they are, until they fill its rate. So it is measured twice: on a
// sample, in each round, and once on all of our targets.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	rounds = 3
	// Every target of the simulated IPv4 population, with every TTL that its path can need: 20 routers and itself.
	space    = "198.18.0.0/16"
	targets  = 1 << 16
	firstTTL = 1
	lastTTL  = 21
	port     = "443"
	cooldown = "2" // seconds; the lab answers at once
	// scamper -p: "1 <= pps <= 10000".
	scamperRate = "10000"
	sampleSize  = 2000
)

// rates are those of ours that are tried, in probes a second: the first at which no answer is lost is measured.
var rates = []int{150_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000}

// tried is a part of the targets, for some seconds at the highest rate.
const tried = "198.18.0.0/18"

func main() {
	// An interrupt, too, must bring the lab down.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bench-trace bin/mpcensus")
		os.Exit(2)
	}
	if err := bench(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-trace:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, mpcensus string) (err error) {
	for _, name := range []string{"scamper", "sc_warts2json"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is not there: apt-get install scamper", name)
		}
	}
	dir, err := os.MkdirTemp("", "bench-trace-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if mpcensus, err = filepath.Abs(mpcensus); err != nil {
		return err
	}
	l := &lab{mpcensus: mpcensus, dir: filepath.Join(dir, "lab"), rate: rates[len(rates)-1]}
	if err := l.up(ctx); err != nil {
		return err
	}
	// Not with ctx: it may have ended.
	defer func() { err = errors.Join(err, l.down(context.Background())) }()

	sample := sampleOf(sampleSize)
	ours, theirs := &contender{name: "mpcensus trace"}, &contender{name: "scamper"}
	var agreed agreement
	if err := l.compareChains(ctx, dir, &agreed); err != nil {
		return err
	}
	if err := l.chooseRate(ctx, dir); err != nil {
		return err
	}
	for round := range rounds {
		census := filepath.Join(dir, fmt.Sprint("census", round))
		err := ours.measure(targets, func() error { return l.trace(ctx, census, "ipv4", space) })
		if err != nil {
			return err
		}
		warts := filepath.Join(dir, fmt.Sprint("sample", round))
		if err := theirs.measure(len(sample), func() error { return l.scamper(ctx, warts, sample) }); err != nil {
			return err
		}
		traces, err := readWarts(ctx, warts)
		if err != nil {
			return err
		}
		found, err := l.hops(ctx, census, sample)
		if err != nil {
			return err
		}
		agreed.compareSimulated(found, traces)
		if err := os.RemoveAll(census); err != nil {
			return err
		}
	}
	all := &contender{name: "scamper, all targets"}
	err = all.measure(targets, func() error { return l.scamper(ctx, filepath.Join(dir, "all"), sampleOf(targets)) })
	if err != nil {
		return err
	}

	if err := describe(ctx, l); err != nil {
		return err
	}
	fmt.Println("| | targets | seconds: min, median, max | targets a second: median | ours : its |")
	fmt.Println("|---|---|---|---|---|")
	for _, c := range []*contender{ours, theirs, all} {
		fmt.Printf("| %s | %d | %.1f, %.1f, %.1f | %.1f | %.1f |\n", c.name, c.targets,
			slices.Min(c.seconds), median(c.seconds), slices.Max(c.seconds), c.rate(), ours.rate()/c.rate())
	}
	fmt.Println()
	if err := agreed.report(os.Stdout); err != nil {
		return err
	}
	fmt.Printf("bench-trace: speed %.1f\n", ours.rate()/theirs.rate())
	return nil
}

// contender is a way to trace, and what its runs took.
type contender struct {
	name    string
	targets int
	seconds []float64
}

func (c *contender) measure(targets int, run func() error) error {
	start := time.Now()
	if err := run(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	c.targets = targets
	c.seconds = append(c.seconds, time.Since(start).Seconds())
	fmt.Fprintf(os.Stderr, "%s: %d targets in %.1f s\n", c.name, targets, c.seconds[len(c.seconds)-1])
	return nil
}

// rate is targets a second.
func (c *contender) rate() float64 { return float64(c.targets) / median(c.seconds) }

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

// describe prints what a reader must know of the run.
func describe(ctx context.Context, l *lab) error {
	version, _ := exec.CommandContext(ctx, "scamper", "-v").CombinedOutput() // it always says that it failed
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	fmt.Printf("%d CPUs, Linux %s; %d runs in turns\n", runtime.NumCPU(), strings.TrimSpace(string(kernel)), rounds)
	fmt.Printf("ours: TTL %d-%d, --rate %d, plain control and v1: %d probes; answers lost in all runs: %d\n",
		firstTTL, lastTTL, l.rate, 2*targets*(lastTTL-firstTTL+1), l.lost)
	fmt.Printf("%s: -c \"%s\" -p %s\n\n", strings.TrimSpace(string(version)), scamperCommand, scamperRate)
	return nil
}
