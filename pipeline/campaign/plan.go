package campaign

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/targets"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Stage is a kind of work, all of which is done before the next stage begins.
type Stage string

// The stages in their order. A campaign has those that its file asks for.
const (
	StageTargets  Stage = "targets" // hitlists and IPv6 addresses become target files
	StageScan     Stage = "scan"
	StageEnrich   Stage = "enrich"
	StageClassify Stage = "classify" // whom to follow up
	StageTrace    Stage = "trace"
	StageVerify   Stage = "verify"
	StageConclude Stage = "conclude" // classify again: final verdicts
	StageReport   Stage = "report"
)

// Step is a command of mpcensus: the smallest part of a campaign that is done or not.
type Step struct {
	Stage     Stage    `json:"stage"`
	Title     string   `json:"title"`     // what it works on, unique in its stage; empty if there is nothing else
	Arguments []string `json:"arguments"` // of mpcensus
	// What scans, traces and verifications are of.
	Family string `json:"family,omitempty"`
	Port   uint16 `json:"port,omitempty"`
	Probe  string `json:"probe,omitempty"`
	Shard  uint64 `json:"shard,omitempty"`
	// Campaign is the scan's in the table scans: shared by the probes of a port.
	Campaign string `json:"campaign,omitempty"`
}

// Name reads: scan ipv4 443 v1 shard 0 of 2
func (s *Step) Name() string { return strings.TrimSpace(string(s.Stage) + " " + s.Title) }

// Folder is where a campaign keeps its state, in its dataset.
func (c *Campaign) Folder() string { return filepath.Join(c.Dataset, dataset.CampaignsFolder, c.Name) }

// spools is where the rows of a scan are until they are in the dataset. It is not the dataset's own folder of
// unfinished work: mpcensus ingest --resume would add half a scan.
func (c *Campaign) spools() string { return filepath.Join(c.Folder(), "spool") }

// Plan is the steps of a campaign in their order. The same campaign and seed give the same plan.
//
// All probes of a shard go out one after the other before the next shard begins, for it is they that are
// compared: the less time between them, the better.
func (c *Campaign) Plan(seed uint64) ([]Step, error) {
	var steps []Step
	add := func(stage Stage, title string, command string, arguments ...string) *Step {
		steps = append(steps, Step{Stage: stage, Title: title, Arguments: append([]string{command}, arguments...)})
		return &steps[len(steps)-1]
	}
	inDataset := []string{"--dataset", c.Dataset}

	scanned := map[string][]string{} // what ends the command line of a family's scans
	for _, family := range c.families() {
		t := c.Targets[family]
		if t.Hitlist == "" && family == dataset.IPv4 {
			scanned[family] = t.Addresses // which ZMap permutes by itself
			continue
		}
		hitlist := cmp.Or(t.Hitlist, c.addressFile(family))
		if t.Hitlist != "" {
			indexed, err := targets.IsTargetFile(t.Hitlist)
			if err != nil {
				return nil, err
			}
			if indexed {
				scanned[family] = []string{"--targets", t.Hitlist}
				continue
			}
		}
		s := add(StageTargets, family, "targets", slices.Concat(
			[]string{"build", "--out", c.targetFile(family), "--family", family}, c.blocklist(), []string{hitlist})...)
		s.Family = family
		scanned[family] = []string{"--targets", c.targetFile(family)}
	}

	for _, family := range c.families() {
		for _, port := range c.Ports {
			for shard := range c.Shards {
				for _, probe := range c.Probes {
					title := fmt.Sprintf("%s %d %s", family, port, probe)
					if c.Shards > 1 {
						title += fmt.Sprintf(" shard %d of %d", shard, c.Shards)
					}
					s := add(StageScan, title, "scan", slices.Concat(inDataset,
						[]string{"--port", strconv.Itoa(int(port)), "--probe", probe,
							"--shards", decimal(c.Shards), "--shard", decimal(shard), "--seed", decimal(seed)},
						c.sending(family, c.Rate, c.Cooldown), scanned[family])...)
					s.Family, s.Port, s.Probe, s.Shard = family, port, probe, shard
					s.Campaign = fmt.Sprintf("%s-%s-%d", c.Name, family, port)
				}
			}
		}
	}

	if e := c.Enrich; e != nil {
		arguments := inDataset
		for _, file := range e.ASN {
			arguments = append(arguments, "--asn", file)
		}
		for _, file := range e.Country {
			arguments = append(arguments, "--country", file)
		}
		if e.Date != "" {
			arguments = append(arguments, "--date", e.Date)
		}
		add(StageEnrich, "", "enrich", arguments...)
	}
	add(StageClassify, "", "classify", inDataset...)
	c.followUp(seed, add)
	if c.Trace != nil || c.Verify != nil {
		add(StageConclude, "", "classify", inDataset...)
	}
	if c.Report != "" {
		add(StageReport, "", "report", append(inDataset, "--out", c.Report)...)
	}
	return steps, nil
}

