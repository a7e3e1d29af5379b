package classify

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/bits"
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

// sample is the scans of a paired campaign by probe, and what answered them.
type sample struct {
	id         string
	family     string
	replies    map[string][]reply // no entry: no such scan
	incomplete map[string]bool
}

func (c sample) scan(probe string) Scan {
	p := dataset.Partition{Date: "2026-11-23", Family: c.family, Port: 443, Probe: probe}
	return Scan{fmt.Sprintf("%s-%s-443-%s", c.id, c.family, probe), p}
}

func (c sample) add(t testing.TB, dir string) {
	t.Helper()
	for probe, replies := range c.replies {
		addCampaignScan(t, dir, c.id, c.scan(probe), !c.incomplete[probe], replies)
	}
}

// treated is a row of `treatments`; what is NULL is empty.
type treated struct {
	target, treatment      string
	reasons                string // joined by " | "
	plain, mptcp, canary   string
	canaryMirrored         string // true or false
	campaign, scanID, path string
}

// judgeAll runs all of classify on a dataset and returns the notes.
func judgeAll(t testing.TB, dir string) (notes []string) {
	t.Helper()
	db := open(t, dir)
	scans, err := Scans(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	classifier, err := New(t.Context(), db, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, scan := range scans {
		if _, err := classifier.Hosts(t.Context(), scan); err != nil {
			t.Fatal(err)
		}
	}
	db = open(t, dir)
	campaigns, err := Campaigns(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range campaigns {
		results, n, err := c.Judge(t.Context(), db, dir)
		if err != nil {
			t.Fatal(err)
		}
		notes = append(notes, n...)
		for _, r := range results {
			counts := make(map[string]uint64)
			for _, row := range readTreatments(t, dir, r.Scan.ID) {
				counts[row.treatment]++
			}
			if !reflect.DeepEqual(counts, r.Treatments) {
				t.Errorf("%s: result counts %v, file %v", r.Scan.ID, r.Treatments, counts)
			}
		}
	}
	return notes
}

// readTreatments is what the dataset says of a scan, in the order of the file.
func readTreatments(t testing.TB, dir, scanID string) (rows []treated) {
	t.Helper()
	found, err := open(t, dir).Query(`SELECT target, treatment, array_to_string(reasons, ' | '), coalesce(plain_answer, ''),
		coalesce(mptcp_answer, ''), coalesce(canary_answer, ''), coalesce(canary_mirrored::VARCHAR, ''), campaign, scan_id,
		concat_ws(' ', date, family, port, probe) FROM treatments WHERE scan_id = ?`, scanID)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var r treated
		if err := found.Scan(&r.target, &r.treatment, &r.reasons, &r.plain, &r.mptcp, &r.canary, &r.canaryMirrored,
			&r.campaign, &r.scanID, &r.path); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// Each treatment by itself, in the words of the contract: a case is a target of one campaign.
func TestTreatments(t *testing.T) {
	const (
		a     = "192.0.2.1"
		sent  = 0x0123_4080_0012_3401
		fresh = 0x9e37_79b9_7f4a_7c15
	)
	one := func(r ...reply) []reply { return r }
	none := []reply(nil)
	tcp := one(synack(a, "none"))
	back, gone := one(synack(a, "none").with("mirrored")), one(synack(a, "none").with("none"))
	genuine := one(capableV0(a, fresh, sent))

	tests := []struct {
		name               string
		plain, v0, canary  []reply
		treatment, reasons string
		canaryMirrored     string
	}{
		{"supports", tcp, genuine, gone, "supports", "key-plausible: weight 38, distance 30 | canary: not mirrored", "false"},
		{"supports, canary altered", tcp, genuine, one(synack(a, "none").with("altered")), "supports",
			"key-plausible: weight 38, distance 30 | canary: altered", "false"},
		{"supports, canary lost", tcp, genuine, none, "supports", "key-plausible: weight 38, distance 30 | canary: no answer", ""},
		{"supports, plain lost", none, genuine, gone, "supports",
			"key-plausible: weight 38, distance 30 | plain: no answer | canary: not mirrored", "false"},
		{"supports, plain reset", one(rst(a)), genuine, gone, "supports",
			"key-plausible: weight 38, distance 30 | plain: rst | canary: not mirrored", "false"},
		{"mirrors the key", tcp, one(capableV0(a, sent, sent)), gone, "mirrors", "key-echo: distance 0 | canary: not mirrored", "false"},
		{"mirrors the canary", tcp, genuine, back, "mirrors", "key-plausible: weight 38, distance 30 | canary: mirrored", "true"},
		{"mirrors the canary beside MP_CAPABLE", tcp, one(capableV0(a, fresh, sent).with("mirrored")), gone, "mirrors",
			"key-plausible: weight 38, distance 30 | canary-mirrored | canary: mirrored", "true"},
		{"tampers", tcp, one(capableV0(a, sent^1, sent)), back, "tampers",
			"key-distance: 1 bits, chance 7.0e-18 | bytes-kept: 7 of 8 | canary: mirrored", "true"},
		{"implausible", tcp, one(capableV0(a, 0, sent)), back, "implausible", "zero-key | low-entropy: 1 byte values | canary: mirrored", "true"},
		{"strips", tcp, tcp, back, "strips", "no-mp-capable | canary: mirrored", "true"},
		{"ignores", tcp, tcp, gone, "ignores", "no-mp-capable | canary: not mirrored", "false"},
		{"ignores, canary's RST has it", tcp, tcp, one(rst(a).with("mirrored")), "ignores", "no-mp-capable | canary: rst", ""},
		{"resets", tcp, one(rst(a)), gone, "resets", "rst | plain: synack | canary: not mirrored | resets MPTCP only", "false"},
		{"resets all", tcp, one(rst(a)), one(rst(a)), "resets", "rst | plain: synack | canary: rst | resets unknown options", ""},
		{"resets, canary lost", tcp, one(rst(a)), none, "resets", "rst | plain: synack | canary: no answer", ""},
		{"drops", tcp, none, gone, "drops", "no-answer: one probe | plain: synack | canary: not mirrored | drops MPTCP only", "false"},
		{"drops all", tcp, none, none, "drops", "no-answer: one probe | plain: synack | canary: no answer | drops unknown options", ""},
		{"drops with ICMP", tcp, one(icmp(a, "198.18.0.7", 3, 13)), one(icmp(a, "198.18.0.7", 3, 13)), "drops",
			"icmp: type 3 code 13 from 198.18.0.7 | plain: synack | canary: icmp | drops unknown options", ""},
		{"drops, canary reset", tcp, none, one(rst(a)), "drops", "no-answer: one probe | plain: synack | canary: rst", ""},
		{"closed", one(rst(a)), one(rst(a)), one(rst(a)), "closed", "rst | plain: rst | canary: rst", ""},
		{"closed, one ICMP", none, none, one(icmp(a, "198.18.0.7", 3, 1)), "closed", "no-answer: one probe | plain: no answer | canary: icmp", ""},
		{"unclear", none, one(rst(a)), gone, "unclear", "rst | plain: no answer | canary: not mirrored | synack: to other probes only", "false"},
		{"deciding reply", one(rst(a).at(1), synack(a, "none").at(2)), one(icmp(a, "198.18.0.7", 3, 1).at(1), rst(a).at(2)),
			one(synack(a, "none").with("mirrored").at(2), synack(a, "none").with("none").at(1)), "resets",
			"rst | conflicting-replies: 1 rst, 1 icmp | plain: synack | canary: not mirrored | resets MPTCP only", "false"},
	}
	c := sample{id: "c", family: "ipv4", replies: make(map[string][]reply)}
	for i, test := range tests {
		for probe, replies := range map[string][]reply{"plain": test.plain, "v0": test.v0, "canary": test.canary} {
			for _, r := range replies {
				r.saddr = fmt.Sprint("192.0.2.", 1+i)
				if r.key != nil { // other keys than the other targets', as many bits apart
					key, sent := bits.RotateLeft64(*r.key, 8*i), bits.RotateLeft64(*r.sent, 8*i)
					r.key, r.sent = &key, &sent
				}
				c.replies[probe] = append(c.replies[probe], r)
			}
		}
	}
	dir := t.TempDir()
	c.add(t, dir)
	judgeAll(t, dir)
	rows := readTreatments(t, dir, c.scan("v0").ID)
	if len(rows) != len(tests) {
		t.Fatalf("%d rows, want %d", len(rows), len(tests))
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := rows[i]; got.treatment != test.treatment || got.reasons != test.reasons || got.canaryMirrored != test.canaryMirrored {
				t.Errorf("got  %s: %s, canary mirrored: %s\nwant %s: %s, %s",
					got.treatment, got.reasons, got.canaryMirrored, test.treatment, test.reasons, test.canaryMirrored)
			}
		})
	}
}

// judgeModel is the rules written again, a target at a time, on the model's hosts.
func judgeModel(c sample, probe string, all map[Scan][]reply) (rows []treated) {
	byTarget := make(map[string]map[string]host) // target, probe
	for p := range c.replies {
		for _, h := range model(c.scan(p), all) {
			if byTarget[h.target] == nil {
				byTarget[h.target] = make(map[string]host)
			}
			byTarget[h.target][p] = h
		}
	}
	answer := func(h host, ok bool) string {
		switch {
		case !ok:
			return ""
		case h.verdict == "closed":
			return "rst"
		case h.verdict == "unreachable":
			return "icmp"
		}
		return "synack"
	}
	for target, hosts := range byTarget {
		r := treated{target: target, campaign: c.id, scanID: c.scan(probe).ID, path: "2026-11-23 " + c.family + " 443 " + probe}
		synacks, carried, back, altered := 0, false, false, false
		for p, h := range hosts {
			a := answer(h, true)
			switch p {
			case "plain":
				r.plain = a
			case "canary":
				r.canary = a
			}
			if p == probe {
				r.mptcp = a
			}
			if a == "synack" {
				synacks++
				carried = carried || h.canary != ""
				back = back || h.canary == "mirrored"
				altered = altered || h.canary == "altered"
			}
		}
		if carried {
			r.canaryMirrored = fmt.Sprint(back)
		}

		h, answered := hosts[probe]
		switch {
		case answered && h.verdict == "potential" && !back:
			r.treatment = "supports"
		case answered && (h.verdict == "potential" || h.verdict == "mirrored"):
			r.treatment = "mirrors"
		case answered && h.verdict == "tampered":
			r.treatment = "tampers"
		case answered && h.verdict == "implausible":
			r.treatment = "implausible"
		case answered && h.verdict == "no-mptcp" && back:
			r.treatment = "strips"
		case answered && h.verdict == "no-mptcp":
			r.treatment = "ignores"
		case synacks == 0:
			r.treatment = "closed"
		case r.plain != "synack":
			r.treatment = "unclear"
		case r.mptcp == "rst":
			r.treatment = "resets"
		default:
			r.treatment = "drops"
		}

		reasons := h.reasons
		if !answered {
			reasons = []string{"no-answer: one probe"}
		}
		say := func(format string, args ...any) { reasons = append(slices.Clip(reasons), fmt.Sprintf(format, args...)) }
		or := func(s, other string) string {
			if s == "" {
				return other
			}
			return s
		}
		if r.plain != "synack" || r.mptcp != "synack" {
			say("plain: %s", or(r.plain, "no answer"))
		}
		_, asked := c.replies["canary"]
		unasked := r.canary == "" && (!asked || c.incomplete["canary"])
		switch {
		case back:
			say("canary: mirrored")
		case altered:
			say("canary: altered")
		case carried:
			say("canary: not mirrored")
		case !asked:
			say("canary: no scan")
		case unasked:
			say("canary: scan is incomplete")
		default:
			say("canary: %s", or(r.canary, "no answer"))
		}
		if r.treatment == "unclear" {
			say("synack: to other probes only")
		}
		if r.treatment == "resets" || r.treatment == "drops" {
			switch {
			case r.canary == "synack":
				say("%s MPTCP only", r.treatment)
			case unasked:
			case r.treatment == "resets" && r.canary == "rst", r.treatment == "drops" && r.canary != "rst":
				say("%s unknown options", r.treatment)
			}
		}
		r.reasons = strings.Join(reasons, " | ")
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b treated) int {
		return netip.MustParseAddr(a.target).Compare(netip.MustParseAddr(b.target))
	})
	return rows
}

// combinations has a target for each combination of answers to the four probes. Now and then it adds
// others that come earlier or later, and so may decide instead.
func combinations(rng *rand.Rand, c sample) sample {
	withCanary := func(answer func(a string) []reply) []func(string) []reply {
		var all []func(string) []reply
		for _, state := range []string{"", "none", "mirrored", "altered"} {
			all = append(all, func(a string) []reply {
				replies := answer(a)
				for i := range replies {
					replies[i].canary = state
				}
				return replies
			})
		}
		return all
	}
	one := func(r reply) []reply { return []reply{r} }
	silent := func(string) []reply { return nil }
	reset := func(a string) []reply { return one(rst(a)) }
	unreachable := func(a string) []reply { return one(icmp(a, "198.18.0.7", 3, rng.IntN(14))) }
	tcp := func(a string) []reply { return one(synack(a, "none")) }
	other := func(a string) []reply { return one(synack(a, "other")) }
	control := []func(string) []reply{silent, reset, unreachable, tcp}
	canary := append([]func(string) []reply{silent, reset, unreachable}, withCanary(tcp)...)
	version := func(capable func(a string, key, sent uint64) reply) []func(string) []reply {
		all := []func(string) []reply{silent, reset, unreachable, other}
		for _, key := range []func(sent uint64) uint64{
			func(uint64) uint64 { return rng.Uint64() },
			func(sent uint64) uint64 { return sent },
			func(sent uint64) uint64 { return sent ^ 1<<rng.IntN(64) },
			func(uint64) uint64 { return 0 },
		} {
			all = append(all, withCanary(func(a string) []reply {
				sent := weight16(rng)
				return one(capable(a, key(sent), sent))
			})...)
		}
		return append(all, withCanary(tcp)...)
	}
	v0 := version(capableV0)
	v1 := version(func(a string, key, sent uint64) reply {
		if key == sent {
			return echoV1(a)
		}
		return capableV1(a, key)
	})

	n := 0
	for _, plain := range control {
		for _, zero := range v0 {
			for _, probe := range canary {
				// The other version bears on this one by its SYN-ACK and canary alone: a draw is enough.
				a := netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}).String()
				if c.family == "ipv6" {
					a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 4: byte(n), 15: byte(n >> 8)}).String()
				}
				n++
				answers := map[string]func(string) []reply{"plain": plain, "v0": zero, "v1": v1[rng.IntN(len(v1))], "canary": probe}
				again := map[string][]func(string) []reply{"plain": control, "v0": v0, "v1": v1, "canary": canary}
				for p := range c.replies {
					replies := answers[p](a)
					if rng.IntN(8) == 0 {
						replies = append(replies, again[p][rng.IntN(len(again[p]))](a)...)
						for i := range replies {
							replies[i].time = rng.IntN(3)
						}
					}
					c.replies[p] = append(c.replies[p], replies...)
				}
			}
		}
	}
	for _, replies := range c.replies {
		rng.Shuffle(len(replies), func(i, j int) { replies[i], replies[j] = replies[j], replies[i] })
	}
	return c
}

