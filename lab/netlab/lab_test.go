package netlab

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// The test program also is the keeper, and the clients that run inside a lab.
func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "lab" && os.Args[2] == "keeper":
		err = Keep()
	case len(os.Args) == 2 && os.Args[1] == "connect":
		err = connectToHosts()
	case len(os.Args) == 2 && os.Args[1] == "probe":
		err = probeHosts()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// up starts a lab that ends with the test.
func up(t *testing.T) (dir string, s *State) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "lab")
	s, err := Up(context.Background(), dir, "default.yaml", scenario.DefaultYAML)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		withoutNamespaces(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Down(dir); err != nil && !errors.Is(err, ErrNotUp) {
			t.Error(err)
		}
	})
	if s.Problem != "" {
		t.Fatal(s.Problem)
	}
	return dir, s
}

// command prepares a command inside the lab.
func command(t *testing.T, dir string, argv ...string) *exec.Cmd {
	t.Helper()
	line, err := Command(dir, argv...)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stderr = os.Stderr
	return cmd
}

// inside runs a command in the lab and returns what it prints.
func inside(t *testing.T, dir string, argv ...string) string {
	t.Helper()
	out, err := command(t, dir, argv...).Output()
	if err != nil {
		t.Fatalf("%v: %v", argv, err)
	}
	return string(out)
}

// insideSelf runs this test program in the lab, by an open file: inside, its
// path may not be readable, and /proc/self is another program.
func insideSelf(t *testing.T, dir, mode string) string {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	cmd := command(t, dir, "/proc/self/fd/3", mode)
	cmd.ExtraFiles = []*os.File{self}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", mode, err)
	}
	return string(out)
}

