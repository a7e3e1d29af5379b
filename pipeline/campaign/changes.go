package campaign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// changesSince says what is not as it was when the campaign began, as in: rate: 1000, now 2000.
func (c *Campaign) changesSince(st *State) ([]string, error) {
	before, err := flatten(st.Campaign)
	if err != nil {
		return nil, err
	}
	now, err := flatten(*c)
	if err != nil {
		return nil, err
	}
	places := map[string]bool{}
	for place := range before {
		places[place] = true
	}
	for place := range now {
		places[place] = true
	}
	var changes []string
	for place := range places {
		if before[place] != now[place] {
			changes = append(changes, fmt.Sprintf("%s: %s, now %s", place, orNothing(before[place]), orNothing(now[place])))
		}
	}
	if changes != nil {
		slices.Sort(changes)
		return changes, nil
	}
	return c.changedInputs(st)
}

// changedInputs says which of the files that the campaign reads are not what they were when it began.
func (c *Campaign) changedInputs(st *State) (changes []string, err error) {
	inputs, err := c.digests()
	if err != nil {
		return nil, err
	}
	for _, input := range inputs {
		if !slices.Contains(st.Inputs, input) {
			changes = append(changes, "the content of "+input.Path)
		}
	}
	return changes, nil
}

func orNothing(text string) string {
	if text == "" {
		return "not there"
	}
	return text
}

// flatten maps the places of a campaign's values to what they are.
func flatten(c Campaign) (map[string]string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // a seed has 63 bits
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	flat := map[string]string{}
	flattenInto(flat, nil, value)
	return flat, nil
}

func flattenInto(flat map[string]string, path []string, value any) {
	inner := func(key string) []string { return append(path[:len(path):len(path)], key) }
	switch v := value.(type) {
	case map[string]any:
		for key, value := range v {
			flattenInto(flat, inner(key), value)
		}
	case []any:
		for i, value := range v {
			flattenInto(flat, inner(strconv.Itoa(i)), value)
		}
	default:
		text, _ := json.Marshal(v)
		flat[placeOf(path)] = string(text)
	}
}
