package zmap

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
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

// metadata makes a script write its metadata file, whose name is among its arguments.
const metadata = `for a; do case $a in --metadata-file=*) echo '{"total_sent": 7, "blacklist_total_allowed": 9}' > "${a#*=}";; esac; done
`

const statusLine = "echo ' 0:00 0%; send: 0 done (0 p/s avg); recv: 0' >&2\n"

func TestStartPassesRowsAndMessages(t *testing.T) {
	p, m, err := startScript(t, t.Context(), Scan{}, `
echo 'Nov 23 09:11:15.042 [WARN] zmap: too few targets' >&2
`+statusLine+`
echo 'Nov  3 09:11:16.042 [ERROR] recv: trouble' >&2
echo '{"saddr": "198.18.0.1"}'
`+metadata)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := io.ReadAll(p.Rows)
	if err != nil || string(rows) != "{\"saddr\": \"198.18.0.1\"}\n" {
		t.Errorf("rows %q, %v", rows, err)
	}
	got, err := p.Wait()
	if err != nil || got.Sent != 7 || got.Targets != 9 {
		t.Errorf("metadata %+v, %v", got, err)
	}
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

// A seed on which ZMap aborts is replaced, unless the user chose it.
func TestStartTriesAnotherSeed(t *testing.T) {
	abortOnce := func(t *testing.T) string {
		mark := filepath.Join(t.TempDir(), "aborted")
		return "[ -e " + mark + " ] || { touch " + mark + "; kill -ABRT $$; }\n" + statusLine + metadata
	}
	p, _, err := startScript(t, t.Context(), Scan{}, abortOnce(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, p.Rows); err != nil {
		t.Error(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Error(err)
	}
	if _, _, err := startScript(t, t.Context(), Scan{Seed: 5}, abortOnce(t)); err == nil || !strings.Contains(err.Error(), "seed 5: choose another") {
		t.Errorf("a chosen seed: %v", err)
	}
	if _, _, err := startScript(t, t.Context(), Scan{}, "kill -ABRT $$"); err == nil || !strings.Contains(err.Error(), "aborted") {
		t.Errorf("a ZMap that always aborts: %v", err)
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
