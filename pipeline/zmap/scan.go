package zmap

import (
	_ "embed"
	"strconv"
	"strings"
)

// DefaultBlocklist holds the IANA special-purpose registries in ZMap's format.
//
//go:embed blocklist.conf
var DefaultBlocklist []byte

// Scan says what one ZMap run probes, and how.
type Scan struct {
	Targets     []string // addresses and CIDRs
	TargetsFile string   // further addresses and CIDRs, one a line
	Port        uint16
	Probe       string // v0, v1 or plain
	ProbeArgs   string // further arguments of the probe module, name=value,…
	Interface   string
	SourceIP    string
	GatewayMAC  string
	Rate        uint // probes a second
	Cooldown    uint // seconds to wait for replies after the last probe
	Blocklist   string
	Shards      uint
	Shard       uint
	Seed        uint64 // of ZMap's permutation of the targets, the same for all shards; 0 is a random one
}

// arguments is ZMap's command line for the scan.
func (s Scan) arguments(seed uint64, metadataFile string) []string {
	probeArgs := "probe=" + s.Probe
	if s.ProbeArgs != "" {
		probeArgs += "," + s.ProbeArgs
	}
	args := []string{
		// ZMap reads /etc/zmap/zmap.conf by default: what it holds on some machine must not change a scan.
		"--config=/dev/null",
		"--probe-module=" + ModuleName,
		"--probe-args=" + probeArgs,
		"--target-port=" + strconv.Itoa(int(s.Port)),
		"--interface=" + s.Interface,
		"--source-ip=" + s.SourceIP,
		"--gateway-mac=" + s.GatewayMAC,
		"--rate=" + strconv.FormatUint(uint64(s.Rate), 10),
		"--cooldown-time=" + strconv.FormatUint(uint64(s.Cooldown), 10),
		"--blacklist-file=" + s.Blocklist,
		"--shards=" + strconv.FormatUint(uint64(s.Shards), 10),
		"--shard=" + strconv.FormatUint(uint64(s.Shard), 10),
		"--seed=" + strconv.FormatUint(seed, 10),
		"--output-module=json",
		"--output-fields=*",
		// Without a filter ZMap would print the same, but 2.1.1 cannot parse an empty one.
		"--output-filter=success = 1 || success = 0",
		"--metadata-file=" + metadataFile,
		"--disable-syslog",
		"--verbosity=2",
	}
	if s.TargetsFile != "" {
		args = append(args, "--whitelist-file="+s.TargetsFile)
	}
	return append(args, s.Targets...)
}

// isStatusLine tells ZMap's once-a-second status, as in
// "0:03 41%; send: 30000 10.0 Kp/s …", from its log lines.
func isStatusLine(line string) bool {
	return strings.Contains(line, "; send: ")
}
