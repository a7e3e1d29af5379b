package dataset

import (
	"math/rand/v2"
	"testing"
)

func TestTranspose(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 3))
	for range 100 {
		var square [64]uint64
		for k := range square {
			square[k] = random.Uint64()
		}
		got := square
		transpose(&got)
		for row := range 64 {
			for column := range 64 {
				if got[column]>>row&1 != square[row]>>column&1 {
					t.Fatalf("row %d, column %d is not where it should be", row, column)
				}
			}
		}
	}
}

func TestRowBitsColumns(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 4))
	into := make([]bitmap, 38)
	for _, rows := range []int{0, 1, 63, 64, 65, 1000, 2} { // the last into memory that held more
		words := make(rowBits, rows)
		for i := range words {
			words[i] = random.Uint64()
		}
		words.columns(into)
		for k, column := range into {
			zeros := 0
			for i, word := range words {
				bit := word >> k & 1
				if uint64(column.bits[i/8]>>(i%8)&1) != bit {
					t.Fatalf("%d rows: row %d of column %d is not %d", rows, i, k, bit)
				}
				if bit == 0 {
					zeros++
				}
			}
			if column.zeros != zeros {
				t.Errorf("%d rows: column %d has %d zeros, want %d", rows, k, column.zeros, zeros)
			}
		}
	}
}
