package mmap_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"testing"

	"github.com/seed-498deeca/mmap"
)

// The exported interface, as programs outside of this repository use it. A name
// that is missing, or has another type, does not compile here.

// Constructors, as functions and as methods of Config.
var (
	_ func(string, mmap.Mode) (*mmap.Region, error)   = mmap.Open
	_ func(string, int64) (*mmap.Region, error)       = mmap.Create
	_ func(string, int64) (*mmap.Region, error)       = mmap.OpenOrCreate
	_ func(*os.File, mmap.Mode) (*mmap.Region, error) = mmap.Map
	_ func(int64) (*mmap.Region, error)               = mmap.Anonymous
	_ func([]byte) (*mmap.Region, int)                = mmap.RegionOf

	_ func(mmap.Config, string) (*mmap.Region, error)        = mmap.Config.Open
	_ func(mmap.Config, string, int64) (*mmap.Region, error) = mmap.Config.Create
	_ func(mmap.Config, string, int64) (*mmap.Region, error) = mmap.Config.OpenOrCreate
	_ func(mmap.Config, *os.File) (*mmap.Region, error)      = mmap.Config.Map
	_ func(mmap.Config, int64) (*mmap.Region, error)         = mmap.Config.Anonymous
	_ func(mmap.Config, string, int64) (*mmap.Region, error) = mmap.Config.Shared
)

// Constants have their types, and modes and sizes of pages the zero value that
// they are documented with.
var (
	_ = [1]int{int(mmap.ReadOnly): 1}
	_ = [1]int{int(mmap.NoHugePages): 1}

	_ = [...]mmap.Mode{mmap.ReadOnly, mmap.ReadWrite, mmap.CopyOnWrite}
	_ = [...]mmap.HugePages{mmap.NoHugePages, mmap.TransparentHugePages, mmap.HugePages2M, mmap.HugePages1G}
)

const (
	_ int = mmap.ToEnd // an untyped constant that an int holds

	_ = uint(mmap.ToEnd - math.MinInt) // both ways: equal
	_ = uint(math.MinInt - mmap.ToEnd)
)

// Every field of a Config, in types that assignments do not convert.
var _ = struct {
	mode                    mmap.Mode
	offset, length, reserve int64
	addr                    uintptr
	populate, lock          bool
	huge                    mmap.HugePages
	sparse, exec            bool
	perm                    fs.FileMode
	flags                   int
}(func(c mmap.Config) (f struct {
	mode                    mmap.Mode
	offset, length, reserve int64
	addr                    uintptr
	populate, lock          bool
	huge                    mmap.HugePages
	sparse, exec            bool
	perm                    fs.FileMode
	flags                   int
}) {
	f.mode, f.offset, f.length, f.reserve, f.addr = c.Mode, c.Offset, c.Length, c.Reserve, c.Addr
	f.populate, f.lock, f.huge, f.sparse = c.Populate, c.Lock, c.HugePages, c.Sparse
	f.exec, f.perm, f.flags = c.Exec, c.Perm, c.Flags
	return f
}(mmap.Config{}))

// Named memory.
var (
	_ func(name string, size int64) (*mmap.Region, error) = mmap.Shared
	_ func(name string) error                             = mmap.RemoveShared
)

// Memory files.
var (
	_ func(name string, size int64) (*os.File, error) = mmap.MemFile
	_ func(*os.File, mmap.Seals) error                = mmap.Seal
	_ func(*os.File) (mmap.Seals, error)              = mmap.SealsOf
	_                                                 = mmap.SealShrink | mmap.SealGrow | mmap.SealWrite | mmap.SealFutureWrite | mmap.SealSeal
)

// Methods of a Region, all on the pointer.
var (
	_ func(*mmap.Region) int                                = (*mmap.Region).Len
	_ func(*mmap.Region) int                                = (*mmap.Region).Cap
	_ func(*mmap.Region) int64                              = (*mmap.Region).Offset
	_ func(*mmap.Region) mmap.Mode                          = (*mmap.Region).Mode
	_ func(*mmap.Region) string                             = (*mmap.Region).Name
	_ func(*mmap.Region) uintptr                            = (*mmap.Region).Addr
	_ func(*mmap.Region) int                                = (*mmap.Region).PageSize
	_ func(*mmap.Region) []byte                             = (*mmap.Region).Bytes
	_ func(*mmap.Region) []byte                             = (*mmap.Region).Reserved
	_ func(*mmap.Region, []byte, int64) (int, error)        = (*mmap.Region).ReadAt
	_ func(*mmap.Region, []byte, int64) (int, error)        = (*mmap.Region).WriteAt
	_ func(*mmap.Region, io.Writer) (int64, error)          = (*mmap.Region).WriteTo
	_ func(*mmap.Region, int64) error                       = (*mmap.Region).Resize
	_ func(*mmap.Region) error                              = (*mmap.Region).Refresh
	_ func(*mmap.Region) error                              = (*mmap.Region).Sync
	_ func(r *mmap.Region, off, n int) error                = (*mmap.Region).SyncRange
	_ func(r *mmap.Region, off, n int) error                = (*mmap.Region).Flush
	_ func(r *mmap.Region, off, n int) error                = (*mmap.Region).Populate
	_ func(r *mmap.Region, off, n int, a mmap.Advice) error = (*mmap.Region).Advise
	_ func(r *mmap.Region, off, n int) error                = (*mmap.Region).Lock
	_ func(r *mmap.Region, off, n int) error                = (*mmap.Region).Unlock
	_ func(r *mmap.Region, off, n int) ([]bool, error)      = (*mmap.Region).Resident
	_ func(*mmap.Region, mmap.Mode) error                   = (*mmap.Region).Protect
	_ func(*mmap.Region) error                              = (*mmap.Region).Close
	_ func(*mmap.Region) string                             = (*mmap.Region).String
	_ func(func() error) error                              = mmap.Guard
	_ func(r *mmap.Region, off int) (uint16, error)         = mmap.Get[uint16]
	_ func(r *mmap.Region, off int, x float32) error        = mmap.Put[float32]
	_ func(mmap.Mode) string                                = mmap.Mode.String
	_ io.ReaderAt                                           = (*mmap.Region)(nil)
	_ io.WriterAt                                           = (*mmap.Region)(nil)
	_ io.WriterTo                                           = (*mmap.Region)(nil)
	_ io.Closer                                             = (*mmap.Region)(nil)
	_ fmt.Stringer                                          = (*mmap.Region)(nil)
	_ fmt.Stringer                                          = mmap.Mode(0)
	_ func(r *mmap.Region, off, n int) (shapes, error)      = mmap.StructViewOf[shape]
	_ func(r *mmap.Region, off, n int) (ints, error)        = mmap.ViewOf[int32]
	_ func(r *mmap.Region, off, n int) (bigs, error)        = mmap.BigEndianOf[int32]
	_ func(r *mmap.Region, off, n int) (littles, error)     = mmap.LittleEndianOf[int32]
	_ func(r *mmap.Region, off, n int) (counters, error)    = mmap.AtomicOf[int32]
	_ func(r *mmap.Region, off, n int) (registers, error)   = mmap.RegistersOf[uint16]
)