// Two campaigns of the same targets, one of each family beside them, with and without a canary scan,
// and scans of no campaign, all in one dataset.
func TestTreatmentsAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	dir := t.TempDir()
	scans := func(probes ...string) map[string][]reply {
		m := make(map[string][]reply)
		for _, p := range probes {
			m[p] = nil
		}
		return m
	}
	samples := []sample{
		{id: "all", family: "ipv4", replies: scans("plain", "v0", "v1", "canary")},
		{id: "all", family: "ipv6", replies: scans("plain", "v0", "v1", "canary")},
		{id: "again", family: "ipv4", replies: scans("plain", "v0", "v1", "canary")},
		{id: "no canary", family: "ipv4", replies: scans("plain", "v0", "v1")},
		{id: "canary broke off", family: "ipv6", replies: scans("plain", "v1", "canary"), incomplete: map[string]bool{"canary": true}},
	}
	addNetworks(t, dir)
	all := make(map[Scan][]reply)
	for i := range samples {
		samples[i] = combinations(rng, samples[i])
		samples[i].add(t, dir)
		for probe, replies := range samples[i].replies {
			all[samples[i].scan(probe)] = replies
		}
	}
	var known []uint64
	for _, scan := range []Scan{scanV0, scanPlain} {
		all[scan] = randomReplies(rng, scan, 300, &known)
		addScan(t, dir, scan, all[scan])
	}
	judgeAll(t, dir)

	seen := make(map[string]int)
	for _, c := range samples {
		for _, probe := range []string{"v0", "v1"} {
			if _, ok := c.replies[probe]; !ok {
				continue
			}
			got, want := readTreatments(t, dir, c.scan(probe).ID), judgeModel(c, probe, all)
			if len(got) != len(want) {
				t.Fatalf("%s: %d rows, want %d", c.scan(probe).ID, len(got), len(want))
			}
			for i := range got {
				seen[got[i].treatment]++
				if got[i] != want[i] {
					t.Fatalf("%s:\n got %+v\nwant %+v", c.scan(probe).ID, got[i], want[i])
				}
			}
		}
	}
	for _, treatment := range Treatments {
		if seen[treatment] == 0 {
			t.Errorf("no target of the test %s", treatment)
		}
	}
	if len(seen) != len(Treatments) {
		t.Errorf("treatments %v are not those of the list", seen)
	}
	if files := glob(t, dir, "treatments/*/*/*/*/*"); len(files) != 9 {
		t.Errorf("%d files, want 9: %q", len(files), files)
	}
}

