package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"os"
	"runtime"

	"github.com/seed-498deeca/mmap"
)

// A Ring is one end of a bounded queue of messages between two processes, in a file
// that both map. One process sends and one receives. An end is for one goroutine at a
// time. Call its methods within [mmap.Guard], once around a whole loop: somebody may
// truncate the file.
//
// The file has two counters, of the messages that were ever sent and ever done with,
// and a slot for each message between them. Each counter is stored by one side only.
// The sender fills a slot and then counts it; the receiver deals with a message and
// then counts it. So whenever one of them is killed, a message is there as a whole or
// not at all, and the process that takes its place goes on where the counters are. A
// message that was sent is received at least once: again, if the receiver was killed
// before Done.
//
// What the other side stores is loaded once, and checked before it is used. If it
// makes no sense, the error is ErrBroken.
type Ring struct {
	file   *os.File
	region *mmap.Region
	words  mmap.AtomicView[uint32] // the head of the file
	slots  mmap.View[byte]         // each begins with the length of its message
	length mmap.View[uint32]       // the same bytes
	shape  Shape
	my     Side
	peer   Side
	sends  bool
	mine   uint32 // my counter
	theirs uint32 // the other's, as last seen
	woken  uint32 // the last sleep of the other that Wake ended
	buf    []byte
}

// A Shape is how many slots there are, a power of two, and how many bytes of message
// each can have. Both ends must use the same Shape.
type Shape struct{ Slots, Bytes int }

const (
	headBytes   = 1024
	lengthBytes = 4
)

func (s Shape) slot() int { return (lengthBytes + s.Bytes + 7) &^ 7 }

// Size is how many bytes the file must have, at least.
func (s Shape) Size() int64 { return headBytes + int64(s.Slots)*int64(s.slot()) }

// A Side is where its words are in the file. Each has a cache line of its own, and
// the next one too, which processors fetch along.
type Side struct {
	name   string
	count  int   // of messages sent, or done with
	asleep int   // odd while the side waits for the other; another number each time
	lock   int64 // the byte that the process in this place has locked
}

var (
	Sender   = Side{"sender", 32, 64, 1 << 40}
	Receiver = Side{"receiver", 96, 128, 1<<40 + 1}
)

const shapeWord = 0

var (
	ErrTaken  = errors.New("another process is in this place")
	ErrBroken = errors.New("the other side has stored nonsense")
)

// Join takes the place of one side. A file of zeros is an empty ring. The place is a
// lock on a byte behind the file's end. The system releases it when the process has
// ended, however it did. The file belongs to the Ring from here on. As long as it is
// open, the process must not close another descriptor of it: see [mmap.Config.Open].
func Join(f *os.File, my Side, shape Shape) (r *Ring, err error) {
	if shape.Slots < 1 || shape.Slots >= 1<<30 || shape.Slots&(shape.Slots-1) != 0 ||
		shape.Bytes < 0 || shape.Bytes >= 1<<24 || shape.Size() > math.MaxInt32 {
		return nil, fmt.Errorf("no ring can be of %+v", shape)
	}
	r = &Ring{file: f, shape: shape, my: my, peer: Receiver, sends: true, buf: make([]byte, shape.Bytes)}
	if my == Receiver {
		r.peer, r.sends = Sender, false
	}
	if err := lock(f, my.lock); err != nil {
		return nil, fmt.Errorf("be the %s of %s: %w", my.name, f.Name(), err)
	}
	if r.region, err = mmap.Map(f, mmap.ReadWrite); err != nil {
		return nil, err
	}
	if r.words, err = mmap.AtomicOf[uint32](r.region, 0, headBytes/4); err == nil {
		r.slots, err = mmap.ViewOf[byte](r.region, headBytes, shape.Slots*shape.slot())
	}
	if err == nil {
		r.length, err = mmap.ViewOf[uint32](r.region, headBytes, shape.Slots*shape.slot()/4)
	}
	if err == nil {
		err = mmap.Guard(r.enter)
	}
	if err != nil {
		r.region.Close()
		return nil, fmt.Errorf("be the %s of %s: %w", my.name, f.Name(), err)
	}
	return r, nil
}

func (r *Ring) enter() error {
	shape := uint32(bits.Len(uint(r.shape.Slots)))<<24 | uint32(r.shape.Bytes)
	if r.words.CompareAndSwap(shapeWord, 0, shape); r.words.Load(shapeWord) != shape {
		return fmt.Errorf("it is a ring of another shape than %+v", r.shape)
	}
	r.mine = r.words.Load(r.my.count)
	r.words.Store(r.my.asleep, (r.words.Load(r.my.asleep)|1)+1) // who was here before may have been killed asleep
	return r.look()
}

