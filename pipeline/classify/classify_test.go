package classify

import (
	"database/sql"
	"math"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/keys"
	"github.com/mpcensus/mpcensus/schemas"
)

var (
	scanV0     = Scan{"20261123T080000Z-ipv4-443-v0", dataset.Partition{Date: "2026-11-23", Family: "ipv4", Port: 443, Probe: "v0"}}
	scanV1     = Scan{"20261123T090000Z-ipv4-443-v1", dataset.Partition{Date: "2026-11-23", Family: "ipv4", Port: 443, Probe: "v1"}}
	scanPlain  = Scan{"20261123T100000Z-ipv4-443-plain", dataset.Partition{Date: "2026-11-23", Family: "ipv4", Port: 443, Probe: "plain"}}
	scanCanary = Scan{"20261123T103000Z-ipv4-443-canary", dataset.Partition{Date: "2026-11-23", Family: "ipv4", Port: 443, Probe: "canary"}}
	scanIPv6   = Scan{"20261123T110000Z-ipv6-80-v1", dataset.Partition{Date: "2026-11-23", Family: "ipv6", Port: 80, Probe: "v1"}}
)

// Each rule by itself. Keys are written out, so that the reasons can be checked by hand.
func TestVerdicts(t *testing.T) {
	const (
		sent  = 0x0123_4080_0012_3401 // weight 12
		fresh = 0x9e37_79b9_7f4a_7c15 // weight 38
	)
	wrongVersion := capableV1("192.0.2.1", fresh)
	noKey := synack("192.0.2.1", "capable")
	noKey.version, noKey.length = 1, 4
	malformed := synack("192.0.2.1", "malformed")
	malformed.length = 8
	one := func(r ...reply) []reply { return r }
	v0 := func(key uint64) []reply { return one(capableV0("192.0.2.1", key, sent)) }
	v1 := func(key uint64) []reply { return one(capableV1("192.0.2.1", key)) }

	for _, test := range []struct {
		name    string
		scan    Scan
		replies []reply
		verdict string
		reasons string
	}{
		{"rst", scanV0, one(rst("192.0.2.1")), "closed", "rst"},
		{"icmp", scanV0, one(icmp("192.0.2.1", "198.18.0.7", 3, 1)), "unreachable", "icmp: type 3 code 1 from 198.18.0.7"},
		{"icmp then rst", scanV0, one(icmp("192.0.2.1", "198.18.0.7", 3, 1).at(1), rst("192.0.2.1").at(2)), "closed", "rst | conflicting-replies: 1 rst, 1 icmp"},
		{"rst then synack", scanV0, one(rst("192.0.2.1").at(1), synack("192.0.2.1", "none").at(2)), "no-mptcp",
			"no-mp-capable | conflicting-replies: 1 synack, 1 rst"},
		{"stock row", scanV0, one(synack("192.0.2.1", "")), "no-mptcp", "no-mp-capable: options not recorded"},
		{"other subtype", scanV0, one(synack("192.0.2.1", "other")), "no-mptcp", "other-subtype"},
		{"malformed", scanV0, one(malformed), "implausible", "malformed-option: length 8"},
		{"malformed, no length", scanV0, one(synack("192.0.2.1", "malformed")), "implausible", "malformed-option"},
		{"plain", scanPlain, v1(fresh), "implausible", "unsolicited-mp-capable"},
		{"wrong version", scanV0, one(wrongVersion), "implausible", "wrong-version: 1"},
		{"v1 answered as v0", scanV1, v0(fresh), "implausible", "wrong-version: 0"},
		{"v0 echo", scanV0, v0(sent), "mirrored", "key-echo: distance 0"},
		{"v1 echo", scanV1, one(echoV1("192.0.2.1")), "mirrored", "option-echo: length 4"},
		{"near", scanV0, v0(sent ^ 0x8001_0001_0001_0101), "tampered", "key-distance: 6 bits, chance 9.0e-12"},
		{"at the limit", scanV0, v0(sent ^ 0x0101_0101_0101_0101), "tampered", "key-distance: 8 bits, chance 5.6e-10"},
		{"beyond the limit", scanV0, v0(sent ^ 0x0101_0101_0101_0103), "potential", "key-plausible: weight 15, distance 9"},
		{"complement", scanV0, v0(^uint64(sent)), "tampered", "key-distance: 64 bits, chance 1.1e-19"},
		{"half kept", scanV0, v0(sent&^0xffffffff | fresh&0xffffffff), "tampered", "bytes-kept: 4 of 8"},
		{"three bytes kept", scanV0, v0(sent&^0xffffffffff | fresh&0xffffffffff), "potential", "key-plausible: weight 28, distance 18"},
		{"reversed", scanV0, v0(bits.ReverseBytes64(sent)), "tampered", "key-reversed"},
		{"shifted", scanV0, v0(sent<<16&math.MaxUint64 | fresh&0xffff), "tampered", "key-shifted: 6 bytes by -2"},
		{"shifted to the end", scanV0, v0(sent>>24 | fresh&(0xffffff<<40)), "tampered", "key-shifted: 5 bytes by +3"},
		{"halves", scanV0, v0(bits.RotateLeft64(sent, 32)), "tampered", "key-swapped: 32-bit halves swapped"},
		{"no key", scanV0, one(noKey), "implausible", "wrong-version: 1 | option-echo: length 4"},
		{"zero key", scanV1, v1(0), "implausible", "zero-key | low-entropy: 1 byte values"},
		{"low entropy", scanV1, v1(0x0101_ff01_01ff_0100), "implausible", "low-entropy: 3 byte values"},
		{"zero key for a sparse one", scanV0, one(capableV0("192.0.2.1", 0, 0xffff)), "implausible", "zero-key | bytes-kept: 6 of 8 | low-entropy: 1 byte values"},
		{"low entropy, unlike our own", scanV0, one(capableV0("192.0.2.1", 0x4242_4242_4200_4242, 0x0123_4080_0012_3401)), "implausible",
			"low-entropy: 2 byte values"},
		{"made from a poor key", scanV0, one(capableV0("192.0.2.1", 0x0f0f_0f0f_0f0f_0f0d, 0x0f0f_0f0f_0f0f_0f0f)), "tampered",
			"key-distance: 1 bits, chance 7.0e-18 | bytes-kept: 7 of 8 | low-entropy: 2 byte values"},
		{"made from a key of three byte values", scanV0, one(capableV0("192.0.2.1", 0x0f0f_0f0f_2137_0f0f, 0x2137_0f0f_0f0f_0f0f)), "tampered",
			"bytes-kept: 4 of 8 | key-swapped: 32-bit halves swapped | low-entropy: 3 byte values"},
		{"poor, but not from ours", scanV0, one(capableV0("192.0.2.1", 0x4242_4242_4242_4242, 0x0f0f_0f0f_0f0f_0f0f)), "implausible",
			"low-entropy: 1 byte values"},
		{"zero for a poor key", scanV0, one(capableV0("192.0.2.1", 0, 0x0f00_0000_0000_000f)), "implausible",
			"zero-key | key-distance: 8 bits, chance 5.6e-10 | bytes-kept: 6 of 8 | low-entropy: 1 byte values"},
		{"four byte values", scanV1, v1(0x0102_ff01_01ff_0100), "potential", "key-plausible: weight 21"},
		{"potential", scanV0, v0(fresh), "potential", "key-plausible: weight 38, distance 30"},
		{"canary not back", scanV0, one(capableV0("192.0.2.1", fresh, sent).with("none")), "potential", "key-plausible: weight 38, distance 30"},
		{"canary back", scanV0, one(capableV0("192.0.2.1", fresh, sent).with("mirrored")), "mirrored",
			"key-plausible: weight 38, distance 30 | canary-mirrored"},
		{"canary back v1", scanV1, one(capableV1("192.0.2.1", fresh).with("mirrored")), "mirrored", "key-plausible: weight 38 | canary-mirrored"},
		{"canary altered", scanV1, one(capableV1("192.0.2.1", fresh).with("altered")), "potential", "key-plausible: weight 38 | canary-altered"},
		{"canary back with a zero key", scanV1, one(capableV1("192.0.2.1", 0).with("mirrored")), "implausible",
			"zero-key | low-entropy: 1 byte values | canary-mirrored"},
		{"canary back with a near key", scanV0, one(capableV0("192.0.2.1", sent^1, sent).with("mirrored")), "tampered",
			"key-distance: 1 bits, chance 7.0e-18 | bytes-kept: 7 of 8 | canary-mirrored"},
		{"canary back alone", scanV1, one(synack("192.0.2.1", "none").with("mirrored")), "no-mptcp", "no-mp-capable | canary-mirrored"},
		{"canary back in an rst", scanV1, one(rst("192.0.2.1").with("mirrored")), "closed", "rst"},
		{"canary back once", scanV1, one(capableV1("192.0.2.1", fresh).with("none"), capableV1("192.0.2.1", fresh).with("mirrored")), "potential",
			"key-plausible: weight 38 | conflicting-replies: 2 synack"},
		{"canary probe", scanCanary, one(synack("192.0.2.1", "none").with("mirrored")), "no-mptcp", "no-mp-capable | canary-mirrored"},
		{"canary probe answered with MPTCP", scanCanary, one(capableV1("192.0.2.1", fresh).with("none")), "implausible", "unsolicited-mp-capable"},
		{"potential v1", scanV1, v1(fresh), "potential", "key-plausible: weight 38"},
		{"repeated", scanV1, one(capableV1("192.0.2.1", fresh), capableV1("192.0.2.2", fresh)), "implausible", "repeated-key: 2 targets"},
		{"replayed", scanV0, one(capableV0("192.0.2.1", fresh, sent), capableV0("192.0.2.2", 1, fresh)), "tampered", "key-replayed: sent to 192.0.2.2"},
		{"duplicate", scanV1, one(capableV1("192.0.2.1", fresh).at(1), capableV1("192.0.2.1", fresh).at(2)), "potential", "key-plausible: weight 38"},
		{"retransmitted", scanV1, one(capableV1("192.0.2.1", fresh).from(40000, 7), capableV1("192.0.2.1", fresh).from(40000, 7)), "potential",
			"key-plausible: weight 38"},
		{"key changed", scanV1, one(capableV1("192.0.2.1", fresh).from(40000, 7), capableV1("192.0.2.1", ^uint64(fresh)).from(40000, 7)), "implausible",
			"key-changed: 2 keys with one sequence number | conflicting-replies: 2 synack"},
		{"key changed to an echo", scanV0, one(capableV0("192.0.2.1", fresh, sent).from(40000, 7), capableV0("192.0.2.1", sent, sent).from(40000, 7)),
			"implausible", "key-changed: 2 keys with one sequence number | conflicting-replies: 2 synack"},
		{"echo, then another key", scanV0, one(capableV0("192.0.2.1", sent, sent).from(40000, 7), capableV0("192.0.2.1", fresh, sent).from(40000, 7)),
			"mirrored", "key-echo: distance 0 | conflicting-replies: 2 synack"},
		{"option lost in retransmission", scanV1, one(capableV1("192.0.2.1", fresh).from(40000, 7), synack("192.0.2.1", "none").from(40000, 7)),
			"potential", "key-plausible: weight 38 | conflicting-replies: 2 synack"},
		{"another connection", scanV1, one(capableV1("192.0.2.1", fresh).from(40000, 7), capableV1("192.0.2.1", ^uint64(fresh)).from(40000, 8),
			capableV1("192.0.2.1", fresh>>1).from(40001, 7)), "potential", "key-plausible: weight 38 | conflicting-replies: 3 synack"},
		{"all kinds", scanV1, one(icmp("192.0.2.1", "198.18.0.7", 3, 1), rst("192.0.2.1"), rst("192.0.2.1"), synack("192.0.2.1", "other"),
			capableV1("192.0.2.1", fresh)), "no-mptcp", "other-subtype | conflicting-replies: 2 synack, 1 rst, 1 icmp"},
		{"earliest decides", scanV1, one(capableV1("192.0.2.1", 0).at(2), capableV1("192.0.2.1", fresh).at(1)), "potential",
			"key-plausible: weight 38 | conflicting-replies: 2 synack"},
		{"first row decides", scanV1, one(capableV1("192.0.2.1", fresh), capableV1("192.0.2.1", 0)), "potential",
			"key-plausible: weight 38 | conflicting-replies: 2 synack"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			addScan(t, dir, test.scan, test.replies)
			classify(t, dir, test.scan)
			got := readHosts(t, dir, test.scan)[0]
			if reasons := strings.Join(got.reasons, " | "); got.verdict != test.verdict || reasons != test.reasons {
				t.Errorf("got  %s: %s\nwant %s: %s", got.verdict, reasons, test.verdict, test.reasons)
			}
			if got.asn != -1 || got.asName != "" || got.country != "" {
				t.Errorf("%v, in a dataset that is not enriched", got)
			}
		})
	}
}

