package campaign

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/mpcensus/mpcensus/schemas"
)

// schemaName is the schema's place among those of its compiler.
const schemaName = "campaign.schema.json"

var compiledSchema = sync.OnceValue(func() *jsonschema.Schema {
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.Campaign))
	if err != nil {
		panic("schemas/campaign.schema.json: " + err.Error())
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(schemaName, text); err != nil {
		panic("schemas/campaign.schema.json: " + err.Error())
	}
	return compiler.MustCompile(schemaName)
})

// check holds the document against the schema. The error tells of the first value that does not fit.
func (d *document) check() error {
	invalid, ok := compiledSchema().Validate(d.value).(*jsonschema.ValidationError)
	if !ok {
		return nil
	}
	type complaint struct {
		line int
		text string
	}
	var complaints []complaint
	for _, leaf := range leaves(invalid) {
		path, text := complain(leaf)
		complaints = append(complaints, complaint{d.lines[placeOf(path)], text})
	}
	first := slices.MinFunc(complaints, func(a, b complaint) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.text, b.text))
	})
	return d.lineError(first.line, "%s", first.text)
}

// leaves are the errors at the ends of the tree. Of alternatives there is one error: what is allowed is in
// the description of all of them.
func leaves(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if _, alternatives := e.ErrorKind.(*kind.AnyOf); alternatives || len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	var found []*jsonschema.ValidationError
	for _, cause := range e.Causes {
		found = append(found, leaves(cause)...)
	}
	return found
}

// complain says in a line what is wrong, and what is allowed, and where in the document that is.
func complain(e *jsonschema.ValidationError) (path []string, text string) {
	path = e.InstanceLocation
	schema := schemaAt(path)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		unknown := slices.Sorted(slices.Values(k.Properties))[0]
		path = append(path[:len(path):len(path)], unknown)
		if schema.Properties == nil { // any that fit a pattern
			return path, fmt.Sprintf("%s is unknown: it is %s", placeOf(path), schema.Description)
		}
		allowed := make([]string, 0, len(schema.Properties))
		for name := range schema.Properties {
			allowed = append(allowed, name)
		}
		slices.Sort(allowed)
		return path, fmt.Sprintf("%s is unknown: allowed are %s", placeOf(path), strings.Join(allowed, ", "))
	case *kind.Required:
		if len(path) == 0 {
			return path, fmt.Sprintf("%s is missing: %s", k.Missing[0], referred(schema.Properties[k.Missing[0]]).Description)
		}
		return path, fmt.Sprintf("%s.%s is missing: %s", placeOf(path), k.Missing[0], referred(schema.Properties[k.Missing[0]]).Description)
	case *kind.UniqueItems:
		return path, fmt.Sprintf("%s: items %d and %d are the same", placeOf(path), k.Duplicates[0]+1, k.Duplicates[1]+1)
	case *kind.Type:
		if k.Got == "null" {
			return path, fmt.Sprintf("%s is empty: it is %s", placeOf(path), schema.Description)
		}
	}
	if len(path) == 0 {
		return path, "a campaign is a mapping of keys such as name, dataset, targets and ports"
	}
	return path, fmt.Sprintf("%s: it is %s", placeOf(path), schema.Description)
}

// schemaAt is the part of the schema that is about the value at path, which the schema knows.
func schemaAt(path []string) *jsonschema.Schema {
	schema := referred(compiledSchema())
	for _, key := range path {
		switch {
		case schema.Properties[key] != nil:
			schema = schema.Properties[key]
		case schema.Items2020 != nil:
			schema = schema.Items2020
		default: // keys that fit the only pattern there is
			for _, schema = range schema.PatternProperties {
				break
			}
		}
		schema = referred(schema)
	}
	return schema
}

// referred is the schema that a $ref leads to.
func referred(schema *jsonschema.Schema) *jsonschema.Schema {
	for schema.Ref != nil {
		schema = schema.Ref
	}
	return schema
}
