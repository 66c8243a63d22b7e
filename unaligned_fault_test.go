package mmap

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// A number at any alignment may lie in two pages, of which one or both are
// missing. Whatever accesses it, and however the processor does that, the fault
// is at its first byte that is missing.

func TestAFaultOfANumberAcrossPagesIsAtItsFirstMissingByte(t *testing.T) {
	shortensMapped(t)
	testAcrossPages[int8](t)
	testAcrossPages[uint16](t)
	testAcrossPages[int32](t)
	testAcrossPages[uint64](t)
	testAcrossPages[float32](t)
	testAcrossPages[float64](t)
}

func testAcrossPages[T Fixed](t *testing.T) {
	page := os.Getpagesize()
	size := int(unsafe.Sizeof(*new(T)))
	for _, offset := range []int{0, 3} { // of the region in the file
		for _, present := range []int{0, page} { // bytes of the file left
			name := tempFile(t, pattern(3*page))
			r, err := Config{Mode: ReadWrite, Offset: int64(offset)}.Open(name)
			need(t, r, err)
			missing := max(present-offset, 0)
			begins := []int{missing, missing + 5, page - offset, 2*page - offset}
			for k := 1; k < size; k++ {
				begins = append(begins, page-offset-k, 2*page-offset-k)
			}
			type made struct {
				off    int
				big    BigEndian[T]
				little LittleEndian[T]
			}
			var views []made
			for _, off := range begins {
				first := off % size // so that the number at off is not the first
				big, e1 := BigEndianOf[T](r, first, off/size+1)
				little, e2 := LittleEndianOf[T](r, first, off/size+1)
				if err := errors.Join(e1, e2); err != nil {
					t.Fatal(err)
				}
				views = append(views, made{off, big, little})
			}
			if err := os.Truncate(name, int64(present)); err != nil {
				t.Fatal(err)
			}
			for _, v := range views {
				want, i := max(v.off, missing), v.off/size
				if want >= v.off+size {
					continue
				}
				var x T
				one := make([]T, 1)
				whole := func(n int, err error) error {
					if n != 0 {
						t.Errorf("%T at offset %d: counted although byte %d is missing", x, v.off, want)
					}
					return err
				}
				for what, do := range map[string]func() error{
					"BigEndian.At":  func() error { x = v.big.At(i); return nil },
					"BigEndian.Set": func() error { v.big.Set(i, x); return nil },
					"BigEndian.Values": func() error {
						for x = range v.big.Sub(i, i+1).Values() {
						}
						return nil
					},
					"BigEndian.CopyTo":   func() error { return whole(v.big.Sub(i, i+1).CopyTo(one)) },
					"BigEndian.CopyFrom": func() error { return whole(v.big.Sub(i, i+1).CopyFrom(one)) },
					"LittleEndian.At":    func() error { x = v.little.At(i); return nil },
					"LittleEndian.Set":   func() error { v.little.Set(i, x); return nil },
					"LittleEndian.All": func() error {
						for _, x = range v.little.Sub(i, i+1).All() {
						}
						return nil
					},
					"LittleEndian.CopyTo":   func() error { return whole(v.little.Sub(i, i+1).CopyTo(one)) },
					"LittleEndian.CopyFrom": func() error { return whole(v.little.Sub(i, i+1).CopyFrom(one)) },
					"Get":                   func() (err error) { x, err = Get[T](r, v.off); return err },
					"Put":                   func() error { return Put(r, v.off, x) },
				} {
					err := Guard(do)
					var f *FaultError
					if !errors.As(err, &f) || f.Region != r || f.Err != ErrTruncated || !firstMissing[T](r, f.Offset, want) {
						t.Errorf("%s of %T at offset %d of a region from byte %d on, of whose file %d bytes are left: %v, want a fault at offset %d with ErrTruncated",
							what, x, v.off, offset, present, err, want)
					}
				}
			}
		}
	}
}

// firstMissing reports whether off is want, or on a machine that reports whole
// pages, the first byte of its page. MIPS with 32 bits accesses a float64 by halves,
// the second one first.
func firstMissing[T Fixed](r *Region, off, want int) bool {
	_, float := any(T(0)).(float64)
	halves := float && strings.TrimSuffix(runtime.GOARCH, "le") == "mips"
	return off == want || runtime.GOARCH == "s390x" && off == r.o.pageStart(want) || halves && off == want+4
}

// A reportedFault is the panic of the Go runtime at a fault, of an address.
type reportedFault uintptr

func (a reportedFault) Error() string { return fmt.Sprintf("fault at %#x", uintptr(a)) }
func (a reportedFault) Addr() uintptr { return uintptr(a) }

// A machine that reports whole pages reports for a region's first byte one before
// it, if the region begins inside of a page.
func TestAFaultReportedBeforeTheRegionIsAtItsFirstByte(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, pattern(2*page))
	for _, within := range []int{0, 1, page / 2, page - 1} {
		r, err := Config{Mode: ReadWrite, Offset: int64(within)}.Open(name)
		need(t, r, err)
		for _, tt := range []struct {
			addr uintptr
			want int
		}{
			{r.Addr() - uintptr(within), 0}, // the page
			{r.Addr(), 0},
			{r.Addr() + 5, 5},
			{r.Addr() - uintptr(within) + uintptr(page), page - within},
		} {
			err := Guard(func() error { panic(reportedFault(tt.addr)) })
			var f *FaultError
			if !errors.As(err, &f) || f.Region != r || f.Offset != tt.want {
				t.Errorf("region from byte %d on: a fault reported at %#x is %v, want offset %d", within, tt.addr, err, tt.want)
			}
		}
	}
}

// TestAFaultInARegionThatBeginsInsideAPage tries it with real faults.
func TestAFaultInARegionThatBeginsInsideAPage(t *testing.T) {
	shortensMapped(t)
	page := os.Getpagesize()
	for _, within := range []int{1, page / 2, page - 1} {
		name := tempFile(t, pattern(2*page))
		r, err := Config{Mode: ReadWrite, Offset: int64(within)}.Open(name)
		need(t, r, err)
		raw := r.Bytes()
		if err := os.Truncate(name, 0); err != nil {
			t.Fatal(err)
		}
		for what, do := range map[string]func() error{
			"load":    func() error { sinkByte = raw[0]; return nil },
			"store":   func() error { raw[0] = 1; return nil },
			"Get":     func() error { _, err := Get[uint8](r, 0); return err },
			"Put":     func() error { return Put(r, 0, uint8(1)) },
			"ReadAt":  func() error { _, err := r.ReadAt(make([]byte, 1), 0); return err },
			"WriteAt": func() error { _, err := r.WriteAt(make([]byte, 1), 0); return err },
		} {
			err := Guard(do)
			var f *FaultError
			if !errors.As(err, &f) || f.Region != r || f.Offset != 0 || f.Err != ErrTruncated {
				t.Errorf("region from byte %d on: %s: %v, want a fault at offset 0 with ErrTruncated", within, what, err)
			}
		}
	}
}
