package classify

import (
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// path is a row of `paths`. Absent numbers are -1, absent text is empty.
type path struct {
	target, finding, answer, answerMPTCP string
	answerTTL, controlTTL                int
	after, by, furthest                  int
	afterRouter, byRouter                string
	answered, quoted                     int
	changes                              []string
	nat, seq, balanced                   bool
}

// grab is a row of `grabs`. Absent text is empty.
type grab struct {
	target, protocol, transport string
	round                       int
	outcome, fallback           string
	connected                   bool
	proven                      *bool
}

func numberOrNull(n int) string {
	if n < 0 {
		return "NULL"
	}
	return fmt.Sprint(n)
}

func textOrNull(s string) string {
	if s == "" {
		return "NULL"
	}
	return dataset.Literal(s)
}

func (p path) columns() map[string]string {
	changes := make([]string, len(p.changes))
	for i, change := range p.changes {
		changes[i] = dataset.Literal(change)
	}
	return map[string]string{
		"target": dataset.Literal(p.target), "last_ttl": "24", "hops_answered": fmt.Sprint(p.answered), "hops_quoted": fmt.Sprint(p.quoted),
		"furthest_hop": numberOrNull(p.furthest), "reached": fmt.Sprint(p.reached()),
		"answer": textOrNull(p.answer), "answer_ttl": numberOrNull(p.answerTTL), "answer_mptcp": textOrNull(p.answerMPTCP),
		"control_ttl": numberOrNull(p.controlTTL), "finding": dataset.Literal(p.finding),
		"after_hop": numberOrNull(p.after), "by_hop": numberOrNull(p.by),
		"after_responder": textOrNull(p.afterRouter), "by_responder": textOrNull(p.byRouter),
		"changes": "[" + strings.Join(changes, ", ") + "]::VARCHAR[]",
		"nat":     fmt.Sprint(p.nat), "seq_rewritten": fmt.Sprint(p.seq), "load_balanced": fmt.Sprint(p.balanced), "routers": "[]::VARCHAR[]",
	}
}

func (p path) reached() bool { return p.answer == "synack" || p.answer == "rst" }

func (g grab) columns() map[string]string {
	connect, proven := "NULL", "NULL"
	if g.connected {
		connect = "1000"
	}
	if g.proven != nil {
		proven = fmt.Sprint(*g.proven)
	}
	return map[string]string{
		"target": dataset.Literal(g.target), "protocol": dataset.Literal(g.protocol), "transport": dataset.Literal(g.transport),
		"round": fmt.Sprint(g.round), "outcome": dataset.Literal(g.outcome), "connect_us": connect, "total_us": "2000",
		"mptcp_after_data": proven, "fallback": textOrNull(g.fallback),
	}
}

// addPaths puts a trace into the dataset, made by SQL from the contract; one that is not listed has its file
// only, as a run that was killed leaves it.
func addPaths(t testing.TB, dir, id string, p dataset.Partition, listed bool, paths []path) {
	t.Helper()
	var rows []map[string]string
	for _, path := range paths {
		rows = append(rows, path.columns())
	}
	addFollowUp(t, dir, dataset.TracesTable, "trace_id", dataset.PathsTable, id, p, listed, rows)
}

// addGrabs does so with a verification.
func addGrabs(t testing.TB, dir, id string, p dataset.Partition, listed bool, grabs []grab) {
	t.Helper()
	var rows []map[string]string
	for _, grab := range grabs {
		rows = append(rows, grab.columns())
	}
	addFollowUp(t, dir, dataset.VerificationsTable, "verification_id", dataset.GrabsTable, id, p, listed, rows)
}

func addFollowUp(t testing.TB, dir, listing, key, table, id string, p dataset.Partition, listed bool, rows []map[string]string) {
	t.Helper()
	db := blank
	write := func(table string) {
		t.Helper()
		name := p.Path(dir, table, id, dataset.Parquet)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "COPY t TO "+dataset.Literal(name)+" (FORMAT parquet)")
	}
	exec(t, db, "CREATE OR REPLACE TABLE t AS SELECT * EXCLUDE (date, family, port, probe) FROM "+table)
	var names []string
	if len(rows) > 0 {
		names = slices.Sorted(maps.Keys(rows[0]))
	}
	for batch := range slices.Chunk(rows, 500) {
		var values []string
		for _, row := range batch {
			cells := []string{dataset.Literal(id)}
			for _, name := range names {
				cells = append(cells, row[name])
			}
			values = append(values, "("+strings.Join(cells, ", ")+")")
		}
		exec(t, db, "INSERT INTO t ("+key+", "+strings.Join(names, ", ")+") VALUES "+strings.Join(values, ", "))
	}
	write(table)
	if !listed {
		return
	}
	exec(t, db, "CREATE OR REPLACE TABLE t AS SELECT * EXCLUDE (date, family, port, probe) FROM "+listing,
		fmt.Sprintf("INSERT INTO t (%s, files) VALUES (%s, [{path: %s, rows: %d::UBIGINT, bytes: NULL::UBIGINT, sha256: NULL::VARCHAR}])",
			key, dataset.Literal(id), dataset.Literal(p.Path("", table, id, dataset.Parquet)), len(rows)))
	write(listing)
}

