//go:build !mmap_posix

package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// Failure paths, by injection. Each operation of inject_ops_linux_test.go runs
// once to see which system calls it makes. Then it runs again and again, and each
// time one of these calls is refused, once or from then on. What must hold
// afterwards is the same for all: an error that says what was asked, everything as
// before, and the same operation works when nothing is refused any more.

// A refusal makes a system call fail: the nth of that name, and with forever all
// that follow.
type refusal struct {
	call    string
	nth     int
	errno   unix.Errno
	forever bool
}

func (f refusal) String() string {
	if f.forever {
		return fmt.Sprintf("%s from number %d on refused with %s", f.call, f.nth, unix.ErrnoName(f.errno))
	}
	return fmt.Sprintf("%s number %d refused with %s", f.call, f.nth, unix.ErrnoName(f.errno))
}

// refusals are the errors that each system call is refused with. EINTR is only
// worth a look if it does not end.
var refusals = map[string][]unix.Errno{
	"open":            {unix.EMFILE, unix.EACCES, unix.EAGAIN},
	"close":           {unix.EIO},
	"fstat":           {unix.EIO},
	"fstatfs":         {unix.ENOSYS, unix.EPERM},
	"fcntl":           {unix.EPERM},
	"ftruncate":       {unix.EFBIG, unix.EIO},
	"fallocate":       {unix.ENOSPC, unix.EIO, unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM},
	"pread":           {unix.EIO},
	"pwrite":          {unix.EIO},
	"mmap":            {unix.ENOMEM, unix.EPERM},
	"munmap":          {unix.ENOMEM},
	"mprotect":        {unix.ENOMEM, unix.EACCES},
	"mlock":           {unix.ENOMEM, unix.EPERM, unix.EAGAIN},
	"mincore":         {unix.EAGAIN},
	"mlock2":          {unix.ENOMEM, unix.EPERM, unix.EAGAIN, unix.ENOSYS},
	"munlock":         {unix.ENOMEM},
	"futex":           {unix.ENOSYS, unix.EPERM, unix.EFAULT},
	"madvise":         {unix.EINVAL, unix.ENOSYS, unix.EPERM, unix.ENOMEM, unix.EFAULT},
	"msync":           {unix.EIO, unix.EINVAL, unix.EPERM},
	"fsync":           {unix.EIO, unix.ENOSPC},
	"syncfs":          {unix.EIO},
	"sync_file_range": {unix.EIO, unix.ENOSYS},
}

// injection stands between the library and the system for the goroutine that set
// it. Those of the collector's cleanups pass.
type injection struct {
	refusal
	always    map[string]unix.Errno // refused wherever they come
	goroutine string
	calls     []string
	seen      map[string]int
	refused   int
}

// inject calls fn, and refuses what it is told to.
func inject(f refusal, always map[string]unix.Errno, fn func()) *injection {
	in := &injection{refusal: f, always: always, goroutine: thisGoroutine(), seen: make(map[string]int)}
	ask := in.ask
	intercept.Store(&ask)
	defer intercept.Store(nil)
	fn()
	return in
}

func (in *injection) ask(call string) error {
	if thisGoroutine() != in.goroutine {
		return nil
	}
	n := in.seen[call]
	in.seen[call]++
	in.calls = append(in.calls, call)
	if errno, is := in.always[call]; is {
		return errno
	}
	if call == in.call && (n == in.nth || in.forever && n > in.nth) {
		in.refused++
		return in.errno
	}
	return nil
}

// thisGoroutine returns the number of the goroutine that calls it.
func thisGoroutine() string {
	var b [64]byte
	number, _, _ := bytes.Cut(bytes.TrimPrefix(b[:runtime.Stack(b[:], false)], []byte("goroutine ")), []byte(" "))
	return string(number)
}

// A stage is what an operation acts on.
type stage struct {
	testing.TB
	name string // of the file, or what stands for one in an error
	f    *os.File
	r    *Region
}

