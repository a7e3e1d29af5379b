// Package campaign carries out a census as one file describes it, so that it survives any death.
//
//	document, schema   the file: YAML, held against schemas/campaign.schema.json, errors with lines
//	Campaign           what it says, checked
//	Plan               the steps that follow from it, each a command of mpcensus
//	State              how far they have come: a file in the dataset, replaced as a whole
//	Run                does the steps that are not done
//	Forecast           says what they will send
//
// # What a death costs
//
// A step is done when the state says so. What a process was at when it died is found out from the dataset:
//
//   - A scan lies in a spool until ZMap has ended, and only then begins to become part of the dataset, under
//     a name that is in the state by then. A spool that is not whole is dropped, and its shard scanned again.
//   - A trace or verification is in the dataset when the table traces or verifications lists it, which is
//     the last that it does. The state has what was listed before it began.
//   - All else can be done again: it replaces what it did before.
//
// # Dates
//
// The date of a campaign is the UTC date on which its first scan began. All its scans lie in that
// partition, also those that began after midnight or after a death: they are one picture of the Internet, and
// what compares dates compares campaigns. The times in the table scans say when each really was.
package campaign

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Campaign is what a campaign's file says, with defaults filled in and absolute paths.
// schemas/campaign.schema.json has the meaning of each.
type Campaign struct {
	Name      string             `json:"name"`
	Dataset   string             `json:"dataset"`
	Targets   map[string]Targets `json:"targets"`   // by family
	Blocklist string             `json:"blocklist"` // a path, or DefaultBlocklist
	Ports     []uint16           `json:"ports"`
	Probes    []string           `json:"probes"`
	Rate      uint64             `json:"rate"`
	Cooldown  uint64             `json:"cooldown"`
	Shards    uint64             `json:"shards"`
	Seed      uint64             `json:"seed,omitempty"` // 0: random
	Interface string             `json:"interface,omitempty"`
	Source    map[string]string  `json:"source,omitempty"` // by family
	Gateway   string             `json:"gateway,omitempty"`
	Enrich    *Enrich            `json:"enrich,omitempty"`
	Trace     *Trace             `json:"trace,omitempty"`
	Verify    *Verify            `json:"verify,omitempty"`
	Report    string             `json:"report,omitempty"`
}

// Targets are one or the other.
type Targets struct {
	Addresses []string `json:"addresses,omitempty"` // and CIDRs
	Hitlist   string   `json:"hitlist,omitempty"`
}

// Enrich names files for mpcensus enrich.
type Enrich struct {
	ASN     []string `json:"asn,omitempty"`
	Country []string `json:"country,omitempty"`
	Date    string   `json:"date,omitempty"`
}

// Trace says how paths are traced.
type Trace struct {
	Probes   []string `json:"probes"`
	TTL      string   `json:"ttl"` // FIRST-LAST
	Rate     uint64   `json:"rate"`
	Cooldown uint64   `json:"cooldown"`
}

// Verify says how connections are made. What is zero is left to mpcensus verify.
type Verify struct {
	Protocols      map[uint16]string `json:"protocols"`
	Rounds         uint64            `json:"rounds"`
	Rate           uint64            `json:"rate,omitempty"`
	Connections    uint64            `json:"connections,omitempty"`
	ConnectTimeout uint64            `json:"connect_timeout"`        // seconds
	Timeout        uint64            `json:"timeout"`                // seconds
	MaxResponse    uint64            `json:"max_response,omitempty"` // bytes
}

// What the schema calls defaults.
const (
	defaultRate           = 1000
	defaultCooldown       = 8
	defaultShards         = 1
	defaultTTL            = "1-24"
	defaultRounds         = 3
	defaultConnectTimeout = 6
	defaultTimeout        = 15
)

// DefaultBlocklist is what a campaign's file calls the blocklist that is built in.
const DefaultBlocklist = "default"

// pairedProbes are the scans of a paired campaign in their order, the control first, as in scan --paired.
var pairedProbes = []string{zmap.ProbePlain, zmap.ProbeV0, zmap.ProbeV1, zmap.ProbeCanary}

