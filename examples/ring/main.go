// Ring is a queue of messages between two processes, in memory that both map. It
// survives when either is killed at any moment.
//
//	go run ./examples/ring                      # sends to another process, kills it, and starts a new one
//	go run ./examples/ring -bench               # beside a pipe and a Unix socket
//	go run ./examples/ring -name x -receive     # prints messages, of whoever runs
//	go run ./examples/ring -name x -send        # sends the lines of its input
//	go run ./examples/ring -name x -remove      # removes the queue
//
// The queue is in ring.go.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/seed-498deeca/mmap"
)

var shapeOfText = Shape{Slots: 64, Bytes: 500}

func main() {
	name := flag.String("name", "", "`name` of the queue, the same for both processes")
	send := flag.Bool("send", false, "send the lines of the input; with -count, numbered ones")
	receive := flag.Bool("receive", false, "print the messages that come")
	removed := flag.Bool("remove", false, "remove the queue")
	count := flag.Int("count", 0, "`number` of messages after which the queue ends; for -bench, of round trips")
	measured := flag.Bool("bench", false, "measure round trips and streams")
	peerOf := flag.String("peer", "", "what -bench starts itself with")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case *peerOf != "":
		via, what, _ := strings.Cut(*peerOf, " ")
		err = peer(via, *name, what, *count)
	case *measured:
		if *count == 0 {
			*count = 20_000
		}
		err = bench(os.Stdout, 5, *count)
	case *name == "":
		err = demonstrate(ctx, os.Stdout)
	case *removed:
		err = mmap.RemoveShared(*name)
	case *send:
		err = sendAll(ctx, *name, *count, os.Stdin)
	case *receive:
		err = receiveAll(ctx, *name, *count, os.Stdout)
	default:
		err = errors.New("-name needs -send, -receive or -remove")
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "ring:", err)
		os.Exit(1)
	}
}

// open takes a place at the ring of a name. The file that is mapped is the one that is
// locked.
func open(name string, my Side, shape Shape) (*Ring, error) {
	shared, err := mmap.Shared(name, shape.Size()) // made, and nobody else's
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(shared.Name(), os.O_RDWR, 0)
	shared.Close()
	if err != nil {
		return nil, err
	}
	r, err := Join(f, my, shape)
	if err != nil {
		f.Close()
	}
	return r, err
}

// message is the text of a numbered message.
func message(i uint32) string { return fmt.Sprintf("message %d%s", i, strings.Repeat(".", int(i%97))) }

// sendAll sends lines until the input ends, or goes on with numbered messages up to
// count.
func sendAll(ctx context.Context, name string, count int, in io.Reader) error {
	r, err := open(name, Sender, shapeOfText)
	if err != nil {
		return err
	}
	defer r.Close()
	lines := bufio.NewScanner(in)
	return mmap.Guard(func() error {
		for {
			text := message(r.Count())
			if count > 0 && r.Count() == uint32(count) {
				return nil
			} else if count == 0 {
				if !lines.Scan() {
					return lines.Err()
				}
				text = lines.Text()
			}
			err := patiently(ctx, r, "receiver", func(ctx context.Context) error { return r.Send(ctx, []byte(text)) })
			if err != nil {
				return err
			}
		}
	})
}

// receiveAll prints messages, up to number count if that is not 0.
func receiveAll(ctx context.Context, name string, count int, out io.Writer) error {
	r, err := open(name, Receiver, shapeOfText)
	if err != nil {
		return err
	}
	defer r.Close()
	return mmap.Guard(func() error {
		for count == 0 || r.Count() != uint32(count) {
			var msg []byte
			err := patiently(ctx, r, "sender", func(ctx context.Context) (err error) {
				msg, err = r.Receive(ctx)
				return err
			})
			if err != nil {
				return err
			}
			if _, err := out.Write(append(msg, '\n')); err != nil { // this is to deal with it
				return err
			}
			if err := r.Done(); err != nil {
				return err
			}
		}
		return nil
	})
}

// patiently says once if it takes long because nobody is on the other side, and waits
// for whoever takes the place.
func patiently(ctx context.Context, r *Ring, other string, fn func(context.Context) error) error {
	for said := false; ; {
		short, cancel := context.WithTimeout(ctx, time.Second)
		err := fn(short)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
		if there, err := r.Peer(); err != nil {
			return err
		} else if !there && !said {
			fmt.Fprintf(os.Stderr, "ring: there is no %s: waiting for one\n", other)
			said = true
		}
	}
}

// self is the command that starts this program again.
func self(args ...string) *exec.Cmd {
	name, err := os.Executable()
	if err != nil {
		name = os.Args[0]
	}
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	return cmd
}

// demonstrate sends to a process that is killed on the way, and to the one that takes
// its place.
func demonstrate(ctx context.Context, w io.Writer) error {
	const count = 20_000
	name := fmt.Sprintf("ring-%d", os.Getpid())
	defer mmap.RemoveShared(name)
	fmt.Fprintf(w, "a queue called %s: %d slots of %d bytes\n", name, shapeOfText.Slots, shapeOfText.Bytes)
	sent := make(chan error, 1)
	go func() { sent <- sendAll(ctx, name, count, nil) }()

	next, again := uint32(0), 0
	for next < count {
		cmd := self("-name", name, "-receive", "-count", strconv.Itoa(count))
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		first, killed := next, false
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			switch lines.Text() {
			case message(next):
				next++
			case message(next - 1): // the one before was killed before Done
				again++
			default:
				cmd.Process.Kill()
				return fmt.Errorf("message %d is %q", next, lines.Text())
			}
			if !killed && first == 0 && next == count/2 {
				killed = true
				cmd.Process.Kill()
			}
		}
		err = cmd.Wait()
		what := "is done"
		if killed {
			what, err = "was killed", nil
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "process %d received messages %d to %d, and %s\n", cmd.Process.Pid, first, next-1, what)
	}
	fmt.Fprintf(w, "%d messages: each as it was sent, in order, none lost, %d received again\n", count, again)
	return <-sent
}
