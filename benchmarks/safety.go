package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	expmmap "golang.org/x/exp/mmap"

	"github.com/seed-498deeca/mmap"
)

// What safety costs: beside each access that survives everything stands the one that does
// not.

func safety(s *session) error {
	for _, part := range []func(*session) error{safetyGuard, safetyCopy, safetyFaults, safetyClose} {
		if err := part(s); err != nil {
			return err
		}
	}
	return nil
}

// safetyFile makes a file of some pages, and maps it.
func safetyFile(s *session, pages int) (*os.File, *mmap.Region, error) {
	name := filepath.Join(s.dir, "safety")
	if err := makeFile(name, pages*os.Getpagesize()); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	r, err := mmap.Map(f, mmap.ReadOnly)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, r, nil
}

// summed is a way that does a thing n times, and must come to the sum that want says.
func summed(name string, want uint64, do func() uint64) way {
	return way{name: name, turn: func(int) (float64, error) {
		start := time.Now()
		got := do()
		took := time.Since(start)
		if got != want {
			return 0, fmt.Errorf("the sum is %d, not %d", got, want)
		}
		return float64(took), nil
	}}
}

const byHand = "SetPanicOnFault and recover, by hand"

// safetyGuard compares loops under Guard with the same loops without.
func safetyGuard(s *session) error {
	f, r, err := safetyFile(s, 1)
	if err != nil {
		return err
	}
	defer f.Close()
	defer r.Close()
	v, err := mmap.ViewOf[uint64](r, 0, 512)
	if err != nil {
		return err
	}
	const n = 1 << 12
	for _, c := range []struct {
		what, per string
		length    int
	}{{"of one load", "load", 1}, {"of a loop over 4 KiB", "loop", 512}} {
		v := v.Sub(0, c.length)
		want := n * safetySum(v)
		err := s.hold(contest{
			name: "Guard " + c.what + ", without a fault",
			work: "Each " + c.per + " is under a Guard of its own.",
			n:    n, per: c.per, rounds: 4 * s.rounds(),
			ways: []way{
				summed("Guard", want, func() uint64 { return safetyGuarded(v, n) }),
				summed(byHand, want, func() uint64 { return safetyByHand(v, n) }),
				summed("without", want, func() uint64 { return safetyPlain(v, n) }),
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

//go:noinline
func safetySum(v mmap.View[uint64]) (sum uint64) {
	for i := range v.Len() {
		sum += v.At(i)
	}
	return sum
}

//go:noinline
func safetyPlain(v mmap.View[uint64], n int) (sum uint64) {
	for range n {
		sum += safetySum(v)
	}
	return sum
}

//go:noinline
func safetyGuarded(v mmap.View[uint64], n int) (sum uint64) {
	for range n {
		if err := mmap.Guard(func() error { sum += safetySum(v); return nil }); err != nil {
			return 0
		}
	}
	return sum
}

//go:noinline
func safetyByHand(v mmap.View[uint64], n int) (sum uint64) {
	for range n {
		x, err := safetySumByHand(v)
		if err != nil {
			return 0
		}
		sum += x
	}
	return sum
}

var errFault = errors.New("fault")

// safetySumByHand is what a program can do without Guard. It takes every panic for a fault,
// and knows no reason.
func safetySumByHand(v mmap.View[uint64]) (sum uint64, err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if recover() != nil {
			err = errFault
		}
	}()
	return safetySum(v), nil
}

// safetyCopy compares copies that return an error with those that end the process.
func safetyCopy(s *session) error {
	f, r, err := safetyFile(s, 1)
	if err != nil {
		return err
	}
	defer f.Close()
	defer r.Close()
	v, err := mmap.ViewOf[byte](r, 0, mmap.ToEnd)
	if err != nil {
		return err
	}
	x, err := expmmap.Open(f.Name())
	if err != nil {
		return err
	}
	defer x.Close()
	const n = 1 << 11
	p := make([]byte, 1024)
	b := r.Bytes()[:len(p)]
	copied := func(name string, do func() (int, error)) way {
		return way{name: name, before: func() error { clear(p); return nil }, turn: func(int) (float64, error) {
			start := time.Now()
			for range n {
				if _, err := do(); err != nil {
					return 0, err
				}
			}
			took := time.Since(start)
			if string(p) != string(b) {
				return 0, errors.New("the copy differs")
			}
			return float64(took), nil
		}}
	}
	return s.hold(contest{
		name: "copies of 1 KiB, without a fault",
		work: "Copies of the same KiB of a file that is in memory. Those of 8 bytes are in the table of reads in one page, larger ones in those of copies.",
		n:    n, per: "copy", rounds: 4 * s.rounds(),
		ways: []way{
			copied("Region.ReadAt", func() (int, error) { return r.ReadAt(p, 0) }),
			copied("View.CopyTo", func() (int, error) { return v.CopyTo(p) }),
			copied("x/exp/mmap ReadAt", func() (int, error) { return x.ReadAt(p, 0) }),
			copied("copy of a slice", func() (int, error) { return copy(p, b), nil }),
			copied("os.File.ReadAt", func() (int, error) { return f.ReadAt(p, 0) }),
		},
	})
}

// safetyFaults accesses a page that was truncated.
func safetyFaults(s *session) error {
	f, r, err := safetyFile(s, 2)
	if err != nil {
		return err
	}
	defer f.Close()
	defer r.Close()
	page := os.Getpagesize()
	v, err := mmap.ViewOf[uint64](r, page, 1)
	if err != nil {
		return err
	}
	if err := f.Truncate(int64(page)); err != nil {
		s.skip("faults: the file cannot be truncated while it is mapped: %v", err)
		return nil
	}
	const n = 1 << 8
	var buf [8]byte
	failing := func(name string, want error, do func() error) way {
		return way{name: name, turn: func(int) (float64, error) {
			start := time.Now()
			for range n {
				if err := do(); !errors.Is(err, want) {
					return 0, fmt.Errorf("the error is %v, not %v", err, want)
				}
			}
			return float64(time.Since(start)), nil
		}}
	}
	return s.hold(contest{
		name: "accesses to a page that was truncated",
		work: "Each access is a fault, which comes back as an error that says where and why. By hand it says neither. x/exp/mmap, slices and C end the process.",
		n:    n, per: "fault",
		ways: []way{
			failing("Guard", mmap.ErrTruncated, func() error { return mmap.Guard(func() error { sink += v.At(0); return nil }) }),
			failing("Region.ReadAt", mmap.ErrTruncated, func() error { _, err := r.ReadAt(buf[:], int64(page)); return err }),
			failing("Get", mmap.ErrTruncated, func() error { _, err := mmap.Get[uint64](r, page); return err }),
			failing(byHand, errFault, func() error { _, err := safetySumByHand(v); return err }),
			failing("os.File.ReadAt, which is no fault", io.EOF, func() error { _, err := f.ReadAt(buf[:], int64(page)); return err }),
		},
	})
}

// safetyClose compares Close with munmap.
func safetyClose(s *session) error {
	for _, c := range []struct{ pages, n int }{{1, 256}, {4096, 8}} {
		f, r, err := safetyFile(s, c.pages)
		if err != nil {
			return err
		}
		defer f.Close()
		r.Close()
		err = s.hold(safetyCloses(f, c.pages, c.n))
		if errors.Is(err, errors.ErrUnsupported) {
			s.skip("closing: %v", err)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func safetyCloses(f *os.File, pages, n int) contest {
	var open []func() error
	closing := func(name string, open1 func() (func() error, error)) way {
		return way{name: name, before: func() error {
			open = open[:0]
			for range n {
				close1, err := open1()
				if err != nil {
					return err
				}
				open = append(open, close1)
			}
			return nil
		}, turn: func(int) (float64, error) {
			start := time.Now()
			for _, close1 := range open {
				if err := close1(); err != nil {
					return 0, err
				}
			}
			return float64(time.Since(start)), nil
		}}
	}
	peer := func(name string, how func(*os.File, bool) (mapped, error)) way {
		return closing(name, func() (func() error, error) {
			m, err := how(f, false)
			if err == nil {
				touch(m.data, false)
			}
			return m.unmap, err
		})
	}
	return contest{
		name: "closing, of " + sizeText(pages*os.Getpagesize()),
		work: "Mappings that were accessed are closed; to map them is not timed. Region.Close leaves inaccessible address space in their place, " +
			"so that a late access never meets other memory. That the collector gives back the address space later is not in these figures.",
		n: n, per: "close",
		ways: []way{
			closing("Region.Close", func() (func() error, error) {
				r, err := mmap.Map(f, mmap.ReadOnly)
				if err != nil {
					return nil, err
				}
				v, err := mmap.ViewOf[byte](r, 0, mmap.ToEnd)
				for i := 0; i < v.Len(); i += os.Getpagesize() {
					sink += uint64(v.At(i))
				}
				return r.Close, err
			}),
			peer("bare munmap", mapBare), peer("edsrzf/mmap-go", mapEdsrzf),
			peer("blevesearch/mmap-go", mapBleve), peer("ristretto z.MmapFile", mapRistretto),
		},
	}
}
