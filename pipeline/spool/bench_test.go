package spool

import (
	"bytes"
	"io"
	"os"
	"testing"
)

// report adds lines a second and the ratio to Go's own figures.
func report(b *testing.B, path string, input []byte) {
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(input)))
	b.ReportMetric(float64(bytes.Count(input, []byte("\n")))*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(len(input))/float64(info.Size()), "ratio")
}

func BenchmarkWrite(b *testing.B) {
	input := rows(250_000)
	path := spoolPath(b)
	for b.Loop() {
		os.Remove(path)
		write(b, path, bytes.NewReader(input))
	}
	report(b, path, input)
}

func BenchmarkRead(b *testing.B) {
	input := rows(250_000)
	path := spoolPath(b)
	write(b, path, bytes.NewReader(input))
	for b.Loop() {
		r, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); n != int64(len(input)) || err != nil {
			b.Fatal(n, err)
		}
		r.Close()
	}
	report(b, path, input)
}

// BenchmarkEncode is compression alone, which is nearly all of the CPU time.
func BenchmarkEncode(b *testing.B) {
	input := rows(250_000)
	encoder, err := newEncoder()
	if err != nil {
		b.Fatal(err)
	}
	var frame []byte
	f := newFramer(func(content []byte) error {
		frame = encoder.EncodeAll(content, frame[:0])
		return nil
	})
	for b.Loop() {
		f.add(input)
		f.flush()
	}
	b.SetBytes(int64(len(input)))
}
