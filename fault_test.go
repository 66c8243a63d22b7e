//go:build linux

package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Results of loads go here, or the compiler leaves the loads out.
var (
	sinkInt    int64
	sinkString string
	sinkBool   bool
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

// wantFault checks all that a FaultError says.
func wantFault(t testing.TB, label string, err error, r *Region, name string, off int, kind error) {
	t.Helper()
	var f *FaultError
	if !errors.As(err, &f) {
		t.Errorf("%s: %v, want a *FaultError", label, err)
		return
	}
	if f.Region != r || f.Offset != off || f.Err != kind {
		t.Errorf("%s: region %v, offset %d, %v; want %v, %d, %v", label, f.Region, f.Offset, f.Err, r, off, kind)
	}
	wantErr(t, err, kind, name, fmt.Sprintf("offset %d ", off))
	if strings.Contains(err.Error(), "nil pointer") {
		t.Errorf("%s: %q speaks of nil pointers", label, err)
	}
}

// fileSizes are those of the files on which accesses are tried: a page, several,
// many, and none of these.
func fileSizes() []int {
	page := os.Getpagesize()
	return []int{page, 5 * page, 1 << 20, 100, 3*page + 1234, 1<<20 + 4*page - 3}
}

// quiet is pattern without the byte absent.
func quiet(n int) []byte {
	b := pattern(n)
	for i := range b {
		if b[i] == absent {
			b[i]--
		}
	}
	return b
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

// tryMethods calls every function that returns an error, without Guard, on
// ranges around where the trouble begins.
func tryMethods(t testing.TB, r *Region, name string, tr trouble) {
	t.Helper()
	n := r.Len()
	view, err := ViewOf[int32](r, 0, n/4)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(tr.was)
	tr.happen()
	shorter := false // the file is, which is what Sync says
	if fi, err := os.Stat(name); err == nil && tr.kind == ErrTruncated {
		have := max(int(fi.Size()-r.Offset()), 0)
		shorter = have < n
		clear(want[min(have, n):])
	}
	check := func(what string, off, size, got int, err error, store bool) {
		t.Helper()
		label := fmt.Sprintf("%s, %s of %d bytes at %d", tr.name, what, size, off)
		at, faults := tr.expected(inTurn, store, off, off+size)
		done := size
		if faults {
			done = at - off
		}
		switch {
		case got != done:
			t.Errorf("%s: %d bytes, %v; want %d", label, got, err, done)
		case !faults && err != nil:
			t.Errorf("%s: %v, want no error", label, err)
		case faults && (tr.kind == ErrClosed || tr.kind == ErrReadOnly):
			// Noticed before there was a fault.
			wantErr(t, err, tr.kind, name)
		case faults:
			wantFault(t, label, err, r, name, at, tr.kind)
		}
	}
	for _, off := range []int{0, 1, tr.bad - 5, tr.bad - 1, tr.bad, tr.bad + 1, n / 2, n - 8} {
		for _, size := range []int{0, 1, 8, 100, 5000, 70000, n} {
			if off < 0 || size > n-off || size == 0 {
				continue
			}
			p := make([]byte, size)
			got, err := r.ReadAt(p, int64(off))
			check("ReadAt", off, size, got, err, false)
			if !bytes.Equal(p[:got], want[off:off+got]) {
				t.Errorf("%s: ReadAt(%d bytes, %d) read other bytes before the fault", tr.name, size, off)
			}

			store := make([]byte, size)
			for i := range store {
				store[i] = ^want[off+i]
			}
			got, err = r.WriteAt(store, int64(off))
			check("WriteAt", off, size, got, err, true)
			if got == 0 {
				continue
			}
			if _, err := r.ReadAt(p[:got], int64(off)); err != nil || !bytes.Equal(p[:got], store[:got]) {
				t.Errorf("%s: WriteAt(%d bytes, %d) did not store the %d bytes before the fault: %v", tr.name, size, off, got, err)
			}
			if got, err := r.WriteAt(want[off:off+got], int64(off)); err != nil {
				t.Errorf("%s: WriteAt of what was there: %d, %v", tr.name, got, err)
			}
		}
		if off >= 0 && off+8 <= n {
			// The bytes before the fault are not counted: a value is whole, or
			// not there. Machines of 32 bits may leave half of it.
			count := func(store bool, err error) int {
				if at, faults := tr.expected(inTurn, store, off, off+8); faults {
					return at - off
				}
				return 8
			}
			x, err := Get[uint64](r, off)
			check("Get", off, 8, count(false, err), err, false)
			if err == nil && !bytes.Equal(nativeBytes(x), want[off:off+8]) {
				t.Errorf("%s: Get at %d: %#x", tr.name, off, x)
			}
			err = Put(r, off, x)
			check("Put", off, 8, count(true, err), err, true)
			if there, _ := r.WriteAt(want[off:off+8], int64(off)); there < 8 && err == nil {
				t.Errorf("%s: Put stored 8 bytes at %d, WriteAt %d", tr.name, off, there)
			}
		}
	}

	var buf bytes.Buffer
	wrote, err := r.WriteTo(&buf)
	check("WriteTo a buffer", 0, n, int(wrote), err, false)
	if !bytes.Equal(buf.Bytes(), want[:wrote]) {
		t.Errorf("%s: WriteTo a buffer wrote %d bytes, other ones", tr.name, buf.Len())
	}
	// Not on the file's own disk, which may be the one that is full.
	f, err := os.CreateTemp("", "out")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	wrote, err = r.WriteTo(f)
	check("WriteTo a file", 0, n, int(wrote), err, false)
	if !bytes.Equal(contents(t, f.Name()), want[:wrote]) {
		t.Errorf("%s: WriteTo a file wrote other bytes", tr.name)
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	piped := make(chan []byte)
	go func() { b, _ := io.ReadAll(pr); piped <- b }()
	wrote, err = r.WriteTo(pw)
	pw.Close()
	check("WriteTo a pipe", 0, n, int(wrote), err, false)
	if got := <-piped; !bytes.Equal(got, want[:wrote]) {
		t.Errorf("%s: WriteTo a pipe wrote other bytes", tr.name)
	}
	pr.Close()

	for _, span := range [][2]int{{0, n}, {0, tr.bad}, {tr.bad, n}} {
		if span[0] == span[1] || tr.kind == ErrIO && span[1] > tr.bad && !readsOfHolesFail(name) {
			continue
		}
		err := r.Populate(span[0], span[1]-span[0])
		if at, faults := tr.expected(inTurn, false, span[0], span[1]); faults && tr.kind != ErrClosed {
			wantFault(t, tr.name+", Populate", err, r, name, at, tr.kind)
		} else if faults {
			wantErr(t, err, tr.kind, name)
		} else if err != nil {
			t.Errorf("%s, Populate: %v", tr.name, err)
		}
	}
	for what, err := range map[string]error{"Sync": r.Sync(), "View.Sync": view.Sync()} {
		switch {
		case tr.kind == ErrClosed || shorter && (what == "Sync" || n%4 == 0):
			wantErr(t, err, tr.kind, name)
		case !shorter && err != nil:
			t.Errorf("%s, %s: %v", tr.name, what, err)
		}
	}
	if before := tr.bad / 4; before > 0 && tr.kind == ErrTruncated {
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		there := int(fi.Size()-r.Offset()) / 4
		if there <= view.Len() {
			if err := view.Sub(0, there).Sync(); err != nil {
				t.Errorf("%s: Sync of a view before the cut: %v", tr.name, err)
			}
		}
	}
}

// readsOfHolesFail says whether a file system has no page to read where a sparse
// file has none: tmpfs makes one, the others show zeros.
func readsOfHolesFail(name string) bool {
	var st unix.Statfs_t
	return unix.Statfs(filepath.Dir(name), &st) == nil && int64(st.Type) == unix.TMPFS_MAGIC
}

func TestEveryFunctionWithAnErrorReturnsItWithoutGuard(t *testing.T) {
	eachTrouble(t, func(t *testing.T, r *Region, name string, tr trouble) { tryMethods(t, r, name, tr) })
}

func TestReadAtAndWriteAtCountExactlyWhenClosedMeanwhile(t *testing.T) {
	const size = 4 << 20
	name := tempFile(t, bytes.Repeat([]byte{0x5A}, size))
	for i := range 40 {
		r := open(t, name, ReadWrite)
		off := int64(i * 100)
		p := make([]byte, size-off)
		begun, done := make(chan struct{}), make(chan error)
		go func() {
			<-begun
			done <- r.Close()
		}()
		close(begun)
		for {
			clear(p)
			var n int
			var err error
			if i%2 == 0 {
				n, err = r.ReadAt(p, off)
				if !bytes.Equal(p[:n], bytes.Repeat([]byte{0x5A}, n)) {
					t.Errorf("ReadAt read bytes that never were in the file")
				}
			} else {
				n, err = r.WriteAt(bytes.Repeat([]byte{0x5A}, len(p)), off)
			}
			if err == nil {
				runtime.Gosched()
				continue
			}
			wantErr(t, err, ErrClosed, name)
			var f *FaultError
			if errors.As(err, &f) && int64(n) != int64(f.Offset)-off {
				t.Errorf("%d bytes at %d, but %v", n, off, err)
			} else if f == nil && n != 0 {
				t.Errorf("%d bytes at %d and %v", n, off, err)
			}
			break
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// The full disk is a tmpfs of fixed size, which a child mounts where only it
// sees that. Who is not root may do so in a namespace of users, where the system
// allows those.

const fullDiskPages = 1024

func runWithOwnMounts(t *testing.T, child string) {
	t.Helper()
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	try := exec.Command("true")
	try.SysProcAttr = attr
	if err := try.Run(); err != nil {
		t.Skipf("no mounts of one's own: %v", err)
	}
	cmd := childCommand(t, child)
	cmd.SysProcAttr = attr
	endChild(t, cmd)
}

func TestAFullDiskIsAnError(t *testing.T) {
	runWithOwnMounts(t, childFullDisk)
}

var childFullDisk = registerChild("on a full disk", func(t testing.TB, args []string) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("cannot keep mounts to oneself: %v", err)
	}
	page := os.Getpagesize()
	for i, size := range fileSizes() {
		for _, try := range []func(testing.TB, *Region, string, trouble){tryAccesses, tryMethods} {
			dir := t.TempDir()
			if err := unix.Mount("disk", dir, "tmpfs", 0, fmt.Sprintf("size=%d", fullDiskPages*page)); err != nil {
				t.Skipf("cannot mount a tmpfs: %v", err)
			}
			name := filepath.Join(dir, "sparse")
			r, err := Config{Sparse: true}.Create(name, int64(size))
			need(t, r, err)
			bad := i / 2 * page // the pages that are there already
			if bad >= size {
				bad = 0
			}
			copy(r.Bytes()[:bad], quiet(bad))
			was := append(quiet(bad), make([]byte, size-bad)...)
			full := trouble{"full disk", ErrIO, bad, false, was, func() { fillDisk(t, dir) }}
			try(t, r, name, full)
			checkFullDisk(t, dir)
			if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
				t.Fatal(err)
			}
			if err := Put(r, size-8, uint64(1)); err != nil {
				t.Errorf("a store when there is space again: %v", err)
			}
			r.Close()
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
		}
	}
})

// fillDisk makes a file of all that is left.
func fillDisk(t testing.TB, dir string) {
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, os.Getpagesize()); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// checkFullDisk asks a full disk for more.
func checkFullDisk(t testing.TB, dir string) {
	t.Helper()
	page := int64(os.Getpagesize())
	name := filepath.Join(dir, "new")
	r, err := Create(name, 100*page)
	if r != nil || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Create on a full disk: %v, %v", r, err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Create on a full disk left a file: %v", err)
	}
	// Resize, of a region that takes the last page.
	if err := os.Truncate(filepath.Join(dir, "filler"), (fullDiskPages-20)*page); err != nil {
		t.Fatal(err)
	}
	r, err = Config{Reserve: 1 << 20}.Create(name, page+100)
	need(t, r, err)
	fillRest, err := os.Create(filepath.Join(dir, "rest"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, page); err == nil; {
		_, err = fillRest.Write(block)
	}
	fillRest.Close()
	copy(r.Bytes(), quiet(r.Len()))
	if err := r.Resize(90 * page); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Resize on a full disk: %v", err)
	}
	checkUnchanged(t, r, name, int(page)+100)
	r.Close()
	for _, name := range []string{name, fillRest.Name()} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// checkUnchanged checks that a Resize that failed changed nothing: the region
// still has the n bytes of quiet, and so has the file.
func checkUnchanged(t testing.TB, r *Region, name string, n int) {
	t.Helper()
	want := quiet(n)
	if r.Len() != n || !bytes.Equal(r.Bytes(), want) {
		t.Errorf("after a failed Resize the region has %d bytes, or others; want %d", r.Len(), n)
	}
	if got := contents(t, name); !bytes.Equal(got, want) {
		t.Errorf("after a failed Resize the file has %d bytes, or others; want %d", len(got), n)
	}
	if err := Put(r, n-8, uint64(7)); err != nil {
		t.Errorf("after a failed Resize: %v", err)
	}
	if err := r.Sync(); err != nil {
		t.Errorf("after a failed Resize: %v", err)
	}
	if err := r.Resize(int64(n) - 50); err != nil {
		t.Errorf("shrinking after a failed Resize: %v", err)
	}
	if err := r.Resize(int64(n)); err != nil {
		t.Errorf("growing a little after a failed Resize: %v", err)
	}
	if got, err := Get[uint64](r, n-8); got != 0 || err != nil {
		t.Errorf("shrunk and grown: %d, %v; want 0", got, err)
	}
}

// A tmpfs undoes what it gave before it was full; ext4 keeps it. This one is
// mounted where only a child sees it, so that it goes with the child.
func TestAFailedResizeLeavesTheFileAsItWas(t *testing.T) {
	runWithOwnMounts(t, childExt4)
}

var childExt4 = registerChild("on an ext4", func(t testing.TB, args []string) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("cannot keep mounts to oneself: %v", err)
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Skipf("cannot make an ext4: %v %s", err, out)
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount an ext4: %v %s", err, out)
	}
	name := filepath.Join(dir, "f")
	const size = 10000
	r, err := Config{Reserve: 64 << 20}.Create(name, size)
	need(t, r, err)
	copy(r.Bytes(), quiet(size))
	var before, after unix.Statfs_t
	if err := unix.Statfs(dir, &before); err != nil {
		t.Fatal(err)
	}
	if err := r.Resize(32 << 20); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Resize to more than the disk has: %v", err)
	}
	if err := unix.Statfs(dir, &after); err != nil {
		t.Fatal(err)
	}
	if taken := (int64(before.Bfree) - int64(after.Bfree)) * int64(after.Bsize); taken > 1<<20 {
		t.Errorf("a failed Resize took %d bytes of the disk", taken)
	}
	checkUnchanged(t, r, name, size)

	// A store through a sparse file to a disk that is full of something else.
	sparse := filepath.Join(dir, "sparse")
	s, err := Config{Sparse: true}.Create(sparse, 1<<20)
	need(t, s, err)
	there := 3 * os.Getpagesize()
	was := append(quiet(there), make([]byte, 1<<20-there)...)
	copy(s.Bytes()[:there], was)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	// Holes can be read here. ext4 sets room aside for stores that are under way.
	tryMethods(t, s, sparse, trouble{"full ext4", ErrIO, there, true, was, func() { fillDisk(t, dir) }})
	r.Close()
	s.Close()
	if err := unix.Unmount(dir, 0); err != nil {
		t.Error(err)
	}
})

