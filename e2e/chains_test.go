package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/lab/scenario"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// writeList writes a list of targets.
func writeList(t *testing.T, addresses []string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(name, []byte(strings.Join(addresses, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestChains censuses the kernels behind chains of real routers, over both families, by HTTP and by TLS:
// scan, trace, connections and the final verdict have to say of each what its box does.
func TestChains(t *testing.T) {
	l := labUp(t)
	dir := t.TempDir()
	census, truth := filepath.Join(dir, "census"), filepath.Join(dir, "truth.parquet")
	blocklist := filepath.Join(l.dir, "blocklist.conf")
	var ipv4, ipv6 []string
	for _, chain := range scenario.Chains {
		ipv4, ipv6 = append(ipv4, chain.IPv4.String()), append(ipv6, chain.IPv6.String())
	}
	both := writeList(t, slices.Concat(ipv4, ipv6))
	// All of it at a time, for it mostly waits.
	t.Run("census", func(t *testing.T) {
		for _, port := range []string{"80", "443"} {
			for family, list := range map[string]string{"ipv4": writeList(t, ipv4), "ipv6": writeList(t, ipv6)} {
				t.Run(family+" "+port, func(t *testing.T) {
					t.Parallel()
					mustRun(t, mpcensus, l.scan(census, port, "v1", "--targets", list)...)
					mustRun(t, mpcensus, l.inside(mpcensus, "trace", "--dataset", census, "--port", port, "--rate", "5000", "--cooldown", "2",
						"--blocklist", blocklist, "--targets", list)...)
				})
			}
			t.Run("connections "+port, func(t *testing.T) {
				t.Parallel()
				mustRun(t, mpcensus, l.inside(mpcensus, "verify", "--dataset", census, "--port", port, "--rounds", "2",
					"--blocklist", blocklist, "--targets", both)...)
			})
		}
	})
	mustRun(t, mpcensus, "classify", "--dataset", census)
	mustRun(t, mpcensus, "lab", "truth", "--out", truth)
	printed := run(t, mpcensus, "lab", "check", "--dir", l.dir, "--dataset", census, "--truth", truth).stdout
	sums := regexp.MustCompile(`, chains checked (\d+), wrong (\d+)\n$`).FindStringSubmatch(printed)
	if sums == nil || number(t, sums[1]) != uint64(4*len(scenario.Chains)) || number(t, sums[2]) != 0 {
		t.Errorf("chains are judged wrongly, or left out:\n%s", printed)
	}
}

// TestHostileServers connects to 200 servers with IPv4, 65 with IPv6, that stall, flood, close early and
// worse: it ends within the time that it states, and each server has all its rows, with an outcome that its
// behaviour explains, and without a fallback, as nothing is on the way.
func TestHostileServers(t *testing.T) {
	l := labUp(t)
	const rounds = 1
	for _, port := range []string{"80", "443"} {
		for _, family := range []string{dataset.IPv4, dataset.IPv6} {
			t.Run(family+" "+port, func(t *testing.T) {
				t.Parallel()
				census := filepath.Join(t.TempDir(), "census")
				servers := scenario.Hostile(family)
				var addresses []string
				for _, h := range servers {
					addresses = append(addresses, h.Addr.String())
				}
				began := time.Now()
				r := run(t, mpcensus, l.inside(mpcensus, "verify", "--dataset", census, "--port", port, "--rounds", fmt.Sprint(rounds),
					"--timeout", "8s", "--blocklist", filepath.Join(l.dir, "blocklist.conf"), "--targets", writeList(t, addresses))...)
				took := time.Since(began)
				if r.code != 0 {
					t.Fatalf("exit code %d: %s", r.code, r.stderr)
				}
				stated := regexp.MustCompile(`ends in ((\d+h)?(\d+m)?\d+s) at the latest`).FindStringSubmatch(r.stdout + r.stderr)
				if stated == nil {
					t.Fatalf("no end is stated:\n%s%s", r.stdout, r.stderr)
				}
				if bound, err := time.ParseDuration(stated[1]); err != nil || took > bound+10*time.Second {
					t.Errorf("took %v, and was to end in %s", took, stated[1])
				}
				outcomes := outcomesOf(t, census)
				for _, h := range servers {
					want := h.HTTP
					if port == "443" {
						want = h.TLS
					}
					got := outcomes[h.Addr.String()]
					if len(got) != 2*rounds {
						t.Errorf("%v, %s: %d rows, want %d", h.Addr, h.Kind, len(got), 2*rounds)
					}
					for _, outcome := range got {
						if !slices.Contains(want, outcome) {
							t.Errorf("%v, %s: %s, want one of %q", h.Addr, h.Kind, outcome, want)
						}
					}
				}
			})
		}
	}
}

// outcomesOf are those of a dataset's connections, and what fallbacks there were, by target.
func outcomesOf(t *testing.T, census string) map[string][]string {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT target, concat_ws(' ', outcome, fallback) FROM grabs")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	outcomes := map[string][]string{}
	for rows.Next() {
		var target, outcome string
		if err := rows.Scan(&target, &outcome); err != nil {
			t.Fatal(err)
		}
		outcomes[target] = append(outcomes[target], outcome)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return outcomes
}
