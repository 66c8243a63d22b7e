package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed-498deeca/mmap"
)

// The reader of safetensors files. It needs no other file of this folder: copy it.
//
// Such a file is 8 bytes with the length of the header, the header, which is JSON, and
// the data. All numbers are little-endian. The header has a name, a type, a shape and
// a range of the data for each tensor. A range may begin at any byte.

// A File is a safetensors file, mapped and checked: each tensor lies within the file and
// has as many bytes as its type and shape need, and each byte of the data belongs to
// exactly one tensor.
type File struct {
	Tensors  []Tensor          // in the order of their bytes
	Metadata map[string]string // free text, in the header's __metadata__
	region   *mmap.Region
}

// A Tensor is an array of elements, row by row.
type Tensor struct {
	Name   string
	Type   string  // one of the format's types, such as F32
	Shape  []int64 // no dimension at all is one element
	Count  int64   // of elements
	Offset int     // of its first byte, from the beginning of the file
	Bytes  int
	region *mmap.Region
}

// maxHeader is the format's limit.
const maxHeader = 100_000_000

// bitsOf has the types of the format, and the bits of one element.
var bitsOf = map[string]int64{
	"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
	"F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
	"F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}

// Open maps the file and checks its header. The file may come from anybody: an error
// says what is wrong with it, and where.
func Open(name string) (*File, error) {
	r, err := mmap.Open(name, mmap.ReadOnly)
	if err != nil {
		return nil, err
	}
	f, err := read(r)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// Close unmaps the file. Nothing may use its tensors from then on.
func (f *File) Close() error { return f.region.Close() }

// Elements views the elements of a tensor in place: T has the size of its type.
func Elements[T mmap.Fixed](t Tensor) (mmap.LittleEndian[T], error) {
	var x T
	if size := int64(binary.Size(x)); 8*size != bitsOf[t.Type] {
		return mmap.LittleEndian[T]{}, fmt.Errorf("tensor %s is of type %s, not of elements of %d bytes", short(t.Name), t.Type, size)
	}
	return mmap.LittleEndianOf[T](t.region, t.Offset, int(t.Count))
}

// Whole returns an error if the file has become shorter since Open. Part of what was
// read may then be zeros: the end of a file's last page reads as zero.
func (f *File) Whole() error { return f.region.Sync() }

func read(r *mmap.Region) (*File, error) {
	size := r.Len()
	var length [8]byte
	if _, err := r.ReadAt(length[:], 0); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the file has %d bytes, and the length of the header alone takes 8", size)
	} else if err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader {
		return nil, fmt.Errorf("byte 0: a header of %d bytes, and the format allows %d", n, maxHeader)
	}
	if n > uint64(size-8) {
		return nil, fmt.Errorf("byte 0: a header of %d bytes, and the file has %d behind its length", n, size-8)
	}
	header := make([]byte, n) // a copy: the file may change at any time
	if _, err := r.ReadAt(header, 8); err != nil {
		return nil, err
	}
	f := &File{region: r}
	if err := f.parse(header, int64(size)-8-int64(n)); err != nil {
		return nil, err
	}
	for i := range f.Tensors {
		f.Tensors[i].Offset += 8 + len(header)
		f.Tensors[i].region = r
	}
	return f, nil
}

// parse fills in the tensors from a header that data bytes of data follow. Offsets
// count from the first of those.
func (f *File) parse(header []byte, data int64) error {
	if !bytes.HasPrefix(header, []byte("{")) {
		return errors.New("byte 8: the header does not begin with {")
	}
	if !utf8.Valid(header) {
		return errors.New("byte 8: the header is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(header))
	err := object(dec, func(name string) error {
		if name == "__metadata__" {
			return f.parseMetadata(dec)
		}
		t, err := parseTensor(dec, name, data)
		f.Tensors = append(f.Tensors, t)
		return err
	})
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends before its last }")
	}
	if err != nil {
		return fmt.Errorf("header, after byte %d: %w", 8+dec.InputOffset(), err)
	}
	if end := dec.InputOffset(); len(bytes.Trim(header[end:], " ")) > 0 {
		return fmt.Errorf("header, after byte %d: there is more than spaces behind the last }", 8+end)
	}
	return f.checkRanges(data)
}

func (f *File) parseMetadata(dec *json.Decoder) error {
	f.Metadata = map[string]string{}
	return object(dec, func(key string) error {
		var text *string
		if err := dec.Decode(&text); err != nil {
			return err
		}
		if text == nil {
			return errors.New("null, not a string")
		}
		if isBroken(*text) {
			return errors.New("broken text")
		}
		f.Metadata[key] = *text
		return nil
	})
}

func parseTensor(dec *json.Decoder, name string, data int64) (Tensor, error) {
	t := Tensor{Name: name}
	var shape, offsets []natural
	err := object(dec, func(key string) error {
		switch key {
		case "dtype":
			return dec.Decode(&t.Type)
		case "shape":
			return dec.Decode(&shape)
		case "data_offsets":
			return dec.Decode(&offsets)
		}
		return errors.New("a tensor has no such key")
	})
	switch {
	case err != nil:
		return t, err
	case bitsOf[t.Type] == 0:
		return t, fmt.Errorf("dtype is %s, which the format does not have", short(t.Type))
	case shape == nil:
		return t, errors.New("there is no shape")
	case len(offsets) != 2:
		return t, fmt.Errorf("data_offsets has %d numbers, not 2", len(offsets))
	}

	begin, end := int64(offsets[0]), int64(offsets[1])
	if begin > end || end > data {
		return t, fmt.Errorf("data_offsets is bytes %d to %d, and there are %d bytes of data", begin, end, data)
	}
	t.Count, t.Shape = 1, make([]int64, len(shape))
	for i, n := range shape {
		t.Shape[i] = int64(n)
		if n > 0 && t.Count > math.MaxInt64/int64(n) {
			return t, errors.New("shape: more elements than an int64 can count")
		}
		t.Count *= int64(n)
	}
	if t.Count > math.MaxInt64/bitsOf[t.Type] {
		return t, fmt.Errorf("shape: more bits of %s than an int64 can count", t.Type)
	}
	if bits := t.Count * bitsOf[t.Type]; bits%8 != 0 || bits/8 != end-begin {
		return t, fmt.Errorf("%d elements of %s take %d bits, and data_offsets is %d bytes", t.Count, t.Type, bits, end-begin)
	}
	t.Offset, t.Bytes = int(begin), int(end-begin) // both are within the region, and so an int
	return t, nil
}

// checkRanges sorts the tensors by their bytes. There may be neither a byte of two
// tensors nor one of none, which could hide something.
func (f *File) checkRanges(data int64) error {
	slices.SortFunc(f.Tensors, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Bytes, b.Bytes))
	})
	end := 0
	for i, t := range f.Tensors {
		if t.Offset < end {
			return fmt.Errorf("%s and %s overlap: one ends at byte %d of the data, the other begins at %d",
				short(f.Tensors[i-1].Name), short(t.Name), end, t.Offset)
		}
		if t.Offset > end {
			return fmt.Errorf("no tensor has bytes %d to %d of the data, before %s", end, t.Offset, short(t.Name))
		}
		end += t.Bytes
	}
	if int64(end) < data {
		return fmt.Errorf("no tensor has bytes %d to %d of the data, its last", end, data)
	}
	return nil
}

