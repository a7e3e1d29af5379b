package netlab

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/responder"
)

// ErrNotUp says that no lab runs in a directory.
var ErrNotUp = errors.New("the lab is not up: start it with `mpcensus lab up`")

// State is what a running lab tells about itself.
type State struct {
	PID            int            `json:"pid"`
	Up             time.Time      `json:"up"` // when it began to answer
	Scenario       string         `json:"scenario"`
	ScenarioSHA256 string         `json:"scenario_sha256"`
	Ranges         []netip.Prefix `json:"ranges"`
	IPv6Addresses  int            `json:"ipv6_addresses"` // how many there are: `mpcensus lab hitlist` names them
	Ports          []uint16       `json:"ports"`
	Scanner                       // the kernel's own choice, with both families
	IPv6Only       Scanner        `json:"ipv6_only"` // reaches the same hosts
	Blocklist      string         `json:"blocklist"`
	// Namespaces has the file of each network namespace, by name: of the
	// scanner, of the internet at the other end of its links, of the router and
	// of the real hosts, and of the router chains (see chainNetwork).
	Namespaces map[string]string `json:"namespaces"`
	// Population counts what all targets got and sent, simulated and real.
	Population responder.Counts `json:"population"`
	Problem    string           `json:"problem,omitempty"` // why the lab must not be used
}

// Replies is how many packets all targets, simulated and real, have sent from
// one port to one kind of probe (plain, v0, v1, canary).
func (s *State) Replies(family string, port uint16, probe string) (n uint64) {
	for _, t := range s.Population.Targets {
		if t.Family == family && t.Port == port && t.Probe == probe {
			n += t.Replies
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

// socketPath names the control socket by an open file of its directory, since
// the path of a Unix socket has at most 107 bytes (unix(7)).
func socketPath(dir *os.File) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), controlFile)
}

func dial(dir string) (*net.UnixConn, error) {
	folder, err := os.Open(dir)
	if err != nil && errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotUp
	}
	if err != nil {
		return nil, fmt.Errorf("open the lab's directory: %w", err)
	}
	defer folder.Close()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socketPath(folder), Net: "unix"})
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
		PID: os.Getpid(), Up: k.up, Scenario: k.ScenarioName, ScenarioSHA256: digest(k.Scenario),
		Ranges: k.scenario.Ranges, IPv6Addresses: len(k.scenario.IPv6), Ports: k.scenario.Ports,
		Scanner: scanners[0], IPv6Only: scanners[1],
		Blocklist:  filepath.Join(k.Dir, blocklistFile),
		Namespaces: make(map[string]string),
		Population: k.responder.Counts(),
	}
	for _, n := range k.network.all() {
		s.Namespaces[n.Name] = fmt.Sprintf("/proc/%d/fd/%d", s.PID, n.file.Fd())
	}
	replies, err := k.network.hostReplies()
	if err == nil {
		addHosts(&s.Population, replies)
		err = CheckIsolated(k.Outside, k.network.all())
	}
	if err != nil {
		s.Problem = err.Error()
	}
	return s
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// blocklist blocks every address outside the lab: of each family, the sibling of
// each prefix on the way down to its Space.
func blocklist() string {
	var b strings.Builder
	for _, space := range spaces {
		fmt.Fprintf(&b, "# All but %s.\n", space)
		for bits := 1; bits <= space.Bits(); bits++ {
			sibling := space.Addr().AsSlice()
			sibling[(bits-1)/8] ^= 0x80 >> ((bits - 1) % 8)
			address, _ := netip.AddrFromSlice(sibling)
			fmt.Fprintln(&b, netip.PrefixFrom(address, bits).Masked())
		}
	}
	return b.String()
}
