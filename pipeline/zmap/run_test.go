package zmap

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// These tests are about processes that misbehave as ZMap does, which the real one does too seldom:
// shell scripts stand in for it. What ZMap does with its arguments is tested in package e2e.

// messages collects what Start's callbacks get.
type messages struct {
	mu             sync.Mutex
	status, warned []string
}

func (m *messages) onStatus(line string) {
	m.mu.Lock()
	m.status = append(m.status, line)
	m.mu.Unlock()
}
func (m *messages) onWarn(line string) { m.mu.Lock(); m.warned = append(m.warned, line); m.mu.Unlock() }

func startScript(t *testing.T, ctx context.Context, scan Scan, script string) (*Process, *messages, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "zmap")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	var m messages
	p, err := Start(ctx, Installation{Path: path, Version: SupportedVersion}, scan, m.onStatus, m.onWarn)
	return p, &m, err
}

// writeMetadata makes a script write its metadata file, whose name is among its arguments.
const writeMetadata = `for a; do case $a in --metadata-file=*) echo '{"total_sent": 7, "blacklist_total_allowed": 9}' > "${a#*=}";; esac; done
`

const statusLine = "echo ' 0:00 0%; send: 0 done (0 p/s avg); recv: 0' >&2\n"

func TestStartPassesRowsAndMessages(t *testing.T) {
	p, m, err := startScript(t, t.Context(), Scan{}, `
echo 'Nov 23 09:11:15.042 [WARN] zmap: too few targets' >&2
`+statusLine+`
echo 'Nov  3 09:11:16.042 [ERROR] recv: trouble' >&2
echo 'Nov  3 09:11:16.043 [ERROR] recv: trouble' >&2
echo '{"saddr": "198.18.0.1"}'
`+writeMetadata)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := io.ReadAll(p.Rows)
	if err != nil || string(rows) != "{\"saddr\": \"198.18.0.1\"}\n" {
		t.Errorf("rows %q, %v", rows, err)
	}
	got, err := p.Wait()
	if err != nil || got.Counts.ProbesSent != null(uint64(7)) || got.Targets != null(uint64(9)) {
		t.Errorf("metadata %+v, %v", got, err)
	}
	// What is said twice is shown once.
	if want := "zmap: too few targets|recv: trouble"; strings.Join(m.warned, "|") != want {
		t.Errorf("warnings %q, want %q", m.warned, want)
	}
	if len(m.status) != 1 {
		t.Errorf("status lines %q", m.status)
	}
	if _, err := os.Stat(p.metadataFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the metadata file is left behind: %v", err)
	}
}

func TestStartReportsWhyZMapGaveUp(t *testing.T) {
	_, m, err := startScript(t, t.Context(), Scan{}, `
echo 'Nov 23 09:11:15.042 [WARN] zmap: too few targets' >&2
echo 'Nov 23 09:11:15.042 [ERROR] blacklist: no addresses' >&2
echo 'Nov 23 09:11:15.042 [FATAL] zmap: unable' >&2
exit 1`)
	if want := "zmap failed: blacklist: no addresses; zmap: unable; exit status 1"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if len(m.warned) != 0 {
		t.Errorf("printed besides the error: %q", m.warned)
	}
}

// argument is the value of an option that ZMap was given.
func argument(t *testing.T, p *Process, name string) string {
	t.Helper()
	for _, a := range p.Arguments {
		if value, ok := strings.CutPrefix(a, name+"="); ok {
			return value
		}
	}
	t.Fatalf("no %s in %q", name, p.Arguments)
	return ""
}

// A seed on which ZMap aborts gives way to the next one, even if the monitor has said something by then.
func TestStartTakesTheNextSeed(t *testing.T) {
	abortsOn := func(seed string) string {
		return "for a; do [ \"$a\" != --seed=" + seed + " ] || { echo ' 0:00 0%; send: 0 0 p/s (0 p/s avg); recv: 0' >&2; kill -ABRT $$; }; done\n" +
			statusLine + writeMetadata
	}
	for _, c := range []struct{ chosen, want uint64 }{{5, 6}, {math.MaxInt64, 1}, {7, 7}} {
		aborting := "5"
		if c.chosen == math.MaxInt64 {
			aborting = "9223372036854775807"
		}
		p, _, err := startScript(t, t.Context(), Scan{Seed: c.chosen}, abortsOn(aborting))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, p.Rows); err != nil {
			t.Error(err)
		}
		if _, err := p.Wait(); err != nil {
			t.Error(err)
		}
		if p.Seed != c.want || argument(t, p, "--seed") != strconv.FormatUint(c.want, 10) {
			t.Errorf("seed %d became %d, want %d", c.chosen, p.Seed, c.want)
		}
	}
	if _, _, err := startScript(t, t.Context(), Scan{}, "kill -ABRT $$"); err == nil || !strings.Contains(err.Error(), "aborted") {
		t.Errorf("a ZMap that always aborts: %v", err)
	}
}

