package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

var pageTemplate = template.Must(template.New("page.html").Parse(pageHTML))

// mostRows of a table are in the page; its files have all. A page stays small enough for any browser.
const mostRows = 500

// page is what page.html shows. Its text is escaped there; a figure's is by the library that writes SVG.
type page struct {
	Title, Lead, Made string
	SummaryNote       string
	Summary           []summaryRow
	Notes             []string
	Sections          []section

	Policy string
	Style  template.CSS
	Script template.JS
}

// section is a chapter of the page.
type section struct {
	ID, Title, Text string
	Words           []word
	Figures         []*Figure
	Folded          []*Figure // only the first is unfolded
	Linked          []*Figure // not in the page, only their files
	LinkedTitle     string
	Tables          []pageTable
}

// word is a term and its meaning.
type word struct{ Word, Meaning string }

// summaryRow sums up a version of MPTCP.
type summaryRow struct{ Version, Responsive, MPCapable, Filtered, Potential, True string }

// pageTable is a table as text.
type pageTable struct {
	Name, Title, Note, Empty string
	Heads                    []head
	Rows                     [][]cell
	Omitted                  string // what is said of rows that are left out
}

type head struct {
	Label, Meaning string
	Numeric        bool
}

// cell is a text, and the number that it is sorted by, if it is one.
type cell struct{ Text, Value, Class string }

// A cell of more than longestLine bytes is folded, one of more than longestText is cut: its table's files
// have it whole.
const (
	longestLine = 40
	longestText = 400
)

// cut shortens a text to longestText bytes.
func cut(text string) string {
	if len(text) <= longestText {
		return text
	}
	return strings.ToValidUTF8(text[:longestText], "") + "…"
}

func newPageTable(t *Table) pageTable {
	p := pageTable{Name: t.Name, Title: t.Title, Note: t.Note, Empty: t.Empty}
	for i, column := range t.Columns {
		p.Heads = append(p.Heads, head{column.Label(), column.Meaning, t.Numeric(i)})
	}
	for _, row := range t.Rows[:min(len(t.Rows), mostRows)] {
		cells := make([]cell, len(row))
		for i, value := range row {
			cells[i] = cell{Text: cut(visible(t.Columns[i].Text(value)))}
			switch {
			case p.Heads[i].Numeric:
				cells[i].Class = "n"
			case len(cells[i].Text) > longestLine:
				cells[i].Class = "wide"
			}
			switch v := value.(type) {
			case int64:
				cells[i].Value = strconv.FormatInt(v, 10)
			case float64:
				cells[i].Value = strconv.FormatFloat(v, 'g', -1, 64)
			}
		}
		p.Rows = append(p.Rows, cells)
	}
	if len(t.Rows) > mostRows {
		p.Omitted = fmt.Sprintf("These are the first %d of %s rows; the files have all.", mostRows, grouped(uint64(len(t.Rows))))
	}
	return p
}

// writePage writes the page of a census whose figures in it are drawn.
func writePage(w io.Writer, c *Census, sections []section, made string) error {
	digest := sha256.Sum256([]byte(pageJS))
	p := page{
		Title:    "A census of Multipath TCP",
		Lead:     lead(c),
		Made:     made,
		Notes:    c.Notes,
		Sections: sections,
		// Nothing is loaded, from anywhere, and no script runs but the page's own. Figures have style attributes.
		Policy: "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" +
			base64.StdEncoding.EncodeToString(digest[:]) + "'; base-uri 'none'; form-action 'none'",
		Style:  template.CSS(pageCSS),
		Script: template.JS(pageJS),
	}
	p.Summary, p.SummaryNote = summary(c.Tallies)
	return pageTemplate.Execute(w, p)
}

// lead says what the census covers.
func lead(c *Census) string {
	var families, ports []string
	for _, family := range c.Families {
		families = append(families, familyName(family))
	}
	for _, port := range c.Ports {
		ports = append(ports, strconv.Itoa(int(port)))
	}
	if len(c.Dates) == 0 {
		return "No scans."
	}
	dates := c.Dates[0]
	if last := c.Dates[len(c.Dates)-1]; last != dates {
		dates += " to " + last
	}
	return fmt.Sprintf("%s on %s, %s; %s; %s.", count(c.Scans, "scan"), count(len(c.Dates), "date"), dates,
		strings.Join(families, " and "), plural(len(ports), "port")+" "+strings.Join(ports, ", "))
}