func TestALimitOfTheFileSizeIsAnError(t *testing.T) { runChild(t, childFileSizeLimit) }

// The system also sends SIGXFSZ, which must not end the process either.
var childFileSizeLimit = registerChild("under RLIMIT_FSIZE", func(t testing.TB, args []string) {
	const limit = 1 << 20
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Skipf("no limit of the size of files: %v", err)
	}
	for _, sparse := range []bool{false, true} {
		name := filepath.Join(t.TempDir(), "f")
		r, err := Config{Sparse: sparse}.Create(name, limit+1)
		if r != nil || !errors.Is(err, unix.EFBIG) {
			t.Errorf("Create of a file that is too large: %v, %v", r, err)
		}
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Create of a file that is too large left one: %v", err)
		}
		if err := os.WriteFile(name, []byte("there"), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := (Config{Sparse: sparse}).Create(name, limit+1); r != nil || !errors.Is(err, unix.EFBIG) {
			t.Errorf("Create of a file that is too large: %v, %v", r, err)
		}
		if got := contents(t, name); len(got) != 0 {
			t.Errorf("Create left %d bytes in the file that was there", len(got))
		}

		r, err = Config{Sparse: sparse, Reserve: 4 * limit}.Create(name, 10000)
		need(t, r, err)
		copy(r.Bytes(), quiet(10000))
		for _, n := range []int64{limit + 1, 4 * limit} {
			if err := r.Resize(n); !errors.Is(err, unix.EFBIG) {
				t.Errorf("Resize beyond the limit: %v", err)
			}
		}
		checkUnchanged(t, r, name, 10000)
		if err := r.Resize(limit); err != nil {
			t.Errorf("Resize to the limit: %v", err)
		}
		if err := Put(r, limit-8, int64(1)); err != nil {
			t.Error(err)
		}
	}
})

