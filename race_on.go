//go:build race

package mmap

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// The race detector knows ordinary Go memory only. So a file has a mirror: ordinary
// memory of which each byte stands for one of the file's. What is done to a mapped
// byte is reported of its stand-in, and the detector finds races as it does
// elsewhere. Here stands which mirror is whose, and in which order things are
// reported. A mirror may hide a race. It must never invent one.
//
// # Which mirror
//
// A region has two, which are one and the same as a rule.
//
//   - bytes is for plain accesses. Regions share it only if it is certain that they
//     map one file: if they were mapped from one *os.File, or have a file with an id
//     that no other file has (see handle.hasOwnID). A region that copies on write,
//     memory and a block device have one of their own. Of a device there is none.
//   - flags is for the order that AtomicViews make. Regions share it if they may map
//     one file: the id is the same. Where two files have one id, there is more order
//     than should be. All devices together have one flag: one memory may be
//     reached through several of them, at different offsets.
//
// A region holds its mirrors while its mapping holds the file, so that no other file
// can have the id meanwhile. It gives them back before that. The last to do so gives
// the memory back; the next file with that id begins with a new one.
//
// # Order of reports
//
// A plain access is reported after it was made: then one that faults is none. Nothing
// is acquired or released in between. An atomic store is reported and releases before
// it is made: whoever loads its value acquires that. An atomic load acquires and is
// reported after it was made. To acquire or release a little more than was seen is to
// hide a race; less would be to invent one. So all who store release by merging.
//
// None of this may be seen by the detector itself, or would put the accesses in
// order. So what looks for a stand-in is not instrumented (go:norace), loads without
// sync/atomic, and locks where the detector is told to look away (RaceDisable). A
// load of a pointer and a load through it need nothing more on any processor that
// the detector runs on.

const raceEnabled = true

const (
	// raceBlock is how many bytes of a file get their stand-ins at a time.
	raceBlock = 64 << 10

	// raceBlocks bounds the stand-ins of the process: to 64 MiB, for which the
	// detector takes up to three times as much again. The last quarter is for
	// AtomicViews only. Plain accesses beyond are not checked. Integers of AtomicViews
	// beyond share stand-ins.
	raceBlocks      = 1024
	racePlainBlocks = raceBlocks / 4 * 3
)

// raceMirrors are those of one region. Nil ones do not check.
type raceMirrors struct{ bytes, flags *mirror }

// A mirror has the stand-ins of one file.
type mirror struct {
	key  mirrorKey
	seed uint64
	refs int // under mirrors.mu

	// Stored under raceMemory.mu, loaded anywhere.
	blocks *raceBlockTable
	count  int
	full   bool // it has no block more, ever, so that an integer keeps its stand-in
}

// A mirrorKey says whose a mirror is. The zero key is that of nobody else.
type mirrorKey struct {
	id   fileID
	file *os.File // where the id alone does not tell
}

// A raceStandIn is a block of stand-ins.
type raceStandIn struct {
	number int64 // of the block in the file
	bytes  *[raceBlock]byte
}

// A raceBlockTable is a hash table that is never more than half full.
type raceBlockTable []*raceStandIn

var mirrors = struct {
	mu  sync.Mutex // a leaf
	of  map[mirrorKey]*mirror
	all uint64 // ever made
}{of: make(map[mirrorKey]*mirror)}

var raceMemory struct {
	mu     sync.Mutex // a leaf, which the detector does not see
	blocks int        // of all mirrors
}

// strangers are what integers without a stand-in of their own share, by hash.
var strangers [1 << strangersBits]uint64

const strangersBits = 14

// join gives m its mirrors. The file is open, and mapped already.
func (s *raceMirrors) join(m *mapping, hasOwnID bool) {
	mirrors.mu.Lock()
	defer mirrors.mu.Unlock()
	switch {
	case m.kind == memory:
		s.bytes = holdMirror(mirrorKey{})
		s.flags = s.bytes
		s.flags.refs++
		return
	case m.kind == device:
		return
	}
	id := m.file.inode.id
	s.flags = holdMirror(mirrorKey{id: id})
	switch borrowed := m.file.borrowed; {
	case m.request.private || m.kind != regular || !hasOwnID && borrowed == nil:
		s.bytes = holdMirror(mirrorKey{})
	case hasOwnID:
		s.bytes = holdMirror(mirrorKey{id: id})
	default:
		s.bytes = holdMirror(mirrorKey{id, borrowed})
	}
}

