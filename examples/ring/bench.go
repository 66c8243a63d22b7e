package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/seed-498deeca/mmap"
)

// The measurement: what one process has with another through the ring, a pipe and a
// Unix socket.

const messageBytes = 64

// A link is how the two processes reach each other.
type link interface {
	Send(msg []byte) error
	Receive() ([]byte, error)
	Flush() error
}

// A stream is a pipe or a socket: one write(2) and one read(2) a message, or what bufio makes of them.
type stream struct {
	r   io.Reader
	w   io.Writer
	buf []byte
}

func (s *stream) Send(msg []byte) error { _, err := s.w.Write(msg); return err }

func (s *stream) Receive() ([]byte, error) {
	_, err := io.ReadFull(s.r, s.buf)
	return s.buf, err
}

func (s *stream) Flush() error {
	if b, ok := s.w.(*bufio.Writer); ok {
		return b.Flush()
	}
	return nil
}

// Two rings are a link both ways.
type rings struct{ out, in *Ring }

func (l rings) Send(msg []byte) error { return l.out.Send(context.Background(), msg) }

// Receive is done with the message at once: its bytes are a copy.
func (l rings) Receive() ([]byte, error) {
	msg, err := l.in.Receive(context.Background())
	if err == nil {
		err = l.in.Done()
	}
	return msg, err
}

func (rings) Flush() error { return nil }

var shapeOfBench = Shape{Slots: 1 << 16, Bytes: messageBytes}

// linkOf makes this process's side of a link. The names of what both sides open begin
// with base.
func linkOf(via, base string, first bool, r, w *os.File) (link, error) {
	switch via {
	case "ring":
		names := []string{base + "-there", base + "-back"}
		if !first {
			slices.Reverse(names)
		}
		out, err := open(names[0], Sender, shapeOfBench)
		if err != nil {
			return nil, err
		}
		in, err := open(names[1], Receiver, shapeOfBench)
		return rings{out, in}, err
	case "pipe":
		r.Fd() // which makes it wait in the system: faster here than Go's poller
		w.Fd()
		return &stream{r, w, make([]byte, messageBytes)}, nil
	case "bufio":
		return &stream{bufio.NewReader(r), bufio.NewWriter(w), make([]byte, messageBytes)}, nil
	case "socket":
		c, err := net.Dial("unix", socketOf(base))
		return &stream{c, c, make([]byte, messageBytes)}, err
	}
	return nil, fmt.Errorf("no link is called %q", via)
}

func socketOf(base string) string { return filepath.Join(os.TempDir(), base) }

// peer is the other process: it sends back each of n messages, or only the first and
// the last.
func peer(via, base, what string, n int) error {
	l, err := linkOf(via, base, false, os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	return mmap.Guard(func() error { return answer(l, what, n) })
}

func answer(l link, what string, n int) error {
	for i := range n {
		msg, err := l.Receive()
		if err == nil && (what == "trips" || i == 0 || i == n-1) {
			err = l.Send(msg)
			if err == nil {
				err = l.Flush()
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// measure starts a peer, and returns how long each of n round trips or messages
// takes.
func measure(via, what string, n int) (each time.Duration, err error) {
	base := fmt.Sprintf("ring-bench-%d", os.Getpid())
	cmd := self("-peer", via+" "+what, "-name", base, "-count", strconv.Itoa(n+1))
	var r, w *os.File
	var listener net.Listener
	switch via {
	case "pipe", "bufio":
		var theirs [2]*os.File
		if theirs[0], w, err = os.Pipe(); err != nil {
			return 0, err
		}
		if r, theirs[1], err = os.Pipe(); err != nil {
			return 0, err
		}
		cmd.Stdin, cmd.Stdout = theirs[0], theirs[1]
		defer r.Close()
		defer w.Close()
		defer theirs[0].Close()
		defer theirs[1].Close()
	case "socket":
		if listener, err = net.Listen("unix", socketOf(base)); err != nil {
			return 0, err
		}
		defer listener.Close()
	case "ring":
		defer mmap.RemoveShared(base + "-there")
		defer mmap.RemoveShared(base + "-back")
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var l link
	if listener != nil {
		c, err := listener.Accept()
		if err != nil {
			return 0, err
		}
		defer c.Close()
		l = &stream{c, c, make([]byte, messageBytes)}
	} else if l, err = linkOf(via, base, true, r, w); err != nil {
		return 0, err
	}
	if rings, ok := l.(rings); ok {
		defer rings.out.Close()
		defer rings.in.Close()
	}
	return timed(l, what, n)
}

// timed returns how long each of n round trips or messages takes. One more before that
// has the peer ready.
func timed(l link, what string, n int) (each time.Duration, err error) {
	msg := make([]byte, messageBytes)
	trip := func() error {
		if err := l.Send(msg); err != nil {
			return err
		}
		if err := l.Flush(); err != nil {
			return err
		}
		_, err := l.Receive()
		return err
	}
	err = mmap.Guard(func() error {
		if err := trip(); err != nil {
			return err
		}
		begin := time.Now()
		for i := range n {
			err := error(nil)
			if what == "trips" || i == n-1 { // who has the last has them all
				err = trip()
			} else {
				err = l.Send(msg)
			}
			if err != nil {
				return err
			}
		}
		each = time.Since(begin) / time.Duration(n)
		return nil
	})
	return each, err
}

// bench measures in turns, and prints medians.
func bench(w io.Writer, rounds, n int) error {
	type row struct{ what, via string }
	rows := []row{
		{"trips", "ring"}, {"trips", "pipe"}, {"trips", "socket"},
		{"stream", "ring"}, {"stream", "pipe"}, {"stream", "socket"}, {"stream", "bufio"},
	}
	if l, err := net.Listen("unix", socketOf(fmt.Sprintf("ring-bench-%d", os.Getpid()))); err != nil {
		fmt.Fprintf(w, "no Unix sockets: %v\n", err)
		rows = slices.DeleteFunc(rows, func(r row) bool { return r.via == "socket" })
	} else {
		l.Close()
	}
	times := make(map[row][]time.Duration)
	for range rounds {
		for _, r := range rows {
			count := n
			if r.what == "stream" {
				count *= 10
				if r.via == "ring" || r.via == "bufio" {
					count *= 10
				}
			}
			each, err := measure(r.via, r.what, count)
			if err != nil {
				return fmt.Errorf("%s through a %s: %w", r.what, r.via, err)
			}
			times[r] = append(times[r], each)
		}
	}
	median := func(r row) float64 {
		slices.Sort(times[r])
		return float64(times[r][len(times[r])/2])
	}
	for _, r := range rows {
		label := map[string]string{"trips": "round trip", "stream": "64-byte message in a stream"}[r.what]
		via := map[string]string{"bufio": "pipe with bufio"}[r.via]
		if via == "" {
			via = r.via
		}
		fmt.Fprintf(w, "%-28s %-16s %9.0f ns   %6.2f times the pipe's\n", label, via, median(r), median(r)/median(row{r.what, "pipe"}))
	}
	return nil
}
