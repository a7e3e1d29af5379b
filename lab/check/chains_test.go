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