// holdMirror returns the mirror with a key, until it is released. The caller holds
// mirrors.mu.
func holdMirror(key mirrorKey) *mirror {
	f := mirrors.of[key]
	if f == nil {
		mirrors.all++
		f = &mirror{key: key, seed: scrambled(mirrors.all)}
		if key != (mirrorKey{}) {
			mirrors.of[key] = f
		}
	}
	f.refs++
	return f
}

// leave gives the mirrors back, if that was not done before. The caller holds mu of
// the mapping, or is alone.
func (s *raceMirrors) leave() {
	for _, f := range s.take() {
		if f != nil && f.release() {
			f.drop()
		}
	}
}

//go:norace
func (s *raceMirrors) take() (all [2]*mirror) {
	all = [2]*mirror{s.bytes, s.flags}
	s.bytes, s.flags = nil, nil
	return all
}

// release ends a hold of f, and reports whether it was the last.
func (f *mirror) release() (last bool) {
	mirrors.mu.Lock()
	defer mirrors.mu.Unlock()
	f.refs--
	if f.refs == 0 && mirrors.of[f.key] == f {
		delete(mirrors.of, f.key)
	}
	return f.refs == 0
}

// drop gives the memory back. Accesses in progress may still report to it, which
// concerns nobody any more.
//
//go:norace
func (f *mirror) drop() {
	runtime.RaceDisable()
	raceMemory.mu.Lock()
	raceMemory.blocks -= f.count
	f.blocks, f.count, f.full = nil, 0, true
	raceMemory.mu.Unlock()
	runtime.RaceEnable()
}

// block returns the block with a number, nil if the process has as many as most
// already.
//
//go:norace
func (f *mirror) block(number int64, most int) *raceStandIn {
	b := f.blocks.find(number)
	if b != nil || f.full || raceMemory.blocks >= most && most < raceBlocks {
		return b
	}
	runtime.RaceDisable()
	raceMemory.mu.Lock()
	if b = f.blocks.find(number); b == nil && !f.full {
		switch {
		case raceMemory.blocks < most:
			b = &raceStandIn{number, new([raceBlock]byte)}
			f.add(b)
		case most == raceBlocks:
			f.full = true
		}
	}
	raceMemory.mu.Unlock()
	runtime.RaceEnable()
	return b
}

// add publishes a block. The caller holds raceMemory.mu.
//
//go:norace
func (f *mirror) add(b *raceStandIn) {
	raceMemory.blocks++
	f.count++
	if 2*f.count <= len(f.blocks.cells()) {
		f.blocks.put(b)
		return
	}
	grown := make(raceBlockTable, max(8, 2*len(f.blocks.cells())))
	for _, old := range f.blocks.cells() {
		if old != nil {
			grown.put(old)
		}
	}
	grown.put(b)
	atomic.StorePointer((*unsafe.Pointer)(unsafe.Pointer(&f.blocks)), unsafe.Pointer(&grown))
}

// cells are those of a table, which may be nil.
//
//go:norace
func (t *raceBlockTable) cells() []*raceStandIn {
	if t == nil {
		return nil
	}
	return *t
}

//go:norace
func (t *raceBlockTable) put(b *raceStandIn) {
	atomic.StorePointer((*unsafe.Pointer)(unsafe.Pointer(t.cell(b.number))), unsafe.Pointer(b))
}

//go:norace
func (t *raceBlockTable) find(number int64) *raceStandIn {
	if t == nil {
		return nil
	}
	return *t.cell(number)
}

// cell returns the place of the block with a number, or where it belongs.
//
//go:norace
func (t *raceBlockTable) cell(number int64) **raceStandIn {
	last := uint64(len(*t) - 1)
	for i := scrambled(uint64(number)) >> 32; ; i++ {
		cell := &(*t)[i&last]
		if b := *cell; b == nil || b.number == number {
			return cell
		}
	}
}

// fileOffset is where in the file the byte at p is.
//
//go:norace
func (m *mapping) fileOffset(p unsafe.Pointer) int64 {
	return m.offset + int64(uintptr(p)-uintptr(m.base))
}

// standIn returns the stand-in of the byte at p, nil if it has none, and for how many
// of the n bytes from there on that holds.
//
//go:norace
func (m *mapping) standIn(p unsafe.Pointer, n int) (unsafe.Pointer, int) {
	f := m.race.bytes
	if f == nil {
		return nil, n
	}
	off := m.fileOffset(p)
	in := int(off % raceBlock)
	n = min(n, raceBlock-in)
	b := f.block(off/raceBlock, racePlainBlocks)
	if b == nil {
		return nil, n
	}
	return unsafe.Pointer(&b.bytes[in]), n
}

