package keys

import (
	"math"
	"math/big"
	"testing"
)

const relative = 1e-12 // the error that is allowed against exact arithmetic

func close(got float64, want *big.Rat) bool {
	w, _ := want.Float64()
	return math.Abs(got-w) <= relative*w
}

// keysOf is the exact number of keys of weights from to to, over 2^64.
func keysOf(from, to int64) *big.Rat {
	sum := new(big.Int)
	for k := from; k <= to; k++ {
		sum.Add(sum, new(big.Int).Binomial(Bits, k))
	}
	return new(big.Rat).SetFrac(sum, new(big.Int).Lsh(big.NewInt(1), Bits))
}

func TestBinomialIsExact(t *testing.T) {
	for k := int64(0); k <= Bits; k++ {
		if got, want := PMF(int(k)), keysOf(k, k); !close(got, want) {
			t.Errorf("PMF(%d) = %g, want %s", k, got, want.FloatString(40))
		}
		if got, want := LowerTail(int(k)), keysOf(0, k); !close(got, want) {
			t.Errorf("LowerTail(%d) = %g, want %s", k, got, want.FloatString(40))
		}
	}
	if PMF(0) != 0x1p-64 {
		t.Errorf("PMF(0) = %g", PMF(0))
	}
}

// exactUpperTail is the sum that binomialUpperTail takes from k, in rational numbers.
func exactUpperTail(k, n int64, success *big.Rat) *big.Rat {
	failure := new(big.Rat).Sub(big.NewRat(1, 1), success)
	// With success a/c and failure b/c: the sum of C(n, i) a^i b^(n-i) over c^n.
	c := new(big.Int).Mul(success.Denom(), failure.Denom())
	a := new(big.Int).Mul(success.Num(), failure.Denom())
	b := new(big.Int).Mul(failure.Num(), success.Denom())
	sum := new(big.Int)
	for i := k; i <= n; i++ {
		term := new(big.Int).Binomial(n, i)
		term.Mul(term, new(big.Int).Exp(a, big.NewInt(i), nil))
		sum.Add(sum, term.Mul(term, new(big.Int).Exp(b, big.NewInt(n-i), nil)))
	}
	return new(big.Rat).SetFrac(sum, c.Exp(c, big.NewInt(n), nil))
}

func TestBinomialUpperTail(t *testing.T) {
	for _, n := range []int64{1, 2, 17, 43, 150} {
		for _, p := range []float64{PMF(2), PMF(16), PMF(32), 0.5, 1} {
			for _, k := range []int64{0, 1, n / 4, n / 2, n - 1, n} {
				got, want := binomialUpperTail(uint64(k), uint64(n), p), exactUpperTail(k, n, new(big.Rat).SetFloat64(p))
				if w, _ := want.Float64(); math.Abs(got-w) > 1e-10*w && w > 1e-300 || w <= 1e-300 && got > 1e-299 {
					t.Errorf("P(Binomial(%d, %g) >= %d) = %g, want %g", n, p, k, got, w)
				}
			}
		}
	}
}

// Sizes of the Internet. The expected values are sums of the probabilities to 60 digits, by mpmath 1.4.1;
// scipy 1.17.1's binom.sf agrees to 4e-11.
func TestBinomialUpperTailOfManyKeys(t *testing.T) {
	for _, c := range []struct {
		k, n   uint64
		weight int // of the keys counted: p is PMF(weight)
		want   float64
	}{
		{21, 1000000, 16, 0.88044309761183996},
		{26, 1000000, 16, 0.56336169808176657},
		{29, 1000000, 16, 0.33752642992826949},
		{42, 1000000, 16, 0.0032408203088046574},
		{68, 1000000, 16, 1.1846080306719668e-11},
		{181, 1000000, 16, 3.6166485316329869e-86},
		{12893, 1000000, 24, 0.99999999929901798},
		{13472, 1000000, 24, 0.84227327582462865},
		{13588, 1000000, 24, 0.50018296334270246},
		{13646, 1000000, 24, 0.30847486679918876},
		{13935, 1000000, 24, 0.0014207705930153093},
		{14514, 1000000, 24, 1.2773992079638259e-15},
		{17061, 1000000, 24, 2.1181425155102208e-183},
		{97552, 1000000, 32, 0.99999999911381828},
		{99048, 1000000, 32, 0.84144739857416403},
		{99347, 1000000, 32, 0.50016030500315766},
		{99496, 1000000, 32, 0.3093816446119307},
		{100244, 1000000, 32, 0.0013752574627179344},
		{101740, 1000000, 32, 7.8527238890363475e-16},
		{108321, 1000000, 32, 5.0270290319291728e-193},
		{25507, 1000000000, 16, 0.99999999921798077},
		{26320, 1000000000, 16, 0.84262932594551633},
		{26483, 1000000000, 16, 0.5010582317197361},
		{26564, 1000000000, 16, 0.31035596416353023},
		{26971, 1000000000, 16, 0.0014087243386182088},
		{27785, 1000000000, 16, 1.0615939744315314e-15},
		{31365, 1000000000, 16, 5.5905093615802199e-187},
		{13565749, 1000000000, 24, 0.99999999902377349},
		{13584054, 1000000000, 24, 0.84139174645430587},
		{13587715, 1000000000, 24, 0.50006232555053162},
		{13589546, 1000000000, 24, 0.30854945987000116},
		{13598698, 1000000000, 24, 0.0013524416834873045},
		{13617003, 1000000000, 24, 6.3763349114850787e-16},
		{13697546, 1000000000, 24, 1.6199988926549591e-197},
		{99289998, 1000000000, 32, 0.99999999901697822},
		{99337295, 1000000000, 32, 0.84134528137420745},
		{99346754, 1000000000, 32, 0.50000482547930619},
		{99351483, 1000000000, 32, 0.30856587483178749},
		{99375131, 1000000000, 32, 0.0013508340998315496},
		{99422428, 1000000000, 32, 6.266390254138866e-16},
		{99630531, 1000000000, 32, 7.1810270016186026e-198},
	} {
		if got := binomialUpperTail(c.k, c.n, PMF(c.weight)); !(math.Abs(got/c.want-1) <= 1e-10) {
			t.Errorf("P(Binomial(%d, %g) >= %d) = %g, want %g: error %.1e", c.n, PMF(c.weight), c.k, got, c.want, got/c.want-1)
		}
	}
}

// A chance so small that its complement rounds to nearly 1: 1 - (1-p)^n of one key or more.
func TestBinomialUpperTailOfOne(t *testing.T) {
	for _, n := range []uint64{1000, 1e6, 1e9} {
		for p := 1e-15; p < 1; p *= 1.3 {
			want := -math.Expm1(float64(n) * math.Log1p(-p))
			if got := binomialUpperTail(1, n, p); math.Abs(got/want-1) > 1e-10 {
				t.Errorf("P(Binomial(%d, %g) >= 1) = %g, want %g", n, p, got, want)
			}
		}
	}
}
