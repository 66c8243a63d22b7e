package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// A part is the bytes of a region from one offset to another, in every form in
// which they can be accessed. All is made before something goes wrong.
type part struct {
	from, to int
	whole    View[int32]
	view     View[int32]
	atomic   AtomicView[int32]
	big      BigEndian[int32]
	ptr      *int32
	slice    []int32
	raw      []byte
	other    []byte  // as long as raw, on the heap
	others   []int32 // as long as slice, on the heap
	err      error   // of the bulk function that was called last
}

func partOf(t testing.TB, r *Region, from, to int) *part {
	t.Helper()
	p := &part{from: from, to: to}
	n := (to - from) / 4
	var errs [4]error
	p.whole, errs[0] = ViewOf[int32](r, 0, r.Len()/4)
	p.view, errs[1] = ViewOf[int32](r, from, n)
	p.atomic, errs[2] = AtomicOf[int32](r, from, n)
	p.big, errs[3] = BigEndianOf[int32](r, from, n)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	p.ptr = p.view.Ptr(0)
	p.slice = p.view.Slice()
	p.raw = r.Bytes()[from:to]
	p.other = make([]byte, to-from)
	p.others = make([]int32, n)
	return p
}

// How an access goes over its part, which decides what offset its fault has.
type manner int

const (
	first  manner = iota // only the first element
	inTurn               // all from the first to the last, in order or as one bulk operation of ours
	atOnce               // all, in a loop of the runtime that may begin anywhere
)

// accesses is every kind of access to mapped memory that a program makes
// without a function that returns an error.
var accesses = []struct {
	name   string
	manner manner
	store  bool
	do     func(p *part)
}{
	{"View.At", first, false, func(p *part) { sinkInt += int64(p.view.At(0)) }},
	{"View.Set", first, true, func(p *part) { p.view.Set(0, 0x01010101) }},
	{"View.Sub.At", first, false, func(p *part) { sinkInt += int64(p.whole.Sub(p.from/4, p.to/4).At(0)) }},
	{"View.Sub.Set", first, true, func(p *part) { p.whole.Sub(p.from/4, p.to/4).Set(0, 0x01010101) }},
	{"load by Ptr", first, false, func(p *part) { sinkInt += int64(*p.ptr) }},
	{"store by Ptr", first, true, func(p *part) { *p.ptr = 0x01010101 }},
	{"element of Slice", first, false, func(p *part) { sinkInt += int64(p.slice[0]) }},
	{"store to an element of Slice", first, true, func(p *part) { p.slice[0] = 0x01010101 }},
	{"byte of Bytes", first, false, func(p *part) { sinkInt += int64(p.raw[0]) }},
	{"store to a byte of Bytes", first, true, func(p *part) { p.raw[0] = 1 }},
	{"AtomicView.Load", first, false, func(p *part) { sinkInt += int64(p.atomic.Load(0)) }},
	{"AtomicView.Store", first, true, func(p *part) { p.atomic.Store(0, 0x01010101) }},
	{"AtomicView.Add", first, true, func(p *part) { p.atomic.Add(0, 0) }},
	{"BigEndian.At", first, false, func(p *part) { sinkInt += int64(p.big.At(0)) }},
	{"BigEndian.Set", first, true, func(p *part) { p.big.Set(0, 0x01010101) }},

	{"View.CopyTo", inTurn, false, bulk(func(p *part) error { return second(p.view.CopyTo(p.others)) })},
	{"View.CopyFrom", inTurn, true, bulk(func(p *part) error { return second(p.view.CopyFrom(p.others)) })},
	{"View.Fill", atOnce, true, bulk(func(p *part) error { return p.view.Fill(0x01010101) })},
	{"View.Fill with two bytes", atOnce, true, bulk(func(p *part) error { return p.view.Fill(0x01020102) })},
	{"View.Fill with zero", atOnce, true, bulk(func(p *part) error { return p.view.Fill(0) })},
	{"BigEndian.CopyTo", inTurn, false, bulk(func(p *part) error { return second(p.big.CopyTo(p.others)) })},
	{"BigEndian.CopyFrom", inTurn, true, bulk(func(p *part) error { return second(p.big.CopyFrom(p.others)) })},
	{"range over All", inTurn, false, func(p *part) {
		for i, x := range p.view.All() {
			sinkInt += int64(i) + int64(x)
		}
	}},
	{"range over Values", inTurn, false, func(p *part) {
		for x := range p.view.Values() {
			sinkInt += int64(x)
		}
	}},
	{"range over Chunks", inTurn, false, func(p *part) {
		for _, c := range p.view.Chunks(1000) {
			for x := range c.Values() {
				sinkInt += int64(x)
			}
		}
	}},
	{"CopyTo of chunks of a BigEndian", inTurn, false, bulk(func(p *part) error {
		for i, c := range p.big.Chunks(3000) {
			if _, err := c.CopyTo(p.others[i:]); err != nil {
				return err
			}
		}
		return nil
	})},
	{"range over Slice", inTurn, false, func(p *part) {
		for _, x := range p.slice {
			sinkInt += int64(x)
		}
	}},
	{"stores to all of Slice", inTurn, true, func(p *part) {
		for i := range p.slice {
			p.slice[i] = int32(i) & 0x7F7F7F7F // without the byte absent
		}
	}},

	{"string conversion", atOnce, false, func(p *part) { sinkString = string(p.raw) }},
	{"append of Bytes", atOnce, false, func(p *part) { sinkInt += int64(len(append([]byte(nil), p.raw...))) }},
	{"copy out of Bytes", atOnce, false, func(p *part) { sinkInt += int64(copy(p.other, p.raw)) }},
	{"copy in to Bytes", atOnce, true, func(p *part) { copy(p.raw, p.other) }},
	{"copy out of Slice", atOnce, false, func(p *part) { sinkInt += int64(copy(p.others, p.slice)) }},
	{"copy in to Slice", atOnce, true, func(p *part) { copy(p.slice, p.others) }},
	{"bytes.Equal", atOnce, false, func(p *part) { sinkBool = bytes.Equal(p.raw, p.other) }},
	{"bytes.Compare", atOnce, false, func(p *part) { sinkInt += int64(bytes.Compare(p.other, p.raw)) }},
	{"bytes.IndexByte", atOnce, false, func(p *part) { sinkInt += int64(bytes.IndexByte(p.raw, absent)) }},
	{"clear", atOnce, true, func(p *part) { clear(p.raw) }},
}

