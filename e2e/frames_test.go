package e2e

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/lab/scenario"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// TestFramesReadByTshark captures one v0 and one v1 probe with their answers, and has Wireshark's
// dissectors judge every frame and name the keys that our rows claim.
func TestFramesReadByTshark(t *testing.T) {
	require(t, "tcpdump", "tshark", "mergecap")
	l := labUp(t)
	for _, c := range []struct {
		probe, target string
		sentKey       bool // the SYN carries our key
	}{
		{"v0", simulated(t, netip.Addr.Is4, scenario.TrueV0), true},
		{"v1", simulated(t, netip.Addr.Is4, scenario.TrueV1), false},
		{"v1", "198.19.0.1", false}, // a real kernel
		{"v0", simulated(t, netip.Addr.Is6, scenario.TrueV0), true},
		{"v1", simulated(t, netip.Addr.Is6, scenario.TrueV1), false},
		{"v1", "2001:db8:ffff:a::1", false}, // a real kernel
	} {
		t.Run(c.probe+" "+c.target, func(t *testing.T) {
			dir := t.TempDir()
			pcap := filepath.Join(dir, "frames.pcap")
			stop := l.capture(pcap, "tcp and host "+c.target)
			mustRun(t, mpcensus, l.scan(filepath.Join(dir, "census"), "443", c.probe, c.target)...)
			stop()

			frames := dissect(t, pcap)
			syn, synack := frames[0], frames[1]
			for i, f := range frames {
				if f.complaints != "" {
					t.Errorf("tshark complains about frame %d: %s", i+1, f.complaints)
				}
			}
			sent, returned := rowKeys(t, filepath.Join(dir, "census"))
			if c.sentKey && (syn.key == "" || syn.key != sent) {
				t.Errorf("the SYN's key is %q, the row's sent_key %q", syn.key, sent)
			}
			if !c.sentKey && (syn.key != "" || sent != "") {
				t.Errorf("a v1 SYN carries no key, but tshark reads %q and the row says %q", syn.key, sent)
			}
			if synack.key == "" || synack.key != returned {
				t.Errorf("the SYN-ACK's key is %q, the row's sender_key %q", synack.key, returned)
			}
			if want := strings.TrimPrefix(c.probe, "v"); syn.version != want || synack.version != want {
				t.Errorf("MPTCP versions %q and %q, want %s", syn.version, synack.version, want)
			}
		})
	}
}

// simulated is an address of the default population, of one family and with the given behaviour on
// port 443.
func simulated(t *testing.T, family func(netip.Addr) bool, b scenario.Behaviour) string {
	t.Helper()
	s := scenario.Default()
	for a := range s.Addresses {
		if family(a) && s.Behaviour(a, 443) == b {
			return a.String()
		}
	}
	t.Fatalf("nobody in the population is %s", b)
	return ""
}

// capture starts to write what arrives at either end of the scanner's link into one file, and returns
// when both listen. Probes and simulated hosts send past captures of what leaves. stop ends it with all
// frames written.
func (l lab) capture(pcap, filter string) (stop func()) {
	l.t.Helper()
	here, there := pcap+".scan0", pcap+".net0"
	stopHere := l.captureArriving("scanner", "scan0", here, filter)
	stopThere := l.captureArriving("internet", "net0", there, filter)
	return func() {
		l.t.Helper()
		stopHere()
		stopThere()
		mustRun(l.t, "mergecap", "-F", "pcap", "-w", pcap, here, there)
	}
}

func (l lab) captureArriving(namespace, link, pcap, filter string) (stop func()) {
	l.t.Helper()
	// -Z root: tcpdump would otherwise change to a user who cannot write here.
	cmd := exec.Command(mpcensus, "lab", "exec", "--dir", l.dir, "--in", namespace, "--",
		"tcpdump", "-i", link, "-Q", "in", "-U", "-Z", "root", "-w", pcap, filter)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	messages := bufio.NewScanner(stderr)
	listening := false
	for !listening && messages.Scan() {
		listening = strings.Contains(messages.Text(), "listening on "+link)
	}
	if !listening {
		l.t.Fatal("tcpdump does not listen")
	}
	return func() {
		l.t.Helper()
		time.Sleep(200 * time.Millisecond) // libpcap's buffer timeout is 100 ms with -U
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			l.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, stderr)
		if err := cmd.Wait(); err != nil {
			l.t.Errorf("tcpdump: %v", err)
		}
	}
}

// frame is what tshark reads in one TCP segment.
type frame struct {
	version, key string // of MPTCP; the key in hex
	complaints   string
}

// dissect returns the SYN, the SYN-ACK, and what follows.
func dissect(t *testing.T, pcap string) []frame {
	t.Helper()
	out := mustRun(t, "tshark", "-r", pcap, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
		"-T", "fields", "-E", "separator=,", "-E", "quote=d", "-E", "occurrence=f",
		"-e", "tcp.flags.syn", "-e", "tcp.flags.ack",
		"-e", "tcp.options.mptcp.version", "-e", "tcp.options.mptcp.sendkey",
		"-e", "tcp.checksum.status", "-e", "ip.checksum.status", "-e", "_ws.malformed", "-e", "_ws.expert.severity", "-e", "_ws.expert.message", "-e", "ipv6.version")
	records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(records) < 2 {
		t.Fatalf("tshark read %d frames (%v):\n%s", len(records), err, out)
	}
	// Expert information up to the level of a note (as on a SYN) is no complaint; nor is the warning
	// that the scanner's kernel resets what it never asked for.
	const warning = 0x600000
	var frames []frame
	for _, r := range records {
		f := frame{version: r[2]}
		if r[3] != "" {
			f.key = fmt.Sprintf("%016x", number(t, r[3]))
		}
		// 1 is Good; an IPv6 header has no checksum.
		if r[4] != "1" || r[5] != "1" && r[9] == "" {
			f.complaints += "checksum status " + r[4] + ", " + r[5] + "; "
		}
		if r[6] != "" {
			f.complaints += "malformed; "
		}
		if r[7] != "" && number(t, r[7]) >= warning && r[8] != "Connection reset (RST)" {
			f.complaints += r[8]
		}
		frames = append(frames, f)
	}
	if records[0][0] != "1" || records[0][1] != "0" || records[1][0] != "1" || records[1][1] != "1" {
		t.Fatalf("the first two frames are not a SYN and a SYN-ACK:\n%s", out)
	}
	return frames
}

// rowKeys are the keys in the dataset's only reply, in hex, empty for NULL.
func rowKeys(t *testing.T, census string) (sent, returned string) {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.QueryRow(`SELECT coalesce(format('{:016x}', sent_key), ''), coalesce(format('{:016x}', sender_key), '') FROM replies`).
		Scan(&sent, &returned)
	if err != nil {
		t.Fatal(err)
	}
	return sent, returned
}
