//go:build !mmap_posix

package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// What accesses to pages that are missing ask of the system. Whatever it refuses, they
// work: without pages that were brought in before, page faults bring them in.

// The cases run without garbage collection: their buffers are shared.
var (
	coldBytes  = manyBytes + pageBytes
	coldBuffer = make([]byte, coldBytes)
	coldZeros  = make([]byte, coldBytes)
)

// coldAccesses are operations on a file that is a hole, none of whose pages is in
// memory. They check the bytes that they find.
func coldAccesses() (ops []*operation) {
	hole := func(s *stage) {
		if err := errors.Join(os.WriteFile(s.name, nil, 0o600), os.Truncate(s.name, int64(coldBytes))); err != nil {
			s.Fatal(err)
		}
		s.keep(Config{Mode: ReadWrite}.Open(s.name))
	}
	// into lets fn read into the buffer, which must have zeros afterwards.
	into := func(fn func(p []byte) (int, error)) error {
		copy(coldBuffer, "other bytes")
		n, err := fn(coldBuffer)
		if err == nil && !bytes.Equal(coldBuffer[:n], coldZeros) {
			err = fmt.Errorf("%d bytes, or other ones than zeros", n)
		}
		return err
	}
	for what, do := range map[string]func(r *Region) error{
		"Chunks": func(r *Region) error {
			return into(func(p []byte) (n int, err error) {
				for i, c := range mustView[byte](r).Chunks(50_000) {
					k, err := c.CopyTo(p[i:])
					if n += k; err != nil {
						return n, err
					}
				}
				return n, nil
			})
		},
		"ReadAt of many bytes": func(r *Region) error {
			return into(func(p []byte) (int, error) { return r.ReadAt(p, 0) })
		},
		"CopyTo of many bytes": func(r *Region) error { return into(mustView[byte](r).CopyTo) },
		"WriteTo": func(r *Region) error {
			return into(func(p []byte) (int, error) {
				b := bytes.NewBuffer(p[:0])
				n, err := r.WriteTo(b)
				return int(n), err
			})
		},
		"WriteAt of many bytes": func(r *Region) error {
			_, err := r.WriteAt(coldZeros, 0)
			return err
		},
		"CopyFrom of many bytes": func(r *Region) error { return second(mustView[byte](r).CopyFrom(coldZeros)) },
	} {
		for lacks, always := range map[string]map[string]unix.Errno{
			"":                                  nil,
			", before 5.14":                     {"madvise": unix.EINVAL},
			", where residency is not told":     {"mincore": unix.ENOSYS},
			", before 5.14, and it is not told": {"madvise": unix.EINVAL, "mincore": unix.ENOSYS},
		} {
			ops = append(ops, &operation{what: what + lacks, prepare: hole, always: always, extra: true, do: func(s *stage) error {
				// Here, because the state before was found out by reading.
				f, err := os.OpenFile(s.name, os.O_RDWR, 0)
				if err != nil {
					return err
				}
				defer f.Close()
				if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, int64(coldBytes)); err != nil {
					s.Fatal(err)
				}
				return do(s.r)
			}})
		}
	}
	return ops
}
