package mptcp

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const vectors = "../../testdata/options"

// vector is a file of testdata/options, which the C module's tests read as well.
type vector struct {
	options []byte
	want    MPCapable
	nonce   sql.Null[uint32] // of our canary, if one was sent
	canary  Canary
}

func readVector(t testing.TB, name string) vector {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var v vector
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		number := func(base, bits int) uint64 {
			n, err := strconv.ParseUint(value, base, bits)
			if err != nil {
				t.Fatalf("%s: %s: %v", name, field, err)
			}
			return n
		}
		switch field {
		case "options":
			if v.options, err = hex.DecodeString(strings.ReplaceAll(value, " ", "")); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		case "mptcp":
			v.want.Presence = Presence(value)
		case "mptcp_version":
			v.want.Version = some(uint8(number(10, 8)))
		case "mptcp_flags":
			v.want.Flags = some(uint8(number(10, 8)))
		case "mptcp_length":
			v.want.Length = some(uint8(number(10, 8)))
		case "mptcp_key":
			v.want.Key = some(number(16, 64))
		case "nonce":
			v.nonce = some(uint32(number(16, 32)))
		case "canary":
			v.canary = Canary(value)
		default:
			t.Fatalf("%s: unknown field %q", name, field)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return v
}

func vectorFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(vectors, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no vectors in %s", vectors)
	}
	return files
}

