package main

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Every kind of loss has a line of its own that says how much, and what to do; no loss, no line.
func TestLossWarnings(t *testing.T) {
	known := func(n uint64) sql.Null[uint64] { return sql.Null[uint64]{V: n, Valid: true} }
	none := zmap.Counts{
		ProbesSent: known(9), SendFailures: known(0), Received: known(9), Invalid: known(9),
		KernelDrops: known(0), InterfaceDrops: known(0), Duplicates: known(9), AnsweredInCooldown: known(9),
	}
	for name, test := range map[string]struct {
		change func(*zmap.Counts)
		want   []string // in the one line
	}{
		"nothing lost":  {func(*zmap.Counts) {}, nil},
		"nothing known": {func(c *zmap.Counts) { *c = zmap.Counts{} }, nil},
		"send failures": {func(c *zmap.Counts) { c.SendFailures = known(17) }, []string{"17 probes", "eth7", "--rate"}},
		"kernel":        {func(c *zmap.Counts) { c.KernelDrops = known(18) }, []string{"18 packets", "kernel", "--rate"}},
		"interface":     {func(c *zmap.Counts) { c.InterfaceDrops = known(19) }, []string{"19 packets", "eth7", "--rate"}},
	} {
		counts := none
		test.change(&counts)
		got := lossWarnings(counts, "eth7")
		if test.want == nil && len(got) == 0 {
			continue
		}
		if len(got) != 1 || strings.Contains(got[0], "\n") || strings.Contains(got[0], "%!") {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(got[0], want) {
				t.Errorf("%s: no %q in %q", name, want, got[0])
			}
		}
	}
	all := none
	all.SendFailures, all.KernelDrops, all.InterfaceDrops = known(1), known(1), known(1)
	if got := lossWarnings(all, "eth7"); len(got) != 3 {
		t.Errorf("three losses, %q", got)
	}
}