// What a campaign lacks is said, and nothing is concluded that hinges on it.
func TestCampaignsThatLackScans(t *testing.T) {
	tcp := []reply{synack("198.18.0.1", "none")}
	for _, test := range []struct {
		name       string
		probes     []string
		incomplete string
		judged     []string
		notes      string
	}{
		{"all", []string{"plain", "v0", "v1", "canary"}, "", []string{"v0", "v1"}, ""},
		{"no canary", []string{"plain", "v1"}, "", []string{"v1"}, "no canary scan: judged without it"},
		{"canary incomplete", []string{"plain", "v0", "canary"}, "canary", []string{"v0"}, "the canary scan is incomplete: judged by what it has"},
		{"no plain", []string{"v0", "v1", "canary"}, "", nil, "no plain scan: no treatments"},
		{"plain incomplete", []string{"plain", "v0", "v1", "canary"}, "plain", nil, "the plain scan is incomplete: no treatments"},
		{"no MPTCP", []string{"plain", "canary"}, "", nil, "neither a v0 nor a v1 scan: no treatments"},
		{"one incomplete", []string{"plain", "v0", "v1", "canary"}, "v0", []string{"v1"}, "the v0 scan is incomplete: no treatments of it"},
		{"only one, incomplete", []string{"plain", "v0"}, "v0", nil, "the v0 scan is incomplete: no treatments of it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			c := sample{id: "c", family: "ipv4", replies: map[string][]reply{}, incomplete: map[string]bool{test.incomplete: true}}
			for _, p := range test.probes {
				c.replies[p] = tcp
			}
			c.add(t, dir)
			// What an earlier run wrote, when the campaign had all scans.
			for _, p := range []string{"v0", "v1"} {
				former := treatmentsPath(dir, c.scan(p))
				if err := os.MkdirAll(filepath.Dir(former), 0o755); err != nil {
					t.Fatal(err)
				}
				if slices.Contains(test.probes, p) {
					exec(t, open(t, t.TempDir()), "COPY (SELECT * EXCLUDE (date, family, port, probe) FROM treatments) TO "+
						dataset.Literal(former)+" (FORMAT parquet)")
				}
			}
			if notes := strings.Join(judgeAll(t, dir), " | "); notes != test.notes {
				t.Errorf("notes %q, want %q", notes, test.notes)
			}
			var judged []string
			for _, file := range glob(t, dir, "treatments/*/*/*/*/*") {
				judged = append(judged, strings.TrimPrefix(filepath.Base(filepath.Dir(file)), "probe="))
			}
			if !slices.Equal(judged, test.judged) {
				t.Errorf("judged %q, want %q", judged, test.judged)
			}
		})
	}
}

