package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CheckKernel says whether the kernel's MPTCP can be relied on where this process runs, and what to do if
// not. One target that drops MPTCP's SYNs turns MPTCP off for all of the network namespace, as long as
// net.mptcp.blackhole_timeout says (documented in the kernel's mptcp-sysctl): every later target would look
// like one behind a middlebox.
func CheckKernel() error {
	enabled, err := sysctl("enabled")
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("this kernel has no MPTCP: verify needs a newer Linux (6.12 has what it asks for), built with CONFIG_MPTCP")
	}
	if err != nil {
		return err
	}
	if enabled != "1" {
		return errors.New("net.mptcp.enabled is 0: MPTCP is off (sysctl -w net.mptcp.enabled=1)")
	}
	if err := checkSysctl("blackhole_timeout", "0", "one target that drops SYNs with MPTCP would turn MPTCP off towards all others"); err != nil {
		return err
	}
	return checkSysctl("syn_retrans_before_tcp_fallback", "2", "with fewer SYNs a loss looks like a fallback, with more a fallback like an unreachable host")
}

// checkSysctl refuses a setting of net.mptcp with another value than wanted. Older kernels, which lack it, have
// no such detection of blackholes, and give up MPTCP after so many SYNs or never.
func checkSysctl(name, want, why string) error {
	value, err := sysctl(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if value != want {
		return fmt.Errorf("net.mptcp.%[1]s is %[2]s: %[3]s (sysctl -w net.mptcp.%[1]s=%[4]s)", name, value, why, want)
	}
	return nil
}

// sysctl reads one of net.mptcp, which has a value in each network namespace.
func sysctl(name string) (string, error) {
	text, err := os.ReadFile("/proc/sys/net/mptcp/" + name)
	return strings.TrimSpace(string(text)), err
}

// Counters of the kernel that tell when MPTCP was turned off (net/mptcp/mib.c).
const (
	blackholeCounter = "Blackhole"              // times it was, for a blackhole
	disabledCounter  = "MPCapableSYNTXDisabled" // SYNs that went without MP_CAPABLE because it was
)

// watch tells whether the kernel turned MPTCP off since it was made.
type watch struct{ blackholes, disabled uint64 }

func newWatch() (watch, error) { return readWatch() }

// since is how often each counter has risen.
func (w watch) since() (watch, error) {
	now, err := readWatch()
	return watch{now.blackholes - w.blackholes, now.disabled - w.disabled}, err
}

func (w watch) disturbed() bool { return w != watch{} }

func readWatch() (watch, error) {
	const path = "/proc/thread-self/net/netstat"
	text, err := os.ReadFile(path)
	if err != nil {
		return watch{}, err
	}
	counters := parseCounters(text, "MPTcpExt:")
	if len(counters) == 0 {
		return watch{}, fmt.Errorf("%s has no counters of MPTCP: whether the kernel turns it off could not be seen", path)
	}
	return watch{counters[blackholeCounter], counters[disabledCounter]}, nil
}

// parseCounters reads a pair of lines of /proc/net/netstat: names, then numbers.
func parseCounters(text []byte, prefix string) map[string]uint64 {
	counters := make(map[string]uint64)
	var names []string
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 || fields[0] != prefix {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i := 1; i < min(len(fields), len(names)); i++ {
			if n, err := strconv.ParseUint(fields[i], 10, 64); err == nil {
				counters[names[i]] = n
			}
		}
	}
	return counters
}

// kernelRelease is the release of the running kernel, as uname -r prints it.
func kernelRelease() (string, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(name.Release[:]), nil
}
