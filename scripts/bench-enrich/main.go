// Command bench-enrich measures how fast addresses get their AS and country, with as many ranges as
// ip-location-db has of AS (411,961 of IPv4 and 103,197 of IPv6): look-ups from addresses as text, by two
// goroutines, beside those of MaxMind's format in the same process; then `mpcensus enrich` over hosts
// that it makes. It is given the mpcensus to measure.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/enrich"
)

const (
	lookUps    = 74_000_000
	hosts      = 10_000_000
	ranges4    = 411_961
	ranges6    = 103_197
	goroutines = 2
	rounds     = 3
	seed       = 20261123
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bench-enrich bin/mpcensus")
		os.Exit(2)
	}
	// An interrupt, too, must leave nothing behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-enrich:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, mpcensus string) error {
	dir, err := os.MkdirTemp("", "bench-enrich-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	prefixes := makePrefixes()
	asn, mmdb := filepath.Join(dir, "asn.csv"), filepath.Join(dir, "asn.mmdb")
	if err := writeSources(prefixes, asn, mmdb); err != nil {
		return err
	}
	fmt.Printf("%d ranges, %d CPUs\n\n", len(prefixes), runtime.NumCPU())
	seconds, err := benchLookUps(ctx, asn, mmdb, addressesIn(prefixes))
	if err != nil {
		return err
	}
	run, peakMB, err := benchCommand(ctx, mpcensus, dir, asn, mmdb)
	if err != nil {
		return err
	}
	fmt.Printf("\nbench-enrich: %d look-ups %.1f s, MMDB %.1f s; %d hosts %.1f s %.0f MB\n",
		lookUps, seconds[0], seconds[1], hosts, run, peakMB)
	return nil
}

// makePrefixes are disjoint prefixes of about the sizes that the Internet has, with gaps between them.
func makePrefixes() (all []netip.Prefix) {
	random := rand.New(rand.NewPCG(seed, 0))
	for next := uint64(1 << 24); len(all) < ranges4; {
		bits := 16 + random.IntN(9)
		if random.IntN(3) > 0 {
			bits = 22 + random.IntN(3)
		}
		size := uint64(1) << (32 - bits)
		next = (next + size - 1) / size * size
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(next)))), bits))
		if next += size; next > 223<<24 {
			next = 1 << 24
			all = all[:0] // too large: begin again with other sizes
		}
	}
	for next := uint64(0x2a00 << 48); len(all) < ranges4+ranges6; {
		bits := 29 + random.IntN(20)
		size := uint64(1) << (64 - bits)
		next = (next + size - 1) / size * size
		b := binary.BigEndian.AppendUint64(nil, next)
		all = append(all, netip.PrefixFrom(netip.AddrFrom16([16]byte(append(b, make([]byte, 8)...))), bits))
		next += size
	}
	return all
}

// writeSources writes the prefixes with their AS in both formats.
func writeSources(prefixes []netip.Prefix, asn, mmdb string) error {
	file, err := os.Create(asn)
	if err != nil {
		return err
	}
	defer file.Close()
	text := bufio.NewWriter(file)
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "bench", IPVersion: 6, RecordSize: 28, IncludeReservedNetworks: true})
	if err != nil {
		return err
	}
	for i, p := range prefixes {
		number := uint32(1 + i%80_000)
		name := fmt.Sprintf("Network %d, Inc.", number)
		network := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
		last := slices.Clone(network.IP)
		for j := range last {
			last[j] |= ^network.Mask[j]
		}
		fmt.Fprintf(text, "%v,%v,%d,\"%s\"\n", p.Addr(), last, number, name)
		if err := tree.Insert(network, mmdbtype.Map{
			"autonomous_system_number": mmdbtype.Uint32(number), "autonomous_system_organization": mmdbtype.String(name),
			"country_code": mmdbtype.String([]string{"BE", "DE", "US"}[i%3]),
		}); err != nil {
			return err
		}
	}
	if err := text.Flush(); err != nil {
		return err
	}
	out, err := os.Create(mmdb)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = tree.WriteTo(out)
	return err
}

// addressesIn are addresses as text, ten of IPv4 for one of IPv6, in random order.
func addressesIn(prefixes []netip.Prefix) []string {
	random := rand.New(rand.NewPCG(seed, 1))
	texts := make([]string, 1<<21)
	for i := range texts {
		p := prefixes[random.IntN(ranges4)]
		if i%11 == 10 {
			p = prefixes[ranges4+random.IntN(ranges6)]
		}
		b := p.Addr().AsSlice()
		b[len(b)-1] |= byte(random.IntN(256))
		a, _ := netip.AddrFromSlice(b)
		texts[i] = a.String()
	}
	return texts
}