// closedPart is a part whose every access faults, of a region that lives as long
// as the test.
func closedPart(t testing.TB) (*part, *Region) {
	r := open(t, tempFile(t, quiet(100)), ReadWrite)
	p := partOf(t, r, 40, 100)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return p, r
}

func TestGuardReturnsWhatTheFunctionReturns(t *testing.T) {
	mine := errors.New("mine")
	if err := Guard(func() error { return mine }); err != mine {
		t.Errorf("Guard returned %v", err)
	}
	if err := Guard(func() error { return nil }); err != nil {
		t.Errorf("Guard returned %v", err)
	}
}

func TestAFaultUnderNestedGuardsIsTheInnermosts(t *testing.T) {
	p, r := closedPart(t)
	name := r.o.mapping.name
	var inner error
	after := false
	outer := Guard(func() error {
		inner = Guard(func() error { p.view.Set(0, 1); return nil })
		after = true
		return nil
	})
	wantFault(t, "inner", inner, r, name, 40, ErrClosed)
	if outer != nil || !after {
		t.Errorf("the outer Guard returned %v; the function went on: %v", outer, after)
	}
	// The outer one guards again once the inner one has returned.
	outer = Guard(func() error {
		Guard(func() error { p.view.Set(0, 1); return nil })
		Guard(func() error { return nil })
		sinkInt += int64(p.slice[1])
		return nil
	})
	wantFault(t, "outer", outer, r, name, 44, ErrClosed)
	// A method that handles faults of its own is like an inner Guard.
	outer = Guard(func() error {
		if _, err := r.ReadAt(make([]byte, 8), 0); !errors.Is(err, ErrClosed) {
			t.Errorf("ReadAt: %v", err)
		}
		sinkInt += int64(p.slice[2])
		return nil
	})
	wantFault(t, "after ReadAt", outer, r, name, 48, ErrClosed)
}

