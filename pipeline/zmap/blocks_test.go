package zmap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// modelBlock is what a BlockReader must make of one place of an input.
type modelBlock struct {
	Index, Offset int64
	Lines         []Line
}

// modelBlocks cuts an input that is all there.
func modelBlocks(input string, size int) (blocks []modelBlock) {
	offset := 0
	for _, text := range strings.SplitAfter(input, "\n") {
		if text == "" {
			continue
		}
		line := text
		if strings.HasSuffix(line, "\n") {
			line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		}
		index := int64(offset / size)
		if len(blocks) == 0 || blocks[len(blocks)-1].Index != index {
			blocks = append(blocks, modelBlock{Index: index, Offset: int64(offset)})
		}
		b := &blocks[len(blocks)-1]
		b.Lines = append(b.Lines, Line{
			Number: int64(len(b.Lines) + 1), Offset: int64(offset), Length: int64(len(line)),
			Raw: []byte(line[:min(len(line), MaxLine)]),
		})
		offset += len(text)
	}
	return blocks
}

// readBlocks reads all blocks, and checks what a block says of itself.
func readBlocks(t *testing.T, r *BlockReader, size int) (blocks []modelBlock, err error) {
	t.Helper()
	var b Block
	for {
		if err := r.Read(&b); err != nil {
			return blocks, err
		}
		copied := modelBlock{Index: b.Index, Offset: b.Offset}
		for line := range b.Lines() {
			line.Raw = append([]byte{}, line.Raw...)
			copied.Lines = append(copied.Lines, line)
		}
		if n := b.CountLines(); n != int64(len(copied.Lines)) {
			t.Fatalf("block %d has %d lines, not %d", b.Index, len(copied.Lines), n)
		}
		if limit := size + MaxLine + 2; len(b.data) > limit || cap(b.data) > limit+limit/4+64 || cap(r.ahead) > 2*lineRoom {
			t.Fatalf("a block of %d bytes takes %d (%d), and %d more", size, len(b.data), cap(b.data), cap(r.ahead))
		}
		blocks = append(blocks, copied)
	}
}

// readers give the same bytes in different pieces.
var readers = map[string]func(io.Reader) io.Reader{
	"at once":      func(r io.Reader) io.Reader { return r },
	"byte by byte": iotest.OneByteReader,
	"halves":       iotest.HalfReader,
	"with error":   iotest.DataErrReader,
	"empty reads":  func(r io.Reader) io.Reader { return &emptyReads{r: r} },
}

// emptyReads reads nothing every other time.
type emptyReads struct {
	r    io.Reader
	even bool
}

func (e *emptyReads) Read(p []byte) (int, error) {
	if e.even = !e.even; e.even {
		return 0, nil
	}
	return e.r.Read(p[:min(len(p), 1000)])
}