type (
	shape     struct{ X, Y int32 }
	shapes    = mmap.View[shape]
	ints      = mmap.View[int32]
	bigs      = mmap.BigEndian[int32]
	littles   = mmap.LittleEndian[int32]
	counters  = mmap.AtomicView[int32]
	registers = mmap.Registers[uint16]
)

// What all views have, V being the view's own type.
type anyView[V any] interface {
	Len() int
	Offset() int
	Region() *mmap.Region
	Sub(i, j int) V
	Sync() error
}

// What the views have that load and store.
type valueView[T, V any] interface {
	anyView[V]
	At(i int) T
	Set(i int, x T)
	All() iter.Seq2[int, T]
	Values() iter.Seq[T]
	CopyTo(dst []T) (int, error)
	CopyFrom(src []T) (int, error)
	Fill(x T) error
	Chunks(n int) iter.Seq2[int, V]
	Populate() error
}

type machineView[T, V any] interface {
	valueView[T, V]
	Ptr(i int) *T
	Slice() []T
}

type atomicView[T, V any] interface {
	anyView[V]
	Load(i int) T
	Store(i int, x T)
	Swap(i int, x T) (old T)
	CompareAndSwap(i int, old, x T) (swapped bool)
	Add(i int, d T) (sum T)
	And(i int, m T) (old T)
	Or(i int, m T) (old T)
	Wait(ctx context.Context, i int, old T) error
	Wake(i, n int) (int, error)
}

type registerView[T, V any] interface {
	Len() int
	Offset() int
	Region() *mmap.Region
	Sub(i, j int) V
	Load(i int) T
	Store(i int, x T)
}

var (
	_ registerView[uint16, registers] = registers{}
	_ machineView[int32, ints]        = ints{}
	_ machineView[shape, shapes]      = shapes{}
	_ valueView[int32, bigs]          = bigs{}
	_ valueView[int32, littles]       = littles{}
	_ atomicView[int32, counters]     = counters{}
	_ error                           = (*mmap.FaultError)(nil)
	_ func(*mmap.FaultError) error    = (*mmap.FaultError).Unwrap
)

// Errors have the type error, and a FaultError these fields.
var (
	_ = []*error{&mmap.ErrClosed, &mmap.ErrReadOnly, &mmap.ErrRange, &mmap.ErrAlignment, &mmap.ErrLayout, &mmap.ErrTruncated, &mmap.ErrIO}
	_ = mmap.FaultError{Region: (*mmap.Region)(nil), Offset: int(0), Err: error(nil)}
)

// Every type that each constraint accepts, types made of them included.
type (
	myInt8    int8
	myUint64  uint64
	myFloat32 float32
)

func integers[T mmap.Integer]()      {}
func numbers[T mmap.Fixed]()         {}
func atomics[T mmap.AtomicInteger]() {}

var _ = []func(){
	integers[int8], integers[int16], integers[int32], integers[int64], integers[myInt8],
	integers[uint8], integers[uint16], integers[uint32], integers[uint64], integers[myUint64],
	numbers[int8], numbers[int16], numbers[int32], numbers[int64], numbers[myInt8],
	numbers[uint8], numbers[uint16], numbers[uint32], numbers[uint64], numbers[myUint64],
	numbers[float32], numbers[float64], numbers[myFloat32],
	atomics[int32], atomics[uint32], atomics[int64], atomics[uint64], atomics[myUint64],
}

func TestErrorsAreWhatTheStandardLibraryCallsThem(t *testing.T) {
	if !errors.Is(mmap.ErrClosed, fs.ErrClosed) || !errors.Is(mmap.ErrReadOnly, fs.ErrPermission) {
		t.Error("ErrClosed is not fs.ErrClosed, or ErrReadOnly is not fs.ErrPermission")
	}
	all := []error{mmap.ErrClosed, mmap.ErrReadOnly, mmap.ErrRange, mmap.ErrAlignment, mmap.ErrLayout, mmap.ErrTruncated, mmap.ErrIO}
	for i, a := range all {
		for j, b := range all {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("errors.Is(%v, %v) is %v", a, b, i != j)
			}
		}
	}
}