func TestDeferredCallsRunAtAFault(t *testing.T) {
	p, r := closedPart(t)
	ran := false
	err := Guard(func() error {
		defer func() { ran = true }()
		p.view.Set(0, 1)
		return nil
	})
	if !ran {
		t.Error("the deferred call did not run")
	}
	wantFault(t, "with a deferred call", err, r, r.o.mapping.name, 40, ErrClosed)
}

func TestAFaultNamesNoRegionThatIsGone(t *testing.T) {
	name := tempFile(t, quiet(100))
	raw, m := func() ([]byte, *mapping) {
		r := open(noCleanup{t}, name, ReadWrite)
		defer r.Close()
		return r.Bytes(), r.o.mapping
	}()
	collectTill(t, func() bool { return m.owner.Value() == nil })
	err := Guard(func() error { raw[5] = 1; return nil })
	wantFault(t, "raw memory of a region that was collected", err, nil, name, 5, ErrClosed)
}

// noCleanup is a testing.TB for which need does not keep the region.
type noCleanup struct{ testing.TB }

func (noCleanup) Cleanup(func()) {}

// panicOf returns the value with which fn panics.
func panicOf(fn func()) (v any) {
	defer func() { v = recover() }()
	fn()
	return nil
}

func TestPanicsThatAreNoFaultPassThroughGuard(t *testing.T) {
	type own struct{ x int }
	value := &own{1}
	mine := errors.New("mine")
	for _, want := range []any{value, mine, "text", 5} {
		if got := panicOf(func() { Guard(func() error { panic(want) }) }); got != want {
			t.Errorf("a panic with %v came out as %v", want, got)
		}
		got := panicOf(func() {
			Guard(func() error { return Guard(func() error { return Guard(func() error { panic(want) }) }) })
		})
		if got != want {
			t.Errorf("through three Guards a panic with %v came out as %v", want, got)
		}
	}
	var none *own
	got := panicOf(func() { Guard(func() error { sinkInt += int64(none.x); return nil }) })
	if e, ok := got.(runtime.Error); !ok || !strings.Contains(e.Error(), "nil pointer dereference") {
		t.Errorf("a nil pointer dereference came out as %v", got)
	}
	got = panicOf(func() { Guard(func() error { none.x = 1; return nil }) })
	if _, ok := got.(runtime.Error); !ok {
		t.Errorf("a store to a nil pointer came out as %v", got)
	}
	index := len(os.Args) + 100
	got = panicOf(func() { Guard(func() error { sinkString = os.Args[index]; return nil }) })
	if e, ok := got.(runtime.Error); !ok || !strings.Contains(e.Error(), "index out of range") {
		t.Errorf("an index out of range came out as %v", got)
	}
	// Misuse of a view is a panic, not a fault.
	r := open(t, tempFile(t, quiet(100)), ReadOnly)
	v, err := ViewOf[int32](r, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		do   func()
		kind error
	}{{func() { sinkInt += int64(v.At(4)) }, ErrRange}, {func() { v.Set(0, 1) }, ErrReadOnly}} {
		got := panicOf(func() { Guard(func() error { tt.do(); return nil }) })
		if err, ok := got.(error); !ok || !errors.Is(err, tt.kind) {
			t.Errorf("misuse came out as %v, want %v", got, tt.kind)
		}
	}
}

