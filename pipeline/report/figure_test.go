package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/png"
	"io"
	"slices"
	"strings"
	"testing"
)

// element is an element of an XML document, with the text right in it.
type element struct {
	name, text string
}

// elements are those of a well-formed XML document; anything else is an error.
func elements(t *testing.T, document string) (all []element) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(document))
	var open []int
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, len(all))
			all = append(all, element{name: token.Name.Local})
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				all[open[len(open)-1]].text += string(token)
			}
		}
	}
}

func svgOf(t *testing.T, f *Figure) string {
	t.Helper()
	if f.Empty != "" {
		t.Fatalf("%s is empty: %s", f.Name, f.Empty)
	}
	var svg bytes.Buffer
	if err := f.Write(&svg, "svg"); err != nil {
		t.Fatal(err)
	}
	return svg.String()
}

func TestFigureFormats(t *testing.T) {
	f := funnelFigure(sample(2).Tallies)
	svg := svgOf(t, &f)
	if strings.Contains(svg, "font-family:Liberation Sans;") || !strings.Contains(svg, ",Arial,") {
		t.Error("machines without gonum's font get any other")
	}
	var image bytes.Buffer
	if err := f.Write(&image, "png"); err != nil {
		t.Fatal(err)
	}
	if config, err := png.DecodeConfig(&image); err != nil || config.Width != 1200 {
		t.Errorf("PNG: %d pixels wide, %v", config.Width, err)
	}
	inline, err := f.inline(svg)
	if err != nil {
		t.Fatal(err)
	}
	if all := elements(t, string(inline)); all[0].name != "svg" || len(all) != len(elements(t, svg)) {
		t.Errorf("in the page: begins with %s, %d elements", all[0].name, len(all))
	}
}

// Names of networks are somebody else's text: in a figure they are nothing but text.
func TestHostileLabels(t *testing.T) {
	f := asFigures(&sample(2).ASes)[0]
	for _, element := range elements(t, svgOf(t, f)) {
		if !slices.Contains([]string{"svg", "g", "path", "text"}, element.name) {
			t.Errorf("the figure has an element %s", element.name)
		}
	}
	wantTexts(t, f, `AS64500 <script>document.title="taken"</…`, "AS64501", "together 85.0 % of the potential addresses")
	if inline, err := f.inline(svgOf(t, f)); err != nil || strings.Contains(string(inline), "<script") {
		t.Errorf("in the page: %v, %s", err, inline)
	}
}

