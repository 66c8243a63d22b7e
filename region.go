package mmap

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
	"weak"
)

// A Region owns a mapping of a file, a device or anonymous memory. It comes
// from Open, Create, Map, Anonymous or the methods of Config.
//
// Its base address is fixed until the garbage collector finds that neither the
// Region nor a view of it can be reached. Every method may be called at any
// time from any goroutine, Close included; a method that meets a closed region
// returns ErrClosed. All offsets and lengths are in bytes, offsets counted
// from the region's first byte; none needs to be aligned to anything.
//
// A Region implements io.ReaderAt, io.WriterAt, io.WriterTo and io.Closer.
type Region struct {
	m *mapping

	// The Region that the collector watches. A copy of it, which *r makes,
	// keeps that one.
	self *Region
}

// A mapping is what the kernel knows of a Region: address space, file, mode.
// Region and mapping are two objects so that the list of mappings, in which a
// fault is looked up, does not keep a Region from being collected.
type mapping struct {
	base  unsafe.Pointer // the region's first byte; nil if nothing is mapped
	len   atomic.Int64   // accessible bytes; 0 once closed
	mode  atomic.Int32
	state atomic.Int32 // stateOpen, stateClosed
	raw   atomic.Bool  // raw memory was handed out

	// storable says that the mode was such, at some time, that somebody may
	// have a view that can store.
	storable atomic.Bool

	// What last took access away. It is asked for the cause of a fault when
	// the access is back by the time that the cause is looked for.
	denied atomic.Int32

	writable time.Time // when access was given back, if it was

	addr  unsafe.Pointer // base rounded down to a page: what mmap(2) returned
	slack uintptr        // base - addr
	size  uintptr        // bytes of address space from addr, in whole pages
	page  uintptr
	cap   int
	reach uintptr // bytes from addr on, in whole pages, that mode gives access to

	name   string // as the caller said it, for messages
	path   string // the same from the root on
	kind   kind
	id     fileID
	config Config

	// mu orders the calls that change the mapping: they hold it for writing,
	// those that use the descriptor for reading. No access to the mapped bytes
	// takes it.
	mu       sync.RWMutex
	file     *descriptor  // nil: opened by name when needed
	unsynced atomic.Int32 // metadata that the next Sync makes durable
	window   bool         // when last looked at, the file went on beyond the region
	ended    int64        // where, if Close came of a fault, the file ended; else far away

	handle     weak.Pointer[Region]
	prev, next *mapping // in mappings
}

type kind int

const (
	anonymous kind = iota
	regularFile
	device // and whatever else the system maps
)

const (
	stateOpen int32 = iota
	stateClosed
)

const (
	deniedBySize int32 = 1 + iota
	deniedByMode
)

const (
	unsyncedSize int32 = 1 + iota // the file's size was changed
	unsyncedName                  // the file was created, and its size set
)

// newRegion publishes the mapping: from here on a fault finds it, and the
// collector takes it away.
func (m *mapping) newRegion() *Region {
	m.ended = math.MaxInt64
	r := &Region{m: m}
	r.self = r
	if m.size > 0 {
		m.handle = weak.Make(r)
		mappings.insert(m)
	}
	runtime.AddCleanup(r, (*mapping).unreachable, m)
	return r
}

// Len returns the number of bytes that can be accessed: 0 once closed.
func (r *Region) Len() int { return int(r.m.len.Load()) }

// Cap returns the number of bytes that Resize and Refresh can reach without
// moving the region: the reservation. It is 0 once closed.
func (r *Region) Cap() int {
	if r.m.state.Load() == stateClosed {
		return 0
	}
	return r.m.cap
}

// Offset returns the offset in the file of the region's first byte.
func (r *Region) Offset() int64 { return r.m.config.Offset }

// Mode returns what may be done with the bytes: the mode of the Config, or of
// the last Protect.
func (r *Region) Mode() Mode { return Mode(r.m.mode.Load()) }

// Addr returns the address of the region's first byte, 0 if its Cap is 0. It
// stays the same after Close.
func (r *Region) Addr() uintptr { return uintptr(r.m.base) }

