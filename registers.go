package mmap

import (
	"errors"
	"reflect"
	"runtime"
	"unsafe"
)

// Registers are n registers of a device, of type T each, one after the other in a
// region. What an access does is the device's affair: a load may clear a flag, a
// store may start a transfer. So each Load and each Store is exactly one access
// of the processor, of exactly T's width. The compiler does not merge, split,
// repeat or leave out any of them. It keeps them in the order of the program. A
// Store does not read.
//
// What the compiler keeps, the processor may still change. That depends on how the
// memory is mapped, which the driver of the device decides:
//
//   - Uncached (resourceN in sysfs, and /dev/mem that is opened with [os.O_SYNC] and
//     given to [Map]): every access reaches the device, once, with its width, and in
//     order. A load returns when the device has answered. A store may still be on its
//     way: load a register of the same device to be sure that it has arrived.
//   - Write-combined (resourceN_wc, frame buffers): stores may be merged, and arrive in
//     another order.
//   - Cached (memory that a device reads by itself): the processor may reorder stores
//     and loads as in any memory. Where one store announces others, make it with an
//     [AtomicView], whose operations keep the order. Some devices need caches to be
//     written back as well, which a program cannot do everywhere.
//
// Between an uncached and a cached access, and between two devices, processors other
// than amd64 may change the order. An operation of an AtomicView between them, in
// cached memory, puts the cached ones in order. Not every processor orders uncached
// ones by it.
//
// Values are in the machine's own byte order. PCI devices are little-endian: on a
// big-endian machine, swap the bytes ([math/bits.ReverseBytes32]). A machine is big-endian
// if [encoding/binary.NativeEndian] reads the bytes 0 and 1 as 1.
//
// A bad index panics. So does a Store through Registers that were made while the
// region was read-only. The panic value is an error that wraps ErrRange or
// ErrReadOnly. An access after Close is a fault, which [Guard] returns as an error.
// What happens if a device does not answer is the system's affair: as a rule a load
// then returns all ones.
//
// An index counts registers, while a data sheet counts bytes: byte 0x24 is index
// 0x24/4 of registers of 32 bits. Registers of several widths may be made over
// the same bytes. To change some of the bits, call Load and then Store. Another
// goroutine may do the same in between, so use a lock. [Get] and [Put] are not
// for registers.
//
// Any goroutine may use Registers at any time. The race detector
// neither looks at registers nor takes order from them.
type Registers[T Integer] struct {
	// Flat, for the reason that View has.
	register *T // named apart from View's, so that neither converts to the other
	n, w     int
	region   *owner
}

// RegistersOf makes Registers of n registers of type T. The first is at byte off of
// the region. n may be ToEnd. The address must be a multiple of T's size on every
// machine (ErrAlignment). Other errors are as for [ViewOf]. No register is accessed.
//
// A 32-bit machine would make two accesses to a register of 64 bits, so there the
// error is errors.ErrUnsupported.
func RegistersOf[T Integer](r *Region, off, n int) (Registers[T], error) {
	size := int(unsafe.Sizeof(*new(T)))
	if size > int(unsafe.Sizeof(uintptr(0))) {
		return Registers[T]{}, failf(errors.ErrUnsupported, "registers of %v of %s: %s accesses 64 bits as two times 32",
			reflect.TypeFor[T](), r.Name(), runtime.GOARCH)
	}
	v, err := view[T](r, off, n, size)
	return Registers[T]{v.base, v.n, v.w, v.region}, err
}

// view is v as a View, to compute with, not to access.
func (v Registers[T]) view() View[T] { return View[T]{v.register, v.n, v.w, v.region} }

// Len returns the number of registers, which never changes.
func (v Registers[T]) Len() int { return v.n }

// Offset returns the offset of the first register, in bytes from the region's first.
func (v Registers[T]) Offset() int { return v.view().Offset() }

// Region returns the region of the registers, nil for the zero Registers.
func (v Registers[T]) Region() *Region { return v.region.region() }

// Sub returns the registers from i up to but not including j.
func (v Registers[T]) Sub(i, j int) Registers[T] {
	s := v.view().Sub(i, j)
	return Registers[T]{s.base, s.n, s.w, s.region}
}

// Load loads register i.
func (v Registers[T]) Load(i int) (x T) {
	if uint(i) >= uint(v.n) {
		panic(indexError{i, v.n})
	}
	switch p := unsafe.Pointer(v.view().ptr(i)); unsafe.Sizeof(x) {
	case 1:
		x = T(loadRegister8((*uint8)(p)))
	case 2:
		x = T(loadRegister16((*uint16)(p)))
	case 4:
		x = T(loadRegister32((*uint32)(p)))
	case 8:
		x = T(loadRegister64((*uint64)(p)))
	}
	runtime.KeepAlive(v.region)
	return x
}

// Store stores x in register i, and reads nothing.
func (v Registers[T]) Store(i int, x T) {
	if uint(i) >= uint(v.w) {
		panic(storeError{i, v.n, v.w})
	}
	switch p := unsafe.Pointer(v.view().ptr(i)); unsafe.Sizeof(x) {
	case 1:
		storeRegister8((*uint8)(p), uint8(x))
	case 2:
		storeRegister16((*uint16)(p), uint16(x))
	case 4:
		storeRegister32((*uint32)(p), uint32(x))
	case 8:
		storeRegister64((*uint64)(p), uint64(x))
	}
	runtime.KeepAlive(v.region)
}

// A function of its own for each width. The compiler sees one access at a time, so
// it has nothing to merge it with, and a call is never left out or moved beyond
// another. TestARegisterIsAccessedByOneInstruction looks at the instructions.
//
// sync/atomic is no way to do it: its stores read on amd64, and it has no 8 and 16
// bits.

//go:noinline
func loadRegister8(p *uint8) uint8 { return *p }

//go:noinline
func loadRegister16(p *uint16) uint16 { return *p }

//go:noinline
func loadRegister32(p *uint32) uint32 { return *p }

//go:noinline
func loadRegister64(p *uint64) uint64 { return *p }

//go:noinline
func storeRegister8(p *uint8, x uint8) { *p = x }

//go:noinline
func storeRegister16(p *uint16, x uint16) { *p = x }

//go:noinline
func storeRegister32(p *uint32, x uint32) { *p = x }

//go:noinline
func storeRegister64(p *uint64, x uint64) { *p = x }