func TestVectors(t *testing.T) {
	for _, name := range vectorFiles(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			v := readVector(t, name)
			got := Parse(v.options).MPCapable
			if got != v.want {
				t.Errorf("options %x\n got %+v\nwant %+v", v.options, got, v.want)
			}
			if !got.Consistent() {
				t.Errorf("options %x: %+v is not consistent", v.options, got)
			}
			if v.nonce.Valid != (v.canary != "") {
				t.Fatalf("nonce and canary belong together")
			}
			if v.nonce.Valid && FindCanary(v.options, v.nonce.V) != v.canary {
				t.Errorf("options %x, nonce %08x: canary is %q, want %q",
					v.options, v.nonce.V, FindCanary(v.options, v.nonce.V), v.canary)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	tests := []struct {
		name    string
		options string
		want    Options
	}{
		{"empty", "", Options{}},
		{
			// MSS 1460, SACK permitted, timestamps 1/2, NOP, window scale 7, MP_CAPABLE v1 flags 01
			"linux", "020405b4 0402 080a0000000100000002 01 030307 1e0401 01",
			Options{
				MSS: some(uint16(1460)), WindowScale: some(uint8(7)), SACKPermitted: true,
				TSValue: some(uint32(1)), TSEcho: some(uint32(2)), Order: "2-4-8-1-3-30",
			},
		},
		{"end of list", "01 00 020405b4", Options{Order: "1-0"}},
		{"first counts", "02040001 02040002", Options{MSS: some(uint16(1)), Order: "2-2"}},
		{"wrong lengths", "0203ff 0302 040300 0803ff", Options{Order: "2-3-4-8"}},
		{"unknown kind", "fe04abcd ff02", Options{Order: "254-255"}},
		{"no length byte", "01 02", Options{Order: "1-2-!"}},
		{"zero length", "0200 0402", Options{Order: "2-!"}},
		{"length one", "0401 0402", Options{Order: "4-!"}},
		{"beyond the area", "0402 020405", Options{SACKPermitted: true, Order: "4-2-!"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			area, err := hex.DecodeString(strings.ReplaceAll(test.options, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			got := Parse(area)
			got.MPCapable = MPCapable{}
			if got != test.want {
				t.Errorf("\n got %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// One Parser reads what a new one reads, whatever it read before, and allocates nothing for a known layout.
func TestParser(t *testing.T) {
	random := rand.New(rand.NewPCG(9293, 7323))
	var p Parser
	for range 50_000 {
		area := hostile(random)
		var got Options
		p.Parse(area, &got)
		if want := Parse(area); got != want {
			t.Fatalf("options %x\n got %+v\nwant %+v", area, got, want)
		}
	}
	// Two layouts may have the same place, of which there are few.
	for n := range 41 {
		padding := bytes.Repeat([]byte{1}, n)
		for kind := range 256 {
			area := append(padding[:n:n], byte(kind), 2)
			want := strings.Repeat("1-", n) + strconv.Itoa(kind)
			if kind == 1 {
				want += "-2-!"
			}
			var o Options
			p.Parse(area, &o)
			if got := o.Order; got != want {
				t.Fatalf("options %x: order %q, want %q", area, got, want)
			}
		}
	}
	linux := []byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7}
	var o Options
	if n := testing.AllocsPerRun(100, func() { p.Parse(linux, &o) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// piece is an option, taken off a list by split.
type piece struct {
	bytes []byte // what is there of the option
	whole bool
}

// split takes a list of options to pieces, without padding. What ends the list early is the last.
func split(area []byte) []piece {
	var pieces []piece
	for len(area) > 0 && area[0] != 0 {
		if area[0] == 1 {
			area = area[1:]
			continue
		}
		if len(area) == 1 || area[1] < 2 {
			return append(pieces, piece{area[:min(2, len(area))], false})
		}
		n := min(int(area[1]), len(area))
		pieces = append(pieces, piece{area[:n], n == int(area[1])})
		area = area[n:]
	}
	return pieces
}

// model is the rule once more, as one would tell it: take the area to pieces first, then search
// them three times.
func model(area []byte) MPCapable {
	pieces := split(area)
	isCapable := func(p piece) bool { return len(p.bytes) > 2 && p.bytes[2]>>4 == 0 }
	facts := func(p piece) (m MPCapable) {
		if isCapable(p) {
			m.Length = sql.Null[uint8]{V: p.bytes[1], Valid: true}
			m.Version = sql.Null[uint8]{V: p.bytes[2] % 16, Valid: true}
			if len(p.bytes) > 3 {
				m.Flags = sql.Null[uint8]{V: p.bytes[3], Valid: true}
			}
		}
		return m
	}
	legal := func(p piece) bool {
		v0 := p.bytes[2]%16 == 0
		return p.whole && (len(p.bytes) == 12 || len(p.bytes) == 4 && !v0)
	}
	var mp []piece
	for _, p := range pieces {
		if p.bytes[0] == 30 {
			mp = append(mp, p)
		}
	}
	for _, p := range mp {
		if isCapable(p) && legal(p) {
			m := facts(p)
			m.Presence = Capable
			if len(p.bytes) == 12 {
				var k uint64
				for _, b := range p.bytes[4:] {
					k = k*256 + uint64(b)
				}
				m.Key = sql.Null[uint64]{V: k, Valid: true}
			}
			return m
		}
	}
	for _, p := range mp {
		if !p.whole || len(p.bytes) < 3 || isCapable(p) {
			m := facts(p)
			m.Presence = Malformed
			return m
		}
	}
	if len(mp) > 0 {
		return MPCapable{Presence: Other}
	}
	return MPCapable{Presence: None}
}

// modelCanary is the rule on canaries once more: what begins like our option, kind 254 and "MC", is
// compared with the eight bytes that we sent.
func modelCanary(area []byte, nonce uint32) Canary {
	sent := fmt.Sprintf("fe084d43%08x", nonce)
	for _, p := range split(area) {
		text := hex.EncodeToString(p.bytes)
		if len(text) < 8 || text[:2] != "fe" || text[4:8] != "4d43" {
			continue
		}
		if text == sent {
			return CanaryMirrored
		}
		return CanaryAltered
	}
	return CanaryNone
}

// hostile builds an options area that is rich in almost legal MPTCP options.
func hostile(random *rand.Rand) []byte {
	var area []byte
	for n := random.IntN(6); n > 0; n-- {
		kind := []byte{0, 1, 2, 3, 4, 8, 30, 30, 30, 30, 254, 255}[random.IntN(12)]
		length := []byte{0, 1, 2, 3, 4, 4, 5, 8, 10, 11, 12, 12, 13, 20, 24, 255}[random.IntN(16)]
		area = append(area, kind, length)
		for i := 2; i < min(int(length), 24); i++ {
			b := byte(random.Uint32())
			if i == 2 {
				b &= 0x11 // mostly subtypes 0 and 1, versions 0 and 1
			}
			area = append(area, b)
		}
	}
	return area[:len(area)-random.IntN(min(len(area), 4)+1)]
}

// testNonce is the nonce of the canary that random areas often mirror.
const testNonce = 0xfedcba98

// experiment builds an option of kind 254 that is often our canary, or nearly.
func experiment(random *rand.Rand) []byte {
	option := []byte{kindExperiment, lengthCanary, 0x4d, 0x43, 0xfe, 0xdc, 0xba, 0x98}
	switch random.IntN(6) {
	case 0, 1:
	case 2:
		option[1] = byte(random.IntN(14))
	case 3:
		option[random.IntN(len(option))] ^= 1 << random.IntN(8)
	case 4:
		option = append(option, byte(random.Uint32()), byte(random.Uint32()))
		option[1] = byte(len(option))
	case 5:
		option = option[:2+random.IntN(6)]
		option[1] = byte(len(option))
	}
	return option
}

func TestCanaryAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(4727, 6994))
	seen := map[Canary]int{}
	for range 200_000 {
		area := hostile(random)
		for range random.IntN(3) {
			area = append(area, experiment(random)...)
		}
		area = area[:len(area)-random.IntN(min(len(area), 4)+1)]
		got, want := FindCanary(area, testNonce), modelCanary(area, testNonce)
		if got != want {
			t.Fatalf("options %x: got %q, want %q", area, got, want)
		}
		seen[got]++
	}
	for _, c := range []Canary{CanaryNone, CanaryMirrored, CanaryAltered} {
		if seen[c] < 1000 {
			t.Errorf("only %d areas were %s: the random input is too poor", seen[c], c)
		}
	}
}

func TestAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(6824, 8684))
	seen := map[Presence]int{}
	for range 200_000 {
		area := hostile(random)
		got, want := Parse(area).MPCapable, model(area)
		if got != want {
			t.Fatalf("options %x\n got %+v\nwant %+v", area, got, want)
		}
		seen[got.Presence]++
	}
	for _, p := range []Presence{None, Capable, Malformed, Other} {
		if seen[p] < 1000 {
			t.Errorf("only %d areas were %s: the random input is too poor", seen[p], p)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range vectorFiles(f) {
		f.Add(readVector(f, name).options)
	}
	f.Fuzz(func(t *testing.T, area []byte) {
		before := bytes.Clone(area)
		if got, want := FindCanary(area, testNonce), modelCanary(area, testNonce); got != want {
			t.Errorf("options %x: canary is %q, want %q", area, got, want)
		}
		o := Parse(area)
		if !bytes.Equal(area, before) {
			t.Fatal("input was changed")
		}
		if want := model(area); o.MPCapable != want {
			t.Errorf("options %x\n got %+v\nwant %+v", area, o.MPCapable, want)
		}
		if !o.MPCapable.Consistent() {
			t.Errorf("options %x: %+v is not consistent", area, o.MPCapable)
		}
		kinds := strings.Split(strings.TrimSuffix(o.Order, "-!"), "-")
		for _, kind := range kinds {
			if _, err := strconv.ParseUint(kind, 10, 8); err != nil && o.Order != "" {
				t.Errorf("options %x: order %q", area, o.Order)
			}
		}
		if len(kinds) > max(len(area), 1) {
			t.Errorf("options %x: more kinds than bytes in %q", area, o.Order)
		}
	})
}

func ExampleParse() {
	// SYN-ACK of an MPTCP v1 host: MSS 1460, MP_CAPABLE with flag H and a key.
	o := Parse([]byte{2, 4, 0x05, 0xb4, 30, 12, 0x01, 0x01, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 1})
	fmt.Printf("%s, %s v%d, key %016x\n", o.Order, o.MPCapable.Presence, o.MPCapable.Version.V, o.MPCapable.Key.V)
	// Output: 2-30, capable v1, key deadbeef00000001
}

func BenchmarkParser(b *testing.B) {
	linux := []byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7, 30, 12, 1, 1, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 1}
	var p Parser
	var o Options
	b.ReportAllocs()
	for b.Loop() {
		p.Parse(linux, &o)
	}
}
