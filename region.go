package mmap

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"unsafe"
)

// A Region owns a mapping of a file, a device or memory. It comes from [Open],
// [Create], [OpenOrCreate], [Map], [Anonymous], [Shared] or the methods of [Config].
//
// Its base address is fixed until the garbage collector finds that no Region and
// no view of it can be reached. Every method may be called at any time from any
// goroutine, Close included. A method that meets a closed region returns
// ErrClosed, except Close itself. All lengths are in bytes, and all offsets are in
// bytes from the region's first. They need no alignment.
//
// A Region is a small handle, like an [os.File]: a copy of it is a handle on the
// same mapping. A nil or zero Region has no bytes, and its methods return
// [os.ErrInvalid].
//
// A Region implements [io.ReaderAt], [io.WriterAt], [io.WriterTo] and [io.Closer].
type Region struct{ o *owner }

// valid returns the mapping of r, an error if r is nil or zero.
func (r *Region) valid(op string) (*mapping, error) {
	if r == nil || r.o == nil {
		return nil, failf(os.ErrInvalid, "%s: the Region is nil", op)
	}
	return r.o.mapping, nil
}

// RegionOf returns the region whose raw memory b begins in, and the offset of b's
// first byte. It finds a closed region too, as long as a Region or a view keeps
// it. It returns nil if b's memory is not a region's, or if only raw memory is
// left of the region. An empty b lies where its pointer points.
func RegionOf(b []byte) (r *Region, off int) {
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	m := registry.find(addr)
	if m == nil || addr < uintptr(m.base) {
		return nil, 0
	}
	o := m.owner.Value()
	if o == nil {
		return nil, 0
	}
	return o.region(), int(addr - uintptr(m.base))
}

// Len returns the number of bytes that can be accessed: 0 once closed.
func (r *Region) Len() int {
	if r == nil || r.o == nil {
		return 0
	}
	return int(r.o.len.Load())
}

// Cap returns the number of bytes that Resize and Refresh can reach without moving
// the region: the reservation. It is 0 once closed.
func (r *Region) Cap() int {
	if r == nil || r.o == nil || r.o.closed.Load() {
		return 0
	}
	return int(r.o.cap.Load())
}

// Offset returns the offset in the file of the region's first byte.
func (r *Region) Offset() int64 {
	if m, err := r.valid(""); err == nil {
		return m.offset
	}
	return 0
}

// Mode returns what may be done with the bytes: the mode of the Config, or of the
// last Protect.
func (r *Region) Mode() Mode {
	if r == nil || r.o == nil {
		return ReadOnly
	}
	return Mode(r.o.mode.Load())
}

// Name returns the name of the file, as it was given to Open, Create or
// OpenOrCreate. After Map it is the Name of the [os.File], and after Shared the whole
// path. Memory is called "anonymous memory".
func (r *Region) Name() string {
	if m, err := r.valid(""); err == nil {
		return m.name
	}
	return ""
}

// Addr returns the address of the region's first byte, 0 if its Cap was 0 when it
// was mapped. It stays the same after Close.
func (r *Region) Addr() uintptr {
	if m, err := r.valid(""); err == nil {
		return uintptr(m.base)
	}
	return 0
}

// PageSize returns the size in bytes of the pages that back the region: the
// system's, or that of the huge pages of [Config].HugePages or of a file on
// hugetlbfs. Transparent huge pages do not count.
func (r *Region) PageSize() int {
	if m, err := r.valid(""); err == nil {
		return int(m.page())
	}
	return os.Getpagesize()
}

// String describes the region: length, capacity, file, offset and mode.
func (r *Region) String() string {
	m, err := r.valid("")
	switch {
	case err != nil:
		return "<nil>"
	case m.closed.Load():
		return fmt.Sprintf("mmap.Region(%s, closed)", m.describe())
	}
	return fmt.Sprintf("mmap.Region(%d of %d bytes of %s, %v)", m.len.Load(), m.cap.Load(), m.describe(), r.Mode())
}

