package netlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/responder"
)

// ErrNotUp says that no lab runs in a directory.
var ErrNotUp = errors.New("the lab is not up: start it with `mpcensus lab up`")

// State is what a running lab tells about itself.
type State struct {
	PID        int              `json:"pid"`
	Scenario   string           `json:"scenario"`
	Ranges     []netip.Prefix   `json:"ranges"`
	Ports      []uint16         `json:"ports"`
	Interface  string           `json:"interface"` // in the scanner's namespace
	Source     netip.Addr       `json:"source"`
	Gateway    netip.Addr       `json:"gateway"`
	GatewayMAC string           `json:"gateway_mac"`
	Blocklist  string           `json:"blocklist"`
	Population responder.Counts `json:"population"`
	Hosts      []HostCount      `json:"hosts"`
	Problem    string           `json:"problem,omitempty"` // why the lab must not be used
}

// Replies is how many packets all targets, simulated and real, have sent from
// one port to one kind of probe (plain, v0, v1).
func (s *State) Replies(port uint16, probe string) (n uint64) {
	for _, t := range s.Population.Targets {
		if t.Port == port && t.Probe == probe {
			n += t.Replies
		}
	}
	for _, h := range s.Hosts {
		if h.Port == port && h.Probe == probe {
			n += h.Replies
		}
	}
	return n
}

const (
	controlFile   = "control"
	blocklistFile = "blocklist.conf"
	logFile       = "keeper.log"
)

// Status asks the lab in dir for its state; ErrNotUp where none runs.
func Status(dir string) (*State, error) {
	conn, err := dial(dir)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return ask(conn)
}

// DefaultDir is where a lab keeps its state when no directory is given.
func DefaultDir() (string, error) {
	base := os.Getenv("XDG_RUNTIME_DIR")
	if base == "" {
		base = "/run"
		if uid := os.Getuid(); uid != 0 {
			base = fmt.Sprintf("/run/user/%d", uid)
		}
	}
	if _, err := os.Stat(base); err != nil {
		return "", fmt.Errorf("no place for the lab's state: %w: name one with --dir", err)
	}
	return filepath.Join(base, "mpcensus-lab"), nil
}

func dial(dir string) (*net.UnixConn, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(dir, controlFile), Net: "unix"})
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, ErrNotUp
	case err != nil:
		return nil, fmt.Errorf("ask the lab in %s: %w", dir, err)
	}
	return conn, nil
}

// ask sends an empty line and reads the state.
func ask(conn *net.UnixConn) (*State, error) {
	if _, err := conn.Write([]byte("\n")); err != nil {
		return nil, fmt.Errorf("ask the lab: %w", err)
	}
	var s State
	if err := json.NewDecoder(conn).Decode(&s); err != nil {
		return nil, fmt.Errorf("read the lab's answer: %w", err)
	}
	return &s, nil
}

// answer serves the control socket until it is closed.
func (k *keeper) answer(l *net.UnixListener) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
				json.NewEncoder(conn).Encode(k.state())
			}
		}()
	}
}

func (k *keeper) state() *State {
	s := &State{
		PID: os.Getpid(), Scenario: k.ScenarioName,
		Ranges: k.scenario.Ranges, Ports: k.scenario.Ports,
		Interface: ScannerInterface, Source: ScannerAddr,
		Gateway: GatewayAddr, GatewayMAC: GatewayMAC.String(),
		Blocklist:  filepath.Join(k.Dir, blocklistFile),
		Population: k.responder.Counts(),
	}
	if err := CheckIsolated(k.Outside, k.network.all()); err != nil {
		s.Problem = err.Error()
	}
	var err error
	if s.Hosts, err = k.network.hostCounts(); err != nil {
		s.Problem = err.Error()
	}
	return s
}

// blocklist blocks, in ZMap's format, every IPv4 address outside Space: the
// sibling of each prefix on the way down to it.
func blocklist() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# All of IPv4 but %s.\n", Space)
	address := Space.Addr().As4()
	for bits := 1; bits <= Space.Bits(); bits++ {
		sibling := address
		sibling[(bits-1)/8] ^= 0x80 >> ((bits - 1) % 8)
		fmt.Fprintln(&b, netip.PrefixFrom(netip.AddrFrom4(sibling), bits).Masked())
	}
	return b.String()
}
