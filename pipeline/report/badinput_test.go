package report

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// What cannot be reported on is an error that says what to do.
func TestReadErrors(t *testing.T) {
	fresh := func(change func(*testScan)) testScan {
		s := newScan("2026-10-15", "ipv4", 80, "v0", "", without("192.0.2.1"), potential("192.0.2.2", 1))
		change(&s)
		return s
	}
	for _, test := range []struct {
		name  string
		scans []testScan
		want  string
	}{
		{"empty", nil, "the dataset has no scans: make one with mpcensus scan or ingest"},
		{"not classified", []testScan{fresh(func(s *testScan) { s.hosts, s.values["rows_kept"] = nil, "5" })},
			"scan 20261015-ipv4-80-v0: it has 5 replies and hosts of 0: run mpcensus classify"},
		{"ingested again since", []testScan{fresh(func(s *testScan) { s.values["rows_kept"] = "5" })},
			"scan 20261015-ipv4-80-v0: it has 5 replies and hosts of 2: run mpcensus classify"},
		{"newer", []testScan{fresh(func(s *testScan) { s.hosts[0].verdict = "proven" })},
			`report of verdicts: scan 20261015-ipv4-80-v0: verdict "proven" is unknown: was it made by a newer version?`},
		{"no date", []testScan{newScan("yesterday", "ipv4", 80, "v0", "")},
			`scan "yesterday-ipv4-80-v0": its date "yesterday" is not YYYY-MM-DD: name its folders as docs/tables.md says`},
		{"copied", []testScan{fresh(func(*testScan) {}), fresh(func(s *testScan) { s.Port = 81 })},
			`scan "20261015-ipv4-80-v0": the table scans has two of that name: remove the one that was copied`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			addScans(t, dir, test.scans...)
			if _, err := Read(t.Context(), openTest(t, dir), dir, nil); err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %v", err, test.want)
			}
		})
	}
}

// A table without rows says why, and none misleads.
func TestNotEnoughData(t *testing.T) {
	const date = "2026-10-15"
	nobody := newScan(date, "ipv4", 80, "v0", "")
	plain := newScan(date, "ipv4", 80, "plain", "", without("192.0.2.1"))
	host := newScan(date, "ipv4", 80, "v1", "", potential("192.0.2.1", 1))
	var boxes []testHost
	for _, suffix := range strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33") {
		boxes = append(boxes, mirror("192.0.2."+suffix))
	}
	mirrors := newScan(date, "ipv4", 80, "v0", "", boxes...)
	broken := host
	broken.broken = true

	const few, oneMonth, onePair, oneDate = "Not enough data: in no scan did as many as", "Not enough data: all scans are of one month.",
		"Not enough data: no date, family and port has both", "Not enough data: no family, port and probe has two complete dates"
	for _, test := range []struct {
		name  string
		scan  testScan
		empty map[string]string // by table: how it says why it is empty; those not named have rows
	}{
		{"nobody", nobody, map[string]string{"reasons": "No host was filtered.", "outliers": few, "reuse": "No key came back more than once.",
			"ases": "No address is potential or mirrored.", "countries": "No address is potential or mirrored.", "fingerprints": "No host sent a SYN-ACK."}},
		{"plain", plain, map[string]string{"reasons": "No host was filtered.", "outliers": few, "reuse": "No key came back more than once.",
			"ases": noLatest, "countries": noLatest, "fingerprints": noLatest}},
		{"one host", host, map[string]string{"reasons": "No host was filtered.", "outliers": few, "reuse": "No key came back more than once."}},
		{"one host of a broken scan", broken, map[string]string{"reasons": "No host was filtered.", "outliers": few,
			"reuse": "No key came back more than once.", "ases": noLatest, "countries": noLatest, "fingerprints": noLatest}},
		{"mirrors", mirrors, map[string]string{"reuse": "No key came back more than once."}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			addScans(t, dir, test.scan)
			c := readCensus(t, dir)
			for _, name := range []string{"paths", "middleboxes", "middlebox_networks"} {
				test.empty[name] = notTraced
			}
			for _, name := range []string{"verification", "outcomes", "transfers"} {
				test.empty[name] = notConnected
			}
			test.empty["final_months"] = oneMonth
			test.empty["months"], test.empty["versions"], test.empty["presence"] = oneMonth, onePair, oneDate
			test.empty["treatments"], test.empty["sources"] = "Not enough data: no paired campaign", "Not enriched:"
			for _, table := range c.Tables() {
				why, empty := test.empty[table.Name]
				if empty != (len(table.Rows) == 0) || empty && !strings.HasPrefix(table.Empty, why) {
					t.Errorf("table %s: %d rows, %q", table.Name, len(table.Rows), table.Empty)
				}
			}
			if len(c.Months) > 0 {
				t.Errorf("months %v", c.Months)
			}
		})
	}
}

