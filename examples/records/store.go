package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"os"

	"github.com/seed-498deeca/mmap"
)

// A Record is what is stored. Give it fields of your own: numbers of fixed size, and
// arrays of them. StructViewOf refuses what has no single layout. The function sum must
// have the fields too.
type Record struct {
	Key   uint64 // no two records have the same
	Time  int64  // in nanoseconds since 1970
	Value float64
}

// A Store is an append-only file of records with an index, which one process writes
// and any number of them read meanwhile. Each process opens it for itself, and uses its
// Store from one goroutine at a time.
//
// The file is a head and then segments, each with twice the room of the one before:
//
//	head, 4096 bytes: magic number and count of records, as uint32
//	segment 0:   512 slots of 4 bytes,  256 entries of 32 bytes
//	segment 1:  1024 slots of 4 bytes,  512 entries of 32 bytes
//	...
//
// An entry is a record and its checksum. The slots are a hash table over the entries of
// the segment: a slot has the number of a record plus one, or 0. The records of all
// segments are numbered from 0 on. So the file grows by a segment at its end. What is
// there never moves, and the views of it stay valid.
//
// # What a crash leaves
//
// A record is there when the count says so. The writer stores entries and slots beyond
// the count, has them synced, and only then stores the count. So after a loss of power
// the disk has all records that its count includes, and a process that is killed leaves
// nothing half done. One counter is enough, and needs neither a second copy nor a
// checksum. It is the only word of the head that ever changes. An aligned word of 4
// bytes lies in one sector, and of a sector a disk has the old state or the new one.
//
// What a crash leaves beyond the count does no harm. An entry there is overwritten. A
// slot there counts as free, as it did for whoever filled the slots around it: numbers
// only go up, so all records that were put behind that slot are beyond the count, too.
// The next writer clears it.
// For the same reason a reader that knows an old count finds each of its records, while
// the writer goes on.
//
// A reader may see a record that a loss of power takes back: one whose Commit has not
// returned. A store that is not durable leaves out the syncs. It survives when its
// processes are killed, but not a loss of power: that may take any part of it, and
// Verify finds that it did.
//
// # Machines
//
// Numbers are in the byte order of the machine. A machine of the other order reads
// another magic number, and refuses the file.
type Store struct {
	lock     *os.File // the writer's
	region   *mmap.Region
	head     mmap.AtomicView[uint32]
	segments []segment // those that records were asked of
	next     uint32    // the number of the writer's next record
	durable  bool
}

type segment struct {
	first   uint32 // the number of its first record
	slots   mmap.AtomicView[uint32]
	entries mmap.View[entry]
}

type entry struct {
	Record
	Sum uint32
	_   uint32
}

const (
	headBytes    = 4096
	firstRecords = 256                  // of segment 0
	maxRecords   = 1<<32 - firstRecords // of 24 segments: a slot has no larger number
)

// The words of the head.
const (
	magicWord = iota // magic and the bytes of an entry, in one word that is stored at once
	countWord
	headWords

	magic     = 0x52430000
	magicMask = 0xffff0000
)

var (
	ErrTaken   = errors.New("another process writes to it")
	ErrExists  = errors.New("there is a record with this key")
	ErrDamaged = errors.New("the store is damaged")
)

var entryBytes = binary.Size(entry{})

// firstOf is the number of the first record of segment k.
func firstOf(k int) int64 { return firstRecords<<k - firstRecords }

// offsetOf is where segment k begins in the file.
func offsetOf(k int) int64 { return headBytes + firstOf(k)*int64(2*4+entryBytes) }

// segmentOf is the segment that has a record.
func segmentOf(number uint32) int { return bits.Len32(number/firstRecords+1) - 1 }

// reserve is the address space that a store can grow in. It costs no memory.
func reserve() int64 {
	if bits.UintSize == 32 {
		return 64 << 20
	}
	return 64 << 30
}

