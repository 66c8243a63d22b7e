package mmap

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"unsafe"
)

// What is said on all systems in the same words: nothing of it is a system's error.

var commonMeetings = []meeting{
	{"To map", nil},
	{`Open("log.txt", 7)`, func(m *met) error { return errOf(Open(m.file(10), 7)) }},
	{`Config{HugePages: 7}.Open("log.txt")`, func(m *met) error { return errOf(Config{HugePages: 7}.Open(m.file(10))) }},
	{`Config{HugePages: HugePages2M}.Open("log.txt")`, func(m *met) error { return errOf(Config{HugePages: HugePages2M}.Open(m.file(10))) }},
	{`Config{Offset: -1}.Open("log.txt")`, func(m *met) error { return errOf(Config{Offset: -1}.Open(m.file(10))) }},
	{`Config{Offset: 10, Length: math.MaxInt64}.Open("log.txt")`, func(m *met) error {
		return errOf(Config{Offset: 10, Length: math.MaxInt64}.Open(m.file(10)))
	}},
	{`Config{Length: math.MaxInt64}.Open("log.txt")`, func(m *met) error { return errOf(Config{Length: math.MaxInt64}.Open(m.file(10))) }},
	{`Config{Length: 11}.Open("log.txt")`, func(m *met) error { return errOf(Config{Length: 11}.Open(m.file(10))) }},
	{`Config{Offset: 6, Length: 8}.Open("log.txt")`, func(m *met) error { return errOf(Config{Offset: 6, Length: 8}.Open(m.file(10))) }},
	{`Config{Offset: 11}.Open("log.txt")`, func(m *met) error { return errOf(Config{Offset: 11}.Open(m.file(10))) }},
	{`Config{Offset: 4, Addr: 1}.Open("log.txt")`, func(m *met) error { return errOf(Config{Offset: 4, Addr: 1}.Open(m.file(10))) }},
	{`Config{Offset: 4, Addr: 4}.Open("log.txt")`, func(m *met) error { return errOf(Config{Offset: 4, Addr: 4}.Open(m.file(10))) }},
	{`Config{Mode: CopyOnWrite}.Create("log.txt", 10)`, func(m *met) error { return errOf(Config{Mode: CopyOnWrite}.Create("log.txt", 10)) }},
	{`Create("log.txt", -1)`, func(m *met) error { return errOf(Create("log.txt", -1)) }},
	{`Create("log.txt", math.MaxInt64)`, func(m *met) error { return errOf(Create("log.txt", math.MaxInt64)) }},
	{`Config{Offset: 11}.Create("log.txt", 10)`, func(m *met) error { return errOf(Config{Offset: 11}.Create("log.txt", 10)) }},
	{`OpenOrCreate("log.txt", -1)`, func(m *met) error { return errOf(OpenOrCreate("log.txt", -1)) }},
	{`Map(nil, ReadOnly)`, func(m *met) error { return errOf(Map(nil, ReadOnly)) }},
	{`Map(f, ReadOnly) // f is closed`, func(m *met) error {
		f := m.osFile(10)
		f.Close()
		return errOf(Map(f, ReadOnly))
	}},
	{`Anonymous(-1)`, func(m *met) error { return errOf(Anonymous(-1)) }},
	{`Config{Offset: 4, Length: 20}.Anonymous(10)`, func(m *met) error { return errOf(Config{Offset: 4, Length: 20}.Anonymous(10)) }},
	{`Config{Mode: CopyOnWrite}.Anonymous(10)`, func(m *met) error { return errOf(Config{Mode: CopyOnWrite}.Anonymous(10)) }},

	{"To read and to write", nil},
	{`r.ReadAt(p, -1)`, func(m *met) error { return errOf(m.region(10, ReadOnly).ReadAt(make([]byte, 4), -1)) }},
	{`r.ReadAt(p, 4) // after Close`, func(m *met) error { return errOf(m.closed().ReadAt(make([]byte, 4), 4)) }},
	{`r.ReadAt(p, 0) // the file was truncated`, func(m *met) error { return errOf(m.truncated(ReadOnly).ReadAt(make([]byte, 4), 0)) }},
	{`r.WriteAt(p, 4) // ReadOnly`, func(m *met) error { return errOf(m.region(10, ReadOnly).WriteAt(make([]byte, 4), 4)) }},
	{`r.WriteAt(p, 8)`, func(m *met) error { return errOf(m.region(10, ReadWrite).WriteAt(make([]byte, 4), 8)) }},
	{`r.WriteTo(w) // after Close`, func(m *met) error { return errOf(m.closed().WriteTo(io.Discard)) }},
	{`Get[int32](r, 8)`, func(m *met) error { return errOf(Get[int32](m.region(10, ReadOnly), 8)) }},
	{`Get[int32](r, 8) // of a region that begins at byte 4`, func(m *met) error { return errOf(Get[int32](m.open(Config{Offset: 4}, 10), 8)) }},
	{`Put[int32](r, 4, 1) // ReadOnly`, func(m *met) error { return Put[int32](m.region(10, ReadOnly), 4, 1) }},

	{"To make a view", nil},
	{`ViewOf[int32](r, 6, 1)`, func(m *met) error { return errOf(ViewOf[int32](m.region(10, ReadOnly), 6, 1)) }},
	{`ViewOf[int32](r, ToEnd, 1)`, func(m *met) error { return errOf(ViewOf[int32](m.region(10, ReadOnly), ToEnd, 1)) }},
	{`ViewOf[int32](r, 0, 3)`, func(m *met) error { return errOf(ViewOf[int32](m.region(10, ReadOnly), 0, 3)) }},
	{`ViewOf[int32](r, 0, -3)`, func(m *met) error { return errOf(ViewOf[int32](m.region(10, ReadOnly), 0, -3)) }},
	{`ViewOf[int32](r, 12, ToEnd)`, func(m *met) error { return errOf(ViewOf[int32](m.region(10, ReadOnly), 12, ToEnd)) }},
	{`ViewOf[int32](r, 0, ToEnd)`, func(m *met) error { return errOf(ViewOf[int32](m.region(10, ReadOnly), 0, ToEnd)) }},
	{`ViewOf[int32](r, 0, 1) // after Close`, func(m *met) error { return errOf(ViewOf[int32](m.closed(), 0, 1)) }},
	{`ViewOf[int32](nil, 0, 1)`, func(m *met) error { return errOf(ViewOf[int32](nil, 0, 1)) }},
	{`StructViewOf[struct{}](r, 0, 1)`, func(m *met) error { return errOf(StructViewOf[struct{}](m.region(10, ReadOnly), 0, 1)) }},
	{`StructViewOf[int](r, 0, 1)`, func(m *met) error { return errOf(StructViewOf[int](m.region(10, ReadOnly), 0, 1)) }},
	{`StructViewOf[[4]uint](r, 0, 1)`, func(m *met) error { return errOf(StructViewOf[[4]uint](m.region(10, ReadOnly), 0, 1)) }},
	{`StructViewOf[struct{ Ok bool }](r, 0, 1)`, func(m *met) error {
		return errOf(StructViewOf[struct{ Ok bool }](m.region(10, ReadOnly), 0, 1))
	}},
	{`StructViewOf[struct{ Name string }](r, 0, 1)`, func(m *met) error {
		return errOf(StructViewOf[struct{ Name string }](m.region(10, ReadOnly), 0, 1))
	}},
	{`StructViewOf[struct{ Next *int32 }](r, 0, 1)`, func(m *met) error {
		return errOf(StructViewOf[struct{ Next *int32 }](m.region(10, ReadOnly), 0, 1))
	}},
	{`StructViewOf[struct{ Page [4]struct{ Sum []byte } }](r, 0, 1)`, func(m *met) error {
		return errOf(StructViewOf[struct {
			Page [4]struct{ Sum []byte }
		}](m.region(10, ReadOnly), 0, 1))
	}},
	{`StructViewOf[struct { N int16; Sum int32 }](r, 0, 1)`, func(m *met) error {
		return errOf(StructViewOf[struct {
			N   int16
			Sum int32
		}](m.region(10, ReadOnly), 0, 1))
	}},
	{`StructViewOf[struct { Sum int32; N int16 }](r, 0, 1)`, func(m *met) error {
		return errOf(StructViewOf[struct {
			Sum int32
			N   int16
		}](m.region(10, ReadOnly), 0, 1))
	}},
	{`StructViewOf[struct { Sum int32; None [0]int32 }](r, 0, 1)`, func(m *met) error {
		return errOf(StructViewOf[struct {
			Sum  int32
			None [0]int32
		}](m.region(10, ReadOnly), 0, 1))
	}},
	{`AtomicOf[int64](r, 0, 1) // no 64-bit atomics`, func(m *met) error {
		if atomic64 {
			m.Skip("this processor has atomic instructions for 64 bits")
		}
		return errOf(AtomicOf[int64](m.region(10, ReadOnly), 0, 1))
	}},
	{`RegistersOf[uint64](r, 0, 1) // 32 bits`, func(m *met) error {
		if unsafe.Sizeof(uintptr(0)) == 8 {
			m.Skip("this processor has registers of 64 bits")
		}
		m.rewrite = strings.NewReplacer("arm accesses", "386 accesses", "mips accesses", "386 accesses", "mipsle accesses", "386 accesses")
		return errOf(RegistersOf[uint64](m.region(10, ReadOnly), 0, 1))
	}},

	{"To use a view", nil},
	{`v.At(4)`, func(m *met) error { return panics(func() { m.view(ReadWrite).At(4) }) }},
	{`v.Set(4, 1)`, func(m *met) error { return panics(func() { m.view(ReadWrite).Set(4, 1) }) }},
	{`v.Set(3, 1) // ReadOnly`, func(m *met) error { return panics(func() { m.view(ReadOnly).Set(3, 1) }) }},
	{`v.Set(4, 1) // ReadOnly`, func(m *met) error { return panics(func() { m.view(ReadOnly).Set(4, 1) }) }},
	{`v.Sub(3, 5)`, func(m *met) error { return panics(func() { m.view(ReadWrite).Sub(3, 5) }) }},
	{`v.Chunks(0)`, func(m *met) error { return panics(func() { m.view(ReadWrite).Chunks(0) }) }},
	{`v.CopyFrom(src) // ReadOnly`, func(m *met) error { return errOf(m.view(ReadOnly).CopyFrom(make([]int32, 4))) }},
	{`v.CopyFrom(nil) // after Close`, func(m *met) error { return errOf(m.closedView().CopyFrom(nil)) }},
	{`v.CopyTo(nil) // after Close`, func(m *met) error { return errOf(m.closedView().CopyTo(nil)) }},
	{`v.CopyTo(dst) // after Close`, func(m *met) error { return errOf(m.closedView().CopyTo(make([]int32, 4))) }},
	{`v.Fill(1) // ReadOnly`, func(m *met) error { return m.view(ReadOnly).Fill(1) }},
	{`v.Populate() // the file was truncated`, func(m *met) error {
		m.real()
		shortensMapped(m)
		v := m.view(ReadOnly)
		if err := os.Truncate("log.txt", 0); err != nil {
			m.Fatal(err)
		}
		return v.Populate()
	}},

	{"To wait and to wake", nil},
	{`v.Wait(ctx, 0, 0) // of int64`, func(m *met) error { return m.atomics64().Wait(context.Background(), 0, 0) }},
	{`v.Wake(0, 1) // of int64`, func(m *met) error { return errOf(m.atomics64().Wake(0, 1)) }},
	{`v.Wake(0, -1)`, func(m *met) error { return errOf(m.atomics().Wake(0, -1)) }},
	{`v.Wake(0, 1) // after Close`, func(m *met) error {
		v := m.atomics()
		v.Region().Close()
		return errOf(v.Wake(0, 1))
	}},

	{"Faults", nil},
	{`Guard(fn) // the region was closed`, func(m *met) error {
		v := m.closedView()
		return Guard(func() error { sinkInt = int64(v.At(0)); return nil })
	}},
	{`Guard(fn) // the file was truncated`, func(m *met) error {
		b := m.truncated(ReadOnly).Bytes()
		return Guard(func() error { sinkByte = b[0]; return nil })
	}},
	{`Guard(fn) // beyond the region, where it could grow`, func(m *met) error {
		b := m.open(Config{Reserve: 1 << 20}, 10).Reserved()
		return Guard(func() error { sinkByte = b[1<<19]; return nil })
	}},
	{`Guard(fn) // the region has become ReadOnly`, func(m *met) error {
		r := m.region(10, ReadWrite)
		b := r.Bytes()
		if err := r.Protect(ReadOnly); err != nil {
			m.Fatal(err)
		}
		return Guard(func() error { b[0] = 1; return nil })
	}},

	{"To change the size", nil},
	{`r.Resize(20)`, func(m *met) error { return m.region(10, ReadWrite).Resize(20) }},
	{`r.Resize(-1)`, func(m *met) error { return m.region(10, ReadWrite).Resize(-1) }},
	{`r.Resize(5) // ReadOnly`, func(m *met) error { return m.region(10, ReadOnly).Resize(5) }},
	{`r.Resize(5) // CopyOnWrite`, func(m *met) error { return m.region(10, CopyOnWrite).Resize(5) }},
	{`r.Resize(5) // after Close`, func(m *met) error { return m.closed().Resize(5) }},
	{`r.Resize(5) // the file that Map was given is closed`, func(m *met) error { return m.borrowed(Config{Mode: ReadWrite}, 10).Resize(5) }},
	{`r.Refresh() // the file that Map was given is closed`, func(m *met) error { return m.borrowed(Config{}, 10).Refresh() }},

	{"To make durable", nil},
	{`r.SyncRange(8, 4)`, func(m *met) error { return m.region(10, ReadWrite).SyncRange(8, 4) }},
	{`r.SyncRange(11, ToEnd)`, func(m *met) error { return m.region(10, ReadWrite).SyncRange(11, ToEnd) }},
	{`r.Sync() // after Close`, func(m *met) error { return m.closed().Sync() }},
	{`r.Sync() // the file was truncated`, func(m *met) error { return m.truncated(ReadWrite).Sync() }},
	{`r.Sync() // r is nil`, func(m *met) error { return (*Region)(nil).Sync() }},

	{"To advise, to lock, to protect", nil},
	{`r.Advise(0, 10, 99)`, func(m *met) error { return m.region(10, ReadWrite).Advise(0, 10, 99) }},
	{`r.Advise(0, 10, Remove) // ReadOnly`, func(m *met) error { return m.region(10, ReadOnly).Advise(0, 10, Remove) }},
	{`r.Advise(0, 10, Remove) // CopyOnWrite`, func(m *met) error { return m.region(10, CopyOnWrite).Advise(0, 10, Remove) }},
	{`r.Advise(0, 10, PopulateWrite) // ReadOnly`, func(m *met) error { return m.region(10, ReadOnly).Advise(0, 10, PopulateWrite) }},
	{`r.Advise(0, 10, Free)`, func(m *met) error { return m.region(10, ReadWrite).Advise(0, 10, Free) }},
	{`r.Lock(8, 4)`, func(m *met) error { return m.region(10, ReadOnly).Lock(8, 4) }},
	{`r.Populate(8, 4)`, func(m *met) error { return m.region(10, ReadOnly).Populate(8, 4) }},
	{`r.Resident(8, 4)`, func(m *met) error { return errOf(m.region(10, ReadOnly).Resident(8, 4)) }},
	{`r.Resident(0, 4) // r is nil`, func(m *met) error { return errOf((*Region)(nil).Resident(0, 4)) }},
	{`r.Resident(0, 4) // after Close`, func(m *met) error { return errOf(m.closed().Resident(0, 4)) }},
	{`r.Protect(7)`, func(m *met) error { return m.region(10, ReadWrite).Protect(7) }},
	{`r.Protect(CopyOnWrite) // ReadWrite`, func(m *met) error { return m.region(10, ReadWrite).Protect(CopyOnWrite) }},
	{`r.Protect(ReadWrite) // CopyOnWrite`, func(m *met) error { return m.region(10, CopyOnWrite).Protect(ReadWrite) }},

	{"Memory for other processes", nil},
	{`MemFile("queue", -1)`, func(m *met) error { return errOf(MemFile("queue", -1)) }},
	{`MemFile("que\x00ue", 10)`, func(m *met) error { return errOf(MemFile("que\x00ue", 10)) }},
	{`Seal(nil, SealShrink)`, func(m *met) error { return Seal(nil, SealShrink) }},
	{`Seal(f, 0x100)`, func(m *met) error { return Seal(m.osFile(10), 0x100) }},
	{`Seal(f, SealShrink|SealGrow) // f is closed`, func(m *met) error {
		f := m.osFile(10)
		f.Close()
		return Seal(f, SealShrink|SealGrow)
	}},
	{`SealsOf(nil)`, func(m *met) error { return errOf(SealsOf(nil)) }},
	{`SealsOf(f) // f is closed`, func(m *met) error {
		f := m.osFile(10)
		f.Close()
		return errOf(SealsOf(f))
	}},
	{`Shared("prices", -1)`, func(m *met) error { return errOf(Shared("prices", -1)) }},
	{`Config{Perm: 0o644}.Shared("prices", 10)`, func(m *met) error { return errOf(Config{Perm: 0o644}.Shared("prices", 10)) }},
	{`Shared("stocks/prices", 10)`, func(m *met) error { return errOf(Shared("stocks/prices", 10)) }},
	{`RemoveShared("..")`, func(m *met) error { return RemoveShared("..") }},

	{"The kinds of errors", nil},
	{`ErrClosed`, func(m *met) error { return ErrClosed }},
	{`ErrReadOnly`, func(m *met) error { return ErrReadOnly }},
	{`ErrRange`, func(m *met) error { return ErrRange }},
	{`ErrAlignment`, func(m *met) error { return ErrAlignment }},
	{`ErrLayout`, func(m *met) error { return ErrLayout }},
	{`ErrTruncated`, func(m *met) error { return ErrTruncated }},
	{`ErrIO`, func(m *met) error { return ErrIO }},

	{"What a region says of itself", nil},
	{`r.String()`, func(m *met) error { return errors.New(m.region(10, ReadOnly).String()) }},
	{`r.String() // after Close`, func(m *met) error { return errors.New(m.closed().String()) }},
}

// view is a view of four int32.
func (m *met) view(mode Mode) View[int32] {
	m.Helper()
	v, err := ViewOf[int32](m.region(16, mode), 0, ToEnd)
	if err != nil {
		m.Fatal(err)
	}
	return v
}

// closedView is one of a region that is closed.
func (m *met) closedView() View[int32] {
	m.Helper()
	v := m.view(ReadWrite)
	v.Region().Close()
	return v
}

func (m *met) atomics() AtomicView[int32] {
	m.Helper()
	v, err := AtomicOf[int32](m.region(16, ReadWrite), 0, ToEnd)
	if err != nil {
		m.Fatal(err)
	}
	return v
}

func (m *met) atomics64() AtomicView[int64] {
	m.Helper()
	if !atomic64 {
		m.Skip("this processor has no atomic instructions for 64 bits")
	}
	v, err := AtomicOf[int64](m.region(16, ReadWrite), 0, ToEnd)
	if err != nil {
		m.Fatal(err)
	}
	return v
}