func TestAFaultInMemoryOfOthersPassesThroughGuard(t *testing.T) {
	b, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	got := panicOf(func() { Guard(func() error { sinkInt += int64(b[3]); return nil }) })
	f, ok := got.(interface{ Addr() uintptr })
	if want := uintptr(unsafe.Pointer(&b[3])); !ok || f.Addr() != want {
		t.Errorf("a fault at %#x came out as %v", want, got)
	}
}

//go:noinline
func panicsDeepInside(n int) {
	if n == 0 {
		panic(fmt.Errorf("value number %d", 77))
	}
	panicsDeepInside(n - 1)
}

//go:noinline
func dereferencesNil(p *part) { p.from++ }

var (
	childPanics = registerChild("a panic under Guard", func(t testing.TB, args []string) {
		Guard(func() error { return Guard(func() error { panicsDeepInside(3); return nil }) })
	})
	childNil = registerChild("a nil pointer under Guard", func(t testing.TB, args []string) {
		Guard(func() error { dereferencesNil(nil); return nil })
	})
	childUnguarded = registerChild("an access without Guard", func(t testing.TB, args []string) {
		p, _ := closedPart(t)
		if err := Guard(func() error { sinkInt += int64(p.slice[0]); return nil }); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		sinkInt += int64(p.slice[0])
	})
	childOtherGoroutine = registerChild("an access on another goroutine", func(t testing.TB, args []string) {
		p, _ := closedPart(t)
		done := make(chan struct{})
		Guard(func() error {
			go func() {
				defer close(done)
				sinkInt += int64(p.slice[0])
			}()
			<-done
			return nil
		})
	})
)

