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

// runningStep is the step that runs, and its place among all; nil if none does.
func runningStep(st *campaign.State) (*campaign.StepState, int) {
	for i := range st.Steps {
		if st.Steps[i].Progress == campaign.Running {
			return &st.Steps[i], i
		}
	}
	return nil, -1
}

// moments are times at which a campaign is killed, in the order in which they come: when a condition has become
// true, and so long after. On a machine with much else to do, a moment can pass unseen: each condition stays
// true in later steps.
var moments = []struct {
	name  string
	come  func(dir string, st *campaign.State) bool
	delay time.Duration
}{
	{"in a scan", reached(0), 700 * time.Millisecond},
	{"between scans", func(_ string, st *campaign.State) bool { return st.Steps[0].Progress == campaign.Done }, 0},
	{"in an ingest", func(_ string, st *campaign.State) bool {
		s, i := runningStep(st)
		return i > 0 && (s.ScanID != "" || i > 3)
	}, 0},
	{"in the second shard", reached(2), 700 * time.Millisecond},
	{"in classify", reached(4), 200 * time.Millisecond},
	{"in trace", reached(5), 1500 * time.Millisecond},
	{"when the trace is in the dataset", listed(5, dataset.TracesTable), 0},
	{"in verify", reached(6), 2 * time.Second},
	{"when the verification is in the dataset", listed(6, dataset.VerificationsTable), 0},
	{"in conclude", reached(7), 50 * time.Millisecond},
	{"in report", reached(8), 20 * time.Millisecond},
}

// reached: this step or a later one is running.
func reached(step int) func(string, *campaign.State) bool {
	return func(_ string, st *campaign.State) bool {
		_, running := runningStep(st)
		return running >= step
	}
}

// listed: this step is running and has added to the table, or a later one is running.
func listed(step int, table string) func(string, *campaign.State) bool {
	return func(dir string, st *campaign.State) bool {
		_, running := runningStep(st)
		files, _ := filepath.Glob(filepath.Join(dir, "census", table, "*/*/*/*/*.parquet"))
		return running > step || running == step && files != nil
	}
}

// process is a campaign that is running.
type process struct {
	*exec.Cmd
	stderr bytes.Buffer
	ended  chan struct{}
}

func startCampaign(t *testing.T, l lab, file string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(mpcensus, l.inside(mpcensus, "run", file)...), ended: make(chan struct{})}
	p.Stderr = &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.Wait()
	}()
	t.Cleanup(p.kill)
	return p
}

// kill does nothing to a process that has ended.
func (p *process) kill() {
	p.Process.Kill()
	<-p.ended
}

// endsWithin says whether the process ends by itself in this time.
func (p *process) endsWithin(d time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(d):
		return false
	}
}

// TestCampaignKilled kills a campaign in each of its stages, and goes on each time. What comes of it is what
// comes of one that nobody disturbed, in a lab of the same hosts.
func TestCampaignKilled(t *testing.T) {
	calmLab, l := labUp(t), labUp(t)
	calmDir, calmFile := writeCampaign(t, calmLab)
	calm := startCampaign(t, calmLab, calmFile)

	dir, file := writeCampaign(t, l)
	census := filepath.Join(dir, "census")
	died := map[campaign.Stage]bool{}
	for _, moment := range moments {
		killed := startCampaign(t, l, file)
		for st := campaignState(t, dir); st == nil || !moment.come(dir, st); st = campaignState(t, dir) {
			if killed.endsWithin(time.Millisecond) {
				break
			}
		}
		ended := killed.endsWithin(moment.delay)
		children := strings.Fields(run(t, "pgrep", "-P", fmt.Sprint(killed.Process.Pid)).stdout)
		killed.kill()
		st := campaignState(t, dir)
		if ended {
			if !st.Finished() {
				t.Fatalf("%s: the campaign ended before: %s", moment.name, &killed.stderr)
			}
			t.Logf("%s: the campaign was over before", moment.name)
			break
		}
		step := "no step"
		if s, _ := runningStep(st); s != nil {
			step, died[s.Stage] = s.Name(), true
		}
		t.Logf("killed %s: %s", moment.name, step)
		for _, child := range children {
			for deadline := time.Now().Add(10 * time.Second); running(child); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("killed %s: process %s goes on", moment.name, child)
				}
			}
		}
		if _, err := os.Stat(filepath.Join(census, dataset.ScansTable)); err == nil {
			checkClean(t, census)
		}
	}
	for _, stage := range []campaign.Stage{campaign.StageScan, campaign.StageTrace, campaign.StageVerify} {
		if !died[stage] {
			t.Errorf("it was not killed in %s", stage)
		}
	}
	if r := run(t, mpcensus, l.inside(mpcensus, "run", file)...); r.code != 0 {
		t.Fatalf("the last run: %s", r.stderr)
	}
	if st := campaignState(t, dir); !st.Finished() || len(st.Steps) != 9 {
		t.Errorf("%d steps, finished %t", len(st.Steps), st.Finished())
	}
	checkClean(t, census)
	if <-calm.ended; !calm.ProcessState.Success() {
		t.Fatalf("the undisturbed one: %s", &calm.stderr)
	}
	sameCampaigns(t, filepath.Join(calmDir, "census"), census)
	asForecast(t, filepath.Join(calmDir, "census"))
	for _, folder := range []string{"unfinished/*", "unfinished/*/*", filepath.Join(dataset.CampaignsFolder, "small", "spool", "*")} {
		if left, _ := filepath.Glob(filepath.Join(census, folder)); left != nil {
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

// asForecast: what was sent is what TestCampaignDryRun finds in the dry run.
func asForecast(t *testing.T, census string) {
	t.Helper()
	printed := mustRun(t, mpcensus, "query", "--dataset", census, "--format", "csv", `SELECT (SELECT sum(probes_sent) FROM scans),
		(SELECT sum(probes_sent) FROM traces) / (SELECT max(targets) FROM traces),
		(SELECT sum(rows) FROM verifications) / (SELECT max(targets) FROM verifications)`)
	if _, sent, _ := strings.Cut(strings.TrimSpace(printed), "\n"); sent != "520,10.0,2.0" {
		t.Errorf("packets of scans, packets of traces a host, connections a host: %s", sent)
	}
}

// TestCampaignLocked: of two runs at once, one is refused, and told who holds the dataset; Ctrl-C ends the other
// with a word on how to go on.
func TestCampaignLocked(t *testing.T) {
	l := labUp(t)
	dir, file := writeCampaign(t, l)
	first := startCampaign(t, l, file)
	for st := campaignState(t, dir); st == nil || !reached(0)(dir, st); st = campaignState(t, dir) {
		if first.endsWithin(10 * time.Millisecond) {
			t.Fatalf("it ended before it scanned: %s", &first.stderr)
		}
	}
	oneLineOf(t, run(t, mpcensus, l.inside(mpcensus, "run", file)...), 1, fmt.Sprintf("campaign small, process %d on ", first.Process.Pid))
	time.Sleep(500 * time.Millisecond)
	if err := first.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-first.ended
	lines := strings.Split(strings.TrimSpace(first.stderr.String()), "\n")
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