// object goes over the JSON object that comes next, and calls value at the value of
// each key. Package json itself would let a key be there twice, and in any case.
func object(dec *json.Decoder, value func(key string) error) error {
	token, err := dec.Token()
	if err == nil && token != json.Delim('{') {
		return errors.New("not an object")
	}
	seen := map[string]bool{}
	for err == nil && dec.More() {
		if token, err = dec.Token(); err != nil {
			break
		}
		key, _ := token.(string)
		if seen[key] {
			return fmt.Errorf("%s is there twice", short(key))
		}
		if isBroken(key) {
			return fmt.Errorf("%s is broken text", short(key))
		}
		seen[key] = true
		if err := value(key); err != nil {
			return fmt.Errorf("%s: %w", short(key), err)
		}
	}
	if err == nil {
		_, err = dec.Token() // the }
	}
	return err
}

// A natural is a number as the format has them: digits, and nothing else.
type natural int64

func (n *natural) UnmarshalJSON(b []byte) error {
	x, err := strconv.ParseUint(string(b), 10, 63)
	if err != nil {
		return fmt.Errorf("%.40s is not a whole number from 0 to 2^63-1", b)
	}
	*n = natural(x)
	return nil
}

// isBroken says whether package json may have mended the text: it makes U+FFFD of half a
// surrogate pair, so that two names could become one.
func isBroken(text string) bool { return strings.ContainsRune(text, utf8.RuneError) }

// short is a name in quotes, and not all of it if somebody made it long.
func short(name string) string {
	if len(name) > 80 {
		return fmt.Sprintf("%.80q...", name)
	}
	return strconv.Quote(name)
}
