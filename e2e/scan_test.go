package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/netlab"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// counts are what the dataset's only scan says of itself, and the rows that are really there.
type counts struct {
	complete         bool
	read, kept, rows uint64
}

func scanCounts(t *testing.T, census string) counts {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var c counts
	err = db.QueryRow("SELECT complete, rows_read, rows_kept, (SELECT count(*) FROM replies) FROM scans").
		Scan(&c.complete, &c.read, &c.kept, &c.rows)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestScanBreaksOff ends a scan in the middle, in each way that it can end: one line, a non-zero exit,
// and what was read is in the dataset.
func TestScanBreaksOff(t *testing.T) {
	l := labUp(t)
	for name, end := range map[string]struct {
		signal func(t *testing.T, scan *exec.Cmd)
		want   string
	}{
		"Ctrl-C": {func(t *testing.T, scan *exec.Cmd) {
			if err := scan.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}, "interrupted"},
		"ZMap killed": {func(t *testing.T, scan *exec.Cmd) {
			mustRun(t, "kill", "-KILL", child(t, scan.Process.Pid))
		}, "zmap failed: signal: killed"},
		"terminal lost": {func(t *testing.T, scan *exec.Cmd) {
			if err := scan.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}, "interrupted"},
	} {
		t.Run(name, func(t *testing.T) {
			census := filepath.Join(t.TempDir(), "census")
			scan := exec.Command(mpcensus, l.scan(census, "443", "v1", "--rate", "5000", "198.18.0.0/16")...)
			var stderr strings.Builder
			scan.Stderr = &stderr
			if err := scan.Start(); err != nil {
				t.Fatal(err)
			}
			before := l.replies()
			for l.replies() < before+6000 {
				time.Sleep(100 * time.Millisecond)
			}
			end.signal(t, scan)
			err := scan.Wait()
			if scan.ProcessState.ExitCode() != 1 {
				t.Errorf("ended with %v, want exit code 1", err)
			}
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "mpcensus: ") || !strings.Contains(last, end.want) {
				t.Errorf("last line %q, want %q in it", last, end.want)
			}
			c := scanCounts(t, census)
			if c.complete {
				t.Error("the scan is called complete")
			}
			// The last second's 2,500 may still wait in ZMap's libpcap.
			if c.rows < 2000 || c.rows != c.kept || c.read < c.kept {
				t.Errorf("%+v: want the replies of more than a second, all counted", c)
			}
		})
	}
}

// replies is the number of replies that the lab's hosts have sent.
func (l lab) replies() uint64 {
	l.t.Helper()
	state, err := netlab.Status(l.dir)
	if err != nil {
		l.t.Fatal(err)
	}
	return state.Population.Replies
}

// child is the only child process of pid.
func child(t *testing.T, pid int) string {
	t.Helper()
	// nsenter has become mpcensus, so pid is the scan itself.
	pids := strings.Fields(mustRun(t, "pgrep", "-P", strconv.Itoa(pid)))
	if len(pids) != 1 {
		t.Fatalf("children of %d: %v", pid, pids)
	}
	return pids[0]
}

