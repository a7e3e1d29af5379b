package report

import (
	"database/sql"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// hostile is text that somebody else chose: a network's name, a file's, an argument.
const hostile = `<script>document.title="taken"</script> | =1+1 "'&` + "\x00\u202e\n`*"

// paperKeys have the paper's shape: few genuine keys, and a spike of mirrors at weight 16.
func paperKeys(id string, p dataset.Partition, genuine int) ScanKeys {
	rng := rand.New(rand.NewPCG(1, uint64(genuine)))
	var potential, mirrored, distances keys.Histogram
	for range genuine {
		potential[bits.OnesCount64(rng.Uint64())]++
		distances[bits.OnesCount64(rng.Uint64())]++
	}
	mirrored[16] = 24 * uint64(genuine)
	distances[0] = mirrored[16]
	scan := ScanKeys{ID: id, Partition: p, Complete: true, Distances: distances,
		ByVerdict: map[string]keys.Histogram{"potential": potential, "mirrored": mirrored}}
	if p.Probe != "v0" {
		scan.Distances = keys.Histogram{}
	}
	all := potential
	all[16] += mirrored[16]
	scan.Weights = keys.TestWeights(all, keys.FDR)
	return scan
}

// sample is a census of the given number of months, two families, two ports and both versions. One
// month of one series was not scanned.
func sample(months int) *Census {
	c := &Census{Families: []string{"ipv4", "ipv6"}, Ports: []uint16{80, 443}, Notes: []string{"1 scan is not complete: " + hostile}}
	dates := make([]string, months)
	for i := range dates {
		dates[i] = fmt.Sprintf("2026-%02d-05", i+1)
	}
	c.Dates = dates
	for f, family := range c.Families {
		for q, port := range c.Ports {
			for v, probe := range []string{"v0", "v1"} {
				presence := Presence{Family: family, Port: port, Probe: probe, Scanned: months, Seen: make([]int64, months)}
				for i := range months {
					presence.Seen[i] = int64(100 / (i + 1))
				}
				presence.Seen[months-1] += 60
				c.Presence = append(c.Presence, presence)
				for i, date := range dates {
					month := Month{Month: date[:7], Family: family, Port: port, Probe: probe}
					if !(family == "ipv6" && port == 80 && i == 1) {
						p := dataset.Partition{Date: date, Family: family, Port: port, Probe: probe}
						id := fmt.Sprintf("%sT000000Z-%s-%d-%s", date, family, port, probe)
						potential := int64(2600/(1+9*f)/(1+q)/(1+v) + 40*i)
						t := Tally{Partition: p, Scans: []string{id}, Complete: true, Probes: sql.Null[int64]{V: 4_000_000, Valid: true},
							Verdicts:   map[string]int64{"potential": potential, "mirrored": 24 * potential, "tampered": 7, "implausible": 12, "no-mptcp": 900_000 / int64(1+9*f), "closed": 50_000},
							FollowedUp: family == "ipv4", Final: map[string]int64{"true": potential / 2, "middlebox-affected": 20, "unreachable": potential / 3}}
						c.Tallies = append(c.Tallies, t)
						month.Scanned, month.Tally = true, &t
						c.Keys = append(c.Keys, paperKeys(id, p, int(potential)))
						c.Scans++
					}
					c.Months = append(c.Months, month)
				}
			}
		}
	}
	for _, m := range c.Months {
		m.Scanned = m.Scanned && m.Tally.FollowedUp
		c.FinalMonths = append(c.FinalMonths, m)
	}
	slices.SortStableFunc(c.Tallies, func(a, b Tally) int { return strings.Compare(b.Date, a.Date) })
	slices.SortStableFunc(c.Keys, func(a, b ScanKeys) int { return strings.Compare(b.Date, a.Date) })
	for i, t := range c.Tables() {
		*t = Table{Name: fmt.Sprintf("table-%d", i), Title: fmt.Sprintf("Table %d", i), Note: "Made up. " + hostile,
			Columns: []Column{
				{Name: "name", Meaning: "A name."}, {Name: "targets", Unit: "targets", Meaning: "A count."},
				{Name: "share", Meaning: "A share.", Share: true}, {Name: "p", Meaning: "A chance."},
			},
			Rows: [][]any{
				{"a", int64(1_234_567), 0.5, 1e-12}, {hostile, int64(900), 0.05, 0.3}, {"c", nil, nil, nil}, {"B", int64(10_000), 0.25, 2e-300},
			},
		}
	}
	c.ASes = Table{Name: "ases", Title: "AS", Columns: []Column{{Name: "family"}, {Name: "asn"}, {Name: "as_name"}, {Name: "potential"}, {Name: "potential_share", Share: true}},
		Rows: [][]any{
			{"ipv4", int64(64500), hostile, int64(1200), 0.6}, {"ipv4", int64(64501), nil, int64(500), 0.25}, {"ipv4", nil, "(all others)", int64(300), 0.15},
			{"ipv6", int64(64500), "Example 語", int64(7), 1.0},
		}}
	c.Countries = Table{Name: "countries", Title: "Countries", Columns: []Column{{Name: "family"}, {Name: "country"}, {Name: "potential"}, {Name: "potential_share", Share: true}},
		Rows: [][]any{{"ipv4", "DE", int64(1500), 0.75}, {"ipv4", "JP", int64(500), 0.25}, {"ipv4", "(not known)", int64(300), 0.15}}}
	c.Treatments = Table{Name: "treatments", Title: "Treatments",
		Columns: []Column{{Name: "date"}, {Name: "family"}, {Name: "port"}, {Name: "probe"}, {Name: "supports"}, {Name: "mirrors"}, {Name: "drops"}},
		Rows: [][]any{
			{"2026-12-05", "ipv4", int64(443), "v0", int64(900), int64(4_000), int64(12)},
			{"2026-12-05", "ipv4", int64(443), "v1", int64(600), int64(4_000), int64(0)},
			{"2026-11-05", "ipv4", int64(443), "v0", int64(111), int64(1), int64(1)},
		}}
	c.Middleboxes = Table{Name: "middleboxes", Title: "Middleboxes", Columns: []Column{{Name: "date"}, {Name: "family"}, {Name: "port"}, {Name: "probe"}, {Name: "kind"},
		{Name: "first_third"}, {Name: "middle_third"}, {Name: "last_third"}, {Name: "near_host"}, {Name: "not_told"}},
		Rows: [][]any{
			{"2026-12-05", "ipv4", int64(443), "v1", "removed", int64(10), int64(20), int64(30), int64(40), int64(0)},
			{"2026-12-05", "ipv4", int64(80), "v1", "removed", int64(5), int64(0), int64(0), int64(0), int64(5)},
			{"2026-12-05", "ipv4", int64(443), "v1", hostile, int64(0), int64(1), int64(0), int64(0), int64(1)},
			{"2026-11-05", "ipv4", int64(443), "v1", "dropped", int64(7), int64(0), int64(0), int64(0), int64(0)},
		}}
	c.Verification = Table{Name: "verification", Title: "Verification", Columns: []Column{{Name: "date"}, {Name: "family"}, {Name: "port"}, {Name: "protocol"},
		{Name: "proven"}, {Name: "fallback_at_connect"}, {Name: "fallback_after_connect"}, {Name: "not_known"}, {Name: "not_connected"}, {Name: "skipped"}},
		Rows: [][]any{
			{"2026-12-05", "ipv4", int64(443), "tls", int64(800), int64(20), int64(60), int64(20), int64(90), int64(10)},
			{"2026-12-05", "ipv6", int64(80), "http", int64(8), int64(0), int64(0), int64(0), int64(0), int64(0)},
			{"2026-11-05", "ipv4", int64(443), "tls", int64(1), int64(0), int64(0), int64(0), int64(0), int64(0)},
		}}
	ratio := func(median float64) Ratio { return Ratio{40, median, 0.9 * median, 1.2 * median, true} }
	c.Transfers = []Transfer{
		{Date: "2026-12-05", Family: "ipv4", Port: 443, Protocol: "tls", Path: "clean", Targets: 40, Connect: ratio(1.04), FirstByte: ratio(1.1), Total: ratio(0.97)},
		{Date: "2026-12-05", Family: "ipv4", Port: 443, Protocol: "tls", Path: "removed", Targets: 4, Connect: Ratio{Targets: 4, Median: 2.5}, FirstByte: ratio(500)},
		{Date: "2026-12-05", Family: "ipv4", Port: 443, Protocol: "tls", Path: "dropped", Targets: 4},
		{Date: "2026-11-05", Family: "ipv4", Port: 443, Protocol: "tls", Path: "not seen", Targets: 40, Connect: ratio(9)},
	}
	c.Sources.Rows, c.Sources.Empty = nil, "not enriched: run mpcensus enrich"
	return c
}
