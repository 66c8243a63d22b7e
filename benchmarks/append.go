package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-498deeca/mmap"
)

const appendSize = 16 // bytes of a record

// An appendRecord is what is appended. Its byte order is little-endian in the file.
type appendRecord struct{ Key, Value uint64 }

func appendNth(i int) appendRecord {
	return appendRecord{uint64(i), uint64(i) * 0x9e3779b97f4a7c15}
}

// appending appends records to a file, and makes them durable.
func appending(s *session) error {
	all, some := 10_000_000, 100_000
	if s.quick {
		all, some = 1_000_000, 10_000
	}
	name := filepath.Join(s.dir, "append")
	defer os.Remove(name)
	for _, j := range []appendJob{
		{name, all, all},
		{name, some, 1000},
	} {
		c := contest{
			name: "append, durable at the end",
			work: fmt.Sprintf("Append %d records of 16 bytes to an empty file, durable at the end.", j.n),
			n:    j.n, per: "record",
			rounds: 10,
		}
		if j.batch < j.n {
			c.name = fmt.Sprintf("append, durable every %d", j.batch)
			c.work = fmt.Sprintf("Append %d records of 16 bytes to an empty file, durable after every %d.", j.n, j.batch)
		}
		for _, w := range []struct {
			name   string
			append func(j appendJob, size int) error
		}{
			{"View, TransparentHugePages, Resize by %d KiB", appendHuge},
			{"View, Resize by %d KiB", appendSmall},
			{"bufio of %d KiB, fsync", appendBufio},
			{"pwrite of %d KiB, fdatasync", appendPwrite},
		} {
			size, err := j.bestSize(w.append)
			if err != nil {
				return err
			}
			c.ways = append(c.ways, j.way(fmt.Sprintf(w.name, size>>10), w.append, size))
		}
		if err := s.hold(c); err != nil {
			return err
		}
	}
	return nil
}

// An appendJob is n records that are appended, durable after each batch.
type appendJob struct {
	file     string
	n, batch int
}

func (j appendJob) before() error {
	if err := os.RemoveAll(j.file); err != nil {
		return err
	}
	return settled(filepath.Dir(j.file))
}

func (j appendJob) way(name string, fn func(j appendJob, size int) error, size int) way {
	return way{name: name, before: j.before, turn: func(int) (float64, error) {
		start := time.Now()
		err := fn(j, size)
		took := time.Since(start)
		if err != nil {
			return 0, err
		}
		return float64(took), j.check()
	}}
}

// bestSize finds the size of buffer, or of step, with which fn takes least.
func (j appendJob) bestSize(fn func(j appendJob, size int) error) (best int, err error) {
	j.n = min(j.n, 1_000_000)
	var least float64
	for size := 4 << 10; size <= 16<<20; size *= 4 {
		var times []float64
		for range 3 {
			progress("append: which size is best: %d KiB", size>>10)
			if err := j.before(); err != nil {
				return 0, err
			}
			start := time.Now()
			if err := fn(j, size); err != nil {
				return 0, err
			}
			times = append(times, float64(time.Since(start)))
		}
		if took := median(times); best == 0 || took < 0.97*least {
			best, least = size, took
		}
	}
	return best, nil
}

// check reads what must have been written.
func (j appendJob) check() error {
	f, err := os.Open(j.file)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 256<<10)
	var p [appendSize]byte
	for i := range j.n {
		if _, err := io.ReadFull(in, p[:]); err != nil {
			return err
		}
		want := appendNth(i)
		if binary.LittleEndian.Uint64(p[:]) != want.Key || binary.LittleEndian.Uint64(p[8:]) != want.Value {
			return fmt.Errorf("record %d is %x", i, p)
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return errors.New("the file is too long")
	}
	return nil
}

//go:noinline
func appendHuge(j appendJob, step int) error {
	return appendView(j, step, mmap.Config{HugePages: mmap.TransparentHugePages})
}

//go:noinline
func appendSmall(j appendJob, step int) error { return appendView(j, step, mmap.Config{}) }

// appendView grows the file in steps, and gives back at the end what it did not need.
func appendView(j appendJob, step int, c mmap.Config) error {
	c.Reserve = 1 << 30
	r, err := c.Create(j.file, 0)
	if err != nil {
		return err
	}
	for done, synced := 0, 0; done < j.n; {
		room := r.Len()/appendSize - done
		if room == 0 {
			if err := r.Resize(int64(r.Len() + step)); err != nil {
				return err
			}
			continue
		}
		n := min(room, j.n-done, synced+j.batch-done)
		if err := appendFill(r, done, n); err != nil {
			return err
		}
		done += n
		if done == synced+j.batch && done < j.n {
			if err := r.SyncRange(synced*appendSize, j.batch*appendSize); err != nil {
				return err
			}
			synced = done
		}
	}
	if err := r.Resize(int64(j.n * appendSize)); err != nil {
		return err
	}
	return errors.Join(r.Sync(), r.Close())
}

// appendFill stores n records, the first of which is number i.
//
//go:noinline
func appendFill(r *mmap.Region, i, n int) error {
	v, err := mmap.LittleEndianOf[uint64](r, i*appendSize, 2*n)
	if err != nil {
		return err
	}
	for k := range n {
		rec := appendNth(i + k)
		v.Set(2*k, rec.Key)
		v.Set(2*k+1, rec.Value)
	}
	return nil
}

//go:noinline
func appendBufio(j appendJob, buffer int) error {
	f, err := os.Create(j.file)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, buffer)
	for i := 0; i < j.n; {
		for range min(j.batch, j.n-i) {
			rec := appendNth(i)
			p := out.AvailableBuffer()
			p = binary.LittleEndian.AppendUint64(p, rec.Key)
			p = binary.LittleEndian.AppendUint64(p, rec.Value)
			if _, err := out.Write(p); err != nil {
				return err
			}
			i++
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return f.Close()
}

//go:noinline
func appendPwrite(j appendJob, buffer int) error {
	f, err := os.Create(j.file)
	if err != nil {
		return err
	}
	p := make([]byte, 0, buffer)
	off := int64(0)
	write := func() error {
		n, err := f.WriteAt(p, off)
		off += int64(n)
		p = p[:0]
		return err
	}
	for i := 0; i < j.n; {
		for range min(j.batch, j.n-i) {
			if len(p)+appendSize > cap(p) {
				if err := write(); err != nil {
					return err
				}
			}
			rec := appendNth(i)
			p = binary.LittleEndian.AppendUint64(p, rec.Key)
			p = binary.LittleEndian.AppendUint64(p, rec.Value)
			i++
		}
		if err := write(); err != nil {
			return err
		}
		if err := fdatasync(f); err != nil {
			return err
		}
	}
	return f.Close()
}
