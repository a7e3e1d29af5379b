package e2e

import (
	"database/sql"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/lab/scenario"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// population is a lab with a scenario of its own, and the census of it.
type population struct {
	lab
	scenario, census, truth string
}

func newPopulation(t *testing.T, yaml string) population {
	t.Helper()
	dir := t.TempDir()
	p := population{scenario: filepath.Join(dir, "scenario.yaml"), census: filepath.Join(dir, "census"), truth: filepath.Join(dir, "truth.parquet")}
	if err := os.WriteFile(p.scenario, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	p.lab = labUp(t, "--scenario", p.scenario)
	mustRun(t, mpcensus, "lab", "truth", "--scenario", p.scenario, "--out", p.truth)
	return p
}

func (p population) scanAll(t *testing.T, probe string, more ...string) {
	t.Helper()
	args := append([]string{"--rate", "20000"}, more...)
	mustRun(t, mpcensus, p.scan(p.census, "443", probe, append(args, scenario.Space.String())...)...)
}

func (p population) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), p.census, dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestPopulations censuses three populations of 65,536 targets: of the genuine hosts, and of what is
// filtered, at most the stated share is filtered though genuine; every behaviour that gives other keys than
// random ones is found.
func TestPopulations(t *testing.T) {
	for seed := 1; seed <= 3; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := newPopulation(t, strings.Replace(string(scenario.AllYAML), "seed: 1\n", fmt.Sprintf("seed: %d\n", seed), 1))
			networks := filepath.Join(t.TempDir(), "networks")
			for _, probe := range []string{"v0", "v1"} {
				p.scanAll(t, probe)
			}
			mustRun(t, mpcensus, "lab", "networks", "--out", networks)
			mustRun(t, mpcensus, "enrich", "--dataset", p.census, "--date", "2026-11-01", "--asn", filepath.Join(networks, "asn-ipv4.csv"))
			mustRun(t, mpcensus, "classify", "--dataset", p.census)
			p.checkFiltered(t)
		})
	}
}

// found is the least share of a behaviour's hosts that has to be filtered. Behaviours that are not named
// have to be filtered to the last host.
var found = map[string]float64{
	"biased-key": 0.5, // keys of common weights are those of many genuine hosts: docs/statistics.md
}

func (p population) checkFiltered(t *testing.T) {
	t.Helper()
	rows, err := p.open(t).Query(`
		SELECT probe, behaviour, truth.verdict, count(*), count(*) FILTER (hosts.verdict IN ('mirrored', 'tampered', 'implausible'))
		FROM read_parquet($1) truth JOIN hosts USING (target, family, port, probe)
		WHERE truth.verdict IN ('potential', 'mirrored', 'tampered', 'implausible')
		GROUP BY ALL ORDER BY ALL`, p.truth)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	genuine, wronged, filtered := map[string]float64{}, map[string]float64{}, map[string]float64{}
	behaviours := 0
	for rows.Next() {
		var probe, behaviour, verdict string
		var hosts, caught float64
		if err := rows.Scan(&probe, &behaviour, &verdict, &hosts, &caught); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %-16s %-12s %5.0f of %5.0f filtered", probe, behaviour, verdict, caught, hosts)
		filtered[probe] += caught
		if verdict == "potential" {
			genuine[probe] += hosts
			wronged[probe] += caught
			continue
		}
		behaviours++
		least, ok := found[behaviour]
		if !ok {
			least = 1
		}
		if caught < least*hosts {
			t.Errorf("%s, %s: %.0f of %.0f hosts are found, want %.0f %%", behaviour, probe, caught, hosts, 100*least)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, probe := range []string{"v0", "v1"} {
		t.Logf("%s: %.0f of %.0f genuine hosts filtered, among %.0f", probe, wronged[probe], genuine[probe], filtered[probe])
		if genuine[probe] == 0 || wronged[probe] > keys.FDR*min(genuine[probe], filtered[probe]) {
			t.Errorf("%s: %.0f of %.0f genuine hosts are filtered, among %.0f: more than a share of %g",
				probe, wronged[probe], genuine[probe], filtered[probe], keys.FDR)
		}
	}
	if behaviours < 25 {
		t.Errorf("only %d behaviours with other keys than random ones", behaviours)
	}
}

// TestPaperCase is the census of the paper: every SYN carries one static key of weight 16, and 96 % of the
// answers with MP_CAPABLE mirror it. The keys that come back are a spike at 16 beside the binomial curve.
func TestPaperCase(t *testing.T) {
	p := newPopulation(t, "seed: 16\nranges: [198.18.0.0/16]\nports: [443]\nbehaviours: {mirror: 15729, true-v0: 655, tcp: 0.2}\n")
	p.scanAll(t, "v0", "--probe-args", "key=static:8888888888888888")
	mustRun(t, mpcensus, "classify", "--dataset", p.census)

	var counts [keys.Bits + 1]float64
	rows, err := p.open(t).Query("SELECT key_weight, count(*) FROM replies WHERE sender_key IS NOT NULL GROUP BY ALL")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := 0.0
	for rows.Next() {
		var weight int
		var n float64
		if err := rows.Scan(&weight, &n); err != nil {
			t.Fatal(err)
		}
		counts[weight] = n
		all += n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if share := counts[16] / all; all != 15729+655 || share < 0.96 || share > 0.961 {
		t.Errorf("%.0f of %.0f keys have weight 16", counts[16], all)
	}
	// All others follow Binomial(64, 1/2): chi-square over the weights where five or more are expected.
	chi2, cells := 0.0, 0
	for weight, n := range counts {
		chance, _ := new(big.Float).SetInt(new(big.Int).Binomial(64, int64(weight))).Float64()
		if expected := 655 * math.Ldexp(chance, -64); expected >= 5 {
			chi2 += (n - expected) * (n - expected) / expected
			cells++
		}
	}
	if limit := float64(cells) + 5*math.Sqrt(2*float64(cells)); cells < 15 || chi2 > limit {
		t.Errorf("chi-square %.1f over %d weights, want at most %.1f", chi2, cells, limit)
	}

	out := filepath.Join(t.TempDir(), "report")
	mustRun(t, mpcensus, "report", "--dataset", p.census, "--out", out)
	figures, err := filepath.Glob(filepath.Join(out, "figures", "hamming-*.svg"))
	if err != nil || len(figures) != 1 {
		t.Fatalf("Hamming plots: %q, %v", figures, err)
	}
	svg, err := os.ReadFile(figures[0])
	if err != nil {
		t.Fatal(err)
	}
	if named := regexp.MustCompile(`>\d+: \+[^<]*`).FindAllString(string(svg), -1); len(named) != 1 || !strings.HasPrefix(named[0], ">16: +15,729, p ") {
		t.Errorf("outliers named in the figure: %q, want weight 16 alone", named)
	}
	out = mustRun(t, mpcensus, "query", "--dataset", p.census, "--format", "csv", "SELECT verdict, count(*) AS hosts FROM hosts WHERE sender_key IS NOT NULL GROUP BY ALL ORDER BY ALL")
	if out != "verdict,hosts\nmirrored,15729\npotential,655\n" {
		t.Errorf("verdicts: %q", out)
	}
}
