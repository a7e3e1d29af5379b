package enrich

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// write makes a file and returns its path.
func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// mmdb writes a database with MaxMind's own writer, which must be told that addresses for documentation
// are meant.
func mmdb(t testing.TB, ipVersion int, records map[string]mmdbtype.Map) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: "test", IPVersion: ipVersion, RecordSize: 24, BuildEpoch: 1781654400, // 2026-06-17 UTC
		IncludeReservedNetworks: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range slices.Sorted(maps.Keys(records)) {
		_, network, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, records[prefix]); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// lookUps checks what a source says of addresses.
func lookUps(t *testing.T, n *Networks, want map[string]Network) {
	t.Helper()
	for a, w := range want {
		if got := n.Lookup(netip.MustParseAddr(a)); got != w {
			t.Errorf("%s: %+v, want %+v", a, got, w)
		}
	}
}

// TestFormats: AS numbers are those for documentation (RFC 5398). The expectations are read off the lines.
func TestFormats(t *testing.T) {
	example := Network{ASN: 64496, ASName: `Example "One", Inc.`}
	bare := Network{ASN: 64497}
	both := func(code string) mmdbtype.Map { return mmdbtype.Map{"country_code": mmdbtype.String(code)} }
	geoLite := func(code string) mmdbtype.Map {
		return mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code), "names": mmdbtype.Map{"en": mmdbtype.String("x")}}}
	}
	for name, c := range map[string]struct {
		file                 string
		content              []byte
		gives                Kind
		format, family, date string
		ranges               uint64
		want                 map[string]Network
	}{
		"ranges with AS": {
			"asn-ipv4.csv", []byte("192.0.2.0,192.0.2.127,64496,\"Example \"\"One\"\", Inc.\"\r\n198.51.100.7,198.51.100.9,64497,\n203.0.113.0,203.0.113.255,0,Not routed\n\n"),
			ASN, "csv", "ipv4", "", 3,
			map[string]Network{"192.0.2.0": example, "192.0.2.127": example, "192.0.2.128": {}, "198.51.100.6": {},
				"198.51.100.8": bare, "198.51.100.10": {}, "203.0.113.5": {}, "2001:db8::1": {}},
		},
		"ranges with country": {
			"c.csv", []byte("192.0.2.0,192.0.2.127,be\n2001:db8::,2001:db8::ff,AQ\n2001:db8:1::,2001:db8:1::1,ZZ\n"),
			Country, "csv", "", "", 3,
			map[string]Network{"192.0.2.1": {Country: "BE"}, "2001:db8::ff": {Country: "AQ"}, "2001:db8::100": {}, "2001:db8:1::": {}},
		},
		"ranges as numbers": { // 3221225984 is 192.0.2.0; 42540766411282592856903984951653826560 is 2001:db8:: (RFC 3849), by Python's ipaddress
			"asn-num.csv", []byte("3221225984,3221226111,64496,\"Example \"\"One\"\", Inc.\"\n42540766411282592856903984951653826560,42540766411282592875350729025363378175,64497,\n"),
			ASN, "csv", "", "", 2,
			map[string]Network{"192.0.2.127": example, "192.0.2.128": {}, "2001:db8::": bare, "2001:db8::ffff:ffff:ffff:ffff": bare, "2001:db8:0:1::": {}},
		},
		"ranges that overlap": {
			"asn-20260617.csv", []byte("192.0.2.0,192.0.2.99,64496,\"Example \"\"One\"\", Inc.\"\n192.0.2.50,192.0.2.150,64497,\n192.0.2.50,192.0.2.150,64498,\n"),
			ASN, "csv", "ipv4", "2026-06-17", 3,
			map[string]Network{"192.0.2.49": example, "192.0.2.50": bare, "192.0.2.99": bare, "192.0.2.150": bare, "192.0.2.151": {}},
		},
		"prefixes": {
			"routeviews-rv2-20260617-1200.pfx2as", []byte("192.0.2.0\t24\t64497\n192.0.2.64\t26\t64498_64499\n192.0.2.128\t25\t64500,64501_64502\n192.0.2.130\t32\t64503,64504\n2001:db8::\t32\t64497\n"),
			ASN, "pfx2as", "", "2026-06-17", 5,
			map[string]Network{"192.0.2.63": bare, "192.0.2.64": {ASN: 64498}, "192.0.2.127": {ASN: 64498}, "192.0.2.128": {ASN: 64502},
				"192.0.2.130": {}, "192.0.2.131": {ASN: 64502}, "192.0.3.0": {}, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": bare, "2001:db9::": {}},
		},
		"prefixes, compressed": {
			"pfx2as.gz", gzipped(t, "0.0.0.0\t0\t64497\n255.255.255.255\t32\t64498\n"), ASN, "pfx2as", "ipv4", "", 2,
			map[string]Network{"0.0.0.0": bare, "255.255.255.254": bare, "255.255.255.255": {ASN: 64498}, "::": {}},
		},
		"MMDB of ip-location-db": {
			"c.mmdb", mmdb(t, 6, map[string]mmdbtype.Map{"192.0.2.0/25": both("BE"), "192.0.2.128/25": both("AQ"), "2001:db8::/32": both("BE")}),
			Country, "mmdb", "", "2026-06-17", 3,
			map[string]Network{"192.0.2.127": {Country: "BE"}, "192.0.2.128": {Country: "AQ"}, "2001:db8::1": {Country: "BE"}, "192.0.3.0": {},
				"::c000:201": {}},
		},
		"MMDB of GeoLite2": {
			"c", mmdb(t, 4, map[string]mmdbtype.Map{"192.0.2.0/24": geoLite("BE"), "192.0.2.64/26": geoLite("AQ")}),
			Country, "mmdb", "ipv4", "2026-06-17", 3,
			map[string]Network{"192.0.2.63": {Country: "BE"}, "192.0.2.64": {Country: "AQ"}, "192.0.2.128": {Country: "BE"}, "192.0.3.0": {}},
		},
		"MMDB with AS": {
			"asn.mmdb", mmdb(t, 6, map[string]mmdbtype.Map{"2001:db8::/33": {
				"autonomous_system_number": mmdbtype.Uint32(64496), "autonomous_system_organization": mmdbtype.String(`Example "One", Inc.`)}}),
			ASN, "mmdb", "ipv6", "2026-06-17", 1,
			map[string]Network{"2001:db8:7fff::": example, "2001:db8:8000::": {}, "192.0.2.1": {}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ReadSource(t.Context(), write(t, c.file, c.content), c.gives, "")
			if err != nil {
				t.Fatal(err)
			}
			if s.Format != c.format || s.Family() != c.family || s.Date != c.date || s.Rejected != 0 || s.Name != c.file || s.Gives != c.gives {
				t.Errorf("%+v", s)
			}
			if s.Ranges != c.ranges {
				t.Errorf("ranges %d, want %d", s.Ranges, c.ranges)
			}
			lookUps(t, s.Networks, c.want)
		})
	}
}

