package mptcp

import (
	"strconv"
	"strings"
)

// A layout is the kinds of a list of options, one byte each. layoutCut follows them if the list could
// not be walked further: no list goes on after one EOL.
const layoutCut = "\x00\x00"

// orders keeps the texts of layouts for Options.Order. A scan meets some dozen layouts; of those that a
// hostile host makes up, each drives out one.
type orders [1 << 8]struct{ layout, text string }

func (o *orders) text(layout []byte) string {
	hash := uint32(0)
	for _, kind := range layout {
		hash = (hash + uint32(kind)) * 0x9e3779b1 // 2³² over the golden ratio (Knuth, TAOCP 3, §6.4)
	}
	entry := &o[hash>>24]
	if entry.layout != string(layout) {
		entry.layout = string(layout)
		entry.text = orderText(entry.layout)
	}
	return entry.text
}

func orderText(layout string) string {
	kinds, isCut := strings.CutSuffix(layout, layoutCut)
	var text []byte
	for i := range len(kinds) {
		if i > 0 {
			text = append(text, '-')
		}
		text = strconv.AppendUint(text, uint64(kinds[i]), 10)
	}
	if isCut {
		text = append(text, "-!"...)
	}
	return string(text)
}
