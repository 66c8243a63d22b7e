//go:build linux

package mmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A model is what a region and its file must be, as plain bytes.
//
// What a program stores in the last page of a file beyond the file's end is
// lost or not, as the system likes. The model then knows that it does not know.
type model struct {
	anonymous bool
	page      int
	offset    int
	cap       int
	len       int
	mode      Mode
	closed    bool
	window    bool // the file goes on beyond the region, and is not cut by it
	reach     int  // where it was fenced off, because the file goes on

	bytes []byte // of the file, and zeros beyond its end; of the memory
	wild  []bool // which of them nobody knows
	size  int    // of the file
}

// end returns where inaccessible bytes begin, counted from the region's first.
// Of a page that the file has in part, all can be accessed.
func (m *model) end() int {
	if m.closed {
		return 0
	}
	size := m.size
	if m.anonymous {
		size = m.len
	}
	return max(min(m.pageEnd(size)-m.offset, m.reach), 0)
}

// pageEnd returns the end of the page of the n-th byte of the file.
func (m *model) pageEnd(n int) int { return int(roundUp(uintptr(n), uintptr(m.page))) }

// reachOf returns how far a region of n bytes is accessible.
func (m *model) reachOf(n int) int {
	if n == 0 {
		return 0
	}
	return m.pageEnd(m.offset+n) - m.offset
}

// take makes the region n bytes long, as long as the file or not.
func (m *model) take(n int) {
	m.len = n
	if m.window = m.size > m.offset+n; m.window {
		m.reach = min(m.reach, m.reachOf(n))
	} else {
		m.reach = math.MaxInt
	}
}

// resizeFile is ftruncate.
func (m *model) resizeFile(n int) {
	if n < m.size {
		clear(m.bytes[n:])
		clear(m.wild[n:])
	}
	m.size = n
}

// store stores p at off of the region.
func (m *model) store(off int, p []byte) {
	for i, x := range p {
		at := m.offset + off + i
		inside := at < m.size || m.anonymous && off+i < m.len
		m.bytes[at], m.wild[at] = x, !inside
	}
}

// differ compares what was read at off of the region with the model.
func (m *model) differ(off int, got []byte) error {
	return m.differAt(m.offset+off, got)
}

func (m *model) differAt(at int, got []byte) error {
	for i, x := range got {
		if !m.wild[at+i] && x != m.bytes[at+i] {
			return fmt.Errorf("byte %d of the file, %d of %d read, is %#x, want %#x", at+i, i, len(got), x, m.bytes[at+i])
		}
	}
	return nil
}

// access returns how many of the n bytes at off can be accessed, and what the
// error must be if those are not all.
func (m *model) access(off, n int) (count int, fault error) {
	if end := m.end(); off+n > end {
		return max(end-off, 0), &FaultError{Offset: max(off, end), Err: ErrTruncated}
	}
	return n, nil
}

// same checks an error: a fault's place and cause, or the kind of another.
func same(got, want error) error {
	var g, w *FaultError
	switch {
	case errors.As(want, &w):
		if !errors.As(got, &g) || g.Offset != w.Offset || g.Err != w.Err {
			return fmt.Errorf("error is %v, want a fault at offset %d with %v", got, w.Offset, w.Err)
		}
	case !errors.Is(got, want):
		return fmt.Errorf("error is %v, want %v", got, want)
	}
	return nil
}

// A script is the random bytes that say what to do.
type script []byte

func (s *script) next() int {
	if len(*s) == 0 {
		return 0
	}
	x := (*s)[0]
	*s = (*s)[1:]
	return int(x)
}

// upTo returns a number from 0 to most, of which those near page boundaries are
// the likeliest.
func (s *script) upTo(most, page int) int {
	x := s.next()<<8 | s.next()
	if x&1 == 0 {
		x = (x>>4)*page/2 + x>>1&7 - 4
	} else {
		x *= 3
	}
	return max(x, 0) % (most + 1)
}

func (s *script) bytes(n int) []byte {
	p := make([]byte, n)
	x := s.next()
	for i := range p {
		p[i] = byte(x + i*7)
	}
	return p
}

