//go:build linux

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
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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
	kills, writers := 500, 2
	if testing.Short() {
		kills = 50
	}
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
	cmd := exec.Command(os.Args[0], name, strconv.FormatUint(acked, 10))
	cmd.Env = childEnv(childWriter)
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
	if cmd.ProcessState.Exited() {
		return acked, fmt.Errorf("the writer ended by itself: %v\n%s", err, stderr.String())
	}
	return acked, nil
}

//go:noinline
func sinkInt64(int64) {}

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

// What another process does to a file while this one reads it.

const (
	changedPages = 16
	changedWords = 4 // values that are written, and zero
)

func changedValue(i int) byte { return byte(0x11 * (i + 1)) }

var childChanger = registerChild("one that cuts, grows and rewrites", func(t testing.TB, args []string) {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	rnd := rand.New(rand.NewPCG(4, 0))
	for {
		size := rnd.Int64N(int64(changedPages*page) + 1)
		switch rnd.IntN(4) {
		case 0:
			size &^= int64(page - 1)
			fallthrough
		case 1:
			err = f.Truncate(size)
		default:
			block := bytes.Repeat([]byte{changedValue(rnd.IntN(changedWords))}, 1+rnd.IntN(3*page))
			size = min(size, int64(changedPages*page-len(block)))
			_, err = f.WriteAt(block, size)
		}
		if err != nil {
			t.Fatal(err)
		}
		if os.Getppid() == 1 { // the one that would kill this is gone
			return
		}
	}
})

func TestReadersSurviveAProcessThatChangesTheFile(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, make([]byte, changedPages*page))
	changer := childCommand(t, childChanger, name)
	if err := changer.Start(); err != nil {
		t.Fatal(err)
	}
	defer changer.Wait()
	defer changer.Process.Kill()
	rounds := 100_000
	if testing.Short() || raceDetector {
		rounds = 5_000
	}
	t.Log(runChild(t, childReader, name, strconv.Itoa(rounds)))
}

// The reader is a child too: a crash of it is a failure and not the end.
var childReader = registerChild("one that reads what is being changed", func(t testing.TB, args []string) {
	rounds, err := strconv.Atoi(args[1])
	if err != nil {
		t.Fatal(err)
	}
	name := args[0]
	page := os.Getpagesize()
	look := func(b []byte) {
		for _, x := range b {
			if x != 0 && x%0x11 != 0 || x > changedValue(changedWords-1) {
				t.Fatalf("found the byte %#x", x)
			}
		}
	}
	faults, whole := 0, 0
	for _, mode := range []Mode{ReadOnly, ReadWrite} {
		var r *Region
		var views []View[byte]
		for range rounds / 2 {
			if r == nil || rand.IntN(300) == 0 {
				if r != nil {
					r.Close()
				}
				// The length was looked at before the file was cut again.
				r, err = Config{Mode: mode, Reserve: int64(changedPages * page)}.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				views = views[:0]
			}
			switch rand.IntN(10) {
			case 0:
				if err := r.Refresh(); err != nil {
					t.Fatal(err)
				}
			case 1:
				v, err := ViewOf[byte](r, 0, ToEnd)
				if err != nil {
					t.Fatal(err)
				}
				views = append(views, v)
			case 2:
				if err := r.Sync(); err != nil && !errors.Is(err, ErrTruncated) {
					t.Fatal(err)
				}
			case 3:
				if err := r.Populate(0, r.Len()); err != nil {
					checkReadFault(t, r, err, 0, -1)
				}
			case 4:
				var buf bytes.Buffer
				n, err := r.WriteTo(&buf)
				look(buf.Bytes())
				if err != nil {
					checkReadFault(t, r, err, 0, int(n))
				}
			}
			if r.Len() == 0 {
				continue
			}
			off := rand.IntN(r.Len())
			p := make([]byte, 1+rand.IntN(3*page))
			n, err := r.ReadAt(p, int64(off))
			look(p[:n])
			switch {
			case err == io.EOF && off+n == r.Len(), err == nil && n == len(p):
				whole++
			default:
				faults++
				checkReadFault(t, r, err, off, n)
			}
			if len(views) == 0 {
				continue
			}
			v := views[rand.IntN(len(views))]
			if v.Len() == 0 {
				continue
			}
			i := rand.IntN(v.Len())
			err = Guard(func() error {
				look([]byte{v.At(i)})
				n, err := v.Sub(i, v.Len()).CopyTo(p)
				look(p[:n])
				return err
			})
			if err != nil {
				faults++
				checkReadFault(t, r, err, i, -1)
			}
		}
	}
	fmt.Printf("%d reads, %d of them of all that was asked for, %d faults", rounds, whole, faults)
	if whole == 0 || faults == 0 {
		t.Errorf("%d whole reads, %d faults: this proves nothing", whole, faults)
	}
})

// checkReadFault checks a fault of a read from off on, of which n bytes were
// there; n is -1 if nobody counted.
func checkReadFault(t testing.TB, r *Region, err error, off, n int) {
	t.Helper()
	var f *FaultError
	if !errors.As(err, &f) {
		t.Fatalf("reading %v: %v, want a *FaultError", r, err)
	}
	// Where nobody counts, the cut may have come in the middle of a bulk
	// operation, and begin before it.
	if f.Err != ErrTruncated || f.Region != r || n >= 0 && f.Offset != off+n {
		t.Fatalf("reading %v from %d: %d bytes, %v", r, off, n, err)
	}
}

// What Sync does with the name of a file that Create made, when the name is not
// where it was.
func TestSyncOfAFileThatWasMoved(t *testing.T) { runChild(t, childMoved) }

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

func TestRegionsFindTheirFileFromAnotherWorkingDirectory(t *testing.T) {
	runChild(t, childElsewhere)
}

var childElsewhere = registerChild("another working directory", func(t testing.TB, args []string) {
	if err := os.Chdir(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("f", quiet(100), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Config{Reserve: 1000}.Open("f")
	need(t, r, err)
	name, err := filepath.Abs("f")
	if err := errors.Join(err, os.Chdir("/"), os.Truncate(name, 300), r.Refresh()); err != nil || r.Len() != 300 {
		t.Errorf("Refresh: %v, %v", err, r)
	}
	if !strings.Contains(r.String(), " f,") {
		t.Errorf("%v does not say the name that the caller did", r)
	}
})