// protocols are what ports usually speak.
var protocols = map[uint16]string{80: "http", 443: "tls"}

// Load reads and checks a campaign's file. Errors name the file, the line and what is allowed.
func Load(name string) (*Campaign, error) {
	d, err := readDocument(name)
	if err != nil {
		return nil, err
	}
	return d.campaign()
}

func (d *document) campaign() (*Campaign, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if top := d.value.(map[string]any); top["probes"] == nil || top["probes"] == "paired" {
		top["probes"] = pairedProbes
	}
	text, err := json.Marshal(d.value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	c := Campaign{Rate: defaultRate, Cooldown: defaultCooldown, Shards: defaultShards}
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	if err := d.checkMeaning(&c); err != nil {
		return nil, err
	}
	c.fillIn()
	return &c, c.makeAbsolute(filepath.Dir(d.name))
}

// fillIn sets defaults that hinge on other values.
func (c *Campaign) fillIn() {
	if t := c.Trace; t != nil {
		if t.Probes == nil {
			t.Probes = c.scanned(zmap.ProbeV0, zmap.ProbeV1)
		}
		if t.TTL == "" {
			t.TTL = defaultTTL
		}
		if t.Rate == 0 {
			t.Rate = c.Rate
		}
		if t.Cooldown == 0 {
			t.Cooldown = c.Cooldown
		}
	}
	if v := c.Verify; v != nil {
		if v.Rounds == 0 {
			v.Rounds = defaultRounds
		}
		if v.ConnectTimeout == 0 {
			v.ConnectTimeout = defaultConnectTimeout
		}
		if v.Timeout == 0 {
			v.Timeout = defaultTimeout
		}
		if v.Protocols == nil {
			v.Protocols = c.usualProtocols()
		}
	}
}

// scanned are those of the probes that the campaign scans with.
func (c *Campaign) scanned(probes ...string) (found []string) {
	for _, probe := range probes {
		if slices.Contains(c.Probes, probe) {
			found = append(found, probe)
		}
	}
	return found
}

func (c *Campaign) usualProtocols() map[uint16]string {
	usual := map[uint16]string{}
	for _, port := range c.Ports {
		if protocol, ok := protocols[port]; ok {
			usual[port] = protocol
		}
	}
	return usual
}

// checkMeaning checks what the schema cannot.
func (d *document) checkMeaning(c *Campaign) error {
	if strings.Contains(c.Dataset, "://") {
		return d.errorf([]string{"dataset"}, "dataset: it is a local folder, which classify, trace and report need")
	}
	for _, family := range slices.Sorted(maps.Keys(c.Targets)) {
		for i, text := range c.Targets[family].Addresses {
			if ip, err := parseTarget(text); err != nil || familyOf(ip.Addr()) != family {
				at := []string{"targets", family, "addresses", strconv.Itoa(i)}
				return d.errorf(at, "%s: %s is neither an %s address nor a CIDR", placeOf(at), text, familyName(family))
			}
		}
	}
	for _, family := range slices.Sorted(maps.Keys(c.Source)) {
		at := []string{"source", family}
		if ip, err := netip.ParseAddr(c.Source[family]); err != nil || ip.Zone() != "" || familyOf(ip) != family {
			return d.errorf(at, "%s: %s is no %s address", placeOf(at), c.Source[family], familyName(family))
		}
		if _, ok := c.Targets[family]; !ok {
			return d.errorf(at, "%s: there are no %s targets", placeOf(at), familyName(family))
		}
	}
	if e := c.Enrich; e != nil {
		at := []string{"enrich", "date"}
		if _, err := time.Parse(time.DateOnly, e.Date); e.Date != "" && err != nil {
			return d.errorf(at, "%s: %s is no date", placeOf(at), e.Date)
		}
		if e.ASN == nil && e.Country == nil {
			return d.errorf([]string{"enrich"}, "enrich: names no file: list some as asn or country")
		}
	}
	if err := d.checkTrace(c); err != nil {
		return err
	}
	return d.checkVerify(c)
}

func (d *document) checkTrace(c *Campaign) error {
	t := c.Trace
	if t == nil {
		return nil
	}
	for i, probe := range t.Probes {
		if at := []string{"trace", "probes", strconv.Itoa(i)}; !slices.Contains(c.Probes, probe) {
			return d.errorf(at, "%s: %s is not among the probes: its potential hosts would not be known", placeOf(at), probe)
		}
	}
	if c.scanned(zmap.ProbeV0, zmap.ProbeV1) == nil {
		return d.errorf([]string{"trace"}, "trace: neither v0 nor v1 is among the probes: there would be no potential hosts")
	}
	if at := []string{"trace", "ttl"}; t.TTL != "" {
		if first, last := ttls(t.TTL); first > last || last > 64 {
			return d.errorf(at, "%s: %s: %s", placeOf(at), t.TTL, schemaAt(at).Description)
		}
	}
	return nil
}

// ttls reads FIRST-LAST, as the schema has it.
func ttls(text string) (first, last uint64) {
	a, b, _ := strings.Cut(text, "-")
	first, _ = strconv.ParseUint(a, 10, 8)
	last, _ = strconv.ParseUint(b, 10, 8)
	return first, last
}

func (d *document) checkVerify(c *Campaign) error {
	v := c.Verify
	if v == nil {
		return nil
	}
	if !slices.Contains(c.Probes, zmap.ProbeV1) {
		return d.errorf([]string{"verify"}, "verify: v1 is not among the probes: kernels speak no other version")
	}
	for _, port := range slices.Sorted(maps.Keys(v.Protocols)) {
		if !slices.Contains(c.Ports, port) {
			at := []string{"verify", "protocols", strconv.Itoa(int(port))}
			return d.errorf(at, "%s: port %d is not among the ports", placeOf(at), port)
		}
	}
	if connect, all := cmp.Or(v.ConnectTimeout, defaultConnectTimeout), cmp.Or(v.Timeout, defaultTimeout); all < connect {
		return d.errorf([]string{"verify"}, "verify: a connection has %d seconds, of which %d to be established: timeout is no less than connect_timeout", all, connect)
	}
	if v.Protocols == nil && len(c.usualProtocols()) == 0 {
		return d.errorf([]string{"verify"}, "verify: neither 80 nor 443 is among the ports: name protocols, such as {8080: http}")
	}
	return nil
}

// makeAbsolute makes paths independent of the folder that a process is in.
func (c *Campaign) makeAbsolute(folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	absolute := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(folder, path)
	}
	c.Dataset, c.Report = absolute(c.Dataset), absolute(c.Report)
	if c.Blocklist != DefaultBlocklist {
		c.Blocklist = absolute(c.Blocklist)
	}
	for family, t := range c.Targets {
		t.Hitlist = absolute(t.Hitlist)
		c.Targets[family] = t
	}
	if c.Enrich != nil {
		for _, files := range [][]string{c.Enrich.ASN, c.Enrich.Country} {
			for i := range files {
				files[i] = absolute(files[i])
			}
		}
	}
	return nil
}

// inputs are the files that the campaign reads. Each must be there.
func (c *Campaign) inputs() ([]string, error) {
	var files []string
	if c.Blocklist != DefaultBlocklist {
		files = append(files, c.Blocklist)
	}
	for _, family := range c.families() {
		if hitlist := c.Targets[family].Hitlist; hitlist != "" {
			files = append(files, hitlist)
		}
	}
	if c.Enrich != nil {
		files = append(append(files, c.Enrich.ASN...), c.Enrich.Country...)
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// families are those of the targets, IPv4 first.
func (c *Campaign) families() []string { return slices.Sorted(maps.Keys(c.Targets)) }

func familyOf(ip netip.Addr) string {
	if ip.Is4() {
		return dataset.IPv4
	}
	return dataset.IPv6
}

func familyName(family string) string {
	return map[string]string{dataset.IPv4: "IPv4", dataset.IPv6: "IPv6"}[family]
}

// parseTarget reads an address or CIDR.
func parseTarget(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		if ip.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%s has a zone", text)
		}
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}
