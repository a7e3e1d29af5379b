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
	for _, port := range []string{"80", "443"} {
		for _, list := range []string{writeList(t, ipv4), writeList(t, ipv6)} {
			mustRun(t, mpcensus, l.scan(census, port, "v1", "--targets", list)...)
			mustRun(t, mpcensus, l.inside(mpcensus, "trace", "--dataset", census, "--port", port, "--rate", "5000", "--cooldown", "2",
				"--blocklist", blocklist, "--targets", list)...)
		}
		mustRun(t, mpcensus, l.inside(mpcensus, "verify", "--dataset", census, "--port", port, "--rounds", "2",
			"--blocklist", blocklist, "--targets", both)...)
	}
	mustRun(t, mpcensus, "classify", "--dataset", census)
	mustRun(t, mpcensus, "lab", "truth", "--out", truth)
	printed := run(t, mpcensus, "lab", "check", "--dir", l.dir, "--dataset", census, "--truth", truth).stdout
	sums := regexp.MustCompile(`, chains checked (\d+), wrong (\d+)\n$`).FindStringSubmatch(printed)
	if sums == nil || number(t, sums[1]) != uint64(4*len(scenario.Chains)) || number(t, sums[2]) != 0 {
		t.Errorf("chains are judged wrongly, or left out:\n%s", printed)
	}
}

// TestHostileServers connects to 200 servers that stall, flood, close early and worse: it ends within the
// time that it states, and each server has all its rows, with an outcome that its behaviour explains.
func TestHostileServers(t *testing.T) {
	l := labUp(t)
	const rounds = 1
	for _, test := range []struct {
		port     string
		expected func(scenario.HostileServer) []string
	}{
		{"80", func(h scenario.HostileServer) []string { return h.HTTP }},
		{"443", func(h scenario.HostileServer) []string { return h.TLS }},
	} {
		t.Run(test.port, func(t *testing.T) {
			t.Parallel()
			census := filepath.Join(t.TempDir(), "census")
			servers := scenario.Hostile(dataset.IPv4)
			var addresses []string
			for _, h := range servers {
				addresses = append(addresses, h.Addr.String())
			}
			began := time.Now()
			r := run(t, mpcensus, l.inside(mpcensus, "verify", "--dataset", census, "--port", test.port, "--rounds", fmt.Sprint(rounds),
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
				got := outcomes[h.Addr.String()]
				if len(got) != 2*rounds {
					t.Errorf("%v, %s: %d rows, want %d", h.Addr, h.Kind, len(got), 2*rounds)
				}
				for _, outcome := range got {
					if !slices.Contains(test.expected(h), outcome) {
						t.Errorf("%v, %s: %s, want one of %q", h.Addr, h.Kind, outcome, test.expected(h))
					}
				}
			}
		})
	}
}

// outcomesOf are those of a dataset's connections, by target.
func outcomesOf(t *testing.T, census string) map[string][]string {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT target, outcome FROM grabs")
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
