package mmap

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// The idea: lay T out by rules that leave an architecture no choice, and
// compare with what the compiler did. Where the two agree and nothing is left
// implicit, every compiler does the same.
//
// The rules are those of the strictest machine. A number of n bytes lies at a
// multiple of n (a complex one at a multiple of half its size), an array or
// struct at a multiple of its strictest part, and its size is a multiple of
// that. What 386 and arm do not need, a 64-bit field at a multiple of 8, costs
// a blank field in the declaration.

// layoutOf returns the alignment in bytes of a type that has one layout
// everywhere, and an error that wraps ErrLayout for one that has not.
func layoutOf(t reflect.Type) (align int, err error) {
	if l, ok := layouts.Load(t); ok {
		return l.(*layout).align, l.(*layout).err
	}
	l := new(layout)
	size, align, flaw := make(measured).measure(t, "")
	switch {
	case flaw != "":
		l.err = failf(ErrLayout, "view of %v: %s", t, flaw)
	case size == 0:
		l.err = failf(ErrLayout, "view of %v: it has no bytes", t)
	default:
		l.align = align
	}
	layouts.Store(t, l)
	return l.align, l.err
}

// layouts remembers what was found out, by type.
var layouts sync.Map // of reflect.Type to *layout

type layout struct {
	align int
	err   error
}

// measured holds the size and alignment of the structs met so far, so that each is
// measured once, however often it occurs in others.
type measured map[reflect.Type]struct{ size, align int }

// measure returns the size and alignment of t by the rules above, or the flaw
// that keeps it from having one layout, in words. path leads from the type of
// the view to t: "Header.Entries[]", or "" for that type itself.
func (m measured) measure(t reflect.Type, path string) (size, align int, flaw string) {
	switch t.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		size = int(t.Size())
		return size, size, ""
	case reflect.Complex64, reflect.Complex128:
		size = int(t.Size())
		return size, size / 2, ""
	case reflect.Array:
		size, align, flaw = m.measure(t.Elem(), path+"[]")
		return size * t.Len(), align, flaw
	case reflect.Struct:
		if known, ok := m[t]; ok {
			return known.size, known.align, ""
		}
		size, align, flaw = m.measureStruct(t, path)
		if flaw == "" {
			m[t] = struct{ size, align int }{size, align}
		}
		return size, align, flaw
	}
	return 0, 0, subject(path) + unfit(t)
}

func (m measured) measureStruct(t reflect.Type, path string) (size, align int, flaw string) {
	align = 1
	for i := range t.NumField() {
		f := t.Field(i)
		where := strings.TrimPrefix(path+"."+f.Name, ".")
		fieldSize, fieldAlign, flaw := m.measure(f.Type, where)
		if flaw != "" {
			return 0, 0, flaw
		}
		if gap := gap(size, fieldAlign); gap > 0 {
			return 0, 0, fmt.Sprintf("%sit would begin at byte %d, not a multiple of %d: insert `_ [%d]byte` before field %s",
				subject(where), size, fieldAlign, gap, f.Name)
		}
		if fieldSize == 0 && size > 0 && i == t.NumField()-1 {
			return 0, 0, fmt.Sprintf("%sit has no bytes and comes last, and compilers add some after it: move field %s to the front", subject(where), f.Name)
		}
		if int(f.Offset) != size {
			return 0, 0, fmt.Sprintf("%sthis compiler puts it at byte %d, not %d", subject(where), f.Offset, size)
		}
		size += fieldSize
		align = max(align, fieldAlign)
	}
	if gap := gap(size, align); gap > 0 {
		return 0, 0, fmt.Sprintf("%sits %d bytes are not a multiple of its alignment of %d: append `_ [%d]byte` to %v",
			subject(path), size, align, gap, t)
	}
	return size, align, ""
}

// gap returns the number of bytes from n to the next multiple of align.
func gap(n, align int) int { return -n & (align - 1) }

func subject(path string) string {
	switch {
	case path == "":
		return ""
	case strings.HasSuffix(path, "[]"):
		return "elements of " + path + ": "
	}
	return "field " + path + ": "
}

// unfit says why values of type t mean something on one machine, or in one
// process, only.
func unfit(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Uint, reflect.Uintptr:
		return fmt.Sprintf("%v has 4 bytes on some machines and 8 on others: use an integer of fixed size", t)
	case reflect.Bool:
		return fmt.Sprintf("%v may only hold the bytes 0 and 1, and a file can hold others: use uint8", t)
	case reflect.String, reflect.Slice:
		return fmt.Sprintf("%v holds the address of its elements, which means nothing outside the process: use an array", t)
	}
	return fmt.Sprintf("%v holds an address, which means nothing outside the process: use an offset", t)
}
