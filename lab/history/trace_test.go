package history

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/lab/scenario"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

func mustTrace(t *testing.T, p TraceParams) (dir string, s Summary) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "traces")
	s, err := WriteTraces(t.Context(), dir, p)
	if err != nil {
		t.Fatal(err)
	}
	return dir, s
}

// fewTraces are of the two last months.
func fewTraces(t *testing.T) TraceParams {
	p := TraceParams{Params: params(t), FirstTTL: 1, LastTTL: 24}
	p.Months = 2
	return p
}

func TestTracesSameBytes(t *testing.T) {
	p := fewTraces(t)
	var first map[string][]byte
	for _, threads := range []int{1, 7} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
		dir, _ := mustTrace(t, p)
		files := contents(t, dir)
		if first == nil {
			first = files
		}
		for name, content := range files {
			if !bytes.Equal(content, first[name]) {
				t.Errorf("%d threads: %s differs", threads, name)
			}
		}
		if len(files) != 2*2*2*2*2 || len(first) != len(files) {
			t.Errorf("%d files", len(files))
		}
	}
}

// answer is a row, as any JSON reader sees it.
type answer struct {
	SAddr          netip.Addr `json:"saddr"`
	SPort          uint16
	DPort          uint16
	Probe          string
	Classification string
	Success        bool
	ProbeTTL       int `json:"probe_ttl"`
	Sent           string
	Responder      netip.Addr
	ICMPType       int `json:"icmp_type"`
	Quote          string
	MPTCP          string
}

func answers(t *testing.T, file []byte) (all []answer) {
	t.Helper()
	reader, err := zstd.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(reader); err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text.Bytes()) {
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		row, err := zmap.DecodeRow(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil || row.ProbeTTL.V != uint8(a.ProbeTTL) || hex.EncodeToString(row.Sent) != a.Sent {
			t.Fatalf("%s: %v: decoded as %+v", line, err, row)
		}
		all = append(all, a)
	}
	return all
}

// Whoever answers is whom the scenario has at that place of the path, and was asked by the SYN of that target and
// TTL, whose 5-tuple is the target's own.
func TestTracesFollowPaths(t *testing.T) {
	p := fewTraces(t)
	dir, summary := mustTrace(t, p)
	population := newPopulation(&p.Params)
	var read uint64
	for name, content := range contents(t, dir) {
		month := 0
		if strings.HasPrefix(name, "2026-08-31") {
			month = 1
		}
		part := strings.Split(strings.TrimSuffix(name[len("2026-08-31-"):], ".json.zst"), "-")
		family, port, probe, kind := part[0], map[string]uint16{"80": 80, "443": 443}[part[1]], part[2], part[3]
		sent := map[string]string{"trace": probe, "control": "plain"}[kind]

		ports := map[netip.Addr]uint16{}
		answered := map[netip.Addr]uint32{} // by TTL, a bit each
		for _, a := range answers(t, content) {
			read++
			b := population.life(a.SAddr, port).at(month)
			path := p.Scenario.PathTo(a.SAddr, port, b)
			if b.Verdict(probeOf[probe]) != scenario.Potential || scenario.FamilyOf(a.SAddr) != family {
				t.Fatalf("%s: %s is %s", name, a.SAddr, b)
			}
			if a.Probe != sent || !a.Success || a.SPort != port {
				t.Fatalf("%s: %+v", name, a)
			}
			if known, ok := ports[a.SAddr]; ok && known != a.DPort {
				t.Fatalf("%s: %s was asked from ports %d and %d", name, a.SAddr, known, a.DPort)
			}
			ports[a.SAddr] = a.DPort
			checkSent(t, a)
			switch a.Classification {
			case "icmp":
				router := path.Router(a.ProbeTTL)
				if a.ProbeTTL > path.Hops || !slices.Contains([]netip.Addr{router.Addr, router.Other}, a.Responder) ||
					a.ICMPType != map[string]int{rows.IPv4: 11, rows.IPv6: 3}[family] || a.Quote == "" {
					t.Fatalf("%s: a path of %d hops, router %+v: %+v", name, path.Hops, router, a)
				}
			case "synack":
				// A box may answer MP_CAPABLE before the target.
				nearer := path.Box == scenario.KeyBox && sent != "plain"
				if a.ProbeTTL <= path.Hops && !(nearer && a.ProbeTTL > path.BoxHop) {
					t.Fatalf("%s: a path of %d hops, box %s at %d: %+v", name, path.Hops, path.Box, path.BoxHop, a)
				}
				if (a.MPTCP == "capable") != (sent != "plain") {
					t.Fatalf("%s: %s: %+v", name, b, a)
				}
				answered[a.SAddr] |= 1 << a.ProbeTTL
			default:
				t.Fatalf("%s: %+v", name, a)
			}
		}
		// No target's own answer is missing.
		for target := range ports {
			path := p.Scenario.PathTo(target, port, population.life(target, port).at(month))
			if want := uint32(1<<(p.LastTTL+1) - 1<<(path.Hops+1)); path.Box != scenario.TTLBox && answered[target]&want != want ||
				answered[target]&(1<<(p.LastTTL+1)-2) != answered[target] {
				t.Errorf("%s: %s, behind %d hops, answered at %b", name, target, path.Hops, answered[target])
			}
			if path.Box == scenario.TTLBox && answered[target] != 0 {
				t.Errorf("%s: %s answered behind a guard", name, target)
			}
		}
		if len(answered) < 5 {
			t.Errorf("%s: %d targets answered", name, len(answered))
		}
	}
	if read != summary.Rows {
		t.Errorf("%d rows, %d counted", read, summary.Rows)
	}
}

// checkSent: the SYN is to the target, from the port that the row names, with the row's TTL (RFC 791 §3.1,
// RFC 8200 §3, RFC 9293 §3.1).
func checkSent(t *testing.T, a answer) {
	t.Helper()
	syn, err := hex.DecodeString(a.Sent)
	if err != nil {
		t.Fatal(err)
	}
	header, ttl, target := 20, syn[8], syn[16:20]
	if a.SAddr.Is6() {
		header, ttl, target = 40, syn[7], syn[24:40]
	}
	tcp := syn[header:]
	if !bytes.Equal(target, a.SAddr.AsSlice()) || int(ttl) != a.ProbeTTL ||
		binary.BigEndian.Uint16(tcp) != a.DPort || binary.BigEndian.Uint16(tcp[2:]) != a.SPort || tcp[13] != 2 {
		t.Fatalf("%+v: sent", a)
	}
}

// All are all that were there, and no fewer.
func TestTracesOfAll(t *testing.T) {
	p := fewTraces(t)
	_, potential := mustTrace(t, p)
	p.All = true
	_, all := mustTrace(t, p)
	population := newPopulation(&p.Params)
	var there uint64
	for _, port := range p.Ports {
		for month := range p.Months {
			for a := range p.Scenario.Addresses {
				if population.life(a, port).at(month) != scenario.Silent {
					there++
				}
			}
		}
	}
	if all.Targets != there*4 || potential.Targets*5 > all.Targets { // v0, v1, and a control of each
		t.Errorf("%d potential and %d of all %d targets", potential.Targets, all.Targets, there)
	}
}

func TestWrongTTLs(t *testing.T) {
	for _, ttls := range [][2]uint8{{0, 5}, {5, 4}, {1, 65}} {
		p := fewTraces(t)
		p.FirstTTL, p.LastTTL = ttls[0], ttls[1]
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), "from 1 to 64") {
			t.Errorf("TTLs %v: error %v", ttls, err)
		}
	}
}
