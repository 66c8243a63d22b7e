package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-498deeca/mmap"
)

// The program is this test binary again: see self.
func TestMain(m *testing.M) {
	const variable = "RING_TEST_PROGRAM"
	if os.Getenv(variable) != "" {
		main()
		os.Exit(0)
	}
	os.Setenv(variable, "1")
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// needWaiting skips where the example cannot run.
func needWaiting(t testing.TB) {
	t.Helper()
	switch runtime.GOOS {
	case "aix", "js", "plan9", "wasip1":
		t.Skip("nothing can be mapped on " + runtime.GOOS)
	}
}

// newName returns a name whose queue is removed at the end.
func newName(t testing.TB) string {
	t.Helper()
	needWaiting(t)
	name := fmt.Sprintf("ring-test-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
	t.Cleanup(func() {
		if err := mmap.RemoveShared(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	return name
}

// program runs the program to its end and returns what it prints.
func program(t testing.TB, in string, args ...string) string {
	t.Helper()
	cmd := self(args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

func TestShowsAReceiverThatIsReplaced(t *testing.T) {
	needWaiting(t)
	out := program(t, "")
	for _, want := range []string{"and was killed", "and is done", "20000 messages: each as it was sent, in order, none lost"} {
		if !strings.Contains(out, want) {
			t.Errorf("it prints %q, without %q", out, want)
		}
	}
}

func TestMeasures(t *testing.T) {
	needWaiting(t)
	out := program(t, "", "-bench", "-count", "20")
	vias := []string{"ring", "pipe", "socket", "pipe with bufio"}
	if strings.Contains(out, "no Unix sockets") {
		vias = slices.Delete(vias, 2, 3)
	}
	for _, via := range vias {
		if !strings.Contains(out, "in a stream  "+via) {
			t.Errorf("no stream through a %s:\n%s", via, out)
		}
	}
	if strings.Count(out, "times the pipe's") != 2*len(vias)-1 {
		t.Errorf("it prints\n%s", out)
	}
}

func TestUnrelatedProcessesSendLines(t *testing.T) {
	name := newName(t)
	lines := "first\n\nthird, ünïcode\n"
	for range 100 {
		lines += strings.Repeat("x", 500) + "\n"
	}
	var all sync.WaitGroup
	var got string
	all.Go(func() { got = program(t, "", "-name", name, "-receive", "-count", "103") })
	all.Go(func() { program(t, lines, "-name", name, "-send") })
	all.Wait()
	if got != lines {
		t.Errorf("%d bytes were sent, and these printed: %q", len(lines), got)
	}
	cmd := self("-name", name, "-send") // to nobody, and too long
	cmd.Stdin, cmd.Stderr = strings.NewReader(strings.Repeat("x", 501)), nil
	if err := cmd.Run(); err == nil {
		t.Error("a message that fits no slot was sent")
	}
	program(t, "", "-name", name, "-remove")
	if err := mmap.RemoveShared(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after -remove: %v", err)
	}
}

// pair returns both ends in this process, through a file of its own.
func pair(t testing.TB, shape Shape) (s, r *Ring, file *os.File) {
	t.Helper()
	needWaiting(t)
	name := filepath.Join(t.TempDir(), "ring")
	if err := os.WriteFile(name, make([]byte, shape.Size()), 0o600); err != nil {
		t.Fatal(err)
	}
	ends := make([]*Ring, 2)
	for i, side := range []Side{Sender, Receiver} {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err == nil {
			ends[i], err = Join(f, side, shape)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ends[i].Close() })
	}
	return ends[0], ends[1], ends[0].file
}

var ctx = context.Background()

// soon is a context that has ended.
func soon() context.Context {
	c, cancel := context.WithCancel(ctx)
	cancel()
	return c
}

func TestAMessageIsThereUntilDone(t *testing.T) {
	s, r, _ := pair(t, Shape{4, 10})
	if _, err := r.Receive(soon()); !errors.Is(err, context.Canceled) {
		t.Errorf("Receive from an empty ring: %v", err)
	}
	if err := r.Done(); err == nil {
		t.Error("Done without a message")
	}
	for i := range uint32(1000) {
		msg := []byte(message(i)[:i%11])
		if err := s.Send(ctx, msg); err != nil || s.Count() != i+1 {
			t.Fatal(s.Count(), err)
		}
		for range 2 {
			if got, err := r.Receive(ctx); err != nil || string(got) != string(msg) || r.Count() != i {
				t.Fatalf("message %d is %q, %v; want %q", i, got, err, msg)
			}
		}
		if err := r.Done(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullRingWaitsForASlot(t *testing.T) {
	s, r, _ := pair(t, Shape{4, 10})
	for i := range 4 {
		if err := s.Send(ctx, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Send(soon(), []byte{4}); !errors.Is(err, context.Canceled) || s.Count() != 4 {
		t.Errorf("Send into a full ring: %v", err)
	}
	sent := make(chan error)
	go func() { sent <- s.Send(ctx, []byte{4}) }()
	for i := range 5 {
		msg, err := r.Receive(ctx)
		if err != nil || len(msg) != 1 || msg[0] != byte(i) {
			t.Fatalf("message %d: %v, %v", i, msg, err)
		}
		if i == 0 {
			select {
			case <-sent:
				t.Fatal("a message was sent into a full ring")
			default:
			}
		}
		if err := r.Done(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTheCountersGoRound(t *testing.T) {
	s, r, _ := pair(t, Shape{4, 10})
	for _, end := range []*Ring{s, r} { // as after so many messages
		s.words.Store(end.my.count, 1<<32-3)
	}
	s.mine, s.theirs, r.mine, r.theirs = 1<<32-3, 1<<32-3, 1<<32-3, 1<<32-3
	for i := range 10 {
		if err := s.Send(ctx, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		if msg, err := r.Receive(ctx); err != nil || msg[0] != byte(i) {
			t.Fatalf("message %d: %v, %v", i, msg, err)
		}
		if err := r.Done(); err != nil {
			t.Fatal(err)
		}
	}
	if s.Count() != 7 {
		t.Errorf("the counter is %d", s.Count())
	}
}

// Whatever the other side stores, there is an error, and an end.
func TestNonsenseOfTheOtherSideIsAnError(t *testing.T) {
	for _, x := range []uint32{1, 5, 77777, 1 << 31, 1<<32 - 5, 1<<32 - 1} { // of a ring that nothing was sent through
		s, r, _ := pair(t, Shape{4, 10})
		s.words.Store(Receiver.count, x)
		if err := s.look(); (err == nil) != (-x <= 4) {
			t.Errorf("the receiver's counter is %d: %v", x, err)
		}
		for range 6 { // it waits for no slot that there is not
			s.Send(soon(), nil)
		}
		s.words.Store(Sender.count, x)
		if _, err := r.Receive(soon()); errors.Is(err, ErrBroken) != (x > 4) {
			t.Errorf("the sender's counter is %d: %v", x, err)
		}
	}
	for _, length := range []uint32{11, 12, 1 << 31, 1<<32 - 1} {
		s, r, _ := pair(t, Shape{4, 10})
		if err := s.Send(ctx, nil); err != nil {
			t.Fatal(err)
		}
		s.length.Set(0, length)
		if _, err := r.Receive(soon()); !errors.Is(err, ErrBroken) {
			t.Errorf("a message of %d bytes: %v", length, err)
		}
	}
}

func TestATruncatedFileIsAnError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not shorten a file while anyone has it mapped")
	}
	s, r, file := pair(t, Shape{4, 10})
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if err := mmap.Guard(func() error { return s.Send(ctx, nil) }); !errors.Is(err, mmap.ErrTruncated) {
		t.Errorf("Send: %v", err)
	}
	if err := mmap.Guard(func() error { _, err := r.Receive(ctx); return err }); !errors.Is(err, mmap.ErrTruncated) {
		t.Errorf("Receive: %v", err)
	}
}

func TestAShapeMustBeTheSame(t *testing.T) {
	_, _, file := pair(t, Shape{4, 10})
	name := file.Name()
	for _, shape := range []Shape{{8, 10}, {4, 11}, {3, 10}, {0, 10}, {-4, 10}, {math.MinInt, 10}, {4, -1}, {1 << 30, 10}, {4, 1 << 24}, {1 << 29, 100}} {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := Join(f, Sender, shape); err == nil {
			r.Close()
			t.Errorf("%+v was taken", shape)
		}
		f.Close()
	}
}

// A sleeper is woken each time: a wake-up that is lost costs 20 ms.
func TestWakesASleeper(t *testing.T) {
	defer func(n int) { spins = n }(spins)
	spins = 0
	s, r, _ := pair(t, Shape{2, 10})
	n := 20_000
	sleeps := runtime.GOOS == "linux" || runtime.GOOS == "freebsd" // others poll
	if testing.Short() || !sleeps {
		n = 1000
	}
	begin := time.Now()
	var all sync.WaitGroup
	all.Go(func() {
		for i := range n {
			if err := s.Send(ctx, []byte{byte(i)}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range n {
		if msg, err := r.Receive(ctx); err != nil || msg[0] != byte(i) {
			t.Fatalf("message %d: %v, %v", i, msg, err)
		}
		if err := r.Done(); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	if each := time.Since(begin) / time.Duration(n); each > 5*time.Millisecond && sleeps {
		t.Errorf("a message takes %v: wake-ups are lost", each)
	}
}

// Who was killed in its sleep leaves a word that says that it sleeps. The next in its
// place is awake.
func TestWhoTakesTheSleepersPlaceIsAwake(t *testing.T) {
	_, r, file := pair(t, Shape{4, 10})
	for _, before := range []uint32{0, 7, 8, 1<<32 - 1} {
		r.words.Store(Sender.asleep, before)
		f, err := os.OpenFile(file.Name(), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		file.Close() // and its lock
		file = f
		s, err := Join(f, Sender, Shape{4, 10})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		if now := r.words.Load(Sender.asleep); now%2 != 0 || now == before {
			t.Errorf("the word was %d, and is %d", before, now)
		}
	}
}
