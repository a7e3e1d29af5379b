package report

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/classify"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// fact is a row of hosts with its scan: the model counts these again and again, slowly.
type fact struct {
	*testScan
	testHost
}

type facts []fact

func (all facts) where(keep func(fact) bool) (kept facts) {
	for _, f := range all {
		if keep(f) {
			kept = append(kept, f)
		}
	}
	return kept
}

// distinctBy counts the different values of what describe says.
func (all facts) distinctBy(describe func(fact) string) int64 {
	seen := map[string]bool{}
	for _, f := range all {
		seen[describe(f)] = true
	}
	return int64(len(seen))
}

func (all facts) targets() int64 { return all.distinctBy(func(f fact) string { return f.target }) }

// randomScans is a small dataset in which everything happens that the tables count.
func randomScans(rng *rand.Rand) (scans []testScan) {
	tags := map[string][]string{
		"potential": {"key-plausible: weight 30"}, "mirrored": {"key-echo: distance 0", "canary-mirrored", "key-plausible: weight 3"},
		"tampered": {"bytes-kept: 4 of 8", "bytes-kept: 5 of 8", "key-distance: 3 bits"}, "implausible": {"zero-key", "repeated-key: 2 targets"},
		"no-mptcp": {"no-mp-capable"}, "closed": {"rst"}, "unreachable": {"icmp: type 3"},
	}
	verdicts := append([]string{"potential", "potential", "mirrored", "mirrored"}, slices.Sorted(maps.Keys(tags))...)
	for _, date := range []string{"2026-06-30", "2026-08-01", "2026-08-20", "2026-09-15"} {
		for _, family := range []string{"ipv4", "ipv6"} {
			for _, port := range []uint16{80, 443} {
				for _, probe := range []string{"v0", "v1", "plain"} {
					for part := range []int{0, 1, 1, 2, 2}[rng.IntN(5)] {
						s := newScan(date, family, port, probe, fmt.Sprint("-", part))
						s.broken = rng.IntN(6) == 0
						if rng.IntN(3) > 0 {
							s.values["probes_sent"] = fmt.Sprint(rng.IntN(1000))
						}
						for i := range 25 {
							if rng.IntN(3) == 0 {
								continue
							}
							h := testHost{target: fmt.Sprint(family, " host ", i), verdict: verdicts[rng.IntN(len(verdicts))], replies: 1 + rng.IntN(3)}
							for _, tag := range tags[h.verdict] {
								if len(h.reasons) == 0 || rng.IntN(2) == 0 {
									h.reasons = append(h.reasons, tag)
								}
							}
							if slices.Contains([]string{"potential", "mirrored", "tampered", "implausible"}, h.verdict) && rng.IntN(8) > 0 {
								h.key = ptr([]uint64{0, 1, 0xffff, 7 << 40, rng.Uint64(), rng.Uint64(), rng.Uint64()}[rng.IntN(7)])
								if probe == "v0" {
									h.distance = ptr(rng.IntN(3) * rng.IntN(65) / 2)
								}
							}
							if h.verdict == "potential" && rng.IntN(2) == 0 {
								h.excess = ptr(float64(rng.IntN(2)) / 4)
							}
							if h.verdict != "closed" && rng.IntN(8) > 0 {
								h.order = []string{"2", "2-30", "2-4-30"}[rng.IntN(3)]
							}
							// An address is in one network.
							if i%7 > 0 {
								h.asn, h.asName = 64500+i%13, fmt.Sprint("AS name ", i%13)
							}
							if i%5 > 0 {
								h.country = string(rune('A'+i%12)) + "X"
							}
							if i%4 > 0 && rng.IntN(4) > 0 {
								h.final = classify.FinalVerdicts[rng.IntN(3)]
							}
							s.hosts = append(s.hosts, h)
						}
						scans = append(scans, s)
					}
				}
			}
		}
	}
	return scans
}

// place is what a table's row is about, as its first cells say it.
func place(values ...any) string {
	var cells []string
	for _, v := range values {
		cells = append(cells, fmt.Sprint(v))
	}
	return strings.Join(cells, " ")
}

// rowsBy are the rows of a table by their first cells.
func rowsBy(t *testing.T, table *Table, cells int) map[string][]any {
	rows := map[string][]any{}
	for _, row := range table.Rows {
		at := place(row[:cells]...)
		if rows[at] != nil {
			t.Errorf("table %s: two rows of %s", table.Name, at)
		}
		rows[at] = row[cells:]
	}
	return rows
}

