package zmap

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRowReader(t *testing.T) {
	const row = `{"saddr":"198.18.0.7","classification":"rst"}`
	size := int64(len(row))
	exact := row[:len(row)-1] + strings.Repeat(" ", MaxLine-len(row)) + "}"
	type want struct {
		offset, length int64
		reason         error
	}
	tests := []struct {
		name, input string
		want        []want
	}{
		{"empty", "", nil},
		{"one", row + "\n", []want{{0, size, nil}}},
		{"no line end", row, []want{{0, size, nil}}},
		{"two", row + "\n" + row + "\n", []want{{0, size, nil}, {size + 1, size, nil}}},
		{"crlf", row + "\r\n" + row + "\r\n", []want{{0, size, nil}, {size + 2, size, nil}}},
		{"blank lines", "\n\r\n" + row, []want{{0, 0, ErrBlank}, {1, 0, ErrBlank}, {3, size, nil}}},
		{"cut short", row[:10], []want{{0, 10, ErrNotJSON}}},
		{"longest", exact + "\n" + row, []want{{0, MaxLine, nil}, {MaxLine + 1, size, nil}}},
		{"longest crlf", exact + "\r\n" + row, []want{{0, MaxLine, nil}, {MaxLine + 2, size, nil}}},
		{"longest at the end", exact, []want{{0, MaxLine, nil}}},
		{"one too long", exact + " \n" + row, []want{{0, MaxLine + 1, ErrTooLong}, {MaxLine + 2, size, nil}}},
		{"one too long crlf", exact + " \r\n" + row, []want{{0, MaxLine + 1, ErrTooLong}, {MaxLine + 3, size, nil}}},
		{"two too long", exact + "  \n" + row, []want{{0, MaxLine + 2, ErrTooLong}, {MaxLine + 3, size, nil}}},
		{"too long, blank line", exact + "   \n\n" + row, []want{{0, MaxLine + 3, ErrTooLong}, {MaxLine + 4, 0, ErrBlank}, {MaxLine + 5, size, nil}}},
		{"too long at the end", exact + exact + exact, []want{{0, 3 * MaxLine, ErrTooLong}}},
		{"far too long", strings.Repeat("x", 3*MaxLine) + "\r\n" + row, []want{{0, 3 * MaxLine, ErrTooLong}, {3*MaxLine + 2, size, nil}}},
	}
	for _, test := range tests {
		for how, input := range map[string]io.Reader{
			"at once":      strings.NewReader(test.input),
			"byte by byte": iotest.OneByteReader(strings.NewReader(test.input)),
			"with error":   iotest.DataErrReader(strings.NewReader(test.input)),
		} {
			t.Run(test.name+" "+how, func(t *testing.T) {
				r := NewRowReader(input)
				for i, want := range test.want {
					line, err := r.Read()
					if err != nil {
						t.Fatalf("line %d: %v", i+1, err)
					}
					if line.Number != int64(i+1) || line.Offset != want.offset || line.Length != want.length || !errors.Is(line.Err, want.reason) {
						t.Errorf("got %d, %d, %d, %v, want %d, %+v", line.Number, line.Offset, line.Length, line.Err, i+1, want)
					}
					if raw := test.input[want.offset:][:min(want.length, MaxLine)]; string(line.Raw) != raw {
						t.Errorf("line %d is not the input's", i+1)
					}
				}
				if line, err := r.Read(); err != io.EOF {
					t.Errorf("got %+v, %v at the end", line, err)
				}
			})
		}
	}
}

// What was read before an error is a line; the error comes after it, and stays.
func TestRowReaderError(t *testing.T) {
	broken := errors.New("broken")
	const row = `{"saddr":"198.18.0.7","classification":"rst"}`
	r := NewRowReader(io.MultiReader(strings.NewReader(row+"\n"+row[:9]), iotest.ErrReader(broken)))
	for _, length := range []int64{int64(len(row)), 9} {
		if line, err := r.Read(); err != nil || line.Length != length {
			t.Fatalf("got %+v, %v, want a line of %d bytes", line, err, length)
		}
	}
	for range 2 {
		if _, err := r.Read(); err != broken {
			t.Fatalf("got %v, want %v", err, broken)
		}
	}
}

// Every byte is in exactly one line, and every line is a row or has a reason.
func FuzzRowReader(f *testing.F) {
	f.Add([]byte("{}\n\r\n\n{"), 1)
	f.Add([]byte(`{"saddr":"198.18.0.7","classification":"rst"}`), 3000)
	f.Add([]byte("a\r"), MaxLine)
	f.Fuzz(func(t *testing.T, input []byte, times int) {
		if times < 0 || len(input)*times > 1<<20 {
			return
		}
		input = bytes.Repeat(input, times)
		lines := NewRowReader(iotest.HalfReader(bytes.NewReader(input)))
		var read, kept, rejected, end int64
		for {
			line, err := lines.Read()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			read++
			switch {
			case line.Row != nil && line.Err == nil:
				kept++
			case line.Row == nil && line.Err != nil:
				rejected++
			default:
				t.Fatalf("row %v and error %v", line.Row, line.Err)
			}
			if line.Number != read || line.Offset != end {
				t.Fatalf("line %d at %d, want %d at %d", line.Number, line.Offset, read, end)
			}
			if !bytes.Equal(line.Raw, input[line.Offset:][:min(line.Length, MaxLine)]) {
				t.Fatalf("line %d is not the input's", line.Number)
			}
			end = line.Offset + line.Length
			end += int64(len(input[end:]) - len(bytes.TrimPrefix(bytes.TrimPrefix(input[end:], []byte("\r")), []byte("\n"))))
			if bytes.HasPrefix(input[line.Offset+line.Length:], []byte("\r")) && !bytes.HasPrefix(input[line.Offset+line.Length:], []byte("\r\n")) {
				t.Fatalf("line %d ends before a lone CR", line.Number)
			}
		}
		if read != kept+rejected || end != int64(len(input)) {
			t.Errorf("read %d, kept %d, rejected %d, %d of %d bytes", read, kept, rejected, end, len(input))
		}
		if want := int64(bytes.Count(input, []byte("\n"))); read < want || read > want+1 {
			t.Errorf("read %d lines of %d", read, want)
		}
	})
}