// bulk makes an access of a function that returns its fault as an error. Guard has
// nothing to do then, and returns the same.
func bulk(fn func(p *part) error) func(p *part) {
	return func(p *part) { p.err = fn(p) }
}

func second(_ int, err error) error { return err }

// absent is a byte that the tests store nowhere.
const absent = 0xEE

// A trouble is something that makes bytes of a region inaccessible.
type trouble struct {
	name   string
	kind   error  // what an access to these bytes must say
	bad    int    // the first of these bytes
	stores bool   // only stores to them are impossible
	was    []byte // the region's bytes before
	happen func()
}

// expected returns the offset that a fault of the access must have; faults is
// false if there must be none.
func (tr trouble) expected(m manner, store bool, from, to int) (off int, faults bool) {
	switch {
	case tr.stores && !store:
		return 0, false
	case m == first:
		return from, from >= tr.bad
	case m == inTurn:
		return max(from, tr.bad), to > tr.bad
	default:
		return tr.bad, to > tr.bad
	}
}

// tryAccesses makes parts of r, lets the trouble happen, and tries every access
// on every part under Guard.
func tryAccesses(t testing.TB, r *Region, name string, tr trouble) {
	t.Helper()
	n := r.Len()
	var parts []*part
	made := map[[2]int]bool{}
	for _, span := range [][2]int{
		{0, n}, {0, n / 2}, {n / 2, n}, {0, tr.bad}, {tr.bad - 4, n}, {tr.bad - 4, tr.bad}, {tr.bad, n}, {tr.bad + 36, n},
		{tr.bad + 5000, tr.bad + 5100}, {n - 8, n},
	} {
		span[0] = max(span[0], 0) &^ 3
		span[1] = min(span[1], n)
		if span[1]-span[0] >= 4 && !made[span] {
			made[span] = true
			parts = append(parts, partOf(t, r, span[0], span[1]))
		}
	}
	tr.happen()
	for _, p := range parts {
		for _, a := range accesses {
			to := p.to
			if p.to%4 != 0 && !strings.Contains(a.name, "Bytes") && !strings.Contains(a.name, "bytes") && a.name != "clear" && a.name != "string conversion" {
				to = p.to &^ 3
			}
			off, faults := tr.expected(a.manner, a.store, p.from, to)
			// A comparison ends at the first difference: let it get as far as
			// it can.
			if !a.store && (tr.stores || p.from < tr.bad) {
				same := p.to
				if !tr.stores {
					same = min(same, tr.bad)
				}
				copy(p.other, p.raw[:same-p.from])
			}
			label := fmt.Sprintf("%s, %s of bytes %d to %d", tr.name, a.name, p.from, to)
			err := Guard(func() error { p.err = nil; a.do(p); return p.err })
			switch {
			case !faults && err != nil:
				t.Errorf("%s: %v, want no error", label, err)
			case faults && a.manner == atOnce:
				var f *FaultError
				if errors.As(err, &f) && f.Offset >= tr.bad && f.Offset < to {
					off = f.Offset // of some byte that could not be accessed
				}
				fallthrough
			case faults:
				wantFault(t, label, err, r, name, off, tr.kind)
			}
		}
	}
}