// A lab in small: the truth of each target is known. Nothing that is not genuine passes, and of the genuine
// hosts at most the stated share fails.
func TestCensus(t *testing.T) {
	const genuine = 2600
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 16))
		var replies []reply
		var truth []string
		add := func(verdict string, n int, key func(sent uint64) uint64) {
			for range n {
				i := len(truth)
				sent := weight16(rng)
				replies = append(replies, capableV0(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String(), key(sent), sent))
				truth = append(truth, verdict)
			}
		}
		add("potential", genuine, func(uint64) uint64 { return rng.Uint64() })
		add("mirrored", 6000, func(sent uint64) uint64 { return sent })
		add("tampered", 200, func(sent uint64) uint64 { return sent ^ 1<<rng.IntN(32) ^ 1<<(32+rng.IntN(32)) })
		add("tampered", 200, func(sent uint64) uint64 { return sent ^ (1 + rng.Uint64N(255)) })
		add("tampered", 200, bits.ReverseBytes64)
		add("implausible", 200, func(uint64) uint64 { return 0xdead_beef_0bad_cafe })
		add("implausible", 200, func(uint64) uint64 { return uint64(rng.IntN(256)) << 8 })
		add("implausible", 200, func(uint64) uint64 { // weight 5, spread out: for the weight test alone
			return 1<<rng.IntN(12) | 1<<(12+rng.IntN(12)) | 1<<(24+rng.IntN(12)) | 1<<(36+rng.IntN(12)) | 1<<(48+rng.IntN(16))
		})

		dir := t.TempDir()
		addScan(t, dir, scanV0, replies)
		result := classify(t, dir, scanV0)
		wronged := 0
		for i, h := range readHosts(t, dir, scanV0) {
			switch {
			case h.verdict == truth[i]:
			case truth[i] == "potential":
				wronged++
			default:
				t.Errorf("seed %d: want %s, got %v", seed, truth[i], h)
			}
		}
		if float64(wronged) > keys.FDR*genuine {
			t.Errorf("seed %d: %d of %d genuine hosts are wronged", seed, wronged, genuine)
		}
		outliers := result.Returned.Outliers()
		if !slices.ContainsFunc(outliers, func(w keys.Weight) bool { return w.Weight == 16 && w.Observed > 6000 }) {
			t.Errorf("seed %d: weight 16 is not among the outliers %v", seed, outliers)
		}
	}
}

