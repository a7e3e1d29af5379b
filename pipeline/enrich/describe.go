package enrich

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Bounds on what is read beside a source.
const (
	maxPackageBytes     = 64 << 10
	maxAttributionBytes = 4 << 10
)

// npmScope begins the names of the packages of ip-location-db. Files beside others are not about them.
const npmScope = "@ip-location-db/"

// npmPackage is what a package.json says of the files beside it.
type npmPackage struct{ Name, Version, License string }

// describe finds out what the source does not say itself: the date of its data, then what they are
// licensed under, which the package of ip-location-db that it lies in has.
func (s *Source) describe(path, date string) {
	folder := filepath.Dir(path)
	if p, ok := readPackage(folder); ok {
		// The CC-BY-4.0 of most asks to name the authors, the licence and what was modified (its section 3(a)(1)):
		// the packages' own texts do.
		s.Licence, s.Attribution = oneLine(p.License), attributionIn(folder)
		if s.Date == "" {
			s.Date = versionDate(p.Version)
		}
	}
	if s.Date == "" {
		s.Date = dateIn(s.Name)
	}
	if s.Date == "" {
		s.Date = date
	}
}

// versionDate is the date in a version of ip-location-db's: 2.3.2026061719 has data of 2026-06-17.
func versionDate(version string) string {
	return dateIn(version[strings.LastIndexByte(version, '.')+1:])
}

func readPackage(folder string) (p npmPackage, ok bool) {
	content, err := readBounded(filepath.Join(folder, "package.json"), maxPackageBytes)
	if err != nil || json.Unmarshal(content, &p) != nil {
		return npmPackage{}, false
	}
	return p, strings.HasPrefix(p.Name, npmScope)
}

// attributionIn is what the licence files of a package say.
func attributionIn(folder string) string {
	entries, err := os.ReadDir(folder) // sorted
	if err != nil {
		return ""
	}
	var texts []string
	for _, entry := range entries {
		if !isLicence(entry.Name()) || !entry.Type().IsRegular() {
			continue
		}
		if text, err := readBounded(filepath.Join(folder, entry.Name()), maxAttributionBytes); err == nil {
			texts = append(texts, string(text))
		}
	}
	return oneLine(strings.Join(texts, " "))
}

// isLicence tells the files of a package that say what may be done with its data, and who made them.
func isLicence(name string) bool {
	return strings.Contains(name, "LICENSE") || name == "MODIFICATIONS"
}

// oneLine makes a line of bounded length of text.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "�"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if len(s) > maxAttributionBytes {
		s = strings.ToValidUTF8(s[:maxAttributionBytes], "") + " …"
	}
	return s
}

func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}

var dateDigits = regexp.MustCompile(`(?:19|20)\d\d-?[01]\d-?[0-3]\d`)

// dateIn is the first date in a text, YYYYMMDD or with hyphens; empty if there is none.
func dateIn(s string) string {
	matches := dateDigits.FindAllString(s, -1)
	i := slices.IndexFunc(matches, func(m string) bool { return parseDate(m) != "" })
	if i < 0 {
		return ""
	}
	return parseDate(matches[i])
}

func parseDate(s string) string {
	day, err := time.Parse("20060102", strings.ReplaceAll(s, "-", ""))
	if err != nil {
		return ""
	}
	return day.Format(time.DateOnly)
}