// TestScanRefuses checks that what cannot be done is refused with one line, before any packet.
func TestScanRefuses(t *testing.T) {
	l := labUp(t)
	census := filepath.Join(t.TempDir(), "census")
	blocklist := filepath.Join(l.dir, "blocklist.conf")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	blocked := file("blocked.conf", "198.18.7.0/31\n198.18.7.3\n198.18.8.0/24\n")
	six := file("six.conf", "ff00::/8\n")
	indexed := filepath.Join(dir, "indexed.targets")
	mustRun(t, mpcensus, "targets", "build", "--out", indexed, "--blocklist", blocklist,
		file("hitlist.txt", "198.18.7.1\n198.18.7.2\n198.18.7.3\n198.18.8.255\n"))
	records, err := os.ReadFile(indexed)
	if err != nil {
		t.Fatal(err)
	}
	comma, damaged := file("a,b.targets", string(records)), file("damaged.targets", string(records[:len(records)-1]))
	for _, c := range []struct {
		want string
		code int
		args []string
	}{
		{"--dataset is missing", 2, []string{"--port", "443", "198.18.0.1"}},
		{"--port is missing", 2, []string{"--dataset", census, "198.18.0.1"}},
		{"--port 70000", 2, []string{"--dataset", census, "--port", "70000", "198.18.0.1"}},
		{"no targets", 2, []string{"--dataset", census, "--port", "443"}},
		{"--shards 2: name a --seed", 2, []string{"--dataset", census, "--port", "443", "--shards", "2", "198.18.0.1"}},
		{"--shard 3 of --shards 3", 2, []string{"--dataset", census, "--port", "443", "--shards", "3", "--shard", "3", "198.18.0.1"}},
		{"neither an address nor a CIDR", 2, []string{"--dataset", census, "--port", "443", "198.18.0"}},
		{"no target is left", 1, []string{"--dataset", census, "--port", "443", "2001:db8::1"}},
		{"fe80::1%eth0", 1, []string{"--dataset", census, "--port", "443", "fe80::1%eth0"}},
		{"--port stands behind 198.18.0.1", 2, []string{"--dataset", census, "198.18.0.1", "--port", "443"}},
		{"leave out --probe v1", 2, []string{"--dataset", census, "--port", "443", "--paired", "--probe", "v1", "198.18.0.1"}},
		{"say --probe canary", 2, []string{"--dataset", census, "--port", "443", "--probe", "plain", "--probe-args", "canary=on", "198.18.0.1"}},
		{"of the other family", 2, []string{"--dataset", census, "--port", "443", "--source-ip", "2001:db8::1", "--blocklist", blocklist, "198.18.0.1"}},
		{"--source-ip scan0", 2, []string{"--dataset", census, "--port", "443", "--source-ip", "scan0", "198.18.0.1"}},
		{"3 of 4 targets are on the blocklist, the first is 198.18.7.1:", 1, []string{"--dataset", census, "--port", "443", "--blocklist", blocked, "--targets", indexed}},
		{"damaged target file", 1, []string{"--dataset", census, "--port", "443", "--blocklist", blocklist, "--targets", damaged}},
		{"path with a comma", 1, []string{"--dataset", census, "--port", "443", "--blocklist", blocklist, "--targets", comma}},
		{"--probe v2", 2, []string{"--dataset", census, "--port", "443", "--probe", "v2", "198.18.0.1"}},
		{"no scan without a blocklist", 1, []string{"--dataset", census, "--port", "443", "--blocklist", "nowhere.conf", "198.18.0.1"}},
		{"has no entry", 1, []string{"--dataset", census, "--port", "443", "--blocklist", "/dev/null", "198.18.0.1"}},
		{"is a directory", 1, []string{"--dataset", census, "--port", "443", "--blocklist", "/", "198.18.0.1"}},
		{"--dataset is missing", 2, []string{"--dataset", "", "--port", "443", "198.18.0.1"}},
		{"no next hop towards 198.18.0.1 on lo", 1, []string{"--dataset", census, "--port", "443", "--blocklist", blocklist, "--interface", "lo", "198.18.0.1"}},
		// The default blocklist has the lab's addresses.
		{"no target is left: all that are named", 1, []string{"--dataset", census, "--port", "443", "198.18.0.1"}},
		{"the blocklist has no ipv4 entry", 1, []string{"--dataset", census, "--port", "443", "--blocklist", six, "198.18.0.1"}},
		{"the blocklist has no ipv4 entry", 1, []string{"--dataset", census, "--port", "443", "--blocklist", six, "--targets", indexed}},
		{"the blocklist has no ipv6 entry", 1, []string{"--dataset", census, "--port", "443", "--blocklist", blocked, "2001:db8:ffff:a::1"}},
		// It would go past the blocklist.
		{"scan sets it itself", 2, []string{"--dataset", census, "--port", "443", "--probe-args", "key=weight16,targets=" + indexed, "1.0.0.0/30"}},
		{"bad value 'x'", 1, []string{"--dataset", census, "--port", "443", "--blocklist", blocklist, "--probe-args", "key=x", "198.18.0.1"}},
		{"no route to 192.0.2.1", 1, []string{"--dataset", census, "--port", "443", "--blocklist", blocked, "192.0.2.1"}},
		{"nowhere.txt", 1, []string{"--dataset", census, "--port", "443", "--targets", "nowhere.txt"}},
		{"zmap at /bin/nowhere", 1, []string{"--dataset", census, "--port", "443", "--zmap", "/bin/nowhere", "198.18.0.1"}},
	} {
		t.Run(c.want, func(t *testing.T) {
			r := run(t, mpcensus, l.inside(append([]string{mpcensus, "scan"}, c.args...)...)...)
			if r.code != c.code || !strings.Contains(r.stderr, c.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", r.code, c.code, c.want, r.stderr)
			}
			if n := strings.Count(strings.TrimSpace(r.stderr), "\n"); n != 0 {
				t.Errorf("more than one line:\n%s", r.stderr)
			}
		})
	}
	if _, err := os.Stat(census); err == nil {
		t.Error("a refused scan has left a dataset")
	}
}