// An operation is one that can fail.
type operation struct {
	what    string
	always  map[string]unix.Errno // calls that are refused besides: a system that lacks them
	prepare func(s *stage)
	do      func(s *stage) error

	asked     string // the call that it was asked for; failing, it fails
	create    bool   // by Create or OpenOrCreate: it opens the directory first
	empties   bool   // by Create: what is there is gone if it fails
	populates bool   // it has pages brought in, and says what could not be
	syncs     bool   // it writes back
	extra     bool   // all calls that it makes only make it better
	closes    bool   // it cannot be taken back
	waits     bool   // it waits for the collector where space is wanted for good: one such is enough
}

// run runs one case, and returns the calls that were made.
func (op *operation) run(t testing.TB, dir string, f refusal, clean state) (calls []string, after state) {
	base := descriptors(t)
	s := &stage{TB: t, name: filepath.Join(dir, "f")}
	vacant.mu.Lock()
	vacant.from, vacant.to = 0, 0
	vacant.mu.Unlock()
	start := s.state()
	op.prepare(s)
	before := s.state().since(start)
	var err error
	in := inject(f, op.always, func() { err = op.do(s) })
	after = s.state().since(start)

	fault := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s, %v: %s", op.what, f, fmt.Sprintf(format, args...))
	}
	want := clean
	if op.create && f.call == "open" && f.nth == 0 {
		want.Descriptors = min(want.Descriptors, after.Descriptors) // that of the directory is not there
	}
	if f.call == "mprotect" && f.nth > 0 && op.window() && err == nil {
		want.Pages = after.Pages // of what lies beyond the region
	}
	if f.call == "" {
		want = after
	} else if in.refused == 0 {
		fault("it was not asked for again")
	}
	expected := op.expected(f)
	switch {
	case f.call == "" && err != nil:
		t.Fatalf("%s: %v", op.what, err)
	case err == nil && f.call != "" && expected == fails:
		fault("no error")
	case err != nil && expected == works:
		fault("failed: %v", err)
	case err != nil:
		op.checkError(fault, s, f, err)
		want = op.asBefore(before, f)
		if op.closes {
			want = clean
		}
	}
	if f.call == "close" { // the injected one left it open
		after.Descriptors = min(after.Descriptors, want.Descriptors)
	}
	// A collection may have found what earlier cases left.
	after.Process = max(after.Process, want.Process)
	if f.call == "munmap" || op.always["munmap"] != 0 { // it is tried again later: see checkNothingIsLeft
		after.Process = want.Process
	}
	if f.call != "" {
		if d := cmp.Diff(want, after); d != "" {
			fault("error %v (-want +got):\n%s", err, d)
		}
	}
	if err != nil && op.syncs {
		op.checkMemory(fault, s, f)
	} else if err != nil && f.call != "" {
		inject(refusal{}, op.always, func() { err = op.do(s) })
		if err != nil {
			fault("and it fails afterwards: %v", err)
		}
		again := s.state()
		if again.Bytes != clean.Bytes || again.File != clean.File || again.Pages != clean.Pages || again.Locked != clean.Locked || again.Len != clean.Len {
			fault("and afterwards it does something else:\n%s", cmp.Diff(clean, again))
		}
	}
	s.r.Close()
	if s.r != nil && s.r.o.lingers { // and is buried later
		collectTill(t, func() bool { return !strings.HasSuffix(mapsAt(t, s.r.Addr()), "s") })
	}
	if s.f != nil {
		s.f.Close()
	}
	os.Remove(s.name)
	for _, left := range descriptors(t) {
		if !slices.Contains(base, left) {
			if f.call != "close" {
				fault("descriptor %s is left", left)
			}
			var fd int
			fmt.Sscan(left, &fd)
			unix.Close(fd)
		}
	}
	inodes.Lock()
	defer inodes.Unlock()
	if len(inodes.of) > 0 {
		fault("%d inodes are left", len(inodes.of))
		clear(inodes.of)
	}
	return in.calls, after
}

