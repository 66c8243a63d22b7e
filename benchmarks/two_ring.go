package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"

	"github.com/seed-498deeca/mmap"
)

// A twoRing is a queue of messages from one process to another: that of examples/ring
// without what makes it survive the death of a process.
//
// Two counters say how many messages were ever sent and received. Who finds nothing to do
// looks for a moment, and then sleeps: it says so, looks again, and waits for the other's
// counter to change. Who counts looks afterwards whether the other sleeps.
type twoRing struct {
	region *mmap.Region
	words  mmap.AtomicView[uint32]
	slots  mmap.View[uint64]
	mine   int // the word of this side's counter
	other  int
	count  uint32 // this side's counter
	seen   uint32 // the other's
	looks  int    // how often to look before sleeping
	batch  uint32 // a counter is stored when so many messages have come together, or on flush
	told   uint32 // the counter as it is stored
	woken  uint32 // the last sleep of the other that Wake ended
}

const (
	twoSlots   = 1 << 16 // a power of two
	twoMessage = 64      // bytes
	twoHead    = 1 << 10 // bytes before the slots
	twoSender  = 32      // the word of a side's counter; what each stores has cache lines of its own
	twoTaker   = 96
	twoAsleep  = 32 // words after it: odd while the side sleeps, another number each time
)

// openRing opens one end.
func openRing(name string, sends bool, how ringWay) (*twoRing, error) {
	region, err := mmap.Shared(name, twoHead+twoSlots*twoMessage)
	if err != nil {
		return nil, err
	}
	r := &twoRing{region: region, mine: twoSender, other: twoTaker, batch: how.batch}
	if !sends {
		r.mine, r.other = r.other, r.mine
	}
	if how.looks && runtime.NumCPU() > 1 {
		r.looks = 20_000 // about as long as to sleep and to be woken takes
	}
	if r.words, err = mmap.AtomicOf[uint32](region, 0, twoHead/4); err == nil {
		r.slots, err = mmap.ViewOf[uint64](region, twoHead, mmap.ToEnd)
	}
	return r, err
}

// send puts a message whose first word is a number into the next slot.
func (r *twoRing) send(number uint64, msg *[twoMessage / 8]uint64) error {
	for r.count-r.seen == twoSlots {
		if err := r.await(); err != nil {
			return err
		}
	}
	at := int(r.count%twoSlots) * twoMessage / 8
	msg[0] = number
	copy(r.slots.Sub(at, at+twoMessage/8).Slice(), msg[:])
	return r.advance()
}

// receive copies the next message, and returns its number.
func (r *twoRing) receive(msg *[twoMessage / 8]uint64) (uint64, error) {
	for r.seen == r.count {
		if err := r.await(); err != nil {
			return 0, err
		}
	}
	at := int(r.count%twoSlots) * twoMessage / 8
	copy(msg[:], r.slots.Sub(at, at+twoMessage/8).Slice())
	return msg[0], r.advance()
}

func (r *twoRing) advance() error {
	if r.count++; r.count%r.batch == 0 {
		return r.flush()
	}
	return nil
}

// flush tells the other side of everything up to here.
func (r *twoRing) flush() error {
	if r.told == r.count {
		return nil
	}
	r.told = r.count
	r.words.Store(r.mine, r.count)
	sleep := r.words.Load(r.other + twoAsleep)
	if sleep%2 == 0 || sleep == r.woken {
		return nil
	}
	r.woken = sleep
	_, err := r.words.Wake(r.mine, 1)
	return err
}

func (r *twoRing) await() (err error) {
	if err := r.flush(); err != nil {
		return err
	}
	for i := 1; i <= r.looks && r.words.Load(r.other) == r.seen; i++ {
		if i%1000 == 0 {
			giveWay() // perhaps the other side waits for a processor
		}
	}
	if r.words.Load(r.other) == r.seen {
		r.words.Add(r.mine+twoAsleep, 1)
		for err == nil && r.words.Load(r.other) == r.seen {
			err = r.words.Wait(context.Background(), r.other, r.seen)
		}
		r.words.Add(r.mine+twoAsleep, 1)
	}
	r.seen = r.words.Load(r.other)
	return err
}

// A ringWay is a variant.
type ringWay struct {
	looks bool // before it sleeps
	batch uint32
}

var ringWays = map[string]ringWay{
	"ring":                     {true, 1},
	"ring that sleeps at once": {false, 1},
	ringBatch:                  {true, 64},
}

const ringBatch = "ring, 64 counted at a time"

// A ringLink is a ring each way.
type ringLink struct{ out, in *twoRing }

func openRingLink(name string, first bool, how ringWay) (l ringLink, err error) {
	names := [2]string{name + "-there", name + "-back"}
	if !first {
		names[0], names[1] = names[1], names[0]
	}
	if l.out, err = openRing(names[0], true, how); err == nil {
		l.in, err = openRing(names[1], false, how)
	}
	return l, err
}

func (l ringLink) close() {
	l.out.region.Close()
	l.in.region.Close()
}

//go:noinline
func (l ringLink) trips(n int) error {
	return mmap.Guard(func() error {
		var msg [twoMessage / 8]uint64
		for i := range uint64(n) {
			if err := l.out.send(i, &msg); err != nil {
				return err
			}
			if err := l.out.flush(); err != nil {
				return err
			}
			if got, err := l.in.receive(&msg); err != nil || got != i {
				return twoBroken(got, i, err)
			}
		}
		return nil
	})
}

//go:noinline
func (l ringLink) echo(n int) error {
	return mmap.Guard(func() error {
		var msg [twoMessage / 8]uint64
		for range n {
			got, err := l.in.receive(&msg)
			if err == nil {
				err = l.out.send(got, &msg)
			}
			if err == nil {
				err = l.out.flush()
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

//go:noinline
func (l ringLink) stream(n int) error {
	return mmap.Guard(func() error {
		var msg [twoMessage / 8]uint64
		for i := range uint64(n) {
			if err := l.out.send(i, &msg); err != nil {
				return err
			}
		}
		if err := l.out.flush(); err != nil {
			return err
		}
		sum, err := l.in.receive(&msg)
		if want := twoSum(n); err != nil || sum != want {
			return twoBroken(sum, want, err)
		}
		return nil
	})
}

//go:noinline
func (l ringLink) take(n int) error {
	return mmap.Guard(func() error {
		var msg [twoMessage / 8]uint64
		sum := uint64(0)
		for range n {
			got, err := l.in.receive(&msg)
			if err != nil {
				return err
			}
			sum += got
		}
		if err := l.out.send(sum, &msg); err != nil {
			return err
		}
		return l.out.flush()
	})
}

// twoSum is what n numbered messages come to.
func twoSum(n int) uint64 { return uint64(n) * uint64(n-1) / 2 }

func twoBroken(got, want uint64, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("received %d, not %d", got, want)
}

// number and setNumber are of a message of bytes.
func number64(msg []byte) uint64       { return binary.LittleEndian.Uint64(msg) }
func setNumber64(msg []byte, x uint64) { binary.LittleEndian.PutUint64(msg, x) }
