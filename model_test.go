package mmap

import (
	"encoding/binary"
	"fmt"
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
	} else if growsWithFile || m.anonymous {
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
	if m.window || !growsWithFile && !m.anonymous {
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

func TestRandomSequences(t *testing.T) {
	needMappings(t)
	growsFiles(t)
	leavesOut(t, "files that get shorter")
	name := filepath.Join(t.TempDir(), "f")
	for seed := range rounds(2000) {
		s := make(script, 40+seed%200)
		rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(s)
		if err := runScript(name, s); err != nil {
			t.Fatalf("sequence %d: %v", seed, err)
		}
	}
}

func FuzzRegion(f *testing.F) {
	needMappings(f)
	growsFiles(f)
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
