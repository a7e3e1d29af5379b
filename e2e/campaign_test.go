package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/campaign"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// campaignFile describes a campaign of 260 addresses in a lab, with all stages. The timeouts are short, for
// simulated hosts answer no request.
const campaignFile = `
name: small
dataset: %[1]s/census
blocklist: %[2]s/blocklist.conf
targets:
  ipv4: {addresses: [198.18.0.0/24, 198.19.0.1, 198.19.0.2, 198.19.0.3, 198.19.0.4]}
ports: [443]
probes: [plain, v1]
rate: 400
cooldown: 1
shards: 2
seed: 42
trace: {ttl: 1-5}
verify: {rounds: 1, rate: 1000, connect_timeout: 5, timeout: 6}
report: %[1]s/report
`

// writeCampaign makes a folder with a campaign's file.
func writeCampaign(t *testing.T, l lab) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, "campaign.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, campaignFile, dir, l.dir), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// campaignState is what a campaign has noted; nil before it has begun.
func campaignState(t *testing.T, dir string) *campaign.State {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "census", dataset.CampaignsFolder, "small", "state.json"))
	if os.IsNotExist(err) {
		return nil
	}
	st := new(campaign.State)
	if err == nil {
		err = json.Unmarshal(text, st)
	}
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// runningStep is the step that runs, or nil.
func runningStep(st *campaign.State) *campaign.StepState {
	for i := range st.Steps {
		if st.Steps[i].Progress == campaign.Running {
			return &st.Steps[i]
		}
	}
	return nil
}

// moments are times at which a campaign is killed, in the order in which they come.
var moments = []struct {
	name  string
	come  func(*campaign.State) bool
	delay time.Duration
}{
	{"in a scan", func(st *campaign.State) bool { return isRunning(st, campaign.StageScan) }, 700 * time.Millisecond},
	{"between scans", func(st *campaign.State) bool { return st.Steps[0].Progress == campaign.Done }, 0},
	{"in an ingest", func(st *campaign.State) bool {
		s := runningStep(st)
		return s != nil && s.ScanID != "" && st.Steps[0].Progress == campaign.Done
	}, 0},
	{"in the second shard", func(st *campaign.State) bool {
		s := runningStep(st)
		return s != nil && s.Stage == campaign.StageScan && s.Shard == 1
	}, 1500 * time.Millisecond},
	{"in classify", func(st *campaign.State) bool { return isRunning(st, campaign.StageClassify) }, 300 * time.Millisecond},
	{"in trace", func(st *campaign.State) bool { return isRunning(st, campaign.StageTrace) }, 2 * time.Second},
	{"at the end of trace", func(st *campaign.State) bool { return isRunning(st, campaign.StageTrace) }, 4500 * time.Millisecond},
	{"in verify", func(st *campaign.State) bool { return isRunning(st, campaign.StageVerify) }, 3 * time.Second},
	{"in conclude", func(st *campaign.State) bool { return isRunning(st, campaign.StageConclude) }, 500 * time.Millisecond},
	{"in report", func(st *campaign.State) bool { return isRunning(st, campaign.StageReport) }, 50 * time.Millisecond},
}

func isRunning(st *campaign.State, stage campaign.Stage) bool {
	s := runningStep(st)
	return s != nil && s.Stage == stage
}

// TestCampaignKilled kills a campaign in each of its stages, and goes on each time. What comes of it is what
// comes of one that nobody disturbed.
func TestCampaignKilled(t *testing.T) {
	l := labUp(t)
	calm, calmFile := writeCampaign(t, l)
	mustRun(t, mpcensus, l.inside(mpcensus, "run", calmFile)...)

	dir, file := writeCampaign(t, l)
	for _, moment := range moments {
		killed := startCampaign(t, l, file)
		for {
			if st := campaignState(t, dir); st != nil && moment.come(st) {
				break
			}
			if !running(fmt.Sprint(killed.Process.Pid)) {
				killed.Wait()
				t.Fatalf("%s: the campaign ended before: %s", moment.name, killed.Stderr)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(moment.delay)
		children := strings.Fields(run(t, "pgrep", "-P", fmt.Sprint(killed.Process.Pid)).stdout)
		if err := killed.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		killed.Wait()
		step := "no step"
		if s := runningStep(campaignState(t, dir)); s != nil {
			step = s.Name()
		}
		t.Logf("killed %s: %s", moment.name, step)
		for _, child := range children {
			for deadline := time.Now().Add(5 * time.Second); running(child); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("killed %s: process %s goes on", moment.name, child)
				}
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "census", "scans")); err == nil {
			checkClean(t, filepath.Join(dir, "census"))
		}
	}
	out := mustRun(t, mpcensus, l.inside(mpcensus, "run", file)...)
	if !strings.Contains(out, "campaign small: 9 steps done") {
		t.Errorf("the last run printed %q", out)
	}
	checkClean(t, filepath.Join(dir, "census"))
	sameCampaigns(t, filepath.Join(calm, "census"), filepath.Join(dir, "census"))
	for _, folder := range []string{"unfinished/*", "unfinished/*/*", filepath.Join(dataset.CampaignsFolder, "small", "spool", "*")} {
		if left, _ := filepath.Glob(filepath.Join(dir, "census", folder)); left != nil {
			t.Errorf("left: %q", left)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "report", "index.html")); err != nil {
		t.Error(err)
	}
	if out := mustRun(t, mpcensus, l.inside(mpcensus, "run", file)...); !strings.Contains(out, "is done already") {
		t.Errorf("once more: %q", out)
	}
}