// Bytes returns the mapped bytes themselves, Len of them, with no spare capacity. It
// is empty but not nil for an empty region, and nil once closed.
//
// This is raw memory. The slice does not keep the region open or alive, and keeps
// its length when the region is resized. A store to it in a ReadOnly region, or
// an access after Close or where the file was truncated, is a fault: use [Guard].
// The collector cannot see slices of mapped memory. So a region that handed one
// out is never unmapped without Close, and after Close its address space is held
// in a quarantine. See Lifetime in the package documentation.
func (r *Region) Bytes() []byte {
	m, err := r.valid("")
	if err != nil {
		return nil
	}
	defer runtime.KeepAlive(r.o)
	m.expose() // before it is looked at whether the region is open
	n := m.len.Load()
	if n == 0 && m.closed.Load() {
		return nil
	}
	return m.slice(int(n))
}

// Reserved returns the memory of the whole reservation, Cap bytes with no spare
// capacity. It is raw memory, like what [Region.Bytes] returns, and nil once closed.
//
// What lies beyond the page of the last of Len bytes faults with ErrTruncated until
// the region grows. If the region ends where its file ends, it is enough that
// anybody makes the file grow. On Windows it takes a Resize or a Refresh, too. A
// region that ends before its file does not show what follows.
//
// The slice reaches all of the reservation. So Close keeps all of its address space.
// If only Bytes was called, it keeps Len bytes.
func (r *Region) Reserved() []byte {
	m, err := r.valid("")
	if err != nil {
		return nil
	}
	defer runtime.KeepAlive(r.o)
	m.exposedAll.Store(true)
	m.expose()
	if m.closed.Load() {
		return nil
	}
	return m.slice(int(m.cap.Load()))
}

// slice is raw memory of n bytes from base on.
func (m *mapping) slice(n int) []byte {
	if m.base == nil {
		return []byte{}
	}
	return m.bytes(0, n)
}

// ReadAt copies bytes from offset off of the region into p, and returns how many. p
// may be mapped memory too, of this region or another, overlapping or not, as for
// copy.
//
// At the end of the region the count is short and the error is io.EOF. A negative
// off is ErrRange. Where the file was truncated beneath the mapping, or the region
// is closed meanwhile, the count is that of the bytes before the first that could
// not be accessed. The error is then a [*FaultError].
//
// If p has 64 KiB or more, pages that are not in memory are brought in by system
// calls first. So no page fault holds up other goroutines: see Cold data in the
// package documentation.
//
// On OpenBSD, what another program wrote with write(2) is read only after a Sync.
func (r *Region) ReadAt(p []byte, off int64) (int, error) {
	if o, m := r.few(off, len(p)); o != nil {
		src, dst := m.at(int(off)), unsafe.Pointer(unsafe.SliceData(p))
		if apart(dst, src, len(p)) && move(dst, src, len(p)) {
			if raceEnabled {
				raceRead(o, src, len(p))
			}
			runtime.KeepAlive(o)
			return len(p), nil
		}
	}
	return r.readAt(p, off)
}

// few returns the owner and its mapping if they have the n bytes at off, and so few that
// nothing is to be done before they are copied. Otherwise it returns nil. Then, and if the
// copy fails, the long way finds out why.
func (r *Region) few(off int64, n int) (*owner, *mapping) {
	if r == nil || r.o == nil {
		return nil, nil
	}
	o, m := r.o, r.o.mapping
	if n < 1 || n >= manyBytes || off < 0 || off > m.len.Load()-int64(n) {
		return nil, nil
	}
	return o, m
}

func (r *Region) readAt(p []byte, off int64) (int, error) {
	m, err := r.valid("read")
	if err != nil {
		return 0, err
	}
	have := m.len.Load()
	if off < 0 || off >= have {
		return 0, m.outside("read", len(p), off, io.EOF)
	}
	var eof error
	if int64(len(p)) > have-off {
		p = p[:have-off]
		eof = io.EOF
	}
	n, data := len(p), unsafe.Pointer(unsafe.SliceData(p))
	if n < manyBytes {
		n, err = transferByPages(data, m.at(int(off)), n, 1, false)
	} else {
		n, err = m.transferMany(int(off), data, n, 1, false, aLoad)
	}
	if raceEnabled {
		raceRead(r.o, m.at(int(off)), n)
	}
	runtime.KeepAlive(r.o)
	if err == nil {
		err = eof
	}
	return n, err
}