// What a scan lost itself looks like what a target or path drops.
func TestCampaignThatLostPackets(t *testing.T) {
	dir := t.TempDir()
	c := sample{id: "c", family: "ipv4", replies: map[string][]reply{
		"plain": {synack("198.18.0.1", "none")}, "v0": nil, "v1": nil, "canary": nil}}
	c.add(t, dir)
	for probe, counts := range map[string]string{
		"plain": "3::UBIGINT AS send_failures",
		"v0":    "0::UBIGINT AS send_failures, 0::UBIGINT AS kernel_drops, 0::UBIGINT AS interface_drops",
		"v1":    "4::UBIGINT AS kernel_drops, 2::UBIGINT AS interface_drops, 1::UBIGINT AS backlog_drops",
	} {
		scan := c.scan(probe)
		exec(t, open(t, dir), fmt.Sprintf("COPY (SELECT * EXCLUDE (date, family, port, probe) REPLACE (%s) FROM scans WHERE probe = %s) TO %s (FORMAT parquet)",
			counts, dataset.Literal(probe), dataset.Literal(scan.Path(dir, "scans", scan.ID, dataset.Parquet))))
	}
	want := []string{
		"the plain scan could not send 3 probes and dropped 0 packets: some of its silence may be this loss",
		"the v1 scan could not send 0 probes and dropped 7 packets: some of its silence may be this loss",
	}
	if notes := judgeAll(t, dir); !slices.Equal(notes, want) {
		t.Errorf("got %q, want %q", notes, want)
	}
}

