package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// lab is the lab that mpcensus made, and in which everything runs.
type lab struct {
	mpcensus string
	dir      string
	rate     int    // of our probes, a second
	lost     uint64 // answers that our runs lost
}

func (l *lab) up(ctx context.Context) error {
	if _, err := run(ctx, l.mpcensus, "lab", "up", "--dir", l.dir); err != nil {
		return err
	}
	if err := l.isolated(ctx); err != nil {
		return errors.Join(err, l.down(ctx))
	}
	return nil
}

func (l *lab) down(ctx context.Context) error {
	_, err := run(ctx, l.mpcensus, "lab", "down", "--dir", l.dir)
	return err
}

// isolated makes sure that what runs in the lab is in a network namespace of the lab's own: another one than ours,
// with none but the lab's interfaces.
func (l *lab) isolated(ctx context.Context) error {
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return err
	}
	theirs, err := l.exec(ctx, "readlink", "/proc/self/ns/net")
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(theirs)) == ours {
		return errors.New("lab exec does not leave this network namespace: nothing is sent")
	}
	text, err := l.exec(ctx, "ip", "-json", "link")
	if err != nil {
		return err
	}
	var links []struct{ Ifname string }
	if err := json.Unmarshal(text, &links); err != nil {
		return err
	}
	for _, link := range links {
		if link.Ifname != "lo" && link.Ifname != "scan0" && link.Ifname != "scan6" {
			return fmt.Errorf("the lab has an interface %s: nothing is sent", link.Ifname)
		}
	}
	return nil
}

// exec runs a command where the lab's scanner stands.
func (l *lab) exec(ctx context.Context, command ...string) ([]byte, error) {
	return run(ctx, l.mpcensus, append([]string{"lab", "exec", "--dir", l.dir, "--"}, command...)...)
}

// trace traces targets of a family into a new dataset, and counts what was lost.
func (l *lab) trace(ctx context.Context, census, family string, targets ...string) error {
	if err := os.Mkdir(census, 0o755); err != nil {
		return err
	}
	_, err := l.exec(ctx, append([]string{l.mpcensus, "trace", "--dataset", census, "--port", port, "--family", family,
		"--ttl", fmt.Sprintf("%d-%d", firstTTL, lastTTL), "--rate", strconv.Itoa(l.rate), "--cooldown", cooldown,
		"--blocklist", filepath.Join(l.dir, "blocklist.conf")}, targets...)...)
	if err != nil {
		return err
	}
	rows, err := l.query(ctx, census, "SELECT sum(send_failures + kernel_drops)::BIGINT FROM traces")
	if err != nil {
		return err
	}
	lost, err := strconv.ParseUint(rows[0][0], 10, 64)
	l.lost += lost
	return err
}

// chooseRate finds out how fast we can trace without loss.
func (l *lab) chooseRate(ctx context.Context, dir string) error {
	for _, l.rate = range rates {
		l.lost = 0
		census := filepath.Join(dir, fmt.Sprint("rate", l.rate))
		if err := l.trace(ctx, census, "ipv4", tried); err != nil {
			return err
		}
		if err := os.RemoveAll(census); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "mpcensus trace --rate %d: %d answers lost\n", l.rate, l.lost)
		if l.lost == 0 {
			return nil
		}
	}
	return fmt.Errorf("answers are lost at %d probes a second, too: leave the machine alone meanwhile", l.rate)
}

// query returns the rows of a query, without the header.
func (l *lab) query(ctx context.Context, census, sql string) ([][]string, error) {
	text, err := run(ctx, l.mpcensus, "query", "--dataset", census, "--format", "csv", sql)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(rows) < 2 {
		return nil, errors.Join(err, fmt.Errorf("%s: no rows", sql))
	}
	return rows[1:], nil
}

// place is a hop of the way to a target.
type place struct {
	target netip.Addr
	ttl    int
}

// hops are the routers that a trace found at each place on the way to some targets.
func (l *lab) hops(ctx context.Context, census string, targets []netip.Addr) (map[place][]netip.Addr, error) {
	wanted := make(map[netip.Addr]bool)
	for _, target := range targets {
		wanted[target] = true
	}
	rows, err := l.query(ctx, census, "SELECT DISTINCT target, probe_ttl, responder FROM hops WHERE answer = 'time-exceeded'")
	if err != nil {
		return nil, err
	}
	found := make(map[place][]netip.Addr)
	for _, row := range rows {
		target, err := netip.ParseAddr(row[0])
		if err != nil {
			return nil, err
		}
		if !wanted[target] {
			continue
		}
		ttl, err := strconv.Atoi(row[1])
		if err != nil {
			return nil, err
		}
		responder, err := netip.ParseAddr(row[2])
		if err != nil {
			return nil, err
		}
		at := place{target, ttl}
		found[at] = append(found[at], responder)
	}
	return found, nil
}

// scamperCommand traces by SYNs to our port, without a limit of hops but those of silence.
const scamperCommand = "trace -P tcp -d " + port

// scamperTrace is a trace as sc_warts2json prints it.
type scamperTrace struct {
	Type string
	Dst  netip.Addr
	Hops []struct {
		Addr     netip.Addr
		ProbeTTL int  `json:"probe_ttl"`
		ICMPType *int `json:"icmp_type"` // of ICMP
	}
}

// scamper traces targets by scamper, as fast as it goes, into a file of its own format.
func (l *lab) scamper(ctx context.Context, warts string, targets []netip.Addr) error {
	var lines strings.Builder
	for _, target := range targets {
		fmt.Fprintln(&lines, target)
	}
	list := warts + ".txt"
	if err := os.WriteFile(list, []byte(lines.String()), 0o644); err != nil {
		return err
	}
	_, err := l.exec(ctx, "scamper", "-O", "warts", "-o", warts, "-c", scamperCommand, "-p", scamperRate, "-f", list)
	return err
}

func readWarts(ctx context.Context, name string) (traces []scamperTrace, err error) {
	text, err := run(ctx, "sc_warts2json", name)
	if err != nil {
		return nil, err
	}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var trace scamperTrace
		if err := d.Decode(&trace); errors.Is(err, io.EOF) {
			return traces, nil
		} else if err != nil {
			return nil, fmt.Errorf("sc_warts2json %s: %w", name, err)
		}
		if trace.Type == "trace" {
			traces = append(traces, trace)
		}
	}
}

// sampleOf draws n different targets, the same in every run.
func sampleOf(n int) (sample []netip.Addr) {
	first := netip.MustParsePrefix(space).Addr().As4()
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(targets)[:n] {
		sample = append(sample, netip.AddrFrom4([4]byte{first[0], first[1], byte(i >> 8), byte(i)}))
	}
	return sample
}

// run returns what a command prints; its error says what the command said last.
func run(ctx context.Context, name string, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, arguments...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("%s: %w: %s", command, err, lines[len(lines)-1])
	}
	return out, nil
}