func compare(t *testing.T, table *Table, cells int, want map[string][]any) {
	t.Helper()
	got := rowsBy(t, table, cells)
	for at, row := range want {
		if !reflect.DeepEqual(got[at], row) {
			t.Errorf("table %s, %s: got %v, want %v", table.Name, at, got[at], row)
		}
	}
	if len(got) != len(want) {
		t.Errorf("table %s: %d rows, want %d", table.Name, len(got), len(want))
	}
}

func part(n, whole int64) any {
	if whole == 0 {
		return nil
	}
	return float64(n) / float64(whole)
}

func TestAgainstModel(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 5))
			scans := randomScans(rng)
			dir := t.TempDir()
			followed := randomFollowUps(t, rng, dir, scans)
			followed.conclude(rng, scans)
			addScans(t, dir, scans...)
			c := readCensus(t, dir)
			var all facts
			for i := range scans {
				for _, h := range scans[i].hosts {
					all = append(all, fact{&scans[i], h})
				}
			}
			modelTallies(t, c, scans, all, followed.partitions())
			modelPaths(t, c, followed)
			modelConnections(t, c, followed)
			modelKeys(t, c, scans, all)
			modelVersions(t, c, scans, all)
			modelPresence(t, c, scans, all)
			modelReuse(t, c, all)
			modelLatest(t, c, scans, all)
		})
	}
}

func withMPCapable(p dataset.Partition) bool { return p.Probe == "v0" || p.Probe == "v1" }

// byVerdict counts targets, each with the first verdict of classify.Verdicts that any of its rows has.
func (all facts) byVerdict() map[string]int64 {
	counts, done := map[string]int64{}, map[string]bool{}
	for _, verdict := range classify.Verdicts {
		for _, f := range all {
			if f.verdict == verdict && !done[f.target] {
				done[f.target] = true
				counts[verdict]++
			}
		}
	}
	return counts
}

// byFinal are the cells of a table with targets by final verdict, each with the first that any of its rows has.
func (all facts) byFinal(followed bool) (cells []any) {
	done := map[string]bool{}
	for _, verdict := range classify.FinalVerdicts {
		n := int64(0)
		for _, f := range all {
			if f.final == verdict && !done[f.target] {
				done[f.target] = true
				n++
			}
		}
		if followed || n > 0 {
			cells = append(cells, n)
		} else {
			cells = append(cells, nil)
		}
	}
	return cells
}