// String describes the region: length, capacity, file, offset and mode.
func (r *Region) String() string {
	m := r.m
	if m.state.Load() == stateClosed {
		return fmt.Sprintf("mmap.Region(%s, closed)", m.describe())
	}
	return fmt.Sprintf("mmap.Region(%d of %d bytes of %s, %v)", m.len.Load(), m.cap, m.describe(), r.Mode())
}

// Bytes returns the mapped bytes themselves, Len of them with no spare
// capacity: empty but not nil for an empty region, nil once closed.
//
// The slice does not keep the region open or alive, and does not follow
// Resize. A store to it in a ReadOnly region, or an access after Close or where
// the file was cut, is a fault: use Guard. Because the collector cannot see
// slices of mapped memory, the address space of a region that handed one out is
// held in the quarantine after Close, and is never unmapped without Close; see
// Lifetime in the package documentation.
func (r *Region) Bytes() []byte {
	m := r.m
	n := m.len.Load()
	if n == 0 {
		if m.state.Load() == stateClosed {
			return nil
		}
		return []byte{}
	}
	m.expose()
	b := unsafe.Slice((*byte)(m.base), n)
	runtime.KeepAlive(r)
	return b
}

// expose notes that raw memory is handed out. It reads before it stores so
// that goroutines that ask often share the cache line.
func (m *mapping) expose() {
	if !m.raw.Load() {
		m.raw.Store(true)
	}
}

// bytes is Bytes for use within a method, which keeps r alive meanwhile.
func (m *mapping) bytes(off, n int) []byte {
	return unsafe.Slice((*byte)(m.at(off)), n)
}

// ReadAt copies bytes from offset off of the region into p, and returns how
// many. At the end of the region the count is short and the error io.EOF; a
// negative off is ErrRange. Where the file was cut beneath the mapping, or the
// region is closed meanwhile, it returns the exact number of bytes copied
// before the first that could not be accessed, and a *FaultError.
func (r *Region) ReadAt(p []byte, off int64) (int, error) {
	m := r.m
	have := m.len.Load()
	if off < 0 || off >= have {
		return 0, m.outside("read", len(p), off, io.EOF)
	}
	var eof error
	if int64(len(p)) > have-off {
		p = p[:have-off]
		eof = io.EOF
	}
	n, err := m.transfer(int(off), aLoad, p, m.bytes(int(off), len(p)))
	runtime.KeepAlive(r)
	if err == nil {
		err = eof
	}
	return n, err
}

// WriteAt copies p to offset off of the region, and returns how many bytes.
// At the end of the region the count is short and the error ErrRange: a region
// grows by Resize only. In a ReadOnly region it is 0 and ErrReadOnly. Where the
// file was cut, the disk is full or the region is closed meanwhile, it returns
// the exact number of bytes stored before the first that could not be, and a
// *FaultError. The bytes are in the file at once for every process that
// reads it, and durable after Sync.
func (r *Region) WriteAt(p []byte, off int64) (int, error) {
	m := r.m
	have := m.len.Load()
	if Mode(m.mode.Load()) == ReadOnly && m.state.Load() == stateOpen {
		return 0, failf(ErrReadOnly, "write %d bytes at offset %d of %s: region is read-only", len(p), off, m.describe())
	}
	if off < 0 || off > have || off == have && (len(p) > 0 || have == 0) {
		return 0, m.outside("write", len(p), off, nil)
	}
	var short error
	if int64(len(p)) > have-off {
		short = m.outside("write", len(p), off, nil)
		p = p[:have-off]
	}
	n, err := m.transfer(int(off), aStore, m.bytes(int(off), len(p)), p)
	runtime.KeepAlive(r)
	if err == nil {
		err = short
	}
	return n, err
}

// outside makes the error of a read or write that begins or ends outside the
// region; beyond is what to return if it begins at or beyond the end.
func (m *mapping) outside(op string, n int, off int64, beyond error) error {
	switch {
	case m.state.Load() == stateClosed:
		return failf(ErrClosed, "%s %d bytes at offset %d of %s: region is closed", op, n, off, m.name)
	case n == 0 && (off == 0 || off > 0 && beyond != nil):
		return nil
	case off >= 0 && beyond != nil:
		return beyond
	}
	return failf(ErrRange, "%s %d bytes at offset %d of %s: region has %d bytes", op, n, off, m.describe(), m.len.Load())
}