func TestLabel(t *testing.T) {
	for given, want := range map[string]string{
		"plain":                  "plain",
		"a\nb\x00c\u202ed":       "a b c d",
		"\xff":                   "?",
		strings.Repeat("é", 40):  strings.Repeat("é", 40),
		strings.Repeat("é", 400): strings.Repeat("é", 40) + "…",
	} {
		if got := label(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}

func TestFunnelFigure(t *testing.T) {
	c := sample(2)
	f := funnelFigure(c.Tallies)
	wantTexts(t, &f, "IPv4 port 80 v0, 2026-02-05", "IPv6 port 443 v1, 2026-02-05", "IPv6 port 80 v0, 2026-01-05", "responsive (SYN-ACK)", "2,640", "66,019", "966,019")
	if all := strings.Join(texts(t, &f), "\n"); strings.Count(all, "2026-01-05") != 2 {
		t.Error("the funnel has old scans, of more than IPv6 port 80")
	}
	// A scan that broke off is no funnel, a control scan neither.
	for i := range c.Tallies {
		if i%2 == 0 {
			c.Tallies[i].Complete = false
		} else {
			c.Tallies[i].Probe = "plain"
		}
	}
	if f := funnelFigure(c.Tallies); f.Empty == "" {
		t.Error("a funnel of no complete scan")
	}
	// No host at all is zero, and drawn.
	f = funnelFigure([]Tally{{Partition: scanOfTest, Complete: true}})
	if n := strings.Count("\n"+strings.Join(texts(t, &f), "\n")+"\n", "\n0\n"); n < 1 {
		t.Error("zero is not shown")
	}
}

// A month without a scan is a gap in the line.
func TestMonthGaps(t *testing.T) {
	var months []Month
	for i, n := range []int64{5, 6, -1, 0, -1, 7} {
		m := Month{Month: "2026-0" + string(rune('1'+i)), Family: "ipv4", Port: 443, Probe: "v1"}
		if n >= 0 {
			m.Scanned, m.Tally = true, &Tally{Verdicts: map[string]int64{"potential": n}}
		}
		months = append(months, m)
	}
	lines := monthLines(months, (*Tally).Potential)
	if len(lines) != 1 || len(lines[0].pieces) != 3 {
		t.Fatalf("got %+v, want a line in 3 pieces", lines)
	}
	for i, want := range [][][2]float64{{{0, 5}, {1, 6}}, {{3, belowOne}}, {{5, 7}}} {
		for j, at := range lines[0].pieces[i] {
			if at.X != want[j][0] || at.Y != want[j][1] || len(want) != len(lines[0].pieces[i]) {
				t.Errorf("piece %d: got %v, want %v", i, lines[0].pieces[i], want)
			}
		}
	}
	f, err := monthsFigure(months)
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, &f, "2026-01", "2026-06", "IPv4 port 443 v1", "0", "Month")
}

func TestNotEnough(t *testing.T) {
	oneMonth := []Month{{Month: "2026-01", Scanned: true, Tally: &Tally{}}}
	for name, months := range map[string][]Month{"no month": nil, "one month": oneMonth, "no scan": {{Month: "2026-01"}, {Month: "2026-02"}}} {
		if f, err := monthsFigure(months); err != nil || !strings.HasPrefix(f.Empty, "not enough data") {
			t.Errorf("months, %s: %q, %v", name, f.Empty, err)
		}
	}
	for name, presence := range map[string][]Presence{
		"none": nil, "one date": {{Scanned: 1, Seen: []int64{9}}}, "no host": {{Scanned: 2, Seen: []int64{0, 0}}},
	} {
		if f := presenceFigure(presence); !strings.HasPrefix(f.Empty, "not enough data") {
			t.Errorf("presence, %s: %q", name, f.Empty)
		}
	}
	unknown := &Table{Name: "ases", Columns: []Column{{Name: "family"}, {Name: "asn"}, {Name: "potential"}}, Rows: [][]any{{"ipv4", nil, int64(9)}}}
	if fs := asFigures(unknown); len(fs) != 1 || fs[0].Empty != "not enough data: of no potential address it is known" {
		t.Errorf("AS: %+v", fs)
	}
	if f, err := finalMonthsFigure(oneMonth); err != nil || !strings.HasPrefix(f.Empty, "not enough data") {
		t.Errorf("true hosts: %q, %v", f.Empty, err)
	}
	for _, f := range []Figure{middleboxesFigure(&Table{}), verificationFigure(&Table{}), transfersFigure(nil), transfersFigure([]Transfer{{Path: "clean"}})} {
		if !strings.HasPrefix(f.Empty, "not enough data") {
			t.Errorf("%s: %q", f.Name, f.Empty)
		}
	}
	if f := treatmentsFigure(&Table{}); f.Empty != "not enough data: no paired campaign" {
		t.Errorf("treatments: %q", f.Empty)
	}
}

func TestPresenceFigure(t *testing.T) {
	f := presenceFigure([]Presence{
		{Family: "ipv4", Port: 80, Probe: "v0", Scanned: 4, Seen: []int64{50, 5, 5, 40}},
		{Family: "ipv4", Port: 80, Probe: "v1", Scanned: 2, Seen: []int64{10, 30}},
	})
	wantTexts(t, &f, "IPv4 port 80 v0, 4 dates", "1: 40.0 %", "2: 10.0 %", "3: 50.0 %", "100 potential targets",
		"IPv4 port 80 v1, 2 dates", "1: 75.0 %", "3: 25.0 %")
}

// Only the newest campaign of a family, port and version is drawn.
func TestTreatmentsFigure(t *testing.T) {
	f := treatmentsFigure(&sample(2).Treatments)
	wantTexts(t, &f, "IPv4 port 443 v0, 2026-12-05", "IPv4 port 443 v1, 2026-12-05", "supports", "900", "600", "12")
	if slices.Contains(texts(t, &f), "111") {
		t.Error("an old campaign is drawn")
	}
}

// What follows up scans is drawn of the newest date only.
func TestFollowUpFigures(t *testing.T) {
	c := sample(3)
	months, err := finalMonthsFigure(c.FinalMonths)
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, &months, "IPv4 port 443 v1", "True targets (count, logarithmic)", "2026-03")
	if all := texts(t, &months); slices.Contains(all, "IPv6 port 443 v1") {
		t.Error("a line of scans that were not followed up")
	}
	boxes := middleboxesFigure(&c.Middleboxes)
	wantTexts(t, &boxes, "removed", "110 paths with such a box", "1: 13.6 %", "4: 36.4 %", "2 paths with such a box")
	verified := verificationFigure(&c.Verification)
	wantTexts(t, &verified, "IPv4 port 443 tls", "1,000 targets", "1: 80.0 %", "8 targets", "1: 100.0 %")
	transfers := transfersFigure(c.Transfers)
	wantTexts(t, &transfers, "IPv4 port 443 tls, clean", "1.04", "0.97", "2.50", "500", "1")
	for _, f := range []*Figure{&boxes, &transfers} {
		for _, old := range []string{"dropped", "not seen", "9.00"} {
			if slices.ContainsFunc(texts(t, f), func(text string) bool { return strings.Contains(text, old) }) {
				t.Errorf("%s has %q, of an old date or without data", f.Name, old)
			}
		}
	}
	funnel := funnelFigure(c.Tallies)
	wantTexts(t, &funnel, "true", "1,340")
	for i := range c.Tallies {
		c.Tallies[i].FollowedUp = false
	}
	funnel = funnelFigure(c.Tallies)
	if slices.Contains(texts(t, &funnel), "true") {
		t.Error("true hosts where nothing was followed up")
	}
}

// What befalls MP_CAPABLE is drawn first, whichever version shows it, and so is not what there is no room for.
func TestMiddleboxesFigureOrder(t *testing.T) {
	boxes := sample(1).Middleboxes
	boxes.Rows = nil
	row := func(probe, kind string) {
		boxes.Rows = append(boxes.Rows, []any{"2026-12-05", "ipv4", int64(443), probe, kind, int64(1), int64(0), int64(0), int64(0), int64(0)})
	}
	for i := range mostSeries {
		row("v0", fmt.Sprintf("opt_%02d", i))
	}
	row("v1", "removed")
	f := middleboxesFigure(&boxes)
	wantTexts(t, &f, "removed", "opt_00")
	if slices.Contains(texts(t, &f), fmt.Sprintf("opt_%02d", mostSeries-1)) || !strings.Contains(f.Alt, "The first is removed") {
		t.Errorf("drawn in the wrong order: %s", f.Alt)
	}
}
