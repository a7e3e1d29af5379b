package campaign

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

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
		"rate":          {float64(c.Rate), schema.Properties["rate"].Default},
		"cooldown":      {float64(c.Cooldown), schema.Properties["cooldown"].Default},
		"shards":        {float64(c.Shards), schema.Properties["shards"].Default},
		"trace.ttl":     {c.Trace.TTL, schema.Properties["trace"].Properties["ttl"].Default},
		"verify.rounds": {float64(c.Verify.Rounds), schema.Properties["verify"].Properties["rounds"].Default},
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
