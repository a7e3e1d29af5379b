package dataset

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// text is a value of a column of text, or NULL.
type text struct {
	value string
	valid bool
}

// checkNames fills a column with values, and compares what it says of them. It returns how many different ones
// the column has, 0 if it is no dictionary any more.
func checkNames(t *testing.T, c *names, values []text) (different int) {
	t.Helper()
	c.place(5)
	var words rowBits
	for _, v := range values {
		words = append(words, c.append(v.value, v.valid))
	}
	bitmaps := make([]bitmap, 6)
	words.columns(bitmaps)
	column := c.array(arrow.BinaryTypes.String, len(values), bitmaps[5])
	defer column.Release()
	if column.Len() != len(values) {
		t.Fatalf("%d values, want %d", column.Len(), len(values))
	}
	dictionary, ok := column.(*array.Dictionary)
	for i, want := range values {
		got := text{valid: column.IsValid(i)}
		switch {
		case !got.valid:
			want.value = ""
		case ok:
			got.value = dictionary.Dictionary().(*array.String).Value(dictionary.GetValueIndex(i))
		default:
			got.value = column.(*array.String).Value(i)
		}
		if got != want {
			t.Fatalf("value %d of %d is %v, want %v", i, len(values), got, want)
		}
	}
	if !ok {
		return 0
	}
	return dictionary.Dictionary().Len()
}

// The same column over and over, as workers use it: after more different values than a dictionary can have, too.
func TestNames(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 8))
	distinct := func(n int) (values []text) {
		for i := range n {
			values = append(values, text{fmt.Sprintf("name %07d end", i), random.IntN(9) > 0})
		}
		return values
	}
	// Alike where append looks: in length, and first, middle and last byte.
	alike := make([]text, 5000)
	for i := range alike {
		alike[i] = text{fmt.Sprintf("a%db%dc", random.IntN(10), random.IntN(10)), random.IntN(9) > 0}
	}
	var c names
	for _, test := range []struct {
		name      string
		values    []text
		different int
	}{
		{"nothing", nil, 0},
		{"one", []text{{"a", true}}, 1},
		{"only NULL", []text{{"", false}, {"", false}}, 1},
		{"empty text and NULL", []text{{"", true}, {"", false}, {"", true}}, 1},
		{"alike", alike, 100},
		{"as many as there can be", append(distinct(maxNames), distinct(maxNames)...), maxNames},
		{"one more", append(distinct(maxNames+1), text{"a", true}, text{"", false}), 0},
		{"few again", []text{{"name 0000007 end", true}, {"b", true}, {"name 0000007 end", true}}, 2},
	} {
		if got := checkNames(t, &c, test.values); got != test.different {
			t.Errorf("%s: %d different values, want %d", test.name, got, test.different)
		}
		c.reset()
	}
}

func TestAppendAddress(t *testing.T) {
	var c texts
	var want []string
	add := func(a netip.Addr) {
		c.appendAddress(a)
		want = append(want, a.String())
	}
	for _, a := range []string{"0.0.0.0", "255.255.255.255", "198.18.0.100", "::", "::1", "2001:db8::1:0:0:1", "::ffff:192.0.2.1"} {
		add(netip.MustParseAddr(a))
	}
	random := rand.New(rand.NewPCG(4, 6))
	for range 1000 {
		n := random.Uint32()
		add(netip.AddrFrom4([4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}))
	}
	column := c.array(arrow.BinaryTypes.String, len(want), bitmap{}).(*array.String)
	defer column.Release()
	for i := range want {
		if column.Value(i) != want[i] {
			t.Errorf("got %s, want %s", column.Value(i), want[i])
		}
	}
}