// followUp adds traces and verifications.
func (c *Campaign) followUp(seed uint64, add func(stage Stage, title, command string, arguments ...string) *Step) {
	step := func(stage Stage, command, family string, port uint16, probe string, arguments ...string) {
		of := []string{"--dataset", c.Dataset, "--family", family, "--port", strconv.Itoa(int(port)), "--probe", probe}
		s := add(stage, fmt.Sprintf("%s %d %s", family, port, probe), command, append(of, arguments...)...)
		s.Family, s.Port, s.Probe = family, port, probe
	}
	if t := c.Trace; t != nil {
		for _, family := range c.families() {
			for _, port := range c.Ports {
				for _, probe := range t.Probes {
					step(StageTrace, "trace", family, port, probe,
						append([]string{"--ttl", t.TTL, "--seed", decimal(seed)}, c.sending(family, t.Rate, t.Cooldown)...)...)
				}
			}
		}
	}
	if v := c.Verify; v != nil {
		for _, family := range c.families() {
			for _, port := range slices.Sorted(maps.Keys(v.Protocols)) {
				step(StageVerify, "verify", family, port, zmap.ProbeV1, slices.Concat(
					[]string{"--protocol", v.Protocols[port], "--rounds", decimal(v.Rounds)}, v.limits(), c.blocklist())...)
			}
		}
	}
}

// limits are the flags of mpcensus verify that bound what it does.
func (v *Verify) limits() (flags []string) {
	for _, limit := range []struct {
		flag  string
		value uint64
		unit  string
	}{
		{"--rate", v.Rate, ""}, {"--connections", v.Connections, ""},
		{"--connect-timeout", v.ConnectTimeout, "s"}, {"--timeout", v.Timeout, "s"}, {"--max-response", v.MaxResponse, ""},
	} {
		if limit.value != 0 {
			flags = append(flags, limit.flag, decimal(limit.value)+limit.unit)
		}
	}
	return flags
}

// sending are the flags that scans and traces have in common.
func (c *Campaign) sending(family string, rate, cooldown uint64) []string {
	flags := append([]string{"--rate", decimal(rate), "--cooldown", decimal(cooldown)}, c.blocklist()...)
	for _, optional := range [][2]string{
		{"--interface", c.Interface}, {"--source-ip", c.Source[family]}, {"--gateway-mac", c.Gateway},
	} {
		if optional[1] != "" {
			flags = append(flags, optional[:]...)
		}
	}
	return flags
}

func (c *Campaign) blocklist() []string {
	if c.Blocklist == DefaultBlocklist {
		return nil
	}
	return []string{"--blocklist", c.Blocklist}
}

// targetFile is the file that all scans of a family share.
func (c *Campaign) targetFile(family string) string {
	return filepath.Join(c.Folder(), family+".targets")
}

// addressFile is the hitlist that IPv6 addresses in the campaign's file become.
func (c *Campaign) addressFile(family string) string {
	return filepath.Join(c.Folder(), family+".txt")
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