func TestACrashThroughGuardShowsWhereItBegan(t *testing.T) {
	for name, words := range map[string][]string{
		childPanics: {"value number 77", "panicsDeepInside", "fault_test.go"},
		childNil:    {"nil pointer dereference", "dereferencesNil", "fault_test.go"},
	} {
		out := crashChild(t, name)
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("the crash of %s does not show %q:\n%s", name, w, out)
			}
		}
	}
}

// Without this the tests of Guard would prove nothing.
func TestAnAccessAfterCloseWithoutGuardEndsTheProcess(t *testing.T) {
	for _, name := range []string{childUnguarded, childOtherGoroutine} {
		if out := crashChild(t, name); !strings.Contains(out, "unexpected fault address") {
			t.Errorf("the crash says:\n%s", shortened(out))
		}
	}
}

func TestGoexitPassesThroughGuard(t *testing.T) {
	var steps []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { steps = append(steps, fmt.Sprint("outermost, recover: ", recover())) }()
		Guard(func() error {
			defer func() { steps = append(steps, "inner") }()
			runtime.Goexit()
			return nil
		})
		steps = append(steps, "after Guard")
	}()
	<-done
	if want := []string{"inner", "outermost, recover: <nil>"}; !slices.Equal(steps, want) {
		t.Errorf("Goexit ran %q, want %q", steps, want)
	}
}

