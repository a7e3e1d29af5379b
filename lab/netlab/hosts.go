package netlab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// HostCount is what the kernel of a real host sent from one port, to one kind
// of probe.
type HostCount struct {
	Host      string     `json:"host"`
	Addr      netip.Addr `json:"address"`
	Behaviour string     `json:"behaviour"`
	Probe     string     `json:"probe"`
	Port      uint16     `json:"port"`
	Replies   uint64     `json:"replies"` // SYN-ACKs and RSTs
}

// serve runs a real host: a listener on each port, whose connections and
// replies are the kernel's own.
func (n *Namespace) serve(h scenario.Host) error {
	server := &http.Server{
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, h.Name)
		}),
	}
	var config net.ListenConfig
	config.SetMultipathTCP(h.Behaviour != scenario.KernelTCP)
	for _, port := range scenario.HostPorts {
		err := n.Do(func() error {
			l, err := config.Listen(context.Background(), "tcp4", netip.AddrPortFrom(h.Addr, port).String())
			if err != nil {
				return fmt.Errorf("listen in %s: %w", n.Name, err)
			}
			go server.Serve(l)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// countReplies lets nftables count what real hosts send, at the router that all
// of it passes, so that it compares with rows like the replies of simulated
// ones. A reply does not show which probe it answers; the router remembers the
// last SYN of each flow.
var countReplies = fmt.Sprintf(`
add set ip lab v0 { type ipv4_addr . inet_service . inet_service; flags dynamic; size 262144; }
add set ip lab v1 { type ipv4_addr . inet_service . inet_service; flags dynamic; size 262144; }
add set ip lab replies { type ipv4_addr . inet_service . mark; flags dynamic; counter; size 4096; }

add chain ip lab probes
add rule ip lab probes delete @v0 { ip daddr . tcp dport . tcp sport }
add rule ip lab probes delete @v1 { ip daddr . tcp dport . tcp sport }
add rule ip lab probes tcp option @30,8,16 0x0c00 add @v0 { ip daddr . tcp dport . tcp sport }
add rule ip lab probes tcp option @30,8,16 0x0401 add @v1 { ip daddr . tcp dport . tcp sport }

add chain ip lab forward { type filter hook forward priority 0; }
add rule ip lab forward ip saddr %[1]s tcp flags & (syn | ack) == syn jump probes
add rule ip lab forward ip saddr %[1]s return
add rule ip lab forward tcp flags & (syn | rst) == 0 return
add rule ip lab forward meta mark set %[2]d
add rule ip lab forward ip saddr . tcp sport . tcp dport @v0 meta mark set %[3]d
add rule ip lab forward ip saddr . tcp sport . tcp dport @v1 meta mark set %[4]d
add rule ip lab forward update @replies { ip saddr . tcp sport . meta mark }
`, ScannerAddr, scenario.Plain, scenario.V0, scenario.V1)

// hostCounts reads the counters of countReplies.
func (n *network) hostCounts() ([]HostCount, error) {
	out, err := n.internet.runNft("", "--json", "list", "set", "ip", "lab", "replies")
	if err != nil {
		return nil, fmt.Errorf("read counters of the real hosts' replies: %w", err)
	}
	counts, err := parseReplies(out)
	if err != nil {
		return nil, fmt.Errorf("read counters of the real hosts' replies: %w", err)
	}
	return counts, nil
}

// parseReplies decodes libnftables-json(5).
func parseReplies(text []byte) ([]HostCount, error) {
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
	counts := []HostCount{}
	for _, item := range list.Nftables {
		for _, e := range item.Set.Elem {
			c := HostCount{Replies: e.Elem.Counter.Packets}
			var mark scenario.Probe
			key := e.Elem.Val.Concat
			if err := errors.Join(json.Unmarshal(key[0], &c.Addr), json.Unmarshal(key[1], &c.Port), json.Unmarshal(key[2], &mark)); err != nil {
				return nil, err
			}
			i := slices.IndexFunc(scenario.Hosts, func(h scenario.Host) bool { return h.Addr == c.Addr })
			if i < 0 || int(mark) >= scenario.Probes {
				return nil, fmt.Errorf("no host has address %s, or no probe mark %d", c.Addr, mark)
			}
			c.Host, c.Behaviour, c.Probe = scenario.Hosts[i].Name, scenario.Hosts[i].Behaviour.String(), mark.String()
			counts = append(counts, c)
		}
	}
	slices.SortFunc(counts, func(a, b HostCount) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Probe, b.Probe), a.Addr.Compare(b.Addr))
	})
	return counts, nil
}
