package trace

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/targets"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("MPCENSUS_TRACE_CHILD"); dir != "" {
		if err := traceFile(context.Background(), dir, os.Getenv("MPCENSUS_TRACE_ROWS")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var testStart = time.Date(2026, 10, 15, 12, 0, 0, 0, time.UTC)

// rowsOf are mptcp_trace's rows of what came back from a target: words as in evidenceOf.
func rowsOf(target netip.Addr, probe, text string, box func(*synPacket)) (rows []string) {
	for i, word := range strings.Fields(text) {
		ttl := i + 1
		s := newSYN(target.Is6())
		s.to, s.ttl, s.seq = target.AsSlice(), byte(ttl), s.seq+uint32(ttl)
		s.options = slices.Clone(linux[:5])
		if probe != zmap.ProbePlain {
			s.options = append(s.options, capableV1)
		}
		sent := s.bytes()
		for _, letter := range word {
			row := fmt.Sprintf(`{"saddr":"%s","sport":443,"daddr":"192.0.2.1","dport":40000,"ttl":60,"probe":"%s","probe_ttl":%d,"sent":"%s","timestamp_ts":%d,"timestamp_us":%d,`,
				target, probe, ttl, hex.EncodeToString(sent), testStart.Unix(), 1000*ttl)
			quoted := s
			quoted.options = slices.Clone(s.options)
			typ, code := 11, 0
			if target.Is6() {
				typ = 3
			}
			switch letter {
			case 'h':
				row += `"classification":"synack","success":1,"seqnum":"7","acknum":"8","window":100,"tcp_flags":18,"tcp_options":"020405b41e0c0101` + "0123456789abcdef" + `"}`
			case 'R':
				row += `"classification":"rst","success":1,"seqnum":"0","acknum":"8","window":0,"tcp_flags":20,"tcp_options":""}`
			case 'x':
				quoted.options = quoted.options[:5]
			case '.':
				continue
			case 'k', 'r':
			default:
				panic(letter)
			}
			if letter == 'k' || letter == 'r' || letter == 'x' {
				if box != nil && letter != 'r' {
					box(&quoted)
				}
				quote := quoted.bytes()
				if letter == 'r' {
					quote = quote[:quoted.headerLength()+8]
				}
				row += fmt.Sprintf(`"classification":"icmp","success":1,"responder":"%s","icmp_type":%d,"icmp_code":%d,"quote":"%s"}`,
					router(ttl), typ, code, hex.EncodeToString(quote))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func writeRows(t *testing.T, rows []string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.json")
	if err := os.WriteFile(path, []byte(strings.Join(rows, "\n")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func noScan(_ []Kind, earliest time.Time) (string, error) {
	return earliest.Format(time.DateOnly), nil
}

// traceFile traces with the rows of one file.
func traceFile(ctx context.Context, dir, rows string) error {
	d, err := dataset.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer d.Close()
	c, err := Begin(ctx, d, "test")
	if err != nil {
		return err
	}
	defer c.Close()
	c.sorter.runSize = 10 << 10 // so that there are many to merge
	file, err := os.Open(rows)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := c.AddFile(ctx, filepath.Base(rows), file, Filter{}); err != nil {
		return err
	}
	_, err = c.Commit(ctx, noScan)
	return err
}

// selectText runs a query over a dataset; a row is a line, values are separated by spaces.
func selectText(t *testing.T, dir, query string) string {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), dir, dataset.DuckDBOptions{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT COLUMNS(*)::VARCHAR FROM ("+query+")")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	var lines []string
	for rows.Next() {
		values, at := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			at[i] = &values[i]
		}
		if err := rows.Scan(at...); err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, v := range values {
			texts = append(texts, v.String)
		}
		lines = append(lines, strings.Join(texts, " "))
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return strings.Join(lines, "\n")
}

func checkDataset(t *testing.T, dir string) {
	t.Helper()
	d, err := dataset.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	report, err := d.Check(t.Context(), nil)
	if err != nil || report.Problems != nil {
		t.Fatal(err, report.Problems)
	}
}

func TestCampaign(t *testing.T) {
	ctx := t.Context()
	one, two, six := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("2001:db8:1::7")
	all := slices.Concat(
		rowsOf(one, zmap.ProbeV1, "k k x x h h h h", nil),
		rowsOf(one, zmap.ProbePlain, "k k k k h h h h", nil),
		rowsOf(two, zmap.ProbeV1, "k r R R R R R R", func(s *synPacket) { s.sport = 7 }),
		rowsOf(two, zmap.ProbePlain, "k k k k h h h h", nil),
		rowsOf(six, zmap.ProbeV1, "k x x x . . . .", nil),
	)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	bad := []string{
		"",
		"{",
		`{"saddr":"198.51.100.7","sport":443,"probe":"v1","classification":"synack"}`,
		strings.Replace(rowsOf(one, zmap.ProbeV1, "k", nil)[0], one.String(), "198.51.100.8", 1),
		strings.Replace(rowsOf(one, zmap.ProbeV1, "k", nil)[0], `"sport":443`, `"sport":80`, 1),
		strings.Replace(rowsOf(one, zmap.ProbeV1, "k", nil)[0], `"sent":"45`, `"sent":"60`, 1),
		strings.Replace(rowsOf(one, zmap.ProbeV1, "k", nil)[0], `"probe":"v1"`, `"x":1`, 1),
	}
	dir := filepath.Join(t.TempDir(), "census")
	d, err := dataset.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := Begin(ctx, d, "v9")
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Concat(all[:10], bad, all[10:])
	if err := c.AddFile(ctx, "a.json", strings.NewReader(strings.Join(lines, "\n")), Filter{}); err != nil {
		t.Fatal(err)
	}
	summaries, err := c.Commit(ctx, noScan)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	read, kept := uint64(0), uint64(0)
	for _, s := range summaries {
		read, kept = read+s.Read, kept+s.Kept
	}
	if len(summaries) != 3 || kept != uint64(len(all)) || read != uint64(len(lines)) {
		t.Errorf("%+v", summaries)
	}
	if _, err := os.Stat(filepath.Join(dir, "unfinished")); err == nil {
		t.Error("the folder of unfinished work is left")
	}
	checkDataset(t, dir)

	for query, want := range map[string]string{
		"SELECT date, family, port, probe, input, first_ttl, last_ttl, rows_kept, campaign, tool_version FROM traces ORDER BY ALL": "" +
			"2026-10-15 ipv4 443 plain a.json 1 8 16 20261015T120000.001000Z-trace v9\n" +
			"2026-10-15 ipv4 443 v1 a.json 1 8 16 20261015T120000.001000Z-trace v9\n" +
			"2026-10-15 ipv6 443 v1 a.json 1 4 4 20261015T120000.001000Z-trace v9",
		"SELECT sum(rows_rejected), sum(rows_read), count(DISTINCT trace_id) FROM traces": fmt.Sprintf("%d %d 3", len(bad), len(lines)),
		"SELECT family, probe, target, finding, after_hop, by_hop, answer, answer_ttl, control_ttl, nat, last_ttl FROM paths ORDER BY ALL": "" +
			"ipv4 plain 198.51.100.7 control   synack 5  false 8\n" +
			"ipv4 plain 9.9.9.9 control   synack 5  false 8\n" +
			"ipv4 v1 198.51.100.7 removed 2 3 synack 5 5 false 8\n" +
			"ipv4 v1 9.9.9.9 answered-nearer 2 3 rst 3 5 true 8\n" +
			"ipv6 v1 2001:db8:1::7 removed 1 2    false 4",
		"SELECT target, probe_ttl, responder, answer, quoted_bytes, opt_mptcp, tcp_window, opt_added, mptcp, hex(sender_key) FROM hops WHERE family = 'ipv4' AND probe = 'v1' AND target = '9.9.9.9' LIMIT 4": "" +
			"9.9.9.9 1 10.0.0.1 time-exceeded 64 kept kept none  \n" +
			"9.9.9.9 2 10.0.0.2 time-exceeded 28 not-quoted not-quoted not-quoted  \n" +
			"9.9.9.9 3 9.9.9.9 rst     none \n" +
			"9.9.9.9 4 9.9.9.9 rst     none ",
		"SELECT DISTINCT mptcp, sender_key = 81985529216486895, hex(tcp_options) FROM hops WHERE answer = 'synack'": "capable true 020405B41E0C01010123456789ABCDEF",
	} {
		if got := selectText(t, dir, query); got != want {
			t.Errorf("%s\ngot\n%s\nwant\n%s", query, got, want)
		}
	}
	// Sorted by address, then TTL.
	order := selectText(t, dir, "SELECT target, probe_ttl FROM hops WHERE probe = 'plain'")
	if !strings.HasPrefix(order, "9.9.9.9 1\n9.9.9.9 2\n") || !strings.Contains(order, "198.51.100.7 1\n198.51.100.7 2\n") {
		t.Errorf("order:\n%s", order)
	}
	var rejects []string
	_ = filepath.WalkDir(filepath.Join(dir, "rejects"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			text, _ := os.ReadFile(path)
			rejects = append(rejects, strings.Split(strings.TrimSpace(string(text)), "\n")...)
		}
		return err
	})
	reasons := []string{"blank", "not-json", "missing", "contradiction", "contradiction", "range", "missing"}
	if len(rejects) != len(bad) {
		t.Fatalf("rejects: %q", rejects)
	}
	for i, line := range rejects {
		if !strings.HasPrefix(line, fmt.Sprintf(`{"line":%d,`, 11+i)) || !strings.Contains(line, `"reason":"`+reasons[i]+`"`) {
			t.Errorf("reject %d: %s", i, line)
		}
	}
}

// An interrupted trace goes without a trace, and without another error.
func TestCloseAfterInterrupt(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	dir := t.TempDir()
	d, err := dataset.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := Begin(ctx, d, "v9")
	if err != nil {
		t.Fatal(err)
	}
	interrupt()
	if err := c.AddFile(ctx, "rows", strings.NewReader("{}"), Filter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("rows: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if left := filesOf(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Files of one run may come in any order; those of another month are no part of it.
func TestFilesOfOneRun(t *testing.T) {
	ctx := t.Context()
	target := netip.MustParseAddr("198.51.100.7")
	rows := rowsOf(target, zmap.ProbeV1, "k k h h", nil)
	later := func(hours int64) []string {
		moved := fmt.Sprintf(`"timestamp_ts":%d`, testStart.Unix()+hours*3600)
		return strings.Split(strings.ReplaceAll(strings.Join(rows, "\n"), fmt.Sprintf(`"timestamp_ts":%d`, testStart.Unix()), moved), "\n")
	}
	for name, test := range map[string]struct {
		files [][]string
		want  string
	}{
		"a run in parts":  {[][]string{later(10), later(5), rows}, ""},
		"another control": {[][]string{later(800), rowsOf(target, zmap.ProbePlain, "k k h h", nil)}, ""},
		"another month":   {[][]string{later(5), later(720), rows}, "0 and 1 are of different traces, 715h0m0s apart: trace with the files of one at a time"},
	} {
		d, err := dataset.Open(ctx, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		c, err := Begin(ctx, d, "v9")
		if err != nil {
			t.Fatal(err)
		}
		for i, file := range test.files {
			if err := c.AddFile(ctx, strconv.Itoa(i), strings.NewReader(strings.Join(file, "\n")), Filter{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err = c.Commit(ctx, noScan); err == nil && test.want != "" || err != nil && err.Error() != test.want {
			t.Errorf("%s: %v", name, err)
		}
		if err := errors.Join(c.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	}
}

// Each kind of probe follows up a scan of its own; the control goes with any of them.
func TestDates(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	target := netip.MustParseAddr("198.51.100.7")
	var rows []string
	for _, probe := range []string{zmap.ProbeV0, zmap.ProbePlain, zmap.ProbeV1} {
		rows = append(rows, rowsOf(target, probe, "k h h h", nil)...)
	}
	d, err := dataset.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := Begin(ctx, d, "v9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.AddFile(ctx, "rows", strings.NewReader(strings.Join(rows, "\n")), Filter{}); err != nil {
		t.Fatal(err)
	}
	scans := map[string]string{zmap.ProbeV0: "2026-10-02", zmap.ProbeV1: "2026-10-09"}
	newest := func(kinds []Kind, _ time.Time) (date string, _ error) {
		for _, kind := range kinds {
			date = max(date, scans[kind.Probe])
		}
		return date, nil
	}
	if _, err := c.Commit(ctx, newest); err != nil {
		t.Fatal(err)
	}
	want := "2026-10-09 plain\n2026-10-02 v0\n2026-10-09 v1"
	if got := selectText(t, dir, "SELECT date, probe FROM paths ORDER BY probe"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A run has a path for each of its targets, whether anything answered or not; those of a control that the probe's
// targets did not answer, too.
func TestRunsOfZMap(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	list := filepath.Join(t.TempDir(), "t.targets")
	blocklist, err := targets.ParseBlocklist("none", strings.NewReader("192.0.2.0/24\n"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReader("198.51.100.7\n198.51.100.8\n9.9.9.9\n")
	if _, err := targets.Build(ctx, list, targets.Params{Inputs: []targets.Input{{Name: "list", Text: text}}, Blocklist: blocklist}); err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := Begin(ctx, d, "v9")
	if err != nil {
		t.Fatal(err)
	}
	target := netip.MustParseAddr("198.51.100.8")
	for _, probe := range []string{zmap.ProbePlain, zmap.ProbeV1} {
		run := Run{
			Kind: Kind{dataset.IPv4, 443, probe}, Date: "2026-10-01", FirstTTL: 1, LastTTL: 12,
			TargetFile: list, Targets: 3, TargetsSHA256: "aa", Started: testStart, Finished: testStart.Add(time.Second),
			ZMapVersion: "2.1.1", ZMapArguments: []string{"zmap", "-x"}, Seed: 7,
			Counts: zmap.Counts{ProbesSent: sql.Null[uint64]{V: 36, Valid: true}},
		}
		rows := ""
		if probe == zmap.ProbePlain {
			rows = strings.Join(rowsOf(target, probe, "k k k . h h h h h h h h", nil), "\n")
		}
		if err := c.AddRun(ctx, run, strings.NewReader(rows)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Commit(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	checkDataset(t, dir)
	want := "plain 9.9.9.9 control false 12 \nplain 198.51.100.7 control false 12 \nplain 198.51.100.8 control true 12 \n" +
		"v1 9.9.9.9 no-answer false 12 \nv1 198.51.100.7 no-answer false 12 \nv1 198.51.100.8 dropped false 12 5"
	got := strings.Split(selectText(t, dir, "SELECT probe, target, finding, reached, last_ttl, by_hop FROM paths"), "\n")
	slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(a[:2], b[:2]) })
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	want = "2026-10-01 20261015T120000.000000Z-trace-ipv4-443-v1 2.1.1 [zmap, -x] 7 1 12 3 aa 36 "
	if got := selectText(t, dir, "SELECT date, trace_id, zmap_version, zmap_arguments, seed, first_ttl, last_ttl, targets, targets_sha256, probes_sent, invalid FROM traces WHERE probe = 'v1'"); got != want {
		t.Errorf("got %s", got)
	}
}

// manyRows are enough for several blocks, runs and row groups.
func manyRows(targets int) (rows []string) {
	random := rand.New(rand.NewPCG(3, 4))
	for i := range targets {
		target := netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})
		rows = append(rows, rowsOf(target, zmap.ProbePlain, "k k k k h h h h", nil)...)
		rows = append(rows, rowsOf(target, zmap.ProbeV1, []string{"k k x x h h h h", "k k k k h h h h", "k h h h h h h h"}[i%3], nil)...)
	}
	random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows
}

// filesOf are the files of a folder and what they hold.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			var content []byte
			content, err = os.ReadFile(path)
			files[strings.TrimPrefix(path, dir)] = string(content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sameFiles(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s differs", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is left", name)
		}
	}
}

// The same rows give the same bytes on any number of processors, and when they are added again.
func TestSameBytes(t *testing.T) {
	rows := writeRows(t, manyRows(150))
	var want map[string]string
	for _, processors := range []int{1, 5} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		dir := t.TempDir()
		for range 2 {
			if err := traceFile(t.Context(), dir, rows); err != nil {
				t.Fatal(err)
			}
		}
		got := filesOf(t, dir)
		if want == nil {
			want = got
		}
		sameFiles(t, got, want)
	}
	if len(want) != 6 {
		t.Errorf("%d files", len(want))
	}
}

// A campaign whose process dies between two moves is finished by the next; one that dies before is removed.
func TestDeadInCommit(t *testing.T) {
	ctx := t.Context()
	rows := writeRows(t, manyRows(10))
	undisturbed := t.TempDir()
	if err := traceFile(ctx, undisturbed, rows); err != nil {
		t.Fatal(err)
	}
	want := filesOf(t, undisturbed)
	for _, died := range []int{-1, 0, 1, 4, 5, 6} {
		dir := t.TempDir()
		d, err := dataset.Open(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Begin(ctx, d, "test")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := os.ReadFile(rows)
		if err := c.AddFile(ctx, "rows.json", bytes.NewReader(text), Filter{}); err != nil {
			t.Fatal(err)
		}
		runs, err := c.collectRuns()
		if err == nil {
			err = nameRuns(runs, noScan)
		}
		if err == nil {
			err = c.buildHops(ctx, runs)
		}
		if err == nil {
			err = c.buildPaths(ctx, runs)
		}
		if err == nil && died >= 0 {
			_, err = c.decide(ctx, runs)
		}
		if err != nil {
			t.Fatal(err)
		}
		moved := 0
		for _, table := range []string{"hops", "paths", "traces"} { // an order that moves can have
			for _, probe := range []string{"plain", "v1"} {
				for name := range want {
					if moved < died && strings.HasPrefix(name, "/"+table) && strings.Contains(name, "probe="+probe) {
						i := map[string]int{"plain": 0, "v1": 1}[probe]
						if err := c.store.Move(ctx, c.from(fmt.Sprintf("%s-%d.parquet", table, i)), name[1:]); err != nil {
							t.Fatal(err)
						}
						moved++
					}
				}
			}
		}
		// The process ends: its lock does, its files stay.
		beside, err := Begin(ctx, d, "test")
		if err == nil {
			err = beside.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(c.folder); err != nil {
			t.Fatal("the folder of a living trace was removed")
		}
		keep := filepath.Join(t.TempDir(), "kept")
		if err := os.Rename(c.folder, keep); err != nil {
			t.Fatal(err)
		}
		if err := c.unlock(); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(c.folder), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(keep, c.folder); err != nil {
			t.Fatal(err)
		}
		next, err := Begin(ctx, d, "test")
		if err != nil {
			t.Fatal(err)
		}
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
		got := filesOf(t, dir)
		if died < 0 {
			sameFiles(t, got, nil)
		} else {
			sameFiles(t, got, want)
		}
	}
}

// TestKilled kills traces at any moment: readers see all of a campaign or nothing, and the next one leaves what an
// undisturbed one does.
func TestKilled(t *testing.T) {
	rows := writeRows(t, manyRows(100))
	undisturbed := t.TempDir()
	if err := traceFile(t.Context(), undisturbed, rows); err != nil {
		t.Fatal(err)
	}
	want := filesOf(t, undisturbed)
	child := func(dir string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MPCENSUS_TRACE_CHILD="+dir, "MPCENSUS_TRACE_ROWS="+rows)
		cmd.Stderr = os.Stderr
		return cmd
	}
	begun := time.Now()
	if err := child(t.TempDir()).Run(); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(begun)
	kills := 6
	if os.Getenv("MPCENSUS_FAULTS") == "long" {
		kills = 200
	}
	seen := map[int]int{}
	dir := t.TempDir()
	for i := range kills {
		cmd := child(dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * whole / 2 * time.Duration(i) / time.Duration(kills))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		n, err := strconv.Atoi(selectText(t, dir, "SELECT count(*) FROM paths"))
		if err != nil || n != 0 && n != 100 && n != 200 {
			t.Fatalf("%d paths, %v", n, err)
		}
		seen[n]++
		if n > 0 {
			dir = t.TempDir()
		}
	}
	t.Logf("paths seen after a kill: %v", seen)
	if err := traceFile(t.Context(), dir, rows); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, filesOf(t, dir), want)
}

// Records come out sorted, however many runs they were in.
func TestSort(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	s := &sorter{folder: t.TempDir(), runSize: 2000}
	var want []string
	for range 4 {
		run := s.newRun()
		for range 1000 {
			record := make([]byte, 8+random.IntN(40))
			for i := range record {
				record[i] = byte(random.IntN(3))
			}
			want = append(want, string(record))
			if err := run.add(func(b []byte) []byte { return append(b, record...) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := run.flush(); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	m, err := s.merge()
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		if string(m.first()) != w {
			t.Fatalf("record %d of %d is %x, not %x", i, len(want), m.first(), w)
		}
		if err := m.drop(); err != nil {
			t.Fatal(err)
		}
	}
	if m.first() != nil || len(s.runs) < 10 {
		t.Errorf("%d runs, then %x", len(s.runs), m.first())
	}
}

func TestNothingToAdd(t *testing.T) {
	good := rowsOf(testTarget, zmap.ProbeV1, "k", nil)[0]
	timeless := good[:strings.Index(good, `"timestamp_ts"`)] + good[strings.Index(good, `"classification"`):]
	for name, test := range map[string]struct {
		rows string
		want Filter
		text string
	}{
		"empty":         {"", Filter{}, "a.json: it is empty"},
		"no rows":       {"{}\n", Filter{}, "a.json: none of 1 lines is a row of mptcp_trace (missing): nothing was added"},
		"another port":  {good, Filter{Kind: Kind{Port: 80}}, "a.json: none of 1 lines is a row of mptcp_trace (foreign): nothing was added"},
		"another probe": {good, Filter{Kind: Kind{Probe: zmap.ProbeV0}, Controls: true}, "a.json: none of 1 lines is a row of mptcp_trace (foreign): nothing was added"},
		"no date":       {timeless, Filter{}, "no date"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d, err := dataset.Open(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			c, err := Begin(t.Context(), d, "test")
			if err != nil {
				t.Fatal(err)
			}
			err = c.AddFile(t.Context(), "a.json", strings.NewReader(test.rows), test.want)
			if err == nil {
				_, err = c.Commit(t.Context(), func([]Kind, time.Time) (string, error) { return "", fmt.Errorf("no date") })
			}
			if err == nil || err.Error() != test.text {
				t.Errorf("got %v, not %s", err, test.text)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if left := filesOf(t, dir); len(left) > 0 {
				t.Errorf("left: %d files", len(left))
			}
		})
	}
}
