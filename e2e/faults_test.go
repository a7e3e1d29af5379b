package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// checkClean runs dataset check, which must find nothing.
func checkClean(t *testing.T, census string) {
	t.Helper()
	if out := mustRun(t, mpcensus, "dataset", "check", "--dataset", census); !strings.HasSuffix(out, "problems 0\n") {
		t.Errorf("dataset check: %s", out)
	}
}

// filesOf maps the paths of a folder's files to their content.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sameFiles(a, b map[string]string) bool {
	for name, content := range a {
		if other, ok := b[name]; !ok || other != content {
			return false
		}
	}
	return len(a) == len(b)
}

// labRows writes the rows of a scan that never took place to a file.
func labRows(t *testing.T, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.json")
	mustRun(t, mpcensus, append(append([]string{"lab", "rows"}, flags...), path)...)
	return path
}

// oneLineOf fails unless a command failed with the exit code, and one line that has the text.
func oneLineOf(t *testing.T, r result, code int, text string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stderr, text) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("exit code %d, want %d and a line with %q:\n%s", r.code, code, text, r.stderr)
	}
}

// running says whether a process is there and has not ended.
func running(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}

// TestScanKilled kills a scan: ZMap ends by itself, and what had been answered two seconds before is in
// the dataset after ingest --resume. One of these seconds is the spool's, the other one that in which
// replies may wait in ZMap's libpcap.
func TestScanKilled(t *testing.T) {
	l := labUp(t)
	census := filepath.Join(t.TempDir(), "census")
	scan := exec.Command(mpcensus, l.scan(census, "443", "v1", "--rate", "5000", "198.18.0.0/16")...)
	if err := scan.Start(); err != nil {
		t.Fatal(err)
	}
	type moment struct {
		when    time.Time
		replies uint64
	}
	var answered []moment
	before := l.replies()
	for len(answered) == 0 || answered[len(answered)-1].replies < 10_000 {
		when := time.Now()
		answered = append(answered, moment{when, l.replies() - before})
		time.Sleep(50 * time.Millisecond)
	}
	zmap := child(t, scan.Process.Pid)
	killed := time.Now()
	if err := scan.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	scan.Wait()
	for running(zmap) {
		if time.Since(killed) > 5*time.Second {
			t.Fatalf("ZMap, process %s, goes on without its reader", zmap)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("ZMap ended after %v", time.Since(killed))
	sent := l.replies() - before
	checkClean(t, census)
	if out := mustRun(t, mpcensus, "ingest", "--dataset", census, "--resume"); !strings.Contains(out, ", incomplete\n") {
		t.Errorf("ingest --resume printed %q", out)
	}
	checkClean(t, census)
	var must uint64
	for _, a := range answered {
		if a.when.Before(killed.Add(-2 * time.Second)) {
			must = a.replies
		}
	}
	c := scanCounts(t, census)
	t.Logf("%d replies sent, %d of them two seconds before the kill; %d rows", sent, must, c.rows)
	if c.complete || c.rows != c.kept || c.rows < must || c.rows > sent || must == 0 {
		t.Errorf("%+v of %d replies, of which %d were sent two seconds before the kill", c, sent, must)
	}
	if _, err := os.Stat(filepath.Join(census, "unfinished")); err == nil {
		t.Error("something is still unfinished")
	}
	if out := mustRun(t, mpcensus, "ingest", "--dataset", census, "--resume"); !strings.Contains(out, "nothing else is unfinished") {
		t.Errorf("ingest --resume again printed %q", out)
	}
}

// TestResumeWithoutInput: an ingest whose input is gone does not keep others from being finished.
func TestResumeWithoutInput(t *testing.T) {
	census := filepath.Join(t.TempDir(), "census")
	notes := func() []string {
		found, err := filepath.Glob(filepath.Join(census, "unfinished", "file-*", "state.json"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for n, probe := range []string{"v0", "v1"} {
		ingest := exec.Command(mpcensus, "ingest", "--dataset", census, labRows(t, "--rows", "400000", "--probe", probe))
		if err := ingest.Start(); err != nil {
			t.Fatal(err)
		}
		for len(notes()) == n {
			time.Sleep(time.Millisecond)
		}
		if err := ingest.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		ingest.Wait()
	}
	first, err := os.ReadFile(notes()[0]) // the one that is tried first
	if err != nil {
		t.Fatal(err)
	}
	var note struct{ Made struct{ Source string } }
	if err := json.Unmarshal(first, &note); err != nil || os.Remove(note.Made.Source) != nil {
		t.Fatalf("%v: %s", err, first)
	}
	oneLineOf(t, run(t, mpcensus, "ingest", "--dataset", census, "--resume"), 1, "put it back, or remove unfinished/")
	checkClean(t, census)
	if c := scanCounts(t, census); !c.complete || c.rows != 400_000 || len(notes()) != 1 {
		t.Errorf("%+v, unfinished %q: want one scan, and one that is not", c, notes())
	}
}

// freezingZMap is a ZMap that stops the disk, so that nothing is written to it, and prints rows. It notes
// whether they were read within two seconds.
const freezingZMap = `#!/bin/sh
case "$*" in
*--version*) echo zmap v4.1.0; exit ;;
*--list-probe-modules*) echo mptcp_synscan mptcp_trace; exit ;;
esac
fsfreeze --freeze '%[1]s'
timeout 2 cat '%[2]s'
echo $? > '%[3]s'
fsfreeze --unfreeze '%[1]s'
`

// TestScanSlowDisk: ZMap does not wait for a disk that stands still, not even at the scan's beginning.
func TestScanSlowDisk(t *testing.T) {
	require(t, "mkfs.ext4", "fsfreeze")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	disk := path("disk")
	for _, command := range []string{"truncate -s 64M disk.img", "mkfs.ext4 -q disk.img", "mkdir disk", "mount -o loop disk.img disk"} {
		if r := run(t, "sh", "-c", "cd '"+dir+"' && "+command); r.code != 0 {
			skip(t, "no disk of the test's own: %s: %s", command, r.stderr)
		}
	}
	defer mustRun(t, "umount", disk)
	defer run(t, "fsfreeze", "--unfreeze", disk)
	script := fmt.Sprintf(freezingZMap, disk, labRows(t, "--rows", "5000", "--probe", "v1"), path("outcome"))
	for name, text := range map[string]string{"zmap": script, "blocklist": "192.0.2.0/24\n"} {
		if err := os.WriteFile(path(name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, mpcensus, "scan", "--dataset", path("census"), "--spool", filepath.Join(disk, "spool"), "--port", "443",
		"--zmap", path("zmap"), "--blocklist", path("blocklist"), "--interface", "lo", "--source-ip", "127.0.0.1",
		"--gateway-mac", "02:00:00:00:00:01", "198.18.0.1")
	if outcome, err := os.ReadFile(path("outcome")); err != nil || string(outcome) != "0\n" {
		t.Errorf("the rows were not read while the disk stood still: %q, %v\n%s", outcome, err, r.stderr)
	}
	if c := scanCounts(t, path("census")); c.rows != 5000 {
		t.Errorf("%+v: want 5000 rows", c)
	}
}

// TestTruncatedInput: the rows before the break are kept, as an incomplete scan, which the whole file
// replaces.
func TestTruncatedInput(t *testing.T) {
	text, err := os.ReadFile(labRows(t, "--rows", "20000"))
	if err != nil {
		t.Fatal(err)
	}
	var gz, zst bytes.Buffer
	zstWriter, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{gzip.NewWriter(&gz), zstWriter} {
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for extension, whole := range map[string][]byte{"gz": gz.Bytes(), "zst": zst.Bytes()} {
		t.Run(extension, func(t *testing.T) {
			dir := t.TempDir()
			input, census, calm := filepath.Join(dir, "rows.json."+extension), filepath.Join(dir, "census"), filepath.Join(dir, "calm")
			write := func(content []byte) {
				if err := os.WriteFile(input, content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write(whole[:len(whole)/2])
			oneLineOf(t, run(t, mpcensus, "ingest", "--dataset", census, input), 1, "broke off after line")
			checkClean(t, census)
			if c := scanCounts(t, census); c.complete || c.rows < 5_000 || c.rows != c.kept {
				t.Errorf("%+v: want an incomplete scan of about half the rows", c)
			}
			write(whole)
			mustRun(t, mpcensus, "ingest", "--dataset", census, input)
			checkClean(t, census)
			mustRun(t, mpcensus, "ingest", "--dataset", calm, input)
			if !sameFiles(filesOf(t, census), filesOf(t, calm)) {
				t.Error("not the bytes of an undisturbed run")
			}
		})
	}
}

// TestTooManyRejects: all is stored, and the exit code says that it should be looked at.
func TestTooManyRejects(t *testing.T) {
	input := labRows(t, "--rows", "20000", "--rejects", "0.02")
	census := filepath.Join(t.TempDir(), "census")
	r := run(t, mpcensus, "ingest", "--dataset", census, input)
	oneLineOf(t, r, 3, "lines rejected, more than a share of 0.01: see rejects/")
	checkClean(t, census)
	if c := scanCounts(t, census); !c.complete || c.rows != 20_000 || c.read <= c.rows {
		t.Errorf("%+v", c)
	}
	mustRun(t, mpcensus, "ingest", "--dataset", census, "--max-rejects", "0.05", input)
}

// TestUnwritableDataset: one line says which folder cannot be written to, and nothing changes.
func TestUnwritableDataset(t *testing.T) {
	input := labRows(t, "--rows", "100")
	dir := t.TempDir()
	census := filepath.Join(dir, "census")
	mustRun(t, mpcensus, "ingest", "--dataset", census, input)
	before := filesOf(t, census)
	if err := os.Chmod(census, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(census, 0o755) })
	another := exec.Command(mpcensus, "ingest", "--dataset", census, "-")
	if os.Geteuid() == 0 { // to whom permissions are no obstacle
		another.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := os.ReadFile(input)
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	another.Stdin, another.Stderr = bytes.NewReader(rows), &stderr
	err = another.Run()
	oneLineOf(t, result{stderr: stderr.String(), code: another.ProcessState.ExitCode()}, 1, census)
	if !strings.Contains(stderr.String(), "permission denied") {
		t.Errorf("%v: %s", err, &stderr)
	}
	if !sameFiles(before, filesOf(t, census)) {
		t.Error("the dataset has changed")
	}
	checkClean(t, census)
}

// TestStreamNobodyReads: memory stays bounded while the stream's reader stands still; when it closes the
// pipe, one line says so.
func TestStreamNobodyReads(t *testing.T) {
	source := exec.Command(mpcensus, "lab", "rows", "--rows", "5000000", "-")
	rows, err := source.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stream := exec.Command(mpcensus, "ingest", "--arrow-stream", "-", "-")
	var stderr strings.Builder
	stream.Stdin, stream.Stdout, stream.Stderr = rows, in, &stderr
	for _, cmd := range []*exec.Cmd{source, stream} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	in.Close()
	time.Sleep(3 * time.Second)
	// The input has 2,000 MB; a worker has 40 MB, and there are 8 at most.
	if peak := peakMemory(t, stream.Process.Pid); peak > 600<<20 {
		t.Errorf("%d MB of memory", peak>>20)
	} else {
		t.Logf("%d MB of memory", peak>>20)
	}
	out.Close()
	stream.Wait()
	oneLineOf(t, result{stderr: stderr.String(), code: stream.ProcessState.ExitCode()}, 1, "broken pipe")
	rows.Close()
	source.Wait()
}

// peakMemory is the most that a process has had, in bytes.
func peakMemory(t *testing.T, pid int) uint64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}