func modelTallies(t *testing.T, c *Census, scans []testScan, all facts, followed map[dataset.Partition]bool) {
	funnel, reasons, losses := map[string][]any{}, map[string][]any{}, map[string][]any{}
	months, finalMonths := map[string][]any{}, map[string][]any{}
	monthDates, finalDates := map[string]string{}, map[string]string{}
	for _, s := range scans {
		p := s.Partition
		n, complete := int64(0), true
		var probes any = int64(0)
		for _, other := range scans {
			if other.Partition != p {
				continue
			}
			n++
			complete = complete && !other.broken
			if sent := other.values["probes_sent"]; sent == "" || probes == nil {
				probes = nil
			} else {
				var number int64
				fmt.Sscan(sent, &number)
				probes = probes.(int64) + number
			}
		}
		rows := all.where(func(f fact) bool { return f.Partition == p })
		v := rows.byVerdict()
		filtered := v["mirrored"] + v["tampered"] + v["implausible"]
		capable := filtered + v["potential"]
		var potential any
		if withMPCapable(p) {
			potential = v["potential"]
		}
		at := place(p.Date, p.Family, p.Port, p.Probe)
		final := rows.byFinal(followed[p] && withMPCapable(p))
		funnel[at] = append([]any{n, yesNo(complete), probes, capable + v["no-mptcp"], capable, filtered, part(filtered, capable),
			v["mirrored"], v["tampered"], v["implausible"], potential}, final...)

		month := place(p.Date[:7], p.Family, p.Port, p.Probe)
		if withMPCapable(p) && complete && p.Date > monthDates[month] {
			monthDates[month] = p.Date
			months[month] = []any{p.Date, capable + v["no-mptcp"], capable, filtered, v["potential"]}
		}
		if withMPCapable(p) && complete && followed[p] && p.Date > finalDates[month] {
			finalDates[month] = p.Date
			finalMonths[month] = append([]any{p.Date, v["potential"]}, final...)
		}

		bad := rows.where(func(f fact) bool { return slices.Contains([]string{"mirrored", "tampered", "implausible"}, f.verdict) })
		for _, f := range bad {
			for _, r := range f.reasons {
				tag := strings.Split(r, ":")[0]
				count := int64(0)
				for _, other := range bad {
					if other.verdict == f.verdict && slices.ContainsFunc(other.reasons, func(s string) bool { return strings.Split(s, ":")[0] == tag }) {
						count++
					}
				}
				reasons[place(at, f.verdict, tag)] = []any{count, part(count, int64(len(bad)))}
			}
		}

		mine := all.where(func(f fact) bool { return f.ID == s.ID && f.verdict == "potential" })
		undecided := mine.where(func(f fact) bool { return f.excess != nil && *f.excess > 0 })
		unjudged := mine.where(func(f fact) bool { return f.excess == nil })
		losses[place(at, s.ID)] = []any{int64(len(undecided)), int64(len(unjudged))}
	}
	for _, s := range scans {
		for _, month := range []string{"2026-06", "2026-07", "2026-08", "2026-09"} {
			if at := place(month, s.Family, s.Port, s.Probe); withMPCapable(s.Partition) && months[at] == nil {
				months[at] = []any{nil, nil, nil, nil, nil}
			}
			if at := place(month, s.Family, s.Port, s.Probe); withMPCapable(s.Partition) && finalMonths[at] == nil {
				finalMonths[at] = []any{nil, nil, nil, nil, nil}
			}
		}
	}
	compare(t, &c.Funnel, 4, funnel)
	compare(t, &c.Reasons, 6, reasons)
	compare(t, &c.MonthsTable, 4, months)
	compare(t, &c.FinalMonthsTable, 4, finalMonths)
	for at, row := range rowsBy(t, &c.Losses, 5) {
		if !reflect.DeepEqual(row[len(row)-2:], losses[at]) {
			t.Errorf("losses of %s: got %v, want %v", at, row, losses[at])
		}
	}
	for _, m := range c.Months {
		if row := months[place(m.Month, m.Family, m.Port, m.Probe)]; m.Scanned != (row[0] != nil) ||
			m.Scanned && !reflect.DeepEqual(row, []any{m.Tally.Date, m.Tally.Responsive(), m.Tally.MPCapable(), m.Tally.Filtered(), m.Tally.Potential()}) {
			t.Errorf("month %v, want %v", m, row)
		}
	}
	dates := []string{}
	for _, tally := range c.Tallies {
		dates = append(dates, tally.Date)
	}
	if !slices.IsSortedFunc(dates, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("tallies are not newest first: %v", dates)
	}
}

func modelKeys(t *testing.T, c *Census, scans []testScan, all facts) {
	outliers := map[string][]any{}
	for _, k := range c.Keys {
		byVerdict := map[string]keys.Histogram{}
		var sum, distances keys.Histogram
		mine := all.where(func(f fact) bool { return f.ID == k.ID && f.key != nil })
		for _, f := range mine {
			weight := strings.Count(fmt.Sprintf("%b", *f.key), "1")
			h := byVerdict[f.verdict]
			h[weight]++
			byVerdict[f.verdict] = h
			sum[weight]++
			if f.distance != nil {
				distances[*f.distance]++
			}
		}
		if !reflect.DeepEqual(k.ByVerdict, byVerdict) || k.Distances != distances || !reflect.DeepEqual(k.Weights, keys.TestWeights(sum, keys.FDR)) {
			t.Errorf("keys of %s: got %v, %v", k.ID, k.ByVerdict, k.Distances)
		}
		for _, w := range k.Weights.Outliers() {
			verdict, most := "", uint64(0)
			for _, v := range slices.Sorted(maps.Keys(byVerdict)) {
				if byVerdict[v][w.Weight] > most {
					verdict, most = v, byVerdict[v][w.Weight]
				}
			}
			tags := map[string]int{}
			for _, f := range mine {
				if f.verdict == verdict && verdict != "potential" && strings.Count(fmt.Sprintf("%b", *f.key), "1") == w.Weight {
					seen := map[string]bool{}
					for _, r := range f.reasons {
						if tag := strings.Split(r, ":")[0]; !seen[tag] {
							seen[tag] = true
							tags[tag]++
						}
					}
				}
			}
			var tag any
			for _, name := range slices.Sorted(maps.Keys(tags)) {
				if tag == nil || tags[name] > tags[tag.(string)] {
					tag = name
				}
			}
			outliers[place(k.Date, k.Family, k.Port, k.Probe, k.ID, w.Weight)] = []any{int64(w.Observed), w.Expected, w.P, w.AdjustedP,
				w.Excess, w.ExcessLow, w.ExcessHigh, yesNo(w.Condemned), verdict, part(int64(most), int64(w.Observed)), tag}
		}
	}
	if len(outliers) == 0 {
		t.Error("the model has no outlying weight")
	}
	compare(t, &c.Outliers, 6, outliers)
	if n := len(slices.DeleteFunc(slices.Clone(scans), func(s testScan) bool { return !withMPCapable(s.Partition) })); n != len(c.Keys) {
		t.Errorf("keys of %d scans, want %d", len(c.Keys), n)
	}
}