func TestBadSources(t *testing.T) {
	country := mmdb(t, 4, map[string]mmdbtype.Map{"192.0.2.0/24": {"country_code": mmdbtype.String("BE")}})
	long := mmdb(t, 4, map[string]mmdbtype.Map{"192.0.2.0/24": {"country_code": mmdbtype.String("Belgium")}})
	faults := map[string]mmdbtype.Map{}
	for i := range 100_000 { // every other address, so that none are one prefix
		faults[fmt.Sprintf("10.%d.%d.%d/32", i>>15, i>>7&255, i<<1&255)] = mmdbtype.Map{"country_code": mmdbtype.String("x")}
	}
	for name, c := range map[string]struct {
		content []byte
		gives   Kind
		want    string
	}{
		"empty":                 {nil, ASN, "has no ranges"},
		"blank":                 {[]byte("\n\r\n \n"), ASN, "has no ranges"},
		"other text":            {[]byte("<html>\n"), ASN, `line 1: has 1 fields, not 4`},
		"countries as AS":       {[]byte("192.0.2.0,192.0.2.255,BE\n"), ASN, "line 1: has 3 fields, not 4"},
		"prefixes as countries": {[]byte("192.0.2.0\t24\t64496\n"), Country, "has no country"},
		"reversed":              {[]byte("192.0.2.9,192.0.2.0,64496,x\n"), ASN, "is no range"},
		"of two families":       {[]byte("192.0.2.0,2001:db8::,64496,x\n"), ASN, "is no range"},
		"number too large":      {[]byte("0,340282366920938463463374607431768211456,64496,x\n"), ASN, "are no addresses"},
		"zone":                  {[]byte("fe80::1%eth0,fe80::2%eth0,64496,x\n"), ASN, "is no address"},
		"AS too large":          {[]byte("192.0.2.0,192.0.2.9,4294967296,x\n"), ASN, "is no AS number"},
		"three letters":         {[]byte("192.0.2.0,192.0.2.9,BEL\n"), Country, "no country's code"},
		"prefix too long":       {[]byte("192.0.2.0\t33\t64496\n"), ASN, "is no prefix"},
		"prefix without AS":     {[]byte("192.0.2.0\t24\tx_64496\n"), ASN, `"x" is no AS number`},
		"open quote":            {[]byte("192.0.2.0,192.0.2.9,64496,\"x\n"), ASN, "does not end"},
		"behind a quote":        {[]byte("192.0.2.0,192.0.2.9,64496,\"x\"y\n"), ASN, "behind a quoted field"},
		"not UTF-8":             {[]byte("192.0.2.0,192.0.2.9,64496,\xff\n"), ASN, "not UTF-8"},
		"control character":     {[]byte("192.0.2.0,192.0.2.9,64496,a\x1b[2J\n"), ASN, "no text"},
		"long name":             {[]byte("192.0.2.0,192.0.2.9,64496," + strings.Repeat("x", maxNameBytes+1)), ASN, "more than 256 bytes"},
		"long line":             {[]byte("192.0.2.0,192.0.2.9,64496,x\n" + strings.Repeat("x", maxLineBytes+1)), ASN, "line 2 has more than"},
		"damaged gzip":          {gzipped(t, strings.Repeat("192.0.2.0,192.0.2.9,64496,x\n", 100))[:40], ASN, "cannot be read"},
		"gzip of nothing":       {[]byte("\x1f\x8b"), ASN, "cannot be decompressed"},
		"MMDB of another kind":  {country, ASN, `no record has autonomous_system_number: its type is "test"`},
		"MMDB with names":       {long, Country, `"Belgium" is no country's code`},
		"MMDB of faults":        {mmdb(t, 4, faults), Country, "84734 records cannot be used, beside 0 that can"},
		"cut MMDB":              {country[bytes.LastIndex(country, []byte("\xab\xcd\xef")):], Country, "no sound MMDB"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "file", c.content)
			_, err := ReadSource(t.Context(), path, c.gives, "")
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %s: … %s", err, path, c.want)
			}
		})
	}
	if _, err := ReadSource(t.Context(), filepath.Join(t.TempDir(), "none"), ASN, ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadSource(ctx, write(t, "f", country), Country, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// One line in a hundred may be bad: it is counted and shown.
func TestRejectedLines(t *testing.T) {
	good := strings.Repeat("192.0.2.0,192.0.2.9,64496,x\n", 99)
	s, err := ReadSource(t.Context(), write(t, "f", []byte(good+"bad\n")), ASN, "")
	if err != nil || s.Rejected != 1 || s.Ranges != 99 || len(s.Faults) != 1 || s.Faults[0] != "line 100: has 1 fields, not 4" {
		t.Errorf("1 of 100: %+v, %v", s, err)
	}
	_, err = ReadSource(t.Context(), write(t, "f", []byte(good+"bad\nworse\n")), ASN, "")
	if err == nil || !strings.Contains(err.Error(), "2 of 101 lines") || !strings.Contains(err.Error(), "line 100:") {
		t.Errorf("2 of 101: %v", err)
	}
}

// What lies beside a file describes it only if it is a package of ip-location-db.
func TestDescribe(t *testing.T) {
	line := []byte("192.0.2.0,192.0.2.9,64496,x\n")
	for name, c := range map[string]struct {
		beside                     map[string]string
		file, said                 string
		date, licence, attribution string
	}{
		"alone":            {nil, "a.csv", "", "", "", ""},
		"said":             {nil, "a.csv", "2026-05-04", "2026-05-04", "", ""},
		"in the name":      {nil, "a-2026-06-17.csv", "2026-05-04", "2026-06-17", "", ""},
		"no date in it":    {nil, "a-20269999.csv", "2026-05-04", "2026-05-04", "", ""},
		"package":          {map[string]string{"package.json": `{"name":"@ip-location-db/asn","version":"2.3.2026061719","license":"CC-BY-4.0"}`, "B-LICENSE": "name B\nand more", "A-LICENSE": "name A", "MODIFICATIONS": "merged", "README.md": "no"}, "a.csv", "2026-05-04", "2026-06-17", "CC-BY-4.0", "name A name B and more merged"},
		"another package":  {map[string]string{"package.json": `{"name":"asn","version":"2.3.2026061719","license":"MIT"}`, "LICENSE": "MIT"}, "a.csv", "2026-05-04", "2026-05-04", "", ""},
		"no package":       {map[string]string{"package.json": `{`, "LICENSE": "MIT"}, "a.csv", "", "", "", ""},
		"hostile licences": {map[string]string{"package.json": `{"name":"@ip-location-db/x","version":"x","license":"a\u001b[2J\nb"}`, "LICENSE": strings.Repeat("é", 10000)}, "a.csv", "", "", "a [2J b", strings.Repeat("é", 2048)},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, c.file, line)
			for beside, content := range c.beside {
				if err := os.WriteFile(filepath.Join(filepath.Dir(path), beside), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			s, err := ReadSource(t.Context(), path, ASN, c.said)
			if err != nil {
				t.Fatal(err)
			}
			if s.Date != c.date || s.Licence != c.licence || strings.TrimSuffix(s.Attribution, " …") != c.attribution {
				t.Errorf("date %q, licence %q, attribution %.80q", s.Date, s.Licence, s.Attribution)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{
		"192.0.2.0,192.0.2.127,64496,\"Example \"\"One\"\", Inc.\"\r\n", "2001:db8::,2001:db8::ff,AQ\n", "3221225984,3221226111,64496,x",
		"192.0.2.64\t26\t64498_64499\n2001:db8::\t32\t64497,3\n", "::ffff:192.0.2.1,192.0.2.9,64496,\n",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, content []byte, asn bool) {
		s := &Source{Gives: Country}
		if asn {
			s.Gives = ASN
		}
		if err := s.readText(bytes.NewReader(content)); err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		checkRanges(t, s.Networks)
	})
}

func FuzzMMDB(f *testing.F) {
	f.Add(mmdb(f, 6, map[string]mmdbtype.Map{"192.0.2.0/24": {"country_code": mmdbtype.String("BE")}}), false)
	f.Add(mmdb(f, 4, map[string]mmdbtype.Map{"192.0.2.0/24": {"autonomous_system_number": mmdbtype.Uint32(64496)}}), true)
	f.Fuzz(func(t *testing.T, content []byte, asn bool) {
		s := &Source{Gives: Country}
		if asn {
			s.Gives = ASN
		}
		if err := s.readMMDB(t.Context(), content); err == nil {
			checkRanges(t, s.Networks)
		}
	})
}
