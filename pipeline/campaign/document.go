package campaign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a campaign's file. A hitlist is a file of its own.
const maxFile = 1 << 20

// What no campaign has is refused before each of its values gets a name as long as its way from the top.
const (
	maxDepth = 8 // targets.ipv4.addresses[0] has 4
	maxKey   = 64
)

// document is a YAML file as JSON knows it, with the line of every value.
type document struct {
	name  string
	value any
	lines map[string]int // by place, as placeOf writes it
}

// placeOf names a value in errors: verify.protocols.443, ports[2].
func placeOf(path []string) string {
	var b strings.Builder
	for _, key := range path {
		switch _, err := strconv.Atoi(key); {
		case err == nil && b.String() != "verify.protocols":
			fmt.Fprintf(&b, "[%s]", key)
		case b.Len() > 0:
			b.WriteString("." + key)
		default:
			b.WriteString(key)
		}
	}
	return b.String()
}

// errorf is an error in the value at path.
func (d *document) errorf(path []string, format string, args ...any) error {
	return d.lineError(d.lines[placeOf(path)], format, args...)
}

func (d *document) lineError(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", d.name, line, fmt.Sprintf(format, args...))
}

func readDocument(name string) (*document, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s: a campaign's file has at most %d bytes: put addresses into a hitlist", name, maxFile)
	}
	return parseDocument(name, text)
}

// yamlLine is where yaml's errors name the line.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)

func parseDocument(name string, text []byte) (*document, error) {
	d := &document{name: name, lines: map[string]int{}}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root, second yaml.Node
	err := decoder.Decode(&root)
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: is empty: see mpcensus run --help for an example", name)
	}
	if err == nil {
		if err = decoder.Decode(&second); err == nil {
			return nil, d.lineError(second.Line, "a second document: a file has one campaign")
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		message := strings.ReplaceAll(err.Error(), "\n", " ")
		if line := yamlLine.FindStringSubmatch(message); line != nil {
			return nil, fmt.Errorf("%s:%s: %s", name, line[1], message[len(line[0]):])
		}
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(message, "yaml: "))
	}
	d.value, err = d.convert(root.Content[0], nil)
	return d, err
}

// convert turns a node into what encoding/json would make of it, and notes its lines.
func (d *document) convert(node *yaml.Node, path []string) (any, error) {
	if len(path) > maxDepth {
		return nil, d.lineError(node.Line, "values within values within values: a campaign has no such depth")
	}
	if place := placeOf(path); d.lines[place] == 0 {
		d.lines[place] = node.Line
	}
	switch node.Kind {
	case yaml.MappingNode:
		mapping := map[string]any{}
		for i := 0; i < len(node.Content); i += 2 {
			key := node.Content[i]
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || len(key.Value) > maxKey || strings.ContainsFunc(key.Value, unicode.IsControl) {
				return nil, d.lineError(key.Line, "a key is a word, of %d bytes at most", maxKey)
			}
			inner := append(path[:len(path):len(path)], key.Value)
			if _, twice := mapping[key.Value]; twice {
				return nil, d.lineError(key.Line, "%s is there twice, first in line %d", placeOf(inner), d.lines[placeOf(inner)])
			}
			d.lines[placeOf(inner)] = key.Line
			value, err := d.convert(node.Content[i+1], inner)
			if err != nil {
				return nil, err
			}
			mapping[key.Value] = value
		}
		return mapping, nil
	case yaml.SequenceNode:
		list := []any{}
		for i, item := range node.Content {
			value, err := d.convert(item, append(path[:len(path):len(path)], strconv.Itoa(i)))
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, nil
	case yaml.AliasNode:
		return nil, d.lineError(node.Line, "*%s refers to another value: write it out", node.Value)
	}
	switch node.Tag {
	case "!!int", "!!float", "!!bool", "!!null":
		var value any
		if err := node.Decode(&value); err != nil {
			return nil, d.lineError(node.Line, "%s: %q cannot be read", placeOf(path), node.Value)
		}
		return value, nil
	}
	return node.Value, nil // dates, too
}