// runScript does what the script says to a region and to its model, and returns
// the first difference, after all that was done before it.
func runScript(name string, s script) error {
	var log strings.Builder
	page := os.Getpagesize()
	m := &model{page: page, cap: 6*page + 100, mode: ReadWrite}
	flags := s.next()
	m.anonymous = flags&3 == 3
	var r *Region
	var err error
	if m.anonymous {
		m.len = s.upTo(m.cap, page)
		r, err = Config{Reserve: int64(m.cap)}.Anonymous(int64(m.len))
	} else {
		m.offset = []int{0, 0, 5, page + 3}[flags>>2&3]
		m.size = m.offset + s.upTo(4*page, page)
		m.len = m.size - m.offset
		length := 0
		if flags&16 != 0 && m.len > 1 {
			length = 1 + s.upTo(m.len-1, page)
			m.window = length < m.len
			m.len = length
		}
		if err := os.WriteFile(name, quiet(m.size), 0o600); err != nil {
			return err
		}
		c := Config{Mode: ReadWrite, Offset: int64(m.offset), Length: int64(length), Reserve: int64(m.cap), Sparse: flags&32 != 0}
		r, err = c.Open(name)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	m.cap = r.Cap()
	m.reach = math.MaxInt
	if m.window {
		m.reach = m.reachOf(m.len)
	}
	most := m.offset + m.cap + 2*page
	m.bytes = append(quiet(m.size), make([]byte, most+2*page-m.size)...)
	m.wild = make([]bool, len(m.bytes))
	view, err := ViewOf[byte](r, 0, ToEnd)
	if err != nil {
		return err
	}
	fmt.Fprintf(&log, "%v\n", r)

	for len(s) > 0 {
		if err := step(&log, name, r, view, m, &s, most); err != nil {
			return fmt.Errorf("%w\nafter\n%s", err, log.String())
		}
		if r.Len() != m.len || r.Mode() != m.mode {
			return fmt.Errorf("%v: want Len %d, %v\nafter\n%s", r, m.len, m.mode, log.String())
		}
	}
	if m.anonymous {
		return nil
	}
	got, err := os.ReadFile(name)
	if err == nil && len(got) != m.size {
		err = fmt.Errorf("the file has %d bytes, want %d", len(got), m.size)
	} else if err == nil {
		err = m.differAt(0, got)
	}
	if err != nil {
		return fmt.Errorf("%w\nafter\n%s", err, log.String())
	}
	return nil
}

// step does one thing.
func step(log io.Writer, name string, r *Region, view View[byte], m *model, s *script, most int) error {
	did := func(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) }
	// or returns ErrClosed if the region is, and err if not.
	or := func(err error) error {
		if m.closed {
			return ErrClosed
		}
		return err
	}
	switch op := s.next() % 32; op {
	case 0, 1, 2, 3:
		n := s.upTo(m.cap+10, m.page)
		did("Resize(%d)", n)
		var want error
		switch {
		case m.closed:
		case n > m.cap:
			want = ErrRange
		case m.mode == ReadOnly:
			want = ErrReadOnly
		case m.anonymous:
			if n < m.len {
				clear(m.bytes[n:m.len])
				clear(m.wild[n:m.len])
			}
			// Whole pages are given back.
			if whole := int(roundUp(uintptr(n), uintptr(m.page))); n < m.len && whole < len(m.bytes) {
				clear(m.bytes[whole:])
				clear(m.wild[whole:])
			}
			m.len = n
		case n >= m.len:
			m.resizeFile(max(m.size, m.offset+n))
			m.reach = max(m.reach, m.reachOf(n))
			m.take(n)
		default:
			if m.window {
				m.reach = min(m.reach, m.reachOf(n))
			} else {
				m.resizeFile(m.offset + n)
			}
			m.len = n
		}
		return same(r.Resize(int64(n)), or(want))
	case 4, 5:
		did("Refresh")
		if !m.closed && !m.anonymous {
			n := min(max(m.size-m.offset, 0), m.cap)
			m.reach = max(m.reach, m.reachOf(n))
			m.take(n)
		}
		return same(r.Refresh(), or(nil))
	case 6, 7, 8, 9:
		off, p := s.upTo(m.cap, m.page), s.bytes(s.upTo(2*m.page, m.page))
		did("WriteAt(%d bytes, %d)", len(p), off)
		n, want := 0, error(nil)
		switch {
		case m.closed:
		case m.mode == ReadOnly:
			want = ErrReadOnly
		case off > m.len || off == m.len && len(p) > 0:
			want = ErrRange
		default:
			all := min(len(p), m.len-off)
			n, want = m.access(off, all)
			if all == 0 {
				n, want = 0, nil
			}
			m.store(off, p[:n])
			if want == nil && all < len(p) {
				want = ErrRange
			}
		}
		got, err := r.WriteAt(p, int64(off))
		if got != n {
			return fmt.Errorf("wrote %d bytes, %v; want %d, %v", got, err, n, or(want))
		}
		return same(err, or(want))
	case 10, 11, 12, 13:
		off, p := s.upTo(m.cap, m.page), make([]byte, s.upTo(3*m.page, m.page))
		did("ReadAt(%d bytes, %d)", len(p), off)
		n, want := 0, error(nil)
		switch {
		case m.closed || len(p) == 0:
		case off >= m.len:
			want = io.EOF
		default:
			all := min(len(p), m.len-off)
			n, want = m.access(off, all)
			if want == nil && all < len(p) {
				want = io.EOF
			}
		}
		got, err := r.ReadAt(p, int64(off))
		if got != n {
			return fmt.Errorf("read %d bytes, %v; want %d, %v", got, err, n, or(want))
		}
		if err := same(err, or(want)); err != nil {
			return err
		}
		return m.differ(off, p[:n])
	case 14, 15:
		off, x := s.upTo(m.cap, m.page), uint64(s.next())*0x0102030405060708
		did("Put(%d, %#x)", off, x)
		var want error
		switch {
		case m.closed:
		case off+8 > m.len:
			want = ErrRange
		case m.mode == ReadOnly:
			want = ErrReadOnly
		default:
			var n int
			if n, want = m.access(off, 8); want == nil {
				m.store(off, nativeBytes(x))
			} else {
				// It may be stored in halves, on some machines.
				for i := range n {
					m.wild[m.offset+off+i] = true
				}
			}
		}
		return same(Put(r, off, x), or(want))
	case 16, 17:
		off := s.upTo(m.cap, m.page)
		did("Get(%d)", off)
		var want error
		switch {
		case m.closed:
		case off+8 > m.len:
			want = ErrRange
		default:
			_, want = m.access(off, 8)
		}
		got, err := Get[uint64](r, off)
		if err := same(err, or(want)); err != nil || or(want) != nil {
			return err
		}
		return m.differ(off, nativeBytes(got))
	case 18:
		did("Sync")
		var want error
		if !m.anonymous && m.size < m.offset+m.len {
			want = ErrTruncated
		}
		return same(r.Sync(), or(want))
	case 19:
		if s.next()%4 > 0 {
			return nil // or most of every script would be about closed regions
		}
		did("Close")
		m.closed, m.len = true, 0
		return same(r.Close(), nil)
	case 20, 21:
		mode := Mode(s.next() & 1)
		did("Protect(%v)", mode)
		if !m.closed {
			m.mode = mode
		}
		return same(r.Protect(mode), or(nil))
	case 22, 23:
		if view.Len() == 0 {
			return nil
		}
		i := s.upTo(view.Len()-1, m.page)
		did("At(%d) of the first view", i)
		_, want := m.access(i, 1)
		if m.closed {
			want = &FaultError{Offset: i, Err: ErrClosed}
		}
		var got byte
		err := Guard(func() error { got = view.At(i); return nil })
		if err := same(err, want); err != nil || want != nil {
			return err
		}
		return m.differ(i, []byte{got})
	case 24, 25:
		if view.Len() == 0 {
			return nil
		}
		i, x := s.upTo(view.Len()-1, m.page), byte(s.next())
		did("Set(%d, %#x) of the first view", i, x)
		_, want := m.access(i, 1)
		switch {
		case m.closed:
			want = &FaultError{Offset: i, Err: ErrClosed}
		case want == nil && m.mode == ReadOnly:
			want = &FaultError{Offset: i, Err: ErrReadOnly}
		case want == nil:
			m.store(i, []byte{x})
		}
		return same(Guard(func() error { view.Set(i, x); return nil }), want)
	case 26, 27, 28:
		n := s.upTo(most, m.page)
		if m.anonymous {
			return nil
		}
		did("another process makes the file %d bytes", n)
		m.resizeFile(n)
		return os.Truncate(name, int64(n))
	case 29, 30:
		p := s.bytes(1 + s.upTo(m.page, m.page))
		at := s.upTo(most-len(p), m.page)
		if m.anonymous {
			return nil
		}
		did("another process writes %d bytes at %d", len(p), at)
		m.size = max(m.size, at+len(p))
		copy(m.bytes[at:], p)
		clear(m.wild[at : at+len(p)])
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt(p, int64(at))
		return err
	default:
		did("WriteTo")
		n, want := 0, error(nil)
		if !m.closed {
			n, want = m.access(0, m.len)
			if m.len == 0 {
				n, want = 0, nil
			}
		}
		var buf bytes.Buffer
		got, err := r.WriteTo(&buf)
		if int(got) != n || buf.Len() != n {
			return fmt.Errorf("wrote out %d bytes, %v; want %d, %v", got, err, n, or(want))
		}
		if err := same(err, or(want)); err != nil {
			return err
		}
		return m.differ(0, buf.Bytes())
	}
}

