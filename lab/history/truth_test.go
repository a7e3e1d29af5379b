package history

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/klauspost/compress/zstd"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/ingest"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// targetOn is a target on a port.
type targetOn struct{ family, port, target string }

// reply is a row as any JSON reader sees it, and where it was.
type reply struct {
	date, probe string
	fields      map[string]any
}

// key is a field of a reply as text; empty if it is not there.
func (r reply) key(name string) string { text, _ := r.fields[name].(string); return text }

// readScans reads all rows, slowly, by target and port. Each line must be a row for the pipeline too, and say of its
// MPTCP option what the pipeline reads in its bytes.
func readScans(t *testing.T, dir string) map[targetOn][]reply {
	t.Helper()
	all := map[targetOn][]reply{}
	var decoder zmap.Decoder
	for name, compressed := range contents(t, dir) {
		if name == "truth.parquet" {
			continue
		}
		d, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := d.DecodeAll(compressed, nil)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(strings.TrimSuffix(name, ".json.zst"), "-")
		date, family, port, probe := strings.Join(parts[:3], "-"), parts[3], parts[4], parts[5]
		for line := range bytes.Lines(text) {
			r := reply{date: date, probe: probe}
			if err := json.Unmarshal(line, &r.fields); err != nil {
				t.Fatal(err)
			}
			on := targetOn{family, port, r.key("saddr")}
			if got := fmt.Sprint(r.fields["sport"], " ", r.key("probe"), " ", r.key("timestamp_str")[:10]); got != port+" "+probe+" "+date {
				t.Fatalf("%s has a row of %s", name, got)
			}
			checkMPTCP(t, &decoder, line, r)
			all[on] = append(all[on], r)
		}
	}
	return all
}