// An excess of hosts at a weight where genuine ones are expected too is named, but condemns none.
func TestExcessAmongGenuineHostsIsInformation(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var replies []reply
	for i := range 2600 {
		replies = append(replies, capableV1(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String(), rng.Uint64()))
	}
	for i := range 300 {
		key := rng.Uint64()
		for bits.OnesCount64(key) != 30 {
			key = rng.Uint64()
		}
		replies = append(replies, capableV1(netip.AddrFrom4([4]byte{198, 19, byte(i >> 8), byte(i)}).String(), key))
	}
	dir := t.TempDir()
	addScan(t, dir, scanV1, replies)
	classify(t, dir, scanV1)
	informed, excess := 0, 0
	for _, h := range readHosts(t, dir, scanV1) {
		if h.verdict != "potential" {
			t.Errorf("condemned: %v", h)
		}
		if !strings.HasPrefix(h.reasons[0], "weight-outlier: weight 30, ") {
			continue
		}
		informed++
		if strings.HasPrefix(h.target, "198.19.") {
			excess++
		}
		if share := 300. / (300 + 2600*keys.PMF(30)); math.Abs(h.excess-share) > 0.1 {
			t.Errorf("probability %v, want about %.2f: %v", h.excess, share, h)
		}
	}
	if excess != 300 || informed <= excess {
		t.Errorf("%d hosts carry the outlying weight as information, %d of the 300 of the excess", informed, excess)
	}
}

