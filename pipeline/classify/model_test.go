package classify

import (
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// model is the rules for one scan of a dataset written again, row by row and slowly. Only the tests on a
// single key, on groups and on weights are shared with the SQL; package keys has its own models of them.
func model(scan Scan, all map[Scan][]reply) (hosts []host) {
	replies, repeated := all[scan], repetitions(all)
	rank := map[string]int{"synack": 0, "rst": 1, "icmp": 2}
	earlier := func(a, b reply) bool { // a came after b in the files
		switch {
		case rank[a.classification] != rank[b.classification]:
			return rank[a.classification] < rank[b.classification]
		case a.time < 0 || b.time < 0:
			return a.time >= 0 && b.time < 0
		}
		return a.time < b.time
	}
	decides := make(map[string]reply)
	count := make(map[string]int)
	for _, r := range replies {
		if d, ok := decides[r.saddr]; !ok || earlier(r, d) {
			decides[r.saddr] = r
		}
		count[r.saddr]++
	}
	judge := func(r reply) (verdict string, reasons []string) {
		hit := func(v, reason string) {
			if verdict == "" {
				verdict = v
			}
			reasons = append(reasons, reason)
		}
		switch {
		case r.classification == "rst":
			hit("closed", "rst")
			return
		case r.classification == "icmp":
			hit("unreachable", fmt.Sprintf("icmp: type %d code %d from %s", r.icmpType, r.code, r.responder))
			return
		case r.mptcp == "":
			hit("no-mptcp", "no-mp-capable: options not recorded")
			return
		case r.mptcp == "none":
			hit("no-mptcp", "no-mp-capable")
			return
		case r.mptcp == "other":
			hit("no-mptcp", "other-subtype")
			return
		case r.mptcp == "malformed" && r.length < 0:
			hit("implausible", "malformed-option")
			return
		case r.mptcp == "malformed":
			hit("implausible", fmt.Sprint("malformed-option: length ", r.length))
			return
		}
		if scan.Probe == "plain" || scan.Probe == "canary" {
			hit("implausible", "unsolicited-mp-capable")
		} else if "v"+fmt.Sprint(r.version) != scan.Probe {
			hit("implausible", fmt.Sprint("wrong-version: ", r.version))
		}
		if r.echo() {
			if r.key == nil {
				hit("mirrored", "option-echo: length 4")
			} else {
				hit("mirrored", "key-echo: distance 0")
			}
		} else if r.key == nil {
			hit("implausible", "no-key")
		}
		key := strange(r)
		if key == nil {
			return
		}
		if *key == 0 {
			hit("implausible", "zero-key")
		}
		// What was made from a poor key of ours is poor too, so it is no sign of the host's own doing.
		low := keys.ByteValues(*key) <= 3
		ourFault := low && r.sent != nil && keys.ByteValues(*r.sent) <= 3
		if low && !ourFault {
			hit("implausible", fmt.Sprintf("low-entropy: %d byte values", keys.ByteValues(*key)))
		}
		owner := ""
		for _, other := range decides {
			if other.sent != nil && *other.sent == *key && (owner == "" || other.saddr < owner) {
				owner = other.saddr
			}
		}
		if owner != "" {
			hit("tampered", "key-replayed: sent to "+owner)
		}
		if r.sent != nil {
			d := bits.OnesCount64(*key ^ *r.sent)
			if d <= 8 || d >= 56 {
				hit("tampered", fmt.Sprintf("key-distance: %d bits, chance %.1e", d, keys.DistanceChance(d)))
			}
			if n := keys.BytesKept(*key, *r.sent); n >= 4 {
				hit("tampered", fmt.Sprintf("bytes-kept: %d of 8", n))
			}
			switch how := keys.Rearranged(*key, *r.sent); how {
			case "":
				if n, by := keys.Shifted(*key, *r.sent); n > 0 && keys.BytesKept(*key, *r.sent) < 4 {
					hit("tampered", fmt.Sprintf("key-shifted: %d bytes by %+d", n, by))
				}
			case "reversed":
				hit("tampered", "key-reversed")
			default:
				hit("tampered", "key-swapped: "+how)
			}
		}
		if ourFault {
			hit("implausible", fmt.Sprintf("low-entropy: %d byte values", keys.ByteValues(*key)))
		}
		if n := mostKeys(r.saddr, replies); n > 1 {
			hit("implausible", fmt.Sprintf("key-changed: %d keys with one sequence number", n))
		}
		if reason := repeated[*key]; reason != "" {
			hit("implausible", reason)
		}
		return
	}

	type verdict struct {
		verdict string
		reasons []string
	}
	verdicts := make(map[string]verdict)
	for saddr, r := range decides {
		v, reasons := judge(r)
		verdicts[saddr] = verdict{v, reasons}
	}
	against, about := make(map[string][]string), make(map[string][]string) // reasons by target
	for kind := range 3 {
		members := make(map[string][]string) // of each group: targets that nothing speaks against so far
		for saddr, v := range verdicts {
			if name := groupsOf(saddr)[kind]; v.verdict == "" && against[saddr] == nil && name != "" {
				members[name] = append(members[name], saddr)
			}
		}
		var groups []keys.Group
		for _, name := range slices.Sorted(maps.Keys(members)) {
			group := keys.Group{Name: name}
			for _, saddr := range members[name] {
				group.Keys = append(group.Keys, *decides[saddr].key)
			}
			slices.Sort(group.Keys)
			groups = append(groups, group)
		}
		for _, f := range keys.TestGroups(slices.Values(groups), keys.GroupFDR) {
			for _, saddr := range members[f.Group] {
				switch {
				case f.Suspects == nil && f.Group == "the scan":
				case f.Suspects == nil:
					about[saddr] = append(about[saddr], f.Reason)
				case slices.Contains(f.Suspects, *decides[saddr].key):
					against[saddr] = append(against[saddr], f.Reason)
				}
			}
		}
	}

	var left keys.Histogram
	for saddr, v := range verdicts {
		if v.verdict == "" && against[saddr] == nil {
			left[bits.OnesCount64(*decides[saddr].key)]++
		}
	}
	weights := keys.TestWeights(left, keys.FDR)
	for saddr, r := range decides {
		verdict, reasons := verdicts[saddr].verdict, verdicts[saddr].reasons
		excess := -1.0
		found := against[saddr]
		if found == nil {
			found = about[saddr]
		}
		slices.Sort(found)
		switch {
		case verdict != "":
		case against[saddr] != nil:
			verdict, reasons = "implausible", append(found, reasons...)
		default:
			verdict = "potential"
			w := weights.Weights[bits.OnesCount64(*r.key)]
			if !weights.TooFew {
				excess = w.Probability
			}
			if w.Outlier {
				reasons = append(reasons, fmt.Sprintf("weight-outlier: weight %d, p %s, excess %.0f (%.0f–%.0f) of %d keys, probability %.2f",
					w.Weight, keys.FormatP(w.P), w.Excess, w.ExcessLow, w.ExcessHigh, w.Observed, w.Probability))
			}
			if w.Condemned {
				verdict = "implausible"
			} else {
				reason := fmt.Sprintf("key-plausible: weight %d", w.Weight)
				if r.sent != nil {
					reason += fmt.Sprintf(", distance %d", bits.OnesCount64(*r.key^*r.sent))
				}
				reasons = append(reasons, reason)
			}
			reasons = append(reasons, found...)
		}
		canary := ""
		if r.classification == "synack" {
			canary = r.canary
		}
		switch canary {
		case "mirrored":
			reasons = append(reasons, "canary-mirrored")
			if verdict == "potential" {
				verdict = "mirrored"
			}
		case "altered":
			reasons = append(reasons, "canary-altered")
		}
		if conflict := conflictOf(saddr, replies); conflict != "" {
			reasons = append(reasons, conflict)
		}
		h := host{target: saddr, verdict: verdict, reasons: reasons, replies: count[saddr], canary: canary, excess: excess, options: r.options}
		h.asn, h.asName, h.country = networkOf(saddr)
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b host) int {
		return netip.MustParseAddr(a.target).Compare(netip.MustParseAddr(b.target))
	})
	return hosts
}