// Two scans with one probe may have had different targets, whose silence then means nothing.
func TestCampaignWithTwoScansOfOneProbe(t *testing.T) {
	dir := t.TempDir()
	c := sample{id: "c", family: "ipv4", replies: map[string][]reply{"plain": {synack("198.18.0.1", "none")}, "v0": nil}}
	c.add(t, dir)
	second := c.scan("plain")
	second.ID += "-again"
	addCampaignScan(t, dir, "c", second, true, []reply{synack("198.18.0.2", "none")})
	notes := judgeAll(t, dir)
	if want := []string{"2 plain scans, which may have probed different targets: no treatments"}; !slices.Equal(notes, want) {
		t.Errorf("got %q, want %q", notes, want)
	}
	if files := glob(t, dir, "treatments/*/*/*/*/*"); len(files) != 0 {
		t.Errorf("wrote %q", files)
	}
}

// Without the hosts of a scan its targets would look silent.
func TestJudgeBeforeHosts(t *testing.T) {
	dir := t.TempDir()
	c := sample{id: "c", family: "ipv4", replies: map[string][]reply{"plain": {synack("198.18.0.1", "none")}, "v0": {rst("198.18.0.1")}}}
	c.add(t, dir)
	classify(t, dir, c.scan("plain"))
	db := open(t, dir)
	campaigns, err := Campaigns(t.Context(), db)
	if err != nil || len(campaigns) != 1 {
		t.Fatalf("campaigns %v, %v", campaigns, err)
	}
	_, _, err = campaigns[0].Judge(t.Context(), db, dir)
	if err == nil || !strings.Contains(err.Error(), "hosts of its scan "+c.scan("v0").ID) {
		t.Errorf("got %v", err)
	}
}

