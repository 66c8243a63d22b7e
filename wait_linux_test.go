//go:build !mmap_posix

package mmap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWaitersOfTwoProcessesOnOneWord(t *testing.T) {
	page := os.Getpagesize()
	f := newMemFile(t, int64(4*page))
	r, err := Map(f, ReadWrite)
	v := wordsOf(t, need(t, r, err))
	word := (2*page + 16) / 4
	cmd := childCommand(t, childWaiters, itoa(page+8), itoa(2*page+16))
	cmd.ExtraFiles = []*os.File{f}
	p := startPuppetOf(t, cmd)
	p.want("waiting")
	sleepTillWoken(t)
	var here []<-chan error
	for range 2 {
		here = append(here, inWait(context.Background(), v, word, 0))
	}
	// Waiters may still be on their way, so the sum counts. Who is woken for nothing
	// is missing in it.
	for woken, begin := 0, time.Now(); woken < 3+len(here); runtime.Gosched() {
		for _, n := range []int{0, 2} {
			k, err := v.Wake(word, n)
			if err != nil || k > n {
				t.Fatalf("Wake(%d) returns %d, %v", n, k, err)
			}
			woken += k
		}
		if time.Since(begin) > waitPatience {
			t.Fatalf("Wake has woken %d waiters", woken)
		}
	}
	for _, result := range here {
		if err := resultOf(t, result); err != nil {
			t.Error(err)
		}
	}
	for range 3 {
		p.want("woken")
	}
	p.end()
	if n, err := v.Wake(word, math.MaxInt); n != 0 || err != nil {
		t.Errorf("Wake where nobody waits any more: %d, %v", n, err)
	}
}

// childWaiters waits for a byte of the file that it inherited, through regions that
// begin in the middle of a page, and end it: one ReadOnly, one without a file, so to
// speak, because that was closed.
var childWaiters = registerChild("that has three waiters", func(t testing.TB, args []string) {
	sleepTillWoken(t)
	f := os.NewFile(3, "memory")
	var off, at int
	fmt.Sscan(args[0]+" "+args[1], &off, &at)
	var results []<-chan error
	for _, c := range []Config{{Mode: ReadOnly, Offset: int64(off)}, {Mode: ReadWrite, Offset: int64(off + 4)}, {Mode: ReadWrite, Length: int64(at + 4)}} {
		r, err := c.Map(f)
		v := wordsOf(t, need(t, r, err))
		results = append(results, inWait(context.Background(), v, (at-int(c.Offset))/4, 0))
	}
	f.Close()
	say(t, "waiting")
	for _, result := range results {
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		say(t, "woken")
	}
})

// TestAPeerThatStopsOrDies wakes nobody, and the context tells.
func TestAPeerThatStopsOrDies(t *testing.T) {
	name := tempFile(t, make([]byte, 4*2*lineWords))
	v := wordsOf(t, open(t, name, ReadWrite))
	p := startPuppet(t, childPlay, name, "10", "false")
	p.want("ready")
	answer := func(k uint32, patience time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return awaitFor(ctx, v, lineWords, k)
	}
	signal := func(sig syscall.Signal) {
		if err := p.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	ring(v, 0, 1)
	if err := answer(0, waitPatience); err != nil {
		t.Fatal(err)
	}

	signal(unix.SIGSTOP)
	for begin := time.Now(); !isStopped(t, p.cmd.Process.Pid); runtime.Gosched() {
		if time.Since(begin) > waitPatience {
			t.Fatal("the child does not stop")
		}
	}
	ring(v, 0, 2)
	if err := answer(1, 30*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the wait for a stopped process ends with %v", err)
	}
	signal(unix.SIGCONT)
	if err := answer(1, waitPatience); err != nil {
		t.Errorf("the wait for a process that goes on ends with %v", err)
	}

	signal(unix.SIGKILL)
	for range p.lines { // till it has ended
	}
	if err := ring(v, 0, 3); err != nil {
		t.Error(err)
	}
	if err := answer(2, 30*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the wait for a dead process ends with %v", err)
	}
	if n, err := v.Wake(0, math.MaxInt); n != 0 || err != nil {
		t.Errorf("Wake for a dead process: %d, %v", n, err)
	}
}

func isStopped(t testing.TB, pid int) bool {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Skipf("cannot look at the child: %v", err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, task.Name()))
		_, state, _ := bytes.Cut(b, []byte(") "))
		if err != nil || len(state) == 0 || state[0] != 'T' {
			return false
		}
	}
	return true
}

func TestFifteenHundredWaiters(t *testing.T) {
	if emulated() {
		t.Skip("an emulator takes too long for a thousand threads")
	}
	t.Log(runChild(t, childManyWaiters))
}

