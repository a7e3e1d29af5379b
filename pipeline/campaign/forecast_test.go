package campaign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/targets"
)

// targetFile makes a target file without a blocklist.
func targetFile(t *testing.T, addresses ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.targets")
	_, err := targets.Build(t.Context(), name, targets.Params{
		Inputs:    []targets.Input{{Name: "test", Text: strings.NewReader(strings.Join(addresses, "\n"))}},
		Blocklist: blocklistOf(t, "203.0.113.0/24", "3fff::/20"), Family: targets.IPv4,
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func blocklistOf(t *testing.T, prefixes ...string) *targets.Blocklist {
	t.Helper()
	name := filepath.Join(t.TempDir(), "blocked")
	if err := os.WriteFile(name, []byte(strings.Join(prefixes, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	blocklist, err := targets.OpenBlocklist(name)
	if err != nil {
		t.Fatal(err)
	}
	return blocklist
}

// Each address counts once, wherever it is named, and not at all if it is on the blocklist. What a scan would
// refuse, a dry run refuses.
func TestTargetCounts(t *testing.T) {
	hitlist := filepath.Join(t.TempDir(), "hitlist")
	if err := os.WriteFile(hitlist, []byte("192.0.2.1\n192.0.2.1\n192.0.2.200\n192.0.2.8/30\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	blocklist := blocklistOf(t, "192.0.2.128/25", "2001:db8:1::/48")
	for name, test := range map[string]struct {
		targets, want string
		count         uint64
	}{
		"addresses":           {"ipv4: {addresses: [192.0.2.77/24, 192.0.2.5, 198.18.0.1, 198.18.0.1]}", "", 128 + 1},
		"IPv6 addresses":      {"ipv6: {addresses: ['2001:db8::/126', '2001:db8::1', '2001:db8:1::1']}", "", 4},
		"hitlist":             {"ipv4: {hitlist: " + hitlist + "}", "", 1 + 4},
		"target file":         {"ipv4: {hitlist: " + targetFile(t, "192.0.2.1", "192.0.2.2") + "}", "", 2},
		"blocked target file": {"ipv4: {hitlist: " + targetFile(t, "192.0.2.1", "192.0.2.130") + "}", "1 of 2 targets are on the blocklist, the first is 192.0.2.130", 0},
		"all blocked":         {"ipv4: {addresses: [192.0.2.128/26]}", "no target is left", 0},
	} {
		c := mustLoad(t, strings.Replace(minimal, "ipv4: {addresses: [198.18.0.0/24]}", test.targets, 1))
		counts, err := c.TargetCounts(t.Context(), blocklist, nil)
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %q", name, err, test.want)
			}
			continue
		}
		if err != nil || counts[c.families()[0]] != test.count || len(counts) != 1 {
			t.Errorf("%s: %v, %v, want %d", name, counts, err, test.count)
		}
	}
}

// All shards of a scan send all its packets, each at the rate, and each waits.
func TestForecasts(t *testing.T) {
	c := mustLoad(t, minimal+"probes: [v1]\nshards: 3\nrate: 40\ncooldown: 5\ntrace: {ttl: 2-7}\nverify: {rounds: 4}\n")
	st, err := c.Begin("test")
	if err != nil {
		t.Fatal(err)
	}
	var packets, perHost []uint64
	for _, f := range c.Forecasts(st.Steps, map[string]uint64{dataset.IPv4: 100}) {
		if f.Packets > 0 {
			packets = append(packets, f.Packets)
			if f.Takes != 6*time.Second {
				t.Errorf("%d packets take %v, want one second and the cooldown", f.Packets, f.Takes)
			}
		}
		if f.PerHost > 0 {
			perHost = append(perHost, f.PerHost)
		}
	}
	if len(packets) != 3 || packets[0]+packets[1]+packets[2] != 100 {
		t.Errorf("packets %v", packets)
	}
	if len(perHost) != 2 || perHost[0] != 2*6 || perHost[1] != 2*4 {
		t.Errorf("a host gets %v", perHost)
	}
}
