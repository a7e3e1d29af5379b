package zmap

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
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

	cmd          *exec.Cmd
	metadataFile string
	underWay     chan struct{} // closed with the first status line
	stderrDone   chan struct{} // closed when ZMap's messages have ended
	complaints   []string      // ZMap's last errors; read after stderrDone
}

// Metadata is what ZMap tells of a finished scan in its metadata file.
type Metadata struct {
	Targets      uint64 `json:"blacklist_total_allowed"` // of all shards
	Sent         uint64 `json:"total_sent"`
	SendFailures uint64 `json:"send_to_failures"`
	PcapReceived uint64 `json:"pcap_recv"`
	PcapDropped  uint64 `json:"pcap_drop"`
	LinkDropped  uint64 `json:"pcap_ifdrop"`
}

// Start runs ZMap with the probe module and returns when it is under way. status gets ZMap's status
// lines, one a second; warn its warnings and errors. Both are called from another goroutine.
// Cancelling ctx interrupts ZMap.
func Start(ctx context.Context, zmap Installation, scan Scan, status, warn func(line string)) (*Process, error) {
	var err error
	for range seedTries {
		var p *Process
		if p, err = launch(ctx, zmap, scan, status, warn); err != nil {
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
		// Nothing was sent: ZMap ended before its monitor's first line.
		_, _ = io.Copy(io.Discard, p.Rows)
		if _, err = p.Wait(); err == nil {
			return nil, fmt.Errorf("%s ended before it sent anything", zmap.Path)
		}
		// ZMap 2.1.1 aborts on an assertion for about one seed in 257 when there are at most 256
		// targets (its cycle then begins at offset 0).
		var exit *exec.ExitError
		if ctx.Err() != nil || !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGABRT {
			return nil, err
		}
		if scan.Seed != 0 {
			return nil, fmt.Errorf("zmap cannot permute these targets with seed %d: choose another", scan.Seed)
		}
	}
	return nil, err
}

func launch(ctx context.Context, zmap Installation, scan Scan, status, warn func(string)) (*Process, error) {
	seed := scan.Seed
	if seed == 0 {
		var err error
		if seed, err = randomSeed(); err != nil {
			return nil, err
		}
	}
	metadata, err := os.CreateTemp("", "zmap-metadata-*.json")
	if err != nil {
		return nil, fmt.Errorf("file for ZMap's metadata: %w", err)
	}
	metadata.Close()
	p := &Process{
		Seed:         seed,
		metadataFile: metadata.Name(),
		underWay:     make(chan struct{}),
		stderrDone:   make(chan struct{}),
	}
	p.cmd = exec.CommandContext(ctx, zmap.Path, scan.arguments(seed, p.metadataFile)...)
	p.Arguments = p.cmd.Args
	p.cmd.Env = append(os.Environ(), "LD_PRELOAD="+zmap.Module)
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
	p.Rows = rows
	p.Started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, p.abandon(err)
	}
	go p.readMessages(messages, status, warn)
	return p, nil
}

func (p *Process) abandon(err error) error {
	os.Remove(p.metadataFile)
	return fmt.Errorf("starting ZMap: %w", err)
}

// logPrefix is what ZMap puts before a message: "Nov 23 09:11:15.042 [FATAL] zmap: …".
var logPrefix = regexp.MustCompile(`^[A-Z][a-z]{2} [ \d]\d [\d:.]+ \[([A-Z]+)\] `)

func (p *Process) readMessages(messages io.Reader, status, warn func(string)) {
	defer close(p.stderrDone)
	lines := bufio.NewScanner(messages)
	begun := false
	var early []string // warnings from before the first status line, of use only if it comes
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		level := ""
		if prefix := logPrefix.FindStringSubmatch(line); prefix != nil {
			level = prefix[1]
			line = line[len(prefix[0]):]
		}
		switch {
		case line == "":
		case isStatusLine(line):
			if !begun {
				begun = true
				close(p.underWay)
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

// Wait waits for ZMap to end and returns what it counted. Rows must have been read to its end.
// When ZMap failed, the error has its last messages.
func (p *Process) Wait() (Metadata, error) {
	defer os.Remove(p.metadataFile)
	<-p.stderrDone
	if err := p.cmd.Wait(); err != nil {
		return Metadata{}, fmt.Errorf("zmap failed: %s%w", complaintText(p.complaints), err)
	}
	text, err := os.ReadFile(p.metadataFile)
	if err != nil {
		return Metadata{}, fmt.Errorf("zmap's metadata: %w", err)
	}
	var metadata Metadata
	if err := json.Unmarshal(text, &metadata); err != nil {
		return Metadata{}, fmt.Errorf("zmap's metadata: %w", err)
	}
	return metadata, nil
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