// strange is a key that came back, as far as it is the target's own.
func strange(r reply) *uint64 {
	if r.classification != "synack" || r.mptcp != "capable" || r.echo() {
		return nil
	}
	return r.key
}

// mostKeys counts the keys of the connection of a target that has most of them.
func mostKeys(saddr string, replies []reply) int {
	found := make(map[string]map[uint64]bool)
	most := 0
	for _, r := range replies {
		if r.saddr != saddr || r.classification != "synack" || r.mptcp != "capable" || r.key == nil || r.dport < 0 || r.seqnum < 0 {
			continue
		}
		connection := fmt.Sprint(r.dport, r.seqnum)
		if found[connection] == nil {
			found[connection] = make(map[uint64]bool)
		}
		found[connection][*r.key] = true
		most = max(most, len(found[connection]))
	}
	return most
}

// repetitions are the reasons that keys give which came from several targets, or in several scans.
func repetitions(all map[Scan][]reply) map[uint64]string {
	type sighting struct{ target, packet, scan string }
	sightings := make(map[uint64][]sighting)
	for scan, replies := range all {
		for _, r := range replies {
			if k := strange(r); k != nil {
				target := fmt.Sprint(r.saddr, " ", scan.Port)
				packet := fmt.Sprint(target, " ", r.time)
				if r.time < 0 { // not known
					packet += scan.ID
				}
				sightings[*k] = append(sightings[*k], sighting{target, packet, scan.ID})
			}
		}
	}
	reasons := make(map[uint64]string)
	for key, found := range sightings {
		first := make(map[string]string) // of a packet: the first scan that has it
		for _, s := range found {
			if id, ok := first[s.packet]; !ok || s.scan < id {
				first[s.packet] = s.scan
			}
		}
		targets, scans, pairs := make(map[string]bool), make(map[string]bool), make(map[string]bool)
		for _, s := range found {
			id := first[s.packet]
			targets[s.target], scans[id], pairs[s.target+id] = true, true, true
		}
		if len(pairs) < 2 {
			continue
		}
		reasons[key] = fmt.Sprintf("repeated-key: %d targets", len(targets))
		if len(targets) == 1 {
			reasons[key] = "repeated-key: 1 target"
		}
		if len(scans) > 1 {
			reasons[key] += fmt.Sprintf(", %d scans", len(scans))
		}
	}
	return reasons
}

