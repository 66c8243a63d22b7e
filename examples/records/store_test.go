package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-498deeca/mmap"
)

// openWriter opens the store until the end of the test.
func openWriter(t testing.TB, name string) *Store {
	t.Helper()
	s, err := OpenWriter(name, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// grow appends records up to number n, and commits them.
func grow(t testing.TB, s *Store, n int) {
	t.Helper()
	appendTo(t, s, n, keyOf)
	if got, err := s.Commit(); int(got) != n || err != nil {
		t.Fatalf("%d records, %v, want %d", got, err, n)
	}
}

func appendTo(t testing.TB, s *Store, n int, keyOf func(int) uint64) {
	t.Helper()
	for i := int(s.next); i < n; i++ {
		if err := s.Append(Record{keyOf(i), int64(i), value(keyOf(i))}); err != nil {
			t.Fatal(err)
		}
	}
}

// verified fails unless a reader finds n records.
func verified(t testing.TB, name string, n int) {
	t.Helper()
	collect()
	s, err := OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.Verify(); err != nil || int(got) != n {
		t.Fatalf("%d records, %v, want %d", got, err, n)
	}
	for i := range uint32(n) {
		r, err := s.At(i)
		if other, found, err := s.Lookup(r.Key); err != nil || !found || other != r {
			t.Fatalf("record %d is %v, and %v by its key, %v", i, r, other, err)
		}
		if want := (Record{keyOf(int(i)), int64(i), value(keyOf(int(i)))}); err != nil || r != want {
			t.Fatalf("record %d is %v, %v, want %v", i, r, err, want)
		}
	}
}

func TestSegmentsFollowEachOther(t *testing.T) {
	if entryBytes != 32 || offsetOf(0) != headBytes || firstOf(24) != maxRecords {
		t.Fatal(entryBytes, offsetOf(0), firstOf(24))
	}
	for k := range 24 {
		first, next := firstOf(k), firstOf(k+1)
		if got := segmentOf(uint32(first)); got != k {
			t.Errorf("record %d is in segment %d, want %d", first, got, k)
		}
		if got := segmentOf(uint32(next - 1)); got != k {
			t.Errorf("record %d is in segment %d, want %d", next-1, got, k)
		}
		if got := offsetOf(k+1) - offsetOf(k); got != (next-first)*(2*4+32) {
			t.Errorf("segment %d has %d bytes", k, got)
		}
	}
}

func TestEachRecordIsFoundByItsKeyAndNoOther(t *testing.T) {
	name := newName(t)
	s := openWriter(t, name)
	random := rand.New(rand.NewPCG(1, 2))
	keys := make(map[uint64]int)
	for len(keys) < 5*firstRecords {
		key := uint64(random.IntN(4000)) << random.IntN(50)
		_, there := keys[key]
		if err := s.Append(Record{Key: key, Time: int64(len(keys))}); (err == nil) == there || there && !errors.Is(err, ErrExists) {
			t.Fatalf("key %d, which is there or not (%v): %v", key, there, err)
		}
		if !there {
			keys[key] = len(keys)
		}
	}
	if r, found, err := s.Lookup(4); found || err != nil {
		t.Errorf("before Commit: %v, %v", r, err)
	}
	if _, err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Verify(); int(n) != len(keys) || err != nil {
		t.Errorf("%d of %d, %v", n, len(keys), err)
	}
	for i := range 100_000 {
		key := uint64(i%4000) << random.IntN(50)
		at, there := keys[key]
		if r, found, err := s.Lookup(key); err != nil || found != there || found && r.Time != int64(at) {
			t.Fatalf("key %d: %v, %v, %v, want record %d, %v", key, r, found, err, at, there)
		}
	}
	// Who knows an old count finds what was there then.
	for key, at := range keys {
		for _, count := range []int{0, at, at + 1, at + 100} {
			if number, found, err := s.find(key, uint32(count)); err != nil || found != (at < count) || found && int(number) != at {
				t.Fatalf("key %d of record %d, among %d: %d, %v, %v", key, at, count, number, found, err)
			}
		}
	}
}

func TestAtOfARecordThatIsNotThereIsAnError(t *testing.T) {
	s := openWriter(t, newName(t))
	grow(t, s, 3)
	appendTo(t, s, 4, keyOf)
	for _, n := range []uint32{3, 4, firstRecords, 1<<32 - 1} {
		if r, err := s.At(n); !errors.Is(err, mmap.ErrRange) {
			t.Errorf("record %d: %v, %v", n, r, err)
		}
	}
}

// A writer that comes to an end before Commit leaves slots and entries. The next one
// gives their numbers to others.
func TestWhatWasNotCommittedIsGone(t *testing.T) {
	name := newName(t)
	for _, n := range []int{0, 1, 100, firstRecords, firstRecords + 1, 3*firstRecords - 1, 3 * firstRecords, 5 * firstRecords} {
		s := openWriter(t, name)
		grow(t, s, n)
		appendTo(t, s, n+2*firstRecords, func(i int) uint64 { return keyOf(i) + 1 })
		s.Close()
		verified(t, name, n)
		s = openWriter(t, name)
		if _, found, err := s.Lookup(keyOf(n) + 1); found || err != nil {
			t.Errorf("record %d is there, %v", n, err)
		}
		s.Close()
	}
	s := openWriter(t, name)
	grow(t, s, 8*firstRecords)
	s.Close()
	verified(t, name, 8*firstRecords)
}

// A loss of power between two commits leaves each sector as it was at the first or as
// it became since, and the file with any size in between. The store is as at the first.
func TestAnyMixtureOfSectorsIsTheLastCommit(t *testing.T) {
	name, cut := newName(t), newName(t)
	s := openWriter(t, name)
	random := rand.New(rand.NewPCG(3, 4))
	const sector = 512
	old, n := []byte(nil), 0
	for range 40 {
		next := n + random.IntN(200)
		appendTo(t, s, next, keyOf) // as far as Commit before it stores the count
		now, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		mixed := slices.Clone(now[:len(old)+random.IntN((len(now)-len(old))/sector+1)*sector])
		for i := 0; i < len(mixed); i += sector {
			if random.IntN(2) == 0 {
				clear(mixed[i:min(i+sector, len(mixed))])
				copy(mixed[i:min(i+sector, len(mixed))], old[min(i, len(old)):])
			}
		}
		if err := os.WriteFile(cut, mixed, 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := OpenWriter(cut, false)
		if err != nil {
			t.Fatal(err)
		}
		verified(t, cut, n)
		grow(t, w, next+10)
		w.Close()
		verified(t, cut, next+10)
		grow(t, s, next)
		if old, err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
		n = next
	}
}

// stored returns the bytes of a store of n records.
func stored(t testing.TB, n int) []byte {
	t.Helper()
	name := newName(t)
	s := openWriter(t, name)
	grow(t, s, n)
	s.Close()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsNoStoreIsRefusedAndLeftAsItIs(t *testing.T) {
	good := stored(t, 300)
	word := func(i int, x uint32) []byte {
		b := slices.Clone(good)
		binary.NativeEndian.PutUint32(b[4*i:], x)
		return b
	}
	for _, tt := range []struct {
		file []byte
		want string
	}{
		{[]byte("hello"), "is no store: it has 5 bytes"},
		{good[:headBytes-1], "is no store: it has 4095 bytes"},
		{bytes.Repeat([]byte("text\n"), 1000), "is no store: it begins with 0x"},
		{append(make([]byte, headBytes-1), 1), "is no store: it begins with 0x0"},
		{word(magicWord, bits.ReverseBytes32(magic|32)), "is a store of machines with the other byte order"},
		{word(magicWord, magic|40), "is a store of other records: they take 40 bytes each, and ours 32"},
		{word(countWord, maxRecords+1), "the store is damaged: it cannot have 4294967041 records"},
		{word(countWord, maxRecords), "the store is damaged: 4294967040 records, and only "},
		{word(countWord, 3*firstRecords+1), "the store is damaged: 769 records, and only "},
		{good[:len(good)-1], "the store is damaged: 300 records, and only "},
		{good[:headBytes], "the store is damaged: 300 records, and only 4096 bytes"},
	} {
		name := newName(t)
		if err := os.WriteFile(name, tt.file, 0o600); err != nil {
			t.Fatal(err)
		}
		for i, open := range []func() (*Store, error){
			func() (*Store, error) { return OpenReader(name) },
			func() (*Store, error) { return OpenWriter(name, false) },
		} {
			s, err := open()
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), name) {
				t.Errorf("open %d: %v, want %q", i, err, tt.want)
			}
		}
		if b, err := os.ReadFile(name); err != nil || !bytes.Equal(b, tt.file) {
			t.Errorf("%s: the file has changed, %v", tt.want, err)
		}
	}
}

// Any other byte in what is in use is found.
func TestVerifyFindsEachByteThatIsAnother(t *testing.T) {
	const n = 300
	good := stored(t, n)
	name := newName(t)
	flipped := func(i int) byte { return good[i] ^ 1<<(i%8) }
	// where says what byte i is of: a record, or a slot that has one or gets one (-1).
	where := func(i int) (record int, used bool) {
		for k := range 2 {
			slots, room := int(offsetOf(k)), firstRecords<<k
			entries := slots + 2*4*room
			if i >= slots && i < entries {
				at := i &^ 3
				slot := slices.Clone(good[at : at+4])
				before := binary.NativeEndian.Uint32(slot)
				slot[i-at] = flipped(i)
				return -1, isUsed(before, n) || isUsed(binary.NativeEndian.Uint32(slot), n)
			}
			record = int(firstOf(k)) + (i-entries)/entryBytes
			if i >= entries && i < entries+room*entryBytes {
				return record, record < n && (i-entries)%entryBytes < 28
			}
		}
		return 0, false
	}
	if err := os.WriteFile(name, good, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put := func(i int, b byte) {
		t.Helper()
		if _, err := f.WriteAt([]byte{b}, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	step := 3
	if testing.Short() {
		step = 61
	}
	for i := 0; i < len(good); i += step {
		record, used := where(i)
		if !used {
			continue
		}
		put(i, flipped(i))
		collect()
		s, err := OpenReader(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Verify(); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d is another: %v", i, err)
		}
		if record >= 0 {
			if r, err := s.At(uint32(record)); !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d is another: record %d is %v, %v", i, record, r, err)
			}
		}
		s.Close()
		put(i, good[i])
	}
}

// Wait sleeps, and Commit wakes it: a wake-up that is lost costs up to 20 ms.
func TestCommitWakesWhoWaits(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "freebsd" {
		t.Skip("on " + runtime.GOOS + " Wait polls")
	}
	name := newName(t)
	w := openWriter(t, name)
	r, err := OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	woken := make(chan time.Time)
	go func() {
		for n := range uint32(21) {
			if err := r.Wait(t.Context(), n); err != nil {
				t.Error(err)
			}
			woken <- time.Now()
		}
	}()
	var delays []time.Duration
	for n := range 21 {
		time.Sleep(2 * time.Millisecond) // so that it sleeps by now
		before := time.Now()
		grow(t, w, n+1)
		delays = append(delays, (<-woken).Sub(before))
	}
	slices.Sort(delays)
	if delays[10] > 5*time.Millisecond {
		t.Errorf("to wake it takes %v", delays)
	}
}

func TestATruncatedFileIsAnError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not shorten a file while anyone has it mapped")
	}
	for _, size := range []int64{0, 1 << 16} { // 300 records have 4096 + 768*40 bytes, 2000 have 86016
		name := newName(t)
		w := openWriter(t, name)
		grow(t, w, 2000)
		r, err := OpenReader(name)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
		for i, s := range []*Store{r, w} {
			if _, err := s.Verify(); !errors.Is(err, mmap.ErrTruncated) {
				t.Errorf("store %d, %d bytes are left: Verify: %v", i, size, err)
			}
			if _, err := s.At(1999); !errors.Is(err, mmap.ErrTruncated) {
				t.Errorf("store %d, %d bytes are left: At: %v", i, size, err)
			}
			if _, _, err := s.Lookup(keyOf(1999)); !errors.Is(err, mmap.ErrTruncated) {
				t.Errorf("store %d, %d bytes are left: Lookup: %v", i, size, err)
			}
		}
		if err := w.Append(Record{Key: 1}); !errors.Is(err, mmap.ErrTruncated) {
			t.Errorf("%d bytes are left: Append: %v", size, err)
		}
		w.durable = true
		if _, err := w.Commit(); !errors.Is(err, mmap.ErrTruncated) {
			t.Errorf("%d bytes are left: Commit: %v", size, err)
		}
		if size > 0 {
			continue // the head is still there
		}
		if n, err := r.Len(); !errors.Is(err, mmap.ErrTruncated) {
			t.Errorf("Len of what is empty: %d, %v", n, err)
		}
		if err := r.Wait(t.Context(), 2000); !errors.Is(err, mmap.ErrTruncated) {
			t.Errorf("Wait for what is empty: %v", err)
		}
	}
}

// Whatever a file has, there is an error or an answer.
func FuzzOpen(f *testing.F) {
	good := stored(f, 300)
	f.Add(good, uint16(0), uint32(0))
	f.Add(good[:headBytes+100], uint16(4), uint32(0))
	f.Add(good, uint16(4), uint32(1<<32-1))
	f.Add(good, uint16(4), uint32(700))
	f.Add(good, uint16(headBytes), uint32(299))
	f.Add(append(slices.Clone(good[:headBytes]), bytes.Repeat([]byte{1, 0, 0, 0}, 8000)...), uint16(4), uint32(768))
	f.Add([]byte{}, uint16(0), uint32(0))
	f.Fuzz(func(t *testing.T, file []byte, at uint16, word uint32) {
		if len(file) > 1<<17 {
			return
		}
		if int(at)+4 <= len(file) && word != 0 {
			binary.NativeEndian.PutUint32(file[at:], word)
		}
		name := newName(t)
		if err := os.WriteFile(name, file, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := OpenReader(name)
		if err == nil {
			defer r.Close()
			r.Verify()
			if n, err := r.Len(); err != nil {
				t.Error(err)
			} else if n > 0 {
				r.At(n - 1)
			}
			r.Lookup(keyOf(299))
		}
		w, err := OpenWriter(name, false)
		if err != nil {
			return
		}
		defer w.Close()
		before, sound := w.Verify()
		if err := w.Append(Record{Key: 1}); err != nil && sound == nil && !errors.Is(err, ErrExists) {
			t.Errorf("Append to a store of %d: %v", before, err)
		} else if err == nil {
			if _, err := w.Commit(); err != nil {
				t.Error(err)
			}
			if n, err := w.Verify(); sound == nil && (err != nil || n != before+1) {
				t.Errorf("%d records after one more than %d: %v", n, before, err)
			}
		}
	})
}
