package campaign

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/targets"
)

// Forecast is what a step will send, as far as that can be known before.
type Forecast struct {
	Packets uint64        // of a shard: about, as ZMap deals out targets at random; all shards together send exactly what they say
	Takes   time.Duration // of sending and waiting; 0 if nothing is sent
	// PerHost is what each potential host gets: packets of a trace, connections of a verification.
	PerHost uint64
}

// TargetCounts are the numbers of addresses by family that the campaign probes on each port: what it names
// without what is on the blocklist. progress may be nil.
func (c *Campaign) TargetCounts(ctx context.Context, blocklist *targets.Blocklist, progress func(targets.Summary)) (map[string]uint64, error) {
	counts := map[string]uint64{}
	for _, family := range c.families() {
		var err error
		if counts[family], err = c.targetCount(ctx, family, blocklist, progress); err != nil {
			return nil, err
		}
		if counts[family] == 0 {
			return nil, fmt.Errorf("targets.%s: no target is left: all that are named are on the blocklist", family)
		}
	}
	return counts, nil
}

func (c *Campaign) targetCount(ctx context.Context, family string, blocklist *targets.Blocklist, progress func(targets.Summary)) (uint64, error) {
	t := c.Targets[family]
	input := targets.Input{Name: "addresses", Text: strings.NewReader(strings.Join(t.Addresses, "\n"))}
	switch {
	case t.Hitlist == "" && family == targets.IPv4.String():
		if err := blocklist.Check(targets.IPv4); err != nil {
			return 0, err
		}
		var prefixes []netip.Prefix
		for _, text := range t.Addresses {
			prefix, err := parseTarget(text)
			if err != nil {
				return 0, err
			}
			prefixes = append(prefixes, prefix)
		}
		return blocklist.Outside(prefixes), nil
	case t.Hitlist != "":
		indexed, err := targets.IsTargetFile(t.Hitlist)
		if err != nil {
			return 0, err
		}
		if indexed {
			file, err := targets.Open(t.Hitlist)
			if err != nil {
				return 0, err
			}
			defer file.Close()
			if file.Family.String() != family {
				return 0, fmt.Errorf("%s: has targets of %s, not of %s", t.Hitlist, file.Family, family)
			}
			blocked, which, err := file.Blocked(blocklist)
			if err == nil && blocked > 0 {
				err = fmt.Errorf("%s: %d of %d targets are on the blocklist, the first is %s: build the file with this blocklist (mpcensus targets build --blocklist)",
					t.Hitlist, blocked, file.Count, which)
			}
			return file.Count, err
		}
		text, err := os.Open(t.Hitlist)
		if err != nil {
			return 0, err
		}
		defer text.Close()
		input = targets.Input{Name: t.Hitlist, Text: text}
	}
	folder, err := os.MkdirTemp("", "mpcensus-dry-run-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	of := map[string]targets.Family{targets.IPv4.String(): targets.IPv4, targets.IPv6.String(): targets.IPv6}[family]
	summary, err := targets.Build(ctx, filepath.Join(folder, "targets"),
		targets.Params{Inputs: []targets.Input{input}, Blocklist: blocklist, Family: of, Progress: progress})
	return summary.Written, err
}

// Forecasts are those of steps of the campaign, given the number of addresses by family.
func (c *Campaign) Forecasts(steps []StepState, counts map[string]uint64) []Forecast {
	forecasts := make([]Forecast, len(steps))
	for i, s := range steps {
		f := &forecasts[i]
		switch s.Stage {
		case StageScan:
			f.Packets = counts[s.Family] / c.Shards
			if s.Shard < counts[s.Family]%c.Shards {
				f.Packets++
			}
			f.Takes = takes(f.Packets, c.Rate, c.Cooldown)
		case StageTrace:
			first, last := ttls(c.Trace.TTL)
			f.PerHost = 2 * (last - first + 1) // the probe and its control
		case StageVerify:
			f.PerHost = 2 * c.Verify.Rounds // MPTCP and TCP
		}
	}
	return forecasts
}

// takes is how long a scan takes: sending, and waiting for the last replies.
func takes(packets, rate, cooldown uint64) time.Duration {
	return time.Duration((packets+rate-1)/rate+cooldown) * time.Second
}