// Count is how many messages were ever sent, or done with, up to here: the number of
// the next. It begins again at 0 after 2^32. A process that takes a place goes on
// from there.
func (r *Ring) Count() uint32 { return r.mine }

// Send waits until there is a free slot, and puts a message into it.
func (r *Ring) Send(ctx context.Context, msg []byte) error {
	if len(msg) > r.shape.Bytes {
		return fmt.Errorf("a message of %d bytes, and slots have %d", len(msg), r.shape.Bytes)
	}
	for r.queued() == uint32(r.shape.Slots) {
		if err := r.await(ctx); err != nil {
			return err
		}
	}
	at := r.slot()
	r.length.Set(at/4, uint32(len(msg)))
	at += lengthBytes
	copy(r.slots.Sub(at, at+len(msg)).Slice(), msg)
	return r.advance()
}

// Receive waits for a message, and returns the oldest. It stays in the ring until
// Done: until then Receive returns it again. The bytes are valid until the next call.
func (r *Ring) Receive(ctx context.Context) (msg []byte, err error) {
	for r.queued() == 0 {
		if err := r.await(ctx); err != nil {
			return nil, err
		}
	}
	at := r.slot()
	n := r.length.At(at / 4) // once: it may change
	if n > uint32(r.shape.Bytes) {
		return nil, ErrBroken
	}
	at += lengthBytes
	return r.buf[:copy(r.buf, r.slots.Sub(at, at+int(n)).Slice())], nil
}

// Done says that the message that Receive returned was dealt with, and frees its slot.
func (r *Ring) Done() error {
	if r.sends || r.queued() == 0 {
		return errors.New("no message was received")
	}
	return r.advance()
}

// Peer says whether a process is in the other place.
func (r *Ring) Peer() (bool, error) { return locked(r.file, r.peer.lock) }

// Close leaves the place.
func (r *Ring) Close() error { return errors.Join(r.region.Close(), r.file.Close()) }

// queued is how many messages there are, as far as this side knows.
func (r *Ring) queued() uint32 {
	if r.sends {
		return r.mine - r.theirs
	}
	return r.theirs - r.mine
}

// slot is where the slot of the next message begins.
func (r *Ring) slot() int { return int(r.mine) & (r.shape.Slots - 1) * r.shape.slot() }

// look loads the other's counter.
func (r *Ring) look() error {
	r.theirs = r.words.Load(r.peer.count)
	if r.queued() > uint32(r.shape.Slots) {
		return ErrBroken
	}
	return nil
}

// advance counts a message, and wakes the other side if it sleeps.
//
// No wake-up is lost. The side that goes to sleep says so first, and then looks at the
// counter again. The side that counts stores the counter first, and then looks whether
// the other sleeps. All four are sequentially consistent. So either the side that
// counts finds the other asleep and wakes it, or the other finds the counter changed
// and does not sleep. One Wake for each sleep is enough: each sleep has its own
// number, and during it the other waits for one value of the counter to change. It has
// changed by then, so Wait returns. A side that is killed between the store and Wake
// leaves the other asleep for the 20 ms after which Wait looks by itself.
func (r *Ring) advance() error {
	r.mine++
	r.words.Store(r.my.count, r.mine)
	sleep := r.words.Load(r.peer.asleep)
	if sleep%2 == 0 || sleep == r.woken {
		return nil
	}
	r.woken = sleep
	_, err := r.words.Wake(r.my.count, 1)
	return err
}

// await waits until the other's counter is not what it was: first awake for a moment,
// if the other side can have a processor meanwhile.
func (r *Ring) await(ctx context.Context) (err error) {
	for i := 1; i <= spins && r.words.Load(r.peer.count) == r.theirs; i++ {
		if i%1000 == 0 {
			giveWay() // perhaps the other side waits for a processor
		}
	}
	if r.words.Load(r.peer.count) == r.theirs {
		r.words.Add(r.my.asleep, 1)
		for err == nil && r.words.Load(r.peer.count) == r.theirs {
			err = r.words.Wait(ctx, r.peer.count, r.theirs)
		}
		r.words.Add(r.my.asleep, 1)
	}
	if err != nil {
		return err
	}
	return r.look()
}

// spins is how often to look before sleeping: about as long as to sleep and to be
// woken takes.
var spins = func() int {
	if runtime.NumCPU() == 1 {
		return 0
	}
	return 20_000
}()