// transfer copies src to dst, which are of one length; the one that is m's
// begins at off. The copy is one memmove. Only if that faults is it done again,
// page by page, to find out how far it can go.
func (m *mapping) transfer(off int, a access, dst, src []byte) (int, error) {
	if f, _ := catch(func() error { copy(dst, src); return nil }); f == nil {
		return len(dst), nil
	}
	n := 0
	for n < len(dst) {
		d, s := dst[n:], src[n:]
		step := min(toPageEnd(d), toPageEnd(s), len(d))
		if err := m.guard(off+n, step, a, func() error { copy(d[:step], s); return nil }); err != nil {
			return n, err
		}
		n += step
	}
	return n, nil
}

// guard is Guard for an fn that accesses n bytes of this mapping, a page's worth
// at most, from off on, and in one way.
func (m *mapping) guard(off, n int, a access, fn func() error) error {
	f, err := catch(fn)
	if f == nil {
		return err
	}
	page := f.off - (f.off+int(m.slack))%int(m.page)
	if f.m != m || page >= off+n || page+int(m.page) <= off {
		return f.err(anyAccess) // the caller's own memory is mapped, too
	}
	f.off, f.bulk = max(off, page), false
	return f.err(a)
}

// toPageEnd returns the number of bytes from the first of b to the end of its
// page.
func toPageEnd(b []byte) int {
	page := uintptr(os.Getpagesize())
	return int(page - uintptr(unsafe.Pointer(unsafe.SliceData(b)))%page)
}

