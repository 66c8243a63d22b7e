package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/seed-498deeca/mmap"
)

func needMapping(t testing.TB) {
	t.Helper()
	switch runtime.GOOS {
	case "aix", "js", "plan9", "wasip1":
		t.Skip("nothing can be mapped on " + runtime.GOOS)
	}
}

// header is the text of a header.
func header(descr, fortran, shape string) string {
	return fmt.Sprintf("{'descr': %s, 'fortran_order': %s, 'shape': %s, }", descr, fortran, shape)
}

func shaped(shape string) string { return header("'<f8'", "False", shape) }
func typed(descr string) string  { return header("'"+descr+"'", "False", "(2,)") }

// Headers, good and bad: what is read of the good ones, and a part of the error of the
// bad ones.
var headers = []struct {
	text         string
	want         Header
	err          string
	numPyTakesIt bool // although it is refused here
}{
	{text: shaped("()"), want: Header{Type: "f8"}},
	{text: shaped("(3,)"), want: Header{Type: "f8", Shape: []int{3}}},
	{text: shaped("(3, 4)"), want: Header{Type: "f8", Shape: []int{3, 4}}},
	{text: shaped("(3, 4,)"), want: Header{Type: "f8", Shape: []int{3, 4}}},
	{text: shaped("(3L, 4L)"), want: Header{Type: "f8", Shape: []int{3, 4}}},
	{text: shaped("(0, 4)"), want: Header{Type: "f8", Shape: []int{0, 4}}},
	{text: shaped("( 3 ,\n 4 )"), want: Header{Type: "f8", Shape: []int{3, 4}}},
	{text: header("'>i2'", "True", "(3, 4)") + "   \n", want: Header{Type: "i2", Big: true, Fortran: true, Shape: []int{3, 4}}},
	{text: `{"shape":(1,),"fortran_order":True,"descr":">c16"}`, want: Header{Type: "c16", Big: true, Fortran: true, Shape: []int{1}}},
	{text: typed("|u1"), want: Header{Type: "u1", Shape: []int{2}}},
	{text: typed(">u1"), want: Header{Type: "u1", Shape: []int{2}}},
	{text: typed("|b1"), want: Header{Type: "b1", Shape: []int{2}}},
	{text: typed("i4"), want: Header{Type: "i4", Big: nativeOrder() == '>', Shape: []int{2}}},
	{text: typed("=i4"), want: Header{Type: "i4", Big: nativeOrder() == '>', Shape: []int{2}}},
	{text: typed("|i4"), want: Header{Type: "i4", Big: nativeOrder() == '>', Shape: []int{2}}},

	{text: "", err: "{ is missing"},
	{text: "{", err: "missing"},
	{text: "{}", err: "descr is missing"},
	{text: "{,}", err: "missing"},
	{text: "[]", err: "{ is missing"},
	{text: "{'descr': '<f8', 'fortran_order': False}", err: "shape is missing"},
	{text: "{'descr': '<f8', 'shape': (3,)}", err: "fortran_order is missing"},
	{text: "{'fortran_order': False, 'shape': (3,)}", err: "descr is missing"},
	{text: "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'extra': 1}", err: "extra"},
	{text: "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (3,)}", err: "twice", numPyTakesIt: true},
	{text: "{'descr' '<f8', 'fortran_order': False, 'shape': (3,)}", err: ": is missing"},
	{text: "{'descr': '<f8' 'fortran_order': False, 'shape': (3,)}", err: "} is missing"},
	{text: "{'descr': '<f8', 'fortran_order': False, 'shape': (3,),,}", err: "missing"},
	{text: shaped("(3,)") + " x", err: "after the end"},
	{text: shaped("(3,)") + "\x00", err: "after the end"},
	{text: shaped("(3)"), err: "(3,)"},
	{text: shaped("3"), err: "( is missing"},
	{text: shaped("[3]"), err: "( is missing"},
	{text: shaped("(,)"), err: "no length"},
	{text: shaped("(3,,4)"), err: "no length"},
	{text: shaped("(3 4)"), err: "missing"},
	{text: shaped("(3, 4"), err: "no length"},
	{text: shaped("(-3,)"), err: "negative"},
	{text: shaped("(- 3,)"), err: "negative"},
	{text: shaped("(-0,)"), err: "negative", numPyTakesIt: true},
	{text: shaped("(0, -1)"), err: "negative"},
	{text: shaped("(+3,)"), err: "no length", numPyTakesIt: true},
	{text: shaped("(03,)"), err: "no length"},
	{text: shaped("(0x3,)"), err: "missing", numPyTakesIt: true},
	{text: shaped("(3.0,)"), err: "missing"},
	{text: shaped("(3_0,)"), err: "missing", numPyTakesIt: true},
	{text: shaped("(True,)"), err: "no length"},
	{text: shaped("(9223372036854775808,)"), err: "more than this machine can count"},
	{text: shaped("(99999999999999999999999999999,)"), err: "more than this machine can count"},
	{text: shaped("(" + strings.Repeat("1, ", 65) + ")"), err: "more than 64 axes"},
	{text: header("'<f8'", "0", "(3,)"), err: "False is missing"},
	{text: header("'<f8'", "true", "(3,)"), err: "False is missing"},
	{text: header("'<f8'", "Truely", "(3,)"), err: "missing"},
	{text: header("'<f8", "False", "(3,)"), err: "f8, "},
	{text: header(`'\x3cf8'`, "False", "(3,)"), err: "no text", numPyTakesIt: true},
	{text: header("None", "False", "(3,)"), err: "missing"},
	{text: header("[('x', '<f8')]", "False", "(3,)"), err: "structs", numPyTakesIt: true},
	{text: typed(""), err: "type"},
	{text: typed("<"), err: "type"},
	{text: typed("<<f8"), err: "type"},
	{text: typed("<f3"), err: "size"},
	{text: typed("<i3"), err: "type"},
	{text: typed("<i"), err: "type", numPyTakesIt: true},
	{text: typed("<x8"), err: "type"},
	{text: typed("float64"), err: "size", numPyTakesIt: true},
	{text: typed("|O"), err: "Python objects"},
	{text: typed("|S5"), err: "byte strings", numPyTakesIt: true},
	{text: typed("<U5"), err: "text", numPyTakesIt: true},
	{text: typed("<M8[ns]"), err: "dates", numPyTakesIt: true},
	{text: typed("<m8[ns]"), err: "spans of time", numPyTakesIt: true},
	{text: typed("|V4"), err: "raw bytes", numPyTakesIt: true},
	{text: typed("<f16"), err: "that other machines do not have"},
}

