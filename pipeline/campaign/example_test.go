package campaign

import (
	"encoding/json"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/verify"
	"github.com/mpcensus/mpcensus/schemas"
)

// The example is accepted, and is what the documentation shows.
func TestExample(t *testing.T) {
	const name = "../../testdata/campaigns/example.yaml"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := parseDocument(name, text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.campaign()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Probes) != 4 || c.Trace.Cooldown != 8 || c.Verify.Protocols[80] != "http" || !strings.HasSuffix(c.Dataset, "/testdata/campaigns/census") {
		t.Errorf("%+v", c)
	}
	docs, err := os.ReadFile("../../docs/campaigns.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(text), "\n") // without its comment
	if !strings.Contains(string(docs), "```yaml\n"+shown+"```\n") {
		t.Error("docs/campaigns.md shows another example")
	}
}

// What the schema calls defaults is what a minimal campaign has.
func TestDefaults(t *testing.T) {
	type property struct {
		Description string
		Default     any
		Properties  map[string]property
	}
	var schema property
	if err := json.Unmarshal(schemas.Campaign, &schema); err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, minimal+"trace: {}\nverify: {}\n")
	for place, test := range map[string]struct {
		got  any
		want any
	}{
		"rate":                   {float64(c.Rate), schema.Properties["rate"].Default},
		"cooldown":               {float64(c.Cooldown), schema.Properties["cooldown"].Default},
		"shards":                 {float64(c.Shards), schema.Properties["shards"].Default},
		"trace.ttl":              {c.Trace.TTL, schema.Properties["trace"].Properties["ttl"].Default},
		"verify.rounds":          {float64(c.Verify.Rounds), schema.Properties["verify"].Properties["rounds"].Default},
		"verify.connect_timeout": {float64(c.Verify.ConnectTimeout), schema.Properties["verify"].Properties["connect_timeout"].Default},
		"verify.timeout":         {float64(c.Verify.Timeout), schema.Properties["verify"].Properties["timeout"].Default},
	} {
		if test.got != test.want {
			t.Errorf("%s: %v, the schema says %v", place, test.got, test.want)
		}
	}
	docs, err := os.ReadFile("../../docs/campaigns.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range schema.Properties {
		if p.Description == "" && p.Properties == nil {
			t.Errorf("%s has no description", name)
		}
		if !strings.Contains(string(docs), "`"+name) {
			t.Errorf("docs/campaigns.md lacks %s", name)
		}
	}
}

// Limits that the schema allows are allowed by mpcensus verify: else a campaign would end after its scans.
func TestVerifyLimits(t *testing.T) {
	limits := schemaAt([]string{"verify"}).Properties
	value := func(limit *big.Rat) int {
		n, _ := limit.Float64()
		return int(n)
	}
	for _, greatest := range []bool{false, true} {
		of := func(name string) int {
			if greatest {
				return value(limits[name].Maximum)
			}
			return value(limits[name].Minimum)
		}
		p := verify.Params{
			Protocol: verify.TLS, Rounds: of("rounds"), Rate: of("rate"), Connections: of("connections"),
			ConnectTimeout: time.Duration(of("connect_timeout")) * time.Second,
			Timeout:        time.Duration(of("timeout")) * time.Second, MaxResponse: int64(of("max_response")),
		}
		if err := p.Validate(); err != nil || p.ConnectTimeout <= verify.MinConnectTimeout {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