var childManyWaiters = registerChild("that has very many waiters", func(t testing.TB, args []string) {
	const all = maxSleepers + 500
	sleepTillWoken(t)
	v := words(t, 1)
	before := runtime.NumGoroutine()
	var left atomic.Int32
	left.Store(all)
	for range all {
		go func() {
			if err := v.Wait(context.Background(), 0, 0); err != nil {
				t.Error(err)
			}
			left.Add(-1)
		}()
	}
	patience := time.Now().Add(waitPatience)
	for ; waiters.Load() < all || threads(t) < maxSleepers; time.Sleep(time.Millisecond) {
		if time.Now().After(patience) {
			t.Fatalf("%d waiters, on %d threads", waiters.Load(), threads(t))
		}
	}
	n := threads(t)
	if n > maxSleepers+100 {
		t.Errorf("%d waiters take %d threads", all, n)
	}
	woken, atOnce := 0, 0
	for ; left.Load() > 0; runtime.Gosched() { // some may still be on their way to sleep
		k, err := v.Wake(0, math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		woken += k
		atOnce = max(atOnce, k)
		if time.Now().After(patience) {
			t.Fatalf("%d waiters are not woken", left.Load())
		}
	}
	if woken > all || atOnce < 2 {
		t.Errorf("Wake says that it woke %d of %d, and %d at once", woken, all, atOnce)
	}
	if waiters.Load() != 0 || sleepers.Load() != 0 {
		t.Errorf("afterwards %d wait, %d of them in the system", waiters.Load(), sleepers.Load())
	}
	for ; runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(patience) {
			t.Fatalf("%d goroutines, before there were %d", runtime.NumGoroutine(), before)
		}
	}
	fmt.Printf("%d threads, %d woken in the system", n, woken)
})

// threads returns how many the process has.
func threads(t testing.TB) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("cannot count threads: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "Threads: %d", &n); err == nil {
			return n
		}
	}
	t.Skip("the system does not say how many threads there are")
	return 0
}

func TestCloseDoesNotWaitForAWaiter(t *testing.T) {
	v := words(t, 1)
	entered, release := make(chan bool), make(chan bool)
	onCalls(t, func(call string) error {
		if call == "futex" {
			entered <- true
			<-release
		}
		return nil
	})
	result := make(chan error, 1)
	go func() { result <- v.Wait(context.Background(), 0, 0) }()
	<-entered
	if err := v.Region().Close(); err != nil { // the test hangs if it waits
		t.Error(err)
	}
	close(release)
	for {
		select {
		case <-entered:
			t.Error("a waiter sleeps in a closed region")
		case err := <-result:
			wantErr(t, err, ErrClosed)
			return
		}
	}
}

func TestAWaitTheSystemRefusesIsAPoll(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOSYS, unix.EPERM, unix.EACCES, unix.EINVAL, unix.ENOMEM, unix.EFAULT} {
		t.Run(unix.ErrnoName(errno), func(t *testing.T) {
			var calls atomic.Int32
			v := words(t, 1)
			onCalls(t, func(call string) error {
				if call != "futex" {
					return nil
				}
				calls.Add(1)
				return errno
			})
			if n := wakeTill(t, v, 0, 1, inWait(context.Background(), v, 0, 0)); n != 0 {
				t.Errorf("Wake says that it woke %d", n)
			}
			result := inWait(context.Background(), v, 0, 0)
			v.Store(0, 1)
			if err := resultOf(t, result); err != nil {
				t.Error(err)
			}
			if calls.Load() == 0 {
				t.Error("nothing was refused")
			}
		})
	}
}

// TestMemoryThatTheSystemCannotNameIsPolled is of private pages without the right to
// store: futex(2) cannot tell which they are. It can of a file.
func TestMemoryThatTheSystemCannotNameIsPolled(t *testing.T) {
	v := words(t, 1024)
	file := wordsOf(t, open(t, tempFile(t, make([]byte, 4096)), ReadOnly))
	if err := v.Region().Protect(ReadOnly); err != nil {
		t.Fatal(err)
	}
	for _, w := range []AtomicView[uint32]{v, file} {
		_, errWait := waitWord((*uint32)(w.loadable(5)), 1, 0)
		_, errWake := wakeWord((*uint32)(w.loadable(5)), 1)
		if refused := errWait == unix.EFAULT && errWake == unix.EFAULT; refused != (w == v) {
			t.Errorf("%v: futex(2) says %v, %v", w.Region(), errWait, errWake)
		}
		wakeTill(t, w, 5, 1, inWait(context.Background(), w, 5, 0))
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := inWait(ctx, v, 5, 0)
	cancel()
	if err := resultOf(t, result); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait returns %v", err)
	}
}

// TestAWaiterDoesNotCopyItsPage is of CopyOnWrite: Linux shows the file's own bytes there
// until somebody stores to the page.
func TestAWaiterDoesNotCopyItsPage(t *testing.T) {
	name := tempFile(t, make([]byte, 4096))
	shared, private := wordsOf(t, open(t, name, ReadWrite)), wordsOf(t, open(t, name, CopyOnWrite))
	result := inWait(context.Background(), private, 3, 0)
	shared.Store(3, 1)
	if err := resultOf(t, result); err != nil {
		t.Error(err)
	}
	if _, err := private.Wake(3, 1); err != nil {
		t.Error(err)
	}
	if shared.Store(3, 2); private.Load(3) != 2 {
		t.Error("the page was copied")
	}
}

func TestSignalsNeitherEndAWaitNorMakeItLonger(t *testing.T) {
	v := words(t, 1)
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				for _, tid := range ownThreads(t) {
					unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
				}
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	var took time.Duration
	for range 20 {
		begin := time.Now() // before the deadline is: this may be held up in between
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		err := v.Wait(ctx, 0, 0)
		took = time.Since(begin)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || took < 20*time.Millisecond {
			t.Fatalf("Wait returns %v after %v", err, took)
		}
		if took < 40*time.Millisecond || emulated() {
			return
		}
	}
	t.Errorf("Wait with a deadline of 20 ms takes %v", took)
}

func ownThreads(t testing.TB) (tids []int) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Error(err)
	}
	for _, task := range tasks {
		var tid int
		fmt.Sscan(task.Name(), &tid)
		tids = append(tids, tid)
	}
	return tids
}