// WriteAt copies p to offset off of the region, and returns how many bytes. p may
// be mapped memory too, of this region or another, overlapping or not, as for copy.
//
// At the end of the region the count is short and the error is ErrRange: a region
// grows by Resize only. In a ReadOnly region the count is 0 and the error is
// ErrReadOnly. Where the file was truncated, the disk is full, or the region is
// closed meanwhile, the count is that of the bytes before the first that could not
// be stored. The error is then a [*FaultError]. In a ReadWrite region the bytes
// are in the file at once for every process that reads it (on OpenBSD after Sync),
// and durable after Sync.
func (r *Region) WriteAt(p []byte, off int64) (int, error) {
	if o, m := r.few(off, len(p)); o != nil && Mode(m.mode.Load()) != ReadOnly {
		src, dst := unsafe.Pointer(unsafe.SliceData(p)), m.at(int(off))
		if apart(dst, src, len(p)) && move(dst, src, len(p)) {
			if raceEnabled {
				raceWrite(o, dst, len(p))
			}
			runtime.KeepAlive(o)
			return len(p), nil
		}
	}
	return r.writeAt(p, off)
}

func (r *Region) writeAt(p []byte, off int64) (int, error) {
	m, err := r.valid("write")
	if err != nil {
		return 0, err
	}
	have := m.len.Load()
	if Mode(m.mode.Load()) == ReadOnly && !m.closed.Load() {
		return 0, failf(ErrReadOnly, "write %d bytes at offset %d of %s: region is read-only: map it ReadWrite", len(p), off, m.describe())
	}
	if off < 0 || off > have || off == have && (len(p) > 0 || have == 0) {
		return 0, m.outside("write", len(p), off, nil)
	}
	var short error
	if int64(len(p)) > have-off {
		short = m.outside("write", len(p), off, nil)
		p = p[:have-off]
	}
	n, data := len(p), unsafe.Pointer(unsafe.SliceData(p))
	if n < manyBytes {
		n, err = transferByPages(m.at(int(off)), data, n, 1, false)
	} else {
		n, err = m.transferMany(int(off), data, n, 1, false, aStore)
	}
	if raceEnabled {
		raceWrite(r.o, m.at(int(off)), n)
	}
	runtime.KeepAlive(r.o)
	if err == nil {
		err = short
	}
	return n, err
}

// outside makes the error of a read or write that begins or ends outside the
// region; beyond is what to return if it begins at or beyond the end.
func (m *mapping) outside(op string, n int, off int64, beyond error) error {
	switch {
	case m.closed.Load():
		return failf(ErrClosed, "%s %d bytes at offset %d of %s: region is closed", op, n, off, m.name)
	case n == 0 && (off == 0 || off > 0 && beyond != nil):
		return nil
	case off >= 0 && beyond != nil:
		return beyond
	}
	if off < 0 {
		return failf(ErrRange, "%s %d bytes at offset %d of %s: the offset may not be negative", op, n, off, m.describe())
	}
	return failf(ErrRange, "%s %d bytes at offset %d of %s: region has %d bytes", op, n, off, m.describe(), m.len.Load())
}

