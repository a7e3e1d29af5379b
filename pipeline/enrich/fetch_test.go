package enrich

import (
	"archive/tar"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeNPM puts an npm on the PATH that "packs" the archive of the package's name out of a folder, and
// returns that folder.
func fakeNPM(t *testing.T) string {
	t.Helper()
	archives, bin := t.TempDir(), t.TempDir()
	script := "#!/bin/sh\nfor package; do :; done\n" +
		"cp \"" + archives + "/${package#@ip-location-db/}.tgz\" .\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return archives
}

// entry is a file of an archive, or a link.
type entry struct{ name, content, link string }

func archive(t *testing.T, path string, entries ...entry) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	zipped := gzip.NewWriter(file)
	w := tar.NewWriter(zipped)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.content)), Typeflag: tar.TypeReg}
		if e.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []interface{ Close() error }{w, zipped, file} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func packageJSON(name string) entry {
	return entry{name: "package/package.json", content: `{"name":"@ip-location-db/` + name + `","version":"2.3.2026061719","license":"CC-BY-4.0"}`}
}

func asnPackage(t *testing.T, archives string, more ...entry) {
	t.Helper()
	archive(t, filepath.Join(archives, "asn.tgz"), append([]entry{
		packageJSON("asn"),
		{name: "package/asn-ipv4.csv", content: "192.0.2.0,192.0.2.255,64496,Example\n"},
		{name: "package/asn-ipv6.csv", content: "2001:db8::,2001:db8::ff,64496,Example\n"},
		{name: "package/X-LICENSE", content: "name X"},
	}, more...)...)
}

// files are the names of all files below a folder.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestFetch(t *testing.T) {
	archives := fakeNPM(t)
	// What is not expected is left out, wherever it wants to go.
	asnPackage(t, archives,
		entry{name: "package/install.sh", content: "x"},
		entry{name: "../../escaped-LICENSE", content: "x"},
		entry{name: "package/../../../escaped-LICENSE", content: "x"},
		entry{name: "/tmp/escaped-LICENSE", content: "x"},
		entry{name: "package/sub/LICENSE", content: "x"},
		entry{name: "package/link-LICENSE", link: "/etc/passwd"})
	archive(t, filepath.Join(archives, "iptoasn-country-mmdb.tgz"),
		packageJSON("iptoasn-country-mmdb"), entry{name: "package/iptoasn-country.mmdb", content: "x"})

	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "networks")
	for range 2 { // what is there already stays
		packages, err := Fetch(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(packages) != 2 || packages[0].Date != "2026-06-17" || packages[0].Gives != ASN || len(packages[0].Files) != 2 || packages[1].Gives != Country {
			t.Errorf("%+v", packages)
		}
		want := []string{
			"a/networks/asn-2.3.2026061719/X-LICENSE",
			"a/networks/asn-2.3.2026061719/asn-ipv4.csv",
			"a/networks/asn-2.3.2026061719/asn-ipv6.csv",
			"a/networks/asn-2.3.2026061719/package.json",
			"a/networks/iptoasn-country-mmdb-2.3.2026061719/iptoasn-country.mmdb",
			"a/networks/iptoasn-country-mmdb-2.3.2026061719/package.json",
		}
		if got := files(t, parent); !slices.Equal(got, want) {
			t.Errorf("files %q", got)
		}
		s, err := ReadSource(t.Context(), packages[0].Files[0], ASN, "")
		if err != nil || s.Date != "2026-06-17" || s.Licence != "CC-BY-4.0" || s.Attribution != "name X" {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

func TestFetchFails(t *testing.T) {
	for name, c := range map[string]struct {
		make func(archives string)
		want string
	}{
		"without npm": {func(string) {}, "npm is not on the PATH: install it"},
		"no archive":  {func(string) {}, "@ip-location-db/asn: npm pack: exit status 1"},
		"no data":     {func(a string) { archive(t, a+"/asn.tgz", packageJSON("asn")) }, "the archive has no file asn-ipv4.csv"},
		"no archive at all": {func(a string) {
			if err := os.WriteFile(a+"/asn.tgz", []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "cannot be decompressed"},
		"another package": {func(a string) {
			archive(t, a+"/asn.tgz", packageJSON("other"), entry{name: "package/asn-ipv4.csv"}, entry{name: "package/asn-ipv6.csv"})
		}, "of another package"},
		"a version that is a path": {func(a string) {
			archive(t, a+"/asn.tgz", entry{name: "package/package.json", content: `{"name":"@ip-location-db/asn","version":"../../x"}`},
				entry{name: "package/asn-ipv4.csv"}, entry{name: "package/asn-ipv6.csv"})
		}, "of another package"},
	} {
		t.Run(name, func(t *testing.T) {
			c.make(fakeNPM(t))
			if name == "without npm" {
				t.Setenv("PATH", t.TempDir())
			}
			dir := t.TempDir()
			_, err := Fetch(t.Context(), dir, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("left %q", left)
			}
		})
	}
}
