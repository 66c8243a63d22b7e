package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-498deeca/mmap"
)

// Cold data: a file that is not in memory when a turn begins. The disk decides, so there
// are no goals: what is to be learned is when to map and when to read.

// A coldWay opens a file, reads, and closes it. It returns a sum of what it read.
type coldWay struct {
	name    string
	inGroup bool // it is done in a memory cgroup, too
	run     func(name string) (int64, error)
}

// A coldJob is what is done with a file, in several ways.
type coldJob struct {
	name, called string
	per          string
	n            int
	work         string
	ways         []coldWay
}

// coldPage is the distance of places that are read: no page has two on most systems.
const coldPage = 4096

// coldReads are so many places at random, of a file of the given size.
func coldReads(size int64, n int) []int64 {
	at := make([]int64, n)
	for i, p := range rand.New(rand.NewPCG(1, 2)).Perm(int(size / coldPage))[:n] {
		at[i] = int64(p)*coldPage + 8*int64(p%500)
	}
	return at
}

// coldJobs are also known to the other process, that is in a memory cgroup.
func coldJobs(quick bool) []coldJob {
	n := 500
	if quick {
		n = 100
	}
	scan := coldJob{name: "scan", called: "Scan", per: "scan", n: 1, work: "its 64-bit integers are summed in order, from open to close"}
	for _, w := range []struct {
		name    string
		inGroup bool
		c       mmap.Config
		sum     func(scanLoops, *mmap.Region, mmap.View[int64]) (int64, error)
	}{
		{"View.Chunks of 1 MiB", true, mmap.Config{}, scanChunks(1 << 17)},
		{"View.Chunks of 1 MiB, Sequential", true, mmap.Config{}, coldChunks},
		{"View.At", true, mmap.Config{}, scanAt},
		{"View.At, Sequential", true, mmap.Config{}, scanAdvised(mmap.Sequential)},
		{"View.At, Populate", false, mmap.Config{Populate: true}, scanAt},
	} {
		scan.ways = append(scan.ways, coldWay{w.name, w.inGroup, func(name string) (int64, error) { return scanOurs(name, w.c, w.sum)(scanPlaces[0]) }})
	}
	for _, buffer := range []int{128 << 10, 1 << 20, 4 << 20} {
		scan.ways = append(scan.ways, coldWay{"os.File.ReadAt of " + sizeOf(buffer), buffer == 1<<20, func(name string) (int64, error) { return scanPread(name, buffer)(scanPlaces[0]) }})
	}
	for _, buffer := range []int{1 << 20, 4 << 20} {
		scan.ways = append(scan.ways, coldWay{"O_DIRECT of " + sizeOf(buffer), buffer == 1<<20, func(name string) (int64, error) {
			return coldDirect(name, buffer, func(f *os.File, b []byte) (int64, error) {
				sum := int64(0)
				for {
					n, err := f.Read(b)
					sum += scanPlaces[0].ints(scanInts(b[:n]))
					if err == io.EOF {
						return sum, nil
					} else if err != nil {
						return 0, err
					}
				}
			})
		}})
	}

	random := coldJob{name: "random", called: "Random reads", per: "read", n: n, work: fmt.Sprintf("%d integers are read, each of another page, at random", n)}
	for _, w := range []struct {
		name string
		read func(r *mmap.Region, v mmap.View[int64], at []int64) (int64, error)
	}{
		{"View.At, Random", func(r *mmap.Region, v mmap.View[int64], at []int64) (int64, error) {
			if err := r.Advise(0, mmap.ToEnd, mmap.Random); err != nil {
				return 0, err
			}
			return coldLoads(v, at), nil
		}},
		{"View.At", func(_ *mmap.Region, v mmap.View[int64], at []int64) (int64, error) { return coldLoads(v, at), nil }},
		{"View.Populate of a page, View.At", func(_ *mmap.Region, v mmap.View[int64], at []int64) (sum int64, err error) {
			for _, off := range at {
				i := int(off / 8)
				if err := v.Sub(i, i+1).Populate(); err != nil {
					return 0, err
				}
				sum += v.At(i)
			}
			return sum, nil
		}},
		{"Region.ReadAt", func(r *mmap.Region, _ mmap.View[int64], at []int64) (int64, error) { return coldCopies(r, at) }},
	} {
		random.ways = append(random.ways, coldWay{w.name, w.name != "Region.ReadAt", func(name string) (int64, error) {
			return scanOurs(name, mmap.Config{}, func(_ scanLoops, r *mmap.Region, v mmap.View[int64]) (int64, error) {
				return w.read(r, v, coldReads(int64(r.Len()), n))
			})(scanPlaces[0])
		}})
	}
	random.ways = append(random.ways, coldWay{"os.File.ReadAt", true, func(name string) (int64, error) {
		f, at, err := coldOpen(name, n)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return coldCopies(f, at)
	}}, coldWay{"O_DIRECT of 4 KiB", true, func(name string) (int64, error) {
		return coldDirect(name, coldPage, func(f *os.File, b []byte) (sum int64, err error) {
			fi, err := f.Stat()
			if err != nil {
				return 0, err
			}
			for _, off := range coldReads(fi.Size(), n) {
				if _, err := f.ReadAt(b, off/coldPage*coldPage); err != nil {
					return 0, err
				}
				sum += int64(binary.NativeEndian.Uint64(b[off%coldPage:]))
			}
			return sum, nil
		})
	}})
	return []coldJob{scan, random}
}

