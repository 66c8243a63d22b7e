package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// same checks an error: a fault's place and cause, or the kind of another.
func same(got, want error) error {
	var g, w *FaultError
	switch {
	case errors.As(want, &w):
		if !errors.As(got, &g) || !isAt(g, w.Offset) || g.Err != w.Err {
			return fmt.Errorf("error is %v, want a fault at offset %d with %v", got, w.Offset, w.Err)
		}
	case !errors.Is(got, want):
		return fmt.Errorf("error is %v, want %v", got, want)
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
			} else if canShortenMapped {
				m.resizeFile(m.offset + n)
				if !growsWithFile && n < m.len {
					m.reach = min(m.reach, m.reachOf(n))
				}
			} else {
				want = errors.ErrUnsupported
				if n == 0 {
					return nil // no view may be left, and the file shorter
				}
				m.reach = min(m.reach, m.reachOf(n))
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
		if m.anonymous || n < m.size && !canShortenMapped {
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