// conflictOf is the reason that a target gives whose replies differ.
func conflictOf(saddr string, replies []reply) string {
	kinds := map[string]map[string]bool{"synack": {}, "rst": {}, "icmp": {}}
	for _, r := range replies {
		if r.saddr != saddr {
			continue
		}
		content := ""
		if r.classification == "synack" {
			key := "none"
			if r.key != nil {
				key = fmt.Sprint(*r.key)
			}
			content = fmt.Sprint(r.mptcp, r.version, r.flags, r.length, key, r.canary)
		}
		kinds[r.classification][content] = true
	}
	all := 0
	var parts []string
	for _, kind := range []string{"synack", "rst", "icmp"} {
		if n := len(kinds[kind]); n > 0 {
			all += n
			parts = append(parts, fmt.Sprint(n, " ", kind))
		}
	}
	if all < 2 {
		return ""
	}
	return "conflicting-replies: " + strings.Join(parts, ", ")
}

// networkOf is what addNetworks says of an address.
func networkOf(saddr string) (asn int, name, country string) {
	a := netip.MustParseAddr(saddr).As16()
	switch {
	case strings.HasPrefix(saddr, "198.18.") && a[14] < 8:
		return 64500, "Example", "ZZ"
	case strings.HasPrefix(saddr, "198."):
		return 64501, "", ""
	case a[7] == 1 && a[8] < 0x80:
		return 64500, "Example", ""
	}
	return -1, "", ""
}

// groupsOf are the groups that an address is in: the scan, its AS (empty if not known) and its prefix.
func groupsOf(saddr string) [3]string {
	groups := [3]string{0: "the scan"}
	if asn, _, _ := networkOf(saddr); asn >= 0 {
		groups[1] = fmt.Sprint("AS", asn)
	}
	a := netip.MustParseAddr(saddr)
	if a.Is4() {
		b := a.As4()
		groups[2] = fmt.Sprintf("%d.%d.%d.0/24", b[0], b[1], b[2])
	} else {
		b := a.As16()
		clear(b[6:])
		groups[2] = netip.AddrFrom16(b).String() + "/48"
	}
	return groups
}