// benchLookUps returns the medians of seconds: ours, and those of the library that reads MMDB.
func benchLookUps(ctx context.Context, asn, mmdb string, texts []string) ([2]float64, error) {
	source, err := enrich.ReadSource(ctx, asn, enrich.ASN, "")
	if err != nil {
		return [2]float64{}, err
	}
	networks := enrich.Merge([]*enrich.Source{source})
	db, err := maxminddb.Open(mmdb)
	if err != nil {
		return [2]float64{}, err
	}
	defer db.Close()
	contenders := []struct {
		name   string
		lookUp func(netip.Addr) uint32
	}{
		{"Networks.Lookup", func(a netip.Addr) uint32 { return networks.Lookup(a).ASN }},
		{"maxminddb-golang", func(a netip.Addr) uint32 {
			var record struct {
				ASN  uint32 `maxminddb:"autonomous_system_number"`
				Name string `maxminddb:"autonomous_system_organization"`
			}
			if db.Lookup(a).Decode(&record) != nil {
				return 0
			}
			return record.ASN
		}},
	}
	var seconds [2][]float64
	var found [2]uint64
	for range rounds {
		for i, c := range contenders {
			start := time.Now()
			found[i] = lookUpAll(texts, c.lookUp)
			seconds[i] = append(seconds[i], time.Since(start).Seconds())
			if ctx.Err() != nil {
				return [2]float64{}, ctx.Err()
			}
		}
	}
	if found[0] != found[1] {
		return [2]float64{}, fmt.Errorf("%s and %s differ: sums %d and %d", contenders[0].name, contenders[1].name, found[0], found[1])
	}
	fmt.Printf("| %d look-ups from text, %d goroutines | seconds: median (min–max) | ns a look-up and goroutine |\n|---|---|---|\n", lookUps, goroutines)
	for i, c := range contenders {
		fmt.Printf("| `%s` | %.1f (%.1f–%.1f) | %.0f |\n", c.name, median(seconds[i]), slices.Min(seconds[i]), slices.Max(seconds[i]),
			median(seconds[i])*goroutines/lookUps*1e9)
	}
	return [2]float64{median(seconds[0]), median(seconds[1])}, nil
}

// lookUpAll returns the sum of what is found.
func lookUpAll(texts []string, lookUp func(netip.Addr) uint32) (sum uint64) {
	sums := make([]uint64, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := g; i < lookUps; i += goroutines {
				a, _ := netip.ParseAddr(texts[i%len(texts)])
				sums[g] += uint64(lookUp(a))
			}
		})
	}
	wg.Wait()
	for _, s := range sums {
		sum += s
	}
	return sum
}

// benchCommand returns seconds and peak memory in MB of one run of mpcensus enrich.
func benchCommand(ctx context.Context, mpcensus, dir, asn, mmdb string) (seconds, peakMB float64, err error) {
	census := filepath.Join(dir, "census")
	if err := writeHosts(ctx, census); err != nil {
		return 0, 0, err
	}
	command := exec.CommandContext(ctx, mpcensus, "enrich", "--dataset", census, "--asn", asn, "--country", mmdb)
	command.Stderr = os.Stderr
	start := time.Now()
	if err := command.Run(); err != nil {
		return 0, 0, fmt.Errorf("mpcensus enrich: %w", err)
	}
	seconds = time.Since(start).Seconds()
	state := command.ProcessState
	peakMB = float64(state.SysUsage().(*syscall.Rusage).Maxrss) / 1000
	fmt.Printf("\n| `mpcensus enrich`, %d hosts | %.1f s | %.1f CPU s | %.0f MB |\n|---|---|---|---|\n",
		hosts, seconds, (state.UserTime() + state.SystemTime()).Seconds(), peakMB)
	return seconds, peakMB, nil
}

// writeHosts writes hosts of one scan, in the order of their addresses, as classify does.
func writeHosts(ctx context.Context, census string) error {
	if err := os.MkdirAll(census, 0o755); err != nil {
		return err
	}
	db, err := dataset.OpenDuckDB(ctx, census, dataset.DuckDBOptions{})
	if err != nil {
		return err
	}
	defer db.Close()
	key := dataset.Partition{Date: "2026-11-23", Family: dataset.IPv4, Port: 443, Probe: "v1"}
	path := key.Path(census, dataset.HostsTable, "scan", dataset.Parquet)
	return dataset.WriteParquet(ctx, db, fmt.Sprintf(`
		SELECT 'scan' AS scan_id, concat(a >> 24, '.', (a >> 16) & 255, '.', (a >> 8) & 255, '.', a & 255) AS target,
			CASE WHEN h %% 28 = 0 THEN 'mirrored' WHEN h %% 500 = 1 THEN 'potential' ELSE 'no-mptcp' END AS verdict,
			[CASE verdict WHEN 'mirrored' THEN 'option-echo: length 4' WHEN 'potential' THEN 'key-plausible: weight ' || h %% 64
				ELSE 'no-mp-capable' END] AS reasons,
			CASE WHEN verdict = 'potential' THEN h END AS sender_key,
			bit_count(sender_key)::UTINYINT AS key_weight, NULL::UTINYINT AS key_distance, NULL::VARCHAR AS canary, 1::UINTEGER AS replies
		FROM (SELECT 16777216 + i * 350 + hash(i) %% 350 AS a, hash(i + 1) AS h FROM range(%d) t(i))
		ORDER BY a`, hosts), path)
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }
