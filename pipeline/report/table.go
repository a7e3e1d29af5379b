package report

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// Table is a table of the report: in the page, as CSV and as Markdown.
type Table struct {
	Name    string // of its files: "funnel"
	Title   string
	Note    string // what is counted and how, in a sentence or two
	Columns []Column
	Rows    [][]any // string, int64, float64, or nil: not known
	Empty   string  // when there are no rows: why
}

// Column is a column of a [Table].
type Column struct {
	Name    string // as in CSV: "mp_capable"
	Unit    string // "keys"; empty where the meaning says it all
	Meaning string
	Share   bool // 0 to 1; per cent everywhere but in CSV
	Number  bool // it names and does not count, as that of a port: no separators
	Chance  bool // a p-value, of which CSV has 0 where it is too small for a float64
}

// Label is what people read above the column.
func (c Column) Label() string {
	label := strings.ReplaceAll(c.Name, "_", " ")
	switch {
	case c.Share:
		return label + " (%)"
	case c.Unit != "":
		return label + " (" + c.Unit + ")"
	}
	return label
}

// Text is a value of the column as people read it; "–" when it is not known.
func (c Column) Text(value any) string {
	switch v := value.(type) {
	case nil:
		return "–"
	case int64:
		if c.Number {
			break
		}
		return groupedSigned(v)
	case float64:
		switch {
		case c.Share:
			return strconv.FormatFloat(100*v, 'f', 2, 64)
		case c.Chance:
			return keys.FormatP(v)
		}
		return formatFloat(v)
	}
	return fmt.Sprint(value)
}

// formatFloat writes four digits that count, without an exponent where that is short.
func formatFloat(v float64) string {
	if a := math.Abs(v); a >= 1000 && a < 1e15 {
		return groupedSigned(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

func groupedSigned(n int64) string {
	if n < 0 {
		return "-" + grouped(-uint64(n))
	}
	return grouped(uint64(n))
}

// CSV writes the table by RFC 4180, with a header and lines that end in LF. Numbers are exact, shares
// stand from 0 to 1, and what is not known is empty.
//
// Names of networks, files and arguments are others' text. A spreadsheet takes what begins with =, +,
// -, @, tab or carriage return for a formula, which can send data away: such text gets an apostrophe
// before it (OWASP, "CSV Injection").
func (t *Table) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	line := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		line[i] = c.Name
	}
	if err := out.Write(line); err != nil {
		return err
	}
	for _, row := range t.Rows {
		for i, value := range row {
			line[i] = csvText(value)
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func csvText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		if strings.IndexAny(v, "=+-@\t\r") == 0 {
			return "'" + v
		}
		return v
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(value)
}

// Markdown writes the table, with title, note and the meaning of its columns, in GitHub's flavour. Text
// in it is no markup, though GitHub links what looks like a mail address however it is written.
func (t *Table) Markdown(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "# %s\n\n%s\n\n", markdownText(t.Title), markdownText(t.Note))
	if len(t.Rows) == 0 {
		fmt.Fprintf(out, "%s\n", markdownText(t.Empty))
		return out.Flush()
	}
	for i, c := range t.Columns {
		fmt.Fprintf(out, "| %s ", markdownText(c.Label()))
		if i == len(t.Columns)-1 {
			fmt.Fprint(out, "|\n")
		}
	}
	for i := range t.Columns {
		fmt.Fprint(out, "|", map[bool]string{true: "--:", false: "---"}[t.Numeric(i)])
	}
	fmt.Fprint(out, "|\n")
	for _, row := range t.Rows {
		for i, value := range row {
			fmt.Fprintf(out, "| %s ", markdownText(t.Columns[i].Text(value)))
		}
		fmt.Fprint(out, "|\n")
	}
	fmt.Fprintln(out)
	for _, c := range t.Columns {
		fmt.Fprintf(out, "- %s: %s\n", markdownText(c.Label()), markdownText(c.Meaning))
	}
	return out.Flush()
}

// Numeric says whether a column has numbers, which stand right.
func (t *Table) Numeric(column int) bool {
	for _, row := range t.Rows {
		switch row[column].(type) {
		case int64, float64:
			return true
		case string:
			return false
		}
	}
	return false
}

var markdownEscaper = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `[`, `\[`, `]`, `\]`, `|`, `\|`, `~`, `\~`,
	`<`, `&lt;`, `>`, `&gt;`, `&`, `&amp;`, `://`, `:&#47;&#47;`, `www.`, `www&#46;`)

// markdownText makes text that shows as it is, in one line.
func markdownText(s string) string { return markdownEscaper.Replace(visible(s)) }

// visible is a text in one line. Characters that cannot be seen, such as those that turn the direction of
// writing, become U+FFFD.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
