package zmap

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// seedTries bounds the restarts after ZMap's abort on an unlucky seed.
const seedTries = 8

// maxComplaints is how many of ZMap's messages an error shows: its cause and what gave up over it.
const maxComplaints = 2

// killDelay is how long an interrupted ZMap may take to end.
const killDelay = 5 * time.Second

// Process is a running ZMap. Read Rows to its end, then call Wait.
type Process struct {
	Rows      io.Reader // JSON rows, one a line
	Arguments []string  // the command line, program first
	Seed      uint64
	Started   time.Time
	// NothingToSend says that no target is in this shard; ZMap has ended.
	NothingToSend bool

	cmd          *exec.Cmd
	backlogDrops backlogDrops // when it started
	metadataFile string
	countsPrefix string        // of the line with the module's counts
	underWay     chan struct{} // closed when a probe is known to have been sent
	stderrDone   chan struct{} // closed when ZMap's messages have ended
	// What ZMap's messages said; read after stderrDone.
	complaints []string // ZMap's last errors
	counted    []moduleCounts
}

// Result is what a scan that ended well tells of itself.
type Result struct {
	Targets sql.Null[uint64] // of all shards
	Counts  Counts
}

// Start runs ZMap with the probe module and returns when it sends. status gets ZMap's status
// lines, one a second; warn its warnings and errors. Both are called from another goroutine.
// Cancelling ctx interrupts ZMap.
//
// ZMap 2.1.1 aborts on an assertion for about one seed in 257 when there are at most 256 targets (its
// cycle then begins at offset 0). The next seed takes its place: all shards of a scan, on whatever
// machines, and all scans of the same number of targets agree on it, as only seed and number decide.
func Start(ctx context.Context, zmap Installation, scan Scan, status, warn func(line string)) (*Process, error) {
	seed := scan.Seed
	if seed == 0 {
		var err error
		if seed, err = randomSeed(); err != nil {
			return nil, err
		}
	}
	var err error
	for range seedTries {
		var p *Process
		if p, err = launch(ctx, zmap, scan, seed, status, warn); err != nil {
			return nil, err
		}
		select {
		case <-p.underWay:
			return p, nil
		case <-p.stderrDone:
			// Both may have happened by now.
			select {
			case <-p.underWay:
				return p, nil
			default:
			}
		}
		// ZMap ended, and neither its monitor nor a reply tells of a probe.
		_, _ = io.Copy(io.Discard, p.Rows)
		if _, err = p.Wait(); err == nil {
			return nil, fmt.Errorf("%s ended without sending anything", zmap.Path)
		}
		if ctx.Err() != nil || !aborted(err) {
			return nil, err
		}
		// It aborts as well when a shard has no target, as happens to small lists in many shards.
		if scan.Shards > 1 && permutes(ctx, zmap, scan, seed) {
			p.NothingToSend, p.Rows = true, strings.NewReader("")
			return p, nil
		}
		seed = seed%math.MaxInt64 + 1
	}
	return nil, err
}

func aborted(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGABRT
}

// permutes asks ZMap, by a dry run, whether it can permute all targets of a scan with this seed.
func permutes(ctx context.Context, zmap Installation, scan Scan, seed uint64) bool {
	scan.Shards, scan.Shard, scan.Cooldown = 1, 0, 0
	args := append(scan.arguments(zmap, seed, os.DevNull), "--dryrun", "--max-targets=1", "--quiet")
	dry := exec.CommandContext(ctx, zmap.Path, args...)
	dry.Env = zmap.environment()
	return !aborted(dry.Run())
}

func launch(ctx context.Context, zmap Installation, scan Scan, seed uint64, status, warn func(string)) (*Process, error) {
	metadata, err := os.CreateTemp("", "zmap-metadata-*.json")
	if err != nil {
		return nil, fmt.Errorf("file for ZMap's metadata: %w", err)
	}
	metadata.Close()
	p := &Process{
		Seed:         seed,
		metadataFile: metadata.Name(),
		countsPrefix: scan.moduleName() + countsMark,
		underWay:     make(chan struct{}),
		stderrDone:   make(chan struct{}),
	}
	p.cmd = exec.CommandContext(ctx, zmap.Path, scan.arguments(zmap, seed, p.metadataFile)...)
	p.Arguments = p.cmd.Args
	p.cmd.Env = zmap.environment()
	// In its own process group, so that a Ctrl-C on the terminal reaches ZMap through ctx alone.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The whole group: the binary may be a script around ZMap.
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT) }
	p.cmd.WaitDelay = killDelay
	rows, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, p.abandon(err)
	}
	messages, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, p.abandon(err)
	}
	// Where it cannot be read, the scan's count is NULL.
	p.backlogDrops, _ = readBacklogDrops(softnetStat)
	p.Started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, p.abandon(err)
	}
	begun := sync.OnceFunc(func() { close(p.underWay) })
	p.Rows = awaitFirst(rows.(*os.File), begun)
	go p.readMessages(messages, begun, status, warn)
	return p, nil
}

