package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/targets"
)

// scanTargets is what a scan probes, and what it leaves alone.
type scanTargets struct {
	permuted  []string    // what ZMap is given: IPv4 addresses and CIDRs, or the set of the file's indices
	file      string      // target file; empty: ZMap probes what it is given
	checked   os.FileInfo // of the file, when it was held against the blocklist
	count     uint64      // of the file
	sha256    string      // of the file
	first     netip.Addr  // whose route stands for all targets
	blocklist string      // file for ZMap
	temporary []string    // files to remove when the scan is over
}

func (t *scanTargets) family() string {
	if t.first.Is4() {
		return dataset.IPv4
	}
	return dataset.IPv6
}

func (t *scanTargets) remove() {
	for _, name := range t.temporary {
		os.Remove(name)
	}
}

// targetsOf reads the targets of a command line. A hitlist becomes a target file, and so do IPv6
// addresses; IPv4 addresses and CIDRs that stand on the command line are ZMap's own business.
func targetsOf(c *cli.Context) (t scanTargets, err error) {
	named, list := c.Args().Slice(), c.String("targets")
	switch {
	case len(named) == 0 && list == "":
		return t, usageErrorf("no targets: name addresses, CIDRs or --targets FILE")
	case len(named) > 0 && list != "":
		return t, usageErrorf("targets are named both as arguments and by --targets %s: choose one", list)
	}
	blocklist, err := blocklistOf(c)
	if err != nil {
		return t, fmt.Errorf("no scan without a blocklist: %w", err)
	}
	if list == "" {
		err = t.name(c, named, blocklist)
	} else {
		err = t.read(c, list, blocklist)
	}
	if err != nil {
		t.remove()
	}
	return t, err
}

// read takes the targets of a file.
func (t *scanTargets) read(c *cli.Context, name string, blocklist *targets.Blocklist) error {
	if name != "-" {
		indexed, err := targets.IsTargetFile(name)
		if err != nil {
			return err
		}
		if indexed {
			return t.open(name, blocklist)
		}
	}
	text, err := openHitlist(name)
	if err != nil {
		return err
	}
	defer text.Close()
	return t.build(c, targets.Input{Name: name, Text: text}, blocklist)
}

// name takes the targets on the command line.
func (t *scanTargets) name(c *cli.Context, named []string, blocklist *targets.Blocklist) error {
	ipv4 := true
	for _, text := range named {
		prefix, err := parseTarget(text)
		if err != nil {
			return usageErrorf("%v", err)
		}
		ipv4 = ipv4 && prefix.Addr().Is4()
		if !t.first.IsValid() {
			// The first that is probed: what comes before it, such as 0.0.0.0, may have no route.
			t.first = blocklist.FirstOutside(prefix)
		}
	}
	if !ipv4 {
		return t.build(c, targets.Input{Name: "command line", Text: strings.NewReader(strings.Join(named, "\n"))}, blocklist)
	}
	if err := blocklist.Check(targets.IPv4); err != nil {
		return err
	}
	if !t.first.IsValid() {
		return errors.New("no target is left: all that are named are on the blocklist")
	}
	t.permuted = named
	file, err := t.createTemp("mpcensus-blocklist-*.conf")
	if err != nil {
		return err
	}
	t.blocklist = file.Name()
	if err := blocklist.WriteIPv4(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// parseTarget reads an address or CIDR.
func parseTarget(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("target %q is neither an address nor a CIDR", text)
	}
	return prefix, nil
}

// build makes a temporary target file of a hitlist.
func (t *scanTargets) build(c *cli.Context, hitlist targets.Input, blocklist *targets.Blocklist) error {
	file, err := t.createTemp("mpcensus-*.targets")
	if err != nil {
		return err
	}
	file.Close()
	summary, err := buildTargets(c.Context, file.Name(), targets.Params{Inputs: []targets.Input{hitlist}, Blocklist: blocklist})
	if err != nil {
		return err
	}
	newStatusLine().message(fmt.Sprintf("%s: %s", hitlist.Name, targetsText(summary)))
	return t.open(file.Name(), blocklist)
}

// open takes a target file, if nothing in it is on the blocklist.
func (t *scanTargets) open(name string, blocklist *targets.Blocklist) error {
	if strings.Contains(name, ",") {
		return fmt.Errorf("%s: the probe module takes no path with a comma: rename the file", name)
	}
	var err error
	if t.checked, err = os.Stat(name); err != nil {
		return err
	}
	file, err := targets.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := blocklist.Check(file.Family); err != nil {
		return err
	}
	blocked, which, err := file.Blocked(blocklist)
	if err != nil {
		return err
	}
	if blocked > 0 {
		return fmt.Errorf("%s: %d of %d targets are on the blocklist, the first is %s: build the file with this blocklist (mpcensus targets build --blocklist)",
			name, blocked, file.Count, which)
	}
	if t.first, err = file.First(); err != nil {
		return err
	}
	if t.sha256, err = file.SHA256(); err != nil {
		return err
	}
	t.file, t.count = name, file.Count
	// The file has been held against the blocklist; what ZMap permutes are indices, not addresses.
	t.permuted, t.blocklist = targets.IndexCIDRs(file.Count), os.DevNull
	return nil
}

// unchanged refuses a target file that is no longer the one that was held against the blocklist.
func (t *scanTargets) unchanged() error {
	if t.file == "" {
		return nil
	}
	now, err := os.Stat(t.file)
	if err != nil {
		return err
	}
	if !os.SameFile(now, t.checked) || now.Size() != t.checked.Size() || !now.ModTime().Equal(t.checked.ModTime()) {
		return fmt.Errorf("%s has changed since it was checked against the blocklist: start again, and leave it alone until the end", t.file)
	}
	return nil
}

func (t *scanTargets) createTemp(pattern string) (*os.File, error) {
	file, err := os.CreateTemp("", pattern)
	if err == nil {
		t.temporary = append(t.temporary, file.Name())
	}
	return file, err
}