// asBefore is the state after a failure.
func (op *operation) asBefore(before state, f refusal) state {
	opened := f.call != "open"
	emptied := opened && (f.call != "fstat" || f.nth > 1) && (f.call != "ftruncate" || f.nth > 0)
	switch {
	case op.empties && before.File == noFileThere && f.call == "fstat" && f.forever && f.nth == 0:
		before.File = summary(nil) // whose file it is cannot be found out, so it stays
	case op.empties && before.File == noFileThere:
	case op.empties && emptied:
		before.File = summary(nil)
	case op.create && !op.empties && before.File == noFileThere && opened:
		before.File = summary(nil)
	}
	return before
}

// checkError checks that an error says what was asked of which file, and what the
// system said.
func (op *operation) checkError(fault func(string, ...any), s *stage, f refusal, err error) {
	var path *fs.PathError
	var access *FaultError
	switch {
	case errors.As(err, &access) && op.populates && f.call == "madvise":
	case errors.Is(err, ErrIO) && f.call == "madvise": // no space for a page
	case !errors.As(err, &path):
		fault("the error is no *fs.PathError: %v", err)
	case path.Path != s.name || path.Op != f.call || !errors.Is(err, f.errno):
		fault("the error does not name the call, the file and the system's error: %v", err)
	}
	if !strings.Contains(err.Error(), s.name) {
		fault("the error does not name %s: %v", s.name, err)
	}
}

// checkMemory checks that a write-back that failed is never forgotten, and that a
// call that was merely refused is.
func (op *operation) checkMemory(fault func(string, ...any), s *stage, f refusal) {
	err := s.r.Sync()
	if lost := f.errno == unix.EIO || f.errno == unix.ENOSPC; lost && !errors.Is(err, f.errno) {
		fault("a Sync after the one that failed: %v", err)
	} else if !lost && err != nil {
		fault("a Sync after one that was refused: %v", err)
	}
}

// cases calls try with every refusal of the calls of an operation.
func (op *operation) cases(t testing.TB, calls []string, short bool, try func(f refusal)) {
	seen := make(map[string]int)
	for _, call := range calls {
		if op.always[call] != 0 {
			continue
		}
		errnos := refusals[call]
		if errnos == nil {
			t.Errorf("it is not known how %s fails", call)
		}
		if short {
			errnos = errnos[:1]
		}
		for i, errno := range errnos {
			try(refusal{call, seen[call], errno, false})
			forGood := i == 0 || call == "madvise" || call == "fallocate"
			if forGood && !(op.waits && call == "mmap" && errno == unix.ENOMEM) {
				try(refusal{call, seen[call], errno, true})
			}
		}
		if call != "close" {
			try(refusal{call, seen[call], unix.EINTR, true})
		}
		seen[call]++
	}
}

func TestEveryRefusedSystemCallLeavesEverythingAsItWas(t *testing.T) {
	dir := t.TempDir()
	if memory, err := os.MkdirTemp("/dev/shm", "inject"); err == nil { // where files come and go faster
		dir = memory
		defer os.RemoveAll(dir)
	}
	t.Log(runChild(t, childInject, dir, strconv.FormatBool(testing.Short())))
}

var childInject = registerChild("with system calls refused", func(t testing.TB, args []string) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the cases count what there is
	dir, short := args[0], args[1] == "true"
	n := 0
	for ops := range slices.Chunk(operations(), 20) {
		space := processStatus(t, "VmSize")
		for i, op := range ops {
			if i > 0 && strings.Contains(ops[i-1].what, "large Reserve") {
				checkNothingIsLeft(t, ops[i-1].what) // or it goes while what is right is found out
			}
			if short && i%3 > 0 { // one of three that are alike
				continue
			}
			calls, clean := op.run(t, dir, refusal{}, state{})
			op.cases(t, calls, short, func(f refusal) {
				if n++; n%50 == 0 {
					runtime.GC() // or looking at the process's mappings takes long
				}
				op.run(t, dir, f, clean)
			})
		}
		what := fmt.Sprintf("%s to %s", ops[0].what, ops[len(ops)-1].what)
		checkNothingIsLeft(t, what)
		if n := reservations(processStatus(t, "VmSize") - space); n > 0 {
			t.Errorf("%s: %d reservations are left", what, n)
		}
	}
	fmt.Printf("%d refusals", n)
})
