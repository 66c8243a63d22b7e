package mmap

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A file system that does as it is told: internal/fusetest, a FUSE server of
// files in memory, built once and started for each test that asks for one. It
// holds calls, delays them and makes them fail, changes files as another machine
// would, and counts. The methods here are its commands; control.go there says
// what each does, and what the kernel makes of it.
//
// Nothing waits forever. The server ends after a minute, which fails the test,
// and every call that it held then fails in the kernel.
//
// What the test's own process cannot survive goes to a child, which is given the
// path; the test keeps the helper. A held page fault keeps a P and stops whoever
// stops the world. Removing a mapping while a write or setattr is held stops all
// that the process maps.

const (
	fuseSource = "internal/fusetest"
	fuseAnswer = 30 * time.Second // more than the server's patience
)

type fuseFS struct {
	t       testing.TB
	dir     string
	mounted bool
	stdin   io.WriteCloser

	ended  chan struct{} // closed when the server has ended
	exit   error         // how it ended
	stderr bytes.Buffer  // and what it said

	mu      sync.Mutex
	number  int // of the last command
	answers map[string]chan string
}

// errFuse is what a machine lacks for a FUSE server.
var errFuse = errors.New("no FUSE server")

// fuseVariable names a server that was built before, for where there is no Go.
const fuseVariable = "MMAP_TEST_FUSE"

// fuseServer builds the server. It is a file without a name, so nothing has to
// be removed when the tests end.
var fuseServer = sync.OnceValues(func() (*os.File, error) {
	if name := os.Getenv(fuseVariable); name != "" {
		return os.Open(name)
	}
	if os.Getenv(runnerVariable) != "" {
		return nil, fmt.Errorf("%w for an emulated processor", errFuse)
	}
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errFuse, err)
	}
	device.Close()
	if _, err := os.Stat(fuseSource); err != nil {
		return nil, fmt.Errorf("%w: %v", errFuse, err)
	}
	if _, err := exec.LookPath("go"); err != nil {
		return nil, fmt.Errorf("%w: %v", errFuse, err)
	}
	if err := fuseGo("mod", "download"); err != nil {
		return nil, fmt.Errorf("%w: %v", errFuse, err)
	}
	dir, err := os.MkdirTemp("", "fusetest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "fusetest")
	if err := fuseGo("build", "-o", program, "."); err != nil {
		return nil, err
	}
	return os.Open(program)
})

// fuseGo runs the go command for the server, which is built for this machine
// even where the tests are built for another, such as 386.
func fuseGo(args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Dir = fuseSource
	cmd.Env = append(os.Environ(), "GOARCH=", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %v\n%s", cmd, err, out)
	}
	return nil
}

// newFuse mounts an empty file system until the end of the test. It skips the
// test where that cannot be. The flags are the server's, such as "-writeback".
func newFuse(t testing.TB, flags ...string) *fuseFS {
	t.Helper()
	server, err := fuseServer()
	if errors.Is(err, errFuse) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	f := &fuseFS{t: t, dir: t.TempDir(), ended: make(chan struct{}), answers: make(map[string]chan string)}
	cmd := exec.Command(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), server.Fd()), append(flags, f.dir)...)
	cmd.Stderr = &f.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if f.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); errors.Is(err, fs.ErrPermission) {
		t.Skip(err) // temporary files cannot be executed
	} else if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	f.mounted = line == "mounted\n"
	go func() {
		f.read(lines)
		f.exit = cmd.Wait()
		close(f.ended)
	}()
	t.Cleanup(func() { f.stop(cmd.Process) })
	if why, is := strings.CutPrefix(line, "error "); is {
		t.Skipf("no FUSE file system can be mounted here: %s", why)
	} else if !f.mounted {
		<-f.ended
		t.Fatalf("the FUSE server says %q, %v, and %s", line, err, &f.stderr)
	}
	return f
}