func startCampaign(t *testing.T, l lab, file string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(mpcensus, l.inside(mpcensus, "run", file)...)
	cmd.Stderr = new(bytes.Buffer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return cmd
}

// stable is what two campaigns over the same hosts have in common: all but times, ids, durations and what follows
// from random keys.
var stable = []string{
	`SELECT family, port, probe, complete, campaign, seed, targets, probes_sent, rows_kept, rows_rejected,
		list_filter(zmap_arguments, lambda a: a LIKE '--shard%') AS shard FROM scans`,
	`SELECT family, port, probe, saddr, classification, mptcp, option_order FROM replies`,
	`SELECT family, port, probe, target, replies, final_verdict,
		if(verdict IN ('tampered', 'implausible'), 'filtered', verdict) AS verdict FROM hosts`,
	`SELECT family, port, probe, target, if(treatment IN ('tampers', 'implausible'), 'filtered', treatment) AS treatment FROM treatments`,
	`SELECT family, port, probe, first_ttl, last_ttl, targets, probes_sent, rows_kept, rows_rejected FROM traces`,
	`SELECT family, port, probe, target, probe_ttl, responder, answer, opt_mptcp FROM hops`,
	`SELECT family, port, probe, target, hops_answered, reached, answer, answer_ttl, finding, after_hop, by_hop FROM paths`,
	`SELECT family, port, probe, targets, rows FROM verifications`,
	`SELECT family, port, probe, target, protocol, transport, round, outcome, fallback, server FROM grabs`,
}

func sameCampaigns(t *testing.T, calm, disturbed string) {
	t.Helper()
	for _, rows := range stable {
		var printed [2]string
		for i, census := range []string{calm, disturbed} {
			printed[i] = mustRun(t, mpcensus, "query", "--dataset", census, "--format", "csv", "SELECT * FROM ("+rows+") ORDER BY ALL")
		}
		if strings.Count(printed[0], "\n") < 2 {
			t.Errorf("%s: no rows, which proves nothing", rows)
		}
		if printed[0] != printed[1] {
			t.Errorf("%s: undisturbed\n%s\nkilled and resumed\n%s", rows, printed[0], printed[1])
		}
	}
}

// TestCampaignLocked: of two runs at once, one is refused, and told who holds the dataset; Ctrl-C ends the other
// with a word on how to go on.
func TestCampaignLocked(t *testing.T) {
	l := labUp(t)
	dir, file := writeCampaign(t, l)
	first := exec.Command(mpcensus, l.inside(mpcensus, "run", file)...)
	var stderr strings.Builder
	first.Stderr = &stderr
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		first.Process.Kill()
		first.Wait()
	}()
	for st := campaignState(t, dir); st == nil || !isRunning(st, campaign.StageScan); st = campaignState(t, dir) {
		time.Sleep(10 * time.Millisecond)
	}
	oneLineOf(t, run(t, mpcensus, l.inside(mpcensus, "run", file)...), 1, fmt.Sprintf("campaign small, process %d on ", first.Process.Pid))
	time.Sleep(500 * time.Millisecond)
	if err := first.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	first.Wait()
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	if last := lines[len(lines)-1]; first.ProcessState.ExitCode() != 1 || !strings.HasPrefix(last, "mpcensus: scan ipv4 443 plain shard 0 of 2: ") ||
		!strings.Contains(last, "interrupted") || !strings.HasSuffix(last, "mpcensus run "+file+" goes on there") {
		t.Errorf("exit code %d, last line %q", first.ProcessState.ExitCode(), last)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "census", "scans", "*")); left != nil {
		t.Errorf("half a scan is in the dataset: %q", left)
	}
}

// TestCampaignDryRun: everything is printed, nothing sent or made, and no privileges are needed.
func TestCampaignDryRun(t *testing.T) {
	l := labUp(t)
	dir, file := writeCampaign(t, l)
	before := l.replies()
	// Outside of the lab, where no packet may go.
	out := mustRun(t, mpcensus, "run", "--dry-run", file)
	for _, want := range []string{"260 ipv4 addresses", "130 packets", "mpcensus scan --dataset ", "--shards 2 --shard 1 --seed 42",
		"mpcensus trace ", "total: 520 packets, 8s at least", "10 packets in trace", "2 connections in verify"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if after := l.replies(); after != before {
		t.Errorf("%d replies to a dry run", after-before)
	}
	if _, err := os.Stat(filepath.Join(dir, "census")); err == nil {
		t.Error("it made the dataset")
	}
}