// WriteTo writes the region's bytes to w, and returns how many. Where the file
// was cut or the region is closed meanwhile, that is a *FaultError after the
// bytes before it. An *os.File is given the mapped bytes themselves, of which the
// kernel makes the only copy; any other w is given copies of at most 64 KiB, so
// that no fault happens inside w's own code.
func (r *Region) WriteTo(w io.Writer) (int64, error) {
	m := r.m
	n := int(m.len.Load())
	if n == 0 {
		return 0, m.closedErr("write out")
	}
	defer runtime.KeepAlive(r)
	off := 0
	if f, ok := w.(*os.File); ok {
		written, err := f.Write(m.bytes(0, n))
		if !isBadAddress(err) {
			return int64(written), err
		}
		// The kernel met a missing page, and may have left out bytes before it.
		off = written
	}
	buf := make([]byte, min(n, 64<<10))
	for off < n {
		chunk := min(n-off, len(buf))
		k, err := m.transfer(off, aLoad, buf[:chunk], m.bytes(off, chunk))
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

// closedErr returns ErrClosed if the region is closed.
func (m *mapping) closedErr(op string) error {
	if m.state.Load() == stateClosed {
		return failf(ErrClosed, "%s %s: region is closed", op, m.name)
	}
	return nil
}

// within checks the range of a method that takes one: n bytes at off.
func (m *mapping) within(op string, off, n int) error {
	have := int(m.len.Load()) // before the state is looked at: Close sets it after
	if err := m.closedErr(op); err != nil {
		return err
	}
	if off < 0 || n < 0 || off > have || n > have-off {
		return failf(ErrRange, "%s %d bytes at offset %d of %s: region has %d bytes", op, n, off, m.describe(), have)
	}
	return nil
}

// pages returns the whole pages that hold the n bytes at off.
func (m *mapping) pages(off, n int) []byte {
	first := (m.slack + uintptr(off)) &^ (m.page - 1)
	last := roundUp(m.slack+uintptr(off)+uintptr(n), m.page)
	return unsafe.Slice((*byte)(unsafe.Add(m.addr, first)), last-first)
}

// pagesOf returns the bytes from addr on, in whole pages, that the region has
// if it is n bytes long.
func (m *mapping) pagesOf(n int64) uintptr {
	if n == 0 {
		return 0
	}
	return roundUp(m.slack+uintptr(n), m.page)
}

// Resize grows or shrinks the region to n bytes, in place, and the file with
// it. Views and slices made before stay valid and keep their length; those that
// reach beyond a shrunken end fault with ErrTruncated from the next page on.
//
// Growing makes the file at least Offset+n bytes long, and its disk blocks are
// allocated as Create does: on a full disk nothing changes and the error says
// so. It does not cut a file that another process made longer before the call;
// what that wrote can then be read. Otherwise what is grown into reads as zero,
// but for what somebody stored beyond the file's end in its last page. Processes
// that grow a file at the same time must take turns, as with ftruncate(2);
// regions of one process do so by themselves. If it fails, the file has the size
// that it had.
//
// Shrinking gives the file Offset+n bytes, unless the region is a window: if,
// when it was mapped, refreshed or grown last, the file went on beyond its end,
// the file stays as it is. Anonymous memory grows and shrinks alike, and gives
// the memory back.
//
// An n beyond Cap is ErrRange. A region that cannot write the file cannot
// resize it either: ErrReadOnly.
func (r *Region) Resize(n int64) error {
	m := r.m
	defer runtime.KeepAlive(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.closedErr("resize"); err != nil {
		return err
	}
	if n < 0 || n > int64(m.cap) {
		return failf(ErrRange, "resize %s to %d bytes: %d are reserved (see Config.Reserve)", m.describe(), n, m.cap)
	}
	if Mode(m.mode.Load()) != ReadWrite {
		return failf(ErrReadOnly, "resize %s to %d bytes: region is %v", m.describe(), n, Mode(m.mode.Load()))
	}
	switch m.kind {
	case anonymous:
		return m.resizeAnonymous(n)
	case regularFile:
		return m.resizeFile(n)
	}
	return failf(errors.ErrUnsupported, "resize %s: only regular files and anonymous memory can grow", m.describe())
}

func (m *mapping) resizeFile(n int64) error {
	f, err := m.open()
	if err != nil {
		return err
	}
	// One at a time of the regions that share the file.
	f.resizing.Lock()
	defer f.resizing.Unlock()
	m.unsynced.CompareAndSwap(0, unsyncedSize)
	old := m.len.Load()
	if n < old {
		return m.shrinkFile(f, old, n)
	}
	size, err := f.size()
	if err != nil {
		return m.pathError("fstat", err)
	}
	if err := m.growFile(f, size, old, n); err != nil {
		// A file system may even have taken what there was to have.
		if now, sizeErr := f.size(); sizeErr == nil && size < now && now <= m.config.Offset+n {
			f.truncate(size)
		}
		return err
	}
	return nil
}

func (m *mapping) shrinkFile(f *descriptor, old, n int64) error {
	m.denied.Store(deniedBySize)
	m.len.Store(n)
	var err error
	if m.window {
		err = m.fence(n)
	} else if err = f.truncate(m.config.Offset + n); err != nil {
		err = m.pathError("ftruncate", err)
	}
	if err != nil {
		m.len.Store(old)
	}
	return err
}

// growFile makes sure that the file, which has size bytes, has those from old
// to n of the region, with disk blocks unless Sparse. It cuts nothing that
// others added, now or when the region shrinks.
func (m *mapping) growFile(f *descriptor, size, old, n int64) error {
	end := m.config.Offset + n
	allocated := m.config.Sparse || n == old
	if !allocated {
		err := f.allocate(m.config.Offset+old, n-old)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return m.pathError("fallocate", err)
		}
		if allocated = err == nil; allocated {
			size = max(size, end)
		}
	}
	if size < end {
		if err := f.truncate(end); err != nil {
			return m.pathError("ftruncate", err)
		}
	}
	if !allocated {
		if err := m.commit(n); err != nil {
			return err
		}
		if at, ok := m.touch(int(old), int(n-old), true); !ok {
			return failf(ErrIO, "resize %s to %d bytes: no space for the page at offset %d", m.describe(), n, at)
		}
	}
	if err := m.grown(old, n); err != nil {
		return err
	}
	m.window = size > end
	return nil
}

// grown publishes the bytes from old to n, once they are there.
func (m *mapping) grown(old, n int64) error {
	if n > old {
		if err := m.commit(n); err != nil {
			return err
		}
		if m.config.Lock {
			if err := m.lock(int(old), int(n-old)); err != nil {
				return err
			}
		}
	}
	m.len.Store(n)
	return nil
}

func (m *mapping) resizeAnonymous(n int64) error {
	old := m.len.Load()
	if n >= old {
		return m.grown(old, n)
	}
	m.denied.Store(deniedBySize)
	m.len.Store(n)
	// Grown into again, the bytes must read as zero: whole pages because they
	// are new ones, those that share a page with the new end because they are
	// cleared here.
	keep := min(int64(m.pagesOf(n)), old)
	catch(func() error { clear(m.bytes(int(n), int(keep-n))); return nil })
	if err := m.decommit(n); err != nil {
		m.len.Store(old)
		return err
	}
	return nil
}

// Refresh takes up the size that another process, or another region, gave the
// file: Len becomes the number of bytes that the file has from Offset on, at
// most Cap. If Len comes out at Cap the file may have more, which only another
// mapping with a larger Reserve can reach. Anonymous memory and devices have no
// other size to take up.
//
// A region without a descriptor (see Open) looks the file up by its name; if
// that is gone or names another file by now, or the file never had one,
// Refresh returns the error.
func (r *Region) Refresh() error {
	m := r.m
	defer runtime.KeepAlive(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.closedErr("refresh"); err != nil {
		return err
	}
	if m.kind != regularFile {
		return nil
	}
	size, err := m.fileSize()
	if err != nil {
		return err
	}
	old := m.len.Load()
	n := min(max(size-m.config.Offset, 0), int64(m.cap))
	m.window = size > m.config.Offset+n
	if n > old {
		return m.grown(old, n)
	}
	m.len.Store(n)
	return nil
}

// fileSize returns the size in bytes that the file has now. The caller holds mu.
func (m *mapping) fileSize() (int64, error) {
	if m.file != nil {
		size, err := m.file.size()
		if err != nil {
			return 0, m.pathError("fstat", err)
		}
		return size, nil
	}
	fi, err := os.Stat(m.path)
	if err != nil {
		return 0, err
	}
	if identify(fi) != m.id {
		return 0, failf(os.ErrNotExist, "find the size of %s: the name belongs to another file now", m.name)
	}
	return fi.Size(), nil
}

// open returns the file for writing. The caller holds mu for writing.
func (m *mapping) open() (*descriptor, error) {
	if m.file != nil {
		return m.file, nil
	}
	f, err := os.OpenFile(m.path, os.O_RDWR|openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if identify(fi) != m.id {
		return nil, failf(os.ErrNotExist, "open %s again: the name belongs to another file now", m.name)
	}
	m.file, err = holdDescriptor(m.id, f)
	return m.file, err
}

// Sync makes the whole region durable: when it returns nil, every store before
// the call, the file's size and, if Create made the file, its name, survive a
// loss of power as far as the system and the disk promise it (msync(2) with
// MS_SYNC, fsync(2)). If the file is now shorter than the region, so that stores
// were lost, it returns ErrTruncated, although msync itself reports success. It
// does not notice that a file was cut and extended again. A region that Protect
// made ReadWrite finds its file by name, and cannot promise anything of one that
// is gone: Sync then returns the error. CopyOnWrite regions and anonymous memory have nothing to make durable. If
// Close happens meanwhile, the error is ErrClosed and durability is unknown.
func (r *Region) Sync() error { return r.sync("sync", 0, -1) }

// SyncRange is Sync for the n bytes at off; the pages that hold them are
// written whole.
func (r *Region) SyncRange(off, n int) error {
	if err := r.m.within("sync", off, n); err != nil {
		return err
	}
	return r.sync("sync", off, n)
}

// sync makes n bytes at off durable, all of the region if n < 0.
func (r *Region) sync(op string, off, n int) error {
	m := r.m
	defer runtime.KeepAlive(r)
	if n < 0 {
		n = int(m.len.Load())
	}
	if err := m.closedErr(op); err != nil {
		return err
	}
	if m.private() {
		return nil
	}
	// Not under mu: writing back may take seconds, and Close must not wait.
	if n > 0 {
		if err := syncPages(m.pages(off, n)); err != nil {
			return m.pathError("msync", err)
		}
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.closedErr(op); err != nil {
		return err
	}
	if m.kind != regularFile || !m.storable.Load() {
		return nil
	}
	if err := m.syncMetadata(); err != nil {
		return err
	}
	size, err := m.fileSize()
	if err != nil {
		return err
	}
	end := m.config.Offset + min(int64(off+n), m.len.Load())
	if size < end {
		return failf(ErrTruncated, "%s %d bytes at offset %d of %s: the file has only %d bytes now", op, n, off, m.describe(), size)
	}
	return nil
}

// syncMetadata makes durable what msync does not promise: a changed size, and
// the directory entry of a new file (fsync(2), DESCRIPTION).
func (m *mapping) syncMetadata() error {
	what := m.unsynced.Load()
	if what == 0 {
		return nil
	}
	if err := m.file.sync(); err != nil {
		return m.pathError("fsync", err)
	}
	if what == unsyncedName {
		if err := m.syncName(); err != nil {
			return err
		}
	}
	m.unsynced.CompareAndSwap(what, 0)
	return nil
}

// syncName makes the file's name durable: its directory, or all of the file
// system if the directory cannot be opened or the name is not the file's any more.
func (m *mapping) syncName() error {
	if name, err := filepath.EvalSymlinks(m.path); err == nil {
		if fi, err := os.Stat(name); err == nil && identify(fi) == m.id {
			if d, err := os.Open(filepath.Dir(name)); err == nil {
				defer d.Close()
				return syncDirectory(d)
			}
		}
	}
	if err := m.file.syncFileSystem(); err != nil {
		return m.pathError("syncfs", err)
	}
	return nil
}

// Flush starts writing the pages that hold the n bytes at off back to the
// file, and does not wait for it (sync_file_range(2); msync(2) with MS_ASYNC
// does nothing on Linux). It makes nothing durable: only Sync does.
func (r *Region) Flush(off, n int) error {
	m := r.m
	defer runtime.KeepAlive(r)
	if err := m.within("flush", off, n); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.file == nil || n == 0 {
		return m.closedErr("flush")
	}
	if err := m.file.startWriteback(m.config.Offset+int64(off), int64(n)); err != nil {
		return m.pathError("sync_file_range", err)
	}
	return nil
}

// Protect changes what may be done with the bytes. ReadOnly turns later stores
// through Bytes, Slice and Ptr, and through views made while it was writable,
// into faults with ErrReadOnly; it is a guard against one's own mistakes and
// takes effect for all goroutines at once. A region can go back to the mode it
// was mapped with; a ReadOnly one can become ReadWrite if its file was open for
// writing when it was mapped (otherwise the system refuses). Between ReadWrite
// and CopyOnWrite there is no way: ErrUnsupported.
//
// A view made while the region was read-only stays unable to store.
func (r *Region) Protect(mode Mode) error {
	m := r.m
	defer runtime.KeepAlive(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.closedErr("protect"); err != nil {
		return err
	}
	private := m.private() && m.kind != anonymous
	if mode < ReadOnly || mode > CopyOnWrite || mode == ReadWrite && private || mode == CopyOnWrite && !private {
		return failf(errors.ErrUnsupported, "protect %s as %v: it was mapped %v", m.describe(), mode, m.config.Mode)
	}
	// A method must not find a mode that the pages do not have yet: access
	// that goes is said before, access that comes after.
	old := m.mode.Load()
	if mode == ReadOnly {
		m.denied.Store(deniedByMode)
		m.mode.Store(int32(mode))
	}
	if err := m.protect(mode); err != nil {
		m.mode.Store(old)
		return err
	}
	if mode != ReadOnly {
		m.mode.Store(int32(mode))
		m.storable.Store(true)
		m.writable = time.Now()
	}
	if mode == ReadWrite && m.kind == regularFile {
		m.open() // for Resize; if it cannot be had, Resize says why
	}
	return nil
}

func (m *mapping) pathError(op string, err error) error {
	return &os.PathError{Op: op, Path: m.name, Err: err}
}