// read hands out the answers until the server ends.
func (f *fuseFS) read(lines *bufio.Reader) {
	for {
		line, err := lines.ReadString('\n')
		number, answer, _ := strings.Cut(strings.TrimSpace(line), " ")
		f.mu.Lock()
		if ch := f.answers[number]; ch != nil {
			ch <- answer // has room for one
			delete(f.answers, number)
		}
		f.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// stop ends the server, which releases every held call and unmounts, or cuts it
// off: whatever still waits in the kernel then fails.
func (f *fuseFS) stop(server *os.Process) {
	f.stdin.Close()
	select {
	case <-f.ended:
	case <-time.After(fuseAnswer):
		unix.Unmount(f.dir, unix.MNT_FORCE|unix.MNT_DETACH)
		server.Kill()
		<-f.ended
	}
	unix.Unmount(f.dir, unix.MNT_DETACH) // if the server could not
	switch {
	case f.mounted && f.exit != nil:
		f.t.Errorf("the FUSE server ended with %v: %s", f.exit, &f.stderr)
	case f.stderr.Len() > 0:
		f.t.Logf("the FUSE server says: %s", &f.stderr)
	}
}

// ask gives a command and returns the answer. Any goroutine may.
func (f *fuseFS) ask(words ...any) (string, error) {
	command := strings.TrimSuffix(fmt.Sprintln(words...), "\n")
	answer := make(chan string, 1)
	f.mu.Lock()
	f.number++
	number := strconv.Itoa(f.number)
	f.answers[number] = answer
	f.mu.Unlock()
	if _, err := fmt.Fprintln(f.stdin, number, command); err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	select {
	case s := <-answer:
		kind, value, _ := strings.Cut(s, " ")
		if kind != "ok" {
			return "", fmt.Errorf("%s: %s", command, s)
		}
		return value, nil
	case <-f.ended:
		return "", fmt.Errorf("%s: the FUSE server has ended with %v: %s", command, f.exit, &f.stderr)
	case <-time.After(fuseAnswer):
		return "", fmt.Errorf("%s: no answer in %v", command, fuseAnswer)
	}
}

// command is ask for the test's own goroutine, and ends the test on an error. So
// do the methods below.
func (f *fuseFS) command(words ...any) string {
	f.t.Helper()
	value, err := f.ask(words...)
	if err != nil {
		f.t.Fatal(err)
	}
	return value
}

func (f *fuseFS) numberOf(words ...any) int {
	f.t.Helper()
	n, err := strconv.Atoi(f.command(words...))
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

func (f *fuseFS) path(name string) string { return filepath.Join(f.dir, name) }

// create makes a file whose bytes are all b, and returns its path. Two files may
// be given one inode number; without any, each has its own.
func (f *fuseFS) create(name string, size int, b byte, inode ...int) string {
	f.t.Helper()
	words := []any{"make", name, size, b}
	for _, n := range inode {
		words = append(words, n)
	}
	f.command(words...)
	return f.path(name)
}

// truncate, fill and notify are another machine's work on the file: the kernel
// learns of it when it asks next, or by notify. push hands it n bytes, and a
// size that holds them.

func (f *fuseFS) truncate(name string, size int) { f.t.Helper(); f.command("truncate", name, size) }
func (f *fuseFS) fill(name string, off, n int, b byte) {
	f.t.Helper()
	f.command("fill", name, off, n, b)
}
func (f *fuseFS) notify(name string)           { f.t.Helper(); f.command("notify", name) }
func (f *fuseFS) push(name string, off, n int) { f.t.Helper(); f.command("push", name, off, n) }

// size and bytes tell what the server has, which is what outlives the kernel.

func (f *fuseFS) size(name string) int { f.t.Helper(); return f.numberOf("size", name) }

func (f *fuseFS) bytes(name string, off, n int) []byte {
	f.t.Helper()
	b, err := hex.DecodeString(f.command("bytes", name, off, n))
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// sizes tells to which sizes the kernel truncated the file, in order.
func (f *fuseFS) sizes(name string) []int {
	f.t.Helper()
	sizes := []int{}
	for _, s := range strings.Fields(f.command("sizes", name)) {
		n, err := strconv.Atoi(s)
		if err != nil {
			f.t.Fatal(err)
		}
		sizes = append(sizes, n)
	}
	return sizes
}

// hold stops calls of an operation on a file, waitHeld waits until n of them are
// held, held says how many are, and release lets them go on. What is held has not changed anything. The
// test's end releases it too, before the cleanups that were registered earlier:
// they may close the file.

func (f *fuseFS) hold(op, name string) {
	f.t.Helper()
	f.command("hold", op, name)
	f.t.Cleanup(func() { f.ask("release", op, name) })
}
func (f *fuseFS) waitHeld(op, name string, n int) { f.t.Helper(); f.command("held", op, name, n) }
func (f *fuseFS) held(op, name string) int        { f.t.Helper(); return f.numberOf("waiting", op, name) }
func (f *fuseFS) release(op, name string)         { f.t.Helper(); f.command("release", op, name) }

const fuseAlways = -1 // as the number of calls that fail

// fail lets the next n calls fail, and delay all take longer, until heal.

func (f *fuseFS) fail(op, name string, errno unix.Errno, n int) {
	f.t.Helper()
	f.command("fail", op, name, unix.ErrnoName(errno), n)
}
func (f *fuseFS) delay(op, name string, d time.Duration) {
	f.t.Helper()
	f.command("delay", op, name, d)
}
func (f *fuseFS) heal(op, name string) { f.t.Helper(); f.command("heal", op, name) }

// count tells how many calls have arrived, waitCount waits until there were n,
// and calls returns "op:file" of all calls since it was asked last.

func (f *fuseFS) count(op, name string) int        { f.t.Helper(); return f.numberOf("count", op, name) }
func (f *fuseFS) waitCount(op, name string, n int) { f.t.Helper(); f.command("await", op, name, n) }
func (f *fuseFS) calls() []string                  { f.t.Helper(); return strings.Fields(f.command("calls")) }