// final is what hosts has of a target beside the scan's own verdict.
type final struct {
	verdict string // empty: NULL
	reasons []string
}

// readFinal also returns the scan's own verdicts and orders of options.
func readFinal(t testing.TB, dir string, scan Scan) (finals map[string]final, hosts map[string]host) {
	t.Helper()
	rows, err := blank.Query(`SELECT target, verdict, coalesce(option_order, ''), final_verdict, final_reasons FROM read_parquet(?)`,
		scan.Path(dir, dataset.HostsTable, scan.ID, dataset.Parquet))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	finals, hosts = make(map[string]final), make(map[string]host)
	for rows.Next() {
		var h host
		var verdict sql.NullString
		var list any
		if err := rows.Scan(&h.target, &h.verdict, &h.options, &verdict, &list); err != nil {
			t.Fatal(err)
		}
		f := final{verdict: verdict.String}
		reasons, _ := list.([]any)
		for _, r := range reasons {
			f.reasons = append(f.reasons, r.(string))
		}
		if verdict.Valid != (list != nil) || verdict.Valid && len(reasons) == 0 {
			t.Errorf("%s: final verdict %v, reasons %q", h.target, verdict, reasons)
		}
		finals[h.target], hosts[h.target] = f, h
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return finals, hosts
}

// modelFinal is the documentation's rules, one after the other. There is no path or grab where none was made.
func modelFinal(scan Scan, h host, p *path, grabs []grab) final {
	if scan.Probe != "v0" && scan.Probe != "v1" {
		p, grabs = nil, nil
	}
	var verdicts []string // of the rules that hold
	rule := func(holds bool, verdict string) {
		if holds {
			verdicts = append(verdicts, verdict)
		}
	}
	tried := slices.DeleteFunc(slices.Clone(grabs), func(g grab) bool { return g.outcome == "skipped" })
	count := func(keep func(grab) bool) (n int) {
		for _, g := range tried {
			if keep(g) {
				n++
			}
		}
		return n
	}
	mptcp := count(func(g grab) bool { return g.transport == "mptcp" })
	connected := count(func(g grab) bool { return g.connected })
	proven := count(func(g grab) bool { return g.proven != nil && *g.proven })
	atConnect := count(func(g grab) bool { return g.fallback == "at-connect" })
	afterConnect := count(func(g grab) bool { return g.fallback == "after-connect" })
	finding, reached, speaks := "", false, false
	if p != nil {
		finding, reached, speaks = p.finding, p.reached(), p.answerMPTCP == "capable"
	}
	inPlace := finding == "answered-nearer"
	potential := h.verdict == "potential"
	nops, run := 0, 0
	for _, kind := range strings.Split(h.options, "-") {
		if run++; kind != "1" {
			run = 0
		}
		nops = max(nops, run)
	}
	blanked := scan.Probe == "v1" && h.verdict == "no-mptcp" && nops >= 12

	rule(proven > 0 && !inPlace, "true")
	rule(potential && proven == 0 && atConnect+afterConnect > 0, "middlebox-affected")
	rule(slices.Contains([]string{"answered-nearer", "removed", "changed", "dropped"}, finding), "middlebox-affected")
	rule(potential && (p != nil || len(tried) > 0) && !reached && connected == 0, "unreachable")
	rule(potential && speaks, "true")
	rule(blanked, "middlebox-affected")
	if verdicts == nil {
		return final{}
	}

	f := final{verdict: verdicts[0]}
	say := func(holds bool, reason string, values ...any) {
		if holds {
			f.reasons = append(f.reasons, fmt.Sprintf(reason, values...))
		}
	}
	affected := f.verdict == "middlebox-affected"
	say(affected && finding == "removed", "stripped-syn")
	say(affected && blanked, "stripped-synack")
	say(affected && proven == 0 && afterConnect > 0 && !inPlace, "stripped-data")
	say(proven > 0, "connected: MPTCP after data in %d of %d connections", proven, mptcp)
	say(atConnect > 0, "fallback-at-connect: %d of %d connections", atConnect, mptcp)
	say(afterConnect > 0, "fallback-after-connect: %d of %d connections", afterConnect, mptcp)
	var outcomes []string
	for _, g := range tried {
		outcomes = append(outcomes, g.outcome)
	}
	slices.Sort(outcomes)
	say(len(tried) > 0 && connected == 0, "not-connected: %d tried, %s", len(tried), strings.Join(slices.Compact(outcomes), ", "))
	if p != nil {
		name := func(ttl int, router string) string {
			switch {
			case ttl == 0:
				return "the scanner"
			case router == "":
				return fmt.Sprint("hop ", ttl)
			}
			return fmt.Sprintf("hop %d (%s)", ttl, router)
		}
		place := "behind " + name(p.after, p.afterRouter) + ", before " + name(p.by, p.byRouter)
		say(inPlace, "answered-nearer: %s; the plain probe by hop %d", place, p.controlTTL)
		say(finding == "removed" || finding == "changed", "%s: %s", finding, place)
		say(finding == "dropped", "dropped: %s; the plain probe answered by hop %d", place, p.controlTTL)
		say(finding == "inconsistent", "path-inconsistent: quotes of MP_CAPABLE contradict each other")
		say(finding == "kept", "path-clean: MP_CAPABLE unchanged, hops that quote it: %d", p.quoted)
		say(finding == "not-quoted", "path-unseen: MP_CAPABLE not quoted, hops that answer: %d", p.answered)
		say(reached, "trace-answered: %s by hop %d", p.answer, p.answerTTL)
		say(!reached && p.furthest >= 0, "trace-unanswered: up to TTL 24, last router at hop %d", p.furthest)
		say(!reached && p.furthest < 0, "trace-unanswered: up to TTL 24")
		for _, change := range p.changes {
			say(true, "path-change: %s", change)
		}
		say(p.nat, "nat")
		say(p.seq, "seq-rewritten")
		say(p.balanced, "load-balanced")
	}
	say(blanked, "synack-blanked: %d NOPs in a row", nops)
	return f
}

// randomPath is one that `paths` can have.
func randomPath(rng *rand.Rand, target string) path {
	p := path{target: target, answerTTL: -1, controlTTL: -1, after: -1, by: -1, furthest: rng.IntN(12) - 1, answered: rng.IntN(9), quoted: rng.IntN(9)}
	p.finding = []string{"kept", "kept", "not-quoted", "no-answer", "inconsistent", "removed", "changed", "dropped", "answered-nearer"}[rng.IntN(9)]
	if p.finding != "no-answer" {
		p.answer = []string{"", "synack", "synack", "synack", "rst", "unreachable"}[rng.IntN(6)]
	}
	if p.answer != "" {
		p.answerTTL = 9 + rng.IntN(3)
	}
	if p.answer == "synack" {
		p.answerMPTCP = []string{"none", "capable", "capable", "malformed", "other"}[rng.IntN(5)]
	}
	if slices.Contains([]string{"removed", "changed", "dropped", "answered-nearer"}, p.finding) {
		p.after = rng.IntN(4)
		p.by = p.after + 1 + rng.IntN(3)
		p.controlTTL = 12
		if p.after > 0 && rng.IntN(4) > 0 {
			p.afterRouter = "198.19.128." + fmt.Sprint(p.after)
		}
		if rng.IntN(2) > 0 {
			p.byRouter = "198.19.128." + fmt.Sprint(p.by)
		}
	}
	if rng.IntN(3) == 0 {
		p.changes = []string{"opt_mss: 1460 → 1400, hops 3–4", "it's: a → b, hop 5"}[:1+rng.IntN(2)]
	}
	p.nat, p.seq, p.balanced = rng.IntN(4) == 0, rng.IntN(4) == 0, rng.IntN(4) == 0
	return p
}

// randomGrabs are those of a target: mostly alike, for rules speak of all of them.
func randomGrabs(rng *rand.Rand, target string) (grabs []grab) {
	yes, no := true, false
	kind := rng.IntN(7)
	for _, transport := range []string{"mptcp", "tcp"} {
		for round := range 1 + rng.IntN(3) {
			g := grab{target: target, protocol: "http", transport: transport, round: round + 1, outcome: "ok", connected: true}
			like := kind
			if rng.IntN(4) == 0 {
				like = rng.IntN(7)
			}
			switch {
			case like == 5:
				g.outcome, g.connected = []string{"connect-timeout", "refused"}[rng.IntN(2)], false
			case like == 6:
				g.outcome, g.connected = "skipped", false
			case transport == "tcp":
			case like == 0 || like == 1:
				g.proven = &yes
			case like == 2:
				g.proven, g.fallback = &no, "at-connect"
			case like == 3:
				g.proven, g.fallback = &no, "after-connect"
			case like == 4: // no byte came: not known
				g.outcome = "timeout"
			}
			grabs = append(grabs, g)
		}
	}
	return grabs
}

// Every verdict of a scan, with every path, connections and run of NOPs; newer and older traces and
// verifications, and such as do not count.
func TestFinalAgainstModel(t *testing.T) {
	const n = 600
	rng := rand.New(rand.NewPCG(6, 1))
	dir := t.TempDir()
	blank := strings.Repeat("1-", 12)
	orders := []string{"", "2-4-8-1-3-30", "1", blank + "2", "2-" + blank + "3", "2-" + blank + "1", "2-1" + blank + "2", "2-" + blank[2:] + "4", "11-" + blank[2:] + "3"}
	scans := []Scan{scanV0, scanV1, scanIPv6, scanPlain, scanCanary}
	targets := make(map[Scan][]string)
	before := make(map[Scan]string)
	others := func(scan Scan) (digest string) {
		t.Helper()
		err := open(t, dir).QueryRow(`SELECT md5(string_agg(h::VARCHAR, chr(10))) FROM (SELECT * EXCLUDE (final_verdict, final_reasons) FROM hosts WHERE scan_id = ?) h`,
			scan.ID).Scan(&digest)
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	for _, scan := range scans {
		var replies []reply
		for i := range n {
			target := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String()
			if scan.Family == "ipv6" {
				target = fmt.Sprintf("2001:db8::%x", i)
			}
			targets[scan] = append(targets[scan], target)
			r := capableV1(target, rng.Uint64())
			if scan.Probe == "v0" {
				r = capableV0(target, rng.Uint64(), weight16(rng))
			}
			switch rng.IntN(6) {
			case 0:
				r = synack(target, "none")
			case 1:
				r = echoV1(target)
			case 2:
				r = rst(target)
			}
			r.options = orders[rng.IntN(len(orders))]
			replies = append(replies, r)
		}
		addScan(t, dir, scan, replies)
		classify(t, dir, scan)
		before[scan] = others(scan)
	}

	paths, grabs := make(map[Scan]map[string]path), make(map[Scan]map[string][]grab)
	for _, scan := range scans {
		paths[scan], grabs[scan] = make(map[string]path), make(map[string][]grab)
		// The ids of the runs, oldest first. What is of another day, and what is not listed, says nothing.
		elsewhere := scan.Partition
		elsewhere.Date = "2026-11-22"
		for i, run := range []struct {
			id     string
			in     dataset.Partition
			listed bool
		}{{"20261123T120000Z-trace", scan.Partition, true}, {"20261123T130000Z-trace", scan.Partition, true},
			{"20261123T140000Z-trace", scan.Partition, false}, {"20261123T150000Z-trace", elsewhere, true}} {
			var somePaths []path
			var someGrabs []grab
			for _, target := range targets[scan] {
				if rng.IntN(2) == 0 {
					p := randomPath(rng, target)
					somePaths = append(somePaths, p)
					if i < 2 {
						paths[scan][target] = p
					}
				}
				if rng.IntN(2) == 0 {
					g := randomGrabs(rng, target)
					someGrabs = append(someGrabs, g...)
					if i < 2 {
						grabs[scan][target] = g
					}
				}
			}
			addPaths(t, dir, run.id, run.in, run.listed, somePaths)
			addGrabs(t, dir, strings.Replace(run.id, "trace", "verify", 1), run.in, run.listed, someGrabs)
		}
	}

	seen := make(map[string]int)
	for _, scan := range scans {
		result := classify(t, dir, scan)
		finals, hosts := readFinal(t, dir, scan)
		counts := make(map[string]uint64)
		for target, got := range finals {
			var p *path
			if found, ok := paths[scan][target]; ok {
				p = &found
			}
			want := modelFinal(scan, hosts[target], p, grabs[scan][target])
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s, %s (%s, %q)\n got %q %q\nwant %q %q", scan.ID, target, hosts[target].verdict, hosts[target].options,
					got.verdict, got.reasons, want.verdict, want.reasons)
			}
			if got.verdict != "" {
				counts[got.verdict]++
			}
			for _, reason := range got.reasons {
				tag, _, _ := strings.Cut(reason, ":")
				seen[got.verdict+" "+tag]++
			}
		}
		if len(finals) != n || !reflect.DeepEqual(result.Final, counts) {
			t.Errorf("%s: %d hosts; result counts %v, file %v", scan.ID, len(finals), result.Final, counts)
		}
		if after := others(scan); after != before[scan] {
			t.Errorf("%s: traces change other columns than the final ones", scan.ID)
		}
	}
	for _, wanted := range []string{"true connected", "true path-clean", "true path-unseen", "true path-inconsistent", "unreachable trace-unanswered",
		"unreachable not-connected", "middlebox-affected stripped-syn", "middlebox-affected stripped-synack", "middlebox-affected stripped-data",
		"middlebox-affected answered-nearer", "middlebox-affected dropped", "middlebox-affected changed", "middlebox-affected connected"} {
		if seen[wanted] == 0 {
			t.Errorf("no host is %s: %v", wanted, seen)
		}
	}
}