func checkMPTCP(t *testing.T, decoder *zmap.Decoder, line []byte, r reply) {
	t.Helper()
	var row zmap.Row
	if err := decoder.Decode(line, &row); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	want, got := map[string]any{}, map[string]any{}
	if m := row.MPCapable; row.TCPOptions != nil {
		want["mptcp"] = string(m.Presence)
		for name, v := range map[string]struct {
			V     uint8
			Valid bool
		}{
			"mptcp_version": {m.Version.V, m.Version.Valid}, "mptcp_flags": {m.Flags.V, m.Flags.Valid}, "mptcp_length": {m.Length.V, m.Length.Valid},
		} {
			if v.Valid {
				want[name] = float64(v.V)
			}
		}
		if m.Key.Valid {
			want["mptcp_key"] = fmt.Sprintf("%016x", m.Key.V)
		}
	}
	for name, value := range r.fields {
		if strings.HasPrefix(name, "mptcp") {
			got[name] = value
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: says %v, its options %v", line, got, want)
	}
	if row.Classification != zmap.ICMP {
		return
	}
	quote, err := hex.DecodeString(r.key("quote"))
	if target := row.Saddr.AsSlice(); err != nil || !bytes.Contains(quote, target) || !row.Responder.IsValid() {
		t.Fatalf("%s: the quote is not of a SYN to %s", line, row.Saddr)
	}
}

// readTruth reads all columns as text, row by row.
func readTruth(t *testing.T, dir string) (all []map[string]string) {
	t.Helper()
	f, err := file.OpenParquetFile(filepath.Join(dir, "truth.parquet"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reader, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := reader.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	batches := array.NewTableReader(table, 0)
	defer batches.Release()
	for batches.Next() {
		b := batches.RecordBatch()
		for i := range int(b.NumRows()) {
			row := map[string]string{}
			for column := range int(b.NumCols()) {
				if !b.Column(column).IsNull(i) {
					row[b.ColumnName(column)] = b.Column(column).ValueStr(i)
				}
			}
			all = append(all, row)
		}
	}
	return all
}

// dates are those on which a target answered a probe, sorted.
func dates(replies []reply, keep func(reply) bool) (all []string) {
	for _, r := range replies {
		if keep(r) {
			all = append(all, r.date)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// The truth is what a slow recount of the rows says.
func TestTruthIsWhatTheRowsSay(t *testing.T) {
	for _, targets := range []int{0, 1000} {
		p := params(t)
		p.Targets = targets
		dir, summary := mustWrite(t, p)
		scans, truth := readScans(t, dir), readTruth(t, dir)
		every := []string{"2025-09-30", "2025-10-31", "2025-11-30", "2025-12-31", "2026-01-31", "2026-02-28",
			"2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30", "2026-07-31", "2026-08-31"}
		answered, upgrades, count := 0, 0, 0
		for _, row := range truth {
			on := targetOn{row["family"], row["port"], row["target"]}
			replies := scans[on]
			count += len(replies)
			if slices.Contains([]string{"drop-mptcp", "drop-unknown", "forger"}, row["behaviour"]) {
				if replies != nil {
					t.Fatalf("%v answers", row)
				}
				continue
			}
			answered++
			for _, probe := range p.Probes {
				seen := dates(replies, func(r reply) bool { return r.probe == probe })
				presence := "sometimes"
				if len(seen) == 1 {
					presence = "once"
				} else if len(seen) == len(every) {
					presence = "always"
				}
				present := uint64(0)
				for i, date := range every {
					if slices.Contains(seen, date) {
						present += 1 << i
					}
				}
				got := fmt.Sprint(row["first_month"], row["last_month"], row["months"], row["presence"], row["present"])
				want := fmt.Sprint(seen[0], seen[len(seen)-1], len(seen), presence, present)
				if got != want {
					t.Fatalf("%v: truth %s, rows %s", row, got, want)
				}
			}
			if row["upgraded"] != "" {
				upgrades++
			}
			checkKeys(t, row, replies)
		}
		if answered != len(scans) || uint64(count) != summary.Rows || uint64(len(truth)) != summary.Targets {
			t.Errorf("%d targets of the truth answered, %d targets have rows; %d rows, summary %+v", answered, len(scans), count, summary)
		}
		if upgrades == 0 {
			t.Error("nobody was upgraded")
		}
		checkAcross(t, truth, scans)
	}
}

// checkKeys: true hosts have a key exactly when their version is asked, and keys are new each time but where the
// behaviour says otherwise.
func checkKeys(t *testing.T, row map[string]string, replies []reply) {
	t.Helper()
	keys := map[string]int{}
	for _, r := range replies {
		key := r.key("mptcp_key")
		if key != "" {
			keys[key]++
		}
		var speaks bool
		switch row["behaviour"] {
		case "true-v0":
			speaks = r.probe == "v0"
		case "true-v1":
			speaks = r.probe == "v1" == (row["upgraded"] == "" || r.date >= row["upgraded"])
		case "mirror":
			if key != r.key("sent_key") || r.key("mptcp") != "capable" {
				t.Fatalf("%v: a mirror answers %v", row, r.fields)
			}
			continue
		case "duplicate":
			if repeats := len(replies) - 2*len(dates(replies, func(r reply) bool { return r.probe == "v0" })); count(replies, "repeat", true) != repeats {
				t.Fatalf("%v: of %d replies, %d are repeats", row, len(replies), count(replies, "repeat", true))
			}
			continue
		default:
			if count(replies, "repeat", true) != 0 {
				t.Fatalf("%v: repeats itself", row)
			}
			continue
		}
		if speaks != (key != "") || keys[key] > 1 {
			t.Fatalf("%v: %s, %s: key %q, %d times", row, r.date, r.probe, key, keys[key])
		}
	}
	if row["behaviour"] == "static-key" && len(keys) != 1 {
		t.Fatalf("%v: static keys %v", row, keys)
	}
}

func count(replies []reply, name string, value any) (n int) {
	for _, r := range replies {
		if r.fields[name] == value {
			n++
		}
	}
	return n
}

// checkAcross: what hosts have in common, and what they do not.
func checkAcross(t *testing.T, truth []map[string]string, scans map[targetOn][]reply) {
	t.Helper()
	keys := map[string]map[string]int{} // by behaviour
	for _, row := range truth {
		behaviour := row["behaviour"]
		if keys[behaviour] == nil {
			keys[behaviour] = map[string]int{}
		}
		stacks := map[string]bool{}
		for _, r := range scans[targetOn{row["family"], row["port"], row["target"]}] {
			if key := r.key("mptcp_key"); key != "" {
				keys[behaviour][key]++
			}
			stacks[fmt.Sprint(r.fields["ttl"], r.fields["window"], r.fields["tcp_flags"])] = true
		}
		if len(stacks) > 1 && behaviour != "reset-mptcp" {
			t.Fatalf("%v looks like %v", row, stacks)
		}
	}
	if len(keys["constant-key"]) != 1 {
		t.Errorf("%d constant keys", len(keys["constant-key"]))
	}
	for _, behaviour := range []string{"true-v0", "true-v1", "counter-key", "biased-key", "mirror-keyed"} {
		if len(keys[behaviour]) < 100 {
			t.Errorf("%s: %d keys", behaviour, len(keys[behaviour]))
		}
		for key, n := range keys[behaviour] {
			if n > 1 && behaviour != "biased-key" {
				t.Errorf("%s: %s came %d times", behaviour, key, n)
			}
		}
	}
}

// Every file is one scan without rejects, of its own date and ID.
func TestIngest(t *testing.T) {
	p := params(t)
	p.Months = 3
	dir, summary := mustWrite(t, p)
	d, err := dataset.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ids, kept := map[string]bool{}, uint64(0)
	for name := range contents(t, dir) {
		if name == "truth.parquet" {
			continue
		}
		compressed, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := zstd.NewReader(compressed)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ingest.Run(t.Context(), d, lines, ingest.Params{Format: dataset.Parquet, Input: name, Source: name, Stage: name})
		if err != nil || s.Rejected != 0 {
			t.Fatalf("%s: %d rejected, %v", name, s.Rejected, err)
		}
		lines.Close()
		compressed.Close()
		if want := fmt.Sprintf("%s-%s-%d-%s.json.zst", s.Scan.Date, s.Scan.Family, s.Scan.Port, s.Scan.Probe); name != want {
			t.Errorf("%s was ingested as %s", name, want)
		}
		kept += s.Kept
		ids[s.Scan.ID] = true
	}
	if len(ids) != summary.Scans || len(ids) != 3*2*2*2 || kept != summary.Rows {
		t.Errorf("%d scans, %d rows; summary %+v", len(ids), kept, summary)
	}
}

func TestReadMPTCP(t *testing.T) {
	for options, want := range map[string]rows.MPTCP{
		"":                         {Presence: "none"},
		"020405b4":                 {Presence: "none"},
		"00001e0c0181":             {Presence: "none"},
		"0201" + "1e0c0181":        {Presence: "none"}, // nothing tells where the next one begins
		"1e":                       {Presence: "malformed"},
		"1e02":                     {Presence: "malformed"},
		"01011e040181":             {Presence: "capable", Detailed: true, Version: 1, Flags: 0x81, Length: 4},
		"1e040081":                 {Presence: "malformed", Detailed: true, Flags: 0x81, Length: 4},
		"1e0c008100000000000000ff": {Presence: "capable", Detailed: true, Flags: 0x81, Length: 12, HasKey: true, Key: 0xff},
		"1e0c0081000000":           {Presence: "malformed", Detailed: true, Flags: 0x81, Length: 12},
		"1e0c10810000000000000000": {Presence: "other"},
		"1e0c1081":                 {Presence: "malformed"},
	} {
		area, err := hex.DecodeString(options)
		if err != nil {
			t.Fatal(err)
		}
		if got := readMPTCP(area); got != want {
			t.Errorf("%s: got %+v, want %+v", options, got, want)
		}
	}
}
