package probes

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-498deeca/mmap"
	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// pciDevice finds a PCI device by its numbers, enables it, and returns its folder in
// sysfs.
func pciDevice(t *testing.T, vendor, device string) string {
	t.Helper()
	dirs, err := filepath.Glob("/sys/bus/pci/devices/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		v, _ := os.ReadFile(dir + "/vendor")
		d, _ := os.ReadFile(dir + "/device")
		if strings.TrimSpace(string(v)) == vendor && strings.TrimSpace(string(d)) == device {
			if err := os.WriteFile(dir+"/enable", []byte("1"), 0); err != nil {
				t.Fatal(err)
			}
			return dir
		}
	}
	t.Fatalf("no device %s:%s among %q", vendor, device, dirs)
	return ""
}

// The registers of qemu's edu device: docs/specs/edu in its source. Below 0x80 they
// take accesses of 4 bytes only.
const (
	identification = 0x00
	identity       = 0x010000ed
	liveness       = 0x04 // reads as the complement of what was stored
	factorial      = 0x08 // reads as that of what was stored, when it is ready
	status         = 0x20
	computing      = 1
	dmaSource      = 0x80 // 64 bits
	dmaTarget      = 0x88
)

// edu is the registers, and prints what is done to them. The host compares that with
// what the device saw.
type edu struct {
	name  string // of the file that is mapped
	base  uint64 // address, to the device
	marks uint32
	live  uint32 // in the register
}

func (e *edu) say(step string, store bool, off, size int, value uint64, again bool) {
	fmt.Println(plan.Access{Step: step, Device: plan.Registers, Store: store, At: e.base + uint64(off), Size: size, Value: value, Again: again}.Line())
}
func (e *edu) load(step string, off, size int, value uint64) {
	e.say(step, false, off, size, value, false)
}
func (e *edu) store(step string, off, size int, value uint64) {
	e.say(step, true, off, size, value, false)
}

// mark stores a number that stands in the trace between one step and the next.
func (e *edu) mark(v mmap.View[uint32], step string) {
	e.marks++
	e.live = 0x4d000000 | e.marks
	v.Set(liveness/4, e.live)
	e.store(step, liveness, 4, uint64(e.live))
}