// fileSizes are those of the files on which accesses are tried: a page, several,
// many, and none of these.
func fileSizes() []int {
	page := os.Getpagesize()
	return []int{page, 5 * page, 1 << 20, 100, 3*page + 1234, 1<<20 + 4*page - 3}
}

// eachTrouble calls try with a fresh region for everything that can go wrong
// with a file on any file system, for every size, at the beginning of a file and
// elsewhere.
func eachTrouble(t *testing.T, try func(t *testing.T, r *Region, name string, tr trouble)) {
	page := os.Getpagesize()
	for _, size := range fileSizes() {
		for _, offset := range []int{0, page + 20} {
			was := quiet(offset + size)[offset:]
			regionOf := func(t *testing.T) (*Region, string) {
				name := tempFile(t, quiet(offset+size))
				r, err := Config{Mode: ReadWrite, Offset: int64(offset)}.Open(name)
				return need(t, r, err), name
			}
			cut := func(r *Region, name, what string, to int) trouble {
				bad := int(roundUp(uintptr(to), uintptr(page))) - offset
				return trouble{what, ErrTruncated, min(max(bad, 0), size), false, was, func() {
					if err := os.Truncate(name, int64(to)); err != nil {
						t.Fatal(err)
					}
				}}
			}
			for what, make := range map[string]func(r *Region, name string) trouble{
				"cut to nothing":             func(r *Region, name string) trouble { return cut(r, name, "cut to nothing", 0) },
				"cut in the middle":          func(r *Region, name string) trouble { return cut(r, name, "cut in the middle", offset+size/2+1) },
				"cut in the last page":       func(r *Region, name string) trouble { return cut(r, name, "cut in the last page", offset+size-7) },
				"cut at the end of a page":   func(r *Region, name string) trouble { return cut(r, name, "cut at a page", 2*page) },
				"cut at the region's offset": func(r *Region, name string) trouble { return cut(r, name, "cut at the offset", offset) },
				"closed": func(r *Region, name string) trouble {
					return trouble{"closed", ErrClosed, 0, false, was, func() { r.Close() }}
				},
				"protected": func(r *Region, name string) trouble {
					return trouble{"protected", ErrReadOnly, 0, true, was, func() {
						if err := r.Protect(ReadOnly); err != nil {
							t.Fatal(err)
						}
					}}
				},
			} {
				t.Run(fmt.Sprintf("%s/size=%d/offset=%d", what, size, offset), func(t *testing.T) {
					if strings.HasPrefix(what, "cut") {
						shortensMapped(t)
					}
					r, name := regionOf(t)
					try(t, r, name, make(r, name))
				})
			}
		}
	}
}

func TestEveryAccessUnderGuardSaysWhatWentWrongAndWhere(t *testing.T) {
	eachTrouble(t, func(t *testing.T, r *Region, name string, tr trouble) { tryAccesses(t, r, name, tr) })
}

func TestEveryAccessUnderGuardSurvivesACloseMeanwhile(t *testing.T) {
	for _, size := range []int{os.Getpagesize(), 1 << 20, 100000} {
		name := tempFile(t, quiet(size))
		for _, a := range accesses {
			r := open(t, name, ReadWrite)
			p := partOf(t, r, 0, size)
			copy(p.other, p.raw)
			begun, done := make(chan struct{}), make(chan error)
			go func() {
				<-begun
				done <- r.Close()
			}()
			var err error
			for i := 0; err == nil; i++ {
				if i == 1 {
					close(begun)
				}
				err = Guard(func() error { p.err = nil; a.do(p); return p.err })
				runtime.Gosched() // for those who have one processor
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			var f *FaultError
			if !errors.As(err, &f) || f.Region != r || f.Err != ErrClosed || f.Offset < 0 || f.Offset >= size {
				t.Errorf("%s of %d bytes while another goroutine closes: %#v", a.name, size, err)
			}
			wantErr(t, err, ErrClosed, name)
		}
	}
}
