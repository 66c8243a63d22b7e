// Records is an append-only store of records with an index, in one file that grows in
// place. One process writes to it, and others follow it meanwhile. It survives when
// any of them is killed, and when the power is lost.
//
//	go run ./examples/records                            # shows a store whose writer is killed, in a temporary folder
//	go run ./examples/records insert store.rec           # stores lines of a key and a number, from the input
//	go run ./examples/records lookup store.rec 17 42     # prints the records with these keys
//	go run ./examples/records follow store.rec           # prints all records, and those that come
//	go run ./examples/records verify store.rec           # looks whether all is as it was stored
//
// The store is in store.go and the lock of its writer in lock_*.go: copy those.
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
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const usage = `usage: records                           (shows what it does)
       records [-sync=false] insert FILE
       records lookup FILE KEY...
       records follow FILE
       records verify FILE
`

func main() {
	durable := flag.Bool("sync", true, "insert makes records durable before it reports them")
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage); flag.PrintDefaults() }
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch command, file := flag.Arg(0), flag.Arg(1); {
	case command == "":
		err = demonstrate(ctx, os.Stdout)
	case command == "lookup" && flag.NArg() > 2:
		err = lookup(os.Stdout, file, flag.Args()[2:])
	case command == "insert" && flag.NArg() == 2:
		err = insert(os.Stdout, os.Stdin, file, *durable)
	case command == "follow" && flag.NArg() == 2:
		err = follow(ctx, os.Stdout, file)
	case command == "verify" && flag.NArg() == 2:
		err = verify(os.Stdout, file)
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "records:", err)
		os.Exit(1)
	}
}

// mostAtOnce is how many records are committed together at most.
const mostAtOnce = 1000

// insert appends lines, and says how many records there are then. It commits whenever
// it has to wait for the input: after each line of somebody who types, and after many
// of a program that is faster than the disk.
func insert(w io.Writer, r io.Reader, file string, durable bool) (err error) {
	s, err := OpenWriter(file, durable)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	n, err := s.Len()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%d records are there\n", n)
	in := bufio.NewReader(r)
	for pending := 0; ; {
		line, end := in.ReadString('\n')
		if strings.TrimSpace(line) != "" {
			if err = appendLine(s, line); err == nil {
				pending++
			}
		}
		if pending > 0 && (err != nil || end != nil || in.Buffered() == 0 || pending == mostAtOnce) {
			n, failed := s.Commit()
			if failed != nil {
				return errors.Join(err, failed)
			}
			fmt.Fprintf(w, "%d records are stored\n", n)
			pending = 0
		}
		if err != nil || end == io.EOF {
			return err
		} else if end != nil {
			return end
		}
	}
}

// appendLine appends the record of a line such as "17 3.25".
func appendLine(s *Store, line string) (err error) {
	words := strings.Fields(line)
	if len(words) != 2 {
		return fmt.Errorf("%q is not a key and a number", line)
	}
	r := Record{Time: time.Now().UnixNano()}
	if r.Key, err = strconv.ParseUint(words[0], 10, 64); err != nil {
		return err
	}
	if r.Value, err = strconv.ParseFloat(words[1], 64); err != nil {
		return err
	}
	return s.Append(r)
}

func (r Record) String() string {
	return fmt.Sprintf("%d %v %s", r.Key, r.Value, time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano))
}

func lookup(w io.Writer, file string, keys []string) error {
	s, err := OpenReader(file)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, word := range keys {
		key, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return err
		}
		r, found, err := s.Lookup(key)
		if err == nil && !found {
			err = fmt.Errorf("%s has no record with key %d", file, key)
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(w, r)
	}
	return nil
}

// follow prints the records that are there, and then those that come.
func follow(ctx context.Context, w io.Writer, file string) error {
	s, err := OpenReader(file)
	if err != nil {
		return err
	}
	defer s.Close()
	return each(ctx, s, func(r Record) error { _, err := fmt.Fprintln(w, r); return err })
}

// each calls do with all records in order, and waits for more, until do returns an
// error or ctx ends.
func each(ctx context.Context, s *Store, do func(Record) error) error {
	for seen := uint32(0); ; {
		n, err := s.Len()
		if err != nil {
			return err
		}
		if n < seen {
			return fmt.Errorf("%d records have become %d", seen, n)
		}
		for ; seen < n; seen++ {
			r, err := s.At(seen)
			if err == nil {
				err = do(r)
			}
			if err != nil {
				return err
			}
		}
		if err := s.Wait(ctx, n); err != nil {
			return err
		}
	}
}

func verify(w io.Writer, file string) error {
	s, err := OpenReader(file)
	if err != nil {
		return err
	}
	defer s.Close()
	n, err := s.Verify()
	if err == nil {
		fmt.Fprintf(w, "%d records are as they were stored, and found by their keys\n", n)
	}
	return err
}

// errDone ends each.
var errDone = errors.New("done")

// demonstrate follows a store while one process writes to it, is killed, and another
// goes on. The reader opens the store once.
func demonstrate(ctx context.Context, w io.Writer) error {
	dir, err := os.MkdirTemp("", "records-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "store.rec")
	fmt.Fprintln(w, "store:", file)

	const half, all = 5000, 10000
	first, err := startWriter(file, 0)
	if err != nil {
		return err
	}
	defer first.stop()
	s, err := OpenReader(file)
	if err != nil {
		return err
	}
	defer s.Close() // before RemoveAll: Windows removes no file that is mapped

	var second *writer
	seen := 0
	err = each(ctx, s, func(r Record) (err error) {
		if want := keyOf(seen); r.Key != want {
			return fmt.Errorf("record %d has key %d, want %d", seen, r.Key, want)
		}
		seen++
		switch seen {
		case half:
			first.stop()
			n, err := s.Len()
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "process %d is killed: it has stored %d records\n", first.cmd.Process.Pid, n)
			second, err = startWriter(file, int(n))
			return err
		case all:
			return errDone
		}
		return nil
	})
	if second != nil {
		second.stop()
	}
	if err != errDone {
		return err
	}
	fmt.Fprintf(w, "process %d goes on: the reader has followed both, to record %d\n", second.cmd.Process.Pid, seen)
	for _, i := range []int{0, half, all - 1} {
		r, found, err := s.Lookup(keyOf(i))
		if err != nil || !found {
			return fmt.Errorf("record %d is not found: %w", i, err)
		}
		fmt.Fprintf(w, "look up key %d: %v\n", keyOf(i), r)
	}
	return verify(w, file)
}

// keyOf is the key of a record of the demonstration.
func keyOf(i int) uint64 { return uint64(i) * 7919 }

// A writer is a process that inserts.
type writer struct {
	cmd *exec.Cmd
	in  io.Closer
}

// startWriter starts a process that stores records from number i on, and returns when it
// has opened the store.
func startWriter(file string, i int) (*writer, error) {
	cmd := self("insert", file)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w := &writer{cmd, in}
	if !bufio.NewScanner(out).Scan() {
		w.stop()
		return nil, errors.New("the writer has not opened the store")
	}
	go func() { // until the process is killed
		for err := error(nil); err == nil; i++ {
			_, err = fmt.Fprintf(in, "%d %d\n", keyOf(i), i)
		}
	}()
	go io.Copy(io.Discard, out)
	return w, nil
}

// stop kills the process.
func (w *writer) stop() {
	w.cmd.Process.Kill()
	w.in.Close()
	w.cmd.Wait()
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
