package check

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Matrix compares conclusions with the truth: cells of one behaviour, family, probe and truth stand
// together.
type Matrix []Cell

// Checked is the number of conclusions that have to be right: one a target and probe.
func (m Matrix) Checked() (sum uint64) {
	for _, c := range m {
		if c.Certain {
			sum += c.Targets
		}
	}
	return sum
}

// Wrong is how many of Checked differ from the truth.
func (m Matrix) Wrong() (sum uint64) {
	for _, c := range m {
		if c.Certain && c.Expected != c.Found {
			sum += c.Targets
		}
	}
	return sum
}

// line is a row of the printed matrix: all that was found where the same was expected, on all ports.
type line struct {
	behaviour, family, probe, expected string
	certain                            bool
	found                              []finding
	right                              bool
}

type finding struct {
	what    string
	targets uint64
}

func (m Matrix) lines() []line {
	var lines []line
	for _, c := range m {
		l := line{behaviour: c.Behaviour, family: c.Family, probe: c.Probe, expected: c.Expected, certain: c.Certain, right: true}
		last := len(lines) - 1
		if last < 0 || lines[last].behaviour != l.behaviour || lines[last].family != l.family ||
			lines[last].probe != l.probe || lines[last].expected != l.expected {
			lines = append(lines, l)
			last++
		}
		found := &lines[last].found
		if n := len(*found); n > 0 && (*found)[n-1].what == c.Found { // on another port
			(*found)[n-1].targets += c.Targets
		} else {
			*found = append(*found, finding{c.Found, c.Targets})
		}
		lines[last].right = lines[last].right && c.Found == c.Expected
	}
	return lines
}

// print writes the matrix of one kind of conclusion, and an empty line.
func (m Matrix) print(w io.Writer, conclusion string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "behaviour\tfamily\tprobe\ttrue %s\tfound (targets)\t\n", conclusion)
	for _, l := range m.lines() {
		var found []string
		for _, f := range l.found {
			found = append(found, fmt.Sprintf("%s %d", f.what, f.targets))
		}
		mark := ""
		switch {
		case l.right:
		case l.certain:
			mark = "WRONG"
		default:
			mark = "differs"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", l.behaviour, l.family, l.probe, l.expected, strings.Join(found, ", "), mark)
	}
	fmt.Fprintln(table)
	return table.Flush()
}