func TestHeadersAreParsed(t *testing.T) {
	for _, c := range headers {
		h, err := parse(c.text)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, without %q", c.text, err, c.err)
			}
		case err != nil || !reflect.DeepEqual(h, c.want):
			t.Errorf("%q is %+v, %v", c.text, h, err)
		}
	}
	for _, descr := range []string{"|O", "|S5", "<M8[ns]", "<f16"} {
		if _, err := parse(typed(descr)); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", descr, err)
		}
	}
}

// file returns the bytes of a file, version 1.0 or 2.0.
func file(version byte, head string, data int) []byte {
	b := append([]byte(magic), version, 0)
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(head)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(head)))
	}
	return append(append(b, head...), make([]byte, data)...)
}

func TestHostileFilesAreErrors(t *testing.T) {
	needMapping(t)
	good := file(1, shaped("(3, 4)"), 96)
	long := file(2, shaped("(3, 4)")+strings.Repeat(" ", maxHeader), 96)
	edited := func(at int, b ...byte) []byte {
		return append(append(bytes.Clone(good[:at]), b...), good[at+len(b):]...)
	}
	half := fmt.Sprint(math.MaxInt/2 + 1)
	cases := map[string]struct {
		content []byte
		err     string
	}{
		"empty":                     {nil, `not a .npy file: it begins with ""`},
		"of another kind":           {[]byte("hello, world"), `not a .npy file: it begins with "hello, world"`},
		"truncated magic":           {good[:5], "not a .npy file"},
		"only magic":                {good[:8], "not a .npy file"},
		"truncated length":          {good[:9], "not a .npy file"},
		"version 0.0":               {edited(6, 0, 0), "version 0.0"},
		"version 1.1":               {edited(6, 1, 1), "version 1.1"},
		"version 4.0":               {edited(6, 4, 0), "version 4.0"},
		"truncated header":          {good[:40], "and the file has 30"},
		"header one byte short":     {file(1, shaped("(3, 4)"), 0)[:9+len(shaped("(3, 4)"))], "and the file has"},
		"header of 65535":           {edited(8, 255, 255), "a header of 65535 bytes, and the file has"},
		"header of 4 GiB":           {append([]byte(magic), 2, 0, 255, 255, 255, 255, '{'), "are not read"},
		"header of 2 GiB, 3.0":      {append([]byte(magic), 3, 0, 0, 0, 0, 128, '{'), "are not read"},
		"long header":               {long, "are not read"},
		"empty header":              {file(1, "", 96), "{ is missing"},
		"one byte short":            {good[:len(good)-1], "(3, 4) of f8 are 96 bytes, and the file has 95"},
		"no data":                   {file(2, shaped("(3, 4)"), 0), "the file has 0"},
		"huge axis":                 {file(1, shaped("("+fmt.Sprint(math.MaxInt)+",)"), 96), "more bytes than this machine can address"},
		"overflow to 0":             {file(1, shaped("("+half+", 4)"), 96), "more bytes than this machine can address"},
		"overflow to 8":             {file(1, shaped("(4294967295, 4294967297, 3)"), 96), "than this machine can"},
		"the bit too many":          {file(1, header("'|u1'", "False", "("+half+", 2)"), 96), "more bytes than this machine can address"},
		"overflow of bytes":         {file(1, header("'<c16'", "False", "("+half+",)"), 96), "more bytes than this machine can address"},
		"overflow beside an axis 0": {file(1, shaped("(0, "+half+", "+half+")"), 96), "more bytes than this machine can address"},
		"2 GiB of elements":         {file(1, header("'|u1'", "False", "(2147483647,)"), 96), "are 2147483647 bytes, and the file has 96"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.npy")
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			err := describe(io.Discard, path)
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, without %q", err, c.err)
			}
		})
	}
}

