//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-498deeca/mmap"
)

func kills() int {
	if testing.Short() {
		return 10
	}
	return 100
}

// start starts the program; what it prints can be read.
func start(t testing.TB, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := self(args...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, bufio.NewScanner(out)
}

// moment waits for a random time, in which the program may be anywhere.
func moment() { time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) }

// Processes that send are killed at random moments, after at least one message each,
// and replaced. What is received is all of it, in order, once.
func TestASenderThatIsKilledIsReplaced(t *testing.T) {
	name := newName(t)
	r, err := open(name, Receiver, shapeOfText)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// receive reports whether a message came in time.
	receive := func(patience time.Duration) bool {
		t.Helper()
		short, cancel := context.WithTimeout(c, patience)
		defer cancel()
		msg, err := r.Receive(short)
		if errors.Is(err, context.DeadlineExceeded) && c.Err() == nil {
			return false
		}
		if err != nil {
			t.Fatalf("message %d: %v", r.Count(), err)
		}
		if string(msg) != message(r.Count()) {
			t.Fatalf("message %d is %q", r.Count(), msg)
		}
		if err := r.Done(); err != nil {
			t.Fatal(err)
		}
		return true
	}
	for range kills() {
		cmd, _ := start(t, "-name", name, "-send", "-count", strconv.Itoa(1<<30))
		receive(time.Minute)
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			moment()
			cmd.Process.Kill()
			cmd.Wait()
		}()
		for gone := false; !gone; {
			select {
			case <-killed:
				gone = true
			default:
				receive(time.Millisecond)
			}
		}
		if there, err := r.Peer(); there || err != nil {
			t.Errorf("a sender that was killed is there: %v", err)
		}
		for receive(0) { // what it has left
		}
	}
	t.Logf("%d messages of %d processes", r.Count(), kills())
}

// Processes that receive are killed at random moments, and replaced. Each message is
// printed at least once, in order, and again only if its receiver was killed then.
func TestAReceiverThatIsKilledIsReplaced(t *testing.T) {
	name := newName(t)
	s, err := open(name, Sender, shapeOfText)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, cancel := context.WithTimeout(ctx, time.Minute)
	done := make(chan error, 1)
	go func() {
		done <- mmap.Guard(func() error {
			for {
				if err := s.Send(c, []byte(message(s.Count()))); err != nil {
					return err
				}
			}
		})
	}()
	next, again := uint32(0), 0
	for range kills() {
		cmd, lines := start(t, "-name", name, "-receive")
		first := true
		for lines.Scan() {
			switch text := lines.Text(); {
			case text == message(next):
				next++
			case first && next > 0 && text == message(next-1):
				again++
			default:
				t.Fatalf("message %d is %q", next, text)
			}
			if first {
				first = false
				go func() { moment(); cmd.Process.Kill() }()
			}
		}
		cmd.Wait()
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the sender ended with %v", err)
	}
	t.Logf("%d messages, %d of them again", next, again)
}

func TestAStoppedPeerIsWaitedFor(t *testing.T) {
	name := newName(t)
	r, err := open(name, Receiver, shapeOfText)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd, _ := start(t, "-name", name, "-send", "-count", strconv.Itoa(1<<30))
	if _, err := r.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	for err == nil { // what it has sent
		var msg []byte
		if msg, err = r.Receive(c); err == nil {
			if string(msg) != message(r.Count()) {
				t.Fatalf("message %d is %q", r.Count(), msg)
			}
			err = r.Done()
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Receive from a sender that is stopped: %v", err)
	}
	if there, err := r.Peer(); err != nil || !there {
		t.Errorf("a sender that is stopped is gone: %v, %v", there, err)
	}
	if _, err := open(name, Sender, shapeOfText); !errors.Is(err, ErrTaken) {
		t.Errorf("its place: %v", err)
	}
	// That open has closed a descriptor of the file, and with it r's lock is gone.
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		msg, err := r.Receive(ctx)
		if err != nil || string(msg) != message(r.Count()) {
			t.Fatalf("message %d is %q, %v", r.Count(), msg, err)
		}
		if err := r.Done(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPlaceIsForOneProcess(t *testing.T) {
	name := newName(t)
	r, err := open(name, Sender, shapeOfText)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := self("-name", name, "-send", "-count", "1")
	cmd.Stderr = nil
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(out)
	if err := cmd.Wait(); err == nil || !strings.Contains(string(text), name) || !strings.Contains(string(text), "sender") || !strings.Contains(string(text), ErrTaken.Error()) {
		t.Errorf("a second sender ends with %v, and says %q", err, text)
	}
	if there, err := r.Peer(); there || err != nil {
		t.Errorf("there is a receiver: %v, %v", there, err)
	}
}
