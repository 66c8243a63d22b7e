package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/seed-498deeca/mmap"
)

// Two processes: this program and another run of it. What each way does in a turn is
// done by a process that is started for it; starting it is not timed.

// A twoLink is how two processes reach each other.
type twoLink interface {
	trips(n int) error  // sends messages, and awaits each answer
	echo(n int) error   // the other side of it
	stream(n int) error // sends messages, and awaits one answer
	take(n int) error   // the other side of it
	close()
}

const twoBufio = "pipe, bufio of 64 KiB"

// twoLinks are the links, and how many messages of a stream are as much work as a few
// milliseconds.
var twoLinks = []struct {
	name   string
	stream int
}{
	{"ring", 500_000},
	{"ring that sleeps at once", 500_000},
	{ringBatch, 500_000},
	{"pipe", 10_000},
	{"Unix socket", 10_000},
	{twoBufio, 500_000},
}

func twoProcesses(s *session) error {
	trips := contest{name: "round trips between two processes", n: 1, per: "round trip",
		work: "One process sends 64 bytes, and the other sends them back. The ring is that of examples/ring without what makes it survive a death: it looks for a moment before it sleeps."}
	stream := contest{name: "stream of messages between two processes", n: 1, per: "message",
		work: "One process sends messages of 64 bytes, and the other receives them. A pipe and a socket take one write and one read a message."}
	factor := 1
	if !s.quick {
		factor = 5
	}
	sockets := true
	if l, err := net.Listen("unix", filepath.Join(s.dir, "probe")); err != nil {
		s.skip("Unix sockets between two processes: %v", err)
		sockets = false
	} else {
		l.Close()
	}
	for _, link := range twoLinks {
		if link.name == "Unix socket" && !sockets {
			continue
		}
		if link.name != twoBufio && link.name != ringBatch {
			trips.ways = append(trips.ways, way{name: link.name, turn: s.twoTurn(link.name, "trips", 2000*factor)})
		}
		if link.name != "ring that sleeps at once" {
			stream.ways = append(stream.ways, way{name: link.name, turn: s.twoTurn(link.name, "stream", link.stream*factor)})
		}
	}
	trips.goals = []goal{{text: "the ring takes so many times as long as a pipe", atMost: 0.5, value: func(r round) float64 { return r["ring"] / r["pipe"] }}}
	stream.goals = []goal{{text: "a pipe takes so many times as long as the ring", atLeast: 20, value: func(r round) float64 { return r["pipe"] / r["ring"] }}}
	if err := s.hold(trips); err != nil {
		return err
	}
	if err := s.hold(stream); err != nil {
		return err
	}
	return s.twoIncrements(factor)
}

func (s *session) twoIncrements(factor int) error {
	c := contest{name: "a counter of two processes", n: 1, per: "increment",
		work: "Two processes add 1 to the same 64-bit integer, both at a time. The server of the pipe adds it for the other process, which waits for the sum.",
		goals: []goal{{text: "AtomicView.Add takes so many times as long as sync/atomic on a bare mapping", atMost: 1.1,
			value: func(r round) float64 { return r["AtomicView.Add"] / r["bare mmap, sync/atomic"] }}}}
	name := filepath.Join(s.dir, "counter")
	for _, w := range []struct {
		name string
		n    int
	}{{"AtomicView.Add", 1_000_000}, {"bare mmap, sync/atomic", 1_000_000}, {"flock, pread, pwrite", 1000}} {
		if err := os.WriteFile(name, make([]byte, 8), 0o600); err != nil {
			return err
		}
		counter, err := twoCounters[w.name](name)
		if errors.Is(err, errors.ErrUnsupported) {
			s.skip("a counter of two processes, %s: %v", w.name, err)
			if w.n > 1000 {
				c.goals = nil
			}
			continue
		} else if err != nil {
			return err
		}
		counter.close()
		n := w.n * factor
		c.ways = append(c.ways, way{name: w.name, turn: func(int) (float64, error) { return twoCount(w.name, name, n) }})
	}
	c.ways = append(c.ways, way{name: "server behind a pipe", turn: s.twoTurn("pipe", "trips", 2000*factor)})
	return s.hold(c)
}