func modelVersions(t *testing.T, c *Census, scans []testScan, all facts) {
	versions := map[string][]any{}
	for _, s := range scans {
		if !withMPCapable(s.Partition) {
			continue
		}
		potential := map[string]map[string]bool{}
		complete := true
		for _, other := range scans {
			if other.Date == s.Date && other.Family == s.Family && other.Port == s.Port && withMPCapable(other.Partition) {
				complete = complete && !other.broken
				if potential[other.Probe] == nil {
					potential[other.Probe] = map[string]bool{}
				}
				for _, h := range other.hosts {
					if h.verdict == "potential" {
						potential[other.Probe][h.target] = true
					}
				}
			}
		}
		row := []any{yesNo(complete), nil, nil, nil, nil, nil}
		v0, v1 := potential["v0"], potential["v1"]
		if v0 != nil {
			row[1] = int64(len(v0))
		}
		if v1 != nil {
			row[2] = int64(len(v1))
		}
		if v0 != nil && v1 != nil {
			both := int64(0)
			for target := range v0 {
				if v1[target] {
					both++
				}
			}
			row[3], row[4], row[5] = both, int64(len(v0))-both, int64(len(v1))-both
		}
		versions[place(s.Date, s.Family, s.Port)] = row
	}
	compare(t, &c.Versions, 3, versions)
}

// allComplete says whether no scan of a partition broke off.
func allComplete(scans []testScan, p dataset.Partition) bool {
	return !slices.ContainsFunc(scans, func(s testScan) bool { return s.Partition == p && s.broken })
}

func modelPresence(t *testing.T, c *Census, scans []testScan, all facts) {
	presence := map[string][]any{}
	for _, s := range scans {
		dates := map[string]bool{}
		for _, other := range scans {
			if other.Family == s.Family && other.Port == s.Port && other.Probe == s.Probe && allComplete(scans, other.Partition) {
				dates[other.Date] = true
			}
		}
		seen := map[string]map[string]bool{}
		for _, f := range all {
			if f.Family == s.Family && f.Port == s.Port && f.Probe == s.Probe && allComplete(scans, f.Partition) && f.verdict == "potential" {
				if seen[f.target] == nil {
					seen[f.target] = map[string]bool{}
				}
				seen[f.target][f.Date] = true
			}
		}
		if !withMPCapable(s.Partition) || len(seen) == 0 {
			continue
		}
		ever, always, sometimes, once := int64(len(seen)), int64(0), int64(0), int64(0)
		for _, on := range seen {
			switch len(on) {
			case len(dates):
				always++
			case 1:
				once++
			default:
				sometimes++
			}
		}
		row := []any{int64(len(dates)), ever, nil, nil, nil, nil, nil, nil}
		if len(dates) > 1 {
			row = []any{int64(len(dates)), ever, always, part(always, ever), sometimes, part(sometimes, ever), once, part(once, ever)}
		}
		presence[place(s.Family, s.Port, s.Probe)] = row
	}
	compare(t, &c.PresenceTable, 3, presence)
}

func modelReuse(t *testing.T, c *Census, all facts) {
	observed := all.where(func(f fact) bool { return f.key != nil && (f.distance == nil || *f.distance > 0) })
	reuse := map[string][]any{}
	for _, f := range observed {
		same := observed.where(func(other fact) bool { return *other.key == *f.key })
		if len(same) < 2 {
			continue
		}
		first, last := f.Date, f.Date
		for _, other := range same {
			first, last = min(first, other.Date), max(last, other.Date)
		}
		reuse[fmt.Sprintf("%016x", *f.key)] = []any{int64(len(same)), same.targets(),
			same.distinctBy(func(f fact) string { return place(f.target, f.Port) }), same.distinctBy(func(f fact) string { return f.ID }), first, last}
	}
	got := Table{Name: c.Reuse.Name}
	for _, row := range c.Reuse.Rows {
		n := map[string]int{}
		for _, f := range observed {
			if fmt.Sprintf("%016x", *f.key) == row[0] {
				n[f.verdict]++
			}
		}
		if verdict := row[7].(string); n[verdict] != slices.Max(slices.Collect(maps.Values(n))) {
			t.Errorf("key %s: verdict %s of %v", row[0], verdict, n)
		}
		got.Rows = append(got.Rows, row[:7])
	}
	compare(t, &got, 1, reuse)
}