func (p *Process) abandon(err error) error {
	os.Remove(p.metadataFile)
	return fmt.Errorf("starting ZMap: %w", err)
}

// logPrefix is what ZMap puts before a message: "Nov 23 09:11:15.042 [FATAL] zmap: …".
var logPrefix = regexp.MustCompile(`^[A-Z][a-z]{2} [ \d]\d [\d:.]+ \[([A-Z]+)\] `)

// awaited is a reader whose first byte somebody is waiting for.
type awaited struct {
	// Not embedded: io.Copy would find its WriteTo, and not wait.
	buffered     *bufio.Reader
	waiting      chan struct{} // closed when the byte, or the end, has come
	syscall.Conn               // of the pipe, so that it can be enlarged
}

// awaitFirst calls arrived when r has something to read, without taking it.
func awaitFirst(r *os.File, arrived func()) io.Reader {
	a := awaited{bufio.NewReader(r), make(chan struct{}), r}
	go func() {
		defer close(a.waiting)
		if _, err := a.buffered.Peek(1); err == nil {
			arrived()
		}
	}()
	return a
}

func (a awaited) Read(p []byte) (int, error) {
	<-a.waiting
	return a.buffered.Read(p)
}

// sentStatus is ZMap's once-a-second status, as in "0:03 41%; send: 30000 10.0 Kp/s …".
var sentStatus = regexp.MustCompile(`; send: (\d+) (done)?`)

func (p *Process) readMessages(messages io.Reader, begin func(), status, warn func(string)) {
	defer close(p.stderrDone)
	lines := bufio.NewScanner(messages)
	begun := false
	var early []string // warnings from before the first probe, of use only if it is sent
	last := ""
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		level := ""
		if prefix := logPrefix.FindStringSubmatch(line); prefix != nil {
			level = prefix[1]
			line = line[len(prefix[0]):]
			// ZMap 4 complains of each of a packet's tries.
			if line == last {
				continue
			}
			last = line
		}
		switch {
		case line == "":
		case strings.HasPrefix(line, p.countsPrefix):
			counts, err := parseModuleCounts(strings.TrimPrefix(line, p.countsPrefix))
			if err != nil {
				warn(fmt.Sprintf("the probe module's counts cannot be read: %v", err))
				break
			}
			p.counted = append(p.counted, counts)
		case sentStatus.MatchString(line):
			sent := sentStatus.FindStringSubmatch(line)
			if !begun && sent[1] == "0" && sent[2] == "" {
				break // the abort of an unlucky seed can still come
			}
			if !begun {
				begun = true
				begin()
				p.complaints = nil
				for _, warning := range early {
					warn(warning)
				}
			}
			status(line)
		case level != "FATAL" && begun:
			warn(line)
		case level == "WARN":
			early = append(early, line)
		default:
			p.complaints = append(p.complaints, line)
			if len(p.complaints) > maxComplaints {
				p.complaints = p.complaints[1:]
			}
		}
	}
	// A line beyond the scanner's limit ends the scanning, not the pipe: ZMap must not block on it.
	_, _ = io.Copy(io.Discard, messages)
}

// Wait waits for ZMap to end and returns what was counted. Rows must have been read to its end.
// When ZMap failed, the error has its last messages.
func (p *Process) Wait() (Result, error) {
	if p.NothingToSend {
		none := sql.Null[uint64]{Valid: true}
		return Result{Counts: Counts{ProbesSent: none, SendFailures: none}}, nil
	}
	defer os.Remove(p.metadataFile)
	<-p.stderrDone
	if err := p.cmd.Wait(); err != nil {
		return Result{}, fmt.Errorf("zmap failed: %s%w", complaintText(p.complaints), err)
	}
	metadata, err := readMetadata(p.metadataFile)
	if err != nil {
		return Result{}, err
	}
	var module moduleCounts
	if len(p.counted) == 1 { // of several, nobody knows which is right
		module = p.counted[0]
	}
	counts := metadata.counts(module)
	if dropped, err := readBacklogDrops(softnetStat); err == nil {
		counts.BacklogDrops = dropped.since(p.backlogDrops)
	}
	return Result{Targets: metadata.allowed(), Counts: counts}, nil
}

func complaintText(complaints []string) string {
	if complaints == nil {
		return ""
	}
	return strings.Join(complaints, "; ") + "; "
}

// randomSeed returns 63 random bits: ZMap reads a signed integer.
func randomSeed() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("random seed: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]) >> 1, nil
}