// flag returns what stands for the integer of 32 bits at p where goroutines put
// themselves in order: the second byte of its stand-in. The first is where atomic
// accesses are reported by functions of sync/atomic, which have an order of their own
// there.
//
//go:norace
func (m *mapping) flag(p unsafe.Pointer) unsafe.Pointer {
	f := m.race.flags
	if f == nil {
		return unsafe.Pointer(&strangers[0])
	}
	off := m.fileOffset(p)
	b := f.block(off/raceBlock, raceBlocks)
	if b == nil {
		return unsafe.Pointer(&strangers[scrambled(f.seed+uint64(off/4))>>(64-strangersBits)])
	}
	return unsafe.Pointer(&b.bytes[off%raceBlock+1])
}

// raceRead reports that n bytes at p, of a region of o, were loaded. It is
// instrumented, so that the report shows its caller.
func raceRead(o *owner, p unsafe.Pointer, n int) {
	for n > 0 {
		at, k := o.standIn(p, n)
		if at != nil {
			runtime.RaceReadRange(at, k)
		}
		if n -= k; n > 0 { // or unsafe.Add would be checked, and take longer than the rest
			p = unsafe.Add(p, k)
		}
	}
}

// raceWrite reports that n bytes at p were stored.
func raceWrite(o *owner, p unsafe.Pointer, n int) {
	for n > 0 {
		at, k := o.standIn(p, n)
		if at != nil {
			runtime.RaceWriteRange(at, k)
		}
		if n -= k; n > 0 {
			p = unsafe.Add(p, k)
		}
	}
}

// raceAcquire and raceRelease are of the integer of size bytes at p. One of 64 bits
// may be stored whole and loaded by halves: it is two flags.

func raceAcquire(o *owner, p unsafe.Pointer, size uintptr) {
	runtime.RaceAcquire(o.flag(p))
	if size == 8 {
		runtime.RaceAcquire(o.flag(unsafe.Add(p, 4)))
	}
}

func raceRelease(o *owner, p unsafe.Pointer, size uintptr) {
	runtime.RaceReleaseMerge(o.flag(p))
	if size == 8 {
		runtime.RaceReleaseMerge(o.flag(unsafe.Add(p, 4)))
	}
}

// raceLoaded puts an atomic load of size bytes at p in order, and reports it: it
// races with plain stores.
func raceLoaded(o *owner, p unsafe.Pointer, size uintptr) {
	raceAcquire(o, p, size)
	switch at, _ := o.standIn(p, int(size)); {
	case at == nil:
	case size == 4:
		atomic.LoadUint32((*uint32)(at))
	default:
		atomic.LoadUint64((*uint64)(at))
	}
}

// raceStoring reports an atomic store that is about to be made, and puts it in order.
// It faults if the store would. The stand-in is always 0. To the detector, a
// CompareAndSwap that fails is an access that stores, and releases nothing.
func raceStoring[T AtomicInteger](o *owner, p unsafe.Pointer) {
	atomicOr(p, T(0))
	size := unsafe.Sizeof(T(0))
	switch at, _ := o.standIn(p, int(size)); {
	case at == nil:
	case size == 4:
		atomic.CompareAndSwapUint32((*uint32)(at), 1, 1)
	default:
		atomic.CompareAndSwapUint64((*uint64)(at), 1, 1)
	}
	raceRelease(o, p, size)
}

func raceLoad[T AtomicInteger](o *owner, p unsafe.Pointer) (x T) {
	x = atomicLoad[T](p)
	raceLoaded(o, p, unsafe.Sizeof(x))
	return x
}

func raceStore[T AtomicInteger](o *owner, p unsafe.Pointer, x T) {
	raceStoring[T](o, p)
	atomicStore(p, x)
	runtime.KeepAlive(o)
}

// raceUpdate replaces the integer at p by f of it, and returns what was there.
func raceUpdate[T AtomicInteger](o *owner, p unsafe.Pointer, f func(T) T) (old T) {
	for {
		old = raceLoad[T](o, p)
		if raceCompareAndSwap(o, p, old, f(old)) {
			return old
		}
	}
}

// raceCompareAndSwap loads first. If that value is another one, the operation was
// made there and then, and releases nothing. And what it loads is in order before the
// store is reported: the storing goroutine may have made the integer by plain stores.
func raceCompareAndSwap[T AtomicInteger](o *owner, p unsafe.Pointer, old, x T) (swapped bool) {
	if now := raceLoad[T](o, p); now != old {
		atomicOr(p, T(0)) // which faults if the store would
		return false
	}
	raceStoring[T](o, p)
	swapped = atomicCompareAndSwap(p, old, x)
	raceLoaded(o, p, unsafe.Sizeof(x)) // the same value may be another's
	return swapped
}