// Mirrors alone: one outlying weight, all of it excess, and no genuine key.
func TestAllMirrors(t *testing.T) {
	dir := t.TempDir()
	s := newScan("2026-10-15", "ipv4", 80, "v0", "")
	for i := range 100 {
		s.hosts = append(s.hosts, mirror("192.0.2."+Column{}.Text(int64(i))))
	}
	addScans(t, dir, s)
	c := readCensus(t, dir)
	if n := len(c.Outliers.Rows); n != 1 {
		t.Fatalf("%d outlying weights", n)
	}
	row := map[string]any{}
	for i, column := range c.Outliers.Columns {
		row[column.Name] = c.Outliers.Rows[0][i]
	}
	if row["weight"] != int64(16) || row["observed"] != int64(100) || row["expected"].(float64) > 0.01 || row["excess"].(float64) < 99 ||
		row["condemned"] != "yes" || row["verdict"] != "mirrored" || row["verdict_share"] != 1.0 || row["reason"] != "key-echo" {
		t.Errorf("got %v", row)
	}
}

// Hosts without a scan are left out, and incomplete scans where they would mislead.
func TestStraysAndBrokenScans(t *testing.T) {
	dir := t.TempDir()
	whole := newScan("2026-09-15", "ipv4", 80, "v0", "", potential("192.0.2.1", 1), mirror("192.0.2.5"))
	broken := newScan("2026-10-15", "ipv4", 80, "v0", "", potential("192.0.2.2", 2))
	broken.broken = true
	stray := newScan("2026-10-15", "ipv4", 80, "v0", "-stray", potential("192.0.2.3", 2), mirror("192.0.2.6"))
	addScans(t, dir, whole, broken, stray)
	if err := os.Remove(stray.Path(dir, dataset.ScansTable, stray.ID, dataset.Parquet)); err != nil {
		t.Fatal(err)
	}
	copied := whole
	copied.Port = 81
	writeTest(t, openTest(t, t.TempDir()), "FROM read_parquet("+dataset.Literal(whole.Path(dir, dataset.HostsTable, whole.ID, dataset.Parquet))+", hive_partitioning = false)",
		copied.Path(dir, dataset.HostsTable, copied.ID, dataset.Parquet))
	c := readCensus(t, dir)
	want(t, &c.Funnel, "2026-10-15 ipv4 80 v0 1 no – 1 1 0 0.00 0 0 0 1 – – –", "2026-09-15 ipv4 80 v0 1 yes – 2 2 1 50.00 1 0 0 1 – – –")
	want(t, &c.Reasons, "2026-09-15 ipv4 80 v0 mirrored key-echo 1 100.00")
	want(t, &c.MonthsTable, "2026-09 ipv4 80 v0 2026-09-15 2 2 1 1", "2026-10 ipv4 80 v0 – – – – –")
	want(t, &c.Reuse)
	want(t, &c.ASes, "ipv4 64500 Example 1 100.00 0 0.00", "ipv4 – (all others) 0 0.00 1 100.00") // of September
	if len(c.Notes) != 2 || !strings.HasPrefix(c.Notes[0], "1 of 2 scans are incomplete") || !strings.HasPrefix(c.Notes[1], "4 hosts of 2 scans are left out") {
		t.Errorf("notes %q", c.Notes)
	}
}

// A target of several scans of one date, family, port and probe counts once.
func TestShardsAndRepetitions(t *testing.T) {
	dir := t.TempDir()
	a := newScan("2026-10-15", "ipv4", 80, "v1", "-a", potential("192.0.2.1", 1), mirror("192.0.2.5"), without("192.0.2.8"))
	b := newScan("2026-10-15", "ipv4", 80, "v1", "-b", without("192.0.2.1"), potential("192.0.2.5", 5), mirror("192.0.2.6"))
	a.values["probes_sent"], b.values["probes_sent"] = "10", "20"
	addScans(t, dir, a, b)
	c := readCensus(t, dir)
	want(t, &c.Funnel, "2026-10-15 ipv4 80 v1 2 yes 30 4 3 1 33.33 1 0 0 2 – – –")
	if !reflect.DeepEqual(c.Tallies[0].Scans, []string{a.ID, b.ID}) || len(c.Keys) != 2 {
		t.Errorf("scans %q, %d with keys", c.Tallies[0].Scans, len(c.Keys))
	}
}

