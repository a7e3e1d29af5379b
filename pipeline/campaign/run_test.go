package campaign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// death is what a test throws where a process dies.
type death struct{}

// world is the tools of a campaign whose effects are files, as those of the real ones are. At each point where
// a process can die, it does so if that point's turn has come.
type world struct {
	t       *testing.T
	c       *Campaign
	dieAt   int // the point; 0: never
	points  int // so far
	scanned map[string]int
	n       int // numbers scans, traces and verifications
	fail    bool
}

// point is a place where a process can die.
func (w *world) point() {
	w.points++
	if w.points == w.dieAt {
		panic(death{})
	}
}

func (w *world) write(name, text string) {
	w.t.Helper()
	name = filepath.Join(w.c.Dataset, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) Scan(_ context.Context, order ScanOrder) (Outcome, error) {
	w.scanned[order.Title]++
	w.n++
	id := fmt.Sprintf("scan%d", w.n)
	spool := filepath.Join(order.Spools, id)
	note := func(complete bool) {
		// As ingest.Live does, but for the rows, and without waiting for the disk.
		w.write(strings.TrimPrefix(spool, w.c.Dataset+"/")+"/scan.json", fmt.Sprintf(`{"provenance": {"Complete": %t}}`, complete))
	}
	note(false)
	w.point() // ZMap runs
	note(true)
	w.point() // all rows are there, and the state does not know
	if err := order.Spooled(id); err != nil {
		return Outcome{}, err
	}
	return w.Ingest(context.Background(), spool)
}

func (w *world) Ingest(_ context.Context, spool string) (Outcome, error) {
	w.point() // nothing is in the dataset
	scan := filepath.Join(spool, "scan.json")
	if text, err := os.ReadFile(scan); err == nil {
		w.write("scans/"+filepath.Base(spool), w.running()+" "+string(text)) // complete or not
		w.point()                                                            // the dataset has it, and the spool is still there
		if err := os.Remove(scan); err != nil {
			w.t.Fatal(err)
		}
		w.point() // half of the spool is still there
	}
	if err := os.RemoveAll(spool); err != nil {
		w.t.Fatal(err)
	}
	w.point() // the spool is gone, and the state does not know
	return Outcome{Result: "ok"}, nil
}

// running is the step that the state says is running: a scan's title is in no other place.
func (w *world) running() string {
	st, err := w.c.Resume()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range st.Steps {
		if s.Progress == Running {
			return s.Title
		}
	}
	w.t.Fatal("no step is running")
	return ""
}

func (w *world) Command(_ context.Context, step *Step) (Outcome, error) {
	w.point()
	if table := listings[step.Stage]; table != "" {
		if err := w.Recover(context.Background(), step); err != nil { // what another process had decided
			return Outcome{}, err
		}
		w.write("unfinished/"+table, "") // decided, and not done
		w.point()
		if err := w.Recover(context.Background(), step); err != nil {
			return Outcome{}, err
		}
		if w.fail {
			return Outcome{}, errors.New("broke off")
		}
	} else {
		w.write(string(step.Stage), step.Title)
	}
	w.point()
	return Outcome{}, nil
}

func (w *world) Recover(_ context.Context, step *Step) error {
	table := listings[step.Stage]
	pending := filepath.Join(w.c.Dataset, "unfinished", table)
	if _, err := os.Stat(pending); err != nil {
		return nil
	}
	w.n++
	w.write(fmt.Sprintf("%s/date=2026-11-23/family=%s/port=%d/probe=%s/%d.parquet", table, step.Family, step.Port, step.Probe, w.n), step.Name())
	return os.Remove(pending)
}

func (w *world) Potential(context.Context, string, *Step) (uint64, error) { return 7, nil }

// effects are what is in the dataset: how many files say the same.
func (w *world) effects() map[string]int {
	w.t.Helper()
	found := map[string]int{}
	err := filepath.WalkDir(w.c.Dataset, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == dataset.CampaignsFolder {
				return filepath.SkipDir
			}
			return nil
		}
		text, err := os.ReadFile(name)
		folder, _, _ := strings.Cut(strings.TrimPrefix(name, w.c.Dataset+"/"), "/")
		found[folder+": "+string(text)]++
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// run is a process that carries out the campaign, and says whether it lived.
func (w *world) run() (lived bool) {
	w.t.Helper()
	defer func() {
		if r := recover(); r != nil {
			if _, dead := r.(death); !dead {
				panic(r)
			}
		}
	}()
	begun, err := w.c.Begun()
	if err != nil {
		w.t.Fatal(err)
	}
	open := w.c.Resume
	if !begun {
		open = func() (*State, error) { return w.c.Begin("test") }
	}
	st, err := open()
	if err != nil {
		w.t.Fatal(err)
	}
	save := func() error {
		w.point()
		text, err := json.Marshal(st)
		w.write(filepath.Join(dataset.CampaignsFolder, w.c.Name, stateName), string(text))
		w.point()
		return err
	}
	r := &runner{st, w, "test", save, func() {}}
	if err := r.run(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if !st.Finished() {
		w.t.Fatal("it ended, and is not finished")
	}
	return true
}

// lethal has all that can be killed in one way of its own, and no more.
const lethal = minimal + "probes: [v1]\nshards: 2\ntrace: {}\nverify: {}\n"

const whole = minimal + `probes: [plain, v1]
shards: 2
trace: {}
verify: {}
report: report
`

func newWorld(t *testing.T, text string) *world {
	return &world{t: t, c: mustLoad(t, text), scanned: map[string]int{}}
}

// A process dies at each point that there is, then another goes on: the dataset is that of an undisturbed
// campaign, and a death costs one shard at most. After a death when the first spool was whole, and nobody knew,
// a second process dies at each point.
func TestKilledAnywhere(t *testing.T) {
	calm := newWorld(t, lethal)
	if !calm.run() {
		t.Fatal("died")
	}
	want := calm.effects()
	if len(want) != 2+2+1+1 || calm.points < 40 {
		t.Fatalf("%d points, effects %v", calm.points, want)
	}
	for first := 1; first <= calm.points; first++ {
		seconds := []int{0}
		if first == 6 {
			for second := 1; second <= calm.points; second++ {
				seconds = append(seconds, second)
			}
		}
		for _, second := range seconds {
			w := newWorld(t, lethal)
			deaths := 0
			for _, w.dieAt = range []int{first, second, 0} {
				w.points = 0
				if !w.run() {
					deaths++
				}
			}
			if got := w.effects(); !maps.Equal(got, want) {
				t.Fatalf("killed at %d and %d: %v, want %v", first, second, got, want)
			}
			again := 0
			for _, n := range w.scanned {
				again += n - 1
			}
			if again > deaths {
				t.Errorf("killed at %d and %d: %d shards scanned again", first, second, again)
			}
		}
	}
}

// What a follow-up left in the dataset before it failed is not taken for its whole work.
func TestFollowUpThatFailed(t *testing.T) {
	w := newWorld(t, minimal+"probes: [v1]\nverify: {}\n")
	w.fail = true
	st, err := w.c.Begin("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Run(t.Context(), w, "test", func() {}); err == nil || !strings.HasPrefix(err.Error(), "verify ipv4 443 v1: broke off") {
		t.Fatal(err)
	}
	w.fail = false
	w.run()
	if n := w.effects()["verifications: verify ipv4 443 v1"]; n != 2 {
		t.Errorf("%d verifications, want the one that broke off and another", n)
	}
}

// trace and verify would follow up somebody else's scan.
func TestNewerScans(t *testing.T) {
	w := newWorld(t, minimal+"probes: [v1]\ntrace: {}\n")
	w.write("scans/date=2999-01-01/family=ipv4/port=443/probe=v1/x.parquet", "")
	st, err := w.c.Begin("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Run(t.Context(), w, "test", func() {}); err == nil || !strings.Contains(err.Error(), "date=2999-01-01") {
		t.Errorf("%v: want a word on the newer scan", err)
	}
}

// All scans have the date of the first, whatever the day on which they go on.
func TestOneDate(t *testing.T) {
	w := newWorld(t, minimal+"shards: 2\nprobes: [v1]\n")
	st, err := w.c.Begin("test")
	if err != nil {
		t.Fatal(err)
	}
	st.Date = "2026-11-22"
	dates := map[string]bool{}
	if err := st.Run(t.Context(), &dated{w, dates}, "test", func() {}); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(dates, map[string]bool{"2026-11-22": true}) {
		t.Errorf("dates %v", dates)
	}
}

type dated struct {
	*world
	dates map[string]bool
}

func (d *dated) Scan(ctx context.Context, order ScanOrder) (Outcome, error) {
	d.dates[order.Date] = true
	return d.world.Scan(ctx, order)
}

// A campaign that has begun is what it was: each change is named, and what says the same is no change.
func TestChanges(t *testing.T) {
	for name, test := range map[string]struct{ old, new, want string }{
		"none":     {"", "", ""},
		"comment":  {"name: test", "# a campaign\nname:   'test'", ""},
		"default":  {"ports", "rate: 1000\nports", ""},
		"rate":     {"ports", "rate: 2000\nports", "rate: 1000, now 2000"},
		"port":     {"[443]", "[443, 80]", "ports[1]: not there, now 80"},
		"trace":    {"ports", "trace: {}\nports", `trace.ttl: not there, now "1-24"`},
		"targets":  {"/24", "/25", `targets.ipv4.addresses[0]: "198.18.0.0/24", now "198.18.0.0/25"`},
		"seed":     {"ports", "seed: 9223372036854775807\nports", "seed: not there, now 9223372036854775807"},
		"new name": {"name: test", "name: other", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "c.yaml")
			read := func(text string) *Campaign {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				c, err := Load(file)
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			st, err := read(minimal).Begin("test")
			if err != nil {
				t.Fatal(err)
			}
			if err := st.save(); err != nil {
				t.Fatal(err)
			}
			changed := read(strings.Replace(minimal, test.old, test.new, 1))
			begun, err := changed.Begun()
			if err != nil || begun == (name == "new name") {
				t.Fatalf("begun %t, %v", begun, err)
			}
			if !begun {
				return
			}
			_, err = changed.Resume()
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// A file that is not what it was is a change, too.
func TestChangedInput(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("blocked", "192.0.2.0/24\n")
	write("c.yaml", strings.Replace(minimal, "default", "blocked", 1))
	c, err := Load(filepath.Join(dir, "c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.Begin("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.save(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	write("blocked", "192.0.2.0/25\n")
	if _, err := c.Resume(); err == nil || !strings.Contains(err.Error(), "the content of "+filepath.Join(dir, "blocked")) {
		t.Errorf("%v: want the file's name", err)
	}
}

// A file that changes while the campaign runs ends it before the next step reads it.
func TestInputChangedMeanwhile(t *testing.T) {
	blocklist := filepath.Join(t.TempDir(), "blocked")
	write := func(text string) {
		if err := os.WriteFile(blocklist, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("192.0.2.0/24\n")
	w := newWorld(t, strings.Replace(minimal, "default", blocklist, 1)+"shards: 2\nprobes: [v1]\n")
	st, err := w.c.Begin("test")
	if err != nil {
		t.Fatal(err)
	}
	err = st.Run(t.Context(), w, "test", func() {
		if st.Steps[0].Progress == Done {
			write("192.0.2.0/25\n")
		}
	})
	if err == nil || !strings.Contains(err.Error(), "the content of "+blocklist) {
		t.Errorf("%v: want the file's name", err)
	}
	if st.Steps[0].Progress != Done || len(w.scanned) != 1 {
		t.Errorf("first step %s, scans %v", st.Steps[0].Progress, w.scanned)
	}
}

// A trace that somebody else's process left unfinished is not taken for the campaign's own.
func TestForeignFollowUp(t *testing.T) {
	for die := 1; ; die++ {
		w := newWorld(t, minimal+"probes: [v1]\ntrace: {}\n")
		w.write("unfinished/"+dataset.TracesTable, "")
		w.dieAt = die
		if w.run() {
			return
		}
		w.dieAt = 0
		w.run()
		if n := w.effects()["traces: trace ipv4 443 v1"]; n != 2 {
			t.Fatalf("killed at %d: %d traces, want somebody else's and the campaign's", die, n)
		}
	}
}

// The plan has each scan once, with the probes of a shard side by side, and all that follows them.
func TestPlan(t *testing.T) {
	steps, err := mustLoad(t, whole).Plan(42)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range steps {
		names = append(names, s.Name())
	}
	want := []string{
		"scan ipv4 443 plain shard 0 of 2", "scan ipv4 443 v1 shard 0 of 2",
		"scan ipv4 443 plain shard 1 of 2", "scan ipv4 443 v1 shard 1 of 2",
		"classify", "trace ipv4 443 v1", "verify ipv4 443 v1", "conclude", "report",
	}
	if !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
	if command := strings.Join(steps[3].Arguments, " "); !strings.Contains(command, "--probe v1 --shards 2 --shard 1 --seed 42 --rate 1000 --cooldown 8 198.18.0.0/24") {
		t.Errorf("%q", command)
	}
	if s := steps[7].Arguments; !slices.Equal(s[:1], []string{"classify"}) {
		t.Errorf("%q", s)
	}
}
