package history

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/lab/scenario"
)

// shrunk is the default scenario with 1,024 IPv4 and 512 IPv6 addresses.
func shrunk(t *testing.T) *scenario.Scenario {
	t.Helper()
	text := strings.NewReplacer("198.18.0.0/16", "198.18.4.0/22", "addresses: 16384", "addresses: 512").Replace(string(scenario.AllYAML))
	s, err := scenario.Parse("shrunk.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if s.Size() != 1024+512 {
		t.Fatalf("%d addresses", s.Size())
	}
	return s
}

func params(t *testing.T) Params {
	return Params{
		Scenario: shrunk(t), Families: scenario.Families, Ports: []uint16{80, 443}, Probes: []string{rows.V0, rows.V1},
		Months: 12, Last: time.Date(2026, 8, 31, 0, 0, 0, 0, time.UTC), Seed: 1,
	}
}

func mustWrite(t *testing.T, p Params) (dir string, s Summary) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "history")
	s, err := Write(t.Context(), dir, p)
	if err != nil {
		t.Fatal(err)
	}
	return dir, s
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestSameBytes(t *testing.T) {
	for _, targets := range []int{0, 3000} {
		p := params(t)
		p.Targets, p.Months = targets, 3
		var first map[string][]byte
		for _, threads := range []int{1, 7} {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
			dir, _ := mustWrite(t, p)
			files := contents(t, dir)
			if first == nil {
				first = files
			}
			for name, content := range files {
				if !bytes.Equal(content, first[name]) {
					t.Errorf("%d targets, %d threads: %s differs", targets, threads, name)
				}
			}
			if len(files) != 3*2*2*2+1 || len(first) != len(files) {
				t.Errorf("%d files", len(files))
			}
		}
		p.Seed++
		dir, _ := mustWrite(t, p)
		for name, content := range contents(t, dir) {
			if bytes.Equal(content, first[name]) {
				t.Errorf("%d targets: %s is the same with another seed", targets, name)
			}
		}
	}
}

