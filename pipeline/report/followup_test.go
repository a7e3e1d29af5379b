package report

import (
	"database/sql"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/classify"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// testPath is a row of paths; testGrab one of grabs. 0 hops and empty text are NULL, except after 0 hops.
type testPath struct {
	dataset.Partition
	target, finding   string
	answer, control   int // TTL
	after, by         int // after < 0: NULL
	afterHost, byHost string
	changes           []string
	nat, seq          bool
	icmp              bool   // the answer is a router's ICMP error
	mptcp             string // in a SYN-ACK
}

type testGrab struct {
	dataset.Partition
	target, protocol, transport, outcome, fallback string
	proven                                         bool
	connect, first, total                          int // µs; 0: NULL
}

// testFollowUps are what counts of the traces and verifications of a dataset: the newest of each target.
type testFollowUps struct {
	paths []testPath
	grabs []testGrab
}

func (f *testFollowUps) partitions() map[dataset.Partition]bool {
	found := make(map[dataset.Partition]bool)
	for _, p := range f.paths {
		found[p.Partition] = true
	}
	for _, g := range f.grabs {
		found[g.Partition] = true
	}
	return found
}

func number(n int, null bool) string {
	if null {
		return "NULL"
	}
	return fmt.Sprint(n)
}

func (p testPath) reached() bool { return p.answer > 0 && !p.icmp }

func (p testPath) columns() map[string]string {
	var changes []string
	for _, change := range p.changes {
		changes = append(changes, dataset.Literal(change))
	}
	return map[string]string{
		"target": quoted(p.target), "finding": quoted(p.finding), "answer_mptcp": quoted(p.mptcp), "reached": fmt.Sprint(p.reached()), "answer_ttl": number(p.answer, p.answer == 0),
		"control_ttl": number(p.control, p.control == 0), "after_hop": number(p.after, p.after < 0), "by_hop": number(p.by, p.by == 0),
		"after_responder": quoted(p.afterHost), "by_responder": quoted(p.byHost), "changes": "[" + strings.Join(changes, ", ") + "]::VARCHAR[]",
		"nat": fmt.Sprint(p.nat), "seq_rewritten": fmt.Sprint(p.seq), "load_balanced": "false",
	}
}

func (g testGrab) columns() map[string]string {
	proven := "NULL"
	if g.proven || g.fallback != "" {
		proven = fmt.Sprint(g.proven)
	}
	return map[string]string{
		"target": quoted(g.target), "protocol": quoted(g.protocol), "transport": quoted(g.transport), "outcome": quoted(g.outcome),
		"fallback": quoted(g.fallback), "mptcp_after_data": proven, "round": "1",
		"connect_us": number(g.connect, g.connect == 0), "first_byte_us": number(g.first, g.first == 0), "total_us": fmt.Sprint(g.total),
	}
}

// addFollowUp puts rows of a trace or verification into the dataset, and lists them.
func addFollowUp(t testing.TB, db *sql.DB, dir, listing, key, table, id string, p dataset.Partition, rows []map[string]string) {
	t.Helper()
	addRows(t, db, p.Path(dir, table, id, dataset.Parquet), table, key, id, rows)
	addRows(t, db, p.Path(dir, listing, id, dataset.Parquet), listing, key, id, []map[string]string{{
		"files": fmt.Sprintf("[{path: %s, rows: %d::UBIGINT, bytes: NULL::UBIGINT, sha256: NULL::VARCHAR}]",
			dataset.Literal(p.Path("", table, id, dataset.Parquet)), len(rows)),
	}})
}

func addPaths(t testing.TB, db *sql.DB, dir, id string, p dataset.Partition, paths []testPath) {
	t.Helper()
	var rows []map[string]string
	for _, path := range paths {
		rows = append(rows, path.columns())
	}
	addFollowUp(t, db, dir, dataset.TracesTable, "trace_id", dataset.PathsTable, id, p, rows)
}

func addGrabs(t testing.TB, db *sql.DB, dir, id string, p dataset.Partition, grabs []testGrab) {
	t.Helper()
	var rows []map[string]string
	for _, grab := range grabs {
		rows = append(rows, grab.columns())
	}
	addFollowUp(t, db, dir, dataset.VerificationsTable, "verification_id", dataset.GrabsTable, id, p, rows)
}

// addNetworks puts the table networks into the dataset.
func addNetworks(t testing.TB, db *sql.DB, dir string) {
	t.Helper()
	writeTest(t, db, `FROM (VALUES
			('ipv4', '198.51.100.0', '198.51.100.127', 64500::UINTEGER, 'One', 'AA'),
			('ipv4', '198.51.100.128', '198.51.100.255', 64501::UINTEGER, NULL, 'BB')
		) t(family, first, last, asn, as_name, country)`, filepath.Join(dir, dataset.WholeFile(dataset.NetworksTable)))
}

// randomFollowUps adds traces and verifications of some of the partitions: each target in one or two.
func randomFollowUps(t testing.TB, rng *rand.Rand, dir string, scans []testScan) *testFollowUps {
	t.Helper()
	db := openTest(t, t.TempDir())
	addNetworks(t, db, dir)
	all := new(testFollowUps)
	var partitions []dataset.Partition
	for _, s := range scans {
		if !slices.Contains(partitions, s.Partition) {
			partitions = append(partitions, s.Partition)
		}
	}
	for _, p := range partitions {
		if rng.IntN(5) > 1 {
			continue
		}
		verified := p.Probe == "v1" && rng.IntN(3) > 0
		traced := !verified || rng.IntN(2) == 0
		paths, grabs := make(map[string]testPath), make(map[string][]testGrab)
		for _, run := range []string{"1", "2"} {
			var somePaths []testPath
			var someGrabs []testGrab
			for i := range 40 {
				target := fmt.Sprint(p.Family, " host ", i)
				if traced && rng.IntN(3) > 0 {
					path := randomPath(rng, p, target)
					somePaths = append(somePaths, path)
					paths[target] = path
				}
				if verified && rng.IntN(3) > 0 {
					g := randomGrabs(rng, p, target)
					someGrabs = append(someGrabs, g...)
					grabs[target] = g
				}
			}
			if traced {
				addPaths(t, db, dir, run+"-trace", p, somePaths)
			}
			if verified {
				addGrabs(t, db, dir, run+"-verify", p, someGrabs)
			}
		}
		all.paths = slices.AppendSeq(all.paths, maps.Values(paths))
		for _, g := range grabs {
			all.grabs = append(all.grabs, g...)
		}
	}
	return all
}

// conclude gives a final verdict to the hosts that classify would never leave without one.
func (f *testFollowUps) conclude(rng *rand.Rand, scans []testScan) {
	concluded := make(map[string]bool)
	for _, p := range f.paths {
		if p.by > 0 {
			concluded[place(p.Partition, p.target)] = true
		}
	}
	for _, g := range f.grabs {
		if g.proven {
			concluded[place(g.Partition, g.target)] = true
		}
	}
	for _, s := range scans {
		for i := range s.hosts {
			if h := &s.hosts[i]; h.final == "" && concluded[place(s.Partition, h.target)] {
				h.final = classify.FinalVerdicts[rng.IntN(3)]
			}
		}
	}
}

func randomPath(rng *rand.Rand, p dataset.Partition, target string) testPath {
	path := testPath{Partition: p, target: target, after: -1, finding: findings[rng.IntN(len(findings))].name}
	if p.Probe == "plain" {
		path.finding = "control"
		return path
	}
	if rng.IntN(5) > 0 {
		path.answer = 2 + rng.IntN(16)
		path.icmp = rng.IntN(6) == 0
	}
	if rng.IntN(5) > 0 {
		path.control = 2 + rng.IntN(16)
	}
	if slices.Contains([]string{"answered-nearer", "removed", "changed", "dropped"}, path.finding) {
		path.after = rng.IntN(12)
		path.by = path.after + 1 + rng.IntN(4)*rng.IntN(2)
		path.afterHost = []string{"", "198.51.100.1", "198.51.100.200", "203.0.113.1"}[rng.IntN(4)]
		path.byHost = []string{"", "198.51.100.1", "198.51.100.2", "198.51.100.200"}[rng.IntN(4)]
	}
	for _, change := range []string{"opt_mptcp: 4 bytes → removed, hop 4", "opt_mss: 1460 → 1400, hops 5–8", "tcp_source_port: 1 → 2, hop 3", "ip_source: a → b, hops 2–3",
		"opt_mss: 1400 → 1300, hop 9", "tcp_seq: 1 → 2, hops 6–7"} {
		if rng.IntN(5) == 0 {
			path.changes = append(path.changes, change)
			path.nat = path.nat || strings.Contains(change, "source")
			path.seq = path.seq || strings.HasPrefix(change, "tcp_seq")
		}
	}
	return path
}

func randomGrabs(rng *rand.Rand, p dataset.Partition, target string) (grabs []testGrab) {
	skipped := rng.IntN(8) == 0
	for range 1 + rng.IntN(3) {
		for _, transport := range []string{"mptcp", "tcp"} {
			g := testGrab{Partition: p, target: target, protocol: []string{"http", "tls"}[rng.IntN(2)], transport: transport,
				outcome: outcomesOfGrabs[rng.IntN(len(outcomesOfGrabs))*rng.IntN(2)], total: 1 + rng.IntN(900)}
			if skipped {
				g.outcome = "skipped"
			}
			if g.outcome != "connect-timeout" && g.outcome != "skipped" {
				g.connect = 1 + rng.IntN(100)
			}
			if g.connect > 0 && rng.IntN(4) > 0 {
				g.first = 1 + rng.IntN(100)
				if transport == "mptcp" {
					g.proven = rng.IntN(2) == 0
					if !g.proven {
						g.fallback = []string{"", "at-connect", "after-connect"}[rng.IntN(3)]
					}
				}
			}
			grabs = append(grabs, g)
		}
	}
	return grabs
}

// modelPaths counts the tables of paths again.
func modelPaths(t *testing.T, c *Census, followed *testFollowUps) {
	paths, boxes := map[string][]any{}, map[string][]any{}
	networks := map[string]int64{}
	newest := map[string]string{}
	for _, p := range followed.paths {
		at := place(p.Family, p.Port, p.Probe)
		newest[at] = max(newest[at], p.Date)
	}
	type span struct{ after, by, length int } // after < 0 and length 0: not known
	spans := map[string][]span{}
	pairs := map[string]map[string]bool{}
	box := func(p testPath, kind string, s span) {
		at := place(p.Date, p.Family, p.Port, p.Probe, kind)
		spans[at] = append(spans[at], s)
		if pairs[at] == nil {
			pairs[at] = map[string]bool{}
		}
		if s.after >= 0 {
			pairs[at][p.afterHost+" "+p.byHost] = true
		}
	}
	for _, p := range followed.paths {
		if !withMPCapable(p.Partition) {
			continue
		}
		at := place(p.Date, p.Family, p.Port, p.Probe)
		if paths[at] == nil {
			paths[at] = []any{int64(0), int64(0)}
			for range findings {
				paths[at] = append(paths[at], int64(0))
			}
		}
		add := func(i int) { paths[at][i] = paths[at][i].(int64) + 1 }
		add(0)
		if p.reached() {
			add(1)
		}
		for i, f := range findings {
			if f.name == p.finding {
				add(2 + i)
			}
		}

		length := p.control
		if length == 0 && p.finding != "answered-nearer" && p.reached() {
			length = p.answer
		}
		if p.by > 0 {
			box(p, p.finding, span{p.after, p.by, length})
			if newest[place(p.Family, p.Port, p.Probe)] == p.Date {
				of := func(host string) string {
					switch host {
					case "198.51.100.1", "198.51.100.2":
						return place(int64(64500), "One", "AA")
					case "198.51.100.200":
						return place(int64(64501), nil, "BB")
					}
					return place(nil, nil, nil)
				}
				networks[place(p.Family, p.finding, of(p.afterHost), of(p.byHost))]++
			}
		}
		first := map[string]int{}
		for _, change := range p.changes {
			var kind string
			hop := strings.Fields(change[strings.LastIndex(change, "hop"):])[1]
			n := 0
			fmt.Sscan(strings.Split(hop, "–")[0], &n)
			switch field := strings.Split(change, ":")[0]; field {
			case "opt_mptcp":
				continue
			case "tcp_source_port", "ip_source":
				kind = "nat"
			case "tcp_seq":
				kind = "seq-rewritten"
			default:
				kind = field
			}
			if first[kind] == 0 || n < first[kind] {
				first[kind] = n
			}
		}
		for kind, n := range first {
			box(p, kind, span{-1, n, length})
		}
	}
	for at, all := range spans {
		counts := map[string]int64{}
		var lengths, toHost []float64
		for _, s := range all {
			middle := float64(s.by) - 0.5
			if s.after >= 0 {
				middle = float64(s.after+s.by) / 2
				lengths = append(lengths, float64(s.by-s.after))
			}
			if s.length > 0 {
				toHost = append(toHost, float64(s.length-s.by))
			}
			switch whole := float64(s.length); {
			case s.length == 0, s.after >= 0 && float64(s.by-s.after) > max(1, whole/3):
				counts["not_told"]++
			case whole-middle <= 1.5:
				counts["near_host"]++
			case middle <= whole/3:
				counts["first_third"]++
			case middle <= whole*2/3:
				counts["middle_third"]++
			default:
				counts["last_third"]++
			}
		}
		fields := strings.Fields(at)
		traced := paths[strings.Join(fields[:4], " ")][0].(int64)
		boxes[at] = []any{int64(len(all)), part(int64(len(all)), traced), counts["first_third"], counts["middle_third"], counts["last_third"],
			counts["near_host"], counts["not_told"], int64(len(pairs[at])), medianOf(lengths), medianOf(toHost)}
	}
	compare(t, &c.PathsTable, 4, paths)
	compare(t, &c.Middleboxes, 5, boxes)

	// The most frequent, in order.
	last, shown := int64(math.MaxInt64), 0
	for _, row := range c.MiddleboxNetworks.Rows {
		n, at := row[8].(int64), place(row[:8]...)
		if networks[at] != n || n > last {
			t.Errorf("networks, %s: got %d, want %d, at most %d", at, n, networks[at], last)
		}
		delete(networks, at)
		last = n
		shown++
	}
	for at, n := range networks {
		if n > last || shown < 20 {
			t.Errorf("networks: %s with %d is not there", at, n)
		}
	}
}

func medianOf(values []float64) any {
	if len(values) == 0 {
		return nil
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// modelConnections counts the tables of connections again.
func modelConnections(t *testing.T, c *Census, followed *testFollowUps) {
	verification, outcomes, transfers := map[string][]any{}, map[string][]any{}, map[string][]any{}
	count := func(in map[string][]any, at string, columns, column int) {
		if in[at] == nil {
			for range columns {
				in[at] = append(in[at], int64(0))
			}
		}
		in[at][0] = in[at][0].(int64) + 1
		in[at][column] = in[at][column].(int64) + 1
	}
	byTarget := map[string][]testGrab{}
	for _, g := range followed.grabs {
		at := place(g.Date, g.Family, g.Port, g.protocol)
		count(outcomes, place(at, g.transport), 1+len(outcomesOfGrabs), 1+slices.Index(outcomesOfGrabs, g.outcome))
		byTarget[at+" "+g.target] = append(byTarget[at+" "+g.target], g)
	}
	type sums struct {
		targets, mptcp, tcp, mptcpOK, tcpOK, still int64
		ratios                                     [3][]float64
	}
	byPath := map[string]*sums{}
	for _, grabs := range byTarget {
		any := func(keep func(testGrab) bool) bool { return slices.ContainsFunc(grabs, keep) }
		g := grabs[0]
		at := place(g.Date, g.Family, g.Port, g.protocol)
		tried := any(func(g testGrab) bool { return g.outcome != "skipped" })
		result := 1
		switch {
		case any(func(g testGrab) bool { return g.proven }):
		case any(func(g testGrab) bool { return g.fallback == "after-connect" }):
			result = 3
		case any(func(g testGrab) bool { return g.fallback == "at-connect" }):
			result = 2
		case any(func(g testGrab) bool { return g.connect > 0 }):
			result = 4
		case tried:
			result = 5
		default:
			result = 6
		}
		count(verification, at, 7, result)
		if !tried {
			continue
		}

		path := "not traced"
		for _, p := range followed.paths {
			if p.Partition == g.Partition && p.target == g.target {
				switch {
				case slices.Contains([]string{"answered-nearer", "removed", "changed", "dropped"}, p.finding):
					path = p.finding
				case p.finding != "kept":
					path = "not seen"
				case p.changes != nil:
					path = "other changes"
				default:
					path = "clean"
				}
			}
		}
		at = place(at, path)
		if byPath[at] == nil {
			byPath[at] = new(sums)
		}
		s := byPath[at]
		s.targets++
		times := map[string]*[3][]float64{"mptcp": {}, "tcp": {}}
		for _, g := range grabs {
			if g.outcome == "skipped" {
				continue
			}
			ok := g.outcome == "ok" || g.outcome == "truncated"
			n, succeeded := &s.tcp, &s.tcpOK
			if g.transport == "mptcp" {
				n, succeeded = &s.mptcp, &s.mptcpOK
			}
			*n++
			if ok {
				*succeeded++
			}
			whole := g.outcome == "ok"
			if whole {
				times[g.transport][2] = append(times[g.transport][2], float64(g.total))
			}
			if g.proven {
				s.still++
			}
			if whole && g.connect > 0 {
				times[g.transport][0] = append(times[g.transport][0], float64(g.connect))
			}
			if whole && g.first > 0 {
				times[g.transport][1] = append(times[g.transport][1], float64(g.first))
			}
		}
		for i := range 3 {
			mptcp, tcp := medianOf(times["mptcp"][i]), medianOf(times["tcp"][i])
			if mptcp != nil && tcp != nil {
				s.ratios[i] = append(s.ratios[i], mptcp.(float64)/tcp.(float64))
			}
		}
	}
	for at, s := range byPath {
		row := []any{s.targets, part(s.mptcpOK, s.mptcp), part(s.tcpOK, s.tcp), part(s.still, s.mptcp)}
		for i := range 3 {
			row = append(row, medianOf(s.ratios[i]), nil, nil)
		}
		transfers[at] = row
	}
	compare(t, &c.Verification, 4, verification)
	compare(t, &c.Outcomes, 5, outcomes)

	// "not traced" and "not seen" are two words of a place; intervals have a test of their own.
	got := c.TransfersTable
	got.Rows = nil
	for _, row := range c.TransfersTable.Rows {
		row = slices.Clone(row)
		for _, i := range []int{10, 11, 13, 14, 16, 17} {
			row[i] = nil
		}
		got.Rows = append(got.Rows, row)
	}
	compare(t, &got, 5, transfers)
}

// Ratios of too few targets have no interval, and those of none say nothing.
func TestRatio(t *testing.T) {
	for _, test := range []struct {
		ratios []float64
		want   []any
	}{
		{nil, []any{nil, nil, nil}},
		{[]float64{2, 1, 4}, []any{2.0, nil, nil}},
		// 1 - 2/2^6 is 97 %, so that six values just have an interval.
		{[]float64{6, 5, 4, 3, 2, 1}, []any{3.5, 1.0, 6.0}},
	} {
		if r := newRatio(test.ratios); !reflect.DeepEqual(r.cells(), test.want) || r.Targets != len(test.ratios) {
			t.Errorf("%v: got %+v, want %v", test.ratios, r, test.want)
		}
	}
}

// What no version of this one wrote is an error, not a row left out.
func TestUnknownFollowUps(t *testing.T) {
	p := dataset.Partition{Date: "2026-10-15", Family: "ipv4", Port: 80, Probe: "v1"}
	path := testPath{Partition: p, target: "192.0.2.1", finding: "bent", after: -1}
	grab := testGrab{Partition: p, target: "192.0.2.1", protocol: "http", transport: "mptcp", outcome: "bent", total: 1}
	for name, add := range map[string]func(db *sql.DB, dir string){
		`report of paths: finding "bent" is unknown: was it made by a newer version?`: func(db *sql.DB, dir string) { addPaths(t, db, dir, "t", p, []testPath{path}) },
		`report of outcomes: "bent" is unknown: was it made by a newer version?`:      func(db *sql.DB, dir string) { addGrabs(t, db, dir, "v", p, []testGrab{grab}) },
		"report of final: a final verdict of 2026-10-15 ipv4 port 80 v1 is unknown: was it made by a newer version?": func(db *sql.DB, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, dataset.HostsTable)); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(dir, dataset.ScansTable)); err != nil {
				t.Fatal(err)
			}
			host := potential("192.0.2.1", 1)
			host.final = "bent"
			addScans(t, dir, newScan(p.Date, p.Family, p.Port, p.Probe, "", host))
		},
	} {
		dir := t.TempDir()
		addScans(t, dir, newScan(p.Date, p.Family, p.Port, p.Probe, "", potential("192.0.2.1", 1)))
		add(openTest(t, t.TempDir()), dir)
		if _, err := Read(t.Context(), openTest(t, dir), dir, nil); err == nil || err.Error() != name {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

// Hosts that were classified before a trace or verification of them would count as without a final verdict.
func TestClassifiedBefore(t *testing.T) {
	p := dataset.Partition{Date: "2026-10-15", Family: "ipv4", Port: 80, Probe: "v1"}
	other := p
	other.Date = "2026-10-14"
	path := testPath{Partition: p, target: "192.0.2.1", finding: "kept", after: -1, answer: 9}
	capable, removed := path, path
	capable.mptcp = "capable"
	removed.finding, removed.after, removed.by = "removed", 3, 4
	grab := testGrab{Partition: p, target: "192.0.2.1", protocol: "http", transport: "mptcp", outcome: "ok", connect: 1, first: 1, total: 2}
	proven := grab
	proven.proven = true
	for _, test := range []struct {
		name, verdict, final string
		of                   dataset.Partition
		path                 testPath
		grab                 testGrab
		refused              bool
	}{
		{"a box", "closed", "", p, removed, grab, true},
		{"a box, known", "closed", "middlebox-affected", p, removed, grab, false},
		{"MPTCP in the trace", "potential", "", p, capable, grab, true},
		{"MPTCP in the trace of a mirror", "mirrored", "", p, capable, grab, false},
		{"MPTCP in a connection", "no-mptcp", "", p, path, proven, true},
		{"nothing", "potential", "", p, path, grab, false},
		{"another date", "potential", "", other, removed, proven, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			host := potential("192.0.2.1", 1)
			host.verdict, host.final = test.verdict, test.final
			scan := newScan(p.Date, p.Family, p.Port, p.Probe, "", host)
			addScans(t, dir, scan)
			db := openTest(t, t.TempDir())
			addPaths(t, db, dir, "t", test.of, []testPath{test.path})
			addGrabs(t, db, dir, "v", test.of, []testGrab{test.grab})
			_, err := Read(t.Context(), openTest(t, dir), dir, nil)
			if test.refused != (err != nil && strings.HasPrefix(err.Error(), "scan "+scan.ID) && strings.HasSuffix(err.Error(), "run mpcensus classify")) ||
				!test.refused && err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}