func TestGuardLeavesPanicOnFaultAsItWas(t *testing.T) {
	p, _ := closedPart(t)
	for _, state := range []bool{false, true} {
		for what, run := range map[string]func(){
			"success": func() { Guard(func() error { return nil }) },
			"error":   func() { Guard(func() error { return io.EOF }) },
			"fault":   func() { Guard(func() error { p.view.Set(0, 1); return nil }) },
			"panic":   func() { panicOf(func() { Guard(func() error { panic(1) }) }) },
			"nil":     func() { panicOf(func() { Guard(func() error { dereferencesNil(nil); return nil }) }) },
			"nested":  func() { Guard(func() error { return Guard(func() error { p.view.Set(0, 1); return nil }) }) },
			"changed": func() { Guard(func() error { debug.SetPanicOnFault(!state); return nil }) },
			"methods": func() { p.whole.Region().ReadAt(make([]byte, 1), 0); Get[int8](p.whole.Region(), 0) },
		} {
			old := debug.SetPanicOnFault(state)
			run()
			if got := debug.SetPanicOnFault(old); got != state {
				t.Errorf("after %s with SetPanicOnFault(%v) it is %v", what, state, got)
			}
		}
		// Goexit ends the goroutine, but deferred calls of it still run.
		after := make(chan bool)
		go func() {
			defer func() { after <- debug.SetPanicOnFault(false) }()
			debug.SetPanicOnFault(state)
			Guard(func() error { runtime.Goexit(); return nil })
		}()
		if got := <-after; got != state {
			t.Errorf("after Goexit with SetPanicOnFault(%v) it is %v", state, got)
		}
	}
}

func TestGuardWithoutAFaultAllocatesNothing(t *testing.T) {
	r := open(t, tempFile(t, quiet(100)), ReadOnly)
	v, err := ViewOf[int32](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 8)
	for what, fn := range map[string]func(){
		"Guard":  func() { Guard(func() error { sinkInt += int64(v.At(3)); return nil }) },
		"ReadAt": func() { r.ReadAt(p, 5) },
		"Get":    func() { Get[int64](r, 3) },
	} {
		if n := testing.AllocsPerRun(100, fn); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
}

func TestAFaultErrorOfTheCallersOwnHasAText(t *testing.T) {
	if got := (&FaultError{Offset: 3}).Error(); !strings.Contains(got, "offset 3") {
		t.Error(got)
	}
}