func status(t *testing.T, dir string) *State {
	t.Helper()
	s, err := Status(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUpAndDown(t *testing.T) {
	dir, s := up(t)
	if s.Interface != "scan0" || s.Source != ScannerAddr || s.GatewayMAC != "02:00:00:13:ff:02" || s.Scenario != "default.yaml" {
		t.Errorf("state %+v", s)
	}
	if _, err := Up(context.Background(), dir, "default.yaml", scenario.DefaultYAML); !errors.Is(err, ErrUp) {
		t.Errorf("second up: %v", err)
	}
	if text, err := os.ReadFile(s.Blocklist); err != nil || string(text) != blocklist() {
		t.Errorf("blocklist %q, %v", text, err)
	}
	other, o := up(t) // labs do not disturb each other
	if o.PID == s.PID {
		t.Errorf("both labs have keeper %d", s.PID)
	}

	if err := Down(dir); err != nil {
		t.Fatal(err)
	}
	if err := Down(dir); !errors.Is(err, ErrNotUp) {
		t.Errorf("second down: %v", err)
	}
	if _, err := Status(dir); !errors.Is(err, ErrNotUp) {
		t.Errorf("status after down: %v", err)
	}
	if _, err := Command(dir, "true"); !errors.Is(err, ErrNotUp) {
		t.Errorf("exec after down: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("down left %v, %v", left, err)
	}
	if status(t, other).PID != o.PID {
		t.Error("the other lab is another")
	}
}

func TestUpRefuses(t *testing.T) {
	ctx := context.Background()
	if _, err := Up(ctx, filepath.Join(t.TempDir(), "lab"), "bad.yaml", []byte("seed: x")); err == nil || !strings.Contains(err.Error(), "bad.yaml:1") {
		t.Errorf("bad scenario: %v", err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Up(ctx, dir, "", scenario.DefaultYAML); err == nil || !strings.Contains(err.Error(), "others may write to it") {
		t.Errorf("directory open to all: %v", err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if _, err := Up(ctx, long, "", scenario.DefaultYAML); err == nil || !strings.Contains(err.Error(), "107 bytes") {
		t.Errorf("long path: %v", err)
	}
}

// A killed keeper leaves files, but nothing that stands in the way.
func TestKilledKeeper(t *testing.T) {
	dir, s := up(t)
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var again *State
	err := ErrUp // for the moment that the kernel needs to end it
	for start := time.Now(); errors.Is(err, ErrUp) && time.Since(start) < 5*time.Second; time.Sleep(10 * time.Millisecond) {
		again, err = Up(context.Background(), dir, "default.yaml", scenario.DefaultYAML)
	}
	if err != nil || again.PID == s.PID {
		t.Fatalf("up again: %v, %v", again, err)
	}
}

func TestExec(t *testing.T) {
	dir, _ := up(t)
	if links := inside(t, dir, "ip", "-brief", "link"); strings.Count(links, "\n") != 2 || !strings.Contains(links, "scan0") {
		t.Errorf("interfaces inside, want lo and scan0:\n%s", links)
	}
	var failed *exec.ExitError
	if err := command(t, dir, "sh", "-c", "exit 7").Run(); !errors.As(err, &failed) || failed.ExitCode() != 7 {
		t.Errorf("exit 7 came out as %v", err)
	}
	sleep := command(t, dir, "sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	sleep.Process.Signal(syscall.SIGTERM)
	if err := sleep.Wait(); !errors.As(err, &failed) || failed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("a terminated command came out as %v", err)
	}
	// What a command changes inside is seen before the next one runs.
	inside(t, dir, "ip", "link", "add", "leak", "type", "bridge")
	if _, err := Command(dir, "true"); err == nil || !strings.Contains(err.Error(), "interface leak is a bridge") {
		t.Errorf("a foreign interface: %v", err)
	}
}

// connectToHosts runs inside the lab: it fetches a page from each real host
// over MPTCP and prints whether MPTCP was in use after the answer.
func connectToHosts() error {
	var dialer net.Dialer
	dialer.SetMultipathTCP(true)
	dialer.Timeout = 5 * time.Second
	for _, h := range scenario.Hosts {
		for _, port := range scenario.HostPorts {
			conn, err := dialer.Dial("tcp", netip.AddrPortFrom(h.Addr, port).String())
			if err != nil {
				return err
			}
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
			answer := new(bytes.Buffer)
			if _, err := answer.ReadFrom(conn); err != nil {
				return err
			}
			mptcp, err := conn.(*net.TCPConn).MultipathTCP()
			if err != nil {
				return err
			}
			_, body, _ := strings.Cut(answer.String(), "\r\n\r\n")
			fmt.Printf("%s:%d %s %t\n", h.Addr, port, strings.TrimSpace(body), mptcp)
			conn.Close()
		}
	}
	return nil
}

func TestConnectToRealHosts(t *testing.T) {
	dir, _ := up(t)
	const want = `198.19.0.1:80 mptcp1 true
198.19.0.1:443 mptcp1 true
198.19.0.2:80 mptcp2 true
198.19.0.2:443 mptcp2 true
198.19.0.3:80 tcp false
198.19.0.3:443 tcp false
198.19.0.4:80 stripped false
198.19.0.4:443 stripped false
`
	if got := insideSelf(t, dir, "connect"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

var probeOptions = [scenario.Probes]string{
	scenario.Plain: "020405b4",
	scenario.V0:    "020405b4" + "1e0c0081" + "8001020408102041",
	scenario.V1:    "020405b4" + "1e040101",
}

// probeHosts runs inside the lab: it sends each kind of SYN to the real hosts
// by a raw socket, and prints the MPTCP option of the SYN-ACK.
func probeHosts() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return err
	}
	// The same ports for each probe, as scans from a fixed port would: the
	// counters must tell them apart.
	for _, p := range []scenario.Probe{scenario.V0, scenario.Plain, scenario.V1, scenario.V0} {
		for _, h := range scenario.Hosts {
			syn := []byte("\x9c\x40\x01\xbb\x00\x00\x00\x07\x00\x00\x00\x00\x00\x02\xff\xff\x00\x00\x00\x00")
			options, err := hex.DecodeString(probeOptions[p])
			if err != nil {
				return err
			}
			syn = append(syn, options...)
			syn[12] = byte(len(syn)/4) << 4
			pseudo := slices.Concat(ScannerAddr.AsSlice(), h.Addr.AsSlice(), []byte{0, unix.IPPROTO_TCP, 0, byte(len(syn))}, syn)
			sum := uint32(0)
			for i := 0; i < len(pseudo); i += 2 {
				sum += uint32(binary.BigEndian.Uint16(pseudo[i:]))
			}
			binary.BigEndian.PutUint16(syn[16:], ^uint16(sum%0xffff))
			if err := unix.Sendto(fd, syn, 0, &unix.SockaddrInet4{Addr: h.Addr.As4()}); err != nil {
				return err
			}
			packet := make([]byte, 1500)
			n, _, err := unix.Recvfrom(fd, packet, 0)
			if err != nil {
				return fmt.Errorf("%s probed with %s: %w", h.Name, p, err)
			}
			tcp := packet[20:n]
			found := "no MP_CAPABLE"
			if at := bytes.Index(tcp[20:], []byte{0x1e, 0x0c}); at >= 0 {
				found = fmt.Sprintf("MP_CAPABLE version %d", tcp[20+at+2])
			}
			fmt.Printf("%s %s flags %02x %s\n", p, h.Name, tcp[13], found)
		}
	}
	return nil
}

func TestProbeRealHosts(t *testing.T) {
	dir, _ := up(t)
	const plain = "%[1]s mptcp1 flags 12 no MP_CAPABLE\n%[1]s mptcp2 flags 12 no MP_CAPABLE\n%[1]s tcp flags 12 no MP_CAPABLE\n%[1]s stripped flags 12 no MP_CAPABLE\n"
	want := fmt.Sprintf(plain, "v0") + fmt.Sprintf(plain, "plain") +
		"v1 mptcp1 flags 12 MP_CAPABLE version 1\nv1 mptcp2 flags 12 MP_CAPABLE version 1\nv1 tcp flags 12 no MP_CAPABLE\nv1 stripped flags 12 no MP_CAPABLE\n" +
		fmt.Sprintf(plain, "v0")
	if got := insideSelf(t, dir, "probe"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	s := status(t, dir)
	for probe, want := range map[string]uint64{"v0": 8, "plain": 4, "v1": 4} {
		if got := s.Replies(443, probe); got != want {
			t.Errorf("%d replies to %s counted, want %d: %+v", got, probe, want, s.Hosts)
		}
	}
}

// snmp reads a counter of the scanner's kernel (/proc/net/snmp).
func snmp(t *testing.T, dir, protocol, name string) (value uint64) {
	t.Helper()
	var names []string
	for line := range strings.Lines(inside(t, dir, "cat", "/proc/net/snmp")) {
		words := strings.Fields(line)
		if words[0] != protocol+":" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		if _, err := fmt.Sscan(words[slices.Index(names, name)], &value); err != nil {
			t.Fatal(err)
		}
	}
	return value
}

// A whole scan by the real ZMap: every SYN is answered as the scenario says,
// nothing is lost on the way back, and no kernel adds anything.
func TestScan(t *testing.T) {
	zmap, err := exec.LookPath("zmap")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("zmap is missing: install it")
		}
		t.Skip("zmap is missing")
	}
	dir, s := up(t)
	config := filepath.Join(dir, "zmap.conf")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(config)
	// Its rows are not counted: two threads of stock ZMap 2.1.1 share the
	// buffer of validate_gen, and it loses some replies to that.
	inside(t, dir, zmap, "-M", "tcp_synscan", "-p", "443", "-i", s.Interface, "-S", s.Source.String(), "-G", s.GatewayMAC,
		"-C", config, "-b", s.Blocklist, "-r", "20000", "-c", "1", "-q", "--output-module=json", "-o", "/dev/null", "198.18.0.0/16")

	s = status(t, dir)
	p := s.Population
	if p.SYNs != 65536 || p.Dropped != 0 || p.Unsent != 0 || p.Ignored != 0 || p.Invalid != 0 {
		t.Errorf("%d SYNs, want 65536; dropped %d, unsent %d, ignored %d, invalid %d", p.SYNs, p.Dropped, p.Unsent, p.Ignored, p.Invalid)
	}
	var want uint64
	simulated := scenario.Default()
	for a := range simulated.Addresses {
		want += uint64(simulated.Replies(a, 443))
	}
	if got := s.Replies(443, "plain"); got != want || p.Replies != want {
		t.Errorf("%d replies to plain SYNs, %d in all, want %d", got, p.Replies, want)
	}
	if got := snmp(t, dir, "Ip", "InReceives"); got != want {
		t.Errorf("%d packets reached the scanner, want %d", got, want)
	}
	if got := snmp(t, dir, "Icmp", "InMsgs"); got != 655 { // 1 % of the targets
		t.Errorf("%d ICMP messages reached the scanner, want those of the 655 icmp hosts", got)
	}
	for _, c := range []struct{ protocol, name string }{{"Ip", "InHdrErrors"}, {"Icmp", "InCsumErrors"}, {"Tcp", "InCsumErrors"}, {"Tcp", "InErrs"}} {
		if got := snmp(t, dir, c.protocol, c.name); got != 0 {
			t.Errorf("%s %s is %d", c.protocol, c.name, got)
		}
	}
}

// The whole again as another user, in a user namespace.
func TestWithoutRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("all tests run without root already")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "mpcensus-lab")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^(TestCheckIsolated|TestUpAndDown|TestExec|TestConnectToRealHosts|TestProbeRealHosts|TestScan)$")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if bytes.Contains(out, []byte("\n--- SKIP: Test")) {
		t.Logf("%s", out)
		t.Skip("some tests do not run without root here")
	}
}

func TestStateIsJSON(t *testing.T) {
	dir, _ := up(t)
	s := status(t, dir)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{`"pid":`, `"ranges":["198.18.0.0/16"]`, `"ports":[80,443]`, `"gateway_mac":"02:00:00:13:ff:02"`, `"population":{"syns":0,"replies":0,`} {
		if !bytes.Contains(text, []byte(field)) {
			t.Errorf("no %s in %s", field, text)
		}
	}
}