func TestFewHosts(t *testing.T) {
	mirrors := func(n int) (replies []reply) {
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range n {
			key := weight16(rng)
			replies = append(replies, capableV0(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}).String(), key, key))
		}
		return replies
	}
	for name, test := range map[string]struct {
		replies []reply
		want    map[string]uint64
	}{
		"no reply":    {nil, map[string]uint64{}},
		"one host":    {[]reply{capableV1("198.18.0.1", 7)}, map[string]uint64{"implausible": 1}},
		"all mirrors": {mirrors(200), map[string]uint64{"mirrored": 200}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			addScan(t, dir, scanV0, test.replies)
			if got := classify(t, dir, scanV0); !reflect.DeepEqual(got.Verdicts, test.want) {
				t.Errorf("got %v, want %v", got.Verdicts, test.want)
			}
			if n := len(readHosts(t, dir, scanV0)); n != len(test.replies) {
				t.Errorf("%d hosts in the file", n)
			}
		})
	}
}

// Running again replaces the scan's file by the same bytes, and touches no other.
func TestAgain(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 3))
	addNetworks(t, dir)
	var known []uint64
	addScan(t, dir, scanV0, randomReplies(rng, scanV0, 3000, &known))
	addScan(t, dir, scanV1, randomReplies(rng, scanV1, 3000, &known))
	foreign := scanV0.Path(dir, "hosts", "foreign", dataset.Parquet)
	if err := os.MkdirAll(filepath.Dir(foreign), 0o755); err != nil {
		t.Fatal(err)
	}
	exec(t, open(t, t.TempDir()), "COPY (FROM hosts) TO '"+foreign+"' (FORMAT parquet)")

	files := func() map[string]string {
		m := make(map[string]string)
		for _, f := range glob(t, dir, "*/*/*/*/*/*") {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			m[f] = string(b)
		}
		return m
	}
	classify(t, dir, scanV0)
	classify(t, dir, scanV1)
	first := files()
	again := classifier(t, dir)
	exec(t, again.db, "SET threads = 1")
	for _, scan := range []Scan{scanV0, scanV0, scanV1} {
		if _, err := again.Hosts(t.Context(), scan); err != nil {
			t.Fatal(err)
		}
	}
	if second := files(); !reflect.DeepEqual(first, second) {
		t.Error("files differ after a second run")
	}
	if n := len(glob(t, dir, "hosts/*/*/*/*/*")); n != 3 {
		t.Errorf("%d files in hosts, want 3", n)
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A run that fails leaves the former file as it was, and nothing beside it.
func TestFailureLeavesFormerFile(t *testing.T) {
	dir := t.TempDir()
	addScan(t, dir, scanV1, []reply{capableV1("198.18.0.1", 0)})
	classify(t, dir, scanV1)
	before := readHosts(t, dir, scanV1)
	addScan(t, dir, scanV1, []reply{capableV1("not an address", 0), capableV1("198.18.0.2", 0)})
	_, err := classifier(t, dir).Hosts(t.Context(), scanV1)
	if err == nil || !strings.Contains(err.Error(), scanV1.ID) || !strings.Contains(err.Error(), "not an address") {
		t.Errorf("got %v", err)
	}
	if after := readHosts(t, dir, scanV1); !reflect.DeepEqual(before, after) {
		t.Errorf("got %v, want %v", after, before)
	}
	if files, err := os.ReadDir(filepath.Dir(scanV1.Path(dir, "hosts", scanV1.ID, dataset.Parquet))); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// A scan's file has its own hosts, also where two scans of one day share a folder.
func TestScansOfOnePartition(t *testing.T) {
	dir := t.TempDir()
	again := Scan{"20261123T093000Z-ipv4-443-v1", scanV1.Partition}
	addScan(t, dir, scanV1, []reply{capableV1("198.18.0.1", 0x9e37_79b9_7f4a_7c15)})
	addScan(t, dir, again, []reply{capableV1("198.18.0.2", 0x0159_265f_1234_7c15), synack("198.18.0.1", "none")})
	for scan, want := range map[Scan]map[string]uint64{
		scanV1: {"potential": 1},
		again:  {"potential": 1, "no-mptcp": 1},
	} {
		if got := classify(t, dir, scan).Verdicts; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", scan.ID, got, want)
		}
	}
	if n := len(readHosts(t, dir, again)); n != 2 {
		t.Errorf("%d hosts of the second scan", n)
	}
}

// A key that came twice, by where from: the verdict of one scan hangs on the others.
func TestRepeatedKey(t *testing.T) {
	const key, static = 0x9e37_79b9_7f4a_7c15, 0x0123_4080_0012_3401
	potential := "potential: key-plausible: weight 38"
	nextMonth := Scan{"20261223T090000Z-ipv4-443-v1", dataset.Partition{Date: "2026-12-23", Family: "ipv4", Port: 443, Probe: "v1"}}
	otherPort := Scan{"20261123T090000Z-ipv4-80-v1", dataset.Partition{Date: "2026-11-23", Family: "ipv4", Port: 80, Probe: "v1"}}
	nextHour := Scan{"20261123T100000Z-ipv4-443-v1", scanV1.Partition} // a part of scanV1, ingested by itself
	other := capableV1("198.18.0.1", 0x0159_265f_1234_7c15)
	for name, test := range map[string]struct {
		scan   Scan // beside scanV1, in which 198.18.0.1 sent the key
		second []reply
		want   string
	}{
		"one target, other key":       {nextMonth, []reply{other}, potential},
		"one target, two dates":       {nextMonth, []reply{capableV1("198.18.0.1", key)}, "implausible: repeated-key: 1 target, 2 scans"},
		"one target, two probes":      {scanV0, []reply{capableV0("198.18.0.1", key, static)}, "implausible: repeated-key: 1 target, 2 scans"},
		"one address, two ports":      {otherPort, []reply{capableV1("198.18.0.1", key)}, "implausible: repeated-key: 2 targets, 2 scans"},
		"two targets, two dates":      {nextMonth, []reply{capableV1("198.18.0.2", key)}, "implausible: repeated-key: 2 targets, 2 scans"},
		"in answer to a plain probe":  {scanPlain, []reply{capableV1("198.18.0.1", key)}, "implausible: repeated-key: 1 target, 2 scans"},
		"in a reply that decides not": {nextMonth, []reply{other.at(1), capableV1("198.18.0.2", 1).at(1), capableV1("198.18.0.2", key).at(2)}, "implausible: repeated-key: 2 targets, 2 scans"},
		"the same packet":             {nextHour, []reply{capableV1("198.18.0.1", key).at(7)}, potential},
		"the same time, other target": {nextHour, []reply{capableV1("198.18.0.2", key).at(7)}, "implausible: repeated-key: 2 targets, 2 scans"},
		"ours, sent to others":        {scanV0, []reply{capableV0("198.18.0.2", key, key), capableV0("198.18.0.3", key, key)}, potential},
		"in an RST":                   {nextMonth, []reply{func() reply { r := capableV1("198.18.0.2", key); r.classification = "rst"; return r }()}, potential},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			addScan(t, dir, scanV1, []reply{capableV1("198.18.0.1", key).at(3), capableV1("198.18.0.1", key).at(7)})
			addScan(t, dir, test.scan, test.second)
			classify(t, dir, scanV1)
			h := readHosts(t, dir, scanV1)[0]
			if got := h.verdict + ": " + strings.Join(h.reasons, " | "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// A box of one network that makes half of each key itself, among genuine hosts of the same AS.
func TestNetworkWithConstantHalf(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	addNetworks(t, dir)
	var replies []reply
	for i := range 300 {
		key := rng.Uint64()
		if i%10 == 0 {
			key = key&0xffff_ffff | 0x5ad1_90c3<<32
		}
		replies = append(replies, capableV1(netip.AddrFrom4([4]byte{198, 18, byte(i % 4), byte(i / 4)}).String(), key))
	}
	addScan(t, dir, scanV1, replies)
	result := classify(t, dir, scanV1)
	byTarget := make(map[string]host)
	for _, h := range readHosts(t, dir, scanV1) {
		byTarget[h.target] = h
	}
	for i, r := range replies {
		h := byTarget[r.saddr]
		boxed := h.verdict == "implausible" && strings.HasPrefix(h.reasons[0], "constant-byte: ") && h.excess < 0
		genuine := h.verdict == "potential" && strings.HasPrefix(h.reasons[0], "key-plausible: ") && h.excess >= 0
		if i%10 == 0 && !boxed || i%10 != 0 && !genuine {
			t.Errorf("key %016x: %v", *r.key, h)
		}
	}
	if !slices.ContainsFunc(result.Findings, func(f keys.Finding) bool { return f.Group == "the scan" && len(f.Suspects) == 30 }) {
		t.Errorf("findings %+v", result.Findings)
	}
	if result.Judged.Keys != 270 {
		t.Errorf("%d keys judged by weight, want the 270 that are left", result.Judged.Keys)
	}
}

// The least that speaks against single keys: a byte that most keys of a network have in common, and 1 of 256
// genuine ones. What is left over for each kind of group must not be less than that.
func TestNetworkWithConstantByte(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 43))
	var replies []reply
	for i := range 43 {
		key := rng.Uint64() &^ 0xff // no genuine one has the box's byte
		if i >= 3 {
			key |= 0x5a
		}
		replies = append(replies, capableV1(netip.AddrFrom4([4]byte{198, 18, 1, byte(i)}).String(), key))
	}
	addScan(t, dir, scanV1, replies)
	classify(t, dir, scanV1)
	for i, h := range readHosts(t, dir, scanV1) {
		if boxed := h.verdict == "implausible"; boxed != (i >= 3) {
			t.Errorf("host %d: %v", i, h)
		}
	}
}

// A scan with fewer rows than it kept, or more, is refused; a scan without replies has none to miss.
func TestCheckRows(t *testing.T) {
	dir := t.TempDir()
	addScan(t, dir, scanV0, []reply{rst("198.18.0.1"), rst("198.18.0.2")}, []reply{rst("198.18.0.3")})
	addScan(t, dir, scanV1, nil)
	if err := CheckRows(t.Context(), open(t, dir)); err != nil {
		t.Error(err)
	}
	file := scanV0.Path(dir, "replies", scanV0.ID+"-2", dataset.Parquet)
	addScan(t, dir, scanV0, []reply{rst("198.18.0.1"), rst("198.18.0.2")}) // the second file stays, and counts no longer
	if err := CheckRows(t.Context(), open(t, dir)); err != nil {
		t.Error(err)
	}

	addScan(t, dir, scanV0, []reply{rst("198.18.0.1"), rst("198.18.0.2")}, []reply{rst("198.18.0.3")})
	twoRows, err := os.ReadFile(scanV0.Path(dir, "replies", scanV0.ID+"-1", dataset.Parquet))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, twoRows, 0o644); err != nil {
		t.Fatal(err)
	}
	err = CheckRows(t.Context(), open(t, dir))
	if want := "scan " + scanV0.ID + ": 4 rows in the table replies where the scan kept 3"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, err = dataset.OpenDuckDB(t.Context(), dir, dataset.DuckDBOptions{})
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("without a listed file: got %v", err)
	}
}

