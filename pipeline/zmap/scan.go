package zmap

import (
	_ "embed"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// DefaultBlocklist holds the IANA special-purpose registries, of IPv4 and IPv6.
//
//go:embed blocklist.conf
var DefaultBlocklist []byte

// IPv4Placeholder is ZMap's --source-ip when the targets are IPv6: it insists on an IPv4 address, which
// the probe module does not use then (RFC 5737: documentation).
const IPv4Placeholder = "192.0.2.1"

// Scan says what one ZMap run probes, and how.
type Scan struct {
	// What ZMap permutes: IPv4 addresses and CIDRs. If there is a target file, the set of its indices
	// (targets.IndexCIDRs), which the probe module turns into the file's targets.
	Targets    []string
	TargetFile string
	// A trace instead of a scan: every target is probed once with each TTL from FirstTTL to LastTTL, which is at
	// most MaxTTL. Targets are then the indices of all pairs of a target and a TTL. LastTTL 0 is a scan.
	FirstTTL, LastTTL uint8
	Port              uint16
	Probe             string // one of Probes
	ProbeArgs         string // further arguments of the probe module, name=value,…
	Interface         string
	SourceIP          netip.Addr // of the targets' family
	GatewayMAC        string
	Rate              uint // probes a second
	Cooldown          uint // seconds to wait for replies after the last probe
	Blocklist         string
	Shards            uint
	Shard             uint
	Seed              uint64 // of ZMap's permutation of the targets, the same for all shards; 0 is a random one
}

// MaxTTL is the greatest TTL that a trace sends: a Linux client's own.
const MaxTTL = 64

// deliveryDelay is how many seconds a packet may wait in libpcap's buffer before ZMap 2.1.1 sees it (its
// PCAP_TIMEOUT). Without them, a scan of one target with a cooldown of one second missed its only reply
// now and then.
const deliveryDelay = 1

// options are the names that ZMap's versions have for an option.
type options struct{ port, blocklist string }

var (
	options2 = options{port: "--target-port", blocklist: "--blacklist-file"}
	options4 = options{port: "--target-ports", blocklist: "--blocklist-file"}
)

// arguments is ZMap's command line for the scan.
func (s Scan) arguments(zmap Installation, seed uint64, metadataFile string) []string {
	names := options2
	if zmap.builtIn() {
		names = options4
	}
	source := s.SourceIP.String()
	if s.SourceIP.Is6() {
		source = IPv4Placeholder
	}
	args := []string{
		// ZMap reads /etc/zmap/zmap.conf by default: what it holds on some machine must not change a scan.
		"--config=/dev/null",
		"--probe-module=" + s.moduleName(),
		"--probe-args=" + s.moduleArguments(),
		names.port + "=" + strconv.Itoa(int(s.Port)),
		"--interface=" + s.Interface,
		"--source-ip=" + source,
		"--gateway-mac=" + s.GatewayMAC,
		"--rate=" + strconv.FormatUint(uint64(s.Rate), 10),
		"--cooldown-time=" + strconv.FormatUint(uint64(s.Cooldown)+deliveryDelay, 10),
		names.blocklist + "=" + s.Blocklist,
		"--shards=" + strconv.FormatUint(uint64(s.Shards), 10),
		"--shard=" + strconv.FormatUint(uint64(s.Shard), 10),
		"--seed=" + strconv.FormatUint(seed, 10),
		"--output-module=json",
		"--output-fields=*",
		// Without a filter ZMap 2.1.1 would print the same, but cannot parse an empty one.
		"--output-filter=success = 1 || success = 0",
		"--metadata-file=" + metadataFile,
		"--disable-syslog",
		"--verbosity=2",
	}
	return append(args, s.Targets...)
}

// ParseTTLs reads the TTLs of a trace: FIRST-LAST, as in 1-24.
func ParseTTLs(text string) (first, last uint8, err error) {
	low, high, _ := strings.Cut(text, "-")
	a, errLow := strconv.ParseUint(low, 10, 8)
	b, errHigh := strconv.ParseUint(high, 10, 8)
	if errLow != nil || errHigh != nil || a < 1 || b < a || b > MaxTTL {
		return 0, 0, fmt.Errorf("TTLs %.40q: give FIRST-LAST, both from 1 to %d, as in 1-24", text, MaxTTL)
	}
	return uint8(a), uint8(b), nil
}

func (s Scan) isTrace() bool { return s.LastTTL != 0 }

func (s Scan) moduleName() string {
	if s.isTrace() {
		return TraceModuleName
	}
	return ModuleName
}

// moduleArguments is the scan in the words of the probe module.
func (s Scan) moduleArguments() string {
	args := []string{"probe=" + s.Probe}
	if s.Probe == ProbeCanary {
		args = []string{"probe=" + ProbePlain, "canary=on"}
	}
	if s.TargetFile != "" {
		args = append(args, "targets="+s.TargetFile)
	}
	if s.isTrace() {
		args = append(args, fmt.Sprintf("ttl=%d-%d", s.FirstTTL, s.LastTTL))
	}
	if s.SourceIP.Is6() {
		args = append(args, "source="+s.SourceIP.String())
	}
	if s.ProbeArgs != "" {
		args = append(args, s.ProbeArgs)
	}
	return strings.Join(args, ",")
}
