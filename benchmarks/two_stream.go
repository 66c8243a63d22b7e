package main

import (
	"bufio"
	"io"
)

// A streamLink is a pair of pipes or a socket: a message is one write and one read, or
// what bufio makes of them.
type streamLink struct {
	r     io.Reader
	w     io.Writer
	flush func() error
}

func newStreamLink(r io.Reader, w io.Writer, buffer int) streamLink {
	if buffer == 0 {
		return streamLink{r, w, func() error { return nil }}
	}
	b := bufio.NewWriterSize(w, buffer)
	return streamLink{bufio.NewReaderSize(r, buffer), b, b.Flush}
}

func (l streamLink) close() {}

func (l streamLink) send(number uint64, msg []byte) error {
	setNumber64(msg, number)
	_, err := l.w.Write(msg)
	return err
}

func (l streamLink) receive(msg []byte) (uint64, error) {
	_, err := io.ReadFull(l.r, msg)
	return number64(msg), err
}

//go:noinline
func (l streamLink) trips(n int) error {
	msg := make([]byte, twoMessage)
	for i := range uint64(n) {
		if err := l.send(i, msg); err != nil {
			return err
		}
		if err := l.flush(); err != nil {
			return err
		}
		if got, err := l.receive(msg); err != nil || got != i {
			return twoBroken(got, i, err)
		}
	}
	return nil
}

//go:noinline
func (l streamLink) echo(n int) error {
	msg := make([]byte, twoMessage)
	for range n {
		got, err := l.receive(msg)
		if err == nil {
			err = l.send(got, msg)
		}
		if err == nil {
			err = l.flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

//go:noinline
func (l streamLink) stream(n int) error {
	msg := make([]byte, twoMessage)
	for i := range uint64(n) {
		if err := l.send(i, msg); err != nil {
			return err
		}
	}
	if err := l.flush(); err != nil {
		return err
	}
	sum, err := l.receive(msg)
	if want := twoSum(n); err != nil || sum != want {
		return twoBroken(sum, want, err)
	}
	return nil
}

//go:noinline
func (l streamLink) take(n int) error {
	msg := make([]byte, twoMessage)
	sum := uint64(0)
	for range n {
		got, err := l.receive(msg)
		if err != nil {
			return err
		}
		sum += got
	}
	if err := l.send(sum, msg); err != nil {
		return err
	}
	return l.flush()
}
