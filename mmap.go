// Package mmap maps files, devices and memory, and views the mapped bytes as
// typed values, in place.
//
// A [Region] owns a mapping. [Open], [Create], [Map] and [Anonymous] make one;
// [Config] has every option of mmap(2). Views of it read and write values in the
// mapped bytes themselves, at the speed of a slice and without a copy: [View] in
// the machine's byte order, [BigEndian] and [LittleEndian] in that of a file
// format, [AtomicView] for memory that others share.
//
//	r, err := mmap.Open("log.txt", mmap.ReadWrite)
//	if err != nil {
//		return err
//	}
//	defer r.Close()
//	v, err := mmap.ViewOf[int32](r, 0, mmap.ToEnd)
//	if err != nil {
//		return err
//	}
//	v.Set(0, v.At(0)+1)
//	return r.Sync()
//
// Mapped memory breaks rules that Go programs rely on: it can vanish, change by
// itself, and outlive or be outlived by what points to it. The rest of this page
// says what this package promises about that, kind by kind.
//
// # Bounds
//
// A view is checked once, when it is made: it lies within its region, and its
// length does not change. Every index is checked against that length, and a bad
// one panics, as for a slice. Methods that take offsets return [ErrRange] instead.
// No arithmetic on offsets and lengths overflows unnoticed.
//
// # Lifetime
//
// A region never moves. Its address is fixed from Map on, and it grows inside
// address space that [Config.Reserve] held for it, so views made before
// [Region.Resize] are valid after it.
//
// Nothing stale reads foreign data. [Region.Close] replaces the mapping, in one
// step, by address space that nothing can access, and keeps that until no Region
// and no view is left that could reach it, and every Guard is over that may have
// to ask about it. So an access after or during Close faults, and never sees what
// was mapped there next. A Region that becomes unreachable without Close is
// unmapped by the garbage collector, though at no particular time. (A single Guard
// that goes on while more than 16384 regions are collected, or 32 TiB of them on
// most 64-bit machines, 1 GiB on 32-bit ones, holds back only the newest.)
//
// Raw memory, which is what [Region.Bytes], [View.Slice] and [View.Ptr] return,
// is invisible to the collector. It does not keep its Region alive, so:
//
//   - Once raw memory of a region was handed out, only Close unmaps it, ever.
//   - After Close its address space stays inaccessible for as long as the Region
//     or a view is reachable, and then in a quarantine of bounded size (4096
//     mappings, and 8 TiB on most 64-bit machines, 256 MiB on 32-bit ones), which
//     the oldest leave first. Only a slice used after even that may meet memory
//     of something else. Do not keep one beyond Close.
//
// # Alignment
//
// Offsets of files, regions, Sync and Populate are in bytes and may have any
// value; pages are the package's affair. The elements of a View and an AtomicView
// must be aligned to their size, on every machine alike, and making a view checks
// it ([ErrAlignment]); BigEndian, LittleEndian, [Get] and [Put] take any
// alignment. What types a view accepts have the same bytes on every machine of
// the same byte order: see [StructViewOf].
//
// # Faults
//
// An access that the system cannot serve is a fault: the file was cut, the region
// closed or read-only, the device broken, the disk full. Every function that
// returns an error turns it into one: a [*FaultError], which says where and why.
// [Guard] does the same for any code, such as loops over views and slices. A
// fault elsewhere ends the process.
//
//	err := mmap.Guard(func() error {
//		for i, x := range v.All() {
//			...
//		}
//		return nil
//	})
//
// Faults are found page by page. When a file is cut in the middle of a page, the
// rest of that page reads as zero, and what is stored there is lost; both without
// a fault (mmap(2), NOTES). [Region.Sync] notices and says [ErrTruncated].
//
// Only accesses that the compiler makes can fault: it may leave out a load whose
// result is not used.
//
// # Threads
//
// Every method of a Region may be called at any time from any goroutine. Close
// does not wait for the others; they return ErrClosed. Views are values and may
// be copied and shared. Accesses to the same bytes follow the rules of Go's memory
// model as for any memory: where two happen at a time, and one is a store, use an
// AtomicView, or a lock. Close, Resize, Refresh and Protect count as neither.
//
// The race detector does not see mapped memory. It reports no race in it, and
// takes no order from atomic operations in it: data that they publish in ordinary
// memory can be reported although there is no race. Prove concurrent code by the
// outcomes of tests.
//
// # Other processes
//
// Stores to a ReadWrite region are at once what every other process reads from
// the file, mapped or not. Another process may cut the file (a fault, see above),
// extend it ([Region.Refresh] takes that up), or change bytes between two loads of
// the same value: copy first what must not change between check and use. Locks
// are advisory and not this package's; see flock(2). Nothing is durable before
// Sync returns nil.
package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"
)

