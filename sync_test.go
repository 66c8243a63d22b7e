package mmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// A record of the file that is written while the process is killed. It is
// larger than what the processor stores at once, and does not divide a page, so
// that records lie across page boundaries.
type record struct {
	Seq     uint64
	Payload [84]byte
	Sum     uint32
}

const recordSize = 96

func recordOf(seq uint64) record {
	rec := record{Seq: seq}
	rnd := rand.NewChaCha8([32]byte{byte(seq), byte(seq >> 8), byte(seq >> 16), byte(seq >> 24)})
	rnd.Read(rec.Payload[:])
	rec.Sum = rec.sum()
	return rec
}

func (rec *record) sum() uint32 {
	h := crc32.NewIEEE()
	binary.Write(h, binary.NativeEndian, rec.Seq)
	h.Write(rec.Payload[:])
	return h.Sum32()
}

func TestWhatWasSyncedOutlivesAKill(t *testing.T) {
	needMappings(t)
	growsFiles(t)
	const writers = 2
	kills := rounds(100) * writers
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for w := range writers {
		name := filepath.Join(t.TempDir(), "log")
		wg.Go(func() {
			acked := uint64(0)
			for kill := range kills / writers {
				n, err := writeAndKill(t, name, acked, rand.New(rand.NewPCG(uint64(w), uint64(kill))))
				if err != nil {
					t.Error(err)
					return
				}
				if err := checkRecords(name, n); err != nil {
					t.Errorf("after kill %d, with %d records acknowledged: %v", kill, n, err)
					return
				}
				mu.Lock()
				total += int(n - acked)
				mu.Unlock()
				acked = n
			}
		})
	}
	wg.Wait()
	t.Logf("%d kills, %d records", kills, total)
	if !t.Failed() && total < kills {
		t.Errorf("%d records in %d lives: the writers hardly ever wrote", total, kills)
	}
}

// writeAndKill starts a writer that goes on after the first acked records, kills
// it at a random moment, and returns how many it acknowledged.
func writeAndKill(t testing.TB, name string, acked uint64, rnd *rand.Rand) (uint64, error) {
	cmd := childCommand(t, childWriter, name, strconv.FormatUint(acked, 10))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return acked, err
	}
	if err := cmd.Start(); err != nil {
		return acked, err
	}
	var ack [8]byte
	more := func() bool {
		_, err := io.ReadFull(out, ack[:])
		if err != nil {
			return false
		}
		acked = binary.NativeEndian.Uint64(ack[:])
		return true
	}
	for range rnd.IntN(12) {
		if !more() {
			break
		}
	}
	for range rnd.IntN(200_000) { // somewhere within what it does next
		sinkInt64(rnd.Int64())
	}
	cmd.Process.Kill()
	for more() { // sent before it died
	}
	err = cmd.Wait()
	if killed := runtime.GOOS == "windows" && cmd.ProcessState.ExitCode() == 1; cmd.ProcessState.Exited() && !killed {
		return acked, fmt.Errorf("the writer ended by itself: %v\n%s", err, stderr.String())
	}
	return acked, nil
}

// checkRecords checks that the first n records of the file are whole.
func checkRecords(name string, n uint64) error {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && n == 0 {
		return nil // killed before it began
	}
	if err != nil {
		return err
	}
	if uint64(len(b)) < n*recordSize {
		return fmt.Errorf("the file has %d bytes, too few", len(b))
	}
	for i := range n {
		want := recordOf(i)
		var got record
		if _, err := binary.Decode(b[i*recordSize:], binary.NativeEndian, &got); err != nil {
			return err
		}
		if got != want || got.Sum != got.sum() {
			return fmt.Errorf("record %d is not what was written: %+v", i, got)
		}
	}
	return nil
}

// The writer makes the file, or goes on where it was killed, and grows it in
// small steps, so that kills hit growth as well.
var childWriter = registerChild("a writer that is killed", func(t testing.TB, args []string) {
	name := args[0]
	next, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	const step = 8 * recordSize
	c := Config{Mode: ReadWrite, Reserve: 1 << 26}
	r, err := c.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		r, err = c.Create(name, step)
	}
	if err != nil {
		t.Fatal(err)
	}
	if next > 0 && r.Len() < int(next)*recordSize {
		t.Fatalf("%v has no room for the %d records that were acknowledged", r, next)
	}
	for i := next; ; i++ {
		off := int(i) * recordSize
		if off+recordSize > r.Len() {
			if err := r.Resize(int64(off + step)); err != nil {
				t.Fatal(err)
			}
		}
		v, err := StructViewOf[record](r, off, 1)
		if err != nil {
			t.Fatal(err)
		}
		v.Set(0, recordOf(i))
		if i%2 == 0 {
			err = v.Sync()
		} else {
			err = r.Sync()
		}
		if err != nil {
			t.Fatal(err)
		}
		var ack [8]byte
		binary.NativeEndian.PutUint64(ack[:], i+1)
		if _, err := os.Stdout.Write(ack[:]); err != nil {
			t.Fatal(err)
		}
	}
})

// What Sync does with the name of a file that Create made, when the name is not
// where it was.
func TestSyncOfAFileThatWasMoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows renames no directory with an open file in it, and removes no file that is mapped")
	}
	runChild(t, childMoved)
}

// In a child, for the working directory.
var childMoved = registerChild("moved files", func(t testing.TB, args []string) {
	dir := t.TempDir()
	for i, move := range []func() error{
		func() error { return os.Chdir(os.TempDir()) },
		func() error { return os.Rename(dir, dir+".elsewhere") },
		func() error { return os.Remove(dir + "/f") },
		func() error { return os.Chmod(dir, 0o300) },
		func() error { return errors.Join(os.Remove(dir+"/f"), os.WriteFile(dir+"/f", nil, 0o600)) },
	} {
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chdir(dir)); err != nil {
			t.Fatal(err)
		}
		r, err := Create("f", 100)
		need(t, r, err)
		if err := errors.Join(move(), Put(r, 0, 1.5), r.Sync(), Put(r, 0, 2.5), r.SyncRange(0, 8)); err != nil {
			t.Errorf("number %d: %v", i, err)
		}
		if r.o.dir != nil || r.o.changes.Load() != r.o.synced.Load() {
			t.Errorf("number %d: there is metadata left to sync", i)
		}
		r.Close()
		os.Chmod(dir, 0o700)
		os.RemoveAll(dir)
	}
})

// Where a file ends within a page, what was there reads as zero, and nothing faults. A
// program that only reads learns it from Sync.
func TestSyncTellsAReaderThatTheFileWasTruncated(t *testing.T) {
	shortensMapped(t)
	page := os.Getpagesize()
	for _, size := range []int{0, 1, page - 1, page, 2*page - 1} {
		name := tempFile(t, pattern(2*page))
		r := open(t, name, ReadOnly)
		if err := r.Sync(); err != nil {
			t.Fatalf("before: %v", err)
		}
		if err := os.Truncate(name, int64(size)); err != nil {
			t.Fatal(err)
		}
		wantErr(t, r.Sync(), ErrTruncated, name, itoa(size)+" bytes now")
		if size > 0 {
			if err := r.SyncRange(0, size); err != nil {
				t.Errorf("what is there of %d bytes: %v", size, err)
			}
		}
	}
}