// TestScanTargetsFile scans the targets of a file, in two shards, which together find every target once.
func TestScanTargetsFile(t *testing.T) {
	l := labUp(t)
	dir := t.TempDir()
	targets, census := filepath.Join(dir, "targets.txt"), filepath.Join(dir, "census")
	if err := os.WriteFile(targets, []byte("# a hitlist\n198.19.0.1\n198.18.7.0/24\n\n198.19.0.3 # plain TCP\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, shard := range []string{"0", "1"} {
		mustRun(t, mpcensus, l.scan(census, "80", "plain", "--targets", targets, "--shards", "2", "--shard", shard, "--seed", "7")...)
	}
	db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	truth := filepath.Join(dir, "truth.parquet")
	mustRun(t, mpcensus, "lab", "truth", "--out", truth)
	var scans, missing, invented, first, targetsSeen uint64
	err = db.QueryRow(`
		WITH answering AS (
			SELECT target FROM read_parquet($1)
			WHERE port = 80 AND probe = 'plain' AND verdict IS NOT NULL
			  AND (target LIKE '198.18.7.%' OR target IN ('198.19.0.1', '198.19.0.3'))
		)
		SELECT (SELECT count(*) FROM scans),
		       (SELECT count(*) FROM answering ANTI JOIN replies ON target = saddr),
		       (SELECT count(*) FROM replies ANTI JOIN answering ON target = saddr),
		       (SELECT count(*) FROM replies WHERE NOT repeat), (SELECT count(DISTINCT saddr) FROM replies)`, truth).
		Scan(&scans, &missing, &invented, &first, &targetsSeen)
	if err != nil {
		t.Fatal(err)
	}
	if scans != 2 || missing != 0 || invented != 0 || first != targetsSeen || first < 50 {
		t.Errorf("%d scans, %d answering targets missing, %d rows of others, %d first replies of %d targets",
			scans, missing, invented, first, targetsSeen)
	}
}

// TestScanOfEverything scans a share of 0.0.0.0/0: the way is looked up for an address that may be probed,
// which the first of all is not.
func TestScanOfEverything(t *testing.T) {
	l := labUp(t)
	census := filepath.Join(t.TempDir(), "census")
	mustRun(t, mpcensus, l.scan(census, "443", "v1", "--rate", "5000", "--seed", "1", "--shards", "254", "0.0.0.0/0")...)
	if c := scanCounts(t, census); !c.complete || c.rows < 50 {
		t.Errorf("%+v: want the replies of a 254th of the lab", c)
	}
}

// TestTargetFileChanged puts another target file in the place of the first while a campaign runs: what
// was not held against the blocklist is not probed.
func TestTargetFileChanged(t *testing.T) {
	l := labUp(t)
	dir := t.TempDir()
	census, list, indexed := filepath.Join(dir, "census"), filepath.Join(dir, "list.txt"), filepath.Join(dir, "list.targets")
	build := func(text string) {
		if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		mustRun(t, mpcensus, "targets", "build", "--out", indexed, "--blocklist", filepath.Join(l.dir, "blocklist.conf"), list)
	}
	build("198.19.0.1\n")
	var stderr strings.Builder
	scan := exec.Command(mpcensus, l.inside(mpcensus, "scan", "--paired", "--dataset", census, "--port", "443", "--cooldown", "1",
		"--blocklist", filepath.Join(l.dir, "blocklist.conf"), "--targets", indexed)...)
	scan.Stderr = &stderr
	before := l.replies()
	if err := scan.Start(); err != nil {
		t.Fatal(err)
	}
	for l.replies() == before {
		time.Sleep(20 * time.Millisecond)
	}
	build("198.19.0.2\n")
	if err := scan.Wait(); scan.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "list.targets has changed since") {
		t.Errorf("%v:\n%s", err, stderr.String())
	}
	if c := scanCounts(t, census); !c.complete || c.rows != 1 {
		t.Errorf("%+v: want the first scan of the campaign alone", c)
	}
}