func coldChunks(l scanLoops, r *mmap.Region, v mmap.View[int64]) (int64, error) {
	if err := r.Advise(0, mmap.ToEnd, mmap.Sequential); err != nil {
		return 0, err
	}
	return scanChunks(1<<17)(l, r, v)
}

func coldOpen(name string, n int) (f *os.File, at []int64, err error) {
	if f, err = os.Open(name); err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	return f, coldReads(fi.Size(), n), nil
}

//go:noinline
func coldLoads(v mmap.View[int64], at []int64) (sum int64) {
	for _, off := range at {
		sum += v.At(int(off / 8))
	}
	return sum
}

func coldCopies(r io.ReaderAt, at []int64) (sum int64, err error) {
	var b [8]byte
	for _, off := range at {
		if _, err := r.ReadAt(b[:], off); err != nil {
			return 0, err
		}
		sum += int64(binary.NativeEndian.Uint64(b[:]))
	}
	return sum, nil
}

func coldData(s *session) error {
	size, limit := 1<<30, 256<<20
	if s.quick {
		size, limit = 256<<20, 64<<20
	}
	name := filepath.Join(s.dir, "cold")
	defer os.Remove(name)
	progress("making a file of %s", sizeOf(size))
	if err := scanFile(name, size); err != nil {
		return err
	}
	if err := coldForget(name); errors.Is(err, errNotCold) {
		s.skip("cold files: %v", err)
		return s.slowFile()
	} else if err != nil {
		return err
	}
	group, why := newGroup(limit)
	if group == "" {
		s.skip("a file that is larger than a memory cgroup: %s", why)
	} else {
		defer os.Remove(group)
	}
	for _, job := range coldJobs(s.quick) {
		c := contest{name: strings.ToLower(job.called) + " of a cold file", n: job.n, per: job.per, rounds: 5,
			work: fmt.Sprintf("Nothing of a file of %s is in memory; %s. The disk decides, and how much the kernel reads ahead.", sizeOf(size), job.work)}
		inGroup := c
		inGroup.rounds = 3
		if !s.quick {
			c.rounds, inGroup.rounds = 10, 10
		}
		inGroup.name = strings.ToLower(job.called) + " of a file larger than memory"
		inGroup.work = fmt.Sprintf("The same in a process whose memory cgroup may have %s, page cache included: the file is %d times as large.", sizeOf(limit), size/limit)
		var want int64
		for i, w := range job.ways {
			sum, err := w.run(name)
			if errors.Is(err, errors.ErrUnsupported) {
				s.skip("%s: %s: %v", c.name, w.name, err)
				continue
			}
			if i == 0 {
				want = sum
			}
			if err == nil && sum != want {
				err = fmt.Errorf("the sum is %d, not %d", sum, want)
			}
			if err != nil {
				return fmt.Errorf("%s: %s: %w", c.name, w.name, err)
			}
			c.ways = append(c.ways, way{name: w.name, before: func() error { return coldForget(name) }, turn: timed(func() error {
				sum, err := w.run(name)
				if err == nil && sum != want {
					err = fmt.Errorf("the sum is %d, not %d", sum, want)
				}
				return err
			})})
			if !w.inGroup {
				continue
			}
			inGroup.ways = append(inGroup.ways, way{name: w.name, turn: func(int) (float64, error) {
				return groupTurn(s.quick, group, job.name, w.name, name, want)
			}})
		}
		if err := s.hold(c); err != nil {
			return err
		}
		if group != "" {
			if err := s.hold(inGroup); err != nil {
				return err
			}
		}
	}
	return s.slowFile()
}

func coldForget(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return forget(f)
}

// groupTurn has another process do the work, in a memory cgroup.
func groupTurn(quick bool, group, job, way, file string, want int64) (float64, error) {
	length := "full"
	if quick {
		length = "quick"
	}
	out, err := self("peer", "cold", length, group, job, way, file).Output()
	if err != nil {
		return 0, err
	}
	var took, sum int64
	if _, err := fmt.Sscan(string(out), &took, &sum); err != nil {
		return 0, fmt.Errorf("the other process says %q: %w", out, err)
	}
	if sum != want {
		return 0, fmt.Errorf("the sum is %d, not %d", sum, want)
	}
	return float64(took), nil
}

// groupPeer is what the other process does.
func groupPeer(args []string) error {
	if len(args) != 5 {
		return errors.New("it is started by the program itself")
	}
	quick, group, job, way, file := args[0] == "quick", args[1], args[2], args[3], args[4]
	if err := joinGroup(group); err != nil {
		return err
	}
	for _, j := range coldJobs(quick) {
		for _, w := range j.ways {
			if j.name != job || w.name != way {
				continue
			}
			if err := coldForget(file); err != nil {
				return err
			}
			start := time.Now()
			sum, err := w.run(file)
			fmt.Println(time.Since(start).Nanoseconds(), sum)
			return err
		}
	}
	return fmt.Errorf("no way of %s is called %s", job, way)
}