func TestATruncatedFileIsUnexpectedEOF(t *testing.T) {
	for _, content := range [][]byte{file(1, shaped("(3,)"), 23), file(1, shaped("(3,)"), 24)[:30]} {
		if _, err := ReadHeader(region(t, content)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v", err)
		}
	}
}

// region returns a region of the bytes.
func region(t testing.TB, content []byte) *mmap.Region {
	t.Helper()
	needMapping(t)
	r, err := mmap.Anonymous(int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if _, err := r.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	return r
}

// What is encoded is parsed again, and the elements begin at a multiple of 64.
func TestHeadersAreEncoded(t *testing.T) {
	for _, c := range headers {
		if c.err != "" {
			continue
		}
		b, err := c.want.encode()
		if err != nil {
			t.Errorf("%+v: %v", c.want, err)
			continue
		}
		c.want.Data = len(b)
		_, size, _ := c.want.count()
		h, err := ReadHeader(region(t, append(b, make([]byte, size)...)))
		if err != nil || !reflect.DeepEqual(h, c.want) || h.Data%alignment != 0 || b[len(b)-1] != '\n' {
			t.Errorf("%+v is %+v again, %v", c.want, h, err)
		}
	}
	for _, h := range []Header{{Type: "f16"}, {Type: "f8", Shape: []int{-1}}, {Type: "f8", Shape: make([]int, 65)}, {Type: "f8", Shape: []int{math.MaxInt}}} {
		if b, err := h.encode(); err == nil {
			t.Errorf("%+v was encoded as %q", h, b)
		}
	}
}

func TestIndex(t *testing.T) {
	c := Header{Shape: []int{2, 3, 4}}
	f := Header{Shape: []int{2, 3, 4}, Fortran: true}
	n := 0
	for i := range 2 {
		for j := range 3 {
			for k := range 4 {
				if got := c.Index(i, j, k); got != n {
					t.Errorf("C: [%d, %d, %d] is number %d, not %d", i, j, k, got, n)
				}
				if got := f.Index(i, j, k); got != i+2*(j+3*k) {
					t.Errorf("Fortran: [%d, %d, %d] is number %d", i, j, k, got)
				}
				n++
			}
		}
	}
	if (Header{}).Index() != 0 {
		t.Error("the one number of an array without axes")
	}
	for _, bad := range [][]int{{}, {0, 0}, {0, 0, 4}, {2, 0, 0}, {0, -1, 0}, {0, 0, 0, 0}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v is an index", bad)
				}
			}()
			c.Index(bad...)
		}()
	}
}

// No header panics, and what is accepted is encoded and parsed to the same again.
func FuzzParse(f *testing.F) {
	for _, c := range headers {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parse(text)
		if err != nil {
			return
		}
		if len(h.Shape) > maxAxes || sizes[h.Type] == 0 {
			t.Fatalf("%q is %+v", text, h)
		}
		if _, _, err := h.count(); err != nil {
			return
		}
		b, err := h.encode()
		if err != nil {
			t.Fatalf("%+v: %v", h, err)
		}
		again, err := parse(string(b[10:]))
		if err != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%q: %+v is %+v again, %v", text, h, again, err)
		}
	})
}

// No file panics, and all elements that a header announces can be read.
func FuzzDescribe(f *testing.F) {
	needMapping(f)
	for _, c := range headers {
		f.Add(file(1, c.text, 100))
	}
	f.Add(file(2, shaped("(2, 2)"), 32))
	f.Add(file(3, shaped("(2, 2)"), 31))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := mmap.Anonymous(int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := r.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		h, err := ReadHeader(r)
		if err != nil {
			return
		}
		n, size, err := h.count()
		if err != nil || size != n*sizes[h.Type] || h.Data+size > len(content) {
			t.Fatalf("%d elements of %d bytes at %d: %v", n, size, h.Data, err)
		}
		if err := types[h.Type].show(io.Discard, r, h); err != nil {
			t.Fatal(err)
		}
	})
}