// WriteTo writes the region's bytes to w, and returns how many. Where the file was
// truncated, or the region is closed meanwhile, it writes the bytes before that and
// returns a [*FaultError]. An [*os.File] is given the mapped bytes themselves, so
// the system makes the only copy. Any other w is given copies of at most 64 KiB, so
// that no fault happens inside w's own code. The bytes are those of the mapping,
// which on OpenBSD are not those of the file before Sync.
func (r *Region) WriteTo(w io.Writer) (int64, error) {
	m, err := r.valid("write out")
	if err != nil {
		return 0, err
	}
	n := int(m.len.Load())
	if n == 0 {
		return 0, m.check("write out")
	}
	defer runtime.KeepAlive(r.o)
	off := 0
	if f, ok := w.(*os.File); ok {
		written, err := f.Write(m.bytes(0, n))
		if raceEnabled {
			raceRead(r.o, m.base, written)
		}
		if !isBadAddress(err) {
			return int64(written), err
		}
		// The system met a missing page, and may have left out bytes before it.
		off = written
	}
	buf := make([]byte, min(n, 64<<10))
	pages := m.ahead(off, n-off, true)
	for off < n {
		chunk := min(n-off, len(buf))
		pages.reach(off + chunk)
		k, err := transfer(unsafe.Pointer(&buf[0]), m.at(off), chunk, 1, false)
		if raceEnabled {
			raceRead(r.o, m.at(off), k)
		}
		written, werr := w.Write(buf[:k])
		off += written
		if werr == nil && written < k {
			werr = io.ErrShortWrite
		}
		if werr != nil {
			return int64(off), werr
		}
		if err != nil {
			return int64(off), err
		}
	}
	return int64(n), nil
}

// Protect changes what may be done with the bytes. ReadOnly turns later stores
// through Bytes, Slice and Ptr, and through views made while it was writable, into
// faults with ErrReadOnly. It protects you from your own mistakes, and holds for
// all goroutines at once.
//
// A region can go back to the mode that it was mapped with. A ReadOnly region can
// become ReadWrite if [Map] made it of a file open for writing. Otherwise the
// system refuses. A ReadWrite region cannot become CopyOnWrite, nor the other way
// round: errors.ErrUnsupported. Protect neither opens nor needs the file.
//
// A view that was made while the region was read-only can never store.
func (r *Region) Protect(mode Mode) error {
	m, err := r.valid("protect")
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(r.o)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check("protect"); err != nil {
		return err
	}
	copies := m.request.private && m.kind != memory
	switch {
	case mode < ReadOnly || mode > CopyOnWrite:
		return failf(errors.ErrUnsupported, "protect %s: there is no %v: %s", m.describe(), mode, theModes)
	case mode == ReadWrite && copies:
		return failf(errors.ErrUnsupported, "protect %s as %v: it was mapped CopyOnWrite, and stays apart from the file", m.describe(), mode)
	case mode == CopyOnWrite && !copies:
		return failf(errors.ErrUnsupported, "protect %s as %v: it was not mapped CopyOnWrite, and cannot become so", m.describe(), mode)
	}
	old := m.mode.Load()
	if mode == ReadOnly {
		m.take(deniedByMode)
		m.mode.Store(int32(mode))
	}
	if m.reach > 0 {
		if err := m.space.allow(0, m.reach, m.rightsOf(mode)); err != nil {
			m.mode.Store(old)
			if errors.Is(err, fs.ErrPermission) {
				err = withLimit(err, "the file was not opened to be written: map it ReadWrite")
			}
			return pathError(m.name, err)
		}
	}
	if mode != ReadOnly {
		m.storable.Store(true)
		m.mode.Store(int32(mode))
	}
	return nil
}

// Close replaces the mapping by inaccessible address space, and gives back
// everything else: memory, descriptor, locks. The system still writes back what
// was stored and not yet synced, though at no promised time. Later calls of
// Close return nil.
//
// An access that happens meanwhile or later, on whatever goroutine, through a
// method, a view or raw memory, either meets the region's own bytes or faults. It
// never meets another mapping. Methods return ErrClosed from then on.
//
// Close waits for no other method, and asks the file nothing. When it returns, or
// waits, the memory is already inaccessible. Two waits are left, both in the
// system: for a page fault in progress, and for close(2) of a file that the
// region owns, which comes last. An error is that of replacing the mapping, or of
// close(2).
func (r *Region) Close() error {
	m, err := r.valid("close")
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(r.o)
	m.mu.Lock()
	if m.closed.Load() {
		m.mu.Unlock()
		return nil
	}
	err = m.bury()
	m.mu.Unlock()
	err = m.denyAgain(err)
	if m.high > 0 && tombstones.add(m.high) {
		go runtime.GC()
	}
	if m.high > 0 && m.lingers {
		m.file.inode.hold()
		go r.o.entombLater()
	}
	if e := m.letGo(); err == nil {
		err = e
	}
	return pathError(m.name, err)
}