// Hosts that version 1 of the tables wrote.
func TestOlderVersion(t *testing.T) {
	dir := t.TempDir()
	s := newScan("2026-10-15", "ipv4", 80, "v0", "", potential("192.0.2.1", 1), mirror("192.0.2.5"), without("192.0.2.8"))
	addScans(t, dir, s)
	path := s.Path(dir, dataset.HostsTable, s.ID, dataset.Parquet)
	writeTest(t, openTest(t, t.TempDir()), `SELECT scan_id, target, verdict, reasons, sender_key, key_weight, key_distance, replies
		FROM read_parquet(`+dataset.Literal(path)+`, hive_partitioning = false)`, path)
	c := readCensus(t, dir)
	want(t, &c.Funnel, "2026-10-15 ipv4 80 v0 1 yes – 3 2 1 50.00 1 0 0 1 – – –")
	for _, table := range []*Table{&c.Fingerprints, &c.ASes, &c.Countries} {
		if len(table.Rows) > 0 || !strings.Contains(table.Empty, "run mpcensus classify again") && !strings.Contains(table.Empty, "Run mpcensus enrich") {
			t.Errorf("table %s: %d rows, %q", table.Name, len(table.Rows), table.Empty)
		}
	}
	want(t, &c.Losses, "2026-10-15 ipv4 80 v0 20261015-ipv4-80-v0 yes – – – – – – – – – 0 1")
}

// Dates that are centuries apart make no table of gaps.
func TestMistakenDate(t *testing.T) {
	dir := t.TempDir()
	addScans(t, dir, newScan("0026-10-15", "ipv4", 80, "v0", "", without("192.0.2.1")), newScan("2026-10-15", "ipv4", 80, "v0", "", without("192.0.2.1")))
	if c := readCensus(t, dir); len(c.Months) > 0 || !strings.Contains(c.MonthsTable.Empty, "from 0026-10-15 to 2026-10-15") {
		t.Errorf("%d months, %q", len(c.Months), c.MonthsTable.Empty)
	}
}

// What is known of one family says nothing of the other.
func TestOneFamilyEnriched(t *testing.T) {
	dir := t.TempDir()
	unknown := potential("2001:db8::1", 3)
	unknown.asn, unknown.asName, unknown.country = 0, "", ""
	addScans(t, dir, newScan("2026-10-15", "ipv4", 80, "v0", "", potential("192.0.2.1", 1)), newScan("2026-10-15", "ipv6", 80, "v0", "", unknown))
	c := readCensus(t, dir)
	want(t, &c.ASes, "ipv4 64500 Example 1 100.00 0 –", "ipv6 – (not known) 1 100.00 0 –")
	want(t, &c.Countries, "ipv4 DE 1 100.00 0 –", "ipv6 (not known) 1 100.00 0 –")
}

// Others' names come through as they are: it is for each output to make them harmless.
func TestHostileNames(t *testing.T) {
	dir := t.TempDir()
	s := newScan("2026-10-15", "ipv4", 80, "v0", "")
	for i, name := range hostileNames[:10] {
		h := potential("192.0.2."+Column{}.Text(int64(i)), uint64(i)+1)
		h.asn, h.asName, h.order, h.country = 64500+i, name, name, name
		s.hosts = append(s.hosts, h)
	}
	s.values["input"] = dataset.Literal(hostileNames[1])
	addScans(t, dir, s)
	c := readCensus(t, dir)
	for i, name := range hostileNames[:10] {
		if got := c.ASes.Rows[i][2]; got != name {
			t.Errorf("AS name %q, want %q", got, name)
		}
	}
	for _, table := range c.Tables() {
		var b strings.Builder
		if err := table.Markdown(&b); err != nil || strings.Contains(b.String(), "<script>") {
			t.Errorf("table %s: a script, or %v", table.Name, err)
		}
	}
}