// randomReplies draws from pools small enough that keys, targets and times collide, the keys also with
// those that were known from other scans. Each network of 256 addresses has a box of its own, whose keys
// are constant in part.
func randomReplies(rng *rand.Rand, scan Scan, n int, known *[]uint64) (replies []reply) {
	address := func() string {
		if scan.Family == "ipv6" {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(rng.IntN(3)), 15: byte(rng.IntN(n / 6))}).String()
		}
		return netip.AddrFrom4([4]byte{198, 18, byte(rng.IntN(n/200 + 1)), byte(rng.IntN(256))}).String()
	}
	sentTo := make(map[string]uint64)
	for range n {
		saddr := address()
		sent, ok := sentTo[saddr]
		if !ok {
			sent = weight16(rng)
			if rng.IntN(10) == 0 && len(*known) > 0 {
				sent = 0x0f0f_0f0f_0000_0000 // as if static
			}
			sentTo[saddr] = sent
		}
		key := rng.Uint64()
		switch rng.IntN(16) {
		case 0:
			key = sent
		case 1:
			key = sent
			for range 1 + rng.IntN(12) {
				key ^= 1 << rng.IntN(64)
			}
		case 2:
			key = sent&^(1<<(8*rng.IntN(8))-1) | key&(1<<(8*rng.IntN(8))-1)
		case 3:
			key = []uint64{bits.ReverseBytes64(sent), bits.RotateLeft64(sent, 32), bits.RotateLeft64(sent, 16), ^sent}[rng.IntN(4)]
		case 4:
			key = []uint64{0, 0x42, 0x4242_4242_4242_4242, 0x0102_0301_0203_0102}[rng.IntN(4)]
		case 5:
			if len(*known) > 0 {
				key = (*known)[rng.IntN(len(*known))]
			}
		case 6:
			key = 0
			for range 5 {
				key |= 1 << rng.IntN(64)
			}
		case 7, 8:
			network := uint64(netip.MustParseAddr(saddr).As16()[14])
			key = key&0xffffffff_ff00 | (0x9d00+network)<<48 | 0x2f
		case 9:
			key = sent<<8 | key&0xff
		}
		*known = append(*known, key, sent)

		var r reply
		switch rng.IntN(12) {
		case 0:
			r = rst(saddr)
		case 1:
			r = icmp(saddr, "198.18.0.7", 3, rng.IntN(4))
		case 2:
			r = synack(saddr, []string{"none", "other", "malformed", ""}[rng.IntN(4)])
			if r.mptcp == "malformed" {
				r.length = rng.IntN(9) - 1
			}
		case 3:
			r = echoV1(saddr)
			r.version = rng.IntN(2)
		case 4:
			r = capableV1(saddr, key)
		default:
			if r = capableV1(saddr, key); scan.Probe == "v0" {
				r = capableV0(saddr, key, sent)
			}
		}
		if scan.Probe != "plain" && r.classification != "icmp" {
			r.canary = []string{"", "none", "none", "mirrored", "altered"}[rng.IntN(5)]
		}
		r.options = []string{"", "2-4-8-1-3-30", "2-30"}[rng.IntN(3)]
		if rng.IntN(3) == 0 {
			r = r.from(40000+rng.IntN(2), 1+rng.IntN(2))
		}
		if r.time = rng.IntN(n); rng.IntN(4) == 0 {
			r.time = -1
		}
		replies = append(replies, r)
	}
	return replies
}

// Scans of one dataset, with keys that came in several of them.
func TestAgainstModel(t *testing.T) {
	for seed, n := range []int{60, 700, 3000} {
		rng := rand.New(rand.NewPCG(uint64(seed), 1))
		dir := t.TempDir()
		addNetworks(t, dir)
		all := make(map[Scan][]reply)
		var known []uint64
		scans := []Scan{scanV0, scanV1, scanPlain, scanCanary, scanIPv6}
		for _, scan := range scans {
			replies := randomReplies(rng, scan, n, &known)
			cut := rng.IntN(len(replies))
			addScan(t, dir, scan, replies[:cut], replies[cut:])
			all[scan] = replies
		}
		kinds := make(map[string]int)
		c := classifier(t, dir)
		for _, scan := range scans {
			result, err := c.Hosts(t.Context(), scan)
			if err != nil {
				t.Fatal(err)
			}
			got, want := readHosts(t, dir, scan), model(scan, all)
			if len(got) != len(want) {
				t.Fatalf("seed %d, %s: %d hosts, want %d", seed, scan.ID, len(got), len(want))
			}
			verdicts := make(map[string]uint64)
			for i := range got {
				verdicts[got[i].verdict]++
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("seed %d, %s:\n got %v\nwant %v", seed, scan.ID, got[i], want[i])
				}
				for _, reason := range got[i].reasons {
					kind, _, _ := strings.Cut(reason, ":")
					kinds[kind]++
				}
			}
			if !reflect.DeepEqual(result.Verdicts, verdicts) {
				t.Errorf("seed %d, %s: result counts %v, file %v", seed, scan.ID, result.Verdicts, verdicts)
			}
		}
		for _, kind := range []string{"repeated-key", "key-changed", "key-shifted", "constant-byte", "weight-outlier"} {
			if n == 3000 && kinds[kind] == 0 {
				t.Errorf("no host is %s: %v", kind, kinds)
			}
		}
	}
}
