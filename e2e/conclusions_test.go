package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestConclusionsKilled kills enrich and classify at random moments: what they wrote before stays whole, and
// run again they end with the files of an undisturbed run. Temporary files of the dead are gone then, too.
func TestConclusionsKilled(t *testing.T) {
	census, networks := filepath.Join(t.TempDir(), "census"), filepath.Join(t.TempDir(), "networks.csv")
	for i, probe := range []string{"v0", "v1"} {
		mustRun(t, mpcensus, "ingest", "--dataset", census, labRows(t, "--rows", "60000", "--probe", probe, "--seed", fmt.Sprint(i+1)))
	}
	if err := os.WriteFile(networks, []byte("0.0.0.0,127.255.255.255,64496,Example\n128.0.0.0,255.255.255.255,64497,Example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{
		{"enrich", "--dataset", census, "--asn", networks, "--date", "2026-11-01"},
		{"classify", "--dataset", census},
	}
	var took [2]time.Duration
	for i, command := range commands {
		start := time.Now()
		mustRun(t, mpcensus, command...)
		took[i] = time.Since(start)
	}
	undisturbed := filesOf(t, census)

	const rounds = 10
	died := 0
	for round := range rounds {
		for i, command := range commands {
			ctx, stop := context.WithTimeout(t.Context(), took[i]*time.Duration(round+1)/(rounds+1))
			err := exec.CommandContext(ctx, mpcensus, command...).Run() // kills it when its time has come
			if ctx.Err() != nil && err != nil {
				died++
			}
			stop()
			checkClean(t, census)
		}
	}
	if died < rounds {
		t.Errorf("only %d of %d commands died", died, 2*rounds)
	}
	for _, command := range commands {
		mustRun(t, mpcensus, command...)
	}
	if now := filesOf(t, census); !sameFiles(undisturbed, now) {
		for name := range now {
			if now[name] != undisturbed[name] {
				t.Errorf("%s differs after kills", name)
			}
		}
		t.Error("the dataset differs after kills")
	}
}