// modelLatest checks what is counted of the latest scans alone.
func modelLatest(t *testing.T, c *Census, scans []testScan, all facts) {
	complete := func(p dataset.Partition) bool {
		return withMPCapable(p) && allComplete(scans, p)
	}
	latest := all.where(func(f fact) bool {
		return complete(f.Partition) && !slices.ContainsFunc(scans, func(s testScan) bool {
			return complete(s.Partition) && s.Family == f.Family && s.Port == f.Port && s.Date > f.Date
		})
	})
	verdict := func(v string) facts { return latest.where(func(f fact) bool { return f.verdict == v }) }
	potential, mirrored := verdict("potential"), verdict("mirrored")
	in := func(rows facts, keep func(fact) bool) int64 { return rows.where(keep).targets() }

	for _, table := range []struct {
		*Table
		of func(fact) string // what a host's row is about
	}{
		{&c.ASes, func(f fact) string {
			if f.asn == 0 {
				return place(f.Family, nil, "(not known)")
			}
			return place(f.Family, f.asn, f.asName)
		}},
		{&c.Countries, func(f fact) string {
			if f.country == "" {
				return place(f.Family, "(not known)")
			}
			return place(f.Family, f.country)
		}},
	} {
		cells := len(table.Columns) - 4
		shown := map[string]int64{} // named addresses, by family
		least := map[string]int64{}
		for _, row := range table.Rows {
			at, family := place(row[:cells]...), row[0].(string)
			if strings.Contains(at, "(all others)") {
				continue
			}
			here := func(f fact) bool { return table.of(f) == at }
			ofFamily := func(f fact) bool { return f.Family == family }
			p, m := in(potential, here), in(mirrored, here)
			if wanted := []any{p, part(p, in(potential, ofFamily)), m, part(m, in(mirrored, ofFamily))}; !reflect.DeepEqual(row[cells:], wanted) {
				t.Errorf("table %s, %s: got %v, want %v", table.Name, at, row[cells:], wanted)
			}
			if !strings.Contains(at, "(not known)") {
				shown[family]++
				least[family] = p
			}
		}
		// The others have no more potential addresses than the last that is named, and are all there.
		sums := map[string][2]int64{}
		for _, row := range table.Rows {
			sum := sums[row[0].(string)]
			sums[row[0].(string)] = [2]int64{sum[0] + row[cells].(int64), sum[1] + row[cells+2].(int64)}
		}
		for family, sum := range sums {
			ofFamily := func(f fact) bool { return f.Family == family }
			if sum != [2]int64{in(potential, ofFamily), in(mirrored, ofFamily)} {
				t.Errorf("table %s: %v addresses of %s", table.Name, sum, family)
			}
			more := map[string]bool{}
			for _, f := range potential.where(ofFamily) {
				at := table.of(f)
				if !strings.Contains(at, "(not known)") && in(potential, func(f fact) bool { return table.of(f) == at }) > least[family] {
					more[at] = true
				}
			}
			if int64(len(more)) > shown[family] || shown[family] > topNetworks {
				t.Errorf("table %s: %d of %s are named, %d have more addresses than the last", table.Name, shown[family], family, len(more))
			}
		}
	}

	fingerprints := map[string][]any{}
	for _, f := range latest {
		if f.verdict == "closed" || f.verdict == "unreachable" {
			continue
		}
		var order any
		if f.order != "" {
			order = f.order
		}
		same := latest.where(func(other fact) bool { return other.order == f.order })
		n := func(verdicts ...string) int64 {
			return int64(len(same.where(func(f fact) bool { return slices.Contains(verdicts, f.verdict) })))
		}
		fingerprints[place(order)] = []any{n("potential"), part(n("potential"), int64(len(potential))), n("mirrored"),
			part(n("mirrored"), int64(len(mirrored))), n("tampered", "implausible"), n("no-mptcp")}
	}
	compare(t, &c.Fingerprints, 1, fingerprints)
}