// Mode says what may be done with the bytes of a region.
type Mode int

const (
	// ReadOnly regions can be read. Stores are errors or panics, never silent.
	ReadOnly Mode = iota

	// ReadWrite regions share their stores with the file and with every other
	// process that maps it (MAP_SHARED).
	ReadWrite

	// CopyOnWrite regions can be stored to; the stores stay private to the
	// region and never reach the file (MAP_PRIVATE). Whether a later change
	// of the file shows in pages not yet stored to is unspecified: mmap(2).
	CopyOnWrite
)

// String returns the name of the constant.
func (m Mode) String() string {
	switch m {
	case ReadOnly:
		return "ReadOnly"
	case ReadWrite:
		return "ReadWrite"
	case CopyOnWrite:
		return "CopyOnWrite"
	}
	return "Mode(" + strconv.Itoa(int(m)) + ")"
}

// HugePages chooses the size of the pages that back a region.
type HugePages int

const (
	// NoHugePages asks for nothing: the system's default applies.
	NoHugePages HugePages = iota

	// TransparentHugePages lets the kernel use huge pages where it can
	// (MADV_HUGEPAGE). It is a hint.
	TransparentHugePages

	// HugePages2M and HugePages1G take pages of exactly this size from the
	// system's pool (MAP_HUGETLB), for Anonymous memory. A file on hugetlbfs
	// has huge pages without asking.
	HugePages2M
	HugePages1G
)

// Config holds every option of a mapping. The zero Config maps a whole file
// read-only; the functions Open, Create, Map and Anonymous are its methods.
//
// Together the fields say all that mmap(2) can be told: addr is Addr, length
// is Length, prot is Mode and Exec, flags is Mode, HugePages and Flags, fd is
// the file, and offset is Offset.
type Config struct {
	// Mode is the access asked for. Create and Anonymous do not use it: their
	// regions are ReadWrite.
	Mode Mode

	// Offset is the first byte of the file to map, in bytes. It need not be a
	// multiple of the page size: the region begins at exactly this byte. It
	// must be 0 for Anonymous.
	Offset int64

	// Length is the number of bytes to map; 0 means from Offset to the end of
	// the file. A device has no end, so it needs one.
	Length int64

	// Reserve is the address space to hold for growth, in bytes: what Cap
	// reports and Resize and Refresh can reach. Less than Length means Length.
	// It costs neither memory nor disk until it is grown into. Only regular
	// files and anonymous memory can grow.
	Reserve int64

	// Addr, unless 0, is the address that the region's first byte must have.
	// It must have the same remainder as Offset when divided by the page
	// size. Mapping fails, and changes nothing, if any of the address space is
	// taken; page 0, which nil points into, always is.
	Addr uintptr

	// Populate faults every page in before the mapping is returned, and
	// reports what could not be.
	Populate bool

	// Lock keeps the pages in memory, as mlock(2) does; RLIMIT_MEMLOCK
	// applies. What Resize and Refresh add is locked as well.
	Lock bool

	// HugePages chooses the size of the pages.
	HugePages HugePages

	// Sparse makes Create and Resize leave disk blocks unallocated until they
	// are stored to. A store on a full disk is then a fault with ErrIO, where
	// without Sparse Create or Resize would have failed.
	Sparse bool

	// Exec makes the memory executable too.
	Exec bool

	// Perm is the mode of a file that Create makes, before umask; 0 means
	// 0o600.
	Perm fs.FileMode

	// Flags are further flags of mmap(2), such as unix.MAP_SYNC. Those that
	// contradict the other fields are errors.ErrUnsupported: MAP_FIXED and
	// MAP_FIXED_NOREPLACE (no mapping is ever taken by force; say Addr),
	// MAP_ANONYMOUS with a file, MAP_PRIVATE with ReadWrite, MAP_SHARED with
	// CopyOnWrite.
	Flags int
}

