package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"unsafe"

	expmmap "golang.org/x/exp/mmap"

	"github.com/seed-498deeca/mmap"
)

// First scans: a file that is in memory is opened, its 64-bit integers are summed, and it
// is closed. A mapping is new each time, and so are its page tables.
//
// How large the pieces are in which the kernel has the file in memory decides the
// speed of all ways, and that of a mapping most: a page fault maps a whole piece. Reading
// a file brings it in by large ones, and small writes leave small ones. So there are two
// contests.

// A scanWay sums the file.
type scanWay struct {
	name string
	scan func(l scanLoops) (int64, error)
}

func firstScan(s *session) error {
	size := 1 << 30
	if s.quick {
		size = 256 << 20
	}
	name := filepath.Join(s.dir, "scan")
	defer os.Remove(name)
	progress("making a file of %s", sizeOf(size))
	err := scanFile(name, size)
	if err == nil {
		err = bringIn(name)
	}
	state := "as reading it in order brought it there"
	if errors.Is(err, errors.ErrUnsupported) {
		s.skip("a scan of a file that reading brought into memory: %v", err)
		state = "as writing it in pieces of 4 KiB left it"
	} else if err != nil {
		return err
	}
	c, err := s.scans(name, size, true)
	if err != nil {
		return err
	}
	c.name = "first scan of a cached file"
	c.work = fmt.Sprintf("Open a file of %s that is in memory, %s; sum its 64-bit integers; close it.", sizeOf(size), state)
	if err := s.hold(c); err != nil || state[3] == 'w' {
		return err
	}

	os.Remove(name)
	if s.quick {
		size /= 2
	}
	if err := scanFile(name, size); err != nil {
		return err
	}
	if c, err = s.scans(name, size, false); err != nil {
		return err
	}
	c.name = "first scan of a file written in small pieces"
	c.work = fmt.Sprintf("The same with a file of %s that is in memory as writing it in pieces of 4 KiB left it: where the kernel keeps it page by page, that decides the speed of all ways.", sizeOf(size))
	return s.hold(c)
}

// scans makes the contest. The goals are those of a file that reading brought in.
func (s *session) scans(name string, size int, all bool) (contest, error) {
	want, err := scanPread(name, 1<<20)(scanPlaces[0])
	if err != nil {
		return contest{}, err
	}
	best := make(map[string]int)
	buffered := map[string]func(string, int) func(scanLoops) (int64, error){"pread": scanPread, "read": scanRead}
	if all {
		buffered["bufio"], buffered["x/exp/mmap"] = scanBufio, scanExp
	}
	for what, scan := range buffered {
		best[what], err = bestBuffer(what, func(buffer int) error {
			_, err := scan(name, buffer)(scanPlaces[0])
			return err
		})
		if err != nil {
			return contest{}, err
		}
	}
	pread := "os.File.ReadAt of " + sizeOf(best["pread"])
	plain := mmap.Config{}
	ways := []scanWay{
		{name: "View.Chunks of 1 MiB, View.At", scan: scanOurs(name, plain, scanChunks(1<<17))},
		{name: "View.At", scan: scanOurs(name, plain, scanAt)},
		{name: "View.Slice, range", scan: scanOurs(name, plain, scanSlice)},
		{name: "View.At, Populate", scan: scanOurs(name, mmap.Config{Populate: true}, scanAt)},
		{name: pread, scan: scanPread(name, best["pread"])},
		{name: "os.File.Read of " + sizeOf(best["read"]), scan: scanRead(name, best["read"])},
	}
	if all {
		ways = append(ways,
			scanWay{name: "View.At, Sequential", scan: scanOurs(name, plain, scanAdvised(mmap.Sequential))},
			scanWay{name: "View.At, Random", scan: scanOurs(name, plain, scanAdvised(mmap.Random))},
			scanWay{name: "View.At, TransparentHugePages", scan: scanOurs(name, mmap.Config{HugePages: mmap.TransparentHugePages}, scanAt)},
			scanWay{name: "View.At, Reserve of 16 times as much", scan: scanOurs(name, mmap.Config{Reserve: 16 * int64(size)}, scanAt)},
			scanWay{name: "bufio of " + sizeOf(best["bufio"]), scan: scanBufio(name, best["bufio"])},
			scanWay{name: "x/exp/mmap ReadAt of " + sizeOf(best["x/exp/mmap"]), scan: scanExp(name, best["x/exp/mmap"])},
			scanWay{name: "edsrzf/mmap-go", scan: scanPeer(name, mapEdsrzf)},
			scanWay{name: "blevesearch/mmap-go", scan: scanPeer(name, mapBleve)},
			scanWay{name: "ristretto z.MmapFile", scan: scanPeer(name, mapRistretto)})
	}
	ways = append(ways, scansBare(name)...)
	ways = append(ways, scansInC(s, name, best["read"])...)

	c := contest{n: 1, per: "scan", rounds: len(scanPlaces)}
	if !s.quick {
		c.rounds = 2 * len(scanPlaces)
	}
	for _, w := range ways {
		c.ways = append(c.ways, way{name: w.name, turn: func(round int) (float64, error) {
			return timed(func() error {
				sum, err := w.scan(scanPlaces[round%len(scanPlaces)])
				if err == nil && sum != want {
					err = fmt.Errorf("the sum is %d, not %d", sum, want)
				}
				return err
			})(round)
		}})
	}
	if all {
		c.goals = []goal{{text: "the best pread takes so many times as long as View.Chunks", atLeast: 1.8,
			value: func(r round) float64 { return r[pread] / r[c.ways[0].name] }}}
		for _, w := range ways {
			if w.name == "unix.Mmap" {
				c.goals = append(c.goals, goal{text: "View.At takes so many times as long as unix.Mmap", atMost: 1.1, code: true,
					value: func(r round) float64 { return r["View.At"] / r["unix.Mmap"] }})
			}
		}
	}
	return c, nil
}

