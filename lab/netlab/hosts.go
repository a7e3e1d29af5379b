package netlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/mpcensus/mpcensus/lab/responder"
	"github.com/mpcensus/mpcensus/lab/scenario"
)

// countReplies lets nftables count what real hosts send, at the router that all
// of it passes, so that it compares with rows like the replies of simulated
// ones. A reply does not show which probe it answers; the router remembers the
// last SYN of each flow for a minute. What goes to and from the chains passes
// here too, and is not counted; nor are replies to SYNs with a lower TTL than a
// scan's, which the router has lowered by one when it looks.
func countReplies() string {
	var rules strings.Builder
	var hosts, hosts6 []string
	for _, h := range scenario.Hosts {
		hosts, hosts6 = append(hosts, h.IPv4.String()), append(hosts6, h.IPv6.String())
	}
	for _, family := range []struct{ ip, address, ttl, scanners, hosts string }{
		{"ip", "ipv4_addr", "ttl", ScannerAddr.String(), strings.Join(hosts, ", ")},
		{"ip6", "ipv6_addr", "hoplimit", fmt.Sprintf("{ %s, %s }", scanners[0].SourceIPv6, scanners[1].SourceIPv6), strings.Join(hosts6, ", ")},
	} {
		for _, probe := range markedProbes {
			fmt.Fprintf(&rules, "add set %s lab %s { type %s . inet_service . inet_service; flags dynamic, timeout; timeout 1m; size 262144; }\n",
				family.ip, probe.Probe, family.address)
		}
		fmt.Fprintf(&rules, `
add set %[1]s lab traced { type %[2]s . inet_service . inet_service; flags dynamic, timeout; timeout 1m; size 262144; }
add set %[1]s lab replies { type %[2]s . inet_service . mark; flags dynamic; counter; size 4096; }
add chain %[1]s lab probes
add chain %[1]s lab forward { type filter hook forward priority 0; }
add rule %[1]s lab forward %[1]s saddr != { %[5]s } %[1]s daddr != { %[5]s } return
add rule %[1]s lab forward %[1]s saddr %[3]s tcp flags & (syn | ack) == syn jump probes
add rule %[1]s lab forward %[1]s saddr %[3]s return
add rule %[1]s lab forward tcp flags & (syn | rst) == 0 return
add rule %[1]s lab forward %[1]s saddr . tcp sport . tcp dport @traced return
add rule %[1]s lab forward meta mark set %[4]d
add rule %[1]s lab probes delete @traced { %[1]s daddr . tcp dport . tcp sport }
add rule %[1]s lab probes %[1]s %[6]s < %[7]d add @traced { %[1]s daddr . tcp dport . tcp sport }
`, family.ip, family.address, family.scanners, scenario.Plain, family.hosts, family.ttl, responder.ScanTTL-1)
		for _, probe := range markedProbes {
			fmt.Fprintf(&rules, `
add rule %[1]s lab probes delete @%[2]s { %[1]s daddr . tcp dport . tcp sport }
add rule %[1]s lab probes tcp option %[3]s add @%[2]s { %[1]s daddr . tcp dport . tcp sport }
add rule %[1]s lab forward %[1]s saddr . tcp sport . tcp dport @%[2]s meta mark set %[4]d
`, family.ip, probe.Probe, probe.option, probe.Probe)
		}
		fmt.Fprintf(&rules, "add rule %[1]s lab forward update @replies { %[1]s saddr . tcp sport . meta mark }\n", family.ip)
	}
	return rules.String()
}

// markedProbes are the probes that an option tells from plain ones, as nftables
// matches it: @kind,offset,length in bits. The last that matches counts, so the
// canary, which others may carry too, comes first.
var markedProbes = []struct {
	scenario.Probe
	option string
}{
	{scenario.Canary, "@254,8,24 0x084d43"},
	{scenario.V0, "@30,8,16 0x0c00"},
	{scenario.V1, "@30,8,16 0x0401"},
}

// hostReply counts the replies of one real host's address.
type hostReply struct {
	host    scenario.Host
	family  string
	probe   scenario.Probe
	port    uint16
	replies uint64
}

// hostReplies reads the counters of countReplies.
func (n *network) hostReplies() (counts []hostReply, err error) {
	for _, family := range []string{"ip", "ip6"} {
		out, err := n.internet.runNft("", "--json", "list", "set", family, "lab", "replies")
		if err != nil {
			return nil, fmt.Errorf("read counters of the real hosts' replies: %w", err)
		}
		more, err := parseReplies(out)
		if err != nil {
			return nil, fmt.Errorf("read counters of the real hosts' replies: %w", err)
		}
		counts = append(counts, more...)
	}
	return counts, nil
}

// parseReplies decodes libnftables-json(5).
func parseReplies(text []byte) ([]hostReply, error) {
	var list struct {
		Nftables []struct {
			Set struct {
				Elem []struct {
					Elem struct {
						Val struct {
							Concat [3]json.RawMessage // address, port, mark
						}
						Counter struct{ Packets uint64 }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	var counts []hostReply
	for _, item := range list.Nftables {
		for _, e := range item.Set.Elem {
			c := hostReply{replies: e.Elem.Counter.Packets}
			var address netip.Addr
			key := e.Elem.Val.Concat
			if err := errors.Join(json.Unmarshal(key[0], &address), json.Unmarshal(key[1], &c.port), json.Unmarshal(key[2], &c.probe)); err != nil {
				return nil, err
			}
			var ok bool
			if c.host, ok = scenario.HostAt(address); !ok || int(c.probe) >= scenario.Probes {
				return nil, fmt.Errorf("no host has address %s, or no probe mark %d", address, c.probe)
			}
			c.family = scenario.FamilyOf(address)
			counts = append(counts, c)
		}
	}
	return counts, nil
}

// addHosts adds the real hosts' replies to counts, which have their SYNs.
func addHosts(counts *responder.Counts, replies []hostReply) {
	for _, r := range replies {
		i := slices.IndexFunc(counts.Targets, func(c responder.Count) bool {
			return c.Behaviour == r.host.Behaviour.String() && c.Family == r.family && c.Probe == r.probe.String() && c.Port == r.port
		})
		if i < 0 { // a port where nobody listens
			i = len(counts.Targets)
			counts.Targets = append(counts.Targets, responder.Count{
				Behaviour: r.host.Behaviour.String(), Family: r.family, Probe: r.probe.String(), Port: r.port,
			})
		}
		counts.Targets[i].Replies += r.replies
		counts.Replies += r.replies
	}
}