// Open maps the whole of the existing file name. It is Config{Mode: mode}.Open(name).
func Open(name string, mode Mode) (*Region, error) { return Config{Mode: mode}.Open(name) }

// Create makes the file name, or empties the one that is there, gives it size
// bytes of zeros with their disk blocks allocated, and maps it ReadWrite. It
// is Config{}.Create(name, size).
func Create(name string, size int64) (*Region, error) { return Config{}.Create(name, size) }

// Map maps the whole of an open file, which may be closed afterwards. It is
// Config{Mode: mode}.Map(f).
func Map(f *os.File, mode Mode) (*Region, error) { return Config{Mode: mode}.Map(f) }

// Anonymous maps size bytes of zeroed memory that no file backs, ReadWrite. It
// is Config{}.Anonymous(size).
func Anonymous(size int64) (*Region, error) { return Config{}.Anonymous(size) }

// Open maps the existing file or device name as c says.
//
// An empty file gives a region of Len 0, and so does one that says it is, such
// as those of proc(5). The error is an *fs.PathError if a system call fails, and
// wraps ErrRange if Offset and Length do not lie within a regular file. A region
// that can only be read keeps no descriptor; the ReadWrite regions of one file
// share one, which lasts until the last is closed.
func (c Config) Open(name string) (*Region, error) {
	if err := c.check(name, regularFile); err != nil {
		return nil, err
	}
	flag := os.O_RDONLY
	if c.Mode == ReadWrite {
		flag = os.O_RDWR
	}
	f, err := os.OpenFile(name, flag|openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return c.Map(f)
}

// Create makes the file name, or empties the one that is there, gives it size
// bytes of zeros, and maps it ReadWrite as c says; Offset and Length choose
// the part of it to map. Unless c.Sparse, its disk blocks are allocated first,
// by fallocate(2): on a full disk Create fails at once. Where the file system
// has no fallocate, the pages are faulted in for writing instead, which makes
// it allocate them.
//
// If Create fails, a file that it made is gone again, and one that was there
// is empty. The first Sync of the region also makes the file's name durable.
func (c Config) Create(name string, size int64) (*Region, error) {
	c.Mode = ReadWrite
	if err := c.check(name, regularFile); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, failf(ErrRange, "create %s: size %d is negative", name, size)
	}
	if _, _, err := c.extent(name, size); err != nil {
		return nil, err
	}
	perm := c.Perm
	if perm == 0 {
		perm = 0o600
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|openFlags, perm)
	made := name
	if errors.Is(err, fs.ErrExist) {
		made = ""
		f, err = os.OpenFile(name, os.O_RDWR|os.O_TRUNC|openFlags, 0)
		if errors.Is(err, fs.ErrNotExist) { // a symbolic link to what is not there yet
			f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC|openFlags, perm)
			made, _ = filepath.EvalSymlinks(name)
		}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := c.fill(f, name, size)
	if err != nil {
		if made != "" {
			os.Remove(made)
		} else {
			f.Truncate(0)
		}
		return nil, err
	}
	r.m.unsynced.Store(unsyncedName)
	return r, nil
}

// fill gives the empty file f its size and maps it.
func (c Config) fill(f *os.File, name string, size int64) (*Region, error) {
	var allocErr error
	if c.Sparse {
		if err := f.Truncate(size); err != nil {
			return nil, err
		}
	} else if size > 0 {
		allocErr = control(f, func(h handle) error { return h.allocate(0, size) })
	}
	if errors.Is(allocErr, errors.ErrUnsupported) {
		if err := f.Truncate(size); err != nil {
			return nil, err
		}
	} else if allocErr != nil {
		return nil, &fs.PathError{Op: "fallocate", Path: name, Err: allocErr}
	}
	r, err := c.Map(f)
	if err != nil {
		return nil, err
	}
	if allocErr != nil {
		if at, ok := r.m.touch(0, r.Len(), true); !ok {
			r.Close()
			return nil, failf(ErrIO, "create %s with %d bytes: no space for the page at offset %d", name, size, at)
		}
	}
	return r, nil
}