// The four strippings that a path and a connection can tell, and what proves nothing.
func TestFinalByHand(t *testing.T) {
	const target = "192.0.2.1"
	yes, no := true, false
	kept := path{target: target, finding: "kept", answer: "synack", answerMPTCP: "capable", answerTTL: 9, controlTTL: 9,
		after: -1, by: -1, furthest: 8, answered: 8, quoted: 6}
	with := func(change func(*path)) *path {
		p := kept
		change(&p)
		return &p
	}
	connection := func(change func(*grab)) []grab {
		plain := grab{target: target, protocol: "http", transport: "tcp", round: 1, outcome: "ok", connected: true}
		mptcp := plain
		mptcp.transport = "mptcp"
		change(&mptcp)
		return []grab{mptcp, plain}
	}
	proven := connection(func(g *grab) { g.proven = &yes })
	potential := capableV1(target, 0x9e37_79b9_7f4a_7c15)
	plain := synack(target, "none")
	blanked := plain
	blanked.options = "2-4-8-1-3-1-1-1-1-1-1-1-1-1-1-1-1"
	for _, test := range []struct {
		name    string
		reply   reply
		path    *path
		grabs   []grab
		verdict string
		reasons string
	}{
		{"neither traced nor connected to", potential, nil, nil, "", ""},
		{"clean", potential, &kept, nil, "true", "path-clean: MP_CAPABLE unchanged, hops that quote it: 6 | trace-answered: synack by hop 9"},
		{"clean and connected", potential, &kept, proven, "true",
			"connected: MPTCP after data in 1 of 1 connections | path-clean: MP_CAPABLE unchanged, hops that quote it: 6 | trace-answered: synack by hop 9"},
		{"closed since", potential, with(func(p *path) { p.answer, p.answerMPTCP = "rst", "" }), nil, "", ""},
		{"without MPTCP since", potential, with(func(p *path) { p.answerMPTCP = "none" }), nil, "", ""},
		{"a host without MPTCP", plain, with(func(p *path) { p.answerMPTCP = "none" }),
			connection(func(g *grab) { g.proven, g.fallback = &no, "at-connect" }), "", ""},
		{"SYNs stripped", plain, with(func(p *path) {
			p.finding, p.after, p.afterRouter, p.by, p.byRouter, p.answerMPTCP = "removed", 3, "198.51.100.3", 5, "198.51.100.5", "none"
			p.changes = []string{"opt_mptcp: 4 bytes → removed, hops 5–8"}
		}), connection(func(g *grab) { g.proven, g.fallback = &no, "at-connect" }), "middlebox-affected",
			"stripped-syn | fallback-at-connect: 1 of 1 connections | removed: behind hop 3 (198.51.100.3), before hop 5 (198.51.100.5) | " +
				"trace-answered: synack by hop 9 | path-change: opt_mptcp: 4 bytes → removed, hops 5–8"},
		{"SYN-ACKs stripped", blanked, with(func(p *path) { p.answerMPTCP = "none" }),
			connection(func(g *grab) { g.proven, g.fallback = &no, "at-connect" }), "middlebox-affected",
			"stripped-synack | fallback-at-connect: 1 of 1 connections | path-clean: MP_CAPABLE unchanged, hops that quote it: 6 | " +
				"trace-answered: synack by hop 9 | synack-blanked: 12 NOPs in a row"},
		{"data stripped", potential, &kept, connection(func(g *grab) { g.proven, g.fallback = &no, "after-connect" }), "middlebox-affected",
			"stripped-data | fallback-after-connect: 1 of 1 connections | path-clean: MP_CAPABLE unchanged, hops that quote it: 6 | trace-answered: synack by hop 9"},
		{"a box in the host's place", potential, with(func(p *path) { p.finding, p.after, p.by, p.answerTTL = "answered-nearer", 0, 1, 1 }), proven,
			"middlebox-affected", "connected: MPTCP after data in 1 of 1 connections | answered-nearer: behind the scanner, before hop 1; the plain probe by hop 9 | " +
				"trace-answered: synack by hop 1"},
		{"gone", potential, &path{target: target, finding: "no-answer", answerTTL: -1, controlTTL: -1, after: -1, by: -1, furthest: -1},
			connection(func(g *grab) { g.outcome, g.connected = "connect-timeout", false })[:1], "unreachable",
			"not-connected: 1 tried, connect-timeout | trace-unanswered: up to TTL 24"},
		{"gone from the trace only", potential, &path{target: target, finding: "kept", answerTTL: -1, controlTTL: -1, after: -1, by: -1, furthest: 4},
			connection(func(g *grab) { g.outcome = "timeout" }), "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			addScan(t, dir, scanV1, []reply{test.reply})
			if test.path != nil {
				addPaths(t, dir, "t", scanV1.Partition, true, []path{*test.path})
			}
			if test.grabs != nil {
				addGrabs(t, dir, "v", scanV1.Partition, true, test.grabs)
			}
			classify(t, dir, scanV1)
			finals, _ := readFinal(t, dir, scanV1)
			if got := finals[target]; got.verdict != test.verdict || strings.Join(got.reasons, " | ") != test.reasons {
				t.Errorf("got  %q %s\nwant %q %s", got.verdict, strings.Join(got.reasons, " | "), test.verdict, test.reasons)
			}
		})
	}
}