func TestRandomSequences(t *testing.T) {
	sequences := 2000
	if testing.Short() {
		sequences = 200
	}
	name := filepath.Join(t.TempDir(), "f")
	for seed := range sequences {
		s := make(script, 40+seed%200)
		rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(s)
		if err := runScript(name, s); err != nil {
			t.Fatalf("sequence %d: %v", seed, err)
		}
	}
}

func FuzzRegion(f *testing.F) {
	// at is an argument that comes out at half a page times n.
	at := func(n int) []byte {
		x := n<<4 | 4<<1
		return []byte{byte(x >> 8), byte(x)}
	}
	cat := func(parts ...any) (b []byte) {
		for _, p := range parts {
			switch p := p.(type) {
			case int:
				b = append(b, byte(p))
			case []byte:
				b = append(b, p...)
			}
		}
		return b
	}
	for _, seed := range [][]byte{
		nil,
		// A file of two pages is cut, read, written, grown.
		cat(0, at(4), 26, at(1), 10, at(0), at(5), 6, at(0), at(4), 1, 18, 4, 0, at(8), 10, at(0), at(6)),
		// The same in a window that begins within a page.
		cat(8|16, at(4), at(2), 0, at(1), 0, at(3), 26, at(0), 22, at(1), 4, 0, at(2)),
		// Another process appends before the region grows and shrinks.
		cat(32, at(2), 26, at(9), 0, at(4), 0, at(2), 4, 10, at(0), at(8)),
		cat(0, at(2), 26, at(9), 0, at(4), 0, at(2), 4, 10, at(0), at(8)),
		// Protected, stored to, unprotected, closed.
		cat(0, at(4), 20, 0, 24, at(1), 9, 6, at(0), at(1), 5, 20, 1, 24, at(1), 9, 19, 0, 24, at(1), 9, 10, at(0), at(1)),
		// Memory shrinks within a page and grows.
		cat(3, at(5), 6, at(0), at(4), 7, 0, at(3), 0, at(1), 0, at(9), 10, at(0), at(6), 24, at(3), 1, 31),
		// Values across the last page that is there.
		cat(0, at(6), 26, at(2), 14, binary.BigEndian.AppendUint16(nil, uint16(2<<4)), 3, 16, binary.BigEndian.AppendUint16(nil, uint16(2<<4)), 31, 18),
	} {
		f.Add(seed)
	}
	for seed := range 30 {
		s := make([]byte, 100)
		rand.NewChaCha8([32]byte{byte(seed), 0xFF}).Read(s)
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		if len(s) > 1000 {
			s = s[:1000]
		}
		if err := runScript(filepath.Join(t.TempDir(), "f"), s); err != nil {
			t.Fatal(err)
		}
	})
}
