package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/seed-498deeca/mmap"
)

// A Header says what the elements of a .npy file are, and how they lie in it.
type Header struct {
	Type    string // kind and bytes of an element, as NumPy has it: "f8" is a float64
	Big     bool   // the most significant byte of an element comes first
	Fortran bool   // the first index changes fastest from one element to the next, not the last
	Shape   []int  // the length of each axis; none for a single number
	Data    int    // where in the file the elements begin
}

// sizes has the types that are read, with the bytes of an element.
var sizes = map[string]int{
	"b1": 1, "i1": 1, "i2": 2, "i4": 4, "i8": 8, "u1": 1, "u2": 2, "u4": 4, "u8": 8,
	"f2": 2, "f4": 4, "f8": 8, "c8": 8, "c16": 16,
}

// refused has the other kinds of element that NumPy knows.
var refused = map[byte]string{
	'O': "Python objects, which only Python can read",
	'S': "byte strings",
	'a': "byte strings",
	'U': "text",
	'M': "dates",
	'm': "spans of time",
	'V': "raw bytes",
	'f': "floating-point numbers of a size that other machines do not have",
	'c': "complex numbers of a size that other machines do not have",
}

const (
	magic     = "\x93NUMPY"
	maxHeader = 1 << 16 // the headers of arrays of numbers have about 100 bytes
	maxAxes   = 64      // as in NumPy
	alignment = 64      // of the elements, as NumPy writes them
)

// ReadHeader reads and checks the header of a .npy file. The region has all the
// elements that it announces.
func ReadHeader(r *mmap.Region) (Header, error) {
	h, err := readHeader(r)
	if err != nil {
		return Header{}, fmt.Errorf("%s: %w", r.Name(), err)
	}
	return h, nil
}

func readHeader(r *mmap.Region) (h Header, err error) {
	start, n, err := headerAt(r)
	if err != nil {
		return h, err
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, int64(start)); err != nil {
		return h, err
	}
	if h, err = parse(string(text)); err != nil {
		return h, err
	}
	h.Data = start + n
	_, size, err := h.count()
	if left := r.Len() - h.Data; err == nil && size > left {
		err = fmt.Errorf("%s of %s are %d bytes, and the file has %d: %w", h.tuple(), h.Type, size, left, io.ErrUnexpectedEOF)
	}
	return h, err
}

// headerAt returns where the text of the header begins, and its length, which the
// file has.
func headerAt(r *mmap.Region) (start, n int, err error) {
	var b [len(magic) + 6]byte
	got, err := r.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return 0, 0, err
	}
	if got < len(b) || string(b[:len(magic)]) != magic {
		return 0, 0, fmt.Errorf("not a .npy file: it begins with %q", b[:got])
	}
	switch version := b[len(magic) : len(magic)+2]; {
	case version[0] == 1 && version[1] == 0:
		start, n = len(b)-2, int(binary.LittleEndian.Uint16(b[len(b)-4:]))
	case version[0] == 2 && version[1] == 0, version[0] == 3 && version[1] == 0:
		start, n = len(b), int(min(binary.LittleEndian.Uint32(b[len(b)-4:]), math.MaxInt32))
	default:
		return 0, 0, fmt.Errorf("version %d.%d of the format is not 1.0, 2.0 or 3.0", version[0], version[1])
	}
	switch {
	case n > maxHeader:
		return 0, 0, fmt.Errorf("a header of %d bytes: more than %d are not read", n, maxHeader)
	case n > r.Len()-start:
		return 0, 0, fmt.Errorf("a header of %d bytes, and the file has %d: %w", n, r.Len()-start, io.ErrUnexpectedEOF)
	}
	return start, n, nil
}

// count returns the number of elements, and of their bytes.
func (h Header) count() (n, size int, err error) {
	one := uint64(sizes[h.Type])
	if one == 0 {
		return 0, 0, fmt.Errorf("elements of type %q", h.Type)
	}
	empty := false
	all := one
	for _, length := range h.Shape {
		if length == 0 {
			empty = true // and yet the other axes must make sense
			continue
		}
		over, product := bits.Mul64(all, uint64(length))
		if length < 0 || over > 0 || product > math.MaxInt {
			return 0, 0, fmt.Errorf("%s of %s: more bytes than this machine can address", h.tuple(), h.Type)
		}
		all = product
	}
	if empty {
		return 0, 0, nil
	}
	return int(all / one), int(all), nil
}

// Index returns the number of an element from its indices, one for each axis. Bad
// ones panic.
func (h Header) Index(at ...int) int {
	if len(at) != len(h.Shape) {
		panic(fmt.Sprintf("%d indices of an array of %d axes", len(at), len(h.Shape)))
	}
	i := 0
	for axis := range at {
		if h.Fortran {
			axis = len(at) - 1 - axis
		}
		if uint(at[axis]) >= uint(h.Shape[axis]) {
			panic(fmt.Sprintf("index %d of an axis of %d", at[axis], h.Shape[axis]))
		}
		i = i*h.Shape[axis] + at[axis]
	}
	return i
}

