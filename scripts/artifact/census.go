package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What is simulated. Seeds are the lab's own defaults.
const (
	months = "12"
	last   = "2026-10-15" // date of the last scans
)

// census is the campaign of a simulated year.
type census struct {
	mpcensus string // absolute, as commands run in dir
	dir      string
}

func newCensus(mpcensus, dir string) (*census, error) {
	mpcensus, err := filepath.Abs(mpcensus)
	if err != nil {
		return nil, err
	}
	return &census{mpcensus, dir}, nil
}

func (c *census) report() string { return filepath.Join(c.dir, "report") }

// make makes the dataset and its report. Names are relative to dir, since the report shows those of inputs.
func (c *census) make(ctx context.Context) error {
	if err := os.RemoveAll(c.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	steps := [][]string{
		{"lab", "history", "--out", "history", "--months", months, "--last", last},
		{"lab", "traces", "--out", "traces", "--months", months, "--last", last},
		{"lab", "networks", "--out", "networks"},
		{"ingest", "--dataset", "census", "history/*.json.zst"},
		{"enrich", "--dataset", "census", "--date", last,
			"--asn", "networks/asn-ipv4.csv", "--asn", "networks/asn-ipv6.csv",
			"--country", "networks/country-ipv4.csv", "--country", "networks/country-ipv6.csv"},
	}
	if err := c.runAll(ctx, steps); err != nil {
		return err
	}
	dates, err := c.dates()
	if err != nil {
		return err
	}
	steps = nil
	for _, date := range dates {
		for _, probe := range []string{"v0", "v1"} { // each has its own control
			steps = append(steps, []string{"trace", "--dataset", "census", "--rows", "traces/" + date + "-*-" + probe + "-*.json.zst"})
		}
	}
	return c.runAll(ctx, append(steps, []string{"classify", "--dataset", "census"}, []string{"report", "--dataset", "census", "--out", "report"}))
}

// dates are those of the scans.
func (c *census) dates() (dates []string, err error) {
	names, err := filepath.Glob(filepath.Join(c.dir, "traces", "*.json.zst"))
	for _, name := range names {
		dates = append(dates, filepath.Base(name)[:len(time.DateOnly)])
	}
	return slices.Compact(dates), err // Glob sorts
}

func (c *census) runAll(ctx context.Context, steps [][]string) error {
	for _, arguments := range steps {
		if err := c.run(ctx, arguments...); err != nil {
			return err
		}
	}
	return nil
}

// run runs mpcensus, and says how long it took.
func (c *census) run(ctx context.Context, arguments ...string) error {
	command := exec.CommandContext(ctx, c.mpcensus, arguments...)
	command.Dir = c.dir
	start := time.Now()
	if out, err := command.CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		return fmt.Errorf("%s: %w", command, err)
	}
	fmt.Fprintf(os.Stderr, "%6.1f s  mpcensus %s\n", time.Since(start).Seconds(), strings.Join(arguments, " "))
	return nil
}