// twoCount has two processes add n each, and returns how long an increment takes.
func twoCount(way, name string, n int) (float64, error) {
	if err := os.WriteFile(name, make([]byte, 8), 0o600); err != nil {
		return 0, err
	}
	c, err := twoCounters[way](name)
	if err != nil {
		return 0, err
	}
	defer c.close()
	cmd := self("peer", way, "count", name, strconv.Itoa(n))
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	one := make([]byte, 1)
	if _, err := io.ReadFull(out, one); err != nil { // it is ready
		return 0, err
	}
	start := time.Now()
	if _, err := in.Write(one); err != nil {
		return 0, err
	}
	if err := c.add(n); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(out, one); err != nil { // it is done
		return 0, err
	}
	took := time.Since(start)
	if sum, err := c.load(); err != nil || sum != int64(2*n) {
		return 0, twoBroken(uint64(sum), uint64(2*n), err)
	}
	return float64(took) / float64(2*n), nil
}

// twoTurn makes a turn of a link, that returns how long each of n round trips or messages
// takes.
func (s *session) twoTurn(via, what string, n int) func(int) (float64, error) {
	return func(round int) (each float64, err error) {
		name := filepath.Join(s.dir, "socket")
		shared := fmt.Sprintf("benchmarks-%d-%d", os.Getpid(), round)
		var listener net.Listener
		var r, w, theirR, theirW *os.File
		target := shared
		switch via {
		case "pipe", twoBufio:
			if theirR, w, err = os.Pipe(); err != nil {
				return 0, err
			}
			defer w.Close()
			defer theirR.Close()
			if r, theirW, err = os.Pipe(); err != nil {
				return 0, err
			}
			defer r.Close()
			defer theirW.Close()
		case "Unix socket":
			target = name
			if listener, err = net.Listen("unix", name); err != nil {
				return 0, err
			}
			defer listener.Close()
		default:
			defer mmap.RemoveShared(shared + "-there")
			defer mmap.RemoveShared(shared + "-back")
		}
		cmd := self("peer", via, what, target, strconv.Itoa(n))
		if theirR != nil {
			cmd.Stdin, cmd.Stdout = theirR, theirW
		}
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		var l twoLink
		if listener != nil {
			c, err := listener.Accept()
			if err != nil {
				return 0, err
			}
			defer c.Close()
			l = newStreamLink(c, c, 0)
		} else if l, err = twoOpen(via, target, true, r, w); err != nil {
			return 0, err
		}
		defer l.close()
		if err := l.trips(1); err != nil { // it is ready
			return 0, err
		}
		start := time.Now()
		if what == "trips" {
			err = l.trips(n)
		} else {
			err = l.stream(n)
		}
		return float64(time.Since(start)) / float64(n), err
	}
}

// twoOpen opens one side of a link.
func twoOpen(via, target string, first bool, r, w *os.File) (twoLink, error) {
	switch via {
	case "pipe":
		r.Fd() // which makes it wait in the system: faster here than Go's poller
		w.Fd()
		return newStreamLink(r, w, 0), nil
	case twoBufio:
		return newStreamLink(r, w, 64<<10), nil
	case "Unix socket":
		c, err := net.Dial("unix", target)
		return newStreamLink(c, c, 0), err
	}
	return openRingLink(target, first, ringWays[via])
}

// self is the command that runs this program.
func self(args ...string) *exec.Cmd {
	name, err := os.Executable()
	if err != nil {
		name = os.Args[0]
	}
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	return cmd
}

// twoPeer is what the other process does.
func twoPeer(args []string) error {
	if len(args) > 0 && args[0] == "cold" {
		return groupPeer(args[1:])
	}
	if len(args) != 4 {
		return errors.New("it is started by the program itself")
	}
	via, what, target := args[0], args[1], args[2]
	n, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	if what == "count" {
		c, err := twoCounters[via](target)
		if err != nil {
			return err
		}
		defer c.close()
		if _, err := os.Stdout.Write([]byte{1}); err != nil {
			return err
		}
		if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
			return err
		}
		if err := c.add(n); err != nil {
			return err
		}
		_, err = os.Stdout.Write([]byte{1})
		return err
	}
	l, err := twoOpen(via, target, false, os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.echo(1); err != nil {
		return err
	}
	if what == "trips" {
		return l.echo(n)
	}
	return l.take(n)
}
