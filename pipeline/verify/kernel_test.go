package verify

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

func TestCheckKernel(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	if err := CheckKernel(); err != nil {
		t.Errorf("MPTCP is on, and nothing turns it off: %v", err)
	}
	setSysctl(t, "blackhole_timeout", "3600")
	if err := CheckKernel(); err == nil || !strings.Contains(err.Error(), "sysctl -w net.mptcp.blackhole_timeout=0") {
		t.Errorf("blackhole_timeout is 3600: error %v", err)
	}
	setSysctl(t, "blackhole_timeout", "0")
	const retries = "syn_retrans_before_tcp_fallback"
	if _, err := sysctl(retries); err == nil {
		setSysctl(t, retries, "0")
		if err := CheckKernel(); err == nil || !strings.Contains(err.Error(), "sysctl -w net.mptcp."+retries+"=2") {
			t.Errorf("%s is 0: error %v", retries, err)
		}
		setSysctl(t, retries, "2")
	}
	setSysctl(t, "enabled", "0")
	if err := CheckKernel(); err == nil || !strings.Contains(err.Error(), "sysctl -w net.mptcp.enabled=1") {
		t.Errorf("MPTCP is off: error %v", err)
	}
}

func TestParseCounters(t *testing.T) {
	// The form of proc(5), /proc/net/netstat.
	text := "TcpExt: SyncookiesSent Blackhole\nTcpExt: 1 2\nMPTcpExt: MPCapableSYNRX Blackhole MPCapableSYNTXDisabled New\nMPTcpExt: 3 4 18446744073709551615 x\n"
	got := parseCounters([]byte(text), "MPTcpExt:")
	if len(got) != 3 || got["MPCapableSYNRX"] != 3 || got[blackholeCounter] != 4 || got[disabledCounter] != 1<<64-1 {
		t.Errorf("got %v", got)
	}
	if got := parseCounters([]byte("MPTcpExt: A B\n"), "MPTcpExt:"); len(got) != 0 {
		t.Errorf("names without numbers: got %v", got)
	}
	names, err := os.ReadFile("/proc/net/netstat")
	if err != nil || !strings.Contains(string(names), "MPTcpExt:") {
		t.Skipf("the kernel has no MPTCP: %v", err)
	}
	counters := parseCounters(names, "MPTcpExt:")
	for _, name := range []string{blackholeCounter, disabledCounter} {
		if _, ok := counters[name]; !ok {
			t.Errorf("this kernel has no counter %s", name)
		}
	}
}

// TestTurnedOff lets the machine's own kernel lose MPTCP in the middle of a run, by a host that swallows
// SYNs with MPTCP while blackhole_timeout is set again, and by net.mptcp.enabled. No row of a host that
// speaks MPTCP may say that it fell back.
func TestTurnedOff(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	command(t, "ip", "route", "add", "local", "198.18.4.0/24", "dev", "lo")
	commandWith(t, `table inet swallow {
chain input {
type filter hook input priority 0
ip daddr 198.18.4.1 tcp flags & (syn|ack) == syn tcp option mptcp exists drop
}
}`, "nft", "-f", "-")
	servePage(listen(t, "0.0.0.0:80", true), nil)
	for _, c := range []struct{ setting, value, want string }{
		{"blackhole_timeout", "3600", "Blackhole +1"},
		{"enabled", "0", "net.mptcp.enabled"},
	} {
		t.Run(c.setting, func(t *testing.T) {
			setSysctl(t, "enabled", "1")
			setSysctl(t, "blackhole_timeout", "0")
			checkTurnedOff(t, c.setting, c.value, c.want)
		})
	}
}

func checkTurnedOff(t *testing.T, setting, value, want string) {
	first := 1 // the host that swallows
	if setting == "enabled" {
		first = 2
	}
	var addresses []string
	for i := first; i < first+10; i++ {
		addresses = append(addresses, fmt.Sprintf("198.18.4.%d", i))
	}
	p := params(targetFile(t, addresses...), 80, HTTP)
	p.Rate, p.Rounds, p.Connections = 200, 100, 4
	p.Progress = func(done, all uint64) {
		if done == 1 {
			setSysctl(t, setting, value)
		}
	}
	result, dir := verified(t, p)
	if result.Stopped == nil || !strings.Contains(result.Stopped.Error(), want) {
		t.Errorf("stopped: %v, want %q", result.Stopped, want)
	}
	rows := rowsOf(t, dir)
	if result.Skipped == 0 || len(rows) != 2000 || result.Rows != 2000 {
		t.Errorf("%d rows, result %+v", len(rows), result)
	}
	for k, r := range rows {
		if k.target != netip.MustParseAddr("198.18.4.1") && (r.fallback != "NULL" || r.outcome != "ok" && r.outcome != "skipped") {
			t.Errorf("%v: %+v", k, r)
		}
		if r.outcome == "skipped" && (r.atConnect != "NULL" || r.afterData != "NULL" || r.connect != -1) {
			t.Errorf("skipped, and yet something is known: %v: %+v", k, r)
		}
	}
	var blackholes uint64
	must(t, open(t, dir).QueryRow("SELECT blackholes FROM verifications").Scan(&blackholes))
	if (blackholes > 0) != (setting == "blackhole_timeout") || blackholes != result.Blackholes {
		t.Errorf("verifications has %d blackholes, the result %d", blackholes, result.Blackholes)
	}
}

// TestInterrupted ends a run in the middle: nothing of it is in the dataset.
func TestInterrupted(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	command(t, "ip", "route", "add", "local", "198.18.4.0/24", "dev", "lo")
	serveHostile(listen(t, "0.0.0.0:80", true), nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p := params(targetFile(t, "198.18.4.0/24"), 80, HTTP)
	p.Timeout, p.Rounds = time.Minute, 1000
	p.Progress = func(done, all uint64) {
		if done == 20 {
			cancel()
		}
	}
	dir := t.TempDir()
	db, err := dataset.OpenDuckDB(context.Background(), dir, dataset.DuckDBOptions{})
	must(t, err)
	defer db.Close()
	began := time.Now()
	if _, err := Run(ctx, db, dir, p); err == nil {
		t.Error("no error")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if files := filesOf(t, dir); len(files) > 0 {
		t.Errorf("left %v", files)
	}
}