// encode returns the header as it stands in a file.
func (h Header) encode() ([]byte, error) {
	if _, _, err := h.count(); err != nil {
		return nil, err
	}
	if len(h.Shape) > maxAxes {
		return nil, fmt.Errorf("%d axes: NumPy has %d at most", len(h.Shape), maxAxes)
	}
	fortran := "False"
	if h.Fortran {
		fortran = "True"
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }", h.descr(), fortran, h.tuple())
	start := len(magic) + 4
	end := (start + len(text) + 1 + alignment - 1) / alignment * alignment
	b := append([]byte(magic), 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(end-start))
	b = append(b, text...)
	b = append(b, strings.Repeat(" ", end-len(b)-1)...)
	return append(b, '\n'), nil
}

// descr is the type as NumPy writes it, with the byte order.
func (h Header) descr() string {
	switch {
	case sizes[h.Type] == 1:
		return "|" + h.Type
	case h.Big:
		return ">" + h.Type
	}
	return "<" + h.Type
}

// tuple is the shape as Python writes it.
func (h Header) tuple() string {
	text := "("
	for i, length := range h.Shape {
		if i > 0 {
			text += ", "
		}
		text += strconv.Itoa(length)
	}
	if len(h.Shape) == 1 {
		text += ","
	}
	return text + ")"
}

// parse reads the text of a header: a Python dict with three keys, as in
//
//	{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }
func parse(text string) (h Header, err error) {
	s := scanner{rest: text}
	seen := make(map[string]bool)
	s.want("{")
	for s.err == nil && !s.accept("}") {
		key := s.quoted()
		s.want(":")
		switch {
		case seen[key]:
			s.fail("%q stands there twice", key)
		case key == "descr":
			h.setType(&s)
		case key == "fortran_order":
			if h.Fortran = s.accept("True"); !h.Fortran {
				s.want("False")
			}
		case key == "shape":
			h.Shape = s.tuple()
		default:
			s.fail("key %.20q", key)
		}
		seen[key] = true
		if !s.accept(",") {
			s.want("}")
			break
		}
	}
	if s.accept(""); s.rest != "" {
		s.fail("%.20q after the end", s.rest)
	}
	for _, key := range []string{"descr", "fortran_order", "shape"} {
		if !seen[key] {
			s.fail("%s is missing", key)
		}
	}
	return h, s.err
}

// setType takes the type from a text such as "<f8".
func (h *Header) setType(s *scanner) {
	if s.accept("[") {
		s.unsupported("[...]", "structs")
	}
	text := s.quoted()
	h.Type = strings.TrimLeft(text, "<>=|")
	if len(text) > len(h.Type)+1 {
		s.fail("a type of %.20q", text)
	}
	switch text[:len(text)-len(h.Type)] {
	case "<":
	case ">":
		h.Big = true
	default: // the machine's own
		h.Big = binary.NativeEndian.Uint16([]byte{0, 1}) == 1
	}
	switch {
	case sizes[h.Type] == 1:
		h.Big = false
	case sizes[h.Type] > 1:
	case h.Type != "" && refused[h.Type[0]] != "":
		s.unsupported(h.Type, refused[h.Type[0]])
	default:
		s.fail("a type of %.20q", text)
	}
}

// A scanner takes the tokens of Python's syntax from the front of a text. Its first
// error stays, and there are no more tokens then.
type scanner struct {
	rest string
	err  error
}

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("header: "+format, args...)
	}
}

func (s *scanner) unsupported(typ, words string) {
	if s.err == nil {
		s.err = fmt.Errorf("elements of type %.20s, which are %s: %w", typ, words, errors.ErrUnsupported)
	}
}

// accept takes a token if it comes next.
func (s *scanner) accept(token string) bool {
	s.rest = strings.TrimLeft(s.rest, " \t\r\n")
	rest, found := strings.CutPrefix(s.rest, token)
	if s.err != nil || !found {
		return false
	}
	s.rest = rest
	return true
}

func (s *scanner) want(token string) {
	if !s.accept(token) {
		s.fail("%s is missing before %.20q", token, s.rest)
	}
}

// quoted takes a text in quotes, without escapes.
func (s *scanner) quoted() string {
	quote := `'`
	if s.accept(`"`) {
		quote = `"`
	} else {
		s.want(quote)
	}
	text, rest, found := strings.Cut(s.rest, quote)
	if !found || strings.ContainsAny(text, "\\\n") {
		s.fail("%.20q is no text", s.rest)
		return ""
	}
	s.rest = rest
	return text
}

// tuple takes a shape.
func (s *scanner) tuple() (shape []int) {
	s.want("(")
	for s.err == nil && !s.accept(")") {
		shape = append(shape, s.number())
		if len(shape) > maxAxes {
			s.fail("more than %d axes", maxAxes)
		}
		if !s.accept(",") {
			if s.want(")"); len(shape) == 1 {
				s.fail("(%d) is a number: the shape of one axis is (%d,)", shape[0], shape[0])
			}
			break
		}
	}
	return shape
}

// number takes a length.
func (s *scanner) number() int {
	if s.accept("-") {
		s.fail("an axis of negative length")
	}
	s.accept("")
	end := 0
	for end < len(s.rest) && '0' <= s.rest[end] && s.rest[end] <= '9' {
		end++
	}
	digits := s.rest[:end]
	n, err := strconv.ParseUint(digits, 10, strconv.IntSize-1)
	switch {
	case errors.Is(err, strconv.ErrRange):
		s.fail("an axis of length %.30s: more than this machine can count", digits)
	case err != nil, len(digits) > 1 && digits[0] == '0':
		s.fail("%.20q is no length", s.rest)
	}
	s.rest = strings.TrimPrefix(s.rest[end:], "L") // Python 2 writes 3L
	return int(n)
}