// Dates as a calendar has them.
func TestDates(t *testing.T) {
	for last, want := range map[string]string{
		"2026-08-31": "2026-02-28 2026-03-31 2026-04-30 2026-05-31 2026-06-30 2026-07-31 2026-08-31",
		"2024-03-30": "2023-12-30 2024-01-30 2024-02-29 2024-03-30",
		"2026-01-01": "2025-11-01 2025-12-01 2026-01-01",
	} {
		day, err := time.Parse(time.DateOnly, last)
		if err != nil {
			t.Fatal(err)
		}
		p := Params{Months: len(strings.Fields(want)), Last: day}
		var dates []string
		for month := range p.Months {
			dates = append(dates, p.date(month).Format(time.DateOnly))
		}
		if got := strings.Join(dates, " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// A month after the history everything is as the scenario says: hosts that were there are still what they were or,
// where the scenario is silent, gone.
func TestScenarioGoesOn(t *testing.T) {
	p := params(t)
	p.Scenario = scenario.All()
	population := newPopulation(&p)
	gone := 0
	for _, port := range p.Ports {
		for _, family := range scenario.Families {
			for a := range population.addresses(family) {
				l, home := population.life(a, port), p.Scenario.Behaviour(a, port)
				switch {
				case home == scenario.Silent && l.present != 0:
					gone++
					if !churns(l.behaviour) {
						t.Fatalf("%s was %s", a, l.behaviour)
					}
				case l.behaviour != home, home != scenario.Silent && l.present == 0:
					t.Fatalf("%s is %s, and was %s in the months %b", a, home, l.behaviour, l.present)
				case !churns(home) && home != scenario.Silent && l.present != 1<<p.Months-1:
					t.Fatalf("%s is %s, and was so in the months %b", a, home, l.present)
				}
			}
		}
	}
	if gone == 0 {
		t.Error("nobody has gone")
	}
}

// near fails unless n of all are a share, within five standard deviations.
func near(t *testing.T, what string, n, all int, share float64) {
	t.Helper()
	mean := float64(all) * share
	if d := math.Abs(float64(n) - mean); d > 5*math.Sqrt(mean*(1-share)) || n == 0 && share > 0 {
		t.Errorf("%s: %d of %d, want a share of %.4f", what, n, all, share)
	}
}

// The shares are those of the scenario, and those that life.go's tables name; how often hosts are there follows from
// the ways by counting.
func TestShares(t *testing.T) {
	const n = 150_000
	p := params(t)
	p.Scenario, p.Targets = scenario.All(), n
	population := newPopulation(&p)
	full := uint64(1<<p.Months - 1)
	for _, family := range scenario.Families {
		var behaviours, goneBehaviours [scenario.Behaviours]int
		hosts, gone, silent, upgraded := 0, 0, 0, 0
		presences, goneEnds := map[Presence]int{}, map[Presence]int{}
		var stayed, left int
		for a := range population.addresses(family) {
			if scenario.FamilyOf(a) != family {
				t.Fatalf("%s in %s", a, family)
			}
			l := population.life(a, 443)
			there := l.present != 0
			// What an invented target is after the history, only its dice tell.
			var d dice
			d.source.Seed(p.Seed, p.Scenario.Traits(a, 443))
			home := population.home(a, 443, &d)
			behaviours[home]++
			switch {
			case home == scenario.Silent && !there:
				silent++
			case home == scenario.Silent:
				gone++
				goneBehaviours[l.behaviour]++
				goneEnds[l.presence(p.Months)]++
				if l.present&(l.present+1) == 0 { // from the first month on, without a gap
					left++
				}
			case churns(home):
				hosts++
				presences[l.presence(p.Months)]++
				if l.present != full && bits.Len64(l.present) == p.Months && l.present+l.present&-l.present == full+1 { // to the last month, without a gap
					stayed++
				}
			}
			if home == scenario.TrueV1 && l.upgraded > 0 {
				upgraded++
			}
		}
		var churning float64
		counts := map[scenario.Behaviour]float64{}
		size := 0.0
		for a := range p.Scenario.Addresses {
			if scenario.FamilyOf(a) == family {
				b := p.Scenario.Behaviour(a, 443)
				counts[b]++
				size++
				if b.Verdict(scenario.Plain) == scenario.NoMPTCP {
					churning++
				}
			}
		}
		for b := scenario.Silent; b < scenario.KernelMPTCP; b++ {
			near(t, family+" "+b.String(), behaviours[b], n, counts[b]/size)
			if b.Verdict(scenario.Plain) == scenario.NoMPTCP {
				near(t, family+" gone "+b.String(), goneBehaviours[b], gone, counts[b]/churning)
			}
		}
		near(t, family+" gone", gone, gone+silent, 0.05)
		near(t, family+" always", presences[Always], hosts, 0.70)
		// The newcomers of the last month of eleven are there once.
		near(t, family+" once", presences[Once], hosts, 0.06+0.12/11)
		near(t, family+" sometimes", presences[Sometimes], hosts, 0.12+0.12*10/11)
		// Of the ten possible numbers of months that "sometimes" draws, each as often, so many lie all at one end.
		atOneEnd := 0.0
		for months := 2; months < 12; months++ {
			atOneEnd += 1 / choose(12, months) / 10
		}
		near(t, family+" came and stayed", stayed, hosts, 0.12+0.12*atOneEnd+0.06/12)
		near(t, family+" gone, once", goneEnds[Once], gone, 0.30+0.40/11)
		near(t, family+" left", left, gone, 0.40+0.30*atOneEnd+0.30/12)
		// A quarter, but for those that came only after the month of it.
		if share := float64(upgraded) / float64(behaviours[scenario.TrueV1]); share < 0.18 || share > 0.26 {
			t.Errorf("%s: %.3f of the true-v1 hosts were upgraded", family, share)
		}
	}
}

func choose(n, k int) float64 {
	c := 1.0
	for i := range k {
		c = c * float64(n-i) / float64(i+1)
	}
	return c
}

func TestInventedTargetsDiffer(t *testing.T) {
	p := params(t)
	p.Targets = 100_000
	population := newPopulation(&p)
	seen := map[any]bool{}
	for _, family := range scenario.Families {
		for a := range population.addresses(family) {
			seen[a] = true
		}
		if again := slices.Collect(population.addresses(family)); !seen[again[0]] || !seen[again[len(again)-1]] {
			t.Error("another scan has other targets")
		}
	}
	p.Seed++
	again := 0
	for a := range newPopulation(&p).addresses(rows.IPv4) {
		if seen[a] {
			again++
		}
	}
	if again > 30 { // 100,000² / 2^32 = 2 by chance
		t.Errorf("with another seed %d targets are the same", again)
	}
	if len(seen) != 2*p.Targets {
		t.Errorf("%d targets, want %d", len(seen), 2*p.Targets)
	}
}

func TestWrongParams(t *testing.T) {
	only4, err := scenario.Parse("", []byte("ranges: [198.18.0.0/24]\nports: [80]\nbehaviours: {tcp: 0.5}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for word, change := range map[string]func(p *Params){
		"1 months":             func(p *Params) { p.Months = 1 },
		"65 months":            func(p *Params) { p.Months = 65 },
		"-1 targets":           func(p *Params) { p.Targets = -1 },
		"at least one":         func(p *Params) { p.Probes = nil },
		"port 80 stands twice": func(p *Params) { p.Ports = []uint16{80, 443, 80} },
		"1969-12-01 is before": func(p *Params) { p.Last = time.Date(1970, 11, 1, 0, 0, 0, 0, time.UTC) },
		"family \"ipv5\"":      func(p *Params) { p.Families = []string{"ipv5"} },
		"no such":              func(p *Params) { p.Scenario, p.Ports = only4, []uint16{80} },
		"port 22: the sce":     func(p *Params) { p.Ports = []uint16{22} },
		"probe \"plain\"":      func(p *Params) { p.Probes = []string{"plain"} },
	} {
		p := params(t)
		change(&p)
		dir := filepath.Join(t.TempDir(), "none")
		if _, err := Write(t.Context(), dir, p); err == nil || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v does not say %q", err, word)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: a folder is left", word)
		}
	}
}

func TestFolderMustBeEmpty(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "2020-01-15-ipv4-443-v0.json.zst"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), dir, params(t)); err == nil || !strings.Contains(err.Error(), "not empty: name another") {
		t.Errorf("error %v", err)
	}
	if files := contents(t, dir); len(files) != 1 {
		t.Errorf("left %d files", len(files))
	}
}

