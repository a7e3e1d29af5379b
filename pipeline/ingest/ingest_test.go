package ingest

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// start is the time of generated rows' first.
var start = time.Date(2026, 11, 23, 8, 15, 0, 123456000, time.UTC)

const scanID = "20261123T081500.123456Z-ipv4-443-v0"

// generate makes n rows of a v0 scan, of all kinds of replies.
func generate(n int) []byte {
	random := rand.New(rand.NewPCG(6824, 0))
	var out bytes.Buffer
	for i := range n {
		saddr := fmt.Sprintf("198.%d.%d.%d", 18+i>>16&1, i>>8&255, i&255)
		when := start.Add(time.Duration(i) * 20 * time.Microsecond)
		common := fmt.Sprintf(`"saddr":"%s","daddr":"192.0.2.1","ipid":%d,"ttl":%d,"sport":443,"dport":%d,"probe":"v0","repeat":0,"cooldown":%d,"timestamp-ts":%d,"timestamp-us":%d`,
			saddr, random.IntN(65536), 32+random.IntN(32), 32768+random.IntN(32768), i%2, when.Unix(), when.Nanosecond()/1000)
		tcp := fmt.Sprintf(`"seqnum":"%d","acknum":"%d","window":%d`, random.Uint32(), random.Uint32(), random.IntN(65536))
		sent, key := random.Uint64(), random.Uint64()
		switch i % 8 {
		case 1:
			fmt.Fprintf(&out, `{%s,%s,"tcp_flags":20,"tcp_options":"","mptcp":"none","classification":"rst","success":0}`, common, tcp)
		case 2:
			fmt.Fprintf(&out, `{%s,"classification":"icmp","success":0,"icmp_type":3,"icmp_code":13,"responder":"198.18.255.1","quote":"4500%04x"}`, common, i&0xffff)
		case 3:
			fmt.Fprintf(&out, `{%s,%s,"tcp_flags":18,"tcp_options":"020405b4","mptcp":"none","sent_key":"%016x","classification":"synack","success":1}`, common, tcp, sent)
		case 4:
			key = sent
			fallthrough
		default:
			fmt.Fprintf(&out, `{%s,%s,"tcp_flags":18,"tcp_options":"020405b4010104021e0c0081%016x","mptcp":"capable","mptcp_version":0,"mptcp_flags":129,"mptcp_length":12,"mptcp_key":"%016x","sent_key":"%016x","classification":"synack","success":1}`, common, tcp, key, key, sent)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func params() Params {
	return Params{Format: dataset.Parquet, Input: "rows.json", Source: "/rows.json", ToolVersion: "test", Stage: "test"}
}

// run ingests rows into the dataset in dir.
func run(ctx context.Context, t *testing.T, dir string, rows io.Reader, p Params) (Summary, error) {
	t.Helper()
	d, err := dataset.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	return Run(ctx, d, rows, p)
}

// mustRun ingests rows that can be ingested.
func mustRun(t *testing.T, dir string, rows []byte, p Params) Summary {
	t.Helper()
	s, err := run(t.Context(), t, dir, bytes.NewReader(rows), p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tree maps the paths of a dataset's files to their content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == dir {
			return nil // a process was killed before it made the folder
		}
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func paths(files map[string]string) string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	return strings.Join(names, "\n")
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, content := range a {
		if other, ok := b[name]; !ok || other != content {
			return false
		}
	}
	return true
}

// query reads the dataset's Parquet files with DuckDB, and returns the only value.
func query[T any](t *testing.T, dir, statement string) T {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), dir, dataset.DuckDBOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var value T
	if err := db.QueryRow(statement).Scan(&value); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return value
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	rows := generate(1000)
	input := append([]byte("not json\n\n"), rows...)
	input = append(input, "{\"saddr\":\"198.18.0.1\",\"classification\":\"rst\",\"sport\":80}\n{\"saddr\":\"\xff"...)
	s := mustRun(t, dir, input, params())
	if s.Read != 1004 || s.Kept != 1000 || s.Rejected != 4 || !s.Complete || s.Scan.ID != scanID ||
		s.Reasons[zmap.ErrNotJSON] != 2 || s.Reasons[zmap.ErrBlank] != 1 || s.Reasons[ErrForeign] != 1 {
		t.Errorf("got %+v", s)
	}
	const partition = "/date=2026-11-23/family=ipv4/port=443/probe=v0/" + scanID
	const rejects = "rejects" + partition + "-00000.jsonl"
	files := tree(t, dir)
	for _, name := range []string{"replies" + partition + "-00000.parquet", "scans" + partition + ".parquet", rejects} {
		if _, ok := files[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	if len(files) != 3 || !slices.Equal(s.Rejects, []string{rejects}) {
		t.Errorf("rejects in %s, files:\n%s", s.Rejects, paths(files))
	}

	// The rejects give back every byte of the lines.
	lines := bytes.Split(bytes.TrimSuffix([]byte(files[rejects]), []byte("\n")), []byte("\n"))
	if len(lines) != 4 {
		t.Fatalf("%d rejects", len(lines))
	}
	for _, line := range lines {
		var r dataset.Reject
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		raw := r.RawBase64
		if r.Raw != nil {
			raw = []byte(*r.Raw)
		}
		if want := input[r.Offset:][:r.Length]; !bytes.Equal(raw, want) || r.Reason == "" || !strings.HasPrefix(r.Detail, r.Reason) {
			t.Errorf("%s: want %q", line, want)
		}
	}

	digest := xxh3.Hash128(input).Bytes()
	if got := query[string](t, dir, "SELECT input_xxh3 FROM scans"); got != hex.EncodeToString(digest[:]) {
		t.Errorf("digest %s", got)
	}
	if got := query[bool](t, dir, `SELECT complete AND rows_read = 1004 AND rows_kept = 1000 AND rows_rejected = 4
		AND started = '2026-11-23 08:15:00.123456+00' AND finished = '2026-11-23 08:15:00.143436+00'
		AND static_key IS NULL AND zmap_version IS NULL AND input = 'rows.json'
		AND campaign IS NULL AND targets_sha256 IS NULL AND coalesce(targets, probes_sent, send_failures, received, invalid,
			kernel_drops, interface_drops, backlog_drops, duplicates, answered_in_cooldown) IS NULL FROM scans`); !got {
		t.Error("scans is wrong")
	}
	if got := query[bool](t, dir, `SELECT count(*) = 1000 AND count(sender_key) = 625 AND count(*) FILTER (echo) = 125
		AND count(echo) = 625 AND count(icmp_type) = 125 AND count(seqnum) = 875 AND count(quote) = 125
		AND bool_and(key_weight = bit_count(sender_key)) AND bool_and(key_distance = bit_count(xor(sender_key, sent_key)))
		AND bool_and(sport = 443) AND count(DISTINCT saddr) = 1000
		AND count(mss) = 750 AND max(mss) = 1460 FROM replies`); !got {
		t.Error("replies is wrong")
	}
}

// Ingesting again changes nothing; another input of the same name is refused and touches nothing.
func TestAgain(t *testing.T) {
	for _, format := range []dataset.Format{dataset.Parquet, dataset.Arrow} {
		t.Run(string(format), func(t *testing.T) {
			dir := t.TempDir()
			p := params()
			p.Format = format
			rows := append([]byte("x\n"), generate(100)...)
			again := func(input []byte, p Params) error {
				_, err := run(t.Context(), t, dir, bytes.NewReader(input), p)
				return err
			}
			mustRun(t, dir, rows, p)
			before := tree(t, dir)
			mustRun(t, dir, rows, p)
			if !same(before, tree(t, dir)) {
				t.Error("ingesting again changed the dataset")
			}
			other := p
			other.Format = map[dataset.Format]dataset.Format{dataset.Parquet: dataset.Arrow, dataset.Arrow: dataset.Parquet}[format]
			dated := p
			dated.Date = "2026-11-22"
			for what, err := range map[string]error{
				"another input":  again(rows[2:], p),
				"another format": again(rows, other),
				"another date":   again(rows, dated),
			} {
				if !errors.Is(err, dataset.ErrExists) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: %v", what, err)
				}
			}
			if !same(before, tree(t, dir)) {
				t.Error("a refused input changed the dataset")
			}
		})
	}
}

// A scan that broke off gives way to one that goes on, and never to one that broke off sooner.
func TestAgainAfterBreakingOff(t *testing.T) {
	for _, format := range []dataset.Format{dataset.Parquet, dataset.Arrow} {
		t.Run(string(format), func(t *testing.T) {
			dir := t.TempDir()
			p := params()
			p.Format = format
			rows := generate(100)
			broken := func(n int) error {
				_, err := run(t.Context(), t, dir, io.MultiReader(bytes.NewReader(rows[:n]), iotest.ErrReader(io.ErrUnexpectedEOF)), p)
				return err
			}
			if err := broken(len(rows) / 2); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
			// Conclusions from the half, which must go with it.
			for name := range tree(t, dir) {
				if scan, ok := strings.CutPrefix(name, dataset.ScansTable+"/"); ok {
					for _, table := range []string{dataset.HostsTable, dataset.TreatmentsTable} {
						path := filepath.Join(dir, table, strings.TrimSuffix(scan, filepath.Ext(scan))+".parquet")
						if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			half := tree(t, dir)
			if err := broken(len(rows) / 4); !errors.Is(err, dataset.ErrExists) || !same(half, tree(t, dir)) {
				t.Errorf("a shorter input: %v", err)
			}
			if s := mustRun(t, dir, rows, p); !s.Complete || s.Kept != 100 {
				t.Errorf("the whole input: %+v", s)
			}
			whole := t.TempDir()
			mustRun(t, whole, rows, p)
			if !same(tree(t, dir), tree(t, whole)) {
				t.Error("not the bytes of an undisturbed run")
			}
		})
	}
}

func TestParamsAgainstRows(t *testing.T) {
	const row = `{"saddr":"198.18.0.1","classification":"rst","sport":443,"probe":"v1","timestamp_ts":1795421700}` + "\n"
	const stock = `{"saddr":"198.18.0.1","classification":"rst","sport":443,"seqnum":1}` + "\n"
	tests := []struct {
		name, rows string
		change     func(*Params)
		scanID     string
		kept       uint64
		missing    string // of UnknownScanError
	}{
		{"all from the row", row, nil, "20261123T081500.000000Z-ipv4-443-v1", 1, ""},
		{"all given", stock, func(p *Params) {
			p.Port, p.Probe, p.Family, p.Date = 443, zmap.ProbePlain, dataset.IPv4, "2026-11-23"
		}, "2026-11-23-ipv4-443-plain", 1, ""},
		{"no port in the row", `{"saddr":"2001:db8::1","classification":"rst"}`, func(p *Params) {
			p.Port, p.Probe, p.Date = 80, zmap.ProbeV0, "2026-11-23"
		}, "2026-11-23-ipv6-80-v0", 1, ""},
		{"the day began before", row, func(p *Params) { p.Date = "2026-11-22" }, "20261123T081500.000000Z-ipv4-443-v1", 1, ""},
		{"nothing said", stock, nil, "", 0, "probe, date"},
		{"no date", stock, func(p *Params) { p.Probe = zmap.ProbePlain }, "", 0, "date"},
		{"empty", "", nil, "", 0, "port, probe, family, date"},
		{"only rejects", "x\ny\n", func(p *Params) { p.Port = 1 }, "", 0, "probe, family, date"},
		{"only rejects, all given", "x\ny\n", func(p *Params) {
			p.Port, p.Probe, p.Family, p.Date = 443, zmap.ProbeV1, dataset.IPv4, "2026-11-23"
		}, "2026-11-23-ipv4-443-v1", 0, ""},
		{"foreign port", row + stock + strings.ReplaceAll(stock, "443", "80"), nil, "20261123T081500.000000Z-ipv4-443-v1", 2, ""},
		{"foreign family", row + `{"saddr":"2001:db8::1","classification":"rst"}`, nil, "20261123T081500.000000Z-ipv4-443-v1", 1, ""},
		{"foreign probe", row + strings.ReplaceAll(row, "v1", "v0"), nil, "20261123T081500.000000Z-ipv4-443-v1", 1, ""},
		{"canary", strings.ReplaceAll(row, "v1", "canary"), nil, "20261123T081500.000000Z-ipv4-443-canary", 1, ""},
		{"a canary among v1 probes", row + strings.ReplaceAll(row, "v1", "canary"), nil, "20261123T081500.000000Z-ipv4-443-v1", 1, ""},
		{"foreign first row", row + strings.ReplaceAll(row, "443", "80"), func(p *Params) { p.Port = 80 }, "20261123T081500.000000Z-ipv4-80-v1", 1, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			p := params()
			if test.change != nil {
				test.change(&p)
			}
			s, err := run(t.Context(), t, dir, strings.NewReader(test.rows), p)
			lines := uint64(strings.Count(test.rows, "\n"))
			if test.missing == "" {
				if err != nil || s.Scan.ID != test.scanID || s.Kept != test.kept || s.Read != s.Kept+s.Rejected || s.Read < lines {
					t.Errorf("got %+v, %v", s, err)
				}
				if n := query[int](t, dir, "SELECT count(*) FROM replies"); n != int(test.kept) {
					t.Errorf("%d replies", n)
				}
				if n := query[int](t, dir, "SELECT count(*) FROM scans"); n != 1 {
					t.Errorf("%d scans", n)
				}
				return
			}
			var unknown *UnknownScanError
			if !errors.As(err, &unknown) || strings.Join(unknown.Missing, ", ") != test.missing || s.Scan.ID != "" {
				t.Fatalf("got %+v, %v", s, err)
			}
			files := tree(t, dir)
			if test.name == "only rejects" {
				if len(unknown.Rejects) != 1 || len(files) != 1 || strings.Count(files[unknown.Rejects[0]], "\n") != 2 ||
					!strings.Contains(unknown.Error(), unknown.Rejects[0]) {
					t.Errorf("rejects: %v, files %v", unknown, paths(files))
				}
			} else if len(files) != 0 {
				t.Errorf("files left:\n%s", paths(files))
			}
		})
	}
}

// A trace's answers are none of the scan's, wherever they stand: routers would be counted as hosts.
func TestTraceRowsAreRejected(t *testing.T) {
	const row = `{"saddr":"198.18.0.1","classification":"rst","sport":443,"probe":"v1","timestamp_ts":1795421700}` + "\n"
	traced := strings.ReplaceAll(row, "}", `,"probe_ttl":3,"sent":"45"}`)
	dir := t.TempDir()
	s, err := run(t.Context(), t, dir, strings.NewReader(traced+row+traced), params())
	if err != nil || s.Kept != 1 || s.Rejected != 2 || s.Reasons[ErrTrace] != 2 || s.Scan.ID != "20261123T081500.000000Z-ipv4-443-v1" {
		t.Fatalf("got %+v, %v", s, err)
	}
	rejects := tree(t, dir)[s.Rejects[0]]
	if n := strings.Count(rejects, "trace: probe_ttl is 3: give rows of a trace to mpcensus trace --rows"); n != 2 {
		t.Errorf("rejects:\n%s", rejects)
	}
}

func known(n uint64) sql.Null[uint64] { return sql.Null[uint64]{V: n, Valid: true} }

func TestProvenance(t *testing.T) {
	for what, rows := range map[string][]byte{"replies": generate(10), "no reply": nil} {
		dir := t.TempDir()
		p := params()
		p.Input, p.Source, p.Port, p.Probe, p.Family = "", "", 443, zmap.ProbeV0, dataset.IPv4
		p.Provenance = &Provenance{
			Started: start.Add(-time.Second), Finished: start.Add(time.Hour), Complete: true,
			ZMapVersion: "2.1.1", ZMapArguments: []string{"zmap", "-p", "443", ""},
			Seed:     sql.Null[uint64]{V: 1<<64 - 1, Valid: true},
			Campaign: "20261123T081459.000000Z-ipv4-443", TargetsSHA256: "e3b0c442",
			Targets: known(65536),
			Counts: zmap.Counts{
				ProbesSent: known(65535), SendFailures: known(1), Received: known(1 << 40),
				Invalid: known(7), KernelDrops: known(1<<32 - 1), BacklogDrops: known(9), Duplicates: known(0), AnsweredInCooldown: known(3),
			},
		}
		s := mustRun(t, dir, rows, p)
		if s.Scan.Date != "2026-11-23" {
			t.Errorf("%s: %+v", what, s)
		}
		if want := map[string]string{"replies": scanID, "no reply": "20261123T081459.123456Z-ipv4-443-v0"}[what]; s.Scan.ID != want {
			t.Errorf("%s: %s", what, s.Scan.ID)
		}
		if !query[bool](t, dir, `SELECT complete AND zmap_version = '2.1.1' AND zmap_arguments = ['zmap', '-p', '443', '']
			AND seed = 18446744073709551615 AND targets = 65536 AND probes_sent = 65535 AND input IS NULL
			AND campaign = '20261123T081459.000000Z-ipv4-443' AND targets_sha256 = 'e3b0c442'
			AND send_failures = 1 AND received = 1099511627776 AND invalid = 7 AND kernel_drops = 4294967295
			AND interface_drops IS NULL AND backlog_drops = 9 AND duplicates = 0 AND answered_in_cooldown = 3
			AND started = '2026-11-23 08:14:59.123456+00' AND finished = '2026-11-23 09:15:00.123456+00' FROM scans`) {
			t.Errorf("%s: scans is wrong", what)
		}
	}
}

func TestStaticKey(t *testing.T) {
	row := func(host int, key string) string {
		return fmt.Sprintf(`{"saddr":"198.18.0.%d","classification":"rst","sport":443,"probe":"v0","timestamp_ts":1795421700%s}`+"\n", host, key)
	}
	const a, b = `,"sent_key":"00000000000000aa"`, `,"sent_key":"00000000000000bb"`
	for rows, want := range map[string]sql.Null[uint64]{
		row(1, a):                          {},
		row(1, a) + row(1, a):              {}, // its own key, answered twice
		row(1, a) + row(2, a):              {V: 0xaa, Valid: true},
		row(1, a) + row(2, b):              {},
		row(1, a) + row(2, a) + row(3, ""): {},
		row(1, "") + row(2, ""):            {},
	} {
		dir := t.TempDir()
		mustRun(t, dir, []byte(rows), params())
		if got := query[sql.Null[uint64]](t, dir, "SELECT static_key FROM scans"); got != want {
			t.Errorf("%v, want %v:\n%s", got, want, rows)
		}
	}
}

// What was read before the input broke off, or Ctrl-C, is an incomplete scan.
func TestBrokenOff(t *testing.T) {
	rows := generate(500)
	broken := errors.New("broken")

	t.Run("read error", func(t *testing.T) {
		dir := t.TempDir()
		s, err := run(t.Context(), t, dir, io.MultiReader(bytes.NewReader(rows[:len(rows)-10]), iotest.ErrReader(broken)), params())
		if !errors.Is(err, broken) || s.Read != 500 || s.Kept != 499 || s.Complete {
			t.Errorf("got %+v, %v", s, err)
		}
		if !query[bool](t, dir, "SELECT NOT complete AND rows_kept = (SELECT count(*) FROM replies) FROM scans") {
			t.Error("not as counted")
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		out, in := io.Pipe()
		defer out.Close()
		go func() {
			in.Write(rows)
			// The reader waits for more; a user presses Ctrl-C.
			time.Sleep(100 * time.Millisecond)
			cancel()
		}()
		s, err := run(ctx, t, dir, Interruptible(ctx, out), params())
		if !errors.Is(err, context.Canceled) || s.Kept != 500 || s.Complete || s.Scan.ID != scanID {
			t.Errorf("got %+v, %v", s, err)
		}
		if n := query[int](t, dir, "SELECT count(*) FROM replies"); n != 500 {
			t.Errorf("%d replies", n)
		}
	})
}

// helper is the environment variable that makes this test binary an ingest from standard input.
const helper = "MPCENSUS_TEST_INGEST"

func TestMain(m *testing.M) {
	childMain()
	if dir := os.Getenv(helper); dir != "" {
		d, err := dataset.Open(context.Background(), dir)
		if err != nil {
			panic(err)
		}
		s, err := Run(context.Background(), d, os.Stdin, params())
		fmt.Printf("%d %d\n", s.Read, s.Kept)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A killed ingest leaves nothing that a reader sees, and nothing at all after the next one.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	rows := generate(70_000)
	for _, share := range []int{0, 2, 1} { // of the input, before the kill: none, half, all
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), helper+"="+dir)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if share > 0 {
			in.Write(rows[:len(rows)/share])
		}
		time.Sleep(200 * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		for name := range tree(t, dir) {
			if !strings.HasPrefix(name, "unfinished/") && !strings.HasPrefix(name, ".tmp-") {
				t.Errorf("%s is visible", name)
			}
		}
		if n := query[int](t, dir, "SELECT count(*) FROM replies"); n != 0 {
			t.Errorf("%d replies", n)
		}
	}
	mustRun(t, dir, rows, params())
	if files := tree(t, dir); len(files) != 2 {
		t.Errorf("left over:\n%s", paths(files))
	}
	if n := query[int](t, dir, "SELECT count(*) FROM replies"); n != 70_000 {
		t.Errorf("%d replies", n)
	}
}

// Whatever the lines are: each is kept or rejected, and its bytes are not lost.
func FuzzRun(f *testing.F) {
	f.Add(generate(10), true)
	f.Add([]byte("{}\n\x00\n\xff\r\n{\"saddr\":\"::1\",\"classification\":\"rst\"}"), false)
	f.Fuzz(func(t *testing.T, input []byte, arrow bool) {
		dir := t.TempDir()
		p := params()
		p.sizes = sizes{block: 100, part: 3}
		if arrow {
			p.Format = dataset.Arrow
		}
		p.Port, p.Probe, p.Family, p.Date = 443, zmap.ProbeV0, dataset.IPv4, "2026-11-23"
		s, err := run(context.Background(), t, dir, bytes.NewReader(input), p)
		if err != nil || s.Read != s.Kept+s.Rejected {
			t.Fatalf("%+v, %v", s, err)
		}
		var rejects []byte
		for _, name := range s.Rejects {
			file, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			rejects = append(rejects, file...)
		}
		d := json.NewDecoder(bytes.NewReader(rejects))
		var n uint64
		for ; d.More(); n++ {
			var r struct {
				Offset, Length int64
				Raw            *string
				RawBase64      *string `json:"raw_base64"`
			}
			if err := d.Decode(&r); err != nil {
				t.Fatal(err)
			}
			var raw []byte
			switch {
			case r.Raw != nil:
				raw = []byte(*r.Raw)
			case r.RawBase64 != nil:
				if raw, err = base64.StdEncoding.DecodeString(*r.RawBase64); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(raw, input[r.Offset:][:min(r.Length, zmap.MaxLine)]) {
				t.Errorf("%q is not the input's", raw)
			}
		}
		if n != s.Rejected {
			t.Errorf("%d rejects, counted %d", n, s.Rejected)
		}
	})
}