// Running again gives the same bytes, and touches nothing else.
func TestJudgeAgain(t *testing.T) {
	dir := t.TempDir()
	c := combinations(rand.New(rand.NewPCG(5, 5)), sample{id: "c", family: "ipv6",
		replies: map[string][]reply{"plain": nil, "v1": nil, "canary": nil}})
	c.add(t, dir)
	judgeAll(t, dir)
	foreign := filepath.Join(filepath.Dir(treatmentsPath(dir, c.scan("v1"))), "foreign.parquet")
	exec(t, open(t, t.TempDir()), "COPY (SELECT * EXCLUDE (date, family, port, probe) FROM treatments) TO "+
		dataset.Literal(foreign)+" (FORMAT parquet)")
	first, err := os.ReadFile(treatmentsPath(dir, c.scan("v1")))
	if err != nil {
		t.Fatal(err)
	}
	judgeAll(t, dir)
	second, err := os.ReadFile(treatmentsPath(dir, c.scan("v1")))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("files differ after a second run (%v)", err)
	}
	if files := glob(t, dir, "treatments/*/*/*/*/*"); len(files) != 2 {
		t.Errorf("files %q", files)
	}
}

// Hosts that change take the treatments that were made from them with them, whichever scan they are of.
func TestTreatmentsDoNotOutliveHosts(t *testing.T) {
	dir := t.TempDir()
	c := sample{id: "c", family: "ipv4", replies: map[string][]reply{"plain": {synack("198.18.0.1", "none")}, "v0": {rst("198.18.0.1")}}}
	c.add(t, dir)
	judgeAll(t, dir)
	if files := glob(t, dir, "treatments/*/*/*/*/*"); len(files) != 1 {
		t.Fatalf("treatments %q", files)
	}
	addCampaignScan(t, dir, "c", c.scan("plain"), true, []reply{rst("198.18.0.1")}) // in its place
	classify(t, dir, c.scan("plain"))                                               // and killed before the campaign is judged
	if files := glob(t, dir, "treatments/*/*/*/*/*"); len(files) != 0 {
		t.Errorf("left %q", files)
	}

	judgeAll(t, dir)
	addCampaignScan(t, dir, "", c.scan("v0"), true, []reply{rst("198.18.0.1")}) // no longer of the campaign
	judgeAll(t, dir)
	if files := glob(t, dir, "treatments/*/*/*/*/*"); len(files) != 0 {
		t.Errorf("left %q, of a scan without a campaign", files)
	}
}

// The file holds the columns of the contract, in its order and with its types.
func TestTreatmentColumns(t *testing.T) {
	dir := t.TempDir()
	c := sample{id: "c", family: "ipv4", replies: map[string][]reply{"plain": {rst("198.18.0.1")}, "v0": {rst("198.18.0.1")}}}
	c.add(t, dir)
	judgeAll(t, dir)
	checkColumns(t, open(t, dir), dataset.TreatmentsTable, treatmentsPath(dir, c.scan("v0")))
	var nothing sql.NullString
	if err := open(t, dir).QueryRow("SELECT canary_answer FROM treatments").Scan(&nothing); err != nil || nothing.Valid {
		t.Errorf("canary_answer %v, %v, without a canary scan", nothing, err)
	}
}