// Map maps the open file or device f as c says. The region does not need f
// afterwards: f may be closed. Its mode must allow what c.Mode asks.
//
// A ReadWrite region of a regular file keeps a descriptor of its own, a
// duplicate of f unless another region of the same file has one already. As
// with any descriptor, closing it (which Close of the last region does)
// releases the process's fcntl(2) record locks on the file, and a flock(2) lock
// taken through f lasts until then.
func (c Config) Map(f *os.File) (*Region, error) {
	name := f.Name()
	if err := c.check(name, regularFile); err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	kind := regularFile
	if !fi.Mode().IsRegular() {
		kind = device
	}
	if kind == device && c.Length == 0 {
		if fi.Mode()&fs.ModeDevice != 0 {
			return nil, failf(ErrRange, "map %s: a device has no size of its own: Length is needed", name)
		}
		c.Length = 1 // a directory, pipe or socket: let the system say what is wrong
	}
	size := fi.Size()
	if kind == device {
		size = math.MaxInt64
		if c.Reserve > c.Length {
			return nil, failf(errors.ErrUnsupported, "map %s with %d bytes reserved: only regular files and anonymous memory can grow", name, c.Reserve)
		}
	}
	length, reserve, err := c.extent(name, size)
	if err != nil {
		return nil, err
	}
	window := kind == regularFile && size > c.Offset+length
	path := name
	if abs, err := filepath.Abs(name); err == nil {
		path = abs
	}
	return c.place(&mapping{name: name, path: path, kind: kind, id: identify(fi), window: window}, f, length, reserve)
}

// Anonymous maps size bytes of zeroed memory that no file backs, ReadWrite
// and private to the process, as c says.
func (c Config) Anonymous(size int64) (*Region, error) {
	const name = "anonymous memory"
	c.Mode = ReadWrite
	if err := c.check(name, anonymous); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, failf(ErrRange, "map %d bytes of %s: size is negative", size, name)
	}
	if c.Offset != 0 || (c.Length != 0 && c.Length != size) {
		return nil, failf(ErrRange, "map %d bytes of %s: Offset %d and Length %d are for files", size, name, c.Offset, c.Length)
	}
	length, reserve, err := c.extent(name, size)
	if err != nil {
		return nil, err
	}
	return c.place(&mapping{name: name, kind: anonymous}, nil, length, reserve)
}

// check refuses what no file could satisfy, before any system call.
func (c Config) check(name string, k kind) error {
	switch {
	case c.Mode < ReadOnly || c.Mode > CopyOnWrite:
		return failf(errors.ErrUnsupported, "map %s: there is no %v", name, c.Mode)
	case c.HugePages < NoHugePages || c.HugePages > HugePages1G:
		return failf(errors.ErrUnsupported, "map %s: there is no HugePages(%d)", name, c.HugePages)
	case c.Offset < 0 || c.Length < 0 || c.Reserve < 0:
		return failf(ErrRange, "map %s: Offset %d, Length %d, Reserve %d: negative", name, c.Offset, c.Length, c.Reserve)
	case c.Length > math.MaxInt64-c.Offset:
		return failf(ErrRange, "map %d bytes at offset %d of %s: the sum overflows", c.Length, c.Offset, name)
	case c.Length > maxSpace || c.Reserve > maxSpace:
		return failf(ErrRange, "map %s: Length %d, Reserve %d: more than the address space", name, c.Length, c.Reserve)
	}
	return c.checkFlags(name, k)
}

