// Page-check opens a report's page in a headless Chromium that has no network, and checks what a person
// would notice: errors, requests, sections without content, tables that do not sort, a page wider than
// the window. It prints what is wrong, a line each, and then fails.
//
// Usage: page-check [-screenshots DIR] PAGE
package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

func main() {
	screenshots := flag.String("screenshots", "", "`DIR` for a screenshot of the page at each width")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: page-check [-screenshots DIR] PAGE")
		os.Exit(2)
	}
	faults, err := run(flag.Arg(0), *screenshots)
	if err != nil {
		fmt.Fprintln(os.Stderr, "page-check:", err)
		os.Exit(1)
	}
	for _, fault := range faults {
		fmt.Println(fault)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}

func run(page, screenshots string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	b, err := start(ctx)
	if err != nil {
		return nil, err
	}
	defer b.close()
	return check(b, page, screenshots)
}

// check returns what is wrong with a page, in the window of a desk's screen and in that of a telephone.
func check(b *browser, page, screenshots string) ([]string, error) {
	path, err := filepath.Abs(page)
	if err != nil {
		return nil, err
	}
	var faults []string
	for _, width := range []int{1280, 390} {
		if err := b.open((&url.URL{Scheme: "file", Path: path}).String(), width); err != nil {
			return nil, err
		}
		if screenshots != "" { // before the checks sort the tables
			shot, err := b.screenshot()
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(screenshots, fmt.Sprintf("page-%d.png", width)), shot, 0o644); err != nil {
				return nil, err
			}
		}
		found, err := checkPage(b, filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		for _, fault := range found {
			faults = append(faults, fmt.Sprintf("%s at %d pixels: %s", page, width, fault))
		}
	}
	return faults, nil
}