// What the contract does not know must not become a verdict.
func TestUnknownValues(t *testing.T) {
	unknown := rst("192.0.2.1")
	unknown.classification = "sctp"
	for _, r := range []reply{unknown, synack("192.0.2.1", "maybe"), capableV1("192.0.2.1", 0x9e37_79b9_7f4a_7c15).with("maybe")} {
		dir := t.TempDir()
		addScan(t, dir, scanV1, []reply{r})
		_, err := classifier(t, dir).Hosts(t.Context(), scanV1)
		if err == nil || !strings.Contains(err.Error(), "target 192.0.2.1: unknown classification "+r.classification) {
			t.Errorf("got %v", err)
		}
	}
}

func TestScans(t *testing.T) {
	dir := t.TempDir()
	addScan(t, dir, scanV1, nil)
	addScan(t, dir, scanV0, nil)
	got, err := Scans(t.Context(), open(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if want := []Scan{scanV0, scanV1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if r := classify(t, dir, scanV0); len(r.Verdicts) != 0 {
		t.Errorf("verdicts without replies: %v", r.Verdicts)
	}
}

// The file holds the columns of the contract, in its order and with its types.
func TestColumns(t *testing.T) {
	dir := t.TempDir()
	addScan(t, dir, scanV1, []reply{capableV1("198.18.0.1", 0)})
	classify(t, dir, scanV1)
	checkColumns(t, open(t, dir), dataset.HostsTable, scanV1.Path(dir, "hosts", scanV1.ID, dataset.Parquet))
}

func checkColumns(t *testing.T, db *sql.DB, table, file string) {
	t.Helper()
	var contract struct {
		Tables map[string]struct {
			Columns []struct{ Name, Type, Null string }
		}
	}
	if err := yaml.Unmarshal(schemas.Tables, &contract); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{
		"string": "VARCHAR", "bool": "BOOLEAN", "list<string>": "VARCHAR[]", "uint8": "UTINYINT", "uint32": "UINTEGER", "uint64": "UBIGINT", "float64": "DOUBLE",
	}
	rows, err := db.Query("SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet('" + file + "', hive_partitioning = false))")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got, want []string
	for rows.Next() {
		var name, columnType string
		if err := rows.Scan(&name, &columnType); err != nil {
			t.Fatal(err)
		}
		got = append(got, name+" "+columnType)
	}
	for _, c := range contract.Tables[table].Columns {
		want = append(want, c.Name+" "+types[c.Type])
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}
