package check

import (
	"strings"
	"testing"
)

// What a census finds of three of the real chains: one clean, one that strips SYNs, one that drops them.
const chainCensus = `
UPDATE scans SET probe = 'v1';
DELETE FROM truth;
INSERT INTO hosts VALUES
	('198.19.2.1', 'ipv4', 443, 'v1', 'potential', NULL, 's1'),
	('198.19.2.2', 'ipv4', 443, 'v1', 'no-mptcp', NULL, 's1')`

func TestCompareChains(t *testing.T) {
	r := compare(t, chainCensus)
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	// Those that answered are right, and so is the one whose SYNs are dropped; of the other IPv4 hosts, rows
	// are missing.
	for _, c := range r.Chains {
		switch name := strings.TrimPrefix(c.Behaviour, "chain "); {
		case c.Family != "ipv4":
			t.Errorf("%s: %s was not scanned", name, c.Family)
		case name == "clean" && (c.Expected != "potential" || c.Found != "potential"),
			name == "strip-syn" && (c.Expected != "no-mptcp" || c.Found != "no-mptcp"),
			name == "drop" && (c.Expected != "no row" || c.Found != "no row"),
			name == "strip-data" && (c.Expected != "potential" || c.Found != "no row"):
			t.Errorf("%s: expected %s, found %s", name, c.Expected, c.Found)
		}
	}
	if !strings.Contains(out.String(), "chains checked 22, wrong 19\n") {
		t.Errorf("printed\n%s", &out)
	}
	// They are no part of the population: its matrix has no host without truth.
	for _, c := range r.Verdicts {
		if strings.HasPrefix(c.Behaviour, "not in the lab") && c.Found == "potential" && c.Probe == "v1" {
			t.Errorf("%+v", c)
		}
	}
}

// TestChainConnections: connections that do not all end as they should do not pass for those that do.
func TestChainConnections(t *testing.T) {
	r := compare(t, chainCensus, `INSERT INTO grabs VALUES
		('198.19.2.1', 'ipv4', 443, 'mptcp', 'ok', NULL, true, true, 1),
		('198.19.2.1', 'ipv4', 443, 'mptcp', 'ok', 'at-connect', false, false, 1),
		('198.19.2.2', 'ipv4', 443, 'mptcp', 'ok', 'at-connect', false, false, 1),
		('198.19.2.2', 'ipv4', 443, 'mptcp', 'ok', 'at-connect', false, false, 1),
		('198.19.2.2', 'ipv4', 443, 'tcp', 'timeout', NULL, NULL, NULL, 1),
		('198.19.2.3', 'ipv4', 443, 'mptcp', 'ok', 'at-connect', false, false, 1),
		('198.19.2.3', 'ipv4', 443, 'tcp', 'ok', NULL, NULL, NULL, 1),
		('198.19.2.9', 'ipv4', 443, 'mptcp', 'reset', NULL, true, NULL, 1),
		('198.19.2.11', 'ipv4', 443, 'mptcp', 'refused', NULL, NULL, NULL, NULL)`)
	found := make(map[string]string)
	for _, c := range r.Chains {
		if c.Family == "ipv4" {
			found[strings.TrimPrefix(c.Behaviour, "chain ")] = c.Found
		}
	}
	for name, want := range map[string]string{
		"clean":        "potential; fallback-at-connect, proven",
		"strip-syn":    "no-mptcp; fallback-at-connect, plain TCP timeout",
		"strip-synack": "no row; fallback-at-connect",
		"answer":       "no row; broken",
		"reset":        "no row; refused",
		"nat":          "no row; no row",
	} {
		if found[name] != want {
			t.Errorf("%s: found %q, want %q", name, found[name], want)
		}
	}
}