// extent decides how many bytes of a file of the given size to map, and how
// many to reserve.
func (c Config) extent(name string, size int64) (length, reserve int64, err error) {
	length = c.Length
	if length == 0 {
		length = size - c.Offset
	}
	if c.Offset > size && c.Length == 0 {
		return 0, 0, failf(ErrRange, "map %s from offset %d on: the file has %d bytes", name, c.Offset, size)
	}
	if c.Offset > size || length > size-c.Offset {
		return 0, 0, failf(ErrRange, "map %d bytes at offset %d of %s: the file has %d bytes", c.Length, c.Offset, name, size)
	}
	if length > maxSpace {
		return 0, 0, failf(ErrRange, "map %d bytes at offset %d of %s: more than the address space", length, c.Offset, name)
	}
	return length, max(length, c.Reserve), nil
}

// place maps what was decided and makes the Region.
//
// One mapping covers the whole reservation from the start. A shared mapping of
// a file may lie beyond the file's end: its pages come to life when the file
// grows (mmap(2), NOTES), so growth needs no call but the one that extends the
// file. Private pages count against the system's memory as soon as they are
// writable, so those beyond length stay inaccessible until committed.
func (c Config) place(m *mapping, f *os.File, length, reserve int64) (*Region, error) {
	page, err := c.pageSize(f)
	if err != nil {
		return nil, err
	}
	slack := c.Offset % page
	if reserve > maxSpace-slack-page {
		return nil, failf(ErrRange, "map %d bytes at offset %d of %s: more than the address space", reserve, c.Offset, m.name)
	}
	if c.Addr != 0 && int64(c.Addr%uintptr(page)) != slack {
		return nil, failf(ErrAlignment, "map offset %d of %s at address %#x: not the same remainder by the page size of %d bytes", c.Offset, m.name, c.Addr, page)
	}
	if c.Addr != 0 && int64(c.Addr) == slack {
		return nil, failf(ErrRange, "map %s at address %#x: page 0 is where a nil pointer points", m.name, c.Addr)
	}
	m.config = c
	m.page = uintptr(page)
	m.slack = uintptr(slack)
	m.cap = int(reserve)
	m.mode.Store(int32(c.Mode))
	m.storable.Store(c.Mode != ReadOnly)
	if reserve > 0 {
		m.size = roundUp(uintptr(slack+reserve), m.page)
		if err := m.mapPages(f, length); err != nil {
			return nil, err
		}
	} else if f != nil {
		if err := control(f, func(h handle) error { return h.checkAccess(c.Mode) }); err != nil {
			return nil, m.pathError("mmap", err)
		}
	}
	m.len.Store(length)
	r := m.newRegion()
	if err := m.settle(f); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// settle does what is asked of fresh pages, and keeps the descriptor that
// growth will need.
func (m *mapping) settle(f *os.File) error {
	if m.config.HugePages == TransparentHugePages && m.size > 0 {
		if err := adviseHuge(m); err != nil {
			return err
		}
	}
	n := int(m.len.Load())
	if m.config.Populate {
		if err := m.populate(0, n); err != nil {
			return err
		}
	}
	if m.config.Lock {
		if err := m.lock(0, n); err != nil {
			return err
		}
	}
	if m.kind == regularFile && m.config.Mode == ReadWrite {
		d, err := holdDescriptor(m.id, f)
		if err != nil {
			return err
		}
		m.file = d
	}
	return nil
}

// pageSize returns the size in bytes of the pages that will back the mapping.
func (c Config) pageSize(f *os.File) (int64, error) {
	switch {
	case c.HugePages == HugePages2M:
		return 2 << 20, nil
	case c.HugePages == HugePages1G:
		return 1 << 30, nil
	case f != nil:
		return filePageSize(f)
	}
	return int64(os.Getpagesize()), nil
}

func roundUp(n, page uintptr) uintptr { return (n + page - 1) &^ (page - 1) }

// describe names the file, and where in it the region begins, for messages.
func (m *mapping) describe() string {
	if m.config.Offset == 0 {
		return m.name
	}
	return fmt.Sprintf("%s from byte %d", m.name, m.config.Offset)
}

// at returns the address of byte off of the region.
func (m *mapping) at(off int) unsafe.Pointer { return unsafe.Add(m.base, off) }