func checkBlocks(t *testing.T, input string, size int) {
	t.Helper()
	want := modelBlocks(input, size)
	for how, reader := range readers {
		if how == "byte by byte" && len(input) > 4*MaxLine {
			continue
		}
		var passed bytes.Buffer
		got, err := readBlocks(t, NewBlockReader(io.TeeReader(reader(strings.NewReader(input)), &passed), size), size)
		if err != io.EOF {
			t.Fatalf("%s: %v", how, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s, blocks of %d:\n got %s\nwant %s", how, size, outline(got), outline(want))
		}
		if passed.String() != input {
			t.Fatalf("%s: not all bytes passed the tee", how)
		}
	}
}

// outline tells of blocks without their bytes.
func outline(blocks []modelBlock) string {
	var b strings.Builder
	for _, block := range blocks {
		fmt.Fprintf(&b, "[%d at %d:", block.Index, block.Offset)
		for _, line := range block.Lines {
			fmt.Fprintf(&b, " %d@%d+%d(%d)", line.Number, line.Offset, line.Length, len(line.Raw))
		}
		b.WriteString("] ")
	}
	return b.String()
}

func TestBlocks(t *testing.T) {
	const row = `{"saddr":"198.18.0.7","classification":"rst"}`
	longest := strings.Repeat("x", MaxLine)
	for _, input := range []string{
		"", "\n", "\r\n", "\r", "a", "a\n", "a\r\n", "a\r", "a\n\n\nb", "\n\r\n" + row, row, row + "\n" + row + "\n", row + "\r\n" + row,
		longest, longest + "\n" + row, longest + "\r\n" + row, longest + "\r", longest + "\r\r\n",
		longest + "x\n" + row, longest + "x\r\n" + row, longest + "xx\n" + row, longest + "xxx\n\n" + row, longest + "xx\r\n" + row,
		"a\n" + longest + longest + "\r\n" + row + "\n", strings.Repeat(longest, 3), strings.Repeat(longest, 3) + "\n" + row,
		strings.Repeat(longest+"\r\n", 3), strings.Repeat(longest, 2) + "\n" + strings.Repeat(longest, 2) + "\r\n",
		strings.Repeat(row+"\n", 500),
	} {
		for _, size := range []int{1, 2, len(row), len(row) + 1, 1000, MaxLine - 1, MaxLine, MaxLine + 1, MaxLine + 2, 4 * MaxLine} {
			checkBlocks(t, input, size)
		}
	}
}

func TestRandomBlocks(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		var input strings.Builder
		for range random.IntN(12) {
			switch random.IntN(6) {
			case 0:
				input.WriteString(strings.Repeat("y", MaxLine-4+random.IntN(10)))
			case 1:
				input.WriteString(strings.Repeat("z", random.IntN(4*MaxLine)))
			default:
				input.WriteString(strings.Repeat("x", random.IntN(1000)))
			}
			input.WriteString([]string{"\n", "\n", "\r\n", "\r", ""}[random.IntN(5)])
		}
		checkBlocks(t, input.String(), 1+random.IntN(3*MaxLine))
	}
}

// What was read before an error is handed out; the error comes after it, and stays.
func TestBlocksError(t *testing.T) {
	broken := errors.New("broken")
	const input = "first line\nsecond line\nthi"
	for _, size := range []int{1, 12, 1000} {
		r := NewBlockReader(io.MultiReader(strings.NewReader(input), iotest.ErrReader(broken)), size)
		got, err := readBlocks(t, r, size)
		if want := modelBlocks(input, size); err != broken || !reflect.DeepEqual(got, want) {
			t.Errorf("blocks of %d: %v\n got %s\nwant %s", size, err, outline(got), outline(want))
		}
		if err := r.Read(new(Block)); err != broken {
			t.Errorf("got %v, want %v again", err, broken)
		}
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

func TestBlocksNoProgress(t *testing.T) {
	if err := NewBlockReader(nothing{}, 1000).Read(new(Block)); err != io.ErrNoProgress {
		t.Errorf("got %v, want %v", err, io.ErrNoProgress)
	}
}

func TestBlocksStop(t *testing.T) {
	var b Block
	if err := NewBlockReader(strings.NewReader("a\nb\nc\n"), 1000).Read(&b); err != nil {
		t.Fatal(err)
	}
	for line := range b.Lines() {
		if line.Number > 1 {
			t.Fatal("a line after the last that was asked for")
		}
		break
	}
}

func TestCheckLength(t *testing.T) {
	if err := (Line{Length: MaxLine}).CheckLength(); err != nil {
		t.Error(err)
	}
	if err := (Line{Length: MaxLine + 1}).CheckLength(); !errors.Is(err, ErrTooLong) {
		t.Errorf("got %v, want %v", err, ErrTooLong)
	}
}

func FuzzBlocks(f *testing.F) {
	f.Add("{}\n\r\n\n{", 1, 5)
	f.Add(`{"saddr":"198.18.0.7","classification":"rst"}`, 3000, 100)
	f.Add("a\r", MaxLine, 1<<15)
	f.Add("a\r\n", 5, 4)
	f.Fuzz(func(t *testing.T, input string, times, size int) {
		if times < 0 || times > 1<<18 || len(input)*times > 1<<18 || size < 1 || size > 1<<20 {
			return
		}
		checkBlocks(t, strings.Repeat(input, times), size)
	})
}

func BenchmarkBlocks(b *testing.B) {
	input := strings.Repeat(strings.Repeat("x", 423)+"\n", 1<<13)
	r, block := strings.NewReader(input), Block{}
	b.SetBytes(int64(len(input)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(input)
		blocks := NewBlockReader(r, 1<<20)
		for blocks.Read(&block) == nil {
			for range block.Lines() {
			}
		}
	}
}