func TestScanWithoutRows(t *testing.T) {
	p := params(t)
	var err error
	p.Scenario, err = scenario.Parse("", []byte("ranges: [198.18.0.0/24]\nports: [80]\nbehaviours: {drop-mptcp: 0.5}\n"))
	if err != nil {
		t.Fatal(err)
	}
	p.Families, p.Ports = []string{"ipv4"}, []uint16{80}
	if _, err = Write(t.Context(), t.TempDir(), p); !errors.Is(err, errNoRows) {
		t.Errorf("error %v", err)
	}
}

// What an interrupted history leaves are whole files.
func TestInterrupted(t *testing.T) {
	p := params(t)
	p.Targets = 200_000
	ctx, cancel := context.WithCancel(t.Context())
	p.Progress = func(Summary) { cancel() }
	dir := t.TempDir()
	if _, err := Write(ctx, dir, p); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	files := contents(t, dir)
	for name := range files {
		if strings.HasPrefix(name, ".") {
			t.Errorf("%s is left", name)
		}
	}
	if len(files) > 12 {
		t.Errorf("%d files after an interrupt", len(files))
	}
}

// Two months have no room for those that come back.
func TestTwoMonths(t *testing.T) {
	p := params(t)
	p.Months = 2
	population := newPopulation(&p)
	count := map[Presence]int{}
	for a := range population.addresses(rows.IPv4) {
		if l := population.life(a, 80); l.present != 0 {
			count[l.presence(2)]++
		}
	}
	if count[Sometimes] != 0 || count[Once] == 0 || count[Always] == 0 {
		t.Errorf("presences %v", count)
	}
}

func BenchmarkWrite(b *testing.B) {
	p := Params{
		Scenario: scenario.All(), Families: []string{rows.IPv4}, Ports: []uint16{443}, Probes: []string{rows.V0},
		Months: 2, Last: time.Date(2026, 8, 31, 0, 0, 0, 0, time.UTC), Targets: 200_000, Seed: 1,
	}
	var written uint64
	for b.Loop() {
		s, err := Write(b.Context(), b.TempDir()+"/history", p)
		if err != nil {
			b.Fatal(err)
		}
		written += s.Rows
	}
	b.ReportMetric(float64(written)/b.Elapsed().Seconds(), "rows/s")
}