// scanFile writes a file in pieces of 4 KiB.
func scanFile(name string, size int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	src := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 4<<10)
	for done := 0; done < size; done += len(buf) {
		src.Read(buf)
		if _, err := f.Write(buf); err != nil {
			return err
		}
	}
	return f.Close()
}

// bringIn drops a file from memory and reads it, in order.
func bringIn(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := forget(f); err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 128<<10))
	return err
}

// scanOurs maps by this library, and closes.
func scanOurs(name string, c mmap.Config, sum func(l scanLoops, r *mmap.Region, v mmap.View[int64]) (int64, error)) func(scanLoops) (int64, error) {
	return func(l scanLoops) (int64, error) {
		r, err := c.Open(name)
		if err != nil {
			return 0, err
		}
		defer r.Close()
		v, err := mmap.ViewOf[int64](r, 0, mmap.ToEnd)
		if err != nil {
			return 0, err
		}
		return sum(l, r, v)
	}
}

func scanAt(l scanLoops, _ *mmap.Region, v mmap.View[int64]) (int64, error) { return l.view(v), nil }

func scanSlice(l scanLoops, _ *mmap.Region, v mmap.View[int64]) (int64, error) {
	return l.ints(v.Slice()), nil
}

func scanAdvised(a mmap.Advice) func(scanLoops, *mmap.Region, mmap.View[int64]) (int64, error) {
	return func(l scanLoops, r *mmap.Region, v mmap.View[int64]) (int64, error) {
		if err := r.Advise(0, mmap.ToEnd, a); err != nil {
			return 0, err
		}
		return l.view(v), nil
	}
}

func scanChunks(n int) func(scanLoops, *mmap.Region, mmap.View[int64]) (int64, error) {
	return func(l scanLoops, _ *mmap.Region, v mmap.View[int64]) (sum int64, err error) {
		for _, c := range v.Chunks(n) {
			sum += l.view(c)
		}
		return sum, nil
	}
}

// scanPeer maps by a library that hands out bytes.
func scanPeer(name string, how func(*os.File, bool) (mapped, error)) func(scanLoops) (int64, error) {
	return func(l scanLoops) (int64, error) {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		m, err := how(f, false)
		if err != nil {
			return 0, err
		}
		sum := l.ints(scanInts(m.data))
		return sum, m.unmap()
	}
}

// scanPieces sums what read brings into a buffer, until there is no more.
func scanPieces(l scanLoops, buffer int, read func(p []byte, off int64) (int, error)) (sum int64, err error) {
	p := make([]int64, buffer/8)
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(p))), buffer)
	for off := int64(0); ; {
		n, err := read(b, off)
		sum += l.ints(p[:n/8])
		off += int64(n)
		if err == io.EOF || err == nil && n == 0 {
			return sum, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func scanPread(name string, buffer int) func(scanLoops) (int64, error) {
	return func(l scanLoops) (int64, error) {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return scanPieces(l, buffer, f.ReadAt)
	}
}

func scanRead(name string, buffer int) func(scanLoops) (int64, error) {
	return func(l scanLoops) (int64, error) {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return scanPieces(l, buffer, func(p []byte, _ int64) (int, error) { return f.Read(p) })
	}
}

// scanBufio looks at what is buffered in place: a copy of each integer takes longer.
func scanBufio(name string, buffer int) func(scanLoops) (int64, error) {
	return func(l scanLoops) (sum int64, err error) {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		r := bufio.NewReaderSize(f, buffer)
		for {
			b, err := r.Peek(buffer)
			sum += l.ints(scanInts(b))
			if err == io.EOF {
				return sum, nil
			}
			if err != nil {
				return 0, err
			}
			r.Discard(len(b))
		}
	}
}

func scanExp(name string, buffer int) func(scanLoops) (int64, error) {
	return func(l scanLoops) (int64, error) {
		r, err := expmmap.Open(name)
		if err != nil {
			return 0, err
		}
		defer r.Close()
		return scanPieces(l, buffer, r.ReadAt)
	}
}
