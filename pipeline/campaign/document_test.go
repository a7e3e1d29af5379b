package campaign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// minimal has all that a campaign needs, a key a line.
const minimal = `name: test
dataset: census
blocklist: default
targets:
  ipv4: {addresses: [198.18.0.0/24]}
ports: [443]
`

func load(t *testing.T, text string) (*Campaign, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(name)
}

func mustLoad(t *testing.T, text string) *Campaign {
	t.Helper()
	c, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Each error is one line that has the file, the line of the mistake, the place and what is allowed.
func TestErrors(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string // the first is what the error begins with
	}{
		"empty":              {"", []string{"c.yaml: is empty", "mpcensus run --help"}},
		"comment only":       {"# nothing\n", []string{"c.yaml", "empty"}},
		"no mapping":         {"- a\n", []string{"c.yaml:1: a campaign is a mapping of keys"}},
		"no YAML":            {"name: test\n  dataset: b: c\n", []string{"c.yaml:2: ", "mapping values"}},
		"two documents":      {minimal + "---\nname: b\n", []string{"c.yaml:7: a second document"}},
		"key twice":          {minimal + "name: b\n", []string{"c.yaml:7: name is there twice, first in line 1"}},
		"inner key twice":    {minimal + "trace:\n  ttl: 1-4\n  ttl: 1-5\n", []string{"c.yaml:9: trace.ttl is there twice, first in line 8"}},
		"alias":              {"name: &a test\ndataset: *a\n", []string{"c.yaml:2: *a", "write it out"}},
		"merge":              {minimal + "trace:\n  <<: {ttl: 1-4}\n", []string{"c.yaml:8: a key is a word"}},
		"long key":           {minimal + "? " + strings.Repeat("k", 300_000) + "\n: [" + strings.Repeat("1,", 300_000) + "]\n", []string{"c.yaml:7: a key is a word, of 64 bytes at most"}},
		"key of two lines":   {minimal + "\"a\\nb\": 1\n", []string{"c.yaml:7: a key is a word"}},
		"deep":               {strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000), []string{"c.yaml:1: values within values"}},
		"unknown key":        {minimal + "speed: 5\n", []string{"c.yaml:7: speed is unknown: allowed are blocklist, cooldown, dataset, enrich"}},
		"unknown inner":      {minimal + "trace:\n  ttl: 1-4\n  hops: 7\n", []string{"c.yaml:9: trace.hops is unknown: allowed are cooldown, probes, rate, ttl"}},
		"unknown family":     {strings.Replace(minimal, "ipv4", "ipv5", 1), []string{"c.yaml:5: targets.ipv5 is unknown: allowed are ipv4, ipv6"}},
		"missing":            {strings.Replace(minimal, "name: test\n", "", 1), []string{"c.yaml:1: name is missing: name of the campaign"}},
		"no blocklist":       {strings.Replace(minimal, "blocklist: default\n", "", 1), []string{"c.yaml:1: blocklist is missing", "default"}},
		"nothing there":      {minimal + "trace:\n", []string{"c.yaml:7: trace is empty", "traces the paths"}},
		"word for number":    {minimal + "rate: fast\n", []string{"c.yaml:7: rate: it is probes a second, 1 to 2147483647"}},
		"fraction":           {minimal + "rate: 1.5\n", []string{"c.yaml:7: rate: ", "1 to 2147483647"}},
		"zero":               {minimal + "rate: 0\n", []string{"c.yaml:7: rate: ", "1 to 2147483647"}},
		"too many shards":    {minimal + "shards: 255\n", []string{"c.yaml:7: shards: ", "1 to 254"}},
		"port 0":             {strings.Replace(minimal, "[443]", "[443, 0]", 1), []string{"c.yaml:6: ports[1]: it is TCP port, 1 to 65535"}},
		"port twice":         {strings.Replace(minimal, "[443]", "[443, 80, 443]", 1), []string{"c.yaml:6: ports: items 1 and 3 are the same"}},
		"one port":           {strings.Replace(minimal, "[443]", "443", 1), []string{"c.yaml:6: ports: it is TCP ports, a list"}},
		"bad name":           {strings.Replace(minimal, "test", "../x", 1), []string{"c.yaml:1: name: it is name of the campaign", "letters, digits"}},
		"hidden name":        {strings.Replace(minimal, "test", ".x", 1), []string{"c.yaml:1: name: "}},
		"probe":              {minimal + "probes: [v1, v7]\n", []string{"c.yaml:7: probes: it is what SYNs carry: paired"}},
		"probe word":         {minimal + "probes: v1\n", []string{"c.yaml:7: probes: it is what SYNs carry: paired"}},
		"both":               {strings.Replace(minimal, "]}\n", "], hitlist: h}\n", 1), []string{"c.yaml:5: targets.ipv4: it is either addresses"}},
		"other family":       {strings.Replace(minimal, "198.18.0.0/24", "198.18.0.0/24, 2001:db8::1", 1), []string{"c.yaml:5: targets.ipv4.addresses[1]: 2001:db8::1 is neither an IPv4 address nor a CIDR"}},
		"no address":         {strings.Replace(minimal, "198.18.0.0/24", "example.org", 1), []string{"c.yaml:5: targets.ipv4.addresses[0]: example.org is neither"}},
		"source family":      {minimal + "source: {ipv4: '2001:db8::1'}\n", []string{"c.yaml:7: source.ipv4: 2001:db8::1 is no IPv4 address"}},
		"source of nothing":  {minimal + "source: {ipv6: '2001:db8::1'}\n", []string{"c.yaml:7: source.ipv6: there are no IPv6 targets"}},
		"gateway":            {minimal + "gateway: 192.0.2.1\n", []string{"c.yaml:7: gateway: it is MAC address"}},
		"object store":       {strings.Replace(minimal, "census", "s3://census", 1), []string{"c.yaml:2: dataset: it is a local folder"}},
		"ttl order":          {minimal + "trace: {ttl: 9-3}\n", []string{"c.yaml:7: trace.ttl: 9-3: least and greatest TTL"}},
		"ttl range":          {minimal + "trace: {ttl: 1-65}\n", []string{"c.yaml:7: trace.ttl: 1-65: ", "64"}},
		"ttl text":           {minimal + "trace: {ttl: 24}\n", []string{"c.yaml:7: trace.ttl: it is least and greatest TTL"}},
		"traced, not probed": {minimal + "probes: [v1]\ntrace:\n  probes:\n    - v1\n    - v0\n", []string{"c.yaml:11: trace.probes[1]: v0 is not among the probes"}},
		"nothing to trace":   {minimal + "probes: [plain]\ntrace: {}\n", []string{"c.yaml:8: trace: neither v0 nor v1"}},
		"nothing to verify":  {minimal + "probes: [v0]\nverify: {}\n", []string{"c.yaml:8: verify: v1 is not among the probes"}},
		"verify port":        {minimal + "verify:\n  protocols:\n    443: tls\n    80: http\n", []string{"c.yaml:10: verify.protocols.80: port 80 is not among the ports"}},
		"verify protocol":    {minimal + "verify:\n  protocols:\n    443: ssh\n", []string{"c.yaml:9: verify.protocols.443: it is http or tls"}},
		"verify key":         {minimal + "verify: {protocols: {70000: tls}}\n", []string{"c.yaml:7: verify.protocols.70000 is unknown: it is which of the ports"}},
		"verify no port":     {strings.Replace(minimal, "443", "8080", 1) + "verify: {}\n", []string{"c.yaml:7: verify: neither 80 nor 443"}},
		"verify timeouts":    {minimal + "verify: {timeout: 5}\n", []string{"c.yaml:7: verify: a connection has 5 seconds, of which 6 to be established"}},
		"enrich nothing":     {minimal + "enrich: {date: 2026-11-01}\n", []string{"c.yaml:7: enrich: names no file"}},
		"enrich date":        {minimal + "enrich: {asn: [a], date: 2026-13-01}\n", []string{"c.yaml:7: enrich.date: 2026-13-01 is no date"}},
		"first of several":   {minimal + "rate: x\nports: [0]\nspeed: 3\n", []string{"c.yaml:8: ports is there twice"}},
		"the first line":     {minimal + "cooldown: x\nrate: y\n", []string{"c.yaml:7: cooldown: it is seconds"}},
		"too large":          {minimal + strings.Repeat("#", maxFile), []string{"c.yaml: a campaign's file has at most"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, test.text)
			if err == nil {
				t.Fatalf("accepted:\n%s", test.text)
			}
			text := err.Error()
			_, text, _ = strings.Cut(text, t.Name()[strings.LastIndex(t.Name(), "/")+1:])
			if i := strings.Index(err.Error(), "c.yaml"); i >= 0 {
				text = err.Error()[i:]
			}
			if !strings.HasPrefix(text, test.want[0]) {
				t.Errorf("%q does not begin with %q", text, test.want[0])
			}
			for _, want := range test.want {
				if !strings.Contains(text, want) || strings.Contains(text, "\n") {
					t.Errorf("no %q in the one line %q", want, text)
				}
			}
		})
	}
}

// Whatever is in a file, loading it ends, with a campaign or one line.
func FuzzLoad(f *testing.F) {
	f.Add(minimal)
	f.Add(minimal + "probes: [plain, v1]\nverify: {protocols: {443: tls}}\nenrich: {asn: [a], date: 2026-11-01}\n")
	f.Add("a: &a [*a]\n")
	f.Add("? {a: b}\n: c\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDocument("c.yaml", []byte(text))
		if err == nil {
			var c *Campaign
			if c, err = d.campaign(); err == nil {
				if _, err := flatten(*c); err != nil {
					t.Error(err)
				}
				return
			}
		}
		if message := err.Error(); !strings.HasPrefix(message, "c.yaml:") || strings.Contains(message, "\n") {
			t.Errorf("%q", message)
		}
	})
}