// OpenWriter opens the store, or makes it, to append to it. The writer has a lock on
// the file, which the system takes back when the process ends, however it does.
func OpenWriter(name string, durable bool) (*Store, error) {
	// A file of its own for the lock: the region's is the library's.
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	// OpenOrCreate, because its Sync makes the name durable too.
	r, err := mmap.Config{Reserve: reserve()}.OpenOrCreate(name, 0)
	if err != nil {
		f.Close()
		return nil, err
	}
	s := &Store{lock: f, region: r, durable: durable}
	err = mmap.Guard(func() error {
		if err := s.format(); err != nil {
			return err
		}
		return s.enter()
	})
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// OpenReader opens a store to read and follow it.
func OpenReader(name string) (*Store, error) {
	r, err := mmap.Config{Reserve: reserve()}.Open(name)
	if err != nil {
		return nil, err
	}
	s := &Store{region: r}
	if err := mmap.Guard(s.enter); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// format makes an empty store of a file that has nothing yet, or only zeros: one that
// was just made, or whose writer came to an end before it stored the magic number.
func (s *Store) format() error {
	head := make([]byte, min(headBytes, s.region.Len()))
	if _, err := s.region.ReadAt(head, 0); err != nil {
		return err
	}
	if len(bytes.Trim(head, "\x00")) > 0 {
		return nil
	}
	if int64(s.region.Len()) < offsetOf(1) {
		if err := s.region.Resize(offsetOf(1)); err != nil {
			return err
		}
	}
	head32, err := mmap.AtomicOf[uint32](s.region, 0, headWords)
	if err != nil {
		return err
	}
	head32.Store(magicWord, magic|uint32(entryBytes))
	return s.region.Sync()
}

// enter looks whether the file is a store, and takes up what it has.
func (s *Store) enter() (err error) {
	name := s.region.Name()
	if s.region.Len() < headBytes {
		return fmt.Errorf("%s is no store: it has %d bytes", name, s.region.Len())
	}
	if s.head, err = mmap.AtomicOf[uint32](s.region, 0, headWords); err != nil {
		return err
	}
	m := s.head.Load(magicWord)
	if bits.ReverseBytes32(m)&magicMask == magic {
		return fmt.Errorf("%s is a store of machines with the other byte order", name)
	}
	if m&magicMask != magic {
		return fmt.Errorf("%s is no store: it begins with %#x", name, m)
	}
	if n := int(m &^ magicMask); n != entryBytes {
		return fmt.Errorf("%s is a store of other records: they take %d bytes each, and ours %d", name, n, entryBytes)
	}
	s.next, err = s.count()
	return err
}

// Close closes the store. What was appended since the last Commit is lost.
func (s *Store) Close() error {
	err := s.region.Close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// Len returns how many records there are.
func (s *Store) Len() (n uint32, err error) {
	err = mmap.Guard(func() error { n, err = s.count(); return err })
	return n, err
}

// Wait waits until the number of records is no longer n.
func (s *Store) Wait(ctx context.Context, n uint32) error {
	return mmap.Guard(func() error {
		for s.head.Load(countWord) == n {
			if err := s.head.Wait(ctx, countWord, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// At returns the record with a number, which is less than Len.
func (s *Store) At(number uint32) (r Record, err error) {
	err = mmap.Guard(func() error {
		count, err := s.count()
		if err != nil {
			return err
		}
		if number >= count {
			return fmt.Errorf("%s: record %d of %d: %w", s.region.Name(), number, count, mmap.ErrRange)
		}
		r, err = s.record(number)
		return err
	})
	return r, err
}

// Lookup returns the record with a key, and whether there is one.
func (s *Store) Lookup(key uint64) (r Record, found bool, err error) {
	err = mmap.Guard(func() error {
		count, err := s.count()
		if err != nil {
			return err
		}
		number, ok, err := s.find(key, count)
		if err != nil || !ok {
			return err
		}
		found = true
		r, err = s.record(number)
		return err
	})
	return r, found, err
}

// Append adds a record, which is there for others after Commit. If the key is there
// already, the error is ErrExists.
func (s *Store) Append(r Record) error {
	return mmap.Guard(func() error {
		if s.next == maxRecords {
			return fmt.Errorf("%s is full: it has %d records", s.region.Name(), s.next)
		}
		if _, found, err := s.find(r.Key, s.next); err != nil {
			return err
		} else if found {
			return fmt.Errorf("%s, key %d: %w", s.region.Name(), r.Key, ErrExists)
		}
		k := segmentOf(s.next)
		if end := offsetOf(k + 1); int64(s.region.Len()) < end {
			if err := s.region.Resize(end); err != nil { // the disk may be full
				return err
			}
		}
		if err := s.reach(s.next + 1); err != nil {
			return err
		}
		slot, _, err := s.look(k, r.Key, s.next)
		if err != nil {
			return err
		}
		g := s.segments[k]
		g.entries.Set(int(s.next-g.first), entry{Record: r, Sum: sum(r)})
		g.slots.Store(slot, s.next+1)
		s.next++
		return nil
	})
}

// Commit shows what was appended to the readers, and returns how many records there
// are. If the store is durable and the error is nil, they survive a loss of power.
// After an error that is unknown: close the store, and look what it has.
func (s *Store) Commit() (count uint32, err error) {
	return s.next, mmap.Guard(func() error {
		if s.durable {
			if err := s.region.Sync(); err != nil { // the records, before the count
				return err
			}
		}
		s.head.Store(countWord, s.next)
		if _, err := s.head.Wake(countWord, math.MaxInt); err != nil || !s.durable {
			return err
		}
		return s.head.Sync()
	})
}

// Verify checks of all records whether each is as it was stored and is found by its
// key. It returns how many there are.
func (s *Store) Verify() (count uint32, err error) {
	err = mmap.Guard(func() error {
		if count, err = s.count(); err != nil {
			return err
		}
		for k, g := range s.segments {
			n := min(int64(count)-int64(g.first), int64(g.entries.Len())) // negative, if the writer has begun it
			if err := s.verify(k, int(max(n, 0)), count); err != nil {
				return err
			}
		}
		return nil
	})
	return count, err
}

// verify looks at the first n entries of segment k, and at its slots.
func (s *Store) verify(k, n int, count uint32) error {
	g := s.segments[k]
	for i, part := range g.entries.Sub(0, n).Chunks(1 << 12) { // read ahead: see View.Chunks
		for j, e := range part.All() {
			number := g.first + uint32(i+j)
			if e.Sum != sum(e.Record) {
				return s.damaged("record %d has a wrong checksum", number)
			}
			if at, found, err := s.find(e.Key, count); err != nil {
				return err
			} else if !found {
				return s.damaged("record %d is not found by its key, %d", number, e.Key)
			} else if at != number {
				return s.damaged("records %d and %d have one key, %d", number, at, e.Key)
			}
		}
	}
	used := 0
	for i := range g.slots.Len() {
		if isUsed(g.slots.Load(i), count) {
			used++
		}
	}
	if used != n {
		return s.damaged("%d records of segment %d are in %d slots", n, k, used)
	}
	return nil
}

// count loads how many records there are, and makes sure that their segments can be
// reached: the file may have grown.
func (s *Store) count() (uint32, error) {
	n := s.head.Load(countWord)
	if n > maxRecords {
		return 0, s.damaged("it cannot have %d records", n)
	}
	return n, s.reach(n)
}

// reach makes views of the segments of the first n records.
func (s *Store) reach(n uint32) error {
	for k := len(s.segments); int64(n) > firstOf(k); k++ {
		if int64(s.region.Len()) < offsetOf(k+1) {
			if err := s.region.Refresh(); err != nil {
				return err
			}
		}
		if int64(s.region.Len()) == int64(s.region.Cap()) && int64(s.region.Cap()) < offsetOf(k+1) {
			return fmt.Errorf("%s has %d records: this machine reserves room for less", s.region.Name(), n)
		}
		if int64(s.region.Len()) < offsetOf(k+1) {
			return s.damaged("%d records, and only %d bytes", n, s.region.Len())
		}
		g, room, err := segment{first: uint32(firstOf(k))}, firstRecords<<k, error(nil)
		if g.slots, err = mmap.AtomicOf[uint32](s.region, int(offsetOf(k)), 2*room); err != nil {
			return err
		}
		if g.entries, err = mmap.StructViewOf[entry](s.region, int(offsetOf(k))+2*room*4, room); err != nil {
			return err
		}
		if s.lock != nil && firstOf(k+1) > int64(s.head.Load(countWord)) {
			g.clear(s.head.Load(countWord))
		}
		s.segments = append(s.segments, g)
	}
	return nil
}

// clear frees the slots that a crash has left beyond the count, before their numbers
// are given again.
func (g segment) clear(count uint32) {
	for i := range g.slots.Len() {
		if n := g.slots.Load(i); n != 0 && !isUsed(n, count) {
			g.slots.Store(i, 0)
		}
	}
}

// isUsed says whether a slot has one of the first count records.
func isUsed(slot, count uint32) bool { return slot != 0 && slot <= count }

// find returns the number of the record with a key, among the first count ones. The
// last segment has half of them.
func (s *Store) find(key uint64, count uint32) (number uint32, found bool, err error) {
	for k := len(s.segments) - 1; k >= 0; k-- {
		_, number, err := s.look(k, key, count)
		if err != nil || number >= 0 {
			return uint32(number), err == nil, err
		}
	}
	return 0, false, nil
}

// look goes through the slots of segment k that may have a key. It returns the number
// of the key's record among the first count ones and its slot, or -1 and the slot that
// is free for it.
func (s *Store) look(k int, key uint64, count uint32) (slot int, number int64, err error) {
	g := s.segments[k]
	mask := g.slots.Len() - 1
	slot = int(key * 0x9e3779b97f4a7c15 >> (64 - bits.Len(uint(mask)))) // Fibonacci hashing
	for range g.slots.Len() {
		n := g.slots.Load(slot)
		if !isUsed(n, count) {
			return slot, -1, nil
		}
		i := int64(n) - 1 - int64(g.first)
		if i < 0 || i >= int64(g.entries.Len()) {
			return 0, 0, s.damaged("a slot of segment %d has record %d", k, n-1)
		}
		if g.entries.At(int(i)).Key == key {
			return slot, int64(n) - 1, nil
		}
		slot = (slot + 1) & mask
	}
	return 0, 0, s.damaged("segment %d has no free slot", k)
}

// record returns a record of which the segment is there, if it is as it was stored.
func (s *Store) record(number uint32) (Record, error) {
	g := s.segments[segmentOf(number)]
	e := g.entries.At(int(number - g.first))
	if e.Sum != sum(e.Record) {
		return Record{}, s.damaged("record %d has a wrong checksum", number)
	}
	return e.Record, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(r Record) uint32 {
	var b [24]byte
	binary.NativeEndian.PutUint64(b[0:], r.Key)
	binary.NativeEndian.PutUint64(b[8:], uint64(r.Time))
	binary.NativeEndian.PutUint64(b[16:], math.Float64bits(r.Value))
	return crc32.Checksum(b[:], castagnoli)
}

func (s *Store) damaged(format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", s.region.Name(), ErrDamaged, fmt.Sprintf(format, args...))
}