func count(n int, noun string) string {
	return grouped(uint64(n)) + " " + plural(n, noun)
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// summary adds up the newest complete scans of each version of MPTCP.
func summary(tallies []Tally) ([]summaryRow, string) {
	var rows []summaryRow
	newest := newestTallies(tallies)
	counted := make(map[string]int) // versions of a date, family and port
	partly := false                 // some scans were followed up, others not
	for _, version := range []string{"v0", "v1"} {
		var responsive, capable, filtered, potential, genuine int64
		scans, followed := 0, 0
		for _, t := range newest {
			if t.Probe == version {
				scans++
				counted[fmt.Sprint(t.Date, t.Family, t.Port)]++
				responsive += t.Responsive()
				capable += t.MPCapable()
				filtered += t.Filtered()
				potential += t.Potential()
				genuine += t.True()
				if t.FollowedUp {
					followed++
				}
			}
		}
		if scans > 0 {
			trueHosts := "–"
			if followed > 0 {
				trueHosts = groupedSigned(genuine)
				partly = partly || followed < scans
			}
			rows = append(rows, summaryRow{
				version + map[string]string{"v0": " (RFC 6824)", "v1": " (RFC 8684)"}[version],
				groupedSigned(responsive), groupedSigned(capable), groupedSigned(filtered), groupedSigned(potential), trueHosts,
			})
		}
	}
	note := "Targets (address and port), added up over the newest complete scan of each family and port."
	if len(rows) == 2 && slices.Contains(slices.Collect(maps.Values(counted)), 1) {
		note += " These are not of the same dates, families and ports for v0 and v1: the two rows cannot be compared."
	}
	if partly {
		note += " True hosts are those of the scans that were traced or connected to; others were not."
	}
	return rows, note
}

// sections are the page's chapters. Of each family, port and version the figures of the newest scan are
// in the page, as far as there are not too many; of the others there are links.
func sections(c *Census) ([]section, error) {
	weights, distances := section{
		ID:    "weights",
		Title: "Keys: Hamming weights",
		Text: "A genuine sender's key is 64 random bits (RFC 8684 §3.1), so that the number of bits set follows Binomial(64, 1/2). " +
			"What piles up elsewhere is no host that speaks MPTCP.",
		LinkedTitle: "Hamming weights of other scans",
		Tables:      []pageTable{newPageTable(&c.Outliers), newPageTable(&c.Reuse)},
	}, section{
		ID:    "distances",
		Title: "Keys: distances to the keys sent",
		Text: "The first MPTCP, v0, sends a key in the SYN. A box that mirrors or rewrites options answers with that key or one near it. " +
			"(The SYN of v1 has no key, so that there is no distance.)",
		LinkedTitle: "Distances in other scans",
	}
	shown := make(map[string]bool)
	for _, scan := range c.Keys {
		name := series(scan.Family, scan.Port, scan.Probe)
		inPage := !shown[name] && len(shown) < mostSeries
		shown[name] = shown[name] || inPage
		weight, err := weightFigure(scan)
		if err != nil {
			return nil, err
		}
		weights.add(weight, inPage)
		if scan.Probe != "v0" {
			continue
		}
		distance, err := distanceFigure(scan)
		if err != nil {
			return nil, err
		}
		distances.add(distance, inPage)
	}
	if len(c.Keys) == 0 {
		weights.Figures = []*Figure{{Name: "hamming", Title: weights.Title, Empty: "not enough data: no v0 or v1 scan"}}
	}
	if len(distances.Folded) == 0 {
		distances.Figures = []*Figure{{Name: "distance", Title: distances.Title, Empty: "not enough data: no v0 scan"}}
	}

	months, err := monthsFigure(c.Months)
	if err != nil {
		return nil, err
	}
	funnel, presence := funnelFigure(c.Tallies), presenceFigure(c.Presence)
	finalMonths, err := finalMonthsFigure(c.FinalMonths)
	if err != nil {
		return nil, err
	}
	treatments, middleboxes := treatmentsFigure(&c.Treatments), middleboxesFigure(&c.Middleboxes)
	verification, transfers := verificationFigure(&c.Verification), transfersFigure(c.Transfers)
	return []section{
		{
			ID:      "funnel",
			Title:   "Who answers, who is left",
			Text:    "A target is an address and port. It is responsive when it answers a SYN with a SYN-ACK; what it is beyond that is its verdict:",
			Words:   verdictWords,
			Figures: drawnFrom(&c.Funnel, &funnel),
			Tables:  []pageTable{newPageTable(&c.Funnel), newPageTable(&c.Reasons)},
		},
		weights,
		distances,
		{
			ID:      "months",
			Title:   "Month by month",
			Text:    "How many targets are potential MPTCP hosts over time, and whether they speak v0, v1 or both.",
			Figures: drawnFrom(&c.MonthsTable, &months),
			Tables:  []pageTable{newPageTable(&c.MonthsTable), newPageTable(&c.Versions)},
		},
		{
			ID:    "final",
			Title: "True hosts",
			Text: "One SYN-ACK shows a host or a box. Where hosts were traced or connected to, scan, path and connection together give a " +
				"final verdict:",
			Words:   finalWords,
			Figures: drawnFrom(&c.FinalMonthsTable, &finalMonths),
			Tables:  []pageTable{newPageTable(&c.FinalMonthsTable)},
		},
		{
			ID:      "presence",
			Title:   "Stable and transient hosts",
			Text:    "Potential hosts by how often they were seen. Only complete scans count: a scan that broke off would make hosts vanish.",
			Figures: drawnFrom(&c.PresenceTable, &presence),
			Tables:  []pageTable{newPageTable(&c.PresenceTable)},
		},
		{
			ID:      "where",
			Title:   "Where they are",
			Text:    "The autonomous systems and countries with the most potential hosts. Where the data come from, and of which date they are, is said under Provenance.",
			Figures: append(drawnFrom(&c.ASes, asFigures(&c.ASes)...), drawnFrom(&c.Countries, countryFigures(&c.Countries)...)...),
			Tables:  []pageTable{newPageTable(&c.ASes), newPageTable(&c.Countries)},
		},
		{
			ID:    "middleboxes",
			Title: "Middleboxes",
			Text: "How hosts and paths treat MP_CAPABLE, from campaigns that send plain, v0, v1 and canary SYNs to the same targets; and the order of TCP " +
				"options in SYN-ACKs, by which boxes of one make look alike.",
			Figures: drawnFrom(&c.Treatments, &treatments),
			Tables:  []pageTable{newPageTable(&c.Treatments), newPageTable(&c.Fingerprints)},
		},
		{
			ID:    "paths",
			Title: "Middleboxes on the path",
			Text: "Routers quote the packets that expire at them, and so show what became of our SYN on the way there. A box is behind the last " +
				"hop that shows nothing, and before the first that shows the change.",
			Figures: drawnFrom(&c.Middleboxes, &middleboxes),
			Tables:  []pageTable{newPageTable(&c.PathsTable), newPageTable(&c.Middleboxes), newPageTable(&c.MiddleboxNetworks)},
		},
		{
			ID:    "transfers",
			Title: "Real connections",
			Text: "Connections by the kernel's MPTCP, over which a page was asked for, with connections by plain TCP beside them: whether MPTCP is " +
				"proven, and what it costs or spares, by what is on the path.",
			Figures: append(drawnFrom(&c.Verification, &verification), drawnFrom(&c.TransfersTable, &transfers)...),
			Tables:  []pageTable{newPageTable(&c.Verification), newPageTable(&c.TransfersTable), newPageTable(&c.Outcomes)},
		},
		{
			ID:     "losses",
			Title:  "Quality of the scans",
			Text:   "No number above is better than the scans behind it. What they lost on the way, and what could not be decided, is counted here.",
			Tables: []pageTable{newPageTable(&c.Losses)},
		},
		{
			ID:     "provenance",
			Title:  "Provenance",
			Text:   "How each scan was made, and whose data say where hosts are.",
			Tables: []pageTable{newPageTable(&c.Provenance), newPageTable(&c.Sources)},
		},
	}, nil
}

// drawnFrom are the figures of a table: none if it has no rows, for it says why itself.
func drawnFrom(t *Table, figures ...*Figure) []*Figure {
	if len(t.Rows) == 0 {
		return nil
	}
	return figures
}

// add puts a figure into the section, or a link to it.
func (s *section) add(f Figure, inPage bool) {
	if inPage {
		s.Folded = append(s.Folded, &f)
	} else {
		s.Linked = append(s.Linked, &f)
	}
}

// inPage are the figures that the page shows.
func (s *section) inPage() []*Figure {
	return slices.Concat(s.Figures, s.Folded)
}

var verdictWords = []word{
	{"potential", "The SYN-ACK has MP_CAPABLE, with a key that passed all tests: an MPTCP host, as far as one answer shows."},
	{"mirrored", "Our own option came back. A middlebox, which copies options that it does not know."},
	{"tampered", "The key was made from one that we sent."},
	{"implausible", "The key or the option cannot be a genuine host's."},
	{"no-mptcp", "A SYN-ACK without MP_CAPABLE."},
	{"closed", "Nothing but a RST."},
	{"unreachable", "Nothing but an ICMP error."},
}

var finalWords = []word{
	{"true", "A connection was MPTCP after data, or the host answered a trace with MP_CAPABLE again and no router shows it changed."},
	{"middlebox-affected", "A box on the path changes, removes, drops or answers MP_CAPABLE, or connections fell back to TCP."},
	{"unreachable", "The host was potential, and answered neither trace nor connection."},
}