// TestDoctor: in the lab nothing is lacking; what is lacking is named with its remedy.
func TestDoctor(t *testing.T) {
	l := labUp(t)
	if r := run(t, mpcensus, l.inside(mpcensus, "doctor")...); r.code != 0 || strings.Contains(r.stdout, "LACKS") {
		t.Errorf("in the lab, exit code %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
	r := run(t, mpcensus, l.inside(mpcensus, "doctor", "--zmap", "/bin/true")...)
	if r.code != 1 || !strings.Contains(r.stdout, "LACKS ZMap") || !strings.Contains(r.stdout, "remedy: apt-get install zmap") {
		t.Errorf("with a program that is not ZMap, exit code %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// TestScanFullDisk: when the disk is full, ZMap is ended, and --resume adds every row that was stored as soon as there is
// room again.
func TestScanFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, "a small file system cannot be mounted without root")
	}
	l := labUp(t)
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		skip(t, "no small file system here: %v", err)
	}
	defer func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}()
	census := filepath.Join(disk, "census")
	r := run(t, mpcensus, l.scan(census, "443", "plain", "--rate", "20000", "198.18.0.0/16")...)
	if r.code != 1 || !strings.Contains(r.stderr, "no space left on device") || !strings.Contains(r.stderr, "ingest --resume") {
		t.Errorf("exit code %d:\n%s", r.code, r.stderr)
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=1g"); err != nil {
		t.Fatal(err)
	}
	mustRun(t, mpcensus, "ingest", "--dataset", census, "--resume")
	if c := scanCounts(t, census); c.complete || c.rows < 1000 || c.rows != c.kept {
		t.Errorf("%+v: want an incomplete scan with all rows that were stored", c)
	}
}

// TestScanUnwritable: where no dataset can be made, ZMap does not go on.
func TestScanUnwritable(t *testing.T) {
	l := labUp(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	r := run(t, mpcensus, l.scan(filepath.Join(file, "census"), "443", "v1", "198.18.0.0/16")...)
	if r.code != 1 || !strings.Contains(r.stderr, "not a directory") {
		t.Errorf("exit code %d:\n%s", r.code, r.stderr)
	}
	// At 1,000 probes a second the scan would take a minute.
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestLauncherAndIngest goes the operator's way: ZMap by the launcher, its rows to a compressed file,
// and that into the dataset.
func TestLauncherAndIngest(t *testing.T) {
	l := labUp(t)
	dir := t.TempDir()
	// ZMap itself knows no IPv6.
	list, err := os.ReadFile(filepath.Join(l.dir, "blocklist.conf"))
	if err != nil {
		t.Fatal(err)
	}
	blocklist := filepath.Join(dir, "blocklist.conf")
	ipv4, _, _ := strings.Cut(string(list), "# All but 2001:db8::/32.\n")
	if err := os.WriteFile(blocklist, []byte(ipv4), 0o644); err != nil {
		t.Fatal(err)
	}
	zmap := exec.Command(mpcensus, l.inside("../bin/zmap-mptcp", "-M", "mptcp_synscan", "-p", "80",
		"--probe-args=probe=v0,key=static:8001800180018001", "-i", "scan0", "-S", "198.19.255.1", "-G", netlab.GatewayMAC.String(),
		"-C", "/dev/null", "-b", blocklist, "-r", "10000", "-c", "1", "-O", "json", "-f", "*",
		"--output-filter=success = 1 || success = 0", "198.18.1.0/24", "198.18.2.0/24")...)
	rows, err := zmap.Output()
	if err != nil {
		t.Fatal(err)
	}
	sent := uint64(bytes.Count(rows, []byte("\n")))
	if sent < 100 {
		t.Fatalf("only %d rows", sent)
	}
	rows = append(rows, "this is no row\n"...)
	compressor, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"rows.json": rows, "rows.json.zst": compressor.EncodeAll(rows, nil)} {
		t.Run(name, func(t *testing.T) {
			file, census := filepath.Join(dir, name), filepath.Join(t.TempDir(), "census")
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
			out := mustRun(t, mpcensus, "ingest", "--dataset", census, "--max-rejects", "0.1", file)
			if !strings.Contains(out, "rejected 1 (not-json 1)") {
				t.Errorf("ingest printed %q", out)
			}
			if c := scanCounts(t, census); !c.complete || c.rows != sent || c.read != sent+1 {
				t.Errorf("%+v: want %d rows and one reject", c, sent)
			}
			if r := run(t, mpcensus, "ingest", "--dataset", census, "--max-rejects", "0", file); r.code != 3 {
				t.Errorf("with no reject allowed, exit code %d, want 3", r.code)
			}
			db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var static bool
			err = db.QueryRow(`SELECT bool_and(static_key = '0x8001800180018001'::UBIGINT)
				AND (SELECT bool_and(sent_key = '0x8001800180018001'::UBIGINT) FROM replies) FROM scans`).Scan(&static)
			if err != nil || !static {
				t.Errorf("the static key is not in the dataset: %v", err)
			}
		})
	}
}