// A shard without targets makes ZMap abort too, but the same seed does for all shards together: another
// seed in this shard alone would lose targets.
func TestStartOfEmptyShard(t *testing.T) {
	const script = `
shards= dry=
for a; do case $a in --shards=*) shards=${a#*=};; --dryrun) dry=1;; esac; done
[ "$shards" = 1 ] || kill -ABRT $$
[ -n "$dry" ] || { echo "sends" >&2; exit 1; }
`
	p, _, err := startScript(t, t.Context(), Scan{Seed: 5, Shards: 3, Shard: 2}, script)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := io.ReadAll(p.Rows)
	if err != nil || len(rows) > 0 {
		t.Errorf("rows %q, %v", rows, err)
	}
	if got, err := p.Wait(); err != nil || got.Counts.ProbesSent != null(uint64(0)) || p.Seed != 5 {
		t.Errorf("got %+v, %v, seed %d", got, err, p.Seed)
	}
	// If the seed is at fault, the dry run aborts too.
	p, _, err = startScript(t, t.Context(), Scan{Seed: 5, Shards: 3, Shard: 2}, `
for a; do [ "$a" != --seed=5 ] || kill -ABRT $$; done
`+statusLine+writeMetadata)
	if err != nil || p.Seed != 6 {
		t.Fatalf("got %+v, %v", p, err)
	}
	if _, err := io.Copy(io.Discard, p.Rows); err != nil {
		t.Error(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Error(err)
	}
}

// A reply tells that ZMap sends, before its monitor does: nobody may keep it waiting.
func TestStartReturnsWithTheFirstRow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	begun := time.Now()
	p, _, err := startScript(t, ctx, Scan{}, "echo ' 0:00 0%; send: 0 0 p/s (0 p/s avg); recv: 0' >&2; echo row; exec sleep 20")
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	cancel()
	rows, err := io.ReadAll(p.Rows)
	if string(rows) != "row\n" || err != nil {
		t.Errorf("rows %q, %v", rows, err)
	}
	if _, err := p.Wait(); err == nil {
		t.Error("a killed ZMap has not failed")
	}
}

func TestCancelInterruptsZMap(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, _, err := startScript(t, ctx, Scan{}, statusLine+"exec sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	cancel()
	if _, err := io.Copy(io.Discard, p.Rows); err != nil {
		t.Error(err)
	}
	if _, err := p.Wait(); err == nil || !strings.Contains(err.Error(), "interrupt") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > killDelay {
		t.Errorf("took %v", took)
	}
}

// When this process is killed, nobody is left to end ZMap: the next line that it prints does, a status line within
// a second, by SIGPIPE. (A parent-death signal would not: ZMap gives up root, which clears it, prctl(2).)
func TestZMapEndsWhenNobodyReads(t *testing.T) {
	const beats = "ZMAP_TEST_BEATS"
	if path := os.Getenv(beats); path != "" { // the process that is killed
		if _, _, err := startScript(t, t.Context(), Scan{}, "while :; do echo >>"+path+"\n"+statusLine+"sleep 0.05; done"); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	path := filepath.Join(t.TempDir(), "beats")
	size := func() int64 {
		status, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return status.Size()
	}
	// await says whether the number of beats becomes another, or stays, for a while.
	await := func(change bool) bool {
		for range 20 {
			before := size()
			time.Sleep(500 * time.Millisecond)
			if (size() != before) == change {
				return true
			}
		}
		return false
	}
	us := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	us.Env = append(os.Environ(), beats+"="+path, "TMPDIR="+filepath.Dir(path))
	if err := us.Start(); err != nil {
		t.Fatal(err)
	}
	begun := await(true)
	if err := us.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = us.Wait()
	if !begun {
		t.Fatal("ZMap did not start")
	}
	if !await(false) {
		t.Error("ZMap goes on")
	}
}