func openEdu(t *testing.T) *edu {
	t.Helper()
	dir := pciDevice(t, "0x1234", "0x11e8")
	resource, err := os.ReadFile(dir + "/resource")
	if err != nil {
		t.Fatal(err)
	}
	base, err := strconv.ParseUint(strings.Fields(string(resource))[0], 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return &edu{name: dir + "/resource0", base: base}
}

func registers(t *testing.T, r *mmap.Region) (mmap.View[uint32], mmap.View[uint64], mmap.AtomicView[uint32]) {
	t.Helper()
	v, err := mmap.ViewOf[uint32](r, 0, mmap.ToEnd)
	v64, err64 := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
	a, errAtomic := mmap.AtomicOf[uint32](r, 0, mmap.ToEnd)
	if err := errors.Join(err, err64, errAtomic); err != nil {
		t.Fatal(err)
	}
	return v, v64, a
}

var loaded uint32 // keeps a load

// The one test of the registers: the host compares all that was done to them.
//
// What stands in the trace is what the program asked for. One access of a View or of
// Registers is one of the device, as wide as T. An AtomicView loads once; on amd64 its Store is
// an exchange, which loads too. Get, Put, ReadAt and WriteAt are as copy, which may
// access a byte more than once. No other method accesses the device.
func TestRegistersSeeTheAccessesThatWereAskedFor(t *testing.T) {
	needs(t, "pci")
	e := openEdu(t)
	info, err := os.Stat(e.name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := mmap.Config{Mode: mmap.ReadWrite, Populate: true, Lock: true}.Open(e.name)
	mapped(t, r, err)
	if int64(r.Len()) != info.Size() || r.Len() != 1<<20 {
		t.Errorf("Len is %d, want %d, the size that sysfs says", r.Len(), info.Size())
	}
	v, v64, a := registers(t, r)
	e.mark(v, "Open")
	e.ask(t, v, v64, a)
	e.exactly(t, v, r)
	e.copies(t, v, r)
	e.quiet(t, v, r)
	e.deny(t, v, r)
	e.inside(t, v)

	other, err := mmap.Open(e.name, mmap.ReadWrite)
	mapped(t, other, err)
	last, _, _ := registers(t, other)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	e.mark(last, "Close")
	var fault *mmap.FaultError
	err = mmap.Guard(func() error { loaded = v.At(liveness / 4); return nil })
	if !errors.As(err, &fault) || !errors.Is(err, mmap.ErrClosed) || fault.Offset/os.Getpagesize() != 0 {
		t.Errorf("a load after Close: %v", err)
	}
	e.mark(last, "load after Close")
}

// ask does what a driver does.
func (e *edu) ask(t *testing.T, v mmap.View[uint32], v64 mmap.View[uint64], a mmap.AtomicView[uint32]) {
	want := func(step string, got, want uint64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %#x, want %#x", step, got, want)
		}
	}
	want("identification", uint64(v.At(identification)), identity)
	e.load("View.At", identification, 4, identity)
	want("identification", uint64(a.Load(identification)), identity)
	e.load("AtomicView.Load", identification, 4, identity)

	v.Set(liveness/4, 0x12345678)
	e.store("View.Set", liveness, 4, 0x12345678)
	want("liveness", uint64(v.At(liveness/4)), 0xedcba987)
	e.load("View.At", liveness, 4, 0xedcba987)

	if runtime.GOARCH == "amd64" {
		e.load("AtomicView.Store, an exchange", liveness, 4, 0xedcba987)
	}
	a.Store(liveness/4, 0xdeadbeef)
	e.store("AtomicView.Store", liveness, 4, 0xdeadbeef)
	want("liveness", uint64(a.Load(liveness/4)), 0x21524110)
	e.load("AtomicView.Load", liveness, 4, 0x21524110)

	v.Set(factorial/4, 12)
	e.store("factorial of 12", factorial, 4, 12)
	polls := 1
	for ; a.Load(status/4)&computing != 0; polls++ {
		e.load("poll", status, 4, computing)
	}
	e.load("poll", status, 4, 0)
	want("factorial", uint64(v.At(factorial/4)), 479001600)
	e.load("factorial of 12", factorial, 4, 479001600)
	t.Logf("looks until the factorial was ready: %d", polls)

	v64.Set(dmaSource/8, 0x0123456789abcdef)
	e.store("View[uint64].Set", dmaSource, 8, 0x0123456789abcdef)
	v64.Set(dmaTarget/8, 0xfedcba9876543210)
	e.store("View[uint64].Set", dmaTarget, 8, 0xfedcba9876543210)
	want("DMA source", v64.At(dmaSource/8), 0x0123456789abcdef)
	e.load("View[uint64].At", dmaSource, 8, 0x0123456789abcdef)
	want("DMA target", v64.Sub(dmaTarget/8, dmaTarget/8+1).At(0), 0xfedcba9876543210)
	e.load("View[uint64].Sub.At", dmaTarget, 8, 0xfedcba9876543210)
	for i, x := range v64.Sub(dmaSource/8, dmaTarget/8+1).All() {
		want("DMA registers", x, [...]uint64{0x0123456789abcdef, 0xfedcba9876543210}[i])
		e.load("View[uint64].All", dmaSource+8*i, 8, x)
	}
	e.mark(v, "View")
}

// exactly does what the compiler could merge, leave out or make twice.
func (e *edu) exactly(t *testing.T, v mmap.View[uint32], r *mmap.Region) {
	r32, err := mmap.RegistersOf[uint32](r, 0, mmap.ToEnd)
	r64, err64 := mmap.RegistersOf[uint64](r, dmaSource, 2)
	if err := errors.Join(err, err64); err != nil {
		t.Fatal(err)
	}
	for _, x := range []uint32{1, 1, 0xfffffffe} { // the second is not left out
		r32.Store(liveness/4, x)
		e.store("Registers.Store", liveness, 4, uint64(x))
	}
	for range 3 { // nor is a load whose result is known, or not used
		r32.Load(liveness / 4)
		e.load("Registers.Load", liveness, 4, 1)
	}
	r64.Store(1, 0x0011223344556677)
	e.store("Registers[uint64].Store", dmaTarget, 8, 0x0011223344556677)
	if x := r64.Sub(1, 2).Load(0); x != 0x0011223344556677 {
		t.Errorf("DMA target: %#x", x)
	}
	e.load("Registers[uint64].Load", dmaTarget, 8, 0x0011223344556677)
	e.mark(v, "Registers")
}

// copies does the same by the functions that return errors. They copy bytes.
func (e *edu) copies(t *testing.T, v mmap.View[uint32], r *mmap.Region) {
	const again = true
	got, err := mmap.Get[uint32](r, identification)
	if got != identity || err != nil {
		t.Errorf("Get: %#x, %v", got, err)
	}
	e.say("Get", false, identification, 4, identity, again)
	if err := mmap.Put[uint32](r, liveness, 0x0f0f0f0f); err != nil {
		t.Errorf("Put: %v", err)
	}
	e.say("Put", true, liveness, 4, 0x0f0f0f0f, again)
	b := make([]byte, 8)
	n, err := r.ReadAt(b[:4], liveness)
	if want := "\xf0\xf0\xf0\xf0"; string(b[:n]) != want || err != nil {
		t.Errorf("ReadAt: % x, %v", b[:n], err)
	}
	e.say("ReadAt", false, liveness, 4, 0xf0f0f0f0, again)
	n, err = r.WriteAt([]byte{1, 2, 3, 4, 5, 6, 7, 8}, dmaSource)
	if n != 8 || err != nil {
		t.Errorf("WriteAt: %d, %v", n, err)
	}
	e.say("WriteAt", true, dmaSource, 8, 0x0807060504030201, again)
	n, err = r.ReadAt(b, dmaSource)
	if n != 8 || string(b) != "\x01\x02\x03\x04\x05\x06\x07\x08" || err != nil {
		t.Errorf("ReadAt: % x, %v", b[:n], err)
	}
	e.say("ReadAt", false, dmaSource, 8, 0x0807060504030201, again)
	if n, err := r.ReadAt(b, int64(r.Len())); n != 0 || err != io.EOF {
		t.Errorf("ReadAt at the end: %d, %v", n, err)
	}
	if n, err := r.WriteAt(b, int64(r.Len())); n != 0 || !errors.Is(err, mmap.ErrRange) {
		t.Errorf("WriteAt at the end: %d, %v", n, err)
	}
	e.mark(v, "Get, Put, ReadAt, WriteAt")
}

// quiet calls everything that is not an access. Each call returns nil, or says that
// this cannot be done to a device.
func (e *edu) quiet(t *testing.T, v mmap.View[uint32], r *mmap.Region) {
	f, err := os.OpenFile(e.name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	opens := func(c mmap.Config) func() error {
		return func() error {
			r, err := c.Map(f)
			if err != nil {
				return err
			}
			return r.Close()
		}
	}
	type call struct {
		name string
		fn   func() error
	}
	calls := []call{
		{"Map", opens(mmap.Config{Mode: mmap.ReadWrite})},
		{"Map, Populate", opens(mmap.Config{Mode: mmap.ReadWrite, Populate: true})},
		{"Map, Lock", opens(mmap.Config{Mode: mmap.ReadWrite, Lock: true})},
		{"Map ReadOnly, Populate", opens(mmap.Config{Populate: true})},
		{"Map CopyOnWrite, Populate", opens(mmap.Config{Mode: mmap.CopyOnWrite, Populate: true})},
		{"Map, HugePages", opens(mmap.Config{Mode: mmap.ReadWrite, HugePages: mmap.TransparentHugePages})},
		{"Map, Reserve", opens(mmap.Config{Mode: mmap.ReadWrite, Reserve: 2 << 20})},
		{"Populate", func() error { return r.Populate(0, mmap.ToEnd) }},
		{"Resize", func() error { return r.Resize(int64(r.Len())) }},
		{"Resize, smaller", func() error { return r.Resize(4096) }},
		{"Refresh", r.Refresh},
		{"Sync", r.Sync},
		{"SyncRange", func() error { return r.SyncRange(4, 4) }},
		{"View.Sync", v.Sync},
		{"Flush", func() error { return r.Flush(0, mmap.ToEnd) }},
		{"Protect", func() error {
			return errors.Join(r.Protect(mmap.ReadOnly), r.Protect(mmap.ReadWrite))
		}},
		{"Lock", func() error { return r.Lock(0, mmap.ToEnd) }},
		{"Unlock", func() error { return r.Unlock(0, mmap.ToEnd) }},
		{"Resident", func() error { _, err := r.Resident(0, mmap.ToEnd); return err }},
		{"raw memory", func() error {
			if found, off := mmap.RegionOf(r.Bytes()[9:]); found != r || off != 9 || len(r.Reserved()) != r.Len() {
				return fmt.Errorf("RegionOf: %v, %d", found, off)
			}
			return nil
		}},
		{"String", func() error { _ = r.String(); return nil }},
	}
	for advice := mmap.Normal; advice <= mmap.Unmergeable; advice++ {
		calls = append(calls, call{"Advise " + advice.String(), func() error { return r.Advise(0, mmap.ToEnd, advice) }})
	}
	for _, c := range calls {
		err := c.fn()
		e.mark(v, c.name)
		switch {
		case errors.Is(err, errors.ErrUnsupported) && strings.Contains(err.Error(), e.name):
			t.Logf("%s: %v", c.name, err)
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if r.Len() != 1<<20 || r.Mode() != mmap.ReadWrite {
		t.Errorf("the region is %v by now", r)
	}
}

// deny takes the right to store, and gives it back.
func (e *edu) deny(t *testing.T, v mmap.View[uint32], r *mmap.Region) {
	if err := r.Protect(mmap.ReadOnly); err != nil {
		t.Fatal(err)
	}
	var fault *mmap.FaultError
	err := mmap.Guard(func() error { v.Set(liveness/4, 1); return nil })
	if !errors.As(err, &fault) || !errors.Is(err, mmap.ErrReadOnly) || fault.Offset != liveness || fault.Region != r {
		t.Errorf("a store to a region that became read-only: %v", err)
	}
	if err := mmap.Put[uint32](r, liveness, 1); !errors.Is(err, mmap.ErrReadOnly) {
		t.Errorf("Put: %v", err)
	}
	if got, want := v.At(liveness/4), ^e.live; got != want {
		t.Errorf("the register has %#x, want %#x", got, want)
	}
	e.load("load while read-only", liveness, 4, uint64(^e.live))
	if err := r.Protect(mmap.ReadWrite); err != nil {
		t.Fatal(err)
	}
	e.mark(v, "store while read-only")
}

// inside maps 8 bytes inside a page.
func (e *edu) inside(t *testing.T, v mmap.View[uint32]) {
	r, err := mmap.Config{Mode: mmap.ReadWrite, Offset: dmaTarget, Length: 8}.Open(e.name)
	mapped(t, r, err)
	_, v64, _ := registers(t, r)
	v64.Set(0, 77)
	e.store("Offset inside a page", dmaTarget, 8, 77)
	if got := v64.At(0); got != 77 || r.Len() != 8 {
		t.Errorf("%v has %d, want 77", r, got)
	}
	e.load("Offset inside a page", dmaTarget, 8, 77)
	if err := errors.Join(r.Sync(), r.Populate(0, 8), r.Close()); err != nil {
		t.Error(err)
	}
	e.mark(v, "Close of the region inside a page")
	r, err = mmap.Config{Offset: 1 << 20, Length: 8}.Open(e.name)
	if r != nil || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d bytes at offset %d cannot be mapped", os.Getpagesize(), 1<<20)) {
		t.Errorf("beyond the registers: %v, %v", r, err)
	}
}

// What is stored to the memory of qemu's ivshmem device is in a file of the host.
func TestMemoryOfADeviceIsSharedWithTheHost(t *testing.T) {
	needs(t, "pci")
	name := pciDevice(t, "0x1af4", "0x1110") + "/resource2"
	r, err := mmap.Open(name, mmap.ReadWrite)
	mapped(t, r, err)
	if r.Len() != 1<<20 {
		t.Errorf("Len is %d, want 1 MiB", r.Len())
	}
	said := func(step string, off int, value uint64) {
		fmt.Println(plan.Access{Step: step, Device: plan.SharedMemory, Store: true, At: uint64(off), Size: 8, Value: value}.Line())
	}
	v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
	a, errAtomic := mmap.AtomicOf[uint64](r, 0, mmap.ToEnd)
	if err := errors.Join(err, errAtomic); err != nil {
		t.Fatal(err)
	}
	v.Set(0, 0xfeedface00000001)
	said("View.Set", 0, 0xfeedface00000001)
	v.Set(v.Len()-1, 0xfeedface00000002)
	said("View.Set of the last", r.Len()-8, 0xfeedface00000002)
	a.Store(1, 40)
	if got := a.Add(1, 2); got != 42 {
		t.Errorf("Add: %d, want 42", got)
	}
	said("AtomicView.Add", 8, 42)
	if err := mmap.Put[uint64](r, 16, 0xfeedface00000003); err != nil {
		t.Error(err)
	}
	said("Put", 16, 0xfeedface00000003)
	text := []byte("the guest's text")
	if n, err := r.WriteAt(text, 4096); n != len(text) || err != nil {
		t.Errorf("WriteAt: %d, %v", n, err)
	}
	for i := 0; i < len(text); i += 8 {
		said("WriteAt", 4096+i, binary.LittleEndian.Uint64(text[i:]))
	}
	if err := r.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
	}
	if combining, err := mmap.Open(name+"_wc", mmap.ReadWrite); err == nil {
		mapped(t, combining, nil)
		if got, err := mmap.Get[uint64](combining, 8); got != 42 || err != nil {
			t.Errorf("with write combining: %d, %v", got, err)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
