package main

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"

	expmmap "golang.org/x/exp/mmap"

	"github.com/seed-498deeca/mmap"
)

var sink uint64 // keeps the compiler from leaving work out

// randomAccess reads 8 bytes at random places of a file that is in memory.
func randomAccess(s *session) error {
	size := 1 << 30
	if s.quick {
		size = 256 << 20
	}
	name := filepath.Join(s.dir, "random")
	if err := makeFile(name, size); err != nil {
		return err
	}
	defer os.Remove(name)
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := mmap.Config{Mode: mmap.ReadOnly, Populate: true}.Map(f)
	if err != nil {
		return err
	}
	defer r.Close()
	v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		return err
	}
	peer, err := expmmap.Open(name)
	if err != nil {
		return err
	}
	defer peer.Close()
	at := make([]int, 1<<15)
	for i := range at {
		at[i] = rand.IntN(size / 8)
	}
	return s.hold(contest{
		name: "random reads of 8 bytes, 1 goroutine",
		work: "Reads of 8 bytes at random places of a file that is in memory.",
		n:    len(at), per: "read",
		ways: []way{
			{name: "View.At", turn: timed(func() error {
				sum := uint64(0)
				for _, i := range at {
					sum += v.At(i)
				}
				sink += sum
				return nil
			})},
			{name: "Region.ReadAt", turn: timed(func() error { return readAt(r, at) })},
			{name: "x/exp/mmap ReadAt", turn: timed(func() error { return readAt(peer, at) })},
			{name: "os.File.ReadAt", turn: timed(func() error { return readAt(f, at) })},
		},
		goals: []goal{
			{text: "os.File.ReadAt takes so many times as long as View.At", atLeast: 100, code: true,
				value: func(r round) float64 { return r["os.File.ReadAt"] / r["View.At"] }},
			{text: "ns that Region.ReadAt takes more than x/exp/mmap", atMost: 4, code: true,
				value: func(r round) float64 { return r["Region.ReadAt"] - r["x/exp/mmap ReadAt"] }},
		},
	})
}

// readAt sums 8-byte integers. It is compiled for each type by itself.
func readAt[R interface {
	ReadAt(p []byte, off int64) (int, error)
}](r R, at []int) error {
	var buf [8]byte
	sum := uint64(0)
	for _, i := range at {
		if _, err := r.ReadAt(buf[:], int64(i)*8); err != nil {
			return err
		}
		sum += binary.LittleEndian.Uint64(buf[:])
	}
	sink += sum
	return nil
}
