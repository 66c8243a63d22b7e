package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-498deeca/mmap"
)

// Slow storage: a file system on which each read takes 2 ms (internal/fusetest of the
// library). 64 goroutines on two processors read blocks, each once, in a random order.
// Beside them a ticker shows how long other goroutines wait.

const (
	slowBlock   = 64 << 10
	slowBlocks  = 4 << 10
	slowReaders = 64
)

// A slowFS is the server of the file system, which obeys lines.
type slowFS struct {
	dir    string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	number int
}

func newSlowFS(dir string) (fs *slowFS, why string) {
	const source = "../internal/fusetest"
	if _, err := os.Stat(source); err != nil {
		return nil, err.Error()
	}
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		return nil, err.Error()
	} else {
		f.Close()
	}
	server := filepath.Join(dir, "fusetest")
	build := exec.Command("go", "build", "-C", source, "-o", server, ".")
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Sprintf("go build: %v: %s", err, out)
	}
	fs = &slowFS{dir: filepath.Join(dir, "slow")}
	if err := os.Mkdir(fs.dir, 0o700); err != nil {
		return nil, err.Error()
	}
	fs.cmd = exec.Command(server, "-keep", "-valid", "1h", "-readahead", "4096", "-limit", "15m", fs.dir)
	var err error
	if fs.in, err = fs.cmd.StdinPipe(); err == nil {
		var out io.Reader
		if out, err = fs.cmd.StdoutPipe(); err == nil {
			fs.out = bufio.NewReader(out)
			err = fs.cmd.Start()
		}
	}
	if err != nil {
		return nil, err.Error()
	}
	line, err := fs.out.ReadString('\n')
	if line != "mounted\n" {
		fs.close()
		return nil, fmt.Sprintf("no file system can be mounted: %s %v", strings.TrimSpace(line), err)
	}
	return fs, ""
}

func (fs *slowFS) close() {
	fs.in.Close()
	fs.cmd.Wait()
	unix.Unmount(fs.dir, unix.MNT_DETACH) // if the server could not
}

// ask gives a command, and awaits the answer.
func (fs *slowFS) ask(format string, args ...any) error {
	fs.number++
	command := fmt.Sprintf(format, args...)
	if _, err := fmt.Fprintf(fs.in, "%d %s\n", fs.number, command); err != nil {
		return err
	}
	line, err := fs.out.ReadString('\n')
	if err == nil && !strings.HasPrefix(line, fmt.Sprintf("%d ok", fs.number)) {
		err = fmt.Errorf("%s: %s", command, strings.TrimSpace(line))
	}
	return err
}

func (s *session) slowFile() error {
	fs, why := newSlowFS(s.dir)
	if fs == nil {
		s.skip("a file of which each read takes 2 ms: %s", why)
		return nil
	}
	defer fs.close()
	if err := fs.ask("make slow %d 1", slowBlock*slowBlocks); err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(fs.dir, "slow"))
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := mmap.Map(f, mmap.ReadOnly)
	if err != nil {
		return err
	}
	defer r.Close()
	v, err := mmap.ViewOf[uint64](r, 0, mmap.ToEnd)
	if err != nil {
		return err
	}
	if err := fs.ask("delay read slow 2ms"); err != nil {
		return err
	}

	most, rounds := time.Second, 10
	if s.quick {
		most, rounds = 200*time.Millisecond, 5
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	reads := contest{name: "blocks of a slow file", n: 1, per: "block", rounds: rounds,
		work: fmt.Sprintf("Each read of the file takes 2 ms, and nothing of it is in memory. %d goroutines on two processors read blocks of %s at random.", slowReaders, sizeOf(slowBlock))}
	beats := contest{name: "other goroutines beside a slow file", n: 1, per: "beat", rounds: rounds,
		work: "In the same turns, the time from one beat to the next of a ticker of 1 ms: how long other goroutines wait."}
	for _, w := range slowWays(f, r, v) {
		paces := make([]float64, rounds+1)
		reads.ways = append(reads.ways, way{name: w.name, before: func() error { return fs.ask("notify slow") }, turn: func(round int) (took float64, err error) {
			took, paces[round], err = slowTurn(most, w.read)
			return took, err
		}})
		beats.ways = append(beats.ways, way{name: w.name, turn: func(round int) (float64, error) { return paces[round], nil }})
	}
	if err := s.hold(reads); err != nil {
		return err
	}
	return s.hold(beats)
}

type slowWay struct {
	name string
	read func(off int) error
}

func slowWays(f *os.File, r *mmap.Region, v mmap.View[uint64]) []slowWay {
	buffers := sync.Pool{New: func() any { return new([slowBlock]byte) }}
	copied := func(from io.ReaderAt) func(off int) error {
		return func(off int) error {
			p := buffers.Get().(*[slowBlock]byte)
			defer buffers.Put(p)
			n, err := from.ReadAt(p[:], int64(off))
			if err == nil && (n != slowBlock || p[0] != 1 || p[slowBlock-1] != 1) {
				err = fmt.Errorf("%d bytes at %d, %d to %d", n, off, p[0], p[slowBlock-1])
			}
			return err
		}
	}
	loads := func(v mmap.View[uint64]) error {
		for i := 0; i < v.Len(); i += os.Getpagesize() / 8 {
			if x := v.At(i); x != 0x0101010101010101 {
				return fmt.Errorf("%#x at %d", x, v.Offset()+8*i)
			}
		}
		return nil
	}
	block := func(off int) mmap.View[uint64] { return v.Sub(off/8, (off+slowBlock)/8) }
	return []slowWay{
		{"View.Populate, View.At", func(off int) error {
			if err := block(off).Populate(); err != nil {
				return err
			}
			return loads(block(off))
		}},
		{"Region.ReadAt", copied(r)},
		{"View.At alone", func(off int) error { return loads(block(off)) }},
		{"os.File.ReadAt", copied(f)},
	}
}

// slowTurn reads blocks until the time is over. It returns how long a block took, and
// how long it was from one beat of the ticker to the next.
func slowTurn(most time.Duration, read func(off int) error) (block, beat float64, err error) {
	order := rand.Perm(slowBlocks)
	runtime.GC()
	var next, beats atomic.Int64
	var readers, others sync.WaitGroup
	var failed atomic.Pointer[error]
	over := make(chan struct{})
	start := time.Now()
	others.Go(func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				beats.Add(1)
			case <-over:
				return
			}
		}
	})
	for range slowReaders {
		readers.Go(func() {
			for time.Since(start) < most {
				i := int(next.Add(1)) - 1
				if i >= len(order) {
					return
				}
				if err := read(order[i] * slowBlock); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	readers.Wait()
	took := float64(time.Since(start))
	close(over)
	others.Wait()
	if err := failed.Load(); err != nil {
		return 0, 0, *err
	}
	return took / float64(min(next.Load(), slowBlocks)), took / float64(max(beats.Load(), 1)), nil
}
